"""Which patches are trained on, which choose the epoch, which are the test: blocks of ground, with a gap.

Patches that overlap show the same ground, and so do patches on two sides of one deposit. So whole blocks go
to training, validation or test; positive ground that hangs together goes with the block that holds most of
it; and a patch is used only where it and the cells round it belong to one part. Patches of two parts then
have at least two cells between them, and no deposit is both learned from and asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyproj
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from db.errors import UsageError
from db.raster import Grid
from inference.prospect.patches import Patches, window_counts
from inference.training.blocks import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    BlockGrid,
    block_place,
    default_edge_m,
)
from inference.training.split_search import SHARES, search_split

PARTS = (TRAIN, VALIDATION, TEST)
UNUSED = 255
"""Part of patches that come too near to another part."""
MARGIN_PX = 1
"""Cells round a patch that must belong to its part too."""
LEAST_PATCHES_ACROSS, USUAL_PATCHES_ACROSS = 2, 3
"""Edge of a block in patches: of the smallest block, and of the smallest that is tried first."""
SPLITS_TRIED = 4
GOOD_COST = 0.1
"""A split this near to 6:2:2, with so few positive patches lost, ends the search."""
MOST_BLOCKS, MOST_BLOCKS_TRIED = 1000, 400
"""More would take the search minutes; and where nobody asked for so many, half a minute."""
_AT_TEST, _AT_GAP = -(1 << 62), -(1 << 62) + 1  # no block's key: those of one grid are far smaller


@dataclass(frozen=True)
class Parallel:
    """All ground beyond a parallel is the test.

    Attributes:
        side: north or south of it.
        latitude: degrees, -90..90.

    """

    side: Literal["north", "south"]
    latitude: float

    def __post_init__(self) -> None:
        if not -90 <= self.latitude <= 90:
            raise UsageError(f"the parallel is {self.latitude:g}: give a latitude of -90 to 90 degrees")


@dataclass(frozen=True)
class PatchSplit:
    """What part each patch plays.

    Attributes:
        edge_m: edge of the blocks, m.
        parts: (patches,) 0 training, 1 validation, 2 test, 255 not used.
        blocks: (patches,) key of the block that holds the patch's middle, see `inference.training.blocks`.
        places: pieces of positive ground that hang together, by part.

    """

    edge_m: float
    parts: NDArray[np.uint8]
    blocks: NDArray[np.int64]
    places: tuple[int, int, int]


def split_patches(
    patches: Patches,
    grid: Grid,
    pieces: NDArray[np.int32],
    *,
    block_m: float | None,
    parallel: Parallel | None,
    seed: int,
) -> PatchSplit:
    """Give each patch its part.

    Without a parallel blocks are dealt 6:2:2 so that positive and negative patches each are spread like that;
    with one, all beyond it is the test, ground within one patch of it is not used, and the blocks of the rest
    are dealt 8:2 to training and validation. The default edge of the blocks puts about a hundred on the
    ground; it is halved where that serves the balance, or a part would lack positive or negative patches.

    Args:
        patches: positive and negative ones.
        grid: of the ground, in metres.
        pieces: (height, width) which positive ground hangs together, from 1; see
            `inference.prospect.deposits.PositiveGround`.
        block_m: edge of the blocks, m; None: by the extent.
        parallel: what is the test; None: blocks.
        seed: of the search.

    Raises:
        UsageError: blocks too small or too many, a parallel that leaves a side empty, or a part without
            positive or without negative patches.

    """
    count = int(pieces.max(initial=0))
    sides = None if parallel is None else _sides(grid, parallel, patches.patch_px)
    if sides is not None and parallel is not None:
        _check_sides(patches, sides, parallel)
    best: tuple[float, PatchSplit] | None = None
    for edge_m in _edges(patches.patch_px, grid, block_m):
        ground = _Blocks.of(BlockGrid(grid.srid, edge_m), grid, pieces, sides)
        known, counts = _whole_patches(ground, patches)
        if known.size == 0:
            continue
        is_promising = ((counts[:, :2] > 0).sum(axis=0) >= len(PARTS) - (parallel is not None)).all()
        for number in range(SPLITS_TRIED if is_promising else 1):
            parts = _dealt(ground, patches, known, search_split(counts, seed + number))
            places = _places(pieces, count, patches, parts)
            found = PatchSplit(edge_m, parts, ground.keys[patches.centres], places)
            cost = _cost(found, patches)
            if best is None or cost < best[0]:
                best = cost, found
        if best is not None and best[0] < GOOD_COST:
            break
    if best is None or math.isinf(best[0]):
        shown = "no patch lies in one block" if best is None else _counts_text(best[1], patches)
        raise UsageError(_part_lacks(shown, block_m, parallel, count))
    return best[1]


@dataclass(frozen=True)
class _Blocks:
    """Blocks on the cells of a ground.

    Attributes:
        keys: (height, width) block of each cell, also beyond a parallel.
        labels: (labels,) blocks in order; `_AT_TEST` and `_AT_GAP`: beyond and at a parallel.
        own: (height, width) place in ``labels`` of each cell.
        home: the same; cells of positive ground that hangs together have the label that most of them have.
        home_of: (pieces + 1,) that label of each piece of such ground, counted from 1.

    """

    keys: NDArray[np.int64]
    labels: NDArray[np.int64]
    own: NDArray[np.int64]
    home: NDArray[np.int64]
    home_of: NDArray[np.int64]

    @classmethod
    def of(
        cls, blocks: BlockGrid, grid: Grid, clusters: NDArray[np.int32], sides: NDArray[np.int64] | None
    ) -> _Blocks:
        """Lay blocks over the cells of a ground."""
        rows, cols = np.arange(grid.height_px)[:, None], np.arange(grid.width_px)[None, :]
        keys = blocks.keys_of_pixels(grid, rows, cols)
        labels, own = np.unique(
            keys if sides is None else np.where(sides == 0, keys, sides), return_inverse=True
        )
        own = own.reshape(keys.shape)
        held = clusters > 0
        pairs, counts = np.unique(np.stack((clusters[held], own[held])), axis=1, return_counts=True)
        home_of = np.zeros(int(clusters.max(initial=0)) + 1, np.int64)
        order = np.argsort(counts, kind="stable")  # the last one that is written holds most
        home_of[pairs[0, order]] = pairs[1, order]
        home = own.copy()
        home[held] = home_of[clusters[held]]
        return cls(keys, labels, own, home, home_of)


def _edges(patch_px: int, grid: Grid, block_m: float | None) -> list[float]:
    """Edges of blocks to be tried, m, the largest first."""
    cell_m = max(grid.resolution_x, grid.resolution_y)
    area_m2 = grid.height_px * grid.width_px * grid.resolution_x * grid.resolution_y
    least_m = (LEAST_PATCHES_ACROSS * patch_px + 2 * MARGIN_PX) * cell_m
    if block_m is not None:
        if not (math.isfinite(block_m) and block_m >= least_m):
            raise UsageError(
                f"blocks of {block_m:g} m are too small for patches of {patch_px * cell_m:g} m: give a "
                f"--block-m of at least {least_m:g}"
            )
        if area_m2 / block_m**2 > MOST_BLOCKS:
            raise UsageError(
                f"blocks of {block_m:g} m are more than {MOST_BLOCKS}: give a --block-m of at least "
                f"{math.ceil(math.sqrt(area_m2 / MOST_BLOCKS))}"
            )
        return [block_m]
    edge_m = max(default_edge_m(area_m2, cell_m), USUAL_PATCHES_ACROSS * patch_px * cell_m, least_m)
    edges = [edge_m]
    while edge_m / 2 >= least_m and area_m2 / (edge_m / 2) ** 2 <= MOST_BLOCKS_TRIED:
        edge_m /= 2
        edges.append(edge_m)
    return edges


def _sides(grid: Grid, parallel: Parallel, patch_px: int) -> NDArray[np.int64]:
    """(height, width): `_AT_TEST` beyond the parallel, `_AT_GAP` within one patch of that, 0 elsewhere."""
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    to_lonlat = pyproj.Transformer.from_crs(grid.srid, 4326, always_xy=True)
    latitudes = to_lonlat.transform(*np.meshgrid(x, y))[1]
    is_test = latitudes > parallel.latitude if parallel.side == "north" else latitudes < parallel.latitude
    near = ndimage.maximum_filter(is_test, size=2 * patch_px + 1, mode="constant", cval=False)
    sides = np.where(is_test, _AT_TEST, np.where(near, _AT_GAP, 0))
    return np.asarray(sides, np.int64)


def _check_sides(patches: Patches, sides: NDArray[np.int64], parallel: Parallel) -> None:
    at = sides[patches.centres]
    for is_side, what in ((at == _AT_TEST, parallel.side), (at == 0, "the other side")):
        for is_wanted, kind in ((patches.is_positive, "positive"), (~patches.is_positive, "negative")):
            if not (is_side & is_wanted).any():
                where = f"{what} of {parallel.latitude:g}" if what == parallel.side else "on the other side"
                raise UsageError(
                    f"no {kind} patch lies {where}: choose another parallel, or leave it out to "
                    "split by block"
                )


def _whole_patches(ground: _Blocks, patches: Patches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Blocks that hold whole patches with all their positive ground, and what they hold.

    (blocks,) keys and (blocks, 3) negative patches, positive ones, and places of positive ground at home
    there. Such patches are used whatever parts the blocks go to.
    """
    height, width = ground.own.shape
    top, left = np.maximum(patches.rows - MARGIN_PX, 0), np.maximum(patches.cols - MARGIN_PX, 0)
    bottom = np.minimum(patches.rows + patches.patch_px + MARGIN_PX, height) - 1
    right = np.minimum(patches.cols + patches.patch_px + MARGIN_PX, width) - 1
    corner = ground.own[top, left]
    strays = window_counts(ground.own != ground.home, patches.rows, patches.cols, patches.patch_px, MARGIN_PX)
    is_whole = (
        (corner == ground.own[bottom, right])
        & (corner == ground.own[top, right])
        & (corner == ground.own[bottom, left])
        & (strays == 0)
        & (ground.labels[corner] > _AT_GAP)
    )
    known, numbers = np.unique(ground.labels[corner[is_whole]], return_inverse=True)
    counts = np.zeros((known.size, 3), np.int64)
    np.add.at(counts, (numbers, patches.is_positive[is_whole].astype(np.int64)), 1)
    places = np.bincount(ground.home_of[1:], minlength=ground.labels.size)
    counts[:, 2] = places[np.searchsorted(ground.labels, known)]
    return known, counts


def _dealt(
    ground: _Blocks, patches: Patches, known: NDArray[np.int64], dealt: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(patches,) parts, from the parts of the known blocks; other blocks go with the nearest known one."""
    if (ground.labels == _AT_TEST).any():  # of the search's three parts the test is our validation
        dealt = np.where(dealt == TEST, np.uint8(VALIDATION), np.uint8(TRAIN))
    parts = np.full(ground.labels.size, UNUSED, np.uint8)
    is_block = ground.labels > _AT_GAP
    nearest = cKDTree(_places_of(known)).query(_places_of(ground.labels[is_block]))[1]
    parts[is_block] = dealt[nearest]
    parts[ground.labels == _AT_TEST] = TEST
    own, home = parts[ground.own], parts[ground.home]
    cells = np.where(own == home, own, np.uint8(UNUSED))
    at = patches.rows, patches.cols, patches.patch_px, MARGIN_PX
    sizes = window_counts(np.ones(cells.shape, bool), *at)
    found = np.full(len(patches), UNUSED, np.uint8)
    for part in PARTS:
        found[window_counts(cells == part, *at) == sizes] = part
    return found


def _places_of(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    """(blocks, 2) column and row of each block."""
    return np.array([block_place(int(key)) for key in keys], float)


def _places(
    clusters: NDArray[np.int32], count: int, patches: Patches, parts: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Clusters that the positive patches of each part hold cells of."""
    found = []
    for part in PARTS:
        chosen = patches.chosen(patches.is_positive & (parts == part))
        covered = np.zeros(clusters.shape, bool)
        for row, col in zip(chosen.rows.tolist(), chosen.cols.tolist(), strict=True):
            covered[row : row + patches.patch_px, col : col + patches.patch_px] = True
        found.append(int((np.bincount(clusters[covered], minlength=count + 1)[1:] > 0).sum()))
    return found[0], found[1], found[2]


def _counts(found: PatchSplit, patches: Patches) -> NDArray[np.int64]:
    """(parts, 3) negative patches, positive ones, and places of each part."""
    is_positive = patches.is_positive
    return np.array(
        [
            [int(((found.parts == part) & (is_positive == kind)).sum()) for kind in (False, True)] + [places]
            for part, places in zip(PARTS, found.places, strict=True)
        ]
    )


def _cost(found: PatchSplit, patches: Patches) -> float:
    """Squared distance to 6:2:2 of both kinds and of the places, and the share of positive patches lost.

    Infinite where a part lacks a kind.
    """
    counts = _counts(found, patches)
    if (counts == 0).any():
        return math.inf
    apart = float(((counts / counts.sum(axis=0) - np.array(SHARES)[:, None]) ** 2).sum())
    return apart + 1 - float(counts[:, 1].sum() / patches.is_positive.sum())


def _counts_text(found: PatchSplit, patches: Patches) -> str:
    return ", ".join(
        f"{SPLIT_NAMES[part]} {positive} positive and {negative} negative"
        for part, (negative, positive, _places) in enumerate(_counts(found, patches).tolist())
    )


def _part_lacks(shown: str, block_m: float | None, parallel: Parallel | None, places: int) -> str:
    blocks = "any edge of the blocks" if block_m is None else f"blocks of {block_m:g} m"
    if places < len(PARTS):
        advice = "bring more deposits or larger ground"
    elif parallel is not None:
        advice = "choose another parallel, with two places at least on the side that is trained on"
    else:
        advice = "try another --block-m or --seed"
    return (
        f"with {blocks} not every part holds positive and negative patches ({shown}); there are {places} "
        f"places of positive ground, and each part needs one of its own: {advice}"
    )
