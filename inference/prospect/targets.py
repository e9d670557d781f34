"""Targets of a search: connected cells of high probability, ranked, with what lies near them.

Cells from the threshold on that touch, by a side or by a corner, are one target. The threshold of a network
was chosen on single patches of its validation part; the probability of a cell is a mean over patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from db.errors import UsageError
from db.geodesic import LONGEST_EDGE_M, areas_m2
from inference.polygonise import to_wgs84
from inference.prospect.cells import Cells

EIGHT_NEIGHBOURS = np.ones((3, 3), np.bool_)


@dataclass(frozen=True)
class Target:
    """Connected cells of high probability.

    Attributes:
        rank: 1 is the first to be looked at: by mean probability, then size, then place from the upper left.
        plane: outline in the CRS of the ground's grid, MultiPolygon.
        geometry: the same in EPSG:4326, no edge longer than a kilometre.
        area_m2: geodesic area on WGS 84.
        cells: how many.
        mean_probability, highest_probability: over its cells, 0..1.

    """

    rank: int
    plane: shapely.MultiPolygon
    geometry: shapely.MultiPolygon
    area_m2: float
    cells: int
    mean_probability: float
    highest_probability: float


@dataclass(frozen=True)
class Targets:
    """The targets of a search.

    Attributes:
        listed: the targets, by rank.
        found: how many there are; those beyond the most that were wanted are not listed.
        rank_of_cell: ``(rows, columns)`` int32 rank of the target that a cell belongs to, 0: of none that is
            listed.

    """

    listed: tuple[Target, ...]
    found: int
    rank_of_cell: NDArray[np.int32]


def check_choice(threshold: float, least_cells: int, most_targets: int) -> None:
    """Refuse what no targets can be made with.

    Raises:
        UsageError: the threshold is no probability above 0, or a number of cells or targets is below 1.

    """
    if not 0 < threshold <= 1:
        raise UsageError(
            f"a threshold of {threshold:g} makes no targets: it is a probability, above 0 and at most 1"
        )
    if least_cells < 1 or most_targets < 1:
        raise UsageError(
            f"targets of {least_cells} cells at least and {most_targets} targets at most: both begin at 1"
        )


def find_targets(cells: Cells, threshold: float, *, least_cells: int, most_targets: int) -> Targets:
    """Connect the cells of high probability and rank what comes out.

    Args:
        cells: the cells, in a CRS in metres.
        threshold: probability from which a cell belongs to a target, 0..1.
        least_cells: smaller targets are left out.
        most_targets: so many are listed.

    Raises:
        UsageError: see `check_choice`.

    """
    check_choice(threshold, least_cells, most_targets)
    # As the database compares what is stored: the same cells are targets there.
    is_high = cells.is_scored & (cells.probability.astype(np.float64) >= threshold)
    label, count = ndimage.label(is_high, structure=EIGHT_NEIGHBOURS)
    at = np.flatnonzero(label)
    owner = label.ravel()[at] - 1
    probability = cells.probability.ravel()[at].astype(np.float64)
    size = np.bincount(owner, minlength=count)
    mean = np.bincount(owner, probability, minlength=count) / np.maximum(size, 1)
    highest = np.zeros(count)
    np.maximum.at(highest, owner, probability)
    # Labels count up from the upper left, and the sort keeps the order of equals.
    order = np.lexsort((np.arange(count), -size, -mean))
    order = order[size[order] >= least_cells]
    rank_of_label = np.zeros(count + 1, np.int32)
    rank_of_label[order[:most_targets] + 1] = np.arange(1, len(order[:most_targets]) + 1)
    rank_of_cell = rank_of_label[label]
    planes = _outlines(cells, rank_of_cell, len(order[:most_targets]))
    geometries = [_to_wgs84(plane, cells.grid.srid) for plane in planes]
    areas = _areas_m2(geometries)
    listed = tuple(
        Target(
            rank=place + 1,
            plane=planes[place],
            geometry=geometries[place],
            area_m2=areas[place],
            cells=int(size[which]),
            mean_probability=min(float(mean[which]), 1.0),
            highest_probability=float(highest[which]),
        )
        for place, which in enumerate(order[:most_targets])
    )
    return Targets(listed, len(order), rank_of_cell)


def _outlines(cells: Cells, rank_of_cell: NDArray[np.int32], count: int) -> list[shapely.MultiPolygon]:
    """Outline of the cells of each rank in the CRS of the grid."""
    grid = cells.grid
    rows, cols = np.nonzero(rank_of_cell)
    ranks = rank_of_cell[rows, cols]
    order = np.argsort(ranks, kind="stable")
    # Joined while corners are whole numbers, so that no rounding keeps neighbours apart.
    squares = shapely.box(cols, -rows - 1, cols + 1, -rows)[order]
    begins = np.searchsorted(ranks[order], np.arange(1, count + 2))
    corner = np.array([grid.origin_x, grid.origin_y])
    edges = np.array([grid.resolution_x, grid.resolution_y])
    outlines = []
    for first, end in pairwise(begins.tolist()):
        joined = shapely.coverage_union_all(squares[first:end])
        plane = shapely.transform(joined, lambda xy: corner + xy * edges)
        parts = shapely.get_parts(shapely.segmentize(plane, LONGEST_EDGE_M))
        outlines.append(shapely.MultiPolygon(list(parts)))
    return outlines


def _to_wgs84(plane: shapely.MultiPolygon, srid: int) -> shapely.MultiPolygon:
    moved = shapely.transform(plane, lambda xy: to_wgs84(xy, srid))
    if not isinstance(moved, shapely.MultiPolygon):
        raise TypeError(f"an outline became a {moved.geom_type}")
    return moved


def _areas_m2(geometries: Sequence[shapely.MultiPolygon]) -> list[float]:
    if not geometries:
        return []
    encoded = [
        shapely.to_wkb(shapely.set_srid(each, 4326), byte_order=1, include_srid=True) for each in geometries
    ]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    areas: list[float] = areas_m2(np.frombuffer(b"".join(encoded), np.uint8), offsets).tolist()
    return areas


def nearest(
    targets: Sequence[Target], features: Sequence[shapely.Geometry]
) -> list[tuple[float, int] | None]:
    """Distance in the plane of the grid from each target to the nearest of some features, and which it is.

    Args:
        targets: the targets.
        features: geometries in the CRS of the grid, in metres.

    Returns:
        For each target the distance in m, 0 where they touch or lie within each other, and the feature's
        place; of features as near as each other the first. None without any feature.

    """
    if not features:
        return [None] * len(targets)
    tree = shapely.STRtree(list(features))
    found: list[tuple[float, int] | None] = [None] * len(targets)
    planes = np.array([target.plane for target in targets], dtype=object)
    if not len(planes):
        return found
    (which, feature), distance = tree.query_nearest(planes, return_distance=True, all_matches=True)
    for place, index, metres in zip(which.tolist(), feature.tolist(), distance.tolist(), strict=True):
        known = found[place]
        if known is None or (metres, index) < known:
            found[place] = (metres, index)
    return found
