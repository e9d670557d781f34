"""The split of a district into training, validation and test: made once, reproducible from what is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    BlockGrid,
    LabelledPixels,
    Split,
    class_counts,
    default_edge_m,
)
from inference.training.label_maps import UNLABELLED, LabelMap
from inference.training.split_search import search_split

FEWEST_BLOCKS = 12
"""Below this many labelled blocks the default edge is halved."""


def make_split(
    maps: Sequence[tuple[LabelMap, Grid]], block_m: float | None, seed: int
) -> tuple[Split, list[LabelledPixels]]:
    """Lay blocks over the scenes and decide which is trained on.

    The blocks lie in the CRS of the first scene. The default edge puts `blocks.BLOCKS_WANTED` into the
    largest labelled extent and is halved while fewer than `FEWEST_BLOCKS` hold labels, down to eight pixels.

    Args:
        maps: labels and grid of each scene, at least one with labels.
        block_m: edge of the blocks, m; None: the default.
        seed: of the search.

    Returns:
        The split, and the labelled pixels of each scene.

    """
    srid, resolution_m = maps[0][1].srid, maps[0][1].resolution_x
    edge_m = block_m or default_edge_m(max(_extent_m2(*each) for each in maps), resolution_m)
    while True:
        block_grid = BlockGrid(srid, edge_m)
        pixels = [LabelledPixels.of_scene(labels, grid, block_grid) for labels, grid in maps]
        keys, counts = class_counts(pixels, CLASS_CODES)
        if block_m or keys.size >= FEWEST_BLOCKS or edge_m / 2 < 8 * resolution_m:
            break
        edge_m /= 2
    parts = search_split(counts, seed)
    return Split(block_grid, dict(zip(keys.tolist(), parts.tolist(), strict=True))), pixels


def pixels_by_part(scenes: Sequence[tuple[LabelledPixels, NDArray[np.uint8]]]) -> NDArray[np.int64]:
    """(parts, classes) labelled pixels used in training, validation and test, over all scenes.

    Args:
        scenes: labelled pixels of each scene and their part.

    """
    counts = np.zeros((len(SPLIT_NAMES), len(CLASS_CODES)), np.int64)
    for pixels, parts in scenes:
        for part in (TRAIN, VALIDATION, TEST):
            chosen = pixels.classes[parts == part]
            counts[part] += np.bincount(chosen, minlength=len(CLASS_CODES))
    return counts


def check_split(counts: NDArray[np.int64], edge_m: float | None) -> None:
    """Refuse to train where the parts do not hold what they are for.

    Args:
        counts: (parts, classes) labelled pixels, from `pixels_by_part`.
        edge_m: edge of the blocks, for the message; None: a sample set.

    Raises:
        UsageError: fewer than two classes to train on, nothing to validate or to test with.

    """
    trained = np.flatnonzero(counts[TRAIN])
    if trained.size < 2:
        have = ", ".join(str(CLASS_CODES[place]) for place in trained) or "none"
        raise UsageError(
            f"training needs labels of at least two classes in its blocks, there are: {have}. "
            "Draw labels of other classes too (background counts as one)"
        )
    for part in (VALIDATION, TEST):
        if counts[part].sum() == 0:
            why = (
                "its labels are gone from the sample set: build it anew"
                if edge_m is None
                else f"the blocks of {edge_m:g} m are too few or too large. Draw labels in more places, or "
                "train with a smaller --block-m"
            )
            raise UsageError(f"no labels are left for {SPLIT_NAMES[part]}: {why}")


def _extent_m2(labels: LabelMap, grid: Grid) -> float:
    """Area of the box around a scene's labels, m2, 0 without labels."""
    rows, cols = np.nonzero(labels.polygons != UNLABELLED)
    if rows.size == 0:
        return 0.0
    height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
    return float(height * width) * grid.resolution_x * grid.resolution_y
