"""A plain answer: how far the contents of a cell lie from the middle of all, whatever the direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.methods.answers import MethodAnswer, State, require_channels
from inference.evidence.methods.features import as_map, require_options, stored_array
from inference.evidence.scaling import positive_contents
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Progress

LEAST_VARIANCE_SHARE = 1e-6
"""Of the largest variance in any direction; smaller ones are rounding, and are lifted to this."""


@dataclass(frozen=True)
class Mahalanobis:
    """Mahalanobis distance (1936) on natural logarithms of the contents.

    In a cell with k contents known it is sqrt(d^2 / k) over those, with their part of the covariance: about 1
    for the common cell, whatever is known of it.

    Attributes:
        channels: of the ground.
        mean: (elements,) float64 of the logarithms.
        covariance: (elements, elements) float64.

    """

    channels: tuple[EvidenceChannel, ...]
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How many contents it goes by."""
        return {"elements": len(self.mean)}

    def anomaly(
        self,
        ground: EvidenceGround,
        system: MineralSystem,  # noqa: ARG002 - far off whatever the ore
        progress: Progress | None = None,
    ) -> MethodAnswer:
        """See `FittedMethod`; the system plays no part."""
        require_channels(self.channels, ground)
        logs = log_contents(ground)
        is_there = np.asarray(np.isfinite(logs).any(axis=0))
        distances = self.distances(logs[:, is_there].T, progress)
        return MethodAnswer(as_map(distances, is_there))

    def distances(self, logs: NDArray[np.float64], progress: Progress | None = None) -> NDArray[np.float64]:
        """Distance (cells,) of logarithms (cells, elements), NaN where not known; one at least is."""
        found = np.empty(len(logs))
        is_known = np.isfinite(logs)
        patterns, which = np.unique(is_known, axis=0, return_inverse=True)
        by_pattern = np.argsort(which.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(which.reshape(-1), minlength=len(patterns)))
        for number, pattern in enumerate(patterns):
            cells = by_pattern[ends[number - 1] if number else 0 : ends[number]]
            far = logs[np.ix_(cells, pattern)] - self.mean[pattern]
            solved = np.linalg.solve(self.covariance[np.ix_(pattern, pattern)], far.T)
            found[cells] = np.sqrt(np.einsum("ij,ji->i", far, solved) / pattern.sum())
            if progress is not None:
                progress((number + 1) / len(patterns))
        return found

    def state(self) -> State:
        """See `FittedMethod`."""
        return {"mean": self.mean, "covariance": self.covariance}


def log_contents(ground: EvidenceGround) -> NDArray[np.float64]:
    """(elements, height, width) natural logarithms of the contents, NaN where not known.

    Contents of 0 or less count as half the smallest above 0, as for all other methods; a layer without any
    above 0 is NaN.
    """
    places = ground.places_of("geochemistry")
    found = np.full((len(places), *ground.is_judged.shape), np.nan)
    for logs, place in zip(found, places, strict=True):
        held = np.where(ground.is_known[place], ground.raw[place], np.float32(np.nan))
        positive, _raised, least = positive_contents(held, ground.is_judged)
        if least is not None:
            is_there = np.isfinite(positive)
            logs[is_there] = np.log(positive[is_there])
    return found


def fit_mahalanobis(ground: EvidenceGround, settings: EvidenceSettings) -> Mahalanobis:
    """Mean and covariance of the logarithms of all contents over the judged cells.

    Variances and covariances are taken over the cells where both contents are known; directions that the
    contents do not vary in are given a millionth of the largest variance.

    Args:
        ground: the evidence.
        settings: without options.

    Raises:
        UsageError: an option, no geochemistry, contents that do not vary.

    """
    require_options(settings.options, "mahalanobis", ())
    logs = log_contents(ground)
    rows = logs[:, np.isfinite(logs).any(axis=0)] if len(logs) else logs.reshape(0, 0)
    is_known = np.isfinite(rows)
    if not rows.size or not is_known.any(axis=1).all():
        raise UsageError(
            f"the method mahalanobis goes by logarithms of contents, and {ground.area} has "
            + ("a layer of geochemistry without a value above 0" if rows.size else "no geochemistry")
            + ": ingest it, or use another method"
        )
    mean = np.nanmean(rows, axis=1)
    far = np.where(is_known, rows - mean[:, None], 0.0)
    counts = is_known.astype(np.float64) @ is_known.T.astype(np.float64)
    covariance = (far @ far.T) / np.maximum(counts, 1)
    variances, directions = np.linalg.eigh(covariance)
    if variances[-1] <= 0:
        raise UsageError(f"the contents of {ground.area} do not vary on its judged ground: check the layers")
    lifted = np.maximum(variances, LEAST_VARIANCE_SHARE * variances[-1])
    made = (directions * lifted) @ directions.T
    return Mahalanobis(ground.channels, mean, (made + made.T) / 2)


def restore_mahalanobis(
    channels: tuple[EvidenceChannel, ...], state: Mapping[str, NDArray[Any]]
) -> Mahalanobis:
    """What `Mahalanobis.state` gave, checked.

    Raises:
        UsageError: arrays that are not those of these channels, or a covariance that is none.

    """
    count = sum(channel.kind == "geochemistry" for channel in channels)
    covariance = stored_array(state, "covariance", (count, count), np.float64, "mahalanobis")
    if not np.array_equal(covariance, covariance.T) or np.linalg.eigvalsh(covariance)[0] <= 0:
        raise UsageError("the weights of the mahalanobis hold no covariance: train it again")
    return Mahalanobis(channels, stored_array(state, "mean", (count,), np.float64, "mahalanobis"), covariance)
