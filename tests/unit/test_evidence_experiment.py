"""Words and tables of the comparison of methods that look for ore without labels, on made-up figures."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from db.raster import Grid
from inference.evidence.experiment.findings import findings_of, verdict_of
from inference.evidence.experiment.judged import PlantedPlaces, judge
from inference.evidence.experiment.plan import LABELS, PRESETS, preset_by_name
from inference.evidence.experiment.running import MethodScores
from inference.evidence.experiment.table import as_csv, as_markdown

SIDE = 40
GRID = Grid(32650, 500_000.0, 3_000_000.0, 500.0, 500.0, SIDE, SIDE)
ORE = [(5, 5), (5, 30), (15, 18), (25, 6), (30, 30), (35, 15)]
BARREN = np.array([(10, 10), (20, 30), (32, 22)])
DECOYS = np.array([(12, 25), (22, 12), (36, 35)])


def _scores(strength: float, seeds: int = 2) -> MethodScores:
    """Scores in which ore stands out by a strength, 0: not at all."""
    found = []
    for seed in range(seeds):
        scores = np.random.default_rng(seed).random((SIDE, SIDE)).astype(np.float32)
        for row, col in ORE:
            scores[row, col] += np.float32(strength)
        found.append(scores)
    return MethodScores("m", 1, 1.0, np.stack(found), np.stack(found), [0.5] * seeds)


def _points() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    cells = np.array(ORE, float)
    return 500_000.0 + (cells[:, 1] + 0.5) * 500, 3_000_000.0 - (cells[:, 0] + 0.5) * 500


def _judged(main: float, others: float) -> dict[str, Any]:
    """The result of an experiment in which the ViT tells ore by ``main``, all else by ``others``."""
    methods = {method: _scores(main if method == "vit" else others) for method in LABELS}
    planted = PlantedPlaces(BARREN, DECOYS, np.zeros((SIDE, SIDE), np.float32))
    extra = {"favourability alone": np.random.default_rng(9).random((SIDE, SIDE))}
    result: dict[str, Any] = {"skipped": [], "parts": {}, "rows": [], "differences": [], "planted": []}
    for part in ("simulated", "real"):
        found = judge(
            part, GRID, methods, _points(), extra, planted if part == "simulated" else None, shifts=19
        )
        result["rows"] += found.rows
        result["differences"] += found.differences
        result["planted"] += found.planted
        result["parts"][part] = {"ground": f"Ground {part}", "seeds": 2, "channels": 9, **found.counts}
    result["findings"] = findings_of(result)
    return result


@pytest.fixture(scope="module")
def beaten() -> dict[str, Any]:
    return _judged(0.0, 2.0)


@pytest.fixture(scope="module")
def winning() -> dict[str, Any]:
    return _judged(2.0, 0.0)


def test_a_plain_answer_that_is_not_beaten_is_said_first(beaten: dict[str, Any]) -> None:
    first = beaten["findings"][0]
    assert "Ground real" in first
    assert "NOT above" in first
    assert "Mahalanobis distance" in first
    markdown = as_markdown(beaten)
    assert markdown.splitlines()[2] == f"- {first}"


def test_ablations_are_told_in_the_mean_of_the_seeds(beaten: dict[str, Any], winning: dict[str, Any]) -> None:
    for result, word in ((beaten, "NOT above"), (winning, "above")):
        told = [sentence for sentence in result["findings"] if "mean of 2 seeds" in sentence]
        assert len(told) == 2
        assert all(f"the full model is {word} the ViT without" in sentence for sentence in told)


def test_scores_that_tell_ore_perfectly_have_an_area_of_one(winning: dict[str, Any]) -> None:
    [row] = [
        each
        for each in winning["rows"]
        if (each["data"], each["method"], each["score"]) == ("real", "vit", "S")
    ]
    assert row["roc_auc"]["mean"] == pytest.approx(1)
    assert row["roc_auc"]["seeds"] == pytest.approx([1, 1])
    assert row["capture_1"]["value"] == pytest.approx(1)
    above = {
        each["against"]: each["value"]
        for each in winning["planted"]
        if (each["method"], each["score"]) == ("vit", "S")
    }
    assert above == pytest.approx({"barren": 1.0, "decoys": 1.0})


def test_every_method_and_score_has_a_line_with_its_data(winning: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(winning))))
    assert {(row["data"], row["method"], row["score"]) for row in rows} >= {
        (part, method, score) for part in ("simulated", "real") for method in LABELS for score in "SA"
    }
    assert all(row["low"] for row in rows if row["score"]), "six deposits are places enough"
    table = [line for line in as_markdown(winning).splitlines() if line.startswith("| real |")]
    assert len(table) == 2 * len(LABELS) + 1 + 2 * (len(LABELS) - 1)


@pytest.mark.parametrize(
    ("value", "low", "verdict"),
    [
        (0.1, 0.01, "above"),
        (0.1, -0.01, "not shown to be above"),
        (0.1, None, "not shown to be above"),
        (0.0, None, "NOT above"),
        (-0.1, -0.2, "NOT above"),
    ],
)
def test_verdicts(value: float, low: float | None, verdict: str) -> None:
    assert verdict_of({"value": value, "low": low}) == verdict


def test_presets_hold_settings_that_every_method_takes() -> None:
    for preset in PRESETS.values():
        for method in LABELS:
            assert preset.settings_of(method).method == method
    with pytest.raises(UsageError, match="large"):
        preset_by_name("large")
