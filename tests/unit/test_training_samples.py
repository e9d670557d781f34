"""Sample sets as training ground: only their windows are drawn, only their labels count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from db.samples import Sample
from inference.samples.ground import SampleGround
from inference.training.blocks import TEST, TRAIN, VALIDATION, BlockGrid, LabelledPixels
from inference.training.label_maps import LabelMap
from inference.training.samples import TrainingScene
from inference.training.set_sampler import SetSampler
from inference.training.statistics import training_normalisation
from tests.unit.segmentation_models import model_of, noise, source_of_pixels

TILE = 16
KEYS = np.array([11, 12, 13, 14])


def sample(row: int, col: int, split: str, labels: list[int]) -> Sample:
    return Sample(7, row, col, TILE, TILE, split, "block 0,0", labels, [0] * 8, [0] * 8)


@pytest.fixture
def labels() -> LabelMap:
    """Four polygons in a scene of 48 x 64: 11 and 12 upper left, 13 upper right, 14 lower left."""
    polygons = np.zeros((48, 64), np.int32)
    polygons[2:10, 2:8] = 1
    polygons[2:10, 8:30] = 2  # reaches out of the window at 0, 0
    polygons[4:12, 40:50] = 3
    polygons[34:44, 4:14] = 4
    codes = np.array([255, 0, 6, 6, 1], np.uint8)
    return LabelMap(codes[polygons], polygons)


@pytest.fixture
def ground() -> SampleGround:
    return SampleGround(
        "drawn",
        TILE,
        (
            (
                sample(0, 0, "train", [11, 12]),
                sample(0, 36, "test", [13]),
                sample(32, 0, "validation", [14]),
            ),
        ),
    )


def scene_of(ground: SampleGround, labels: LabelMap) -> TrainingScene:
    source = source_of_pixels(noise(2, 48, 64))
    labelled = LabelledPixels.of_scene(labels, source.grid, BlockGrid(32645, 32.0))
    parts = ground.parts(0, labels, KEYS)[labelled.rows, labelled.cols]
    return TrainingScene(source, "drawn", labelled, parts)


def test_labels_count_in_the_windows_that_name_them(ground: SampleGround, labels: LabelMap) -> None:
    parts = ground.parts(0, labels, KEYS)
    expected = np.full((48, 64), 255)
    expected[2:10, 2:16] = TRAIN  # of label 12 what lies in the window
    expected[4:12, 40:50] = TEST
    expected[34:44, 4:14] = VALIDATION
    assert (parts == expected).all()
    without = replace(ground, samples=((sample(0, 0, "train", [12]),),))
    assert (without.parts(0, labels, KEYS)[:, :8] == 255).all()


def test_a_label_that_is_gone_counts_no_more(ground: SampleGround, labels: LabelMap) -> None:
    parts = ground.parts(0, labels, np.array([11, 99, 13, 14]))
    assert (parts[:16, 8:16] == 255).all()
    assert (parts[2:10, 2:8] == TRAIN).all()


def test_training_ground_is_the_training_windows(ground: SampleGround, labels: LabelMap) -> None:
    grid = scene_of(ground, labels).source.grid
    rows, cols = (each.ravel() for each in np.indices((48, 64)))
    inside = ground.is_training_ground(0, grid, rows, cols)
    assert (inside == ((rows < TILE) & (cols < TILE))).all()
    assert not ground.is_training_ground(0, grid, rows[:0], cols[:0]).any()


def test_statistics_come_from_training_windows(ground: SampleGround, labels: LabelMap) -> None:
    scene = scene_of(ground, labels)
    pixels = noise(2, 48, 64)
    found = training_normalisation([scene], ground, ("b1", "b2"), np.random.default_rng(1))
    assert found.means == pytest.approx(pixels[:, :TILE, :TILE].mean(axis=(1, 2)), abs=1e-6)
    assert found.stds == pytest.approx(pixels[:, :TILE, :TILE].std(axis=(1, 2)), rel=1e-5)


def test_only_the_windows_of_the_set_are_drawn_each_class_alike(
    ground: SampleGround, labels: LabelMap
) -> None:
    more = (*ground.samples[0], sample(16, 48, "train", [15]))
    labels.polygons[20:24, 50:60], labels.classes[20:24, 50:60] = 5, 1
    keys = np.append(KEYS, 15)
    ground = replace(ground, samples=(more,))
    source = source_of_pixels(noise(2, 48, 64))
    labelled = LabelledPixels.of_scene(labels, source.grid, BlockGrid(32645, 32.0))
    parts = ground.parts(0, labels, keys)[labelled.rows, labelled.cols]
    scene = TrainingScene(source, "drawn", labelled, parts)
    model = model_of(nn.Identity(), bands=2)
    sampler = SetSampler([scene], (0, 1, 6), model.normalisation, TILE, ground.training_boxes())
    places = []
    for batch in sampler.located_batches(40, 6, np.random.default_rng(1)):
        for pixels, truth, place in zip(batch.pixels, batch.labels, batch.places, strict=True):
            places.append((place.row, place.col))
            window = np.s_[place.row : place.row + TILE, place.col : place.col + TILE]
            assert (pixels == noise(2, 48, 64)[(slice(None), *window)]).all()
            assert (truth == scene.truth(TRAIN)[window]).all()
    # classes 0 and 6 share the first window, class 1 has the other
    assert places.count((0, 0)) == 160
    assert places.count((16, 48)) == 80


def test_a_class_without_a_window_cannot_be_drawn(ground: SampleGround, labels: LabelMap) -> None:
    model = model_of(nn.Identity(), bands=2)
    with pytest.raises(ValueError, match="no training window"):
        SetSampler([scene_of(ground, labels)], (0, 1), model.normalisation, TILE, ground.training_boxes())


def test_a_set_is_known_by_where_its_windows_lie(ground: SampleGround) -> None:
    stored = ground.as_json()
    assert stored["sample_set"] == "drawn"
    assert ground.as_json() == stored
    moved = replace(ground, samples=((sample(1, 0, "train", [11, 12]), *ground.samples[0][1:]),))
    assert moved.as_json()["digest"] != stored["digest"]
    swapped = replace(ground, samples=((sample(0, 0, "test", [11, 12]), *ground.samples[0][1:]),))
    assert swapped.as_json()["digest"] != stored["digest"]
