"""`lode experiment geology`: the plan, the figures that are its own, and the words it finds for them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from sklearn.metrics import roc_auc_score

from db.errors import UsageError
from db.raster import Grid
from demo import geology_experiment
from inference.prospect.cells import Cells
from inference.prospect.experiment.figure import experiment_figure
from inference.prospect.experiment.findings import findings
from inference.prospect.experiment.plan import BARE, MAIN, PRESETS, SIMULATED_ROWS, model_name, preset_by_name
from inference.prospect.experiment.rows import ends_of, mean_interval, over_seeds
from inference.prospect.experiment.simulated import Planted, decoy_patches, near, shares_found
from inference.prospect.experiment.survey import corner_cells, mahalanobis, placements
from inference.prospect.experiment.table import COLUMNS, csv_text, markdown
from inference.training.blocks import TEST
from tests.unit.prospect_patches import PATCH_PX, drawn_set

GRID = Grid(32650, 500_000.0, 3_000_000.0, 1000.0, 1000.0, 6, 5)


def figure(mean: float, spread: float | None = 0.01, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "spread": spread, "values": [mean], "low": mean - 0.1, "high": mean + 0.1, **more}


def planted(data: str, with_geology: float = 0.9, without: float = 0.6) -> dict[str, Any]:
    rows = [
        {
            "data": data,
            "network": name,
            **{each: figure(0.8 if name == MAIN else 0.7) for each in COLUMNS},
            "decoys": {
                kind: {
                    "mean_probability": figure(0.4),
                    "called": figure(0.3),
                    "patches": 12.0,
                    **({} if kind == "ore" else {"roc_auc": figure(auc)}),
                }
                for kind in ("ore", "A", "B")
            },
        }
        for name, auc in ((MAIN, with_geology), (BARE, without))
    ]
    return {
        "rows": rows,
        "differences": [{"minus": BARE, "roc_auc": {"value": 0.1, "low": 0.02, "high": 0.2}}],
        "importance": {"model": "m", "channels": [{"name": "fault_distance_m", "roc_auc_drop": 0.2}]},
    }


def simulated(without: float = 0.6) -> dict[str, Any]:
    top = {share: {"value": 0.5, "low": 0.2, "high": 0.8} for share in ("0.01", "0.05", "0.1", "0.2")}
    transfer = [
        {"data": "simulated", "network": MAIN, "deposits": 20, "top": top},
        {"data": "simulated", "network": BARE, "refused": "wavelengths are missing"},
    ]
    return {**planted("simulated", without=without), "transfer": transfer}


def real(main: float) -> dict[str, Any]:
    common = {"data": "real", "test": "south", "deposits": 6, "deposits_of_training": 17}
    each = {MAIN: main, "best single layer": 0.9, "mahalanobis": 0.93}
    rows = [{**common, "network": name, "roc_auc": figure(auc)} for name, auc in each.items()]
    rows.append({**common, "network": "layer Be", "is_hindsight": True, "roc_auc": figure(0.99)})
    apart = {"value": main - 0.93, "low": -0.2, "high": 0.1}
    return {"rows": rows, "differences": [{"test": "south", "minus": "mahalanobis", "roc_auc": apart}]}


def result(**parts: Any) -> dict[str, Any]:
    every = {"preset": "tiny", "simulated": None, "implanted": None, "real": None, "skipped": [], **parts}
    return {**every, "findings": findings(every)}


def test_the_first_seed_tries_the_grid_and_the_others_take_what_it_chose() -> None:
    preset = PRESETS["small"]
    row = next(each for each in SIMULATED_ROWS if each.name == "gcn with batch norm")
    later = preset.settings(row, 3, {"width": 64, "learning_rate": 3e-3, "epochs": 7})
    assert (later.width, later.learning_rate, later.seed, later.epochs) == (64, 3e-3, 3, preset.epochs)
    assert later.options == {"batch_norm": True}
    plain = preset.settings(next(each for each in SIMULATED_ROWS if each.name == "svm"), 1, None)
    assert plain.as_json() == {"network": "svm", "options": {}, "seed": 1}
    with pytest.raises(UsageError, match="choose one of tiny, small, full"):
        preset_by_name("large")


def test_another_plan_or_set_gives_another_name() -> None:
    preset = PRESETS["tiny"]
    row, bare = SIMULATED_ROWS[0], SIMULATED_ROWS[1]
    settings = preset.settings(row, 1, None)
    names = {
        model_name("simulated", row, settings, preset.grid, "a"),
        model_name("simulated", row, settings, preset.grid, "b"),
        model_name("simulated", row, settings, None, "a"),
        model_name("simulated", row, replace(settings, epochs=9), preset.grid, "a"),
        model_name("simulated", replace(bare, name=row.name), settings, preset.grid, "a"),
    }
    assert len(names) == 5
    assert model_name("simulated", row, settings, preset.grid, "a") in names
    assert max(len(name) for name in names) < 100


def test_placements_average_to_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 20, (30, 40)).astype(float)
    is_rest = rng.random((30, 40)) < 0.7
    at = rng.integers(5, 25, 9).astype(float)
    truth = np.repeat([True, False], [9, int(is_rest.sum())])
    expected = roc_auc_score(truth, np.concatenate([at, scores[is_rest]]))
    assert placements(scores, is_rest, at).mean() == pytest.approx(expected, abs=1e-12)


def test_a_deposit_on_a_corner_has_the_four_cells_around_it() -> None:
    rows, cols = corner_cells(GRID, np.array([502_000.0]), np.array([2_997_000.0]))
    assert sorted(zip(rows[0].tolist(), cols[0].tolist(), strict=True)) == [(2, 1), (2, 2), (3, 1), (3, 2)]
    rows, cols = corner_cells(GRID, np.array([500_100.0]), np.array([2_999_900.0]))
    assert set(zip(rows[0].tolist(), cols[0].tolist(), strict=True)) == {(0, 0)}


def test_mahalanobis_is_the_distance_in_deviations_of_the_fitted_cells() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((3, 20, 20)) * np.array([1, 10, 100])[:, None, None]
    is_fitted = np.ones((20, 20), bool)
    is_fitted[0] = False
    values[:, 0, 0] = np.nan
    found = mahalanobis(values, is_fitted)
    known = values[:, is_fitted]
    apart = values[:, 7, 7] - known.mean(axis=1)
    assert found[7, 7] == pytest.approx(apart @ np.linalg.solve(np.cov(known), apart))
    # each cell's values count as many deviations as the layers are many
    assert found[is_fitted].mean() == pytest.approx(3, rel=0.01)
    assert np.isfinite(found).all()


def test_shares_of_deposits_in_the_best_ground_and_none_for_a_constant_answer() -> None:
    grid = Grid(32645, 0.0, 1000.0, 100.0, 100.0, 10, 10)
    probability = np.linspace(1, 0, 100, dtype=np.float32).reshape(10, 10)
    x, y = np.array([50.0, 450.0, 950.0, -50.0]), np.array([950.0, 950.0, 50.0, 950.0])
    found = shares_found(Cells(grid, 5, probability), x, y, np.array([1, 1, 2, 3]))
    assert (found["deposits"], found["unscored"]) == (3, 1)
    shares = {share: each["value"] for share, each in found["top"].items()}
    assert shares == pytest.approx({"0.01": 1 / 3, "0.05": 2 / 3, "0.1": 2 / 3, "0.2": 2 / 3})
    flat = shares_found(Cells(grid, 5, np.full((10, 10), 0.5, np.float32)), x, y, np.array([1, 1, 2, 3]))
    assert all(each["value"] == 0 for each in flat["top"].values())


def test_decoys_are_asked_for_on_test_ground_away_from_ore() -> None:
    patches = drawn_set()
    grid = patches.ground.grid
    first = int(np.flatnonzero((patches.parts == TEST) & ~patches.is_positive)[4])

    def square(place: int) -> shapely.Polygon:
        row, col = int(patches.rows[place]), int(patches.cols[place])
        west, north = grid.origin_x + col * grid.resolution_x, grid.origin_y - row * grid.resolution_y
        edge = PATCH_PX * grid.resolution_x
        return shapely.box(west + 1, north - edge + 1, west + edge - 1, north - 1)

    decoy = np.array([square(first)], object)
    none = np.array([], object)
    elsewhere = int(np.flatnonzero(patches.parts != TEST)[0])
    edge_m = 3 * PATCH_PX * grid.resolution_x
    home = Planted("scene", grid.srid, none, np.array([], np.int64), {"A": decoy, "B": none})
    found = decoy_patches(patches, home, edge_m)
    assert len(found["B"][0]) == 0
    middle = near(decoy, grid.srid, grid, 0.0)
    assert middle.sum() == PATCH_PX**2
    covered = near(decoy, grid.srid, grid)
    for row, col in zip(*found["A"], strict=True):
        assert covered[row : row + PATCH_PX, col : col + PATCH_PX].mean() >= 0.2
    far = replace(home, decoys={"A": np.array([square(elsewhere)], object), "B": none})
    at_test = {
        (int(row), int(col))
        for row, col, part in zip(patches.rows, patches.cols, patches.parts, strict=True)
        if part == TEST
    }
    inside = [
        place for place in zip(*decoy_patches(patches, far, edge_m)["A"], strict=True) if place in at_test
    ]
    assert inside == []
    ore = replace(home, ore=decoy, clusters=np.array([1]))
    assert len(decoy_patches(patches, ore, edge_m)["A"][0]) == 0


def test_seeds_have_a_mean_and_a_spread() -> None:
    assert over_seeds([0.5, None, 0.7]) == {
        "mean": pytest.approx(0.6),
        "spread": pytest.approx(np.std([0.5, 0.7], ddof=1)),
        "values": [0.5, None, 0.7],
    }
    assert over_seeds([0.5])["spread"] is None


def test_an_interval_leaves_out_draws_that_tell_nothing() -> None:
    drawn = np.concatenate([np.linspace(0, 1, 101), np.full(50, np.nan)])
    assert ends_of(drawn, 5) == pytest.approx({"low": 0.025, "high": 0.975})
    assert ends_of(drawn, 1) == ends_of(np.full(9, np.nan), 5) == {"low": None, "high": None}


def test_intervals_draw_groups_together() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    alone = mean_interval(values)
    grouped = mean_interval(values, np.array([7, 7, 7, 9, 9, 9]))
    assert alone["value"] == grouped["value"] == 0.5
    assert (grouped["low"], grouped["high"]) == (0.0, 1.0)
    assert alone["low"] > 0
    assert mean_interval(values[:1])["low"] is None
    assert mean_interval(values[:0]) == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("without", "said"),
    [
        (0.6, "without geology it is clearly worse on the decoys"),
        (0.88, "worse on the decoys, but not clearly"),
        (0.95, "the target is missed: without geology it is no worse"),
    ],
)
def test_what_is_said_of_the_decoys_follows_from_the_figures(without: float, said: str) -> None:
    text = " ".join(result(simulated=simulated(without=without))["findings"])
    assert said in text
    assert "+0.100 (+0.020 to +0.200), beyond chance" in text


def test_who_wins_on_the_real_survey_is_said_whoever_it_is() -> None:
    lost = " ".join(result(real=real(0.7))["findings"])
    assert "mahalanobis wins with 0.930" in lost
    assert f"{MAIN} is number 3 of 3" in lost
    assert "Target missed, south judged" in lost
    won = " ".join(result(real=real(0.95))["findings"])
    assert f"{MAIN} wins with 0.950" in won
    assert "Target met, south judged" in won


def test_every_line_and_panel_of_the_implanted_part_says_so() -> None:
    only = result(implanted=planted("implanted"))
    text = markdown(only)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Implanted: test patches", "## Implanted: decoys on test ground"]
    lines = [line for line in text.splitlines() if MAIN in line and line.startswith("| ")]
    assert len(lines) == 4
    assert all(line.startswith("| implanted | ") for line in lines)
    assert {row["data"] for row in csv.DictReader(io.StringIO(csv_text(only)))} == {"implanted"}
    titles = [axis.get_title(loc="left") for axis in experiment_figure(only).axes]
    assert len(titles) == 3
    assert all(title.startswith("implanted") for title in titles)
    assert len(only["findings"]) == 4
    assert all("implanted" in sentence.lower() for sentence in only["findings"])
    assert not any("simulated" in sentence.lower() for sentence in only["findings"])
    every = result(simulated=simulated(), implanted=planted("implanted"), real=real(0.7))
    assert {row["data"] for row in csv.DictReader(io.StringIO(csv_text(every)))} == {
        "simulated",
        "implanted",
        "real",
    }
    assert len(experiment_figure(every).axes) == 8


def test_tables_and_figure_hold_every_row_and_say_what_is_simulated() -> None:
    both = result(simulated=simulated(), real=real(0.7), skipped=["implanted: not asked for"])
    text = markdown(both)
    assert "## Simulated: test patches" in text
    assert "## Real: deposits against judged ground" in text
    assert "- not run: implanted: not asked for" in text
    rows = list(csv.DictReader(io.StringIO(csv_text(both))))
    assert {row["data"] for row in rows} == {"simulated", "real"}
    assert {"network": "layer Be", "mean": "0.99"}.items() <= rows[-1].items()
    assert len(experiment_figure(both).axes) == 5
    assert json.loads(json.dumps(both, allow_nan=False))
    with pytest.raises(ValueError, match="nothing to draw"):
        experiment_figure(result())


def test_a_part_whose_data_are_missing_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "enmap_potsdam").mkdir()
    monkeypatch.setenv("LODE_TEST_DATA", str(tmp_path))
    monkeypatch.setattr(geology_experiment, "_simulated", lambda *_: SimpleNamespace(product="x"))
    monkeypatch.setattr(geology_experiment, "_own_database", lambda *_: "url")
    given: dict[str, Any] = {}

    def run(*_: Any, **options: Any) -> dict[str, Any]:
        given.update(options)
        return {}

    monkeypatch.setattr(geology_experiment, "run_geology_experiment", run)
    heard: list[str] = []
    geology_experiment.run_experiment(
        tmp_path / "out",
        preset_name="tiny",
        parts=("implanted", "real"),
        seeds=None,
        device_name=None,
        report=heard.append,
    )
    advice = f"in {tmp_path}; set LODE_TEST_DATA to the folder that holds"
    assert given["skipped"] == [
        "simulated: not asked for",
        f"implanted: no usgs_spectra {advice} usgs_spectra",
        f"real: no nanling_lithium {advice} nanling_lithium",
    ]
    assert heard[-2:] == given["skipped"][1:]
    assert (given["districts"], given["implanted"], given["survey"]) == (None, None, None)
