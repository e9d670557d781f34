"""Spatial blocks: what is held out of training is held out as ground, not as pixels.

Neighbouring pixels are alike, so a network tested beside its training pixels is tested on what it knows. One
grid of square blocks, in one metric CRS, is laid over all scenes and years; whole blocks go to training,
validation or test, in every year alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from inference.segmentation_model import IGNORED
from inference.training.label_maps import UNLABELLED, LabelMap

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = ("train", "validation", "test")
BLOCKS_WANTED = 100
"""Blocks that the default edge lays over the labelled extent."""
_KEY_STEP = 1 << 24  # a block's key is row * step + col; |col| stays below step / 2 for edges of 3 m and more


@dataclass(frozen=True)
class BlockGrid:
    """Square blocks counted from the origin of a metric CRS.

    Attributes:
        srid: EPSG code of the CRS.
        edge_m: edge of a block, m.

    """

    srid: int
    edge_m: float

    def keys_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
        """Key of the block that holds each point (same shape), given in the CRS of the blocks."""
        col = np.floor(x / self.edge_m).astype(np.int64)
        row = np.floor(y / self.edge_m).astype(np.int64)
        return row * _KEY_STEP + col

    def keys_of_pixels(
        self, grid: Grid, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Key of the block that holds the centre of each pixel of a scene."""
        x = grid.origin_x + (cols + 0.5) * grid.resolution_x
        y = grid.origin_y - (rows + 0.5) * grid.resolution_y
        if grid.srid != self.srid:
            x, y = pyproj.Transformer.from_crs(grid.srid, self.srid, always_xy=True).transform(x, y)
        return self.keys_at(np.asarray(x), np.asarray(y))


def block_key(col: int, row: int) -> int:
    """Key of a block by its column and row, counted from the origin of the CRS."""
    return row * _KEY_STEP + col


def block_place(key: int) -> tuple[int, int]:
    """Column and row of a block, the inverse of `block_key`."""
    row = (key + _KEY_STEP // 2) // _KEY_STEP
    return key - row * _KEY_STEP, row


@dataclass(frozen=True)
class LabelledPixels:
    """The labelled pixels of one scene, in rows from the top; all arrays (pixels,).

    Attributes:
        rows, cols: place in the scene.
        classes: class code.
        blocks: key of the block the pixel lies in.
        homes: key of the block that holds most of the pixel's polygon.

    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    classes: NDArray[np.uint8]
    blocks: NDArray[np.int64]
    homes: NDArray[np.int64]

    @classmethod
    def of_scene(cls, labels: LabelMap, grid: Grid, block_grid: BlockGrid) -> LabelledPixels:
        """The labelled pixels of a scene with their blocks."""
        rows, cols = np.nonzero(labels.polygons != UNLABELLED)
        blocks = block_grid.keys_of_pixels(grid, rows, cols)
        homes = _home_blocks(labels.polygons[rows, cols], blocks)
        return cls(rows, cols, labels.classes[rows, cols], blocks, homes)


def _home_blocks(polygons: NDArray[np.int32], blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each pixel the block that holds most pixels of its polygon; of equals the one of smaller key."""
    known, block_numbers = np.unique(blocks, return_inverse=True)
    pairs, counts = np.unique(polygons.astype(np.int64) * known.size + block_numbers, return_counts=True)
    order = np.lexsort((pairs, -counts))
    home_of = np.zeros(int(polygons.max(initial=0)) + 1, np.int64)
    # written from the fewest pixels to the most, so that the last one to write is the home
    last_first = order[::-1]
    home_of[pairs[last_first] // max(known.size, 1)] = known[pairs[last_first] % max(known.size, 1)]
    return home_of[polygons]


@dataclass(frozen=True)
class Split:
    """Blocks with the part they play: 0 training, 1 validation, 2 test."""

    grid: BlockGrid
    parts: dict[int, int]

    def part_of_pixels(self, pixels: LabelledPixels) -> NDArray[np.uint8]:
        """Part of each labelled pixel; 255 where its block and its polygon's home play different ones.

        No polygon is divided between parts: what of it reaches into a block of another part is not used.
        """
        part = self.part_of_blocks(pixels.blocks)
        return np.where(part == self.part_of_blocks(pixels.homes), part, np.uint8(IGNORED))

    def mask(self, pixels: LabelledPixels, grid: Grid) -> NDArray[np.uint8]:
        """(height, width): part of each labelled pixel, 255 where unlabelled or not used."""
        mask = np.full((grid.height_px, grid.width_px), IGNORED, np.uint8)
        mask[pixels.rows, pixels.cols] = self.part_of_pixels(pixels)
        return mask

    def part_of_blocks(self, keys: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Part of each block (same shape), 255 for blocks that held no label."""
        known = np.array(sorted(self.parts), np.int64)
        if known.size == 0:
            return np.full(keys.shape, IGNORED, np.uint8)
        parts = np.array([self.parts[int(key)] for key in known], np.uint8)
        place = np.minimum(np.searchsorted(known, keys), known.size - 1)
        return np.where(known[place] == keys, parts[place], np.uint8(IGNORED))

    def is_training_ground(
        self,
        scene: int,  # noqa: ARG002 - blocks are the same in all scenes; windows of a sample set are not
        grid: Grid,
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Whether each pixel of a scene lies in a training block, labelled or not."""
        is_training: NDArray[np.bool_] = (
            self.part_of_blocks(self.grid.keys_of_pixels(grid, rows, cols)) == TRAIN
        )
        return is_training

    def as_json(self) -> dict[str, Any]:
        """For the registry: the CRS, the edge and ``[col, row, part]`` of every block."""
        places = [[*block_place(key), SPLIT_NAMES[part]] for key, part in sorted(self.parts.items())]
        return {"srid": self.grid.srid, "edge_m": self.grid.edge_m, "blocks": places}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Split:
        """What `as_json` stored.

        Raises:
            UsageError: it is not that.

        """
        try:
            grid = BlockGrid(int(stored["srid"]), float(stored["edge_m"]))
            parts = {
                block_key(int(col), int(row)): SPLIT_NAMES.index(name) for col, row, name in stored["blocks"]
            }
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the stored split cannot be read ({error!r}): train the model again") from error
        return cls(grid, parts)


def default_edge_m(extent_m2: float, resolution_m: float) -> float:
    """Edge of the blocks: `BLOCKS_WANTED` of them fill the labelled extent, rounded to 1, 2 or 5 times 10^n.

    At least eight pixels, so that a block is a piece of ground and not a few pixels.

    Args:
        extent_m2: area of the box around a scene's labels, the largest of all scenes.
        resolution_m: pixel size.

    """
    edge = max(math.sqrt(extent_m2 / BLOCKS_WANTED), 8 * resolution_m)
    magnitude = 10.0 ** math.floor(math.log10(edge))
    return magnitude * min((1, 2, 5, 10), key=lambda step: abs(math.log(edge / (step * magnitude))))


def class_counts(
    scenes: Sequence[LabelledPixels], codes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Block keys (blocks,) and their labelled pixels by class (blocks, codes), over all scenes.

    Only pixels inside their polygon's home block count: those are used wherever the blocks go.
    """
    at_home = [pixels.blocks == pixels.homes for pixels in scenes]
    keys = np.concatenate([p.blocks[home] for p, home in zip(scenes, at_home, strict=True)])
    classes = np.concatenate([p.classes[home] for p, home in zip(scenes, at_home, strict=True)])
    known, numbers = np.unique(keys, return_inverse=True)
    counts = np.zeros((known.size, len(codes)), np.int64)
    for column, code in enumerate(codes):
        counts[:, column] = np.bincount(numbers[classes == code], minlength=known.size)
    return known, counts
