"""Lines, polygons and points against the cells of a grid: what lies how near to each cell's centre.

Everything is measured in the plane of the grid, in its unit (metres), and exactly: to the edges as they are,
not to cells that they were painted into. Edges are straight between their vertices. Arrays of a grid are
``(height, width)``, row 0 in the north.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from db.jit import compiled, read_only
from db.raster import Grid

Floats = npt.NDArray[np.float64]

MEET_M = 1.0
"""Traces that come nearer to each other than about this are taken to meet: they are never mapped better."""

_CELLS_AT_ONCE = 1 << 20
"""Cells that are asked for at once whether they lie inside a polygon: their coordinates take memory."""

_NOISE_M = 1e-6
"""Sums of lengths below this are what rounding left of none."""


def edges_of(shapes: Sequence[shapely.Geometry]) -> Floats:
    """Edges of lines, or of all rings of polygons; equal ones once, those without length left out.

    Args:
        shapes: lines or polygons, single or multi.

    Returns:
        ``(n, 4)``: x and y of both ends.

    """
    parts = shapely.get_parts(np.asarray(shapes, object))
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    lines = np.concatenate([parts[~is_polygon], shapely.get_rings(parts[is_polygon])])
    xy, line = shapely.get_coordinates(lines, return_index=True)
    edges = np.hstack([xy[:-1], xy[1:]])[line[:-1] == line[1:]]
    # The lower end first, so that a border that two polygons share is found equal.
    is_turned = (edges[:, 0] > edges[:, 2]) | ((edges[:, 0] == edges[:, 2]) & (edges[:, 1] > edges[:, 3]))
    edges[is_turned] = edges[is_turned][:, [2, 3, 0, 1]]
    edges = edges[(edges[:, :2] != edges[:, 2:]).any(axis=1)]
    unique: Floats = np.unique(edges, axis=0)
    return unique


def distance_to_edges(grid: Grid, edges: Floats) -> Floats:
    """Distance of each cell's centre to the nearest edge.

    The grid is halved in both directions again and again. With m the distance of a box's centre to the
    nearest edge and h half the diagonal of its cells' centres, no edge farther than m + 2 h from the centre
    is the nearest one to any of them, and none such is looked at within the box again.

    Args:
        grid: the grid.
        edges: ``(n, 4)``, one at least, as `edges_of` returns them.

    Returns:
        ``(height, width)`` float64.

    """
    if not len(edges):
        raise ValueError("there is no edge to measure the distance to")
    out = np.empty((grid.height_px, grid.width_px))
    _fill_distances(read_only(_local(grid, edges)), grid.resolution_x, grid.resolution_y, out)
    return out


def is_inside(grid: Grid, polygons: Sequence[shapely.Geometry]) -> npt.NDArray[np.bool_]:
    """Whether each cell's centre lies in one of the polygons, single or multi; holes are outside."""
    inside = np.zeros((grid.height_px, grid.width_px), bool)
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    for polygon in shapely.get_parts(np.asarray(polygons, object)):
        west, south, east, north = polygon.bounds
        left, right = np.searchsorted(x, (west, east))
        top, bottom = np.searchsorted(-y, (-north, -south))
        shapely.prepare(polygon)
        strip = max(1, _CELLS_AT_ONCE // max(1, right - left))
        for first in range(top, bottom, strip):
            window = inside[first : min(first + strip, bottom), left:right]
            rows, cols = np.nonzero(~window)
            window[rows, cols] = shapely.contains_xy(polygon, x[left + cols], y[first + rows])
    return inside


def length_within(grid: Grid, edges: Floats, radius_m: float) -> Floats:
    """Length of the edges within a radius of each cell's centre, (height, width) float64, m."""
    steps = np.zeros((grid.height_px, grid.width_px + 1))
    _add_lengths(read_only(_local(grid, edges)), radius_m, grid.resolution_x, grid.resolution_y, steps)
    length: Floats = np.cumsum(steps, axis=1, out=steps)[:, :-1]
    length[length < _NOISE_M] = 0
    return length


def count_within(grid: Grid, points: Floats, radius_m: float) -> npt.NDArray[np.int32]:
    """How many of the points ``(n, 2)`` lie within a radius of each cell's centre, (height, width)."""
    steps = np.zeros((grid.height_px, grid.width_px + 1), np.int32)
    local = _local(grid, np.hstack([points, points]))
    _add_points(read_only(local), radius_m, grid.resolution_x, grid.resolution_y, steps)
    count: npt.NDArray[np.int32] = np.cumsum(steps, axis=1, out=steps)[:, :-1]
    return count


def intersections(lines: Sequence[shapely.Geometry], meet_m: float = MEET_M) -> Floats:
    """Points where lines cross, or where one ends on another.

    These are the nodes of three branches or more of the network that the lines form (nodes Y and X of
    Sanderson and Nixon 2015, doi 10.1016/j.jsg.2015.01.005). Where just two ends meet, one line goes on in
    the other: into how many pieces or features a fault was divided does not count. Lines on top of each other
    are one.

    Args:
        lines: lines, single or multi.
        meet_m: corners and crossings are moved to multiples of this, so that a line that ends beside another
            by less than about that ends on it.

    Returns:
        ``(n, 2)``: x and y of each, multiples of ``meet_m``.

    """
    branches = shapely.get_parts(shapely.union_all(np.asarray(lines, object), grid_size=meet_m))
    branches = branches[shapely.get_type_id(branches) == shapely.GeometryType.LINESTRING]
    ends = np.vstack([shapely.get_coordinates(shapely.get_point(branches, place)) for place in (0, -1)])
    nodes, degree = np.unique(ends, axis=0, return_counts=True)
    found: Floats = nodes[degree >= 3]
    return found


def _local(grid: Grid, edges: Floats) -> Floats:
    """Ends from the grid's upper left corner, y downwards: small numbers keep all their digits."""
    offset = np.array([grid.origin_x, grid.origin_y] * 2)
    local: Floats = (edges - offset) * np.array([1.0, -1.0, 1.0, -1.0])
    return local


@compiled
def _squared(edges: Floats, edge: int, x: float, y: float) -> float:
    """Squared distance of a point to an edge."""
    ax, ay = edges[edge, 0], edges[edge, 1]
    dx, dy = edges[edge, 2] - ax, edges[edge, 3] - ay
    x -= ax
    y -= ay
    square = dx * dx + dy * dy
    if square > 0:  # else so short that its square is no number above 0: a point
        along = min(max((x * dx + y * dy) / square, 0.0), 1.0)
        x -= along * dx
        y -= along * dy
    return x * x + y * y


@compiled
def _fill_distances(edges: Floats, step_x: float, step_y: float, out: Floats) -> None:
    height, width = out.shape
    depth = 2 + math.ceil(math.log2(max(height, width, 2)))
    # Boxes that wait: rows, columns, and the part of `kept` with the edges that count in the box around it.
    boxes = np.empty((4 * depth, 6), np.int64)
    boxes[0] = (0, height, 0, width, 0, len(edges))
    waiting = 1
    # A box's own edges follow those of the box around it, which its sisters still need.
    kept = np.empty((depth + 1) * len(edges), np.int32)
    kept[: len(edges)] = np.arange(len(edges))
    squared = np.empty(len(edges))
    while waiting:
        waiting -= 1
        top, bottom, left, right, begin, end = boxes[waiting]
        x, y = (left + right) / 2 * step_x, (top + bottom) / 2 * step_y
        half = math.hypot((right - left - 1) / 2 * step_x, (bottom - top - 1) / 2 * step_y)
        least = np.inf
        for place in range(begin, end):
            squared[place - begin] = _squared(edges, kept[place], x, y)
            least = min(least, squared[place - begin])
        if bottom - top == 1 and right - left == 1:
            out[top, left] = math.sqrt(least)
            continue
        reach = (math.sqrt(least) + 2 * half) * (1 + 1e-9) + 1e-6
        after = end
        for place in range(begin, end):
            if squared[place - begin] <= reach * reach:
                kept[after] = kept[place]
                after += 1
        middle_row, middle_col = (top + bottom + 1) // 2, (left + right + 1) // 2
        for first_row, last_row in ((top, middle_row), (middle_row, bottom)):
            for first_col, last_col in ((left, middle_col), (middle_col, right)):
                if first_row < last_row and first_col < last_col:
                    boxes[waiting] = (first_row, last_row, first_col, last_col, end, after)
                    waiting += 1


@compiled
def _clip(cells: int, first: float, last: float) -> tuple[int, int]:
    """First cell, and the one after the last, whose centres lie from ``first`` to ``last``, in cells."""
    begin = math.ceil(max(first - 0.5, 0.0))
    end = math.floor(min(last - 0.5, cells - 1.0)) + 1
    return begin, max(begin, end)


@compiled
def _add_lengths(edges: Floats, radius: float, step_x: float, step_y: float, steps: Floats) -> None:
    """Add to the row-wise differences of what `length_within` returns.

    Cells that see a whole edge get its length by two steps; only those that see a part of it are looked at.
    """
    height, width = steps.shape[0], steps.shape[1] - 1
    for edge in range(len(edges)):
        ax, ay, bx, by = edges[edge]
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy)
        begin, end = _clip(height, (min(ay, by) - radius) / step_y, (max(ay, by) + radius) / step_y)
        for row in range(begin, end):
            y = (row + 0.5) * step_y
            # The piece of the edge so near to the row, and the columns that may see it.
            t0, t1 = 0.0, 1.0
            if dy != 0:
                ta, tb = (y - radius - ay) / dy, (y + radius - ay) / dy
                t0, t1 = max(0.0, min(ta, tb)), min(1.0, max(ta, tb))
            off = max(0.0, min(ay, by) - y, y - max(ay, by))
            wide = math.sqrt(max(0.0, radius * radius - off * off))
            xa, xb = ax + t0 * dx, ax + t1 * dx
            left, right = _clip(width, (min(xa, xb) - wide) / step_x, (max(xa, xb) + wide) / step_x)
            # The columns that see both ends.
            full_left, full_right = left, left
            a2, b2 = radius * radius - (y - ay) ** 2, radius * radius - (y - by) ** 2
            if a2 > 0 and b2 > 0:
                wa, wb = math.sqrt(a2), math.sqrt(b2)
                full_left, full_right = _clip(
                    width, max(ax - wa, bx - wb) / step_x, min(ax + wa, bx + wb) / step_x
                )
                if full_right <= full_left:
                    full_left, full_right = left, left
                else:
                    steps[row, full_left] += length
                    steps[row, full_right] -= length
            for col in range(left, right):
                if full_left <= col < full_right:
                    continue
                x = (col + 0.5) * step_x
                seen = _seen(ax - x, ay - y, dx, dy, length, radius)
                steps[row, col] += seen
                steps[row, col + 1] -= seen


@compiled
def _seen(ax: float, ay: float, dx: float, dy: float, length: float, radius: float) -> float:
    """Length of an edge within a circle around the origin."""
    ux, uy = dx / length, dy / length
    foot = -(ax * ux + ay * uy)
    across = ax * uy - ay * ux
    squared = radius * radius - across * across
    if squared <= 0:
        return 0.0
    half = math.sqrt(squared)
    return max(0.0, min(length, foot + half) - max(0.0, foot - half))


@compiled
def _add_points(
    points: Floats, radius: float, step_x: float, step_y: float, steps: npt.NDArray[np.int32]
) -> None:
    height, width = steps.shape[0], steps.shape[1] - 1
    for point in range(len(points)):
        x, y = points[point, 0], points[point, 1]
        begin, end = _clip(height, (y - radius) / step_y, (y + radius) / step_y)
        for row in range(begin, end):
            off = (row + 0.5) * step_y - y
            wide = math.sqrt(max(0.0, radius * radius - off * off))
            left, right = _clip(width, (x - wide) / step_x, (x + wide) / step_x)
            if left < right:
                steps[row, left] += 1
                steps[row, right] -= 1
