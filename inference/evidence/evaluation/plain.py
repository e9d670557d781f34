"""Plain answers that scores have to beat: a distance in geochemistry, and a single layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.evaluation.figures import Answers, Ranks
from inference.evidence.evaluation.placed import PlacedDeposits
from inference.evidence.methods.mahalanobis import fit_mahalanobis
from inference.evidence.methods.single_layer import fit_single_layer
from inference.evidence.mineral_system import MineralSystem
from inference.evidence.types import EvidenceGround, EvidenceSettings, Report, silent

MAHALANOBIS, SINGLE_LAYER, BEST_LAYER = "mahalanobis", "single_layer", "best_layer"
"""Distance on log geochemistry; the layer that the system weighs most; the best of all layers, chosen by the
very deposits it is held against, so that it looks better than whoever has to choose beforehand."""

LOW = ", low values"


@dataclass(frozen=True)
class PlainAnswer:
    """A plain answer.

    Attributes:
        key: one of the three above.
        scores: (height, width), higher where ore is likelier; a number on every judged cell.
        note: how it came about.
        layer: it goes by, with ", low values" where those are taken; None: by all elements.
        is_hindsight: it was chosen by the deposits that it is held against.

    """

    key: str
    scores: NDArray[np.float64]
    note: str
    layer: str | None = None
    is_hindsight: bool = False


def plain_answers(
    ground: EvidenceGround,
    system: MineralSystem,
    is_judged: NDArray[np.bool_],
    deposits: PlacedDeposits,
    report: Report = silent,
) -> list[PlainAnswer]:
    """The plain answers that the evidence allows, none of them given the mapped geology.

    Args:
        ground: the evidence.
        system: of the search.
        is_judged: (height, width) cells that scores are ranked on.
        deposits: within the grid; only the choice in hindsight reads them.
        report: hears which answer cannot be given, and why.

    Returns:
        Mahalanobis distance where there is geochemistry; the single layer where the system's elements are
        measured; the best of the stored layers where a deposit lies on judged ground.

    """
    found = []
    settings = EvidenceSettings()
    try:
        distance = fit_mahalanobis(ground, settings)
        scores = filled(distance.anomaly(ground, system).anomaly, is_judged)
        note = f"distance of {distance.facts['elements']} log contents to their mean over the ground"
        found.append(PlainAnswer(MAHALANOBIS, scores, note))
    except UsageError as error:
        report(f"no Mahalanobis distance: {error}")
    try:
        single = fit_single_layer(ground, system, settings)
        scores = filled(single.anomaly(ground, system).anomaly, is_judged)
        note = f"{single.layer}: of the system's elements that are measured the one of most weight"
        found.append(PlainAnswer(SINGLE_LAYER, scores, note, single.layer))
    except UsageError as error:
        report(f"no single layer: {error}")
    best = best_layer(ground, is_judged, deposits)
    return found if best is None else [*found, best]


def filled(values: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A layer (height, width) with its median on judged ground where nothing is known."""
    layer = values.astype(np.float64)
    known = layer[is_judged & np.isfinite(layer)]
    layer[~np.isfinite(layer)] = np.median(known) if known.size else 0.0
    return layer


def best_layer(
    ground: EvidenceGround, is_judged: NDArray[np.bool_], deposits: PlacedDeposits
) -> PlainAnswer | None:
    """The stored layer, high or low, that ranks the deposits highest; None where none can be held to them."""
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
    layer = ground.channels[best].name + ("" if sign > 0 else LOW)
    note = f"{layer}: the best of {len(layers)} layers by these very deposits"
    return PlainAnswer(BEST_LAYER, sign * filled(ground.raw[best], is_judged), note, layer, is_hindsight=True)
