"""Ground of a pretraining: what is held out, what is left out, what has no data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from db.errors import UsageError
from inference.pretraining.blocks import Outline, blocks_outline, without_ground
from inference.pretraining.ground import pretraining_ground
from inference.pretraining.windows import training_batches, validation_batches
from inference.training.blocks import BlockGrid, block_key
from tests.unit.pretrained_ground import NODATA, SETTINGS, TILE_PX, drawn_ground, striped
from tests.unit.segmentation_models import source_of_pixels

SRID, WEST, NORTH = 32645, 500_000.0, 4_860_000.0


def box_px(top: int, left: int, bottom: int, right: int) -> Outline:
    """Ground under pixels of a drawn scene, whose pixels are 2 m."""
    shape = shapely.box(WEST + 2 * left, NORTH - 2 * bottom, WEST + 2 * right, NORTH - 2 * top)
    return Outline(SRID, shapely.MultiPolygon([shape]))


def test_training_windows_hold_no_pixel_of_held_out_or_left_out_ground() -> None:
    pixels = striped()
    ground = drawn_ground(pixels, left_out=[box_px(0, 0, 160, 60)])
    [scene] = ground.scenes
    assert scene.whole.read(0, 0, 160, 160)[1][:, 60:].all()
    assert not scene.whole.read(0, 0, 160, 160)[1][:, :60].any()
    held_out = ~scene.training.read(0, 0, 160, 160)[1]
    held_out[:, :60] = False
    assert 0 < held_out.mean() < 0.4
    # each forbidden pixel gets a value of its own, which must show up nowhere
    forbidden = held_out.copy()
    forbidden[:, :60] = True
    marked = np.where(forbidden, np.float32(7.0), pixels).astype(np.float32)
    there = drawn_ground(marked, left_out=[box_px(0, 0, 160, 60)])
    assert there.held_out == ground.held_out
    assert there.normalisation == ground.normalisation
    mean, std = np.array(there.normalisation.means), np.array(there.normalisation.stds)
    value = ((7.0 - mean) / std).astype(np.float32)
    batches = list(training_batches(there, SETTINGS, 20, np.random.default_rng(1)))
    for batch in batches:
        assert not (np.abs(batch.pixels - value[None, :, None, None]) < 1e-3).any()
        assert not (batch.counted & ~batch.hidden).any()
        assert not batch.counted[(batch.pixels == 0).all(axis=1)].any()
    assert sum(int(batch.counted.sum()) for batch in batches) > 10_000


def test_validation_counts_held_out_ground_only_and_is_the_same_each_time() -> None:
    ground = drawn_ground()
    first, second = validation_batches(ground, SETTINGS), validation_batches(ground, SETTINGS)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.counted, other.counted)
        assert not (one.counted & ~one.hidden).any()
    [scene] = ground.scenes
    held_out = int((~scene.training.read(0, 0, 160, 160)[1]).sum())
    counted = sum(int(batch.counted.sum()) for batch in first)
    assert 0.3 * held_out < counted < 0.9 * held_out
    assert int(scene.validation_px.sum()) == held_out


def test_pixels_without_data_and_clouds_are_never_counted() -> None:
    pixels = striped()
    pixels[1, 40:100, 40:100] = NODATA  # one band is enough
    pixels[0, :10] = np.nan
    source = replace(source_of_pixels(pixels, nodata=NODATA), clouded=box_px(120, 0, 160, 160).shape)
    ground = pretraining_ground([source], ("b1", "b2"), TILE_PX, seed=3)
    [scene] = ground.scenes
    total = int(scene.training_px.sum() + scene.validation_px.sum())
    assert total == 160 * 160 - 60 * 60 - 10 * 160 - 40 * 160
    for batch in [*training_batches(ground, SETTINGS, 10, np.random.default_rng(1)),
                  *validation_batches(ground, SETTINGS)]:  # fmt: skip
        assert np.isfinite(batch.pixels).all()
        assert not batch.counted[(batch.pixels == 0).all(axis=1)].any()
        assert np.abs(batch.pixels).max() < 5
    assert max(map(abs, ground.normalisation.means)) < 0.6


def test_a_block_is_the_same_ground_in_scenes_of_two_zones() -> None:
    grid = BlockGrid(SRID, 100.0)
    outline = blocks_outline(grid, [block_key(5000, 48598), block_key(5001, 48598)])
    assert outline.shape.bounds == (500_000.0, 4_859_800.0, 500_200.0, 4_859_900.0)
    assert len(outline.shape.geoms) == 1
    there = outline.in_crs(32644)
    assert there.area == pytest.approx(200 * 100, rel=0.02)
    back = Outline(32644, there).in_crs(SRID)
    assert back.symmetric_difference(outline.shape).area < 1.0
    source = source_of_pixels(striped())
    valid = without_ground(source, [outline]).read(0, 0, 160, 160)[1]
    assert not valid[50:100, :100].any()
    assert valid.sum() == 160 * 160 - 50 * 100


def test_a_scene_of_one_block_is_refused() -> None:
    with pytest.raises(UsageError, match=r"1 blocks of 1e\+06 m hold pixels.*smaller --block-m"):
        drawn_ground(block_m=1e6)
    empty = np.full((2, 160, 160), NODATA, np.float32)
    with pytest.raises(UsageError, match="0 blocks"):
        drawn_ground(empty)


def test_a_band_of_one_value_is_refused() -> None:
    pixels = striped()
    pixels[1] = 3.0
    with pytest.raises(UsageError, match=r"band b2 has mean 3\.0"):
        drawn_ground(pixels)


def test_a_scene_smaller_than_a_window_is_not_mirrored() -> None:
    source = source_of_pixels(striped()[:, :24, :60], nodata=NODATA)
    ground = pretraining_ground([source], ("b1", "b2"), TILE_PX, block_m=20.0, seed=3)
    for batch in training_batches(ground, SETTINGS, 3, np.random.default_rng(1)):
        assert batch.counted.any()
        assert batch.counted.sum(axis=(1, 2)).max() <= 24 * TILE_PX
