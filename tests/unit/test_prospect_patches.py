"""Patches of drawn ground: where they lie, which count, which are drawn, and their values as nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from db.errors import UsageError
from db.raster import Grid
from inference.prospect.channels import Channel
from inference.prospect.ground import Ground
from inference.prospect.patches import (
    Patches,
    candidate_patches,
    cut,
    draw_negatives,
    positions,
    window_counts,
)

CELL_M = 30.0


def ground(height: int, width: int, channels: int = 2) -> Ground:
    """Ground that is judged everywhere and has values everywhere."""
    values = np.random.default_rng(3).normal(size=(channels, height, width)).astype(np.float32)
    return Ground(
        name="drawn",
        scene_id=1,
        evidence_area_id=None,
        grid=Grid(32645, 500_000, 4_860_000, CELL_M, CELL_M, width, height),
        channels=tuple(Channel(f"b{number}", "spectral", 800.0 + number) for number in range(channels)),
        values=values,
        is_judged=np.ones((height, width), bool),
        geology_digest=None,
    )


def test_positions_go_in_steps_and_stay_inside() -> None:
    rows, cols = positions(10, 13, 4, 3)
    assert list(zip(rows.tolist(), cols.tolist(), strict=True)) == [
        (row, col) for row in (0, 3, 6) for col in (0, 3, 6, 9)
    ]
    rows, cols = positions(4, 4, 4, 3)
    assert (rows.tolist(), cols.tolist()) == ([0], [0])


def test_a_patch_larger_than_the_ground_is_refused() -> None:
    with pytest.raises(UsageError, match=r"patches of 10 x 10 cells do not fit .* 50 x 9 .* at most 9"):
        positions(9, 50, 10, 5)


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_counts_are_those_of_each_window(margin: int) -> None:
    rng = np.random.default_rng(5)
    mask = rng.random((17, 23)) < 0.4
    rows, cols = positions(17, 23, 5, 1)
    counted = window_counts(mask, rows, cols, 5, margin)
    for row, col, count in zip(rows.tolist(), cols.tolist(), counted.tolist(), strict=True):
        window = mask[max(row - margin, 0) : row + 5 + margin, max(col - margin, 0) : col + 5 + margin]
        assert count == window.sum()


def test_labels_follow_from_the_share_of_positive_cells() -> None:
    """Of 4 x 4 patches side by side one holds 4 positive cells, one 3, one 1, one none."""
    near = np.zeros((4, 16), bool)
    near[0, 0:4] = near[0, 4:7] = near[0, 8] = True
    found = candidate_patches(ground(4, 16), near, patch_px=4, stride_px=4, positive_share=0.2)
    assert found.patches.cols.tolist() == [0, 12]
    assert found.patches.is_positive.tolist() == [True, False]
    assert found.patches.shares.tolist() == [0.25, 0.0]
    assert (found.between, found.without_values) == (2, 0)
    found = candidate_patches(ground(4, 16), near, patch_px=4, stride_px=4, positive_share=3 / 16)
    assert found.patches.is_positive.tolist() == [True, True, False]
    assert found.patches.shares.tolist() == [0.25, 0.1875, 0.0]
    assert found.between == 1


def test_a_patch_counts_while_nine_cells_of_ten_have_all_values() -> None:
    made = ground(10, 40)
    near = np.zeros((10, 40), bool)
    near[:, :10] = True
    made.values[0, 0, 10:20] = np.nan  # 90 % have both
    made.values[0, 0, 20:30] = np.nan
    made.is_judged[1, 20] = False  # 89 % are left
    made.values[1, 0, 30:40] = np.inf
    made.is_judged[9, 30:35] = False  # 85 %
    found = candidate_patches(made, near, patch_px=10, stride_px=10, positive_share=0.2)
    assert found.patches.cols.tolist() == [0, 10]
    assert found.without_values == 2


def test_ground_without_enough_values_is_refused_by_the_channel_that_lacks_them() -> None:
    made = ground(20, 20)
    made.values[1, ::2] = np.nan
    near = np.eye(20, dtype=bool)
    with pytest.raises(
        UsageError, match=r"400 of 400 cells are judged, and channel b1 has a value on 50\.0%"
    ):
        candidate_patches(made, near, patch_px=10, stride_px=5, positive_share=0.2)
    with pytest.raises(UsageError, match=r"no cell of drawn is judged"):
        candidate_patches(
            replace(made, is_judged=np.zeros((20, 20), bool)), near, patch_px=10, stride_px=5,
            positive_share=0.2,
        )  # fmt: skip


def test_one_class_alone_is_refused() -> None:
    made = ground(20, 20)
    everywhere = np.ones((20, 20), bool)
    with pytest.raises(UsageError, match=r"all 9 patches on drawn hold ground near a deposit"):
        candidate_patches(made, everywhere, patch_px=10, stride_px=5, positive_share=0.2)
    few = np.zeros((20, 20), bool)
    few[0, :3] = True
    with pytest.raises(UsageError, match=r"at most 0\.03 of the cells .* --share asks for 0\.2"):
        candidate_patches(made, few, patch_px=10, stride_px=5, positive_share=0.2)
    few[:5, :10] = True
    made.is_judged[:10, :10] = False
    with pytest.raises(UsageError, match=r"the deposits lie on cloud or missing data"):
        candidate_patches(made, few, patch_px=10, stride_px=5, positive_share=0.2)


def drawn_patches(per_block: dict[int, int], positives: int) -> tuple[Patches, np.ndarray, np.ndarray]:
    """Negative patches of one part in blocks, after some positive ones of the same part."""
    blocks = np.repeat(list(per_block), list(per_block.values()))
    count = positives + blocks.size
    is_positive = np.arange(count) < positives
    patches = Patches(4, np.arange(count), np.zeros(count, int), is_positive.astype(float), is_positive)
    return patches, np.zeros(count, np.uint8), np.concatenate((np.full(positives, 99), blocks))


def test_negatives_are_spread_evenly_over_the_blocks() -> None:
    patches, parts, blocks = drawn_patches({1: 50, 2: 50, 3: 4, 4: 1}, positives=7)
    kept = draw_negatives(patches, parts, blocks, 3, seed=0)
    assert kept[:7].all()
    assert kept.sum() == 28
    _, counts = np.unique(blocks[7:][kept[7:]], return_counts=True)
    assert counts.tolist() == [8, 8, 4, 1]
    assert np.array_equal(kept, draw_negatives(patches, parts, blocks, 3, seed=0))
    assert not np.array_equal(kept, draw_negatives(patches, parts, blocks, 3, seed=1))


def test_each_part_has_its_own_negatives_and_gives_all_where_it_has_fewer() -> None:
    patches, parts, blocks = drawn_patches({1: 20, 2: 20}, positives=4)
    parts[:1] = 2
    parts[4:6] = 2
    kept = draw_negatives(patches, parts, blocks, 3, seed=0)
    assert kept[:4].all()
    assert kept[4:6].all()
    assert kept[6:].sum() == 9


def test_cut_keeps_rows_columns_and_channels_in_place() -> None:
    values = np.arange(3 * 6 * 7, dtype=np.float32).reshape(3, 6, 7)
    values[1, 2, 3] = np.nan
    rows, cols = np.array([0, 2, 4]), np.array([0, 3, 5])
    nodes = cut(values, rows, cols, 2)
    assert nodes.shape == (3, 4, 3)
    assert nodes.dtype == np.float32
    for number, (row, col) in enumerate(zip(rows, cols, strict=True)):
        for node in range(4):
            expected = values[:, row + node // 2, col + node % 2]
            assert np.array_equal(nodes[number, node], expected, equal_nan=True)
    assert np.isnan(nodes[1, 0]).tolist() == [False, True, False]
