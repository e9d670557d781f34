"""Rows of the experiment's tables: means over seeds, and intervals that say on how few places they rest."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest

from db.errors import UsageError
from db.registry import ModelRecord
from inference.models.exchange.consistency import check_prospect_figures
from inference.models.exchange.prospect_card import prospect_card
from inference.prospect.experiment.rows import (
    confusion_of,
    differences_to,
    ends_of,
    mean_interval,
    over_seeds,
    patch_row,
)
from inference.prospect.figures import FIGURES, Judged, prospect_figures
from inference.prospect.model_comparison import compare_prospects, comparison_json, comparison_text
from inference.prospect.model_report import prospect_lines


def answers(ore_blocks: int, found: float = 0.5, seed: int = 0) -> Judged:
    """Answers on ten patches in each of 20 blocks, so many of them all ore, of which a share is found."""
    truth = np.repeat(np.arange(20) < ore_blocks, 10)
    rng = np.random.default_rng(seed)
    is_called = np.where(truth, rng.random(200) < found, rng.random(200) < 0.1)
    return Judged(truth, np.where(is_called, 0.9, 0.1), np.repeat(np.arange(20), 10), 0.5)


def record(name: str, judged: Judged) -> ModelRecord:
    """Of a model with these answers."""
    return ModelRecord(
        model_id=1,
        name=name,
        task="prospect",
        architecture="gcn",
        options={},
        class_codes=[0, 1],
        mapped_codes=[0, 1],
        band_names=["b0"],
        resolution_m=30.0,
        tile_px=10,
        normalisation={},
        training={
            "settings": {"seed": 1},
            "trials": [],
            "threshold": 0.5,
            "seconds": 1.0,
            "split": {"sample_set": "s", "digest": "d" * 64},
        },
        history=[],
        metrics={
            **prospect_figures(judged, resamples=100).as_json(),
            "test": judged.as_json(),
            "threshold": 0.5,
        },
        versions={},
        trained_at=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        temperature=1.0,
        licence=None,
        retired_at=None,
        retired_reason=None,
    )


def test_seeds_have_a_mean_and_a_spread() -> None:
    assert over_seeds([0.5, None, 0.7]) == {
        "mean": pytest.approx(0.6),
        "spread": pytest.approx(np.std([0.5, 0.7], ddof=1)),
        "values": [0.5, None, 0.7],
        "known": 2,
    }
    assert over_seeds([None, None, 1.0])["known"] == 1
    assert over_seeds([0.5])["spread"] is None


def test_an_interval_leaves_out_draws_that_tell_nothing() -> None:
    drawn = np.concatenate([np.linspace(0, 1, 101), np.full(50, np.nan)])
    assert ends_of(drawn, 5) == pytest.approx({"low": 0.025, "high": 0.975})
    assert ends_of(drawn, 4) == ends_of(np.full(9, np.nan), 5) == {"low": None, "high": None}


def test_intervals_draw_groups_together() -> None:
    values = np.tile([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], 4)
    alone = mean_interval(values)
    grouped = mean_interval(values, np.arange(24) // 3 + 7)
    assert alone["value"] == grouped["value"] == 0.5
    assert (alone["places"], grouped["places"]) == (24, 8)
    assert grouped["high"] - grouped["low"] > 1.3 * (alone["high"] - alone["low"]) > 0
    few = {"value": 0.5, "low": None, "high": None, "places": 4}
    assert mean_interval(values, np.arange(24) // 6) == few
    assert mean_interval(values[:0]) == {"value": None, "low": None, "high": None, "places": 0}


def test_patches_of_the_confusion_matrices_are_told_by_seed() -> None:
    found = confusion_of([[[27, 3], [2, 8]], [[25, 5], [4, 6]]])
    assert {name: each["values"] for name, each in found.items()} == {
        "tp": [8.0, 6.0],
        "fp": [3.0, 5.0],
        "fn": [2.0, 4.0],
        "tn": [27.0, 25.0],
    }
    assert found["tp"]["mean"] == 7.0


@pytest.mark.parametrize(("ore_blocks", "has_interval"), [(2, False), (4, False), (5, True), (17, False)])
def test_a_row_has_intervals_only_with_places_enough(ore_blocks: int, has_interval: bool) -> None:
    good, poor = (
        [record(f"{found}-{seed}", answers(ore_blocks, found, seed)) for seed in (1, 2)]
        for found in (1.0, 0.2)
    )
    row = patch_row("simulated", "gcn", good)
    [apart] = differences_to(good, {"poor": poor})
    for found in (row, apart):
        counts = [found[key] for key in ("blocks", "blocks_with_ore", "blocks_with_barren")]
        assert counts == [20, ore_blocks, 20 - ore_blocks]
        assert (found["few_blocks"] is None) == has_interval
        for figure in FIGURES:
            ends = [found[figure][key] for key in ("low", "high")]
            assert all(end is None for end in ends) != has_interval, figure
            assert found[figure]["known"] == 2
    assert row["confusion"]["tp"]["values"] == [10.0 * ore_blocks] * 2
    assert sum(row["confusion"][each]["mean"] for each in ("tp", "fp", "fn", "tn")) == 200
    assert apart["roc_auc"]["value"] > 0.2
    if has_interval:
        assert apart["roc_auc"]["low"] > 0
    if ore_blocks == 2:
        assert row["few_blocks"] == "too few places for an interval (ore in 2 test blocks)"


def test_a_difference_says_how_many_seeds_it_knows() -> None:
    every = [record(str(seed), answers(6, 0.5, seed)) for seed in (1, 2, 3)]
    silent = [replace(each, metrics={**each.metrics, "precision": None}) for each in every[:2]]
    [apart] = differences_to([*silent, every[2]], {"other": every})
    assert apart["precision"]["known"] == 1
    assert apart["recall"]["known"] == 3


def test_rows_of_other_truth_are_not_compared() -> None:
    first = answers(6)
    other = replace(first, is_positive=np.roll(first.is_positive, 10))
    with pytest.raises(ValueError, match="not judged on the same patches"):
        differences_to([record("a", first)], {"b": [record("b", other)]})


def test_two_models_are_not_beyond_chance_on_two_places() -> None:
    """All the ore of two blocks is found by one and none by the other: told, without an interval."""
    pairs = {}
    for ore_blocks in (2, 6):
        models = [record(str(found), answers(ore_blocks, found)) for found in (0.0, 1.0)]
        [pair] = pairs[ore_blocks] = compare_prospects(models)
        assert pair.differences["recall"]["value"] == 1.0
        assert pair.is_beyond_chance("recall") is (None if ore_blocks == 2 else True)
        text = "\n".join(comparison_text(models, [pair]))
        few = "too few places for an interval (ore in 2 test blocks)"
        assert (few in text) == (ore_blocks == 2)
        assert ("beyond chance" in text) == (ore_blocks == 6)
        assert (few in comparison_json(models, [pair])) == (ore_blocks == 2)


def test_a_report_tells_no_interval_that_rests_on_two_places() -> None:
    """Also one that an older version stored, without the blocks of ore."""
    new = record("m", answers(2, 1.0))
    ends = {"value": 0.75, "low": 0.711, "high": 0.722, "known": 1.0}
    old = replace(new, metrics={**new.metrics, "intervals": {"blocks": 20, **dict.fromkeys(FIGURES, ends)}})
    for each in (new, old):
        text = "\n".join(prospect_lines(each))
        assert "in 20 blocks (ore in 2, barren ground in 18)" in text
        assert "No intervals: too few places for an interval (ore in 2 test blocks)." in text
        assert "cannot be told from guessing: too few places for an interval (ore in 2 test blocks)" in text
        assert "0.722" not in text
        assert "what the figures would have been on other blocks" not in text
        card = prospect_card(each, "f" * 64, "w" * 64)
        few = "told from guessing is not known: too few places for an interval"
        assert few in card
        assert "0.722" not in card
    enough = "\n".join(prospect_lines(record("m", answers(6, 1.0))))
    assert "With ore in 6 test blocks only, the intervals are narrower than the truth." in enough
    assert "cannot be told from guessing" not in enough


@pytest.mark.parametrize("key", ["blocks", "blocks_with_ore", "blocks_with_barren"])
def test_a_brought_model_that_tells_of_other_blocks_than_its_answers_is_refused(key: str) -> None:
    metrics = record("m", answers(6)).metrics
    check_prospect_figures(metrics, "m.zip")
    without = {**metrics, "intervals": {k: v for k, v in metrics["intervals"].items() if k != key}}
    check_prospect_figures(without, "m.zip")
    forged = {**metrics, "intervals": {**metrics["intervals"], key: 19}}
    with pytest.raises(UsageError, match=f"over 19 {key.replace('_', ' ')}, its answers"):
        check_prospect_figures(forged, "m.zip")
