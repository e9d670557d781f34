"""Plain answers that scores have to beat: a distance in geochemistry, and a single layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.evidence.evaluation.figures import Answers, Ranks
from inference.evidence.evaluation.placed import PlacedDeposits
from inference.evidence.types import EvidenceGround

MAHALANOBIS, SINGLE_LAYER, BEST_LAYER = "mahalanobis", "single_layer", "best_layer"
"""Distance on log geochemistry; the layer that the system weighs most; the best of all layers, chosen by the
very deposits it is held against, so that it looks better than whoever has to choose beforehand."""


@dataclass(frozen=True)
class PlainAnswer:
    """A plain answer.

    Attributes:
        key: one of the three above.
        scores: (height, width), higher where ore is likelier; a number on every judged cell.
        note: how it came about.
        is_hindsight: it was chosen by the deposits that it is held against.

    """

    key: str
    scores: NDArray[np.float64]
    note: str
    is_hindsight: bool = False


def plain_answers(
    ground: EvidenceGround,
    elements: Mapping[str, float],
    is_judged: NDArray[np.bool_],
    deposits: PlacedDeposits,
) -> list[PlainAnswer]:
    """The plain answers that the evidence allows.

    Args:
        ground: the evidence.
        elements: of the mineral system, with their weights.
        is_judged: (height, width) cells that scores are ranked on.
        deposits: within the grid; only the choice in hindsight reads them.

    Returns:
        Mahalanobis distance where there is geochemistry; the single layer where the system's elements are
        measured; the best layer where a deposit lies on judged ground.

    """
    found = []
    if ground.places_of("geochemistry"):
        found.append(_mahalanobis(ground, is_judged))
    single = _single_layer(ground, elements, is_judged)
    if single is not None:
        found.append(single)
    best = _best_layer(ground, is_judged, deposits)
    if best is not None:
        found.append(best)
    return found


def mahalanobis(values: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared Mahalanobis distance (height, width) of log contents to their mean over judged cells.

    Args:
        values: (elements, height, width) contents, NaN where nothing is known: such an element says nothing
            there, as if it were at its mean.
        is_judged: (height, width).

    """
    contents = values.astype(np.float64)
    logs = np.full(contents.shape, np.nan)
    for log, content in zip(logs, contents, strict=True):
        above = content[is_judged & (content > 0)]
        # what is not found is not nothing: half the least content that was
        least = above.min() / 2 if above.size else 1.0
        is_known = np.isfinite(content)
        log[is_known] = np.log(np.maximum(content[is_known], least))
    apart = np.zeros_like(logs)
    for log, each in zip(logs, apart, strict=True):
        is_known = np.isfinite(log)
        if (is_known & is_judged).any():
            each[is_known] = log[is_known] - log[is_known & is_judged].mean()
    precision = np.linalg.pinv(np.atleast_2d(np.cov(apart[:, is_judged])))
    flat = apart.reshape(len(apart), -1)
    squared: NDArray[np.float64] = np.einsum("ij,ij->j", flat, precision @ flat)
    return squared.reshape(values.shape[1:])


def filled(values: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A layer (height, width) with its median on judged ground where nothing is known."""
    layer = values.astype(np.float64)
    known = layer[is_judged & np.isfinite(layer)]
    layer[~np.isfinite(layer)] = np.median(known) if known.size else 0.0
    return layer


def _mahalanobis(ground: EvidenceGround, is_judged: NDArray[np.bool_]) -> PlainAnswer:
    places = ground.places_of("geochemistry")
    scores = mahalanobis(ground.raw[places], is_judged)
    note = f"squared distance of {len(places)} log contents to their mean over the judged ground"
    return PlainAnswer(MAHALANOBIS, scores, note)


def _single_layer(
    ground: EvidenceGround, elements: Mapping[str, float], is_judged: NDArray[np.bool_]
) -> PlainAnswer | None:
    measured = [
        (-elements[channel.element], place)
        for place, channel in enumerate(ground.channels)
        if channel.kind == "geochemistry" and channel.element is not None and channel.element in elements
    ]
    if not measured:
        return None
    channel = ground.channels[place := min(measured)[1]]
    note = f"{channel.name}: {channel.element} weighs most in the system among what is measured"
    return PlainAnswer(SINGLE_LAYER, filled(ground.raw[place], is_judged), note)


def _best_layer(
    ground: EvidenceGround, is_judged: NDArray[np.bool_], deposits: PlacedDeposits
) -> PlainAnswer | None:
    counted = deposits.judged(is_judged)
    layers = [place for place, channel in enumerate(ground.channels) if channel.is_stored]
    if not layers or len(counted) == 0:
        return None
    areas = {}
    for place in layers:
        ranks = Ranks.of(filled(ground.raw[place], is_judged), is_judged)
        answers = Answers.of(ranks, counted.rows, counted.cols, counted.shares)
        areas[place] = float(answers.placements.mean())
    best = max(areas, key=lambda place: abs(areas[place] - 0.5))
    sign = 1.0 if areas[best] >= 0.5 else -1.0
    low = "" if sign > 0 else ", low values"
    note = f"{ground.channels[best].name}{low}: the best of {len(layers)} layers by these very deposits"
    return PlainAnswer(BEST_LAYER, sign * filled(ground.raw[best], is_judged), note, is_hindsight=True)
