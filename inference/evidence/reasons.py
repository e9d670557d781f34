"""Why cells score: elements that exceed what was expected of them, and geology that favours ore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.prospect_runs import NewReason
from inference.evidence.anomaly import ore_weights
from inference.evidence.favourability import Favourability
from inference.evidence.scaling import positive_contents
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import HIDDEN_KINDS, EvidenceChannel, EvidenceGround
from inference.prospect.spectral import means_by_owner

MOST_ELEMENTS = 3
MOST_GEOLOGY = 2
_PER_TARGET = 5
_MOST_LOG = 80.0
"""A network may expect anything: logarithms beyond this are no contents."""


@dataclass(frozen=True)
class Explained:
    """What a search is explained by.

    Attributes:
        ground: the evidence.
        system: weights of the elements.
        favoured: favourability with its parts.
        excess: (hidden channels, height, width) mean excess in robust deviations; None: the method tells none
            of single channels, and how high the elements themselves lie is told instead.
        above: the same shape, mean of what of the excess is positive in each member; None likewise.
        expected: the same shape, scaled; None likewise.

    """

    ground: EvidenceGround
    system: MineralSystem
    favoured: Favourability
    excess: NDArray[np.float32] | None
    above: NDArray[np.float32] | None
    expected: NDArray[np.float32] | None
    weights: dict[int, float] = field(init=False)
    """Of the ore elements, by place among the hidden channels."""

    def __post_init__(self) -> None:
        """Find the ore elements."""
        hidden = [self.ground.channels[place] for place in self.ground.places_of(*HIDDEN_KINDS)]
        object.__setattr__(self, "weights", ore_weights(hidden, self.system))

    def place_in_ground(self, place: int) -> int:
        """Place of a hidden channel among all channels."""
        return self.ground.places_of(*HIDDEN_KINDS)[place]

    def deviations(self, place: int) -> NDArray[np.float32]:
        """(height, width) how far a hidden channel lies above what is expected, in robust deviations.

        Above the middle of the area where the method expects nothing.
        """
        if self.excess is not None:
            excess: NDArray[np.float32] = self.excess[place]
            return excess
        at = self.place_in_ground(place)
        return np.where(self.ground.is_known[at], self.ground.values[at], np.float32(np.nan))

    def positive(self, place: int) -> NDArray[np.float32]:
        """(height, width) what of those deviations is positive, as the anomaly counts it; 0 if not known."""
        found = self.deviations(place) if self.above is None else self.above[place]
        return np.nan_to_num(np.maximum(found, 0))

    def expected_content(
        self, place: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """What was expected of a hidden channel in some cells (n,), in its stored unit; None: nothing."""
        if self.expected is None:
            return None
        channel = self.ground.channels[self.place_in_ground(place)]
        scaled = self.expected[place, rows, cols].astype(np.float64)
        told: NDArray[np.float64] = scaled * channel.scale + channel.center
        if channel.transform == "clr":
            medians, means = self._log_ratios
            told = told + medians[self.place_in_ground(place)] + means[rows, cols]
        return told if channel.transform == "none" else np.exp(np.clip(told, -_MOST_LOG, _MOST_LOG))

    @cached_property
    def _log_ratios(self) -> tuple[dict[int, float], NDArray[np.float64]]:
        """What log ratios leave out, see `scaling.centred_log_ratios`.

        It is made anew of the contents: scaled values are cut off where ore is richest.

        Returns:
            Medians of the logarithms by place among the channels, and (height, width) the means over the
            channels known at a cell that are taken away after them.

        """
        ground = self.ground
        medians: dict[int, float] = {}
        total = np.zeros(ground.is_judged.shape)
        count = np.zeros(ground.is_judged.shape, np.int64)
        for at, channel in enumerate(ground.channels):
            if channel.transform == "clr":
                positive, _raised, _least = positive_contents(ground.raw[at], ground.is_known[at])
                logs = np.log(positive)
                is_told = np.isfinite(logs)
                medians[at] = float(np.median(logs[is_told])) if is_told.any() else 0.0
                total += np.where(is_told, logs - medians[at], 0.0)
                count += is_told
        return medians, total / np.maximum(count, 1)


def cell_reasons(explained: Explained, is_wanted: NDArray[np.bool_]) -> Iterator[NewReason]:
    """Why each of some cells scores, cell by cell: elements first, then geology.

    Of the elements those with the largest part in the anomaly, by weight and positive excess; of the geology
    the rules with the largest part in the favourability. What has no part is not told.

    Args:
        explained: the search.
        is_wanted: (height, width) the cells.

    """
    rows, cols = np.nonzero(is_wanted)
    if not len(rows):
        return
    elements = _Elements(explained, rows, cols)
    geology = _Geology(explained, rows, cols)
    for cell, (row, col) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True)):
        told = (*elements.of(cell), *geology.of(cell))
        for number, reason in enumerate(told, 1):
            yield NewReason(row, col, number, **reason)


class _Elements:
    """The ore elements in some cells."""

    def __init__(self, explained: Explained, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
        self._has_shares = explained.excess is not None
        self._channels: list[EvidenceChannel] = []
        deviations, contents, expected, parts = [], [], [], []
        for place, weight in explained.weights.items():
            at = explained.place_in_ground(place)
            self._channels.append(explained.ground.channels[at])
            deviations.append(explained.deviations(place)[rows, cols].astype(np.float64))
            parts.append(weight * explained.positive(place)[rows, cols].astype(np.float64))
            contents.append(explained.ground.raw[at, rows, cols].astype(np.float64))
            told = explained.expected_content(place, rows, cols)
            expected.append(np.full(len(rows), np.nan) if told is None else told)
        self._deviations, self._contents = np.array(deviations), np.array(contents)
        self._expected, parts_of = np.array(expected), np.array(parts)
        totals = parts_of.sum(axis=0)
        self._shares = parts_of / np.where(totals > 0, totals, 1.0)

    def of(self, cell: int) -> Iterator[dict[str, Any]]:
        order = np.argsort(-self._shares[:, cell], kind="stable")[:MOST_ELEMENTS]
        for at in order.tolist():
            if self._shares[at, cell] <= 0:
                return
            channel = self._channels[at]
            yield {
                "kind": "element",
                "name": channel.element or channel.name,
                "value": _told(self._contents[at, cell]),
                "unit": channel.unit,
                "expected": _told(self._expected[at, cell]),
                "deviations": _told(self._deviations[at, cell]),
                "share": _told(self._shares[at, cell]) if self._has_shares else None,
            }


class _Geology:
    """The rules of geology in some cells."""

    def __init__(self, explained: Explained, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
        self._parts = explained.favoured.parts
        weighed = np.array(
            [part.rule.weight * np.nan_to_num(part.value[rows, cols]) for part in self._parts], np.float64
        )
        totals = weighed.sum(axis=0)
        self._shares = weighed / np.where(totals > 0, totals, 1.0)
        self._found = np.array([part.found[rows, cols] for part in self._parts], np.float64)

    def of(self, cell: int) -> Iterator[dict[str, Any]]:
        order = np.argsort(-self._shares[:, cell], kind="stable")[:MOST_GEOLOGY]
        for at in order.tolist():
            if self._shares[at, cell] <= 0:
                return
            part = self._parts[at]
            yield {
                "kind": "geology",
                "name": part.rule.text,
                "value": _told(self._found[at, cell]),
                "unit": part.unit,
                "expected": None,
                "deviations": None,
                "share": _told(self._shares[at, cell]),
            }


def _told(value: float) -> float | None:
    """A number with as many digits as it has meaning; None where it is none."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def target_evidence(
    explained: Explained, rank_of_cell: NDArray[np.int32], count: int
) -> list[list[dict[str, Any]]]:
    """What speaks for each target: the ore elements that lie highest above what is expected.

    Args:
        explained: the search.
        rank_of_cell: (height, width) rank of the target a cell belongs to, 0: none.
        count: targets.

    Returns:
        For each target, by rank, up to five items: name, mean value, unit, mean deviations; the element of
        most deviations first.

    """
    found: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    for place in explained.weights:
        at = explained.place_in_ground(place)
        channel = explained.ground.channels[at]
        deviations = means_by_owner(explained.deviations(place), rank_of_cell, count)
        contents = means_by_owner(explained.ground.raw[at], rank_of_cell, count)
        for items, above, content in zip(found, deviations.tolist(), contents.tolist(), strict=True):
            if np.isfinite(above) and np.isfinite(content):
                items.append(
                    {
                        "name": channel.element or channel.name,
                        "value": _told(content),
                        "unit": channel.unit,
                        "deviations": round(above, 2),
                    }
                )
    return [sorted(items, key=lambda item: -item["deviations"])[:_PER_TARGET] for items in found]
