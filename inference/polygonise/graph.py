"""The outlines of all patches as one graph of vertices on the corners of pixels.

A corner of pixels becomes a vertex where an outline turns, where three or more regions meet, and where a
straight outline crosses a row or column that is a multiple of the longest segment. What was not observed and
what lies outside the map is one region. All of that is read from the four pixels around the corner and its
position, so every region that passes it gets the same vertex, and neighbours fit without gap or overlap,
before and after any transformation of the vertices.

Directions are 0 east, 1 south, 2 west, 3 north, and bit d of a mask stands for direction d.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from db.jit import compiled
from inference.polygonise.runs import MAX_INDEX, Runs

DIAGONAL_SE = 16
"""Bit of an outline mask: the pixels north-west and south-east of the vertex are of one region."""
DIAGONAL_NE = 32
"""Bit of an outline mask: the pixels north-east and south-west of the vertex are of one region."""


@dataclass(frozen=True)
class Outlines:
    """Which edges leave each vertex in one set of regions; two sets (patches, observation) share a graph.

    ``mask (vertices,)``: edges by direction and the two diagonal bits. ``start (vertices,)``: the edges with
    a region on their left, thus those of its rings that leave here.
    """

    mask: npt.NDArray[np.uint8]
    start: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Graph:
    """Vertices in scan order: ``row`` and ``col`` count pixel corners, 0..height and 0..width.

    ``north`` and ``south``: the next vertex there where an edge leads to it (east and west it is the next
    and the last in scan order). ``observed_region (patch_count + 1,)``: for each patch's label the
    4-connected part of the observation it lies in, 1..region_count; 0 for label 0.
    """

    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    north: npt.NDArray[np.int32]
    south: npt.NDArray[np.int32]
    patches: Outlines
    observation: Outlines
    observed_region: npt.NDArray[np.int32]
    region_count: int


def build_graph(runs: Runs, *, max_segment_rows: int, max_segment_cols: int) -> Graph:
    """Build the graph of a map's runs, with no edge longer than the given numbers of pixels."""
    region = np.arange(runs.patch_count + 1, dtype=np.int32)
    region_count = _observed_regions(runs.row_offsets, runs.column, runs.label, runs.width_px, region)
    scan = (
        runs.row_offsets,
        runs.column,
        runs.label,
        runs.width_px,
        max_segment_rows,
        max_segment_cols,
        region,
    )
    vertices = _visit_corners(*scan, True, *np.empty((4, 0), np.int32), *np.empty((4, 0), np.uint8))
    if vertices > MAX_INDEX:
        raise ValueError(f"the class map needs {vertices} vertices, more than can be numbered: split it")
    row, col, north, south = indices = np.empty((4, vertices), np.int32)
    mask, start, observed_mask, observed_start = masks = np.empty((4, vertices), np.uint8)
    _visit_corners(*scan, False, *indices, *masks)
    patches, observation = Outlines(mask, start), Outlines(observed_mask, observed_start)
    return Graph(row, col, north, south, patches, observation, region, region_count)


@compiled
def _observed_regions(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    width: int,
    region: npt.NDArray[np.int32],
) -> int:
    """Join the labels of patches that share an edge; number the parts by their first patch."""
    for row in range(len(row_offsets) - 1):
        run, run_end = row_offsets[row], row_offsets[row + 1]
        above = row_offsets[row - 1] if row > 0 else run
        above_end = run
        for other in range(run + 1, run_end):
            _join(region, label[other - 1], label[other])
        while run < run_end and above < above_end:
            end = column[run + 1] if run + 1 < run_end else width
            end_above = column[above + 1] if above + 1 < above_end else width
            _join(region, label[run], label[above])
            if end <= end_above:
                run += 1
            if end_above <= end:
                above += 1
    regions = 0
    for patch in range(1, len(region)):
        if region[patch] == patch:
            regions += 1
            region[patch] = regions
        else:
            region[patch] = region[region[patch]]
    return regions


@compiled
def _join(parent: npt.NDArray[np.int32], one: int, two: int) -> None:
    if one == 0 or two == 0:
        return
    while parent[one] != one:
        parent[one] = parent[parent[one]]
        one = parent[one]
    while parent[two] != two:
        parent[two] = parent[parent[two]]
        two = parent[two]
    parent[max(one, two)] = min(one, two)


@compiled
def _outline(nw: int, ne: int, sw: int, se: int) -> tuple[int, int]:
    """Mask of the edges between the regions around a corner, and of those with a region on their left."""
    mask, start = 0, 0
    if ne != se:
        mask |= 1
        start |= 1 if ne > 0 else 0
    if se != sw:
        mask |= 2
        start |= 2 if se > 0 else 0
    if sw != nw:
        mask |= 4
        start |= 4 if sw > 0 else 0
    if nw != ne:
        mask |= 8
        start |= 8 if nw > 0 else 0
    if nw == se:
        mask |= DIAGONAL_SE
    if ne == sw:
        mask |= DIAGONAL_NE
    return mask, start


@compiled
def _visit_corners(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    width: int,
    max_segment_rows: int,
    max_segment_cols: int,
    region: npt.NDArray[np.int32],
    count_only: bool,
    vertex_row: npt.NDArray[np.int32],
    vertex_col: npt.NDArray[np.int32],
    north: npt.NDArray[np.int32],
    south: npt.NDArray[np.int32],
    mask: npt.NDArray[np.uint8],
    start: npt.NDArray[np.uint8],
    observed_mask: npt.NDArray[np.uint8],
    observed_start: npt.NDArray[np.uint8],
) -> int:
    """Count the vertices, or fill the tables; rows of pixels above and below are read side by side."""
    height = len(row_offsets) - 1
    last_in_column = np.zeros(width + 1, np.int32)
    vertices = 0
    for row in range(height + 1):
        above = row_offsets[row - 1] if row > 0 else 0
        above_end = row_offsets[row] if row > 0 else 0
        below = row_offsets[row] if row < height else 0
        below_end = row_offsets[row + 1] if row < height else 0
        is_split_row = row % max_segment_rows == 0
        ne, se = 0, 0
        col = 0
        while True:
            nw, sw = ne, se
            if col == width:
                ne, se = 0, 0
            if above < above_end and column[above] == col:
                ne = label[above]
                above += 1
            if below < below_end and column[below] == col:
                se = label[below]
                below += 1
            is_straight_east = nw == ne and sw == se
            is_straight_south = nw == sw and ne == se
            if is_straight_east:
                is_vertex = nw != sw and col % max_segment_cols == 0
            elif is_straight_south:
                is_vertex = is_split_row
            else:
                is_vertex = True
            if is_vertex:
                if not count_only:
                    edges, starts = _outline(nw, ne, sw, se)
                    vertex_row[vertices] = row
                    vertex_col[vertices] = col
                    mask[vertices] = edges
                    start[vertices] = starts
                    if edges & 8:
                        north[vertices] = last_in_column[col]
                        south[last_in_column[col]] = vertices
                    last_in_column[col] = vertices
                    edges, starts = _outline(region[nw], region[ne], region[sw], region[se])
                    observed_mask[vertices] = edges
                    observed_start[vertices] = starts
                vertices += 1
            if col == width:
                break
            col_next = width
            if above < above_end:
                col_next = column[above]
            if below < below_end and column[below] < col_next:
                col_next = column[below]
            if ne != se:
                col_next = min(col_next, (col // max_segment_cols + 1) * max_segment_cols)
            col = col_next
    return vertices
