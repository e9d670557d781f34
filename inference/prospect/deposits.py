"""Ground near known deposits: which deposits count, and which cells lie near them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from db.errors import UsageError
from db.prospect_sets import Deposit
from db.raster import Grid

COLUMNS = ("commodity", "deposit_type", "name")
"""Texts of a deposit that tell which ones count."""
_LISTED = 10
_CHUNK_CELLS = 1 << 18
_ROUND_TRIP_DEG = 1e-5  # a metre; far outside its zone a projection answers with any number


@dataclass(frozen=True)
class PositiveGround:
    """The cells near deposits.

    Attributes:
        is_positive: (height, width) whether the centre lies within the buffer of a deposit.
        pieces: (height, width) number, from 1, of the positive ground that a cell hangs together with, at
            least at a corner or by a deposit whose body has several parts; 0: not positive.
        deposit_ids: deposits with such a cell on judged ground: those that count.
        outside: deposits farther than the buffer from the grid.
        unjudged: deposits whose cells are all unjudged.
        between_centres: deposits on the grid, but with no cell's centre within the buffer.

    """

    is_positive: NDArray[np.bool_]
    pieces: NDArray[np.int32]
    deposit_ids: tuple[int, ...]
    outside: int
    unjudged: int
    between_centres: int


def parse_choice(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Which deposits count, as the command line says it.

    Args:
        given: ``all``, or any number of COLUMN=VALUE.

    Returns:
        Pairs of column and value; none: all deposits.

    Raises:
        UsageError: neither of these, or a column that deposits do not have.

    """
    if list(given) == ["all"]:
        return ()
    pairs = []
    for text in given:
        column, sign, value = text.partition("=")
        if not sign or column not in COLUMNS:
            raise UsageError(
                f"--deposits {text!r}: write `all` alone, or COLUMN=VALUE with one of the columns "
                f"{', '.join(COLUMNS)}"
            )
        pairs.append((column, value))
    if not pairs:
        raise UsageError("no deposits are chosen: write --deposits all, or --deposits commodity=Li")
    return tuple(pairs)


def choose_deposits(deposits: Sequence[Deposit], choice: Sequence[tuple[str, str]]) -> list[Deposit]:
    """The deposits that have one of the wanted values in each column that is named.

    Args:
        deposits: all there are.
        choice: pairs of column and value; none: all deposits.

    Raises:
        UsageError: there are no deposits, or none has the values; lists those there are.

    """
    if not deposits:
        raise UsageError("there are no deposits: bring them with `lode ingest deposits`")
    chosen = list(deposits)
    for column in dict.fromkeys(column for column, _value in choice):
        values = {value for name, value in choice if name == column}
        left = [deposit for deposit in chosen if getattr(deposit, column) in values]
        if not left:
            there = sorted({getattr(deposit, column) or "" for deposit in chosen} - {""})
            more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
            known = ", ".join(there[:_LISTED]) + more if there else "none"
            wanted = " and ".join(f"{name}={value}" for name, value in choice)
            raise UsageError(f"no deposit has {wanted}; values of {column} there are: {known}")
        chosen = left
    return chosen


def positive_ground(
    deposits: Sequence[Deposit], grid: Grid, is_judged: NDArray[np.bool_], buffer_m: float, name: str
) -> PositiveGround:
    """Cells whose centre lies within the buffer of a deposit.

    Distances are exact, to the mapped body where there is one and to the point elsewhere, in the plane of the
    grid; in a UTM zone they differ from those on the ground by at most 0.1 %.

    Args:
        deposits: those that may count, at least one.
        grid: of the ground, in metres.
        is_judged: (height, width) cells that count.
        buffer_m: the buffer, m.
        name: of the ground, for messages.

    Raises:
        UsageError: the buffer is smaller than half a cell and there are points only; no deposit lies on the
            ground, or none where it is judged.

    """
    _check_buffer(deposits, grid, buffer_m)
    is_positive = np.zeros(is_judged.shape, bool)
    frame = shapely.box(
        grid.origin_x, grid.y_of_row(grid.height_px), grid.x_of_col(grid.width_px), grid.origin_y
    )
    counted, distances_m, unjudged, between = [], [], 0, 0
    around: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for deposit, geometry in zip(deposits, projected(deposits, grid.srid), strict=True):
        distances_m.append(math.inf if geometry is None else float(shapely.distance(frame, geometry)))
        if geometry is None or distances_m[-1] > buffer_m:
            continue
        rows, cols = _cells_within(geometry, grid, buffer_m)
        is_positive[rows, cols] = True
        around.append((rows, cols))
        if rows.size == 0:
            between += 1
        elif is_judged[rows, cols].any():
            counted.append(deposit.deposit_id)
        else:
            unjudged += 1
    found = PositiveGround(
        is_positive,
        _pieces(is_positive, around),
        tuple(counted),
        sum(distance > buffer_m for distance in distances_m),
        unjudged,
        between,
    )
    if not counted:
        raise UsageError(_none_counts(found, min(distances_m), buffer_m, name))
    return found


def _pieces(
    is_positive: NDArray[np.bool_], around: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> NDArray[np.int32]:
    """What hangs together (height, width), from 1; the cells round each deposit do, wherever they lie."""
    labels, count = ndimage.label(is_positive, structure=np.ones((3, 3), bool))
    pairs = []
    for rows, cols in around:
        touched = np.unique(labels[rows, cols])
        pairs += [(touched[0], other) for other in touched[1:]]
    if not pairs:
        return np.asarray(labels, np.int32)
    first, second = np.array(pairs).T
    joined = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(count + 1, count + 1))
    # the ground without deposits is label 0 and touches nothing, so that it stays the first component
    _, component = connected_components(joined, directed=False)
    return np.asarray(component[labels], np.int32)


def _none_counts(found: PositiveGround, nearest_m: float, buffer_m: float, name: str) -> str:
    if found.unjudged:
        return (
            f"{name} is not judged where its {found.unjudged} deposits lie: they are outside the study "
            "area, or on pixels without data or under cloud. Take other ground, or a clear scene"
        )
    if found.between_centres:
        return (
            f"none of the {found.between_centres} deposits on {name} has the centre of a cell within "
            f"{buffer_m:g} m: give a larger --buffer-m"
        )
    how_far = (
        "too far for its projection"
        if math.isinf(nearest_m)
        else f"the nearest {nearest_m / 1000:.3g} km away"
    )
    return (
        f"none of the {found.outside} deposits lies within {buffer_m:g} m of {name}; {how_far}: choose "
        "another scene or area, or bring the deposits of this one with `lode ingest deposits`"
    )


def _check_buffer(deposits: Sequence[Deposit], grid: Grid, buffer_m: float) -> None:
    half_m = min(grid.resolution_x, grid.resolution_y) / 2
    if buffer_m < half_m and all(deposit.body is None for deposit in deposits):
        raise UsageError(
            f"the buffer is {buffer_m:g} m and cells are {2 * half_m:g} m wide: hardly a deposit has the "
            f"centre of a cell so near. Give a --buffer-m of at least {half_m:g}; 100 is usual"
        )


def projected(deposits: Sequence[Deposit], srid: int) -> list[shapely.Geometry | None]:
    """Body or point of each deposit in the grid's plane; None where the projection does not reach it."""
    to_grid = pyproj.Transformer.from_crs(4326, srid, always_xy=True)
    there = []
    for deposit in deposits:
        geometry = deposit.geom if deposit.body is None else deposit.body
        lonlat = shapely.get_coordinates(geometry)
        x, y = to_grid.transform(*lonlat.T)
        back = np.column_stack(to_grid.transform(x, y, direction="INVERSE"))
        apart = np.abs(back - lonlat)
        apart[:, 0] = np.minimum(apart[:, 0], np.abs(360 - apart[:, 0]))
        is_there = bool((apart < _ROUND_TRIP_DEG).all())  # not so where a coordinate is infinite
        there.append(shapely.set_coordinates(geometry, np.column_stack((x, y))) if is_there else None)
    return there


def _cells_within(
    geometry: shapely.Geometry, grid: Grid, reach_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the cells whose centre lies within reach of a geometry of the same plane."""
    west, south, east, north = geometry.bounds
    left = max(math.floor((west - reach_m - grid.origin_x) / grid.resolution_x), 0)
    right = min(math.ceil((east + reach_m - grid.origin_x) / grid.resolution_x), grid.width_px)
    top = max(math.floor((grid.origin_y - north - reach_m) / grid.resolution_y), 0)
    bottom = min(math.ceil((grid.origin_y - south + reach_m) / grid.resolution_y), grid.height_px)
    cols = np.arange(left, max(left, right))
    step = max(1, _CHUNK_CELLS // max(cols.size, 1))
    shapely.prepare(geometry)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for first in range(top, bottom, step):
        rows = np.arange(first, min(first + step, bottom))
        x = grid.origin_x + (cols + 0.5) * grid.resolution_x
        y = grid.origin_y - (rows + 0.5) * grid.resolution_y
        is_near = shapely.dwithin(geometry, shapely.points(*np.meshgrid(x, y)), reach_m)
        near_rows, near_cols = np.nonzero(is_near)
        found.append((rows[near_rows], cols[near_cols]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([rows for rows, _ in found]), np.concatenate([cols for _, cols in found])
