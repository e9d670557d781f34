"""Scores over the members of a model, and why cells score, by hand on a few cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from inference.evidence.favourability import Favourability, RulePart
from inference.evidence.methods import MethodAnswer
from inference.evidence.mineral_system import GeologyRule, MineralSystem
from inference.evidence.reasons import Explained, cell_reasons, target_evidence
from inference.evidence.scaling import CLIP, centred_log_ratios, positive_contents, robust_scale
from inference.evidence.scores import Scores, score_area, threshold_of
from inference.evidence.trained import EvidenceModel
from inference.evidence.types import EvidenceChannel, EvidenceGround

Floats = NDArray[np.float32]

SIDE = 6
NAN = np.nan
FAULT = GeologyRule("fault", range_m=500.0, weight=1.0)
ROCK = GeologyRule("pluton", match=("peridotite",), range_m=500.0, weight=3.0)
SYSTEM = MineralSystem(
    *("drawn", "Drawn", "For a test.", ("Cr",), {"Cr": 2.0, "Ni": 1.0}, (FAULT, ROCK)), anomaly_share=1.0
)


@dataclass(frozen=True)
class Fixed:
    """A method whose answer is given."""

    answer: MethodAnswer

    def anomaly(self, *_arguments: object) -> MethodAnswer:
        return self.answer


def ground(**contents: Floats) -> EvidenceGround:
    """Contents (SIDE, SIDE) as the evidence of a study area is made of them; the last row is not judged."""
    is_judged = np.ones((SIDE, SIDE), bool)
    is_judged[-1] = False
    raw = np.stack([np.where(is_judged, each, np.float32(NAN)) for each in contents.values()])
    logs = np.stack([np.log(positive_contents(each, is_judged)[0]) for each in raw])
    channels, values = [], []
    for name, ratios in zip(contents, centred_log_ratios(logs), strict=True):
        scale = robust_scale(ratios[np.isfinite(ratios)])
        assert scale is not None
        channels.append(
            EvidenceChannel(name, "geochemistry", name, "ppm", "clr", scale.center, scale.scale, True)
        )
        values.append(np.nan_to_num(scale.apply(ratios)))
    return EvidenceGround(
        *("area", 1, Grid(32645, 500_000.0, 4_000_000.0, 100.0, 100.0, SIDE, SIDE), tuple(channels)),
        *(np.stack(values), raw, np.isfinite(raw), is_judged),
    )


def contents(seed: int = 1) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.lognormal(mean, 0.3, (SIDE, SIDE)).astype(np.float32)
        for name, mean in (("Cr", 6.0), ("Cu", 3.0), ("Ni", 5.0))
    }


def favoured(value: float = 0.5) -> Favourability:
    whole = np.full((SIDE, SIDE), value, np.float32)
    near = RulePart(FAULT, "fault_distance_m", whole, np.full((SIDE, SIDE), 346.0, np.float32), "m")
    inside = replace(near, rule=ROCK, name="pluton_distance_m (peridotite)", found=0 * whole)
    return Favourability(whole, (near, inside), ())


def scored(answers: list[MethodAnswer], area: EvidenceGround, share: float = 1.0) -> Scores:
    members = tuple((seed, Fixed(answer)) for seed, answer in enumerate(answers, 1))
    model = SimpleNamespace(members=members, system=replace(SYSTEM, anomaly_share=share))
    return score_area(cast(EvidenceModel, model), area, favoured(), lambda _line: None)


def rising(area: EvidenceGround, factor: float = 1.0) -> Floats:
    """An anomaly that rises from cell to cell of the judged ground."""
    values = factor * np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    return np.where(area.is_judged, values, np.float32(NAN)).astype(np.float32)


def test_scores_are_means_over_members_with_their_spread() -> None:
    area = ground(**contents())
    found = scored([MethodAnswer(rising(area, factor)) for factor in (1.0, 2.0, 6.0)], area)
    np.testing.assert_allclose(found.anomaly[0, :3], [0, 3, 6])
    spread = float(np.std([1, 2, 6], ddof=1))
    np.testing.assert_allclose(found.anomaly_spread[0, :3], [0.0, spread, 2 * spread], rtol=1e-6)
    # all rank alike, so that their ranks do not differ
    np.testing.assert_allclose(found.prospectivity[0, :2], [0, 1 / 29], rtol=1e-6)
    assert found.prospectivity[4, 5] == 1
    assert not found.prospectivity_spread[:-1].any()
    assert not found.favourability_spread[:-1].any()


def test_members_that_rank_otherwise_spread_the_prospectivity() -> None:
    area = ground(**contents())
    up = rising(area)
    found = scored([MethodAnswer(up), MethodAnswer(29 - up)], area)
    np.testing.assert_allclose(found.prospectivity[:-1], 0.5, atol=1e-6)
    assert found.prospectivity_spread[0, 0] == pytest.approx(np.std([0, 1], ddof=1), abs=1e-6)


def test_one_member_has_no_spread_and_what_is_not_judged_no_score() -> None:
    area = ground(**contents())
    anomaly = rising(area)
    anomaly[0, 0] = NAN
    found = scored([MethodAnswer(anomaly)], area)
    for band in found.bands:
        assert np.isnan(band[-1]).all()
        assert np.isnan(band[0, 0])
        assert np.isfinite(band[:-1].ravel()[1:]).all()
    assert not found.bands[3:, 1:-1].any()


def test_nothing_to_score_is_refused() -> None:
    area = ground(**contents())
    with pytest.raises(UsageError, match="nothing of area area can be scored"):
        scored([MethodAnswer(np.full((SIDE, SIDE), NAN, np.float32))], area)


def test_the_threshold_counts_scored_cells_only() -> None:
    scores = np.full((10, 10), NAN, np.float32)
    scores[:2] = np.arange(20).reshape(2, 10) / 20
    threshold = threshold_of(scores, 0.1)
    assert (scores >= threshold).sum() == 2


def told(area: EvidenceGround, found: Scores, at: tuple[int, int]) -> list[dict[str, Any]]:
    explained = Explained(area, SYSTEM, favoured(), found.excess, found.above, found.expected)
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[at] = True
    return [vars(reason) for reason in cell_reasons(explained, wanted)]


def answer(area: EvidenceGround, cr: float, ni: float, expected: Floats) -> MethodAnswer:
    """An answer with one excess of chromium and of nickel everywhere."""
    excess = np.zeros((3, SIDE, SIDE), np.float32)
    excess[0], excess[2] = cr, ni
    return MethodAnswer(rising(area), excess, expected)


def test_shares_are_those_of_the_anomaly_over_all_members() -> None:
    area = ground(**contents())
    answers = [answer(area, 3.0, 2.0, area.values), answer(area, -1.0, 4.0, area.values)]
    reasons = told(area, scored(answers, area), (2, 2))
    # weights 2 and 1: chromium 2 x (3 + 0) / 2, nickel 1 x (2 + 4) / 2; excess below 0 makes up nothing
    assert [(each["name"], each["share"], each["deviations"]) for each in reasons[:2]] == [
        ("Cr", 0.5, 1.0), ("Ni", 0.5, 3.0)
    ]  # fmt: skip
    assert [(each["name"], each["share"], each["value"]) for each in reasons[2:]] == [
        (ROCK.text, 0.75, 0.0), (FAULT.text, 0.25, 346.0)
    ]  # fmt: skip
    assert [each["place"] for each in reasons] == [1, 2, 3, 4]


@pytest.mark.parametrize("is_extreme", [False, True])
def test_what_was_expected_is_told_in_the_unit_of_the_layer(is_extreme: bool) -> None:
    made = contents()
    if is_extreme:
        made["Cr"][2, 2] *= 1e4  # beyond what scaled values are cut off at
    area = ground(**made)
    z = area.values[0, 2, 2]
    assert (z == CLIP) == is_extreme
    expected = np.zeros_like(area.values)
    reasons = told(area, scored([answer(area, 1.0, 0.0, expected)], area), (2, 2))
    logs = np.log(np.stack(list(made.values()))[:, :-1].astype(np.float64))
    ratios = logs - np.median(logs, axis=(1, 2), keepdims=True)
    ratio = (ratios - ratios.mean(axis=0))[0, 2, 2]
    chromium = area.channels[0]
    content = float(made["Cr"][2, 2]) * np.exp(chromium.center - ratio)
    assert reasons[0]["value"] == pytest.approx(float(made["Cr"][2, 2]), rel=1e-3)
    assert reasons[0]["expected"] == pytest.approx(content, rel=1e-3)
    assert reasons[0]["unit"] == "ppm"


def test_contents_below_detection_do_not_spoil_what_was_expected() -> None:
    made = contents()
    made["Cu"][:4] = 0.0  # most of it: the median is one of those
    made["Cu"][2, 2] = 30.0
    area = ground(**made)
    reasons = told(area, scored([answer(area, 1.0, 0.0, np.zeros_like(area.values))], area), (2, 2))
    assert 10 < reasons[0]["expected"] < 10_000


def test_without_expectations_contents_are_told_and_no_share() -> None:
    area = ground(**contents())
    at = np.unravel_index(int(area.values[0].argmax()), (SIDE, SIDE))
    reasons = told(area, scored([MethodAnswer(rising(area))], area), (int(at[0]), int(at[1])))
    assert reasons[0]["name"] == "Cr"
    assert (reasons[0]["expected"], reasons[0]["share"]) == (None, None)
    assert reasons[0]["deviations"] == pytest.approx(float(area.values[0].max()), rel=1e-3)


def test_targets_are_told_the_mean_of_their_cells() -> None:
    area = ground(**contents())
    found = scored([answer(area, 3.0, 4.0, area.values)], area)
    explained = Explained(area, SYSTEM, favoured(), found.excess, found.above, found.expected)
    owner = np.zeros((SIDE, SIDE), np.int32)
    owner[1, 1:3] = 1
    (items,) = target_evidence(explained, owner, 1)
    assert [(item["name"], item["deviations"]) for item in items] == [("Ni", 4.0), ("Cr", 3.0)]
    assert items[1]["value"] == pytest.approx(float(area.raw[0, 1, 1:3].mean()), rel=1e-3)


def test_ties_do_not_make_half_of_the_ground_a_target() -> None:
    scores = np.full((10, 10), 0.5, np.float32)
    scores[0, :3] = 0.9
    assert (scores >= threshold_of(scores, 0.05)).sum() == 3, "the next higher score"
    alike = np.full((10, 10), 0.5, np.float32)
    assert not (alike >= threshold_of(alike, 0.05)).any()
    scores[1, :7] = 0.6
    assert (scores >= threshold_of(scores, 0.06)).sum() == 10, "less than twice the share is taken"
