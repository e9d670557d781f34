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

from db.errors import UsageError
from demo import geology_experiment
from inference.prospect.experiment.figure import experiment_figure
from inference.prospect.experiment.findings import findings
from inference.prospect.experiment.plan import (
    BARE,
    MAIN,
    PRESETS,
    REAL_ROWS,
    SIMULATED_ROWS,
    model_name,
    preset_by_name,
)
from inference.prospect.experiment.rows import mean_interval
from inference.prospect.experiment.simulated import GEOLOGY
from inference.prospect.experiment.table import COLUMNS, CONFUSION, csv_text, markdown


def figure(mean: float, spread: float | None = 0.01, **more: Any) -> dict[str, Any]:
    ends = {"low": mean - 0.1, "high": mean + 0.1}
    return {"mean": mean, "spread": spread, "values": [mean], "known": 1, **ends, **more}


def patch_figures(data: str, name: str, accuracy: float) -> dict[str, Any]:
    """A row as `patch_row` gives it."""
    counts = {"tp": 10, "fn": 11, "fp": 12, "tn": 57}
    return {
        "data": data,
        "network": name,
        "seeds": [1],
        "settings": {"width": 64, "learning_rate": 0.001, "epochs": 4},
        "trials": [],
        "threshold": figure(0.671),
        "seconds": figure(12.0),
        "patches": 80,
        "positives": 20,
        "blocks": 8,
        "blocks_with_ore": 6,
        "blocks_with_barren": 8,
        "few_blocks": None,
        "confusion": {each: figure(count) for each, count in counts.items()},
        **{each: figure(accuracy) for each in COLUMNS},
    }


def difference(
    name: str, value: float, low: float | None, high: float | None, data: str = "simulated"
) -> dict[str, Any]:
    found = {each: {"value": value, "low": low, "high": high} for each in COLUMNS}
    few = "too few places for an interval (ore in 2 test blocks)" if low is None else None
    return {"data": data, "minus": name, "few_blocks": few, **found}


def lost(name: str, drop: float, *channels: str) -> dict[str, Any]:
    named = {"name": name, "channels": list(channels) or [name]}
    figures = ("roc_auc_drop", "roc_auc_spread", "balanced_accuracy_drop", "balanced_accuracy_spread")
    return {**named, **dict.fromkeys(figures, drop)}


CHANNELS = [
    lost("b1", 0.01),
    lost("fault_proximity", 0.2),
    lost("all geology", 0.4, "fault_proximity", "pluton_proximity"),
]


def planted(
    data: str, with_geology: float = 0.9, without: float = 0.6, accuracy: float = 0.8, places: int = 6
) -> dict[str, Any]:
    rivals = ("gcn", "cnn", "svm")
    every = [(MAIN, with_geology, accuracy), *((name, without, 0.7) for name in (BARE, *rivals))]
    rows = [
        {
            **patch_figures(data, name, each),
            "decoys": {
                kind: {
                    "mean_probability": figure(0.4),
                    "called": figure(0.3),
                    "patches": 12,
                    "places": places,
                    **({} if kind == "ore" else {"roc_auc": figure(auc)}),
                }
                for kind in ("ore", "A", "B")
            },
        }
        for name, auc, each in every
    ]
    value = with_geology - without
    ends = {"low": value - 0.1, "high": value + 0.1} if places >= 5 else {"low": None, "high": None}
    on_decoys = {"ore_places": places, "places": places, "roc_auc": {"value": value, **ends}}
    return {
        "rows": rows,
        "set": {"parts": {"validation": {"patches": 28, "positives": 7}}},
        "differences": [
            difference(BARE, 0.1, 0.02, 0.2, data),
            *(difference(name, accuracy - 0.7, accuracy - 0.9, 0.3, data) for name in rivals),
        ],
        "decoy_differences": [
            {"data": data, "minus": BARE, "decoys": kind, **on_decoys} for kind in ("A", "B")
        ],
        "importance": {"data": data, "model": "m", "channels": CHANNELS},
    }


def simulated(without: float = 0.6, found: float = 0.5, **more: Any) -> dict[str, Any]:
    ends = {"value": found, "low": 0.2, "high": 0.8, "places": 7}
    top = dict.fromkeys(("0.01", "0.05", "0.1", "0.2"), ends)
    shift = {"distance": 1.3, "warnings": ["the cells lie far off"]}
    counts = {"deposits": 20, "unscored": 3}
    transfer = [
        {"data": "simulated", "network": MAIN, **counts, "top": top, "shift": shift},
        {"data": "simulated", "network": BARE, "refused": "wavelengths are missing"},
    ]
    return {**planted("simulated", without=without, **more), "transfer": transfer}


def real(main: float, groups: int = 6) -> dict[str, Any]:
    about = {"data": "real", "test": "south"}
    common = {**about, "deposits": 9, "groups": groups, "deposits_of_training": 17}
    each = {MAIN: main, "best single layer": 0.9, "mahalanobis": 0.93}
    rows: list[dict[str, Any]] = [
        {**common, "network": name, "roc_auc": figure(auc)} for name, auc in each.items()
    ]
    rows[0]["test_patches"] = patch_figures("real", MAIN, 0.61)
    rows.append({**common, "network": "layer Be", "is_hindsight": True, "roc_auc": figure(0.99)})
    apart = mean_interval(np.full(9, main - 0.93), np.arange(9) % groups)
    return {
        "rows": rows,
        "differences": [{**about, "minus": "mahalanobis", "groups": groups, "roc_auc": apart}],
        "importance": [{**about, "model": "m", "channels": CHANNELS}],
    }


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


def test_the_real_survey_has_the_plain_answers_too() -> None:
    with_geology = {row.name for row in SIMULATED_ROWS if not row.leave_out_geology}
    assert {row.name for row in REAL_ROWS} >= with_geology


def test_geology_of_planted_ground_is_the_inverse_distance() -> None:
    assert GEOLOGY.bands == ("fault_proximity", "pluton_proximity")


@pytest.mark.parametrize(
    ("without", "places", "said", "is_met"),
    [
        (0.6, 6, "clearly worse on the decoys (difference +0.300 (interval 0.200 to 0.400), 6 places", True),
        (0.85, 6, "worse on the decoys, but not clearly: the interval holds 0", False),
        (0.6, 4, "not clearly: too few places for an interval (difference +0.300, 4 places of ore", False),
        (0.95, 6, "without geology it is no worse on the decoys", False),
    ],
)
def test_what_is_said_of_the_decoys_follows_from_interval_and_places(
    without: float, places: int, said: str, is_met: bool
) -> None:
    sentences = result(simulated=simulated(without=without, places=places))["findings"]
    [judged] = [each for each in sentences if "on simulated decoys with the spectrum" in each]
    assert judged.startswith("Target met: " if is_met else "Target missed: ")
    assert said in judged
    mixed = result(implanted=planted("implanted", without=without, places=places))["findings"]
    assert any(said in each and "Implanted dykes" in each for each in mixed)


def test_rows_are_compared_by_balanced_accuracy_and_by_area() -> None:
    sentences = result(simulated=simulated())["findings"]
    for title in ("balanced accuracy", "area under ROC"):
        head = f"{MAIN} against {BARE}, simulated, {title}: "
        assert f"{head}+0.100 (+0.020 to +0.200), beyond chance." in sentences
    few = simulated()
    few["differences"][0] = difference(BARE, 0.1, None, None)
    said = [each for each in result(simulated=few)["findings"] if each.startswith(f"{MAIN} against {BARE}")]
    assert len(said) == 2
    assert all(each.endswith("too few places for an interval (ore in 2 test blocks).") for each in said)


def judged(**part: Any) -> list[str]:
    sentences = result(simulated=simulated(**part))["findings"]
    return [each for each in sentences if each.startswith("Target ")]


def test_every_target_is_judged() -> None:
    met = judged(accuracy=0.95, found=0.85)
    assert len(met) == 6
    assert all(each.startswith("Target met: ") for each in met)
    assert "balanced accuracy of 0.950" in met[0]
    assert "difference +0.250 (interval 0.050 to 0.300), beyond chance" in met[1]
    assert "85% of its 20 dykes" in met[5]
    within = judged(accuracy=0.8)
    assert within[0].startswith("Target missed")
    assert within[1].startswith("Target met")
    assert "within chance" in within[1]


def test_a_missed_target_has_its_reason() -> None:
    missed = judged(accuracy=0.65, found=0.79, without=0.95)
    assert len(missed) == 6
    assert all(each.startswith("Target missed: ") for each in missed)
    for reason in (
        "area under the ROC curve of 0.650",
        "from a probability of 0.671",
        "on 7 validation patches with ore",
        "6 of 8 test blocks",
        f"{BARE} has the highest, 0.700",
    ):
        assert reason in missed[0]
    for name, said in zip(("gcn", "cnn", "svm"), missed[1:4], strict=True):
        assert f"{MAIN} above {name} " in said
    assert "79% of its 20 dykes" in missed[5]
    assert "3 of them on ground without a score" in missed[5]
    assert "1.3 times as far off" in missed[5]
    refused = simulated()
    refused["transfer"] = refused["transfer"][1:]
    assert any("were not looked for" in each for each in result(simulated=refused)["findings"])


def test_single_channels_and_groups_of_them_are_told_apart() -> None:
    sentences = result(simulated=simulated(), real=real(0.7))["findings"]
    for where in ("simulated test ground", "real test patches, south judged"):
        [alone] = [each for each in sentences if each.startswith(f"Shuffled alone on {where}")]
        [together] = [each for each in sentences if each.startswith(f"Shuffled together on {where}")]
        assert "fault_proximity (+0.200), b1 (+0.010)" in alone
        assert "all geology" not in alone
        assert "all geology (+0.400)" in together
        assert "b1" not in together


def test_who_wins_on_the_real_survey_is_said_whoever_it_is() -> None:
    lost_text = " ".join(result(real=real(0.7))["findings"])
    assert "mahalanobis wins with 0.930" in lost_text
    assert f"{MAIN} is number 3 of 3" in lost_text
    assert "Target missed, south judged" in lost_text
    assert "9 deposits in 6 groups" in lost_text
    assert "beyond chance" in lost_text
    won = " ".join(result(real=real(0.95))["findings"])
    assert f"{MAIN} wins with 0.950" in won
    assert "Target met, south judged" in won
    few = " ".join(result(real=real(0.7, groups=4))["findings"])
    assert "beyond chance" not in few
    assert "too few for an interval (4 groups of deposits)" in few


def test_every_line_and_panel_of_the_implanted_part_says_so() -> None:
    only = result(implanted=planted("implanted"))
    text = markdown(only)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Implanted: test patches",
        "## Implanted: decoys on test ground",
        "## Implanted: channels shuffled",
    ]
    lines = [line for line in text.splitlines() if f"| {MAIN} | " in line]
    assert len(lines) == 3
    assert all(line.startswith("| implanted | ") for line in lines)
    assert {row["data"] for row in csv.DictReader(io.StringIO(csv_text(only)))} == {"implanted"}
    titles = [axis.get_title(loc="left") for axis in experiment_figure(only).axes]
    assert len(titles) == 4
    assert all(title.startswith("implanted") for title in titles)
    assert all("implanted" in sentence.lower() for sentence in only["findings"])
    assert not any("simulated" in sentence.lower() for sentence in only["findings"])
    every = result(simulated=simulated(), implanted=planted("implanted"), real=real(0.7))
    assert len(experiment_figure(every).axes) == 10


def test_tables_hold_every_row_and_say_what_is_simulated() -> None:
    both = result(simulated=simulated(), real=real(0.7), skipped=["implanted: not asked for"])
    text = markdown(both)
    for line in (
        "## Simulated: test patches",
        "## Real: deposits against judged ground",
        "## Real: test patches",
        "Channels shuffled, real, south judged:",
        "- not run: implanted: not asked for",
        "macro-F1",
        f"| simulated | {MAIN} | 10 | 11 | 12 | 57 | 0.671",
        f"| real, south judged | {MAIN} | 10 | 11 | 12 | 57 | 0.671",
        "| 20 | 3 | 1.30 |",
        f"| simulated | {BARE} | A | 0.300 (0.200 to 0.400) | 6 | 6 |",
    ):
        assert line in text
    assert json.loads(json.dumps(both, allow_nan=False))
    with pytest.raises(ValueError, match="nothing to draw"):
        experiment_figure(result())


def test_programs_get_every_figure() -> None:
    both = result(simulated=simulated(), real=real(0.7))
    rows = list(csv.DictReader(io.StringIO(csv_text(both))))
    found = {(row["data"], row["part"], row["network"], row["figure"]): row for row in rows}
    assert len(found) == len(rows)
    assert found["real", "south judged", "layer Be", "roc_auc"]["mean"] == "0.99"
    for data, part in (("simulated", "test patches"), ("real", "south judged, test patches")):
        for name in (*COLUMNS, *CONFUSION, "threshold", "seconds", "blocks_with_ore"):
            assert found[data, part, MAIN, name]["mean"] != ""
        assert found[data, part, MAIN, "roc_auc lost without all geology"]["mean"] == "0.4"
    apart = found["simulated", "decoys A", MAIN, f"roc_auc minus {BARE}"]
    assert float(apart["low"]) == pytest.approx(0.2)
    assert found["simulated", "other district", MAIN, "unscored"]["mean"] == "3"
    assert found["simulated", "other district", MAIN, "feature distance"]["mean"] == "1.3"


def test_a_figure_of_some_seeds_says_of_how_many() -> None:
    part = simulated()
    some = {"mean": 1.0, "spread": None, "values": [None, 1.0, None], "known": 1, "low": None, "high": None}
    part["rows"][1]["precision"] = some
    assert "1.000 in 1 of 3 seeds" in markdown(result(simulated=part))


def test_the_figure_says_what_its_marks_and_intervals_are() -> None:
    drawn = experiment_figure(result(simulated=simulated(places=4), real=real(0.7, groups=4)))
    [legend] = drawn.legends
    marks = ["mean of the seeds", "one seed", "95 % interval of the mean"]
    assert [each.get_text() for each in legend.get_texts()] == marks
    assert [axis.get_xlabel() for axis in drawn.axes] == [
        "balanced accuracy; intervals: test blocks drawn anew",
        "ROC-AUC; intervals: test blocks drawn anew",
        *["ROC-AUC; no intervals: too few places (4 of ore, 4 of decoys)"] * 2,
        "share of the dykes; intervals: clusters of dykes drawn anew",
        "ROC-AUC; no intervals: too few groups of deposits whose patches overlap",
    ]
    # intervals are drawn on decoys, too
    enough = experiment_figure(result(simulated=simulated()))
    on_decoys = next(axis for axis in enough.axes if "decoys with its spectrum" in axis.get_title(loc="left"))
    drawn_ends = [list(map(float, np.asarray(line.get_xdata()))) for line in on_decoys.lines]
    assert pytest.approx([0.8, 1.0]) in drawn_ends


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
