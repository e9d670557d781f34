"""`lode experiment prospectivity`: figures worked out by hand, and what is said of made-up ones."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from demo.evidence_experiment import run_experiment, survey_system
from inference.evidence.evaluation.judging import ABOVE, NOT_ABOVE, NOT_SHOWN
from inference.evidence.experiment.findings import findings_of, verdict_of
from inference.evidence.experiment.judged import JudgedPart, PlantedPlaces, judge
from inference.evidence.experiment.plan import ABLATIONS, LABELS, MAIN, PRESETS, preset_by_name
from inference.evidence.experiment.running import MethodScores
from inference.evidence.experiment.table import area_text, as_csv, as_markdown
from inference.evidence.mineral_system import builtin_systems, parse_system, to_toml
from inference.evidence.types import METHODS, NETWORKS

SIDE = 40
GRID = Grid(32650, 0.0, SIDE * 500.0, 500.0, 500.0, SIDE, SIDE)
DEPOSITS = [(5, 5), (5, 20), (5, 35), (30, 5), (30, 20), (30, 35)]
BARREN = [(15, 10), (15, 25)]
DECOYS = [(20, 10)]
UNKNOWN = (0, 39)


def scores_of(**cells: float) -> NDArray[np.float32]:
    """Scores of 0, others in the cells of deposits, barren places and decoys."""
    found = np.zeros((SIDE, SIDE), np.float32)
    for row, col in DEPOSITS:
        found[row, col] = cells.get("deposits", 0.0)
    for row, col in BARREN[:1]:
        found[row, col] = cells.get("first_barren", 0.0)
    for row, col in DECOYS:
        found[row, col] = cells.get("decoys", 0.0)
    return found


def method(*seeds: NDArray[np.float32]) -> MethodScores:
    """A method whose anomaly is its prospectivity."""
    stack = np.stack(seeds)
    return MethodScores("made up", 1, 0.0, stack, stack, [None] * len(seeds))


@pytest.fixture(scope="module")
def judged() -> JudgedPart:
    flat = scores_of()
    flat[UNKNOWN] = np.nan
    methods = {
        # in the second seed all cells are equal
        MAIN: method(scores_of(deposits=1.0, first_barren=1.0, decoys=0.5), scores_of()),
        "mahalanobis": method(flat),
    }
    rows, cols = np.array(DEPOSITS).T
    points = ((cols + 0.5) * 500.0, (SIDE - rows - 0.5) * 500.0)
    planted = PlantedPlaces(np.array(BARREN), np.array(DECOYS), np.zeros((SIDE, SIDE), np.float32))
    others = {"favourability alone": scores_of(deposits=1.0).astype(float)}
    return judge("simulated", GRID, methods, points, others, planted)


def row_of(judged: JudgedPart, name: str, score: str) -> dict[str, Any]:
    [row] = [row for row in judged.rows if (row["method"], row["score"]) == (name, score)]
    return row


def test_areas_are_the_mean_over_seeds_on_cells_that_all_methods_score(judged: JudgedPart) -> None:
    assert judged.counts == {"deposits": 6, "places": 6, "cells": SIDE**2 - 1}
    rest = SIDE**2 - 1 - len(DEPOSITS)
    # a deposit shares its score with one barren cell, which counts half
    first = 1 - 0.5 / rest
    for score in "SA":
        area = row_of(judged, MAIN, score)["roc_auc"]
        assert area["seeds"] == pytest.approx([first, 0.5])
        assert area["mean"] == pytest.approx((first + 0.5) / 2)
        assert area["spread"] == pytest.approx((first - 0.5) / np.sqrt(2))
        assert area["low"] == area["high"] == pytest.approx(area["mean"]), "all deposits are ranked alike"
    plain = row_of(judged, "mahalanobis", "A")["roc_auc"]
    assert (plain["mean"], plain["spread"]) == (pytest.approx(0.5), None)
    assert row_of(judged, "favourability alone", "")["roc_auc"]["mean"] == pytest.approx(1.0)


def test_captures_and_density_are_those_of_the_mean_score(judged: JudgedPart) -> None:
    row = row_of(judged, MAIN, "S")
    # six deposits and a barren cell are the best 7 of 1599 cells
    assert row["capture_1"]["value"] == pytest.approx(1.0)
    assert row["density"]["value"] > 50
    flat = row_of(judged, "mahalanobis", "S")
    assert flat["capture_10"]["value"] == pytest.approx(0.1)
    assert flat["density"]["value"] == pytest.approx(1.0)
    assert row["null_p"] < 0.05 < flat["null_p"]


def test_differences_pair_the_deposits(judged: JudgedPart) -> None:
    assert [(each["minus"], each["score"], each["minus_score"]) for each in judged.differences] == [
        ("mahalanobis", "S", "S"),
        ("mahalanobis", "A", "A"),
        ("mahalanobis", "S", "A"),
    ]
    expected = row_of(judged, MAIN, "S")["roc_auc"]["mean"] - 0.5
    for each in judged.differences:
        assert each["value"] == pytest.approx(expected)
        assert verdict_of(each) == ABOVE


def test_ore_is_held_against_barren_places_and_decoys(judged: JudgedPart) -> None:
    found = {(each["method"], each["against"], each["score"]): each["value"] for each in judged.planted}
    # first seed: equal to one barren place and above the other; second: equal to both
    assert found[MAIN, "barren", "S"] == pytest.approx((0.75 + 0.5) / 2)
    assert found[MAIN, "decoys", "S"] == pytest.approx((1.0 + 0.5) / 2)
    assert found["mahalanobis", "decoys", "A"] == pytest.approx(0.5)


def made_result(areas: dict[tuple[str, str, str], float], half: float = 0.01) -> dict[str, Any]:
    """A result with areas under ROC by data, method and score; intervals reach ``half`` far."""
    figures = {name: {"value": 0.25} for name in ("capture_1", "capture_5", "capture_10", "capture_20")}
    rows = [
        {
            "data": data, "method": name, "label": LABELS[name], "score": score, **figures,
            "density": {"value": 1.5}, "null_p": 0.004,
            "roc_auc": {
                "mean": area, "spread": 0.002, "low": area - half, "high": area + half, "seeds": [area],
            },
        }
        for (data, name, score), area in areas.items()
    ]  # fmt: skip
    differences = []
    for (data, name, score), area in areas.items():
        if name != MAIN:
            apart = areas[data, MAIN, score] - area
            ends = {"value": apart, "low": apart - half, "high": apart + half}
            about = {"data": data, "score": score, "minus": name, "minus_score": score}
            differences.append({**about, **ends})
    planted = [
        {"data": "simulated", "method": name, "score": "S", "against": against, "value": value}
        for name, against, value in (
            (MAIN, "barren", 0.91), (MAIN, "decoys", 0.92),
            ("mahalanobis", "barren", 0.61), ("mahalanobis", "decoys", 0.62),
        )
    ]  # fmt: skip
    about = {"deposits": 6, "places": 6, "cells": 1599, "channels": 20, "seeds": 5}
    parts = {data: {"ground": data.upper(), **about} for data in dict.fromkeys(key[0] for key in areas)}
    result: dict[str, Any] = {
        "preset": "small", "skipped": ["real: no such folder"], "parts": parts, "rows": rows,
        "differences": differences, "planted": planted if "simulated" in parts else [],
    }  # fmt: skip
    return result | {"findings": findings_of(result)}


AREAS = {
    **{("simulated", name, score): 0.8 for name in METHODS for score in "SA"},
    **{("simulated", MAIN, score): 0.9 for score in "SA"},
    ("simulated", "vit_no_fusion", "S"): 0.895,
    ("simulated", "vit_no_geology", "S"): 0.93,
    **{("real", name, score): 0.9 for name in METHODS for score in "SA"},
    ("real", "mahalanobis", "A"): 0.931,
    ("real", "mahalanobis", "S"): 0.8,
    ("real", "single_layer", "A"): 0.895,
    ("real", "single_layer", "S"): 0.7,
}


def test_what_was_missed_on_real_ground_comes_first() -> None:
    found = made_result(AREAS)["findings"]
    assert found[0].startswith(
        "REAL (real): the anomaly of the ViT is NOT above the anomaly by Mahalanobis distance"
    )
    assert "ROC-AUC 0.900 and 0.931, difference -0.031 (-0.041 to -0.021)" in found[0]
    verdicts = [
        next(word for word in (NOT_ABOVE, NOT_SHOWN, ABOVE) if f"is {word} " in said) for said in found[:4]
    ]
    assert verdicts == [NOT_ABOVE, ABOVE, NOT_SHOWN, ABOVE], "Mahalanobis distance before the single layer"


def test_the_ablations_are_told_of_simulated_ground_with_the_number_of_seeds() -> None:
    found = [
        said for said in made_result(AREAS)["findings"] if said.startswith("Simulated province, mean of 5")
    ]
    assert len(found) == len(ABLATIONS)
    assert f"the full model is {NOT_SHOWN} the ViT without fusion: ROC-AUC 0.900 and 0.895" in found[0]
    assert f"the full model is {NOT_ABOVE} the ViT without geology: ROC-AUC 0.900 and 0.930" in found[1]


def test_planted_places_are_told_of_where_there_are_some() -> None:
    text = " ".join(made_result(AREAS)["findings"])
    assert (
        "above favourable geology without a halo with ROC-AUC 0.910, Mahalanobis distance with 0.610" in text
    )
    assert "above decoys, halos off favourable geology with ROC-AUC 0.920" in text
    real = made_result({key: area for key, area in AREAS.items() if key[0] == "real"})["findings"]
    assert not any("Simulated" in said for said in real)


def test_the_report_begins_with_the_findings_and_each_line_says_which_data() -> None:
    result = made_result(AREAS)
    lines = as_markdown(result).splitlines()
    assert lines[2] == f"- {result['findings'][0]}"
    assert "- Left out: real: no such folder" in lines
    table = [line for line in lines if line.startswith(("| simulated |", "| real |"))]
    scored = [line for line in table if "± 0.002" in line]
    assert len(scored) == 2 * 2 * len(METHODS)
    area, captures = "0.931 ± 0.002 (0.921-0.941)", " | ".join(["25%"] * 4)
    assert f"| real | Mahalanobis distance | A | {area} | {captures} | 1.50 | 0.004 |" in scored
    differences = [line for line in table if line.endswith("above |")]
    assert "| real | A | A of Mahalanobis distance | -0.031 | -0.041 to -0.021 | NOT above |" in differences
    assert len(differences) == 2 * 2 * (len(METHODS) - 1)
    assert "| simulated | Mahalanobis distance | 0.610 | 0.620 | - | - |" in lines


def test_the_csv_has_a_line_for_each_method_and_score() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(made_result(AREAS)))))
    assert len(rows) == len(AREAS)
    [row] = [
        each for each in rows if (each["data"], each["method"], each["score"]) == ("real", "mahalanobis", "A")
    ]
    assert (row["roc_auc"], row["low"], row["capture_10"], row["seed_values"]) == (
        "0.9310",
        "0.9210",
        "0.2500",
        "0.9310",
    )


def test_an_area_without_seeds_or_interval_is_told_alone() -> None:
    assert area_text({"mean": 0.5, "spread": None, "low": None, "high": None}) == "0.500"


def test_all_methods_are_compared_and_all_networks_have_one_budget() -> None:
    assert list(LABELS) == list(METHODS)
    assert len(set(LABELS.values())) == len(METHODS)
    for preset in PRESETS.values():
        budgets = [{**preset.settings_of(name).as_json(), "method": ""} for name in NETWORKS]
        assert all(budget == budgets[0] for budget in budgets)
    assert (PRESETS["small"].seeds, PRESETS["small"].real_seeds) == (5, 3)


def test_unknown_presets_and_parts_are_named(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="'huge': choose one of tiny, small, full"):
        preset_by_name("huge")
    with pytest.raises(UsageError, match="--part moon: choose simulated or real"):
        run_experiment(tmp_path, preset_name="tiny", parts=["moon"], device_name="cpu")


def test_the_system_of_the_survey_takes_surfaces_and_the_elements_of_the_known_one() -> None:
    system = survey_system()
    known = builtin_systems()["lithium_pegmatite"]
    assert system.elements == known.elements
    assert [(rule.feature, rule.name, rule.direction) for rule in system.geology] == [
        ("layer", "Granite", "high"),
        ("layer", "Faults", "high"),
    ]
    assert parse_system(to_toml(system), "exported").digest == system.digest
