"""Ordinary kriging with GSTools: a variogram fitted to samples, and estimates with standard errors.

After Matheron 1963 (Principles of geostatistics, Economic Geology 58) and Chiles & Delfiner 2012
(Geostatistics: Modeling Spatial Uncertainty, 2nd edition). GSTools: Mueller et al. 2022 (doi
10.5194/gmd-15-3161-2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gstools as gs
import numpy as np

from db.errors import UsageError
from ingest.evidence.blocks import Estimator, Floats

PAIRED_SAMPLES = 3000
"""Samples whose pairs are looked at; more, drawn at random, would not change what is seen."""

_MODELS = {"exponential": gs.Exponential, "spherical": gs.Spherical}
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
        name: exponential or spherical.
        nugget: its value at distances next to 0: errors of measurement, and what differs within metres.
        sill: its value far away, nugget included.
        range_m: distance at which it has 95 % of what it rises by, m.
        fit_r2: share of its variation over distance that the model tells, at most 1.

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


def fit_variogram(xy_m: Floats, values: Floats) -> Variogram:
    """Fit a variogram to samples, the same in all directions: the better of two models.

    Classes of distance are narrower near 0; each weighs with its number of pairs over its squared distance
    (Cressie 1985), so that the near ones, which matter most, count most.

    Args:
        xy_m: (samples, 2) their places, m.
        values: (samples,) their values, as they are kriged.

    Raises:
        UsageError: no model fits.

    """
    extent_m = np.ptp(xy_m, axis=0)
    edges = float(np.hypot(*extent_m)) * _FARTHEST * np.linspace(0, 1, _CLASSES + 1) ** 1.5
    place = (xy_m - xy_m.mean(axis=0)).T
    sampling = (
        {"sampling_size": PAIRED_SAMPLES, "sampling_seed": _SEED} if len(values) > PAIRED_SAMPLES else {}
    )
    distance, gamma, pairs = gs.vario_estimate(place, values, edges, return_counts=True, **sampling)
    enough = pairs >= _LEAST_PAIRS
    if np.count_nonzero(enough) < _LEAST_CLASSES:
        raise UsageError(_advice("too few of them lie at different distances from each other"))
    distance, gamma, pairs = distance[enough], gamma[enough], pairs[enough]
    found = []
    for name, kind in _MODELS.items():
        model = kind(dim=2, len_scale=float(edges[-1]) / 3, var=float(gamma.max()))
        # what changes within less than the least distance is nugget, and shown by nobody
        model.set_arg_bounds(len_scale=[float(distance[0]) / 2, float(edges[-1]) * 3])
        try:
            _values, _covariance, r2 = model.fit_variogram(
                distance, gamma, weights=np.sqrt(pairs) / distance, return_r2=True, max_eval=5000
            )
        except (RuntimeError, ValueError):
            continue
        # a variogram as flat as a table has no variation that could be told
        found.append((float(r2) if np.isfinite(r2) else 0.0, name, model))
    if not found:
        raise UsageError(_advice("no variogram fits them"))
    r2, name, model = max(found, key=lambda each: each[0])
    return Variogram(
        model, name, float(model.nugget), float(model.sill), float(model.percentile_scale(0.95)), r2
    )


def _advice(why: str) -> str:
    return f"the samples cannot be kriged: {why}; --gridding idw weighs them by distance instead"


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
