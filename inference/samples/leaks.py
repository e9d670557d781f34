"""Leaks between the parts of a sample set: windows of two parts on the same ground, in any scene and year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from db.raster import Grid

TOUCH_M = 1e-6
"""Windows this near touch."""
_EDGE_POINTS = 8


@dataclass(frozen=True)
class Windows:
    """Windows of several scenes with the part they play.

    Attributes:
        scenes: (windows,) place of the scene in a list of grids.
        boxes: (windows, 4) first row, first column, last row + 1, last column + 1 in the scene's pixels.
        parts: (windows,) 0 training, 1 validation, 2 test.

    """

    scenes: NDArray[np.int64]
    boxes: NDArray[np.int64]
    parts: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.scenes.size)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Windows:
        """Some of the windows."""
        return Windows(self.scenes[which], self.boxes[which], self.parts[which])

    def with_others(self, others: Windows) -> Windows:
        """These windows followed by others."""
        return Windows(
            np.concatenate((self.scenes, others.scenes)),
            np.concatenate((self.boxes, others.boxes)),
            np.concatenate((self.parts, others.parts)),
        )


def close_pairs(windows: Windows, grids: Sequence[Grid], gap_m: float) -> NDArray[np.int64]:
    """Pairs of windows of different parts that overlap, touch, or lie nearer to each other than the gap.

    Distances are measured in the plane of the first window's scene, so they differ from those on the ground
    by the scale of its projection, 0.1 % at the edge of a UTM zone.

    Args:
        windows: the windows.
        grids: of the scenes.
        gap_m: distance wanted, m; 0: they only must not touch.

    Returns:
        (pairs, 2) places in the windows, the smaller first, in order.

    """
    if len(windows) < 2:
        return np.zeros((0, 2), np.int64)
    planar = _planar(windows, grids)
    srids = np.array([grid.srid for grid in grids])[windows.scenes]
    candidates = _near(windows, planar, srids, gap_m)
    first, second = candidates.T
    distances = box_distances(planar[first], planar[second])
    transformers: dict[tuple[int, int], pyproj.Transformer] = {}
    for place in np.flatnonzero(srids[first] != srids[second]):
        a, b = first[place], second[place]
        zones = int(srids[b]), int(srids[a])
        if zones not in transformers:
            transformers[zones] = pyproj.Transformer.from_crs(*zones, always_xy=True)
        moved = shapely.transform(
            _bending_box(planar[b]),
            lambda xy, to=transformers[zones]: np.column_stack(to.transform(*xy.T)),
        )
        distances[place] = shapely.distance(shapely.box(*planar[a]), moved)
    is_close = (distances < gap_m - TOUCH_M) | (distances <= TOUCH_M)
    return candidates[is_close]


def outlines(windows: Windows, grids: Sequence[Grid]) -> list[shapely.Polygon]:
    """Outline of each window in EPSG:4326, with points along the edges, which bend there."""
    planar = _planar(windows, grids)
    shapes: list[shapely.Polygon] = [shapely.Polygon()] * len(windows)
    for number, grid in enumerate(grids):
        to_lonlat = pyproj.Transformer.from_crs(grid.srid, 4326, always_xy=True)
        for place in np.flatnonzero(windows.scenes == number):
            box = _bending_box(planar[place])
            shapes[place] = shapely.transform(
                box, lambda xy, to=to_lonlat: np.column_stack(to.transform(*xy.T))
            )
    return shapes


def box_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of boxes (..., 4) west, south, east, north; 0 where they touch or overlap."""
    across = np.maximum(0, np.maximum(a[..., 0] - b[..., 2], b[..., 0] - a[..., 2]))
    along = np.maximum(0, np.maximum(a[..., 1] - b[..., 3], b[..., 1] - a[..., 3]))
    distance: NDArray[np.float64] = np.hypot(across, along)
    return distance


def without_leaks(pairs: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Choose windows to leave out so that no pair remains, of little value and in many pairs first.

    Args:
        pairs: (pairs, 2) from `close_pairs`.
        values: (windows,) worth of each window, above 0.

    Returns:
        (windows,) whether the window stays. No window that was left out could come back alone.

    """
    stays = np.ones(values.size, bool)
    neighbours: list[list[int]] = [[] for _ in range(values.size)]
    for a, b in pairs.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    open_pairs = np.array([len(near) for near in neighbours])
    while open_pairs.any():
        worst = int(np.argmax(open_pairs / values))
        stays[worst] = False
        open_pairs[worst] = 0
        for near in neighbours[worst]:
            if stays[near]:
                open_pairs[near] -= 1
    for place in np.flatnonzero(~stays)[np.argsort(-values[~stays], kind="stable")].tolist():
        if not any(stays[near] for near in neighbours[place]):
            stays[place] = True
    return stays


def _bending_box(bounds: NDArray[np.float64]) -> shapely.Polygon:
    """A box with points along its edges, which bend in another CRS."""
    return shapely.segmentize(shapely.box(*bounds), (bounds[2] - bounds[0]) / _EDGE_POINTS)


def _planar(windows: Windows, grids: Sequence[Grid]) -> NDArray[np.float64]:
    """(windows, 4) west, south, east, north in the CRS of each window's scene."""
    numbers = np.array([(g.origin_x, g.origin_y, g.resolution_x, g.resolution_y) for g in grids], float)
    x, y, width, height = numbers.reshape(-1, 4)[windows.scenes].T
    top, left, bottom, right = windows.boxes.T
    return np.column_stack((x + left * width, y - bottom * height, x + right * width, y - top * height))


def _near(
    windows: Windows, planar: NDArray[np.float64], srids: NDArray[np.int64], gap_m: float
) -> NDArray[np.int64]:
    """(pairs, 2) windows of different parts whose centres are near enough for them to be close.

    Centres are compared in space, so that neither zones nor the date line matter.
    """
    centres = np.zeros((len(windows), 3))
    for srid in np.unique(srids):
        chosen = srids == srid
        to_lonlat = pyproj.Transformer.from_crs(int(srid), 4326, always_xy=True)
        lon, lat = to_lonlat.transform(
            planar[chosen][:, [0, 2]].mean(axis=1), planar[chosen][:, [1, 3]].mean(axis=1)
        )
        to_space = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)
        centres[chosen] = np.column_stack(to_space.transform(lon, lat, np.zeros_like(lon)))
    widest = float(np.hypot(planar[:, 2] - planar[:, 0], planar[:, 3] - planar[:, 1]).max())
    reach = (widest + gap_m) * 1.02  # the scale of any transverse Mercator zone, with room
    found = []
    for part, other in ((0, 1), (0, 2), (1, 2)):
        first, second = np.flatnonzero(windows.parts == part), np.flatnonzero(windows.parts == other)
        if not (first.size and second.size):
            continue
        lists = cKDTree(centres[first]).query_ball_tree(cKDTree(centres[second]), reach)
        lengths = [len(each) for each in lists]
        partners = np.array([place for each in lists for place in each], np.int64)
        found.append(np.column_stack((np.repeat(first, lengths), second[partners])))
    if not found:
        return np.zeros((0, 2), np.int64)
    pairs = np.sort(np.concatenate(found), axis=1)
    ordered: NDArray[np.int64] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return ordered
