"""A model card tells where a model fails, from its figures, and does not say more than they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from inference.evaluation.calibration import Bins, Calibration
from inference.evaluation.stored import stored_calibration
from inference.models.exchange.card import NO_LICENCE, escaped, model_card
from inference.models.exchange.schema import SceneFacts
from inference.models.exchange.weaknesses import weaknesses
from inference.models.reliability import draw_stored_reliability
from inference.models.report import report_lines
from tests.unit.stored_models import NAMES, TRAINED_AT, figures_of, metrics_of, record_of, training_of

SCENES = [
    SceneFacts(product="GF2_a", version=1, sensor="gf2_pms", acquired_on="2020-07-14", resolution_m=2.0),
    SceneFacts(product="GF2_b", version=2, sensor="gf2_pms", acquired_on="2021-08-02", resolution_m=2.0),
]


def drawn(**changes: Any) -> dict[str, Any]:
    """Water: 60 of 100 found, 30 taken for pit. Pit: 380 of 400. Background: all 500. Two blocks."""
    first = np.zeros((8, 8), np.int64)
    first[0, 0], first[2, 2], first[2, 6], first[2, 0], first[6, 6], first[6, 0] = 400, 60, 30, 10, 180, 20
    second = np.zeros((8, 8), np.int64)
    second[0, 0], second[6, 6] = 100, 200
    blocks = [
        {"key": "3,-2", "confusion": first.tolist()},
        {"key": "4,-2", "confusion": second.tolist()},
    ]
    return figures_of(first + second) | {"blocks": blocks} | changes


def said(metrics: dict[str, Any], scenes: list[SceneFacts] = SCENES, **changes: Any) -> list[str]:
    return weaknesses(record_of(metrics=metrics, **changes), scenes)


def test_classes_it_cannot_answer_or_was_not_judged_on_are_named() -> None:
    lines = said(drawn(), mapped_codes=[0, 1, 2, 6])
    assert lines[0].startswith("It never answers haul_road, industrial_square, dump and tailings_pond:")
    assert lines[1] == "It answers vegetation, but no test ground holds it: how well is not known."


def test_weak_classes_are_told_with_what_is_found_and_what_is_so() -> None:
    metrics = drawn()
    metrics["by_class"]["water"].update(iou=0.4, recall=0.6, precision=0.55)
    weak = [line for line in said(metrics) if "found badly" in line]
    assert weak == [
        "water is found badly: IoU 0.400, 60.0 % of it is found, 55.0 % of what is called so is so."
    ]
    assert not [line for line in said(drawn()) if "found badly" in line]  # IoU 0.6


def test_confusions_are_counted_by_hand() -> None:
    lines = [line for line in said(drawn()) if "is taken for" in line]
    assert lines == [
        "water is taken for open_pit: 30 px, 30.0 % of the water judged.",
        "open_pit is taken for background: 20 px, 5.0 % of the open_pit judged.",
        "water is taken for background: 10 px, 10.0 % of the water judged.",
    ]


def test_the_worst_block_is_named_with_its_place() -> None:
    line = next(line for line in said(drawn()) if "less so at" in line)
    # 640 of 700 and 300 of 300; the block's centre is 3.5 x 500 and -1.5 x 500 m
    assert line == (
        "It is right on 94.0 % of the test pixels, but less so at block 3,-2 round 1750 E -750 N, EPSG:32645 "
        "(91.4 % right)."
    )
    sets = training_of(split={"sample_set": "quarries", "digest": "0" * 64})
    assert any("less so at block 3,-2 (91.4 % right)" in line for line in said(drawn(), training=sets))


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"overconfidence": 0.08, "ece": 0.09}, "too sure of itself: it claims 8.0 % more"),
        ({"overconfidence": -0.05, "ece": 0.05}, "too modest: 5.0 % more"),
        ({"overconfidence": 0.0, "ece": 0.04}, "off by 4.0 % in the mean"),
    ],
)
def test_probabilities_that_mean_less_than_they_say(figures: dict[str, float], expected: str) -> None:
    calibration = {"before": {"overconfidence": 0.5, "ece": 0.5}, "after": figures}
    assert any(expected in line for line in said(drawn(calibration=calibration)))


def test_a_temperature_that_did_harm_is_told() -> None:
    calibration = {
        "before": {"overconfidence": -0.1, "ece": 0.157},
        "after": {"overconfidence": -0.181, "ece": 0.197},
    }
    worse = drawn(calibration=calibration)
    assert any("claims. Its temperature, fitted elsewhere, made that worse." in line for line in said(worse))
    text = "\n".join(report_lines(record_of(metrics=worse)))
    assert "On this test ground the temperature made probabilities worse" in text
    better = drawn(calibration={"before": calibration["after"], "after": calibration["before"]})
    assert not any("made that worse" in line for line in said(better))
    assert "made probabilities worse" not in "\n".join(report_lines(record_of(metrics=better)))


def test_good_probabilities_are_no_weakness_and_unknown_ones_are() -> None:
    fine = {"after": {"overconfidence": 0.01, "ece": 0.015}}
    assert not [line for line in said(drawn(calibration=fine)) if "robabilit" in line or "sure" in line]
    assert any("were not held against the truth" in line for line in said(drawn()))


def test_outlines_that_are_off_are_told_and_those_nobody_could_judge() -> None:
    by_class = {
        "water": {"code": 2, "f1": 0.31, "reference_px": 90},
        "open_pit": {"code": 6, "f1": 0.8, "reference_px": 400},
        "dump": {"code": 5, "f1": None, "reference_px": 0},
    }
    boundary = {"tolerance_px": 2.0, "by_class": by_class}
    line = next(line for line in said(drawn(boundary=boundary)) if "Outlines" in line)
    assert "off by more than 2 px at water (0.310) (" in line
    none = {"tolerance_px": 2.0, "by_class": {"dump": by_class["dump"]}}
    assert any("could not be judged: no labelled classes meet" in line for line in said(drawn(boundary=none)))
    assert any("was not judged" in line for line in said(drawn()))


def test_what_was_never_seen_follows_from_the_scenes() -> None:
    lines = "\n".join(said(drawn()))
    assert "It has seen July and August only" in lines
    assert "Its scenes are of 2020 and 2021" in lines
    assert "pixels of gf2_pms and of no other sensor" in lines
    assert "pixels of 2 m that hold digital_number" in lines
    whole_year = [SceneFacts(product="x", acquired_on=f"2020-{month:02}-01") for month in range(1, 13)]
    assert " only: snow" not in "\n".join(said(drawn(), whole_year))
    bare = [SceneFacts(product="gone")]
    assert "It has seen" not in "\n".join(said(drawn(), bare))


def test_a_plain_answer_that_wins_and_few_blocks_are_weaknesses() -> None:
    lines = said(metrics_of(0.6, baseline=0.8, blocks=4))
    assert any("the network has shown nothing" in line for line in lines)
    assert any("tested on 4 blocks only" in line for line in lines)


def card(**changes: Any) -> str:
    return model_card(record_of(metrics=metrics_of(), **changes), SCENES, "ab" * 32, "cd" * 32)


def test_a_card_has_its_parts_and_its_figures() -> None:
    text = card()
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert heads == [
        "# pits",
        "## On what it was trained",
        "## How it did",
        "## Where it fails",
        "## How to use it",
        "## Licence",
        "## Versions",
    ]
    metrics = metrics_of()
    ends = metrics["intervals"]["mean_iou"]
    assert f"| mean IoU | {metrics['mean_iou']:.3f} | {ends['low']:.3f} to {ends['high']:.3f} |" in text
    assert "| GF2_b (version 2) | 2021-08-02 | gf2_pms | 2 m | - |" in text
    assert "| open_pit | 7,200 | 2,400 | 2,880 |" in text
    assert "    lode infer --model pits --scene PRODUCT" in text
    assert "ab" * 32 in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def test_no_licence_means_do_not_pass_on() -> None:
    assert NO_LICENCE in card()
    assert "must not be passed on" in NO_LICENCE
    licensed = card(licence="CC BY-NC 4.0")
    assert NO_LICENCE not in licensed
    assert "## Licence\n\nCC BY-NC 4.0" in licensed


def test_a_retired_model_says_so_on_its_card() -> None:
    assert "taken out of service on 2026-11-20: misses snow" in card(
        retired_at=TRAINED_AT, retired_reason="misses snow"
    )


def test_names_are_no_mark_up() -> None:
    assert escaped("a|b <img> _x_ open_pit [l](u)") == r"a\|b \<img\> \_x\_ open_pit \[l\](u)"
    text = card(name="x; rm -rf ~ | <script>", band_names=["a|b", "nir"])
    assert "<script>" not in text.replace("--model 'x; rm -rf ~ | <script>'", "")
    assert "--model 'x; rm -rf ~ | <script>'" in text


def test_a_bare_model_has_a_card_that_admits_it() -> None:
    bare = record_of(metrics={}, training={"processing_level": "digital_number"}, history=[], versions={})
    text = model_card(bare, [], "ab" * 32, "cd" * 32)
    assert "Figures on test ground are not stored" in text
    assert "software not stored" in text


def calibration() -> Calibration:
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 500, (8, 15))
    pixels[:, 3] = 0
    probability = pixels * (np.arange(15) + 0.5) / 15
    called = Bins(pixels, probability, rng.binomial(pixels, 0.6))
    return Calibration(tuple(range(8)), called, called)


def test_a_stored_reliability_diagram_comes_back() -> None:
    before = calibration()
    stored = json.loads(json.dumps(before.as_json(NAMES)))
    after = stored_calibration(stored, "model pits")
    assert after.table() == before.table()
    assert after.ece == pytest.approx(before.ece, abs=1e-12)
    assert after.overconfidence == pytest.approx(before.overconfidence, abs=1e-12)
    assert after.pixels == before.pixels


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, "stores no reliability diagram"),
        ({"reliability": [{"pixels": "many"}]}, "cannot be read"),
        ({"reliability": [{"pixels": 1, "probability": "x", "hit_rate": 0.1}]}, "cannot be read"),
    ],
)
def test_a_diagram_that_is_none_is_refused(stored: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stored_calibration(stored, "model pits")


def test_the_diagram_is_drawn_and_refusals_say_why(tmp_path: Path) -> None:
    record = record_of(metrics=metrics_of())
    path = draw_stored_reliability(record, tmp_path / "reliability.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(UsageError, match="stores no calibration"):
        draw_stored_reliability(record_of(metrics={}), tmp_path / "none.png")
    for bad in (tmp_path / "reliability.xyz", tmp_path / "nowhere" / "reliability.png"):
        with pytest.raises(UsageError, match="cannot be written"):
            draw_stored_reliability(record, bad)
