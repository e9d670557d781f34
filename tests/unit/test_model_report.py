"""What `lode model show`, `list` and `compare` say of stored figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from db.registry import ModelRecord
from inference.models.comparison import compare
from inference.models.comparison_report import comparison_csv, comparison_json, comparison_text, verdict
from inference.models.figures import baseline_sentences, joined, table, width_of
from inference.models.listing import COLUMNS, listing_csv, listing_json, listing_text
from inference.models.report import report_json, report_lines, sparkline
from tests.unit.stored_models import (
    TRAINED_AT,
    block_confusions,
    figures_of,
    metrics_of,
    record_of,
    training_of,
)

METRICS = metrics_of()


@pytest.fixture
def pits() -> ModelRecord:
    return record_of(metrics=METRICS)


def line_of(lines: list[str], beginning: str) -> str:
    found = [line for line in lines if line.strip().startswith(beginning)]
    assert found, (beginning, lines)
    return found[0]


def without(metrics: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in keys}


def test_every_stored_figure_is_shown(pits: ModelRecord) -> None:
    lines = report_lines(pits, published_runs=3)
    for figure, label in (("mean_iou", "mean IoU"), ("mean_dice", "mean Dice"), ("kappa", "kappa")):
        ends = METRICS["intervals"][figure]
        said = line_of(lines, label)
        assert f"{METRICS[figure]:.3f}" in said
        assert f"{ends['low']:.3f} to {ends['high']:.3f}" in said
    assert f"{METRICS['mean_iou_without_background']:.3f}" in line_of(lines, "mean IoU")
    by_class = next(place for place, line in enumerate(lines) if "precision" in line and "recall" in line)
    pit = line_of(lines[by_class:], "open_pit")
    figures = METRICS["by_class"]["open_pit"]
    for key in ("precision", "recall", "iou", "dice"):
        assert f"{figures[key]:.3f}" in pit
    ends = METRICS["intervals"]["by_class"]["open_pit"]["iou"]
    assert f"{ends['low']:.3f} to {ends['high']:.3f}" in pit
    assert line_of(lines, "never answers").endswith("tailings_pond (no labels)")
    assert line_of(lines, "held out").endswith(
        "blocks of 500 m in EPSG:32645: 6 train, 2 validation, 12 test"
    )
    assert "3 published" in line_of(lines, "runs")
    assert "not stated" in line_of(lines, "licence")
    assert line_of(lines, "total").split() == ["total", "60,000", "20,000", "24,000"]
    error = METRICS["calibration"]["before"]["ece"]
    assert f"{100 * error:.1f} %" in line_of(lines, "expected calibration error")
    assert "temperature 2.000, fitted to 4,000 validation pixels" in line_of(lines, "calibration")
    assert "best epoch 17 of 20, validation mean IoU 0.671" in line_of(lines, "training: best")
    judged = sum(each["reference_px"] for each in METRICS["boundary"]["by_class"].values())
    assert f"{judged:,} boundary pixels" in line_of(lines, "Boundary F1")


def test_a_model_of_a_version_without_the_new_keys_is_still_shown(pits: ModelRecord) -> None:
    old = without(
        METRICS, "kappa", "boundary", "calibration", "intervals", "blocks", "mean_recall", "mean_dice",
        "mean_precision",
    )  # fmt: skip
    lines = report_lines(replace(pits, metrics=old))
    assert f"{METRICS['mean_iou']:.3f}" in line_of(lines, "mean IoU")
    text = "\n".join(lines)
    assert "interval" not in text
    assert "oundar" not in text
    assert "kappa" not in text


@pytest.mark.parametrize("metrics", [{}, {"mean_iou": None}, {"mean_iou": 0.7}])
def test_a_bare_row_is_shown_without_inventing_anything(metrics: dict[str, Any]) -> None:
    bare = record_of(metrics=metrics, training={}, history=[], versions={}, options={})
    lines = report_lines(bare)
    assert line_of(lines, "held out").endswith("not stored")
    assert line_of(lines, "scenes").endswith("not stored")
    if not metrics:
        assert "figures on test ground are not stored" in lines
    elif metrics["mean_iou"]:
        assert "0.700" in line_of(lines, "mean IoU")


def test_a_plain_answer_that_wins_is_said_plainly() -> None:
    beaten = metrics_of(0.6, baseline=0.8)
    own, theirs = beaten["mean_iou"], beaten["baselines"]["pixel_regression"]["mean_iou"]
    assert theirs > own
    said = baseline_sentences(beaten)
    assert said[0].startswith("A plain answer does as well or better: a regression on single pixels has")
    assert f"{theirs:.3f}" in said[0]
    assert f"{own:.3f}" in said[0]
    assert said[1].startswith("By IoU a regression on single pixels is better at background (")
    assert any("has shown nothing" in line for line in report_lines(record_of(metrics=beaten)))


def test_a_network_that_wins_but_for_one_class_says_which() -> None:
    metrics = json.loads(json.dumps(METRICS))
    metrics["baselines"]["pixel_regression"]["by_class"]["haul_road"]["iou"] = 0.9
    own = metrics["by_class"]["haul_road"]["iou"]
    said = baseline_sentences(metrics)
    assert said[0].startswith("The best plain answer, a regression")
    assert (
        said[1] == f"By IoU a regression on single pixels is better at haul_road (0.900 against {own:.3f})."
    )
    assert len(said) == 2


def test_sparse_labels_show_no_boundary_and_it_says_so() -> None:
    metrics = json.loads(json.dumps(METRICS))
    for each in metrics["boundary"]["by_class"].values():
        each.update(reference_px=0, f1=None)
    lines = report_lines(record_of(metrics=metrics))
    assert "Boundaries could not be judged" in "\n".join(lines)


def test_few_test_blocks_are_warned_of() -> None:
    text = "\n".join(report_lines(record_of(metrics=metrics_of(blocks=5))))
    assert "With only 5 test blocks they are narrower than the truth." in text
    assert "narrower" not in "\n".join(report_lines(record_of(metrics=METRICS)))


def test_sample_set_retirement_licence_and_origin_are_shown() -> None:
    training = training_of(
        split={"sample_set": "quarries", "digest": "ab" * 32},
        imported={"at": "2026-11-21T08:00:00+00:00", "name": "their pits", "scenes": []},
    )
    lines = report_lines(
        record_of(
            metrics=METRICS,
            training=training,
            licence="CC BY 4.0,\nsee LICENCE",
            retired_at=TRAINED_AT,
            retired_reason="misses snow (ana)",
        )
    )
    assert line_of(lines, "held out").endswith("sample set quarries, digest abababababab")
    assert "misses snow (ana)" in line_of(lines, "RETIRED")
    assert line_of(lines, "licence").endswith("CC BY 4.0, see LICENCE")
    assert "as their pits: trained elsewhere" in line_of(lines, "imported")


def test_an_ensemble_names_its_members() -> None:
    training = training_of(
        best_epoch=0,
        members=[{"name": "a", "weight": 0.75}, {"name": "b", "weight": 0.25}],
    )
    options = {"members": [{"backbone": "small"}], "band_names": ["nir"], "dropout": 0.5}
    lines = report_lines(
        record_of(metrics=METRICS, architecture="ensemble", options=options, history=[], training=training)
    )
    assert line_of(lines, "mean of").endswith("a (0.750), b (0.250)")
    assert line_of(lines, "options").split() == ["options", "dropout", "0.5"]
    assert not any("best epoch" in line for line in lines)


def test_json_holds_everything(pits: ModelRecord) -> None:
    told = json.loads(report_json(replace(pits, retired_at=TRAINED_AT), 3))
    assert told["metrics"] == METRICS
    assert told["history"] == pits.history
    assert told["published_runs"] == 3
    assert told["retired_at"] == TRAINED_AT.isoformat()
    assert set(told) == set(vars(pits)) | {"published_runs"}


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([1.0, None, 0.0], "█ ▁"),
        ([2.0, 2.0], "▄▄"),
        ([], ""),
        ([None], ""),
    ],
)
def test_sparklines(values: list[float | None], drawn: str) -> None:
    assert sparkline(values) == drawn


def test_a_long_history_is_thinned_and_keeps_its_end() -> None:
    history = [{"epoch": n, "loss": float(n % 7), "validation_mean_iou": None} for n in range(1, 501)]
    history[-1]["loss"] = 100.0
    drawn = line_of(report_lines(record_of(metrics=METRICS, history=history)), "loss")
    bars = drawn.split()[2]
    assert len(bars) <= 60
    assert bars[-1] == "█"


def test_tables_line_up_for_every_script() -> None:
    lines = table([("露天矿", "1"), ("pit", "22"), ("é" + "e\u0301", "3")])
    assert len({width_of(line) for line in lines}) == 1
    assert [joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_the_list_hides_nothing_silently(pits: ModelRecord) -> None:
    gone = record_of("old", METRICS, model_id=2, retired_at=TRAINED_AT, retired_reason="worn")
    lines = listing_text([pits], {1: 4}, hidden=1)
    assert lines[-1] == "1 retired, see them with --all"
    row = line_of(lines, "pits")
    for text in ("se_cot_deeplabv3plus", "small", "blue, nir", "2 m", "blocks of 500 m", "2026-11-20", " 4"):
        assert text in row
    assert f"{METRICS['mean_iou']:.3f}" in row
    assert "retired 2026-11-20" in line_of(listing_text([pits, gone], {}, hidden=0), "old")
    assert "no model is in service: 1 retired" in listing_text([], {}, hidden=1)[0]
    assert "lode train" in listing_text([], {}, hidden=0)[0]


def test_the_list_for_programs(pits: ModelRecord) -> None:
    told = json.loads(listing_json([pits], {1: 4}))
    assert [set(each) for each in told] == [set(COLUMNS)]
    assert (told[0]["published_runs"], told[0]["mean_iou"]) == (4, METRICS["mean_iou"])
    rows = list(csv.DictReader(io.StringIO(listing_csv([pits], {1: 4}))))
    assert rows[0]["bands"] == "blue nir"
    assert float(rows[0]["mean_iou"]) == METRICS["mean_iou"]
    assert rows[0]["retired_at"] == ""


def test_a_better_model_of_the_same_ground_is_better_beyond_chance(pits: ModelRecord) -> None:
    better = record_of("better", metrics_of(0.9, seed=5))
    pair = compare([pits, better])[0]
    told = pair.difference("mean_iou")
    assert told is not None
    assert told.value == pytest.approx(better.metrics["mean_iou"] - METRICS["mean_iou"], abs=1e-12)
    assert told.low is not None
    assert told.is_beyond_chance
    assert told.low > 0
    assert pair.blocks == 12
    assert verdict(pair, "pits").endswith("over 12 test blocks): more than chance.")
    road = pair.difference("iou", "haul_road")
    assert road is not None
    assert road.value == pytest.approx(
        better.metrics["by_class"]["haul_road"]["iou"] - METRICS["by_class"]["haul_road"]["iou"], abs=1e-12
    )
    # the other way round everything turns its sign
    back = compare([better, pits])[0].difference("mean_iou")
    assert back is not None
    assert (back.value, back.low, back.high) == pytest.approx((-told.value, -told.high, -told.low))


def judged_by_blocks(name: str, skill: float, seed: int) -> ModelRecord:
    confusions = block_confusions(skill, seed)
    blocks = [{"key": f"{place},0", "confusion": each.tolist()} for place, each in enumerate(confusions)]
    return record_of(name, figures_of(confusions.sum(axis=0)) | {"blocks": blocks})


def test_models_of_one_skill_seldom_differ_beyond_chance() -> None:
    verdicts = [
        verdict(
            compare([judged_by_blocks("a", 0.85, 2 * pair), judged_by_blocks("b", 0.85, 2 * pair + 1)])[0],
            "a",
        )
        for pair in range(20)
    ]
    by_chance = [each for each in verdicts if each.endswith("the difference may be chance.")]
    # intervals over 12 blocks hold the truth in about nine cases of ten
    assert 14 <= len(by_chance) < 20
    assert all(each.endswith("more than chance.") for each in verdicts if each not in by_chance)


def test_a_model_does_not_differ_from_itself(pits: ModelRecord) -> None:
    twin = compare([pits, record_of("twin", METRICS)])[0]
    assert verdict(twin, "pits").startswith("twin has the same mean IoU as pits")
    assert {each.value for each in twin.differences} == {0.0}
    assert not any(each.is_beyond_chance for each in twin.differences)


def test_blocks_are_matched_by_key_not_by_order(pits: ModelRecord) -> None:
    other = metrics_of(0.9, seed=5)
    turned = other | {"blocks": other["blocks"][::-1]}
    assert compare([pits, record_of("b", turned)]) == compare([pits, record_of("b", other)])


def other_split() -> dict[str, Any]:
    split = json.loads(json.dumps(training_of()["split"]))
    split["blocks"][0][2], split["blocks"][-1][2] = "test", "train"
    return training_of(split=split)


def relabelled() -> dict[str, Any]:
    """As many pixels of each class, but in other blocks."""
    metrics = json.loads(json.dumps(METRICS))
    first, second = (np.array(metrics["blocks"][place]["confusion"]) for place in (0, 1))
    metrics["blocks"][0]["confusion"], metrics["blocks"][1]["confusion"] = second.tolist(), first.tolist()
    return dict(metrics)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"training": training_of(split={"sample_set": "q", "digest": "0" * 64})},
            "other on sample set q, digest 000000000000",
        ),
        ({"training": other_split()}, "their test ground differs: blocks of the same size, but others"),
        ({"training": {}}, "other does not say which ground was held out"),
        ({"metrics": metrics_of(blocks=11)}, "different labels of the same ground"),
        ({"metrics": relabelled()}, "different labels in single blocks"),
        ({"metrics": metrics_of() | {"labels_sha256": "b" * 64}}, "labels were redrawn"),
        ({"class_codes": [0, 1]}, "different classes"),
    ],
)
def test_figures_of_other_ground_are_not_compared(
    pits: ModelRecord, changes: dict[str, Any], reason: str
) -> None:
    import re

    pair = compare([pits, replace(record_of("other", METRICS), **changes)])[0]
    assert pair.differences == ()
    assert re.search(reason, verdict(pair, "pits"))
    assert "other and pits cannot be compared" in verdict(pair, "pits")


def test_models_without_stored_blocks_differ_without_an_interval(pits: ModelRecord) -> None:
    old = record_of("old", without(metrics_of(0.9, seed=5), "blocks"))
    pair = compare([pits, old])[0]
    told = pair.difference("mean_iou")
    assert told is not None
    assert told.value == pytest.approx(old.metrics["mean_iou"] - METRICS["mean_iou"])
    assert told.is_beyond_chance is None
    assert "whether by chance cannot be told" in verdict(pair, "pits")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "b", "a"]])
def test_two_different_models_are_needed(names: list[str]) -> None:
    with pytest.raises(UsageError, match="two or more different models"):
        compare([record_of(name, METRICS) for name in names])


def test_models_of_other_tasks_are_not_compared(pits: ModelRecord) -> None:
    with pytest.raises(UsageError, match="prospect and segmentation"):
        compare([pits, record_of("ore", METRICS, task="prospect")])


def test_the_comparison_in_every_format(pits: ModelRecord) -> None:
    better = record_of("better", metrics_of(0.9, seed=5))
    far = record_of("far", METRICS, training={}, retired_at=TRAINED_AT)
    records = [pits, better, far]
    pairs = compare(records)
    text = "\n".join(comparison_text(records, pairs))
    assert "beyond chance" in text
    assert "far and pits cannot be compared" in text
    assert "retired" in text

    told = json.loads(comparison_json(records, pairs))
    assert [each["is_comparable"] for each in told["against_first"]] == [True, False]
    assert told["models"][1]["figures"]["mean_iou"] == better.metrics["mean_iou"]

    rows = list(csv.DictReader(io.StringIO(comparison_csv(records, pairs))))
    by_key = {(row["model"], row["figure"], row["class"]): row for row in rows}
    assert len(by_key) == len(rows)
    assert by_key["pits", "mean_iou", ""]["difference"] == ""
    said = by_key["better", "mean_iou", ""]
    assert float(said["difference"]) == pytest.approx(better.metrics["mean_iou"] - METRICS["mean_iou"])
    assert (said["beyond_chance"], said["comparable"]) == ("yes", "yes")
    assert by_key["far", "iou", "open_pit"]["comparable"] == "no"
    assert float(by_key["far", "iou", "open_pit"]["value"]) == METRICS["by_class"]["open_pit"]["iou"]
