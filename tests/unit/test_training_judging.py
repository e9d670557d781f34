"""What is stored of a network: one prediction, every figure of it, and probabilities that were calibrated."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.evaluation.boundary import boundary_counts
from inference.evaluation.calibration import calibration_of
from inference.predict import predict_scene
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import TEST, VALIDATION, block_place
from inference.training.calibrating import model_temperature
from inference.training.evaluation import evaluate
from inference.training.judging import judge
from inference.training.metrics import confusion_matrix
from inference.training.samples import TrainingScene
from tests.unit.segmentation_models import model_of
from tests.unit.small_training import small_task

NAMES = {code: f"class_{code}" for code in range(8)}
SHARPNESS = 6.0


class Brightness(nn.Module):
    """Knows the classes of `small_task` by their brightness and is far too sure of it."""

    def forward(self, tiles: Tensor) -> Tensor:
        kind = tiles[:, :1]
        logits = torch.full((len(tiles), 8, *tiles.shape[2:]), -50.0)
        for place, centre in ((0, 0.0), (1, 1.0), (6, 2.0)):
            logits[:, place] = -SHARPNESS * (kind[:, 0] - centre) ** 2 / 0.18
        return logits


@pytest.fixture(scope="module")
def scenes() -> list[TrainingScene]:
    return small_task()[0]


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    return model_of(Brightness(), bands=2, mapped_codes=(0, 1, 6))


def test_one_prediction_gives_all_figures(scenes: list[TrainingScene], model: SegmentationModel) -> None:
    judged = judge(model, scenes, TEST, None)
    [scene] = scenes
    truth = scene.truth(TEST)
    strips = list(predict_scene(scene.source, model, needed=truth != 255))
    called = np.concatenate([strip.class_map for strip in strips])
    stored = [strip.probabilities for strip in strips]
    shares = np.concatenate([each for each in stored if each is not None], axis=1)
    assert (judged.metrics.confusion == evaluate(model, scenes, TEST, None).confusion).all()
    expected = boundary_counts(truth, np.where(truth == 255, np.uint8(255), called), range(8))
    assert (judged.boundary.reference_met == expected.reference_met).all()
    assert judged.boundary.mean_f1 == pytest.approx(expected.mean_f1)
    served = calibration_of(torch.from_numpy(shares[[0, 1, 6]])[None] / 200, truth[None], (0, 1, 6))
    assert judged.calibration.ece == pytest.approx(served.ece, abs=1e-9)
    assert judged.calibration.pixels == (truth != 255).sum()
    assert judged.uncalibrated.ece == judged.calibration.ece


def test_blocks_add_up_and_lie_where_their_pixels_do(
    scenes: list[TrainingScene], model: SegmentationModel
) -> None:
    judged = judge(model, scenes, TEST, None)
    [scene] = scenes
    assert (judged.blocks.matrices.sum(axis=0) == judged.metrics.confusion).all()
    chosen = scene.parts == TEST
    pixels = {
        "{},{}".format(*block_place(int(key))): int((scene.labelled.blocks[chosen] == key).sum())
        for key in np.unique(scene.labelled.blocks[chosen])
    }
    content = judged.as_json(NAMES)
    assert {block["key"]: int(np.sum(block["confusion"])) for block in content["blocks"]} == pixels
    assert len(pixels) > 3
    whole = evaluate(model, scenes, TEST, None).confusion
    truth = scene.truth(TEST)
    assert whole.sum() == confusion_matrix(truth, truth, range(8)).sum()


def test_what_is_stored_is_json_and_says_each_figure(
    scenes: list[TrainingScene], model: SegmentationModel
) -> None:
    content = json.loads(json.dumps(judge(model, scenes, TEST, None).as_json(NAMES), allow_nan=False))
    metrics = evaluate(model, scenes, TEST, None)
    for figure in ("iou", "recall", "precision", "dice"):
        values = getattr(metrics, figure)
        assert content[f"mean_{figure}"] == pytest.approx(np.nanmean(values))
        assert content[f"mean_{figure}_without_background"] == pytest.approx(np.nanmean(values[1:]))
        low, high = (content["intervals"][f"mean_{figure}"][end] for end in ("low", "high"))
        assert low <= content[f"mean_{figure}"] <= high
    assert set(content["calibration"]) == {"before", "after"}
    assert content["boundary"]["tolerance_px"] == 2.0
    assert content["by_class"]["class_3"]["iou"] is None


def test_the_temperature_makes_probabilities_honest(
    scenes: list[TrainingScene], model: SegmentationModel
) -> None:
    temperature = model_temperature(model, scenes)
    [scene] = scenes
    truth = scene.truth(VALIDATION)
    assert temperature.pixels == (truth != 255).sum()  # each once, though windows overlap at the edge
    assert temperature.value == pytest.approx(SHARPNESS, rel=0.1)  # the noise has a variance of 0.09
    assert temperature.nll_after < temperature.nll_before
    calibrated = judge(replace(model, temperature=temperature.value), scenes, TEST, None)
    assert calibrated.calibration.ece < 0.6 * calibrated.uncalibrated.ece
    assert calibrated.uncalibrated.ece == pytest.approx(judge(model, scenes, TEST, None).calibration.ece)


def test_labels_that_no_output_answers_say_nothing_of_the_temperature(
    scenes: list[TrainingScene], model: SegmentationModel
) -> None:
    two = replace(model, mapped_codes=(0, 6))
    [scene] = scenes
    truth = scene.truth(VALIDATION)
    assert model_temperature(two, scenes).pixels == np.isin(truth, (0, 6)).sum()
