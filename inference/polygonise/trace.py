"""Rings walked along the graph of outlines, one shell and its holes for each region."""

import numpy as np
import numpy.typing as npt

from db.jit import compiled
from inference.polygonise.graph import DIAGONAL_NE, DIAGONAL_SE, Graph, Outlines
from inference.polygonise.runs import Runs

EAST, SOUTH = 0, 1


def _turns() -> npt.NDArray[np.uint8]:
    """Table (mask, direction of arrival) -> direction of departure, with the region on the left.

    A region is 4-connected. Where it touches itself at a corner, the walk crosses over to the other pixel
    (right turn): it follows one 4-connected part of the outside, so no ring passes a corner twice, and shell
    and hole become rings that touch. At a corner of two different regions it stays with its own pixel (left).
    """
    turns = np.zeros((64, 4), np.uint8)
    for mask in range(64):
        for direction in range(4):
            left, right = (direction + 3) % 4, (direction + 1) % 4
            # Arriving eastwards or westwards, the pixels behind left and ahead right are north-west and
            # south-east.
            diagonal = DIAGONAL_SE if direction % 2 == 0 else DIAGONAL_NE
            if mask >> left & 1 and not mask & diagonal:
                turns[mask, direction] = left
            elif mask >> direction & 1 and not mask >> left & 1:
                turns[mask, direction] = direction
            else:
                turns[mask, direction] = right
    return turns


_TURNS = _turns()


def trace_rings(
    graph: Graph, outlines: Outlines, runs: Runs, region_of_label: npt.NDArray[np.int32], region_count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Walk all rings of one set of regions and order them: per region the shell, then holes in scan order.

    Returns the rings' vertices (closed: the first is repeated), ring offsets into them and, per region,
    offsets into the rings. Shells run counter-clockwise on a north-up map, holes clockwise, both from their
    northernmost, then westernmost vertex.
    """
    to_walk = outlines.start.copy()
    edges = sum(int(np.count_nonzero(to_walk & (1 << direction))) for direction in range(4))
    vertex = np.empty(edges, np.int32)
    # A ring has at least four edges.
    ring_end = np.empty(edges // 4, np.int64)
    ring_region = np.empty(edges // 4, np.int32)
    rings = _walk(
        outlines.mask,
        to_walk,
        graph.row,
        graph.col,
        graph.north,
        graph.south,
        runs.row_offsets,
        runs.column,
        runs.label,
        region_of_label,
        _TURNS,
        vertex,
        ring_end,
        ring_region,
    )
    ring_end, ring_region = ring_end[:rings], ring_region[:rings]
    polygon_offsets = np.zeros(region_count + 1, np.int64)
    np.cumsum(np.bincount(ring_region, minlength=region_count + 1)[1:], out=polygon_offsets[1:])
    # The shell's first vertex is the region's first in scan order, so a stable sort leaves it first.
    order = np.argsort(ring_region, kind="stable")
    ring_px = np.diff(ring_end, prepend=0)
    ring_offsets = np.zeros(rings + 1, np.int64)
    np.cumsum(ring_px[order] + 1, out=ring_offsets[1:])
    closed = np.empty(ring_offsets[-1], np.int32)
    _close_rings(vertex, ring_end - ring_px, order, ring_offsets, closed)
    return closed, ring_offsets, polygon_offsets


@compiled
def _walk(
    mask: npt.NDArray[np.uint8],
    to_walk: npt.NDArray[np.uint8],
    vertex_row: npt.NDArray[np.int32],
    vertex_col: npt.NDArray[np.int32],
    north: npt.NDArray[np.int32],
    south: npt.NDArray[np.int32],
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    region_of_label: npt.NDArray[np.int32],
    turns: npt.NDArray[np.uint8],
    vertex: npt.NDArray[np.int32],
    ring_end: npt.NDArray[np.int64],
    ring_region: npt.NDArray[np.int32],
) -> int:
    """Walk every edge of ``to_walk`` (and clear it); returns the number of rings."""
    rings, written, shells = 0, 0, 0
    for first in range(len(mask)):
        # The first vertex of a ring in scan order is left southwards by a shell (whose region is south-east
        # of it), eastwards by a hole (whose region is north-east of it).
        for first_direction in (SOUTH, EAST):
            if not to_walk[first] >> first_direction & 1:
                continue
            here, direction = first, first_direction
            while True:
                vertex[written] = here
                written += 1
                to_walk[here] &= ~(1 << direction)
                if direction == 0:
                    here += 1
                elif direction == 1:
                    here = south[here]
                elif direction == 2:
                    here -= 1
                else:
                    here = north[here]
                direction = turns[mask[here], direction]
                if here == first and direction == first_direction:
                    break
            ring_end[rings] = written
            if first_direction == SOUTH:
                # Regions are numbered in scan order, and so are their shells found.
                shells += 1
                ring_region[rings] = shells
            else:
                low, high = row_offsets[vertex_row[first] - 1], row_offsets[vertex_row[first]]
                while high - low > 1:
                    middle = (low + high) // 2
                    if column[middle] <= vertex_col[first]:
                        low = middle
                    else:
                        high = middle
                ring_region[rings] = region_of_label[label[low]]
            rings += 1
    return rings


@compiled
def _close_rings(
    vertex: npt.NDArray[np.int32],
    ring_begin: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    ring_offsets: npt.NDArray[np.int64],
    closed: npt.NDArray[np.int32],
) -> None:
    """Copy rings in their final order, repeating each one's first vertex at its end."""
    for ring in range(len(order)):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        for step in range(end - begin - 1):
            closed[begin + step] = vertex[ring_begin[order[ring]] + step]
        closed[end - 1] = closed[begin]
