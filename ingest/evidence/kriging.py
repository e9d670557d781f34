"""Ordinary kriging with GSTools: a variogram fitted to samples, and estimates with standard errors.

After Matheron 1963 (Principles of geostatistics, Economic Geology 58) and Chiles & Delfiner 2012
(Geostatistics: Modeling Spatial Uncertainty, 2nd edition). GSTools: Mueller et al. 2022 (doi
10.5194/gmd-15-3161-2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gstools as gs
import numpy as np

from db.errors import UsageError
from ingest.evidence.blocks import Estimator, Floats

PAIRED_SAMPLES = 3000
"""Samples whose pairs are looked at; more, drawn at random, would not change what is seen."""

_MODELS: dict[str, Callable[..., Any]] = {
    "exponential": lambda **start: gs.Exponential(dim=2, **start),
    "spherical": lambda **start: gs.Spherical(dim=2, **start),
    "matern": lambda **start: gs.Matern(dim=2, nu=1.5, **start),
}
"""The last is smooth near 0, as magnetic fields are; the others are rough, as contents of rock."""

_FARTHEST = 1 / 3
"""Pairs as far apart as this share of the ground's diagonal are looked at; beyond, few samples make them."""

_CLASSES = 24
_LEAST_CLASSES = 4
_LEAST_PAIRS = 10
_SEED = 1


@dataclass(frozen=True)
class Variogram:
    """Half the mean squared difference of samples by their distance, as a function.

    Attributes:
        model: GSTools' model of it.
        name: exponential, spherical, or matern (of smoothness 1.5).
        nugget: its value at distances next to 0: errors of measurement, and what differs within metres.
        sill: its value far away, nugget included.
        range_m: distance at which it has 95 % of what it rises by, m.
        fit_r2: share of its variation over distance that the model tells, weighed as fitted; at most 1.

    """

    model: Any
    name: str
    nugget: float
    sill: float
    range_m: float
    fit_r2: float

    def unlikeness(self, distance_m: float) -> float:
        """Share of the sill at a distance: 1 where samples so far apart tell nothing of each other."""
        return float(self.model.variogram(distance_m)) / self.sill if self.sill > 0 else 1.0

    def as_json(self) -> dict[str, Any]:
        """For the catalogue."""
        return {
            "model": self.name,
            "nugget": self.nugget,
            "sill": self.sill,
            "range_m": self.range_m,
            "fit_r2": self.fit_r2,
        }


def fit_variogram(xy_m: Floats, values: Floats, name: str) -> Variogram:
    """Fit a variogram to samples, the same in all directions: the best of three models.

    Classes of distance are narrower near 0; each weighs with its number of pairs over its squared distance
    (as in gstat, Pebesma 2004, doi 10.1016/j.cageo.2004.03.012): near ones, which matter most, count most.

    Args:
        xy_m: (samples, 2) their places, m.
        values: (samples,) their values, as they are kriged.
        name: what they are, for messages.

    Raises:
        UsageError: no model fits.

    """
    extent_m = np.ptp(xy_m, axis=0)
    edges = float(np.hypot(*extent_m)) * _FARTHEST * np.linspace(0, 1, _CLASSES + 1) ** 1.5
    place = (xy_m - xy_m.mean(axis=0)).T
    # Fitting begins from, and ends by, numbers near 1: without this a unit would decide what is found.
    spread = float(np.std(values))
    if not spread > 0:
        raise UsageError(_advice(name, "they are all the same"))
    values = (values - values.mean()) / spread
    sampling = (
        {"sampling_size": PAIRED_SAMPLES, "sampling_seed": _SEED} if len(values) > PAIRED_SAMPLES else {}
    )
    distance, gamma, pairs = gs.vario_estimate(place, values, edges, return_counts=True, **sampling)
    enough = pairs >= _LEAST_PAIRS
    if np.count_nonzero(enough) < _LEAST_CLASSES:
        raise UsageError(_advice(name, "too few of them lie at different distances from each other"))
    distance, gamma, pairs = distance[enough], gamma[enough], pairs[enough]
    weights = np.sqrt(pairs) / distance
    start = {"len_scale": float(edges[-1]) / 3, "var": float(gamma.max())}
    found = []
    for model_name, make in _MODELS.items():
        model = make(**start)
        # what changes within less than the least distance is nugget, and shown by nobody
        model.set_arg_bounds(len_scale=[float(distance[0]) / 2, float(edges[-1]) * 3])
        fixed = dict.fromkeys(model.opt_arg, False)
        try:
            model.fit_variogram(distance, gamma, weights=weights, max_eval=5000, **fixed)
        except (RuntimeError, ValueError):
            continue
        found.append((_told(gamma, model.variogram(distance), weights**2), model_name, model))
    if not found:
        raise UsageError(_advice(name, "no variogram fits them"))
    r2, model_name, model = max(found, key=lambda each: each[0])
    range_m = float(model.percentile_scale(0.95))
    model.var, model.nugget = float(model.var) * spread**2, float(model.nugget) * spread**2
    return Variogram(model, model_name, float(model.nugget), float(model.sill), range_m, r2)


def _told(gamma: Floats, modelled: Floats, weights: Floats) -> float:
    """Share of the weighed variation of a variogram that a model tells; 0 of one that does not vary."""
    about = float((weights * (gamma - np.average(gamma, weights=weights)) ** 2).sum())
    return 1 - float((weights * (gamma - modelled) ** 2).sum()) / about if about > 0 else 0.0


def _advice(name: str, why: str) -> str:
    return f"{name}: the samples cannot be kriged: {why}; --gridding idw weighs them by distance instead"


def kriging(variogram: Variogram, xy_m: Floats, values: Floats) -> Estimator:
    """Estimate by ordinary kriging from some of the samples.

    With a nugget the estimate is what lies under it: it does not run through single samples. The standard
    error is that of another sample at the place, nugget included.

    Args:
        variogram: of the values.
        xy_m: (samples, 2) their places, m.
        values: (samples,) their values, as they are kriged.

    """

    def estimate(chosen: Any, places: Floats) -> tuple[Floats, Floats]:
        middle = xy_m[chosen].mean(axis=0)
        system = gs.krige.Ordinary(variogram.model, (xy_m[chosen] - middle).T, values[chosen])
        found, variance = system((places - middle).T)
        return found, np.sqrt(np.maximum(variance, 0))

    return estimate
