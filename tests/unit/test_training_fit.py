"""A whole training in memory: it learns, repeats for a seed, and keeps the best epoch."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from db.errors import UsageError
from inference.networks import build_network
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import TEST, TRAIN, VALIDATION
from inference.training.evaluation import evaluate
from inference.training.label_maps import LabelMap
from inference.training.samples import TrainingScene
from inference.training.settings import TrainingSettings
from inference.training.split import make_split, pixels_by_part
from inference.training.statistics import training_normalisation
from inference.training.trainer import Epoch, fit
from tests.unit.segmentation_models import model_of, noise, source_of_pixels

SETTINGS = TrainingSettings(backbone="small", tile_px=32, epochs=3, batch_size=8, seed=3)
WINDOWS = 96


@pytest.fixture(scope="module")
def scenes_and_model() -> tuple[list[TrainingScene], SegmentationModel, list[int]]:
    """Patches of three classes that differ in brightness, in noise; a quarter of them unlabelled."""
    rng = np.random.default_rng(1)
    polygons = np.kron(np.arange(1, 257).reshape(16, 16), np.ones((12, 12), int)).astype(np.int32)
    kinds = rng.integers(0, 3, 257)[polygons]
    pixels = noise(2, 192, 192) * 0.3 + np.stack([kinds, 2 - kinds]).astype(np.float32)
    classes = np.array([0, 1, 6], np.uint8)[kinds]
    unlabelled = np.isin(polygons, rng.choice(256, 64, replace=False))
    labels = LabelMap(np.where(unlabelled, np.uint8(255), classes), np.where(unlabelled, 0, polygons))
    source = source_of_pixels(pixels)
    split, [labelled] = make_split([(labels, source.grid)], None, 1)
    scene = TrainingScene(source, "drawn", labelled, split.part_of_pixels(labelled))
    counts = pixels_by_part([(labelled, scene.parts)])
    normalisation = training_normalisation([scene], split, ("b1", "b2"), np.random.default_rng(1))
    torch.manual_seed(0)
    network = build_network("se_cot_deeplabv3plus", in_channels=2, backbone="small")
    model = model_of(network, bands=2, normalisation=normalisation, mapped_codes=(0, 1, 6))
    return [scene], model, [int(counts[TRAIN][code]) for code in (0, 1, 6)]


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
    assert history[-1].seconds < 20


def test_a_training_that_diverges_says_so(
    scenes_and_model: tuple[list[TrainingScene], SegmentationModel, list[int]],
) -> None:
    with pytest.raises(UsageError, match=r"loss became .*--lr"):
        trained(scenes_and_model, replace(SETTINGS, learning_rate=1e30))
