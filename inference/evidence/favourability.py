"""Favourability: how near each cell lies to the geology that a mineral system asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.errors import UsageError
from inference.evidence.mapped import FAR_M, feature_distance, rule_distance_name
from inference.evidence.mineral_system import GeologyRule, MineralSystem
from inference.evidence.scaling import ranks, robust_scale
from inference.evidence.types import EvidenceGround, Report, silent

STEP = 1e-4
"""Values of a layer that differ by less than this share of their deviation have the same rank."""


@dataclass(frozen=True)
class RulePart:
    """What one rule says.

    Attributes:
        rule: the rule.
        name: of what it is about: a channel of distances, or layers.
        value: (height, width) float32, 0..1; NaN where it says nothing.
        found: (height, width) float32 that it goes by: distance, m, or what the layer holds; the mean of
            their ranks of several layers.
        unit: of ``found``; None: it has none, or nobody said.

    """

    rule: GeologyRule
    name: str
    value: NDArray[np.float32]
    found: NDArray[np.float32]
    unit: str | None


@dataclass(frozen=True)
class Favourability:
    """F of a study area.

    Attributes:
        value: (height, width) float32, 0..1; NaN off judged ground, and where no rule says anything.
        parts: of the rules that could be computed, in the order of the system.
        notes: rules that could not be.

    """

    value: NDArray[np.float32]
    parts: tuple[RulePart, ...]
    notes: tuple[str, ...]

    def shares(self, row: int, col: int) -> list[float]:
        """Share of each part in a cell's favourability, 0..1; all 0 where that is 0 or not known."""
        told = [part.rule.weight * float(part.value[row, col]) for part in self.parts]
        told = [0.0 if np.isnan(each) else each for each in told]
        total = sum(told)
        return [each / total if total > 0 else 0.0 for each in told]


def favourability(conn: Connection[Any], ground: EvidenceGround, system: MineralSystem) -> Favourability:
    """Favourability of a study area: mean of what the rules of a system say, by their weights.

    A rule about features is exp(-distance / range), 1 inside; without a range 1 inside and 0 elsewhere. A
    rule about a layer is the rank of its value on judged ground, 0..1, or 1 less that where low values count.
    Where a layer holds nothing the other rules count alone.

    Args:
        conn: connection.
        ground: the evidence; distances that are among its channels are not computed again.
        system: the rules.

    Raises:
        UsageError: none of the rules can be computed: nothing of what they are about is mapped.

    """
    parts: list[RulePart] = []
    notes: list[str] = []
    for rule in system.geology:
        part = _layer_part(ground, rule) if rule.feature == "layer" else _feature_part(conn, ground, rule)
        if isinstance(part, RulePart):
            parts.append(part)
        else:
            notes.append(f"{rule.text}: {part}")
    if not parts:
        raise UsageError(
            f"no rule of {system.name} can be applied to {ground.area}:\n"
            + "\n".join(f"- {note}" for note in notes)
            + "\nBring what is mapped there with `lode ingest faults`, `plutons` or `lithology`, or name "
            "layers of the area in a system of your own (`lode system export`, `lode system import`)"
        )
    weights = np.zeros(ground.is_judged.shape)
    sums = np.zeros(ground.is_judged.shape)
    for part in parts:
        is_told = np.isfinite(part.value)
        weights += part.rule.weight * is_told
        sums += part.rule.weight * np.where(is_told, part.value, 0.0)
    is_known = ground.is_judged & (weights > 0)
    value = np.where(is_known, sums / np.where(weights > 0, weights, 1.0), np.nan)
    return Favourability(value.astype(np.float32), tuple(parts), tuple(notes))


def unmet_rules(
    conn: Connection[Any], ground: EvidenceGround, system: MineralSystem, report: Report = silent
) -> list[str]:
    """Why a study area has no favourability, to be told before hours of training; nothing where it has.

    Args:
        conn: connection.
        ground: the evidence.
        system: the rules.
        report: hears which rules are left out.

    """
    try:
        found = favourability(conn, ground, system)
    except UsageError as error:
        return [str(error)]
    for note in found.notes:
        report(f"favourability: {note}")
    return []


def _feature_part(conn: Connection[Any], ground: EvidenceGround, rule: GeologyRule) -> RulePart | str:
    """What a rule about features says, or why it says nothing."""
    name = rule_distance_name(rule)
    distance = _known_distance(ground, name)
    if distance is None:
        found = feature_distance(conn, ground.grid, rule.feature, rule.match)
        if found is None:
            return f"none is mapped within {FAR_M / 1000:g} km, so that the rule is left out"
        distance = np.where(ground.is_judged, found.distance_m, np.float32(np.nan))
    if rule.range_m is None:
        value = np.where(np.isnan(distance), np.nan, distance <= 0).astype(np.float32)
    else:
        value = np.exp(-distance.astype(np.float64) / rule.range_m).astype(np.float32)
    return RulePart(rule, name, value, distance, "m")


def _known_distance(ground: EvidenceGround, name: str) -> NDArray[np.float32] | None:
    """Distances that are a channel of the ground, computed from what is mapped and not stored as a layer."""
    for place, channel in enumerate(ground.channels):
        if channel.name == name and not channel.is_stored:
            distance: NDArray[np.float32] = ground.raw[place]
            return distance
    return None


def _layer_part(ground: EvidenceGround, rule: GeologyRule) -> RulePart | str:
    """What a rule about layers says, or why it says nothing."""
    places = [place for place, channel in enumerate(ground.channels) if _is_meant(rule, channel.name)]
    places = [place for place in places if ground.channels[place].is_stored]
    if rule.name is None:  # words name geology and surveys; an element's name is never meant by them
        places = [place for place in places if ground.channels[place].kind != "geochemistry"]
    if not places:
        return "the area has no such layer, so that the rule is left out"
    ranked = np.full((len(places), *ground.is_judged.shape), np.nan)
    for rank, place in zip(ranked, places, strict=True):
        is_known = ground.is_known[place]
        rank[is_known] = ranks(_without_noise(ground.raw[place][is_known]))
    is_known = np.isfinite(ranked)
    count = is_known.sum(axis=0)
    mean = np.where(count > 0, np.where(is_known, ranked, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    value = (mean if rule.direction == "high" else 1 - mean).astype(np.float32)
    name = ", ".join(ground.channels[place].name for place in places)
    if len(places) > 1:
        return RulePart(rule, name, value, mean.astype(np.float32), None)
    return RulePart(rule, name, value, ground.raw[places[0]], ground.channels[places[0]].unit)


def _without_noise(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values (n,) in steps: where a map was interpolated, 0 is 0 but for rounding, which has no ranks."""
    scale = robust_scale(values)
    if scale is None:
        return np.zeros(values.shape)
    steps: NDArray[np.float64] = np.round((values.astype(np.float64) - scale.center) / scale.scale / STEP)
    return steps


def _is_meant(rule: GeologyRule, name: str) -> bool:
    if rule.name is not None:
        return name.casefold() == rule.name.casefold()
    return any(word.casefold() in name.casefold() for word in rule.match)
