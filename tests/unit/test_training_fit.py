"""A whole training in memory: it learns, repeats for a seed, and keeps the best epoch."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from db.errors import UsageError
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import TEST, VALIDATION
from inference.training.evaluation import evaluate
from inference.training.samples import TrainingScene
from inference.training.settings import TrainingSettings
from inference.training.trainer import Epoch, fit
from tests.unit.small_training import SETTINGS, small_task

WINDOWS = 96


@pytest.fixture(scope="module")
def scenes_and_model() -> tuple[list[TrainingScene], SegmentationModel, list[int]]:
    return small_task()


def trained(
    given: tuple[list[TrainingScene], SegmentationModel, list[int]], settings: TrainingSettings = SETTINGS
) -> tuple[SegmentationModel, list[Epoch], int]:
    scenes, fresh, pixels = given
    model = replace(fresh, network=copy.deepcopy(fresh.network))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        history, best = fit(model, scenes, pixels, settings, WINDOWS, lambda _epoch: None)
    return model, history, best


def test_it_learns_repeats_and_keeps_the_best_epoch(
    scenes_and_model: tuple[list[TrainingScene], SegmentationModel, list[int]],
) -> None:
    scenes = scenes_and_model[0]
    model, history, best = trained(scenes_and_model)
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    scores = [epoch.validation_mean_iou for epoch in history]
    assert scores[best - 1] == max(scores)
    assert evaluate(model, scenes, VALIDATION, None).mean_iou == max(scores)
    assert evaluate(model, scenes, TEST, None).mean_iou > 0.8
    again, repeated, _best = trained(scenes_and_model)
    assert [epoch.loss for epoch in repeated] == [epoch.loss for epoch in history]
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name


def test_a_time_limit_ends_the_training_with_a_finished_schedule(
    scenes_and_model: tuple[list[TrainingScene], SegmentationModel, list[int]],
) -> None:
    settings = replace(SETTINGS, epochs=50, time_limit_s=1.0)
    _model, history, best = trained(scenes_and_model, settings)
    assert 1 <= len(history) < 50
    assert 1 <= best <= len(history)


def test_a_training_that_diverges_says_so(
    scenes_and_model: tuple[list[TrainingScene], SegmentationModel, list[int]],
) -> None:
    with pytest.raises(UsageError, match=r"loss became .*--lr"):
        trained(scenes_and_model, replace(SETTINGS, learning_rate=1e30))
