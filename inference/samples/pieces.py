"""What the windows of a sample set must hold: labelled polygons, large ones in pieces that fit a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from db.raster import Grid
from inference.samples.leaks import box_distances
from inference.training.blocks import BlockGrid, block_place
from inference.training.label_maps import UNLABELLED, LabelMap

FEWEST_HOLDERS = 6
"""Mines are not joined where that leaves a class of both to fewer mines and blocks than this."""
LARGEST_SHARE = 0.1
"""Joined mines hold at most this share of all labelled pixels."""
BY_MINE, BY_BLOCK, BY_SCENE = "mine ", "block ", "scenes "
"""How the name of a group begins."""


@dataclass(frozen=True)
class Pieces:
    """Labelled polygons, or parts of them, each small enough for a window; all arrays (pieces, ...).

    Attributes:
        scenes: place of the scene among those of the set.
        labels: key of the label.
        codes: class code.
        groups: number of the mine, block or group of scenes that is held out as a whole.
        boxes: (pieces, 4) first row, first column, last row + 1, last column + 1 in the scene's pixels.
        pixels: labelled pixels.
        places: (pieces, 4) the box in the CRS of the blocks, m: west, south, east, north.
        keys: name of each group, by number.

    """

    scenes: NDArray[np.int64]
    labels: NDArray[np.int64]
    codes: NDArray[np.int64]
    groups: NDArray[np.int64]
    boxes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    places: NDArray[np.float64]
    keys: tuple[str, ...]

    @property
    def is_by_scene(self) -> bool:
        """Whether scenes are held out."""
        return any(key.startswith(BY_SCENE) for key in self.keys)

    @property
    def is_by_mine(self) -> bool:
        """Whether mines are held out, perhaps beside blocks."""
        return any(key.startswith(BY_MINE) for key in self.keys)

    @property
    def group_word(self) -> str:
        """What is held out, for messages."""
        return "groups of scenes" if self.is_by_scene else "mines or blocks"

    def counts(self, codes: Sequence[int]) -> NDArray[np.int64]:
        """(groups, codes) labelled pixels of each group by class."""
        counts = np.zeros((len(self.keys), len(codes)), np.int64)
        for column, code in enumerate(codes):
            chosen = self.codes == code
            np.add.at(counts[:, column], self.groups[chosen], self.pixels[chosen])
        return counts


@dataclass(frozen=True)
class ScenePieces:
    """The pieces of one scene before they are grouped; arrays as in `Pieces`.

    Attributes:
        labels, codes, boxes, pixels, places: as there.
        blocks: key of the block each piece lies in.
        is_part: whether the piece is a part of a polygon too large for a window.

    """

    labels: NDArray[np.int64]
    codes: NDArray[np.int64]
    boxes: NDArray[np.int64]
    pixels: NDArray[np.int64]
    places: NDArray[np.float64]
    blocks: NDArray[np.int64]
    is_part: NDArray[np.bool_]


def pieces_of_scene(
    drawn: LabelMap,
    label_ids: NDArray[np.int64],
    grid: Grid,
    block_grid: BlockGrid,
    tile_px: int,
    margin_m: float,
    held: frozenset[int] = frozenset(),
) -> ScenePieces:
    """Cut the labels of a scene into what fits a window.

    A polygon that fits stays whole and lies in the block of its mean pixel. A larger one is cut at the lines
    between blocks, where a strip is left out so that windows on both sides keep their distance, and along
    half windows. One that is held out as a whole is cut along half windows only.

    Args:
        drawn: labels on the scene's grid.
        label_ids: (polygons,) key of the label that is polygon 1, 2, ... of the map.
        grid: the scene's.
        block_grid: blocks.
        tile_px: edge of the windows.
        margin_m: strip left out on either side of a line between blocks, m.
        held: labels that lie in a mine, or in a scene held out as a whole.

    """
    rows, cols = np.nonzero(drawn.polygons != UNLABELLED)
    polygons = drawn.polygons[rows, cols].astype(np.int64) - 1
    x, y = _in_blocks(grid, block_grid, rows + 0.5, cols + 0.5)
    blocks = block_grid.keys_at(x, y)
    known_blocks, block_numbers = np.unique(blocks, return_inverse=True)
    boxes = _boxes(polygons, rows, cols, label_ids.size)
    size = np.minimum([tile_px, tile_px], [grid.height_px, grid.width_px])
    is_large = np.any(boxes[:, 2:] - boxes[:, :2] > size, axis=1)
    is_held = np.isin(label_ids, list(held))

    large = is_large[polygons]
    at_blocks = large & ~is_held[polygons]
    depth = np.minimum.reduce(
        [x % block_grid.edge_m, -x % block_grid.edge_m, y % block_grid.edge_m, -y % block_grid.edge_m]
    )
    used = ~at_blocks | (depth >= margin_m)
    step = max(tile_px // 2, 1)
    across, down = grid.width_px // step + 1, grid.height_px // step + 1
    cell = np.where(large, (rows // step) * across + cols // step, 0)
    block = np.where(at_blocks, block_numbers, 0)
    key = ((polygons * max(known_blocks.size, 1) + block) * (across * down) + cell)[used]
    _, first, number, pixels = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    rows, cols, polygons = rows[used], cols[used], polygons[used]
    piece_boxes = _boxes(number, rows, cols, first.size)
    mean_x = np.bincount(number, x[used], first.size) / np.maximum(pixels, 1)
    mean_y = np.bincount(number, y[used], first.size) / np.maximum(pixels, 1)
    of_piece = polygons[first]
    home = np.where(at_blocks[used][first], blocks[used][first], block_grid.keys_at(mean_x, mean_y))
    return ScenePieces(
        labels=label_ids[of_piece],
        codes=drawn.classes[rows[first], cols[first]].astype(np.int64),
        boxes=piece_boxes,
        pixels=pixels.astype(np.int64),
        places=_places(grid, block_grid, piece_boxes),
        blocks=home,
        is_part=is_large[of_piece],
    )


def grouped(scenes: Sequence[ScenePieces], mines: Mapping[int, tuple[str, bool]]) -> Pieces:
    """Put the pieces of all scenes into mines and blocks.

    A label goes with its mine, in every scene; a polygon larger than a window only where the mine holds at
    least half of it. All others go with their block.

    Args:
        scenes: pieces of each scene.
        mines: for labels the code of their mine, and whether it holds at least half, from
            `db.samples.mines_of_labels`.

    """
    names: list[str] = []
    for pieces in scenes:
        for label, block, is_part in zip(
            pieces.labels.tolist(), pieces.blocks.tolist(), pieces.is_part.tolist(), strict=True
        ):
            mine, is_held = mines.get(label, (None, False))
            if mine is not None and (is_held or not is_part):
                names.append(f"{BY_MINE}{mine}")
            else:
                names.append("{}{} {}".format(BY_BLOCK, *block_place(block)))
    return _collected(scenes, names)


def grouped_by_scene(scenes: Sequence[ScenePieces], names: Sequence[str]) -> Pieces:
    """Put the pieces of all scenes into groups of scenes.

    Args:
        scenes: pieces of each scene.
        names: name of each scene's group.

    """
    return _collected(
        scenes, [name for pieces, name in zip(scenes, names, strict=True) for _ in range(pieces.labels.size)]
    )


def _collected(scenes: Sequence[ScenePieces], names: Sequence[str]) -> Pieces:
    """The pieces of all scenes, each in the group that is named."""
    keys, groups = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    return Pieces(
        scenes=np.repeat(np.arange(len(scenes)), [pieces.labels.size for pieces in scenes]),
        labels=np.concatenate([pieces.labels for pieces in scenes]),
        codes=np.concatenate([pieces.codes for pieces in scenes]),
        groups=groups.astype(np.int64),
        boxes=np.concatenate([pieces.boxes for pieces in scenes]),
        pixels=np.concatenate([pieces.pixels for pieces in scenes]),
        places=np.concatenate([pieces.places for pieces in scenes]),
        keys=tuple(str(key) for key in keys),
    )


def joined_mines(pieces: Pieces, codes: Sequence[int], reach_m: float) -> NDArray[np.int64]:
    """Which mines are held out together because windows round them could hardly be kept apart.

    Nearest first, mines whose labels lie within reach of each other are joined, unless that leaves a class of
    both to too few groups (`FEWEST_HOLDERS`) or makes a group too large (`LARGEST_SHARE`).

    Args:
        pieces: the pieces.
        codes: classes of the set.
        reach_m: distance of the boxes around their labels, m.

    Returns:
        (groups,) for each group the number of the one that it plays its part with, itself where alone.

    """
    leader = np.arange(len(pieces.keys))
    boxes = np.column_stack(
        [
            _extreme(function, pieces.groups, column, leader.size)
            for function, column in zip(
                (np.minimum, np.minimum, np.maximum, np.maximum), pieces.places.T, strict=True
            )
        ]
    )
    mines = np.flatnonzero([key.startswith(BY_MINE) for key in pieces.keys])
    counts = pieces.counts(codes)
    total = counts.sum()
    near = box_distances(boxes[mines][:, None], boxes[mines][None, :])
    first, second = np.nonzero(np.triu(near < reach_m, 1))
    for place in np.argsort(near[first, second], kind="stable"):
        a, b = leader[mines[first[place]]], leader[mines[second[place]]]
        if a == b or counts[a].sum() + counts[b].sum() > LARGEST_SHARE * total:
            continue
        both = (counts[a] > 0) & (counts[b] > 0)
        if (np.count_nonzero(counts, axis=0)[both] <= FEWEST_HOLDERS).any():
            continue
        a, b = min(a, b), max(a, b)
        leader[leader == b] = a
        counts[a] += counts[b]
        counts[b] = 0
    return leader


def _in_blocks(
    grid: Grid, block_grid: BlockGrid, rows: NDArray[Any], cols: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in a scene's pixels as x and y in the CRS of the blocks."""
    x = grid.origin_x + cols * grid.resolution_x
    y = grid.origin_y - rows * grid.resolution_y
    if grid.srid != block_grid.srid:
        x, y = pyproj.Transformer.from_crs(grid.srid, block_grid.srid, always_xy=True).transform(x, y)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _places(grid: Grid, block_grid: BlockGrid, boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    corners = [
        _in_blocks(grid, block_grid, boxes[:, row].astype(float), boxes[:, col].astype(float))
        for row in (0, 2)
        for col in (1, 3)
    ]
    x, y = np.array([corner[0] for corner in corners]), np.array([corner[1] for corner in corners])
    return np.column_stack((x.min(axis=0), y.min(axis=0), x.max(axis=0), y.max(axis=0)))


def _boxes(
    numbers: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """(count, 4) box around the pixels of each number; of a number without pixels all 0."""
    columns = [
        _extreme(np.minimum, numbers, rows, count),
        _extreme(np.minimum, numbers, cols, count),
        _extreme(np.maximum, numbers, rows + 1, count),
        _extreme(np.maximum, numbers, cols + 1, count),
    ]
    boxes = np.column_stack(columns)
    boxes[np.bincount(numbers, minlength=count) == 0] = 0
    return boxes.astype(np.int64)


def _extreme(
    function: np.ufunc, numbers: NDArray[np.int64], values: NDArray[np.generic], count: int
) -> NDArray[np.float64]:
    start = np.inf if function is np.minimum else -np.inf
    result = np.full(count, start)
    function.at(result, numbers, values)
    return result
