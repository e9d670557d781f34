"""Where the windows of a sample set lie: round the labels, inside the scene, clear of the other parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from db.raster import Grid
from inference.samples.leaks import Windows, close_pairs, without_leaks
from inference.samples.pieces import Pieces
from inference.training.blocks import SPLIT_NAMES

TRIES = 5
"""Places tried along each axis for a window that may be shifted and keep its labels."""


@dataclass(frozen=True)
class Placed:
    """Windows of which no two of different parts are close.

    Attributes:
        windows: the windows.
        groups: (windows,) number of the group each was made for.
        left_out: windows given up because they came too near to another part.
        lost: (pieces,) whether no window holds the piece.

    """

    windows: Windows
    groups: NDArray[np.int64]
    left_out: int
    lost: NDArray[np.bool_]


def place_windows(
    pieces: Pieces, parts: NDArray[np.int64], grids: Sequence[Grid], tile_px: int, gap_m: float
) -> Placed:
    """Lay windows round the pieces so that every piece lies wholly in one, and no two parts come close.

    Pieces of one group that fit a window share one. Where a window has room to be shifted it keeps away from
    the labels of other parts. Of windows of two parts that still come close, the ones of little value are
    given up; what they held is tried once more alone, in other places.

    Args:
        pieces: what to hold.
        parts: (groups,) 0 training, 1 validation, 2 test.
        grids: of the scenes.
        tile_px: edge of the windows; less only where a scene is smaller.
        gap_m: ground between windows of different parts, m, at least.

    """
    part_of = parts[pieces.groups]
    windows, groups = _round_all(pieces, part_of, grids, tile_px, gap_m)
    values = _values(windows, pieces, part_of)
    stays = without_leaks(close_pairs(windows, grids, gap_m), values)
    left_out = int((~stays).sum())
    windows, groups = windows.chosen(stays), groups[stays]
    windows, groups = _second_try(windows, groups, pieces, part_of, grids, tile_px, gap_m)
    lost = ~(_holding(windows, pieces, part_of).any_window)
    return Placed(windows, groups, left_out, lost)


def _round_all(
    pieces: Pieces, part_of: NDArray[np.int64], grids: Sequence[Grid], tile_px: int, gap_m: float
) -> tuple[Windows, NDArray[np.int64]]:
    """Windows round all pieces, and the group of each; windows of different parts may be close."""
    boxes, scenes, groups = [], [], []
    for number, grid in enumerate(grids):
        here = np.flatnonzero(pieces.scenes == number)
        if here.size == 0:
            continue
        surroundings = _Surroundings(pieces.boxes[here], part_of[here], gap_m / grid.resolution_x)
        for group in np.unique(pieces.groups[here]):
            mine = here[pieces.groups[here] == group]
            for union in _unions(pieces.boxes[mine], tile_px):
                choices = _shifted(union, grid, tile_px)
                boxes.append(surroundings.clearest(choices, int(part_of[mine[0]])))
                scenes.append(number)
                groups.append(int(group))
    found = np.array(groups, np.int64)
    lookup = {int(group): int(part) for group, part in zip(pieces.groups, part_of, strict=True)}
    window_parts = np.array([lookup[group] for group in groups], np.int64)
    windows = Windows(np.array(scenes, np.int64), np.array(boxes, np.int64).reshape(-1, 4), window_parts)
    # groups of one part may have come to the same window
    rows = np.column_stack((windows.scenes, windows.boxes, windows.parts))
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    return windows.chosen(first), found[first]


def _unions(boxes: NDArray[np.int64], tile_px: int) -> list[NDArray[np.int64]]:
    """Boxes no larger than a window, each round some of the given boxes; together they hold all.

    From the first one that is left in rows and columns on, the one joins that widens the box least.
    """
    left = np.ones(len(boxes), bool)
    order = np.lexsort((boxes[:, 1], boxes[:, 0]))
    unions = []
    for seed in order:
        if not left[seed]:
            continue
        left[seed] = False
        union = boxes[seed].copy()
        while True:
            others = np.flatnonzero(left)
            wider = np.column_stack(
                (np.minimum(boxes[others, :2], union[:2]), np.maximum(boxes[others, 2:], union[2:]))
            )
            sizes = wider[:, 2:] - wider[:, :2]
            fits = (sizes <= tile_px).all(axis=1)
            if not fits.any():
                break
            best = np.flatnonzero(fits)[np.argmin(sizes[fits].sum(axis=1))]
            union = wider[best]
            inside = (boxes[others, :2] >= union[:2]).all(axis=1) & (boxes[others, 2:] <= union[2:]).all(
                axis=1
            )
            left[others[inside]] = False
        unions.append(union)
    return unions


def _shifted(union: NDArray[np.int64], grid: Grid, tile_px: int) -> NDArray[np.int64]:
    """(choices, 4) full-sized windows that hold a box and lie inside the scene, the centred one first."""
    firsts, sizes = [], []
    for axis, edge in enumerate((grid.height_px, grid.width_px)):
        size = min(tile_px, edge)
        low, high = max(union[axis + 2] - size, 0), min(union[axis], edge - size)
        centred = int(np.clip((union[axis] + union[axis + 2] - size) // 2, low, high))
        steps = np.linspace(low, high, TRIES).round().astype(int).tolist()
        firsts.append(list(dict.fromkeys([centred, *steps])))
        sizes.append(size)
    return np.array(
        [(row, col, row + sizes[0], col + sizes[1]) for row in firsts[0] for col in firsts[1]], np.int64
    )


class _Surroundings:
    """The labels of a scene, asked for those of other parts near a window."""

    def __init__(self, boxes: NDArray[np.int64], parts: NDArray[np.int64], gap_px: float) -> None:
        self._parts = parts
        self._gap_px = gap_px
        self._boxes = boxes
        self._tree = shapely.STRtree(shapely.box(boxes[:, 1], boxes[:, 0], boxes[:, 3], boxes[:, 2]))

    def clearest(self, choices: NDArray[np.int64], part: int) -> NDArray[np.int64]:
        """The window that reaches least over labels of other parts; of equal ones the first."""
        gap = self._gap_px
        areas = shapely.box(
            choices[:, 1] - gap, choices[:, 0] - gap, choices[:, 3] + gap, choices[:, 2] + gap
        )
        window, piece = self._tree.query(areas, predicate="intersects")
        foreign = self._parts[piece] != part
        # a piece counts by how far the window reaches over it
        a, b = choices[window[foreign]], self._boxes[piece[foreign]]
        depth = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + gap).clip(1).min(axis=1)
        burden = np.bincount(window[foreign], depth, len(choices))
        best: NDArray[np.int64] = choices[int(np.argmin(burden))]
        return best


@dataclass(frozen=True)
class _Holding:
    """Which window holds which piece of its own part, two arrays (pairs,); whether any does, (pieces,)."""

    windows: NDArray[np.int64]
    pieces: NDArray[np.int64]
    any_window: NDArray[np.bool_]


def _holding(windows: Windows, pieces: Pieces, part_of: NDArray[np.int64]) -> _Holding:
    found_windows, found_pieces = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for scene in np.unique(windows.scenes):
        chosen = np.flatnonzero(windows.scenes == scene)
        here = np.flatnonzero(pieces.scenes == scene)
        if here.size == 0:
            continue
        top, left, bottom, right = pieces.boxes[here].T
        tree = shapely.STRtree(shapely.box(left, top, right, bottom))
        box = windows.boxes[chosen]
        window, piece = tree.query(
            shapely.box(box[:, 1], box[:, 0], box[:, 3], box[:, 2]), predicate="covers"
        )
        same = windows.parts[chosen[window]] == part_of[here[piece]]
        found_windows.append(chosen[window[same]])
        found_pieces.append(here[piece[same]])
    held = np.zeros(pieces.labels.size, bool)
    which = np.concatenate(found_pieces)
    held[which] = True
    return _Holding(np.concatenate(found_windows), which, held)


def _values(windows: Windows, pieces: Pieces, part_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Worth of each window: its share of the labelled pixels of a class in its part, summed over classes."""
    holding = _holding(windows, pieces, part_of)
    totals = np.zeros((len(SPLIT_NAMES), 256))
    np.add.at(totals, (part_of, pieces.codes), pieces.pixels)
    shares = pieces.pixels / totals[part_of, pieces.codes]
    # a window that holds no whole piece is worth nothing, and weights must not be 0
    return np.asarray(np.bincount(holding.windows, shares[holding.pieces], len(windows)) + 1e-9, np.float64)


def _second_try(
    windows: Windows,
    groups: NDArray[np.int64],
    pieces: Pieces,
    part_of: NDArray[np.int64],
    grids: Sequence[Grid],
    tile_px: int,
    gap_m: float,
) -> tuple[Windows, NDArray[np.int64]]:
    """Windows round single pieces that none holds yet, where one of several places is clear."""
    bare = np.flatnonzero(~_holding(windows, pieces, part_of).any_window)
    if bare.size == 0:
        return windows, groups
    choices = [_shifted(pieces.boxes[place], grids[pieces.scenes[place]], tile_px) for place in bare]
    owner = np.repeat(bare, [len(each) for each in choices])
    more = Windows(pieces.scenes[owner], np.concatenate(choices), part_of[owner])
    kept = len(windows)
    pairs = close_pairs(windows.with_others(more), grids, gap_m)
    is_barred = np.zeros(len(more), bool)
    is_barred[pairs[(pairs[:, 0] < kept) & (pairs[:, 1] >= kept), 1] - kept] = True
    among = pairs[pairs[:, 0] >= kept] - kept
    # millions of pairs on crowded ground: rivals of window i are rivals[start[i] : start[i + 1]]
    either = np.concatenate((among, among[:, ::-1]))
    rivals = either[np.argsort(either[:, 0], kind="stable"), 1]
    start = np.concatenate(([0], np.cumsum(np.bincount(either[:, 0], minlength=len(more)))))
    holding = _holding(more, pieces, part_of)
    held_by: dict[int, list[int]] = {}
    for window, piece in zip(holding.windows.tolist(), holding.pieces.tolist(), strict=True):
        held_by.setdefault(window, []).append(piece)
    done: set[int] = set()
    taken: list[int] = []
    # the rare first: a piece is worth its share of its class
    totals = np.bincount(pieces.codes, pieces.pixels, 256)
    worth = (pieces.pixels / totals[pieces.codes])[owner]
    for place in np.argsort(-worth, kind="stable").tolist():
        if int(owner[place]) in done or is_barred[place]:
            continue
        taken.append(place)
        done.update(held_by.get(place, ()))
        is_barred[rivals[start[place] : start[place + 1]]] = True
    chosen = np.array(taken, np.int64)
    return windows.with_others(more.chosen(chosen)), np.concatenate((groups, pieces.groups[owner[chosen]]))
