"""From a set of patches to a model that is stored and loaded again: nothing of the test part is chosen by."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from db.errors import UsageError
from db.registry import ModelRecord, NewModel, StoredModel
from inference.models.report import report_lines
from inference.prospect.dataset import PatchSet
from inference.prospect.figures import Judged, figure_differences
from inference.prospect.importance import permutation_importance
from inference.prospect.learning import Learned, LearningReport, judge, learn, part_of_set, without_geology
from inference.prospect.patches import LEAST_VALID, cut
from inference.prospect.recording import new_model, part_counts, set_digest
from inference.prospect.settings import GridSettings, ProspectSettings
from inference.prospect.trained import ProspectModel, ready_prospect_model
from inference.training.blocks import TEST, TRAIN, VALIDATION
from tests.unit.prospect_patches import GEOLOGY, PATCH_PX, SPECTRAL, drawn_set

CPU = torch.device("cpu")
SETTINGS = {
    "gcn_residual": ProspectSettings(width=16, epochs=8, learning_rate=3e-3),
    "cnn": ProspectSettings(network="cnn", width=16, epochs=8, learning_rate=3e-3),
    "svm": ProspectSettings(network="svm", options={"C": 1.0}),
    "forest": ProspectSettings(network="forest", options={"trees": 30}),
    "majority": ProspectSettings(network="majority"),
}
FACTS: dict[str, Any] = {
    "prospect_set_id": 1,
    "processing_level": "surface_reflectance",
    "elements": {},
    "geology": {"bands": ["fault_distance_m"], "proximity_m": 1000.0, "density_radius_m": 2000.0},
    "labels": {"buffer_m": 100.0, "positive_share": 0.2, "deposits": 9},
    "split_rule": "block",
    "warnings": ["test has 2 places of positive ground"],
}


def stored(learned: Learned, patches: PatchSet, **changed: Any) -> StoredModel:
    """As the registry gives it back."""
    new = new_model(learned, patches, judge(learned.model, patches), FACTS, CPU, 1.5)
    return stored_of(new, **changed)


def stored_of(new: NewModel, **changed: Any) -> StoredModel:
    columns = {name: value for name, value in vars(new).items() if name != "weights"}
    columns = json.loads(json.dumps(columns, allow_nan=False))
    record = ModelRecord(
        **columns | {"model_id": 7, "trained_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}
    )
    weights = changed.pop("weights", new.weights)
    return StoredModel(replace(record, **changed), weights, hashlib.sha256(weights).hexdigest())


@pytest.mark.parametrize("network", SETTINGS)
def test_a_model_is_learned_stored_loaded_and_answers_as_before(network: str) -> None:
    patches = drawn_set(spectral_shift=2.0)
    learned = learn(patches, SETTINGS[network], device=CPU, name="m")
    judged = judge(learned.model, patches)
    skilled = judged.is_called == judged.is_positive
    if network == "majority":
        assert not judged.is_called.any()
        assert learned.model.threshold == 0.5
    else:
        assert skilled.mean() > 0.9
    again = ready_prospect_model(stored(learned, patches), CPU)
    assert (again.model_id, again.name, again.architecture) == (7, "m", network)
    assert again.channels == patches.ground.channels
    assert (again.patch_px, again.spacing_m, again.threshold) == (PATCH_PX, 30.0, learned.model.threshold)
    np.testing.assert_array_equal(judge(again, patches).probabilities, judged.probabilities)
    raster = again.standardise(patches.ground.values)
    is_test = patches.parts == TEST
    rows, cols = patches.rows[is_test], patches.cols[is_test]
    np.testing.assert_allclose(again.probabilities(raster, rows, cols), judged.probabilities, atol=1e-5)


@pytest.mark.parametrize("network", ["gcn_residual", "cnn", "forest"])
def test_a_whole_ground_is_scored_as_its_patches_are(network: str) -> None:
    patches = drawn_set(spectral_shift=2.0)
    model = learn(patches, SETTINGS[network], device=CPU).model
    raster = model.standardise(patches.ground.values)
    is_valid = patches.ground.is_judged.copy()
    is_valid[:2, :5] = False
    heard: list[float] = []
    scores = model.score(raster, is_valid, 3, heard.append)
    height, width = is_valid.shape
    down, across = (height - PATCH_PX) // 3 + 1, (width - PATCH_PX) // 3 + 1
    assert scores.shape == (down, across)
    for row in range(down):
        for col in range(across):
            here = is_valid[3 * row : 3 * row + PATCH_PX, 3 * col : 3 * col + PATCH_PX]
            assert np.isnan(scores[row, col]) == (here.mean() < LEAST_VALID), (row, col)
    rows, cols = np.nonzero(np.isfinite(scores))
    at_patches = model.probabilities(raster, 3 * rows, 3 * cols)
    np.testing.assert_allclose(scores[rows, cols], at_patches, atol=1e-5)
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("network", SETTINGS)
def test_what_lies_on_test_ground_changes_nothing_that_is_learned(network: str) -> None:
    """Other values and labels on the test ground: the same model, to the last bit."""
    patches = drawn_set()
    is_test = patches.parts == TEST
    values = patches.ground.values.copy()
    for row, col in zip(patches.rows[is_test].tolist(), patches.cols[is_test].tolist(), strict=True):
        values[:, row : row + PATCH_PX, col : col + PATCH_PX] = 1e6
    other = replace(
        patches,
        ground=replace(patches.ground, values=values),
        is_positive=patches.is_positive ^ is_test,
    )
    first, second = (learn(each, SETTINGS[network], device=CPU) for each in (patches, other))
    assert first.model.threshold == second.model.threshold
    assert first.model.normalisation.as_json() == second.model.normalisation.as_json()
    assert first.trials == second.trials
    training, _is_positive, _blocks = part_of_set(first.model, patches, TRAIN)
    np.testing.assert_array_equal(
        first.model.patch_probabilities(training), second.model.patch_probabilities(training)
    )


def test_the_threshold_is_the_best_of_the_validation_patches() -> None:
    patches = drawn_set(spectral_shift=0.5)
    model = learn(patches, SETTINGS["forest"], device=CPU).model
    judged = judge(model, patches, VALIDATION)
    found = _balanced(judged.is_called, judged.is_positive)
    for other in np.linspace(judged.probabilities.min() + 1e-6, judged.probabilities.max(), 50):
        assert found >= _balanced(judged.probabilities >= other, judged.is_positive) - 1e-9


def _balanced(called: Any, truth: Any) -> float:
    return float((called[truth].mean() + (~called[~truth]).mean()) / 2)


def test_geology_helps_where_it_tells_and_is_missed_when_it_is_left_out() -> None:
    """Only the distance to faults tells of ore: without geology the same network can but guess."""
    patches = drawn_set(spectral_shift=0.0, geology_shift=2.0)
    places = without_geology(patches.ground.channels)
    assert places == (0, 1, 2)
    informed = learn(patches, SETTINGS["gcn_residual"], device=CPU).model
    bare = learn(patches, SETTINGS["gcn_residual"], device=CPU, places=places).model
    assert bare.channels == SPECTRAL
    differences = figure_differences(judge(bare, patches), judge(informed, patches), resamples=200)
    assert differences["roc_auc"]["low"] is not None
    assert differences["roc_auc"]["low"] > 0.2
    values, is_positive, _blocks = part_of_set(informed, patches, TEST)
    importance = {
        each.name: each.roc_auc_drop
        for each in permutation_importance(
            informed.patch_probabilities,
            values,
            is_positive,
            informed.channels,
            informed.threshold,
            repeats=3,
        )
    }
    assert importance["fault_distance_m"] > 0.3
    assert importance["all geology"] > 0.3
    assert abs(importance["all spectral"]) < 0.15


@pytest.mark.parametrize(
    ("channels", "message"),
    [(SPECTRAL, "no channels of geology"), (GEOLOGY, "no channels but those of geology")],
)
def test_geology_that_is_not_there_cannot_be_left_out(channels: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        without_geology(channels)


def test_cells_without_a_value_are_the_mean_of_training() -> None:
    patches = drawn_set()
    values = patches.ground.values.copy()
    is_test = patches.parts == TEST
    row, col = int(patches.rows[is_test][0]), int(patches.cols[is_test][0])
    model = learn(patches, SETTINGS["forest"], device=CPU).model
    values[0, row, col] = np.nan
    holed = replace(patches, ground=replace(patches.ground, values=values))
    values = values.copy()
    values[0, row, col] = model.normalisation.means[0]
    filled = replace(patches, ground=replace(patches.ground, values=values))
    first, second = (part_of_set(model, each, TEST)[0] for each in (holed, filled))
    assert first[0, 0, 0] == 0.0
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.isnan(cut(holed.ground.values, patches.rows[is_test], patches.cols[is_test], PATCH_PX)[0, 0, 0])


def test_the_grid_is_searched_and_told() -> None:
    lines: list[str] = []
    epochs: list[tuple[int, int]] = []
    report = LearningReport(lines.append, lambda epoch, of: epochs.append((epoch.epoch, of)))
    grid = GridSettings(widths=(4, 8), learning_rates=(3e-3,), epochs=2)
    settings = replace(SETTINGS["gcn_residual"], epochs=3)
    learned = learn(drawn_set(), settings, device=CPU, grid=grid, report=report)
    assert len(learned.trials) == 2
    assert learned.settings.width in (4, 8)
    assert learned.options == {"hidden": learned.settings.width}
    assert lines[0].startswith("width 4, learning rate 0.003: validation balanced accuracy 0.")
    assert lines[2] == f"chosen: width {learned.settings.width}, learning rate 0.003"
    assert epochs == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("part", "has_ore", "message"),
    [
        (TRAIN, True, "the train part has 144 patches, all with ore"),
        (VALIDATION, False, "the validation part has 72 patches, all without ore"),
    ],
)
def test_one_class_alone_is_refused(part: int, has_ore: bool, message: str) -> None:
    patches = drawn_set()
    is_positive = np.where(patches.parts == part, has_ore, patches.is_positive)
    with pytest.raises(UsageError, match=message):
        learn(replace(patches, is_positive=is_positive), SETTINGS["majority"], device=CPU)


def test_a_test_part_of_one_class_gives_null_figures() -> None:
    patches = drawn_set()
    patches = replace(patches, is_positive=patches.is_positive & (patches.parts != TEST))
    learned = learn(patches, SETTINGS["forest"], device=CPU, name="m")
    found = stored(learned, patches).record
    assert found.metrics["roc_auc"] is None
    assert found.metrics["accuracy"] is not None
    assert any("of one class: nothing can be said" in line for line in report_lines(found))


def test_what_is_stored_tells_how_the_model_came_about() -> None:
    patches = drawn_set(spectral_shift=2.0)
    learned = learn(patches, SETTINGS["gcn_residual"], device=CPU, name="m")
    record = stored(learned, patches).record
    assert record.task == "prospect"
    assert (record.class_codes, record.mapped_codes) == ([0, 1], [0, 1])
    assert record.band_names == [channel.name for channel in patches.ground.channels]
    assert (record.tile_px, record.resolution_m) == (PATCH_PX, 30.0)
    training = record.training
    assert training["patches"] == part_counts(patches)
    assert training["patches"]["train"]["blocks"] == 16
    assert training["settings"]["width"] == record.options["hidden"] == 16
    assert training["split"]["digest"] == set_digest(patches)
    assert training["geology"] == {
        "bands": ["fault_distance_m", "pluton_distance_m"],
        "proximity_m": 1000.0,
        "density_radius_m": 2000.0,
    }
    assert training["best_epoch"] == learned.best.epoch if learned.best else False
    assert len(record.history) == 8
    metrics = record.metrics
    assert metrics["balanced_accuracy"] > 0.9
    counts = [metrics["intervals"][f"blocks{each}"] for each in ("", "_with_ore", "_with_barren")]
    assert counts == [8, 8, 8]
    assert metrics["baselines"]["majority"]["balanced_accuracy"] == 0.5
    assert metrics["baselines"]["majority"]["precision"] is None
    again, judged = Judged.from_metrics(metrics, "model m"), judge(learned.model, patches)
    np.testing.assert_allclose(again.probabilities, judged.probabilities, rtol=1e-7)
    assert np.array_equal(again.blocks, judged.blocks)
    assert np.array_equal(again.is_called, judged.is_called)
    with pytest.raises(UsageError, match="cannot be read"):
        Judged.from_metrics({}, "model m")


def test_without_geology_nothing_of_it_is_stored() -> None:
    patches = drawn_set()
    places = without_geology(patches.ground.channels)
    learned = learn(patches, SETTINGS["forest"], device=CPU, name="m", places=places)
    record = stored(learned, patches).record
    assert record.training["geology"] is None
    assert record.band_names == [channel.name for channel in SPECTRAL]
    assert any("no geology" in line for line in report_lines(record))


def test_another_split_has_another_digest() -> None:
    patches = drawn_set()
    parts = patches.parts.copy()
    parts[0] = VALIDATION
    assert set_digest(patches) == set_digest(drawn_set())
    assert set_digest(replace(patches, parts=parts)) != set_digest(patches)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "segmentation"}, "is for segmentation, not for prospect"),
        ({"architecture": "vit"}, "is a vit, which this version does not know"),
        ({"architecture": "svm"}, "no model written by skops"),
        ({"architecture": "gcn"}, "belong to another architecture"),
        ({"options": {"hidden": 8}}, "do not fit"),
        ({"band_names": ["a", "b", "c", "d", "e"]}, "names its channels in two ways"),
        ({"weights": b"\x80\x04nothing"}, "no safetensors file"),
        ({"normalisation": {}}, "stored scales cannot be read"),
    ],
)
def test_a_stored_model_that_is_none_is_refused(changed: dict[str, Any], message: str) -> None:
    patches = drawn_set()
    settings = replace(SETTINGS["gcn_residual"], epochs=1)
    learned = learn(patches, settings, device=CPU, name="m")
    with pytest.raises(UsageError, match=message):
        ready_prospect_model(stored(learned, patches, **changed), CPU)


@pytest.mark.parametrize("threshold", [None, 1.5, float("nan"), "0.5"])
def test_a_stored_threshold_that_is_none_is_refused(threshold: Any) -> None:
    patches = drawn_set()
    found = stored(learn(patches, SETTINGS["majority"], device=CPU, name="m"), patches)
    training = found.record.training | {"threshold": threshold}
    found = replace(found, record=replace(found.record, training=training))
    with pytest.raises(UsageError, match="from which probability"):
        ready_prospect_model(found, CPU)


def test_a_set_without_the_model_s_channels_is_refused() -> None:
    model: ProspectModel = learn(drawn_set(), SETTINGS["majority"], device=CPU).model
    with pytest.raises(UsageError, match="no channel fault_distance_m, pluton_distance_m"):
        judge(model, drawn_set(channels=SPECTRAL))


def test_the_report_says_what_was_shown_and_what_was_not() -> None:
    good = drawn_set(spectral_shift=2.0)
    lines = report_lines(stored(learn(good, SETTINGS["forest"], device=CPU, name="m"), good).record, 3)
    text = "\n".join(lines)
    assert "3 spectral (b0, b1, b2); 2 geology (fault_distance_m, pluton_distance_m)" in text
    assert "20 % of a patch within 100 m of one of 9 deposits" in text
    assert "3 published with it" in text
    assert "Warning: test has 2 places of positive ground." in text
    assert "72 test patches in 8 blocks (ore in 8, barren ground in 8), looked at once" in text
    assert "With ore in 8 test blocks only, the intervals are narrower than the truth." in text
    assert "cannot be told from guessing" not in text
    noise = drawn_set(spectral_shift=0.0)
    lines = report_lines(stored(learn(noise, SETTINGS["forest"], device=CPU, name="m"), noise).record)
    assert any("cannot be told from guessing" in line for line in lines)
