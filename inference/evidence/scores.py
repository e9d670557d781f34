"""Scores of a study area: what all members of a model make of its evidence, without any deposit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.prospect_runs import SCORED_BAND_NAMES
from inference.evidence.combine import prospectivity
from inference.evidence.favourability import Favourability
from inference.evidence.trained import EvidenceModel
from inference.evidence.types import EvidenceGround, Report

TELL_EVERY_S = 10.0


@dataclass(frozen=True)
class Scores:
    """The scores of a study area; all (height, width) float32, NaN where nothing was scored.

    Attributes:
        prospectivity, anomaly, favourability: means over the members of a model.
        prospectivity_spread, anomaly_spread, favourability_spread: their standard deviations over the
            members, 0 for a single one; favourability is the same for all.
        excess: (hidden channels, height, width) mean excess in robust deviations; None: the method has none.
        above: the same shape, mean over the members of what of it is positive, of which the anomaly is made;
            None likewise.
        expected: the same shape, mean of what was expected, scaled as the evidence is; None likewise.
        note: what the method says of its answer.

    """

    prospectivity: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    favourability: NDArray[np.float32]
    prospectivity_spread: NDArray[np.float32]
    anomaly_spread: NDArray[np.float32]
    favourability_spread: NDArray[np.float32]
    excess: NDArray[np.float32] | None
    above: NDArray[np.float32] | None
    expected: NDArray[np.float32] | None
    note: str

    @property
    def bands(self) -> NDArray[np.float32]:
        """(6, height, width) in the order of ``SCORED_BAND_NAMES``."""
        return np.stack([getattr(self, name) for name in SCORED_BAND_NAMES])


def score_area(
    model: EvidenceModel, ground: EvidenceGround, favoured: Favourability, report: Report
) -> Scores:
    """Score a ground with all members of a model.

    Raises:
        UsageError: as the method's ``anomaly``, or nothing can be scored.

    """
    anomalies = _Mean()
    combined = _Mean()
    excess, above, expected = (_Mean(has_spread=False) for _ in range(3))
    share = model.system.anomaly_share
    note = ""
    for number, (seed, member) in enumerate(model.members, 1):
        told = _Progress(report, f"seed {seed} ({number} of {len(model.members)})")
        answer = member.anomaly(ground, model.system, told)
        note = answer.note
        score = prospectivity(answer.anomaly, favoured.value, share, ground.is_judged)
        if not np.isfinite(score).any():
            raise UsageError(
                f"nothing of area {ground.area} can be scored: no judged cell has an anomaly and a "
                "favourability; bring in layers that cover it"
            )
        anomalies.add(np.where(np.isfinite(score), answer.anomaly, np.nan))
        combined.add(score)
        if answer.excess is not None and answer.expected is not None:
            excess.add(answer.excess)
            above.add(np.maximum(answer.excess, 0))
            expected.add(answer.expected)
    is_scored = np.isfinite(combined.mean)
    return Scores(
        prospectivity=np.clip(combined.mean, 0, 1).astype(np.float32),
        anomaly=anomalies.mean.astype(np.float32),
        favourability=np.where(is_scored, favoured.value, np.nan).astype(np.float32),
        prospectivity_spread=combined.spread.astype(np.float32),
        anomaly_spread=anomalies.spread.astype(np.float32),
        favourability_spread=np.where(is_scored, 0, np.nan).astype(np.float32),
        excess=excess.mean.astype(np.float32) if excess.count else None,
        above=above.mean.astype(np.float32) if above.count else None,
        expected=expected.mean.astype(np.float32) if expected.count else None,
        note=note,
    )


class _Mean:
    """Mean and standard deviation (divisor n - 1) of arrays as they come, after Welford (1962)."""

    def __init__(self, *, has_spread: bool = True) -> None:
        self.count = 0
        self._has_spread = has_spread
        self.mean: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())

    def add(self, values: NDArray[np.floating]) -> None:
        self.count += 1
        apart = values - self.mean
        self.mean = self.mean + apart / self.count
        if self._has_spread:
            self._squares = self._squares + apart * (values - self.mean)

    @property
    def spread(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.sqrt(np.maximum(self._squares, 0) / max(1, self.count - 1))
        return found


def threshold_of(scores: NDArray[np.float32], top: float) -> float:
    """The score from which on the best share of the scored cells lies.

    Where so many cells share that score that twice the share would be taken, it is the next higher score;
    where no cell is higher, it lies above all of them.

    Args:
        scores: (height, width), NaN where not scored.
        top: the share, above 0.

    """
    known = np.sort(scores[np.isfinite(scores)])[::-1]
    wanted = max(1, math.ceil(top * len(known)))
    # A score of 0 tells nothing: no target has it.
    threshold = max(float(known[wanted - 1]), float(np.finfo(np.float32).tiny))
    if np.count_nonzero(known >= threshold) <= 2 * wanted:
        return threshold
    higher = known[known > threshold]
    return float(higher[-1]) if len(higher) else float(np.nextafter(known[0], np.float32(2)))


class _Progress:
    """Tells about once in `TELL_EVERY_S` how far the scoring with a member is."""

    def __init__(self, report: Report, head: str) -> None:
        self._report, self._head = report, head
        self._next_at = time.monotonic() + TELL_EVERY_S

    def __call__(self, share: float) -> None:
        if time.monotonic() >= self._next_at and share < 1:
            self._report(f"scoring, {self._head}: {share:.0%}")
            self._next_at = time.monotonic() + TELL_EVERY_S
