"""What of the mapped geology matters to a grid: the features that can be nearest to one of its cells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from psycopg import Connection, errors
from psycopg.sql import SQL, Composable, Identifier, Literal

from db.errors import UsageError
from db.geology import TABLES
from db.raster import Grid

_PARTS = 16
"""A grid is looked at in so many parts across and down to find what can be near to one of its cells."""

_BULGE_M = 10_000.0
"""How far an edge that is straight in the plane of a grid may lie beside the same edge in degrees, m.

At 60 degrees of latitude an edge of 500 km does.
"""

_SLACK_M = 1e-3
"""What rounding may do to the distances by which features are chosen, m."""


@dataclass(frozen=True)
class NearFeatures:
    """Faults or plutons that matter to a grid.

    Attributes:
        shapes: their geometry in the CRS of the grid, as PostGIS transforms it: vertex by vertex, with
            straight edges between them.
        digests: SHA-256 of the geometry of each as it is stored, sorted, equal ones once.

    """

    shapes: tuple[shapely.Geometry, ...]
    digests: tuple[str, ...]


_DESCRIBED = {"faults": "fault_type", "plutons": "lithology", "lithology": "rock"}
"""The column of each kind that tells what a feature is."""


def is_mapped_about(
    conn: Connection[Any], kind: str, grid: Grid, *, within_m: float, words: Sequence[str] = ()
) -> bool:
    """Whether a feature lies about within a distance of a grid (that its bounding box does is enough).

    Args:
        conn: connection.
        kind: faults, plutons or lithology.
        grid: a grid whose CRS is projected, in metres.
        within_m: the distance, m.
        words: only features whose description holds one of them, in any case; (): all.

    Raises:
        UsageError: the grid is not in metres, or lies where its reference system is not used.

    """
    reach = shapely.box(*_bounds(grid)).buffer(within_m, join_style="mitre").bounds
    windows = _windows(_metric_crs(grid.srid), reach, grid.srid)
    query = SQL("select exists (select from {table} where ({where}) and {said})").format(
        where=_inside(windows), said=_said(kind, words), **_names(kind)
    )
    row = conn.execute(query).fetchone()
    return row is not None and bool(row[0])


def _said(kind: str, words: Sequence[str]) -> Composable:
    """Condition that a feature's description holds one of some words, as SQL."""
    if not words:
        return SQL("true")
    column = Identifier(_DESCRIBED[kind])
    return SQL("({})").format(
        SQL(" or ").join(
            SQL("position(lower({}) in lower({})) > 0").format(Literal(word), column) for word in words
        )
    )


def _inside(windows: Sequence[tuple[float, float, float, float]]) -> Composable:
    return SQL(" or ").join(
        SQL("geom && st_makeenvelope({}, {}, {}, {}, 4326)").format(*window) for window in windows
    )


def features_near(
    conn: Connection[Any],
    kind: str,
    grid: Grid,
    *,
    within_m: float = 0.0,
    words: Sequence[str] = (),
) -> NearFeatures:
    """All features that are the nearest to a cell of a grid, wherever they lie, and all within a distance.

    Let d be the distance of the grid's middle to some feature, and h half the grid's diagonal. Then each cell
    has a feature within d + h, and none farther than that outside the grid is the nearest one to any cell:
    what lies there is read. The same bound for each of 16 x 16 parts of the grid leaves hardly more than what
    matters.

    Args:
        conn: connection.
        kind: faults, plutons or lithology.
        grid: a grid whose CRS is projected, in metres.
        within_m: features within this distance of the grid are returned as well, m.
        words: only features whose description (a fault's type, a pluton's lithology, a rock) holds one of
            them, in any case; (): all.

    Returns:
        The features, one at least, in no particular order.

    Raises:
        UsageError: the grid is not in metres, no such features are in the database, or one of them cannot be
            transformed to the grid's CRS or has no length there.

    """
    crs = _metric_crs(grid.srid)
    box = shapely.box(*_bounds(grid))
    first_m = _distance_of_one(conn, kind, grid, words)
    reach_m = max(first_m + _half_diagonal(box), within_m) + _BULGE_M
    windows = _windows(crs, box.buffer(reach_m, join_style="mitre").bounds, grid.srid)
    keys, digests, shapes = _read(conn, kind, grid.srid, windows, words)
    _check_shapes(kind, grid.srid, keys, shapes)
    used = _that_matter(box, shapes, within_m)
    return NearFeatures(
        tuple(shapes[used].tolist()), tuple(sorted({digests[place] for place in used.tolist()}))
    )


@dataclass(frozen=True)
class MappedRock:
    """A unit of the geological map near a grid.

    Attributes:
        rock: its rock, as the map has it; None: the map does not say.
        shape: its outline in the CRS of the grid, vertex by vertex.
        digest: SHA-256 of its outline as it is stored, and of its rock.

    """

    rock: str | None
    shape: shapely.Geometry
    digest: str


def rocks_near(conn: Connection[Any], grid: Grid, *, within_m: float = 0.0) -> list[MappedRock]:
    """Units of the geological map on a grid, or within a distance of it.

    Args:
        conn: connection.
        grid: a grid whose CRS is projected, in metres.
        within_m: units so near to the grid are returned as well, m.

    Returns:
        The units, by rock and digest; empty where none is mapped.

    Raises:
        UsageError: the grid is not in metres, or a unit cannot be transformed to its CRS.

    """
    kind = "lithology"
    crs = _metric_crs(grid.srid)
    box = shapely.box(*_bounds(grid))
    reach = box.buffer(within_m + _BULGE_M, join_style="mitre").bounds
    keys, digests, shapes = _read(conn, kind, grid.srid, _windows(crs, reach, grid.srid))
    _check_shapes(kind, grid.srid, keys, shapes)
    rocks = dict(
        conn.execute("select lithology_id, rock from lode.lithology where lithology_id = any(%s)", (keys,))
    )
    near = np.flatnonzero(shapely.dwithin(shapes, box, within_m + _SLACK_M)).tolist()
    near = [place for place in near if keys[place] in rocks]  # others were deleted since their shape was read
    found = [
        MappedRock(
            rocks[keys[place]],
            shapes[place],
            hashlib.sha256(f"{digests[place]} {rocks[keys[place]] or ''}".encode()).hexdigest(),
        )
        for place in near
    ]
    return sorted(found, key=lambda each: (each.rock or "", each.digest))


def lithology_near(
    conn: Connection[Any], grid: Grid, *, within_m: float = 0.0
) -> list[tuple[str, shapely.Geometry]]:
    """Rock and outline of the mapped units near a grid whose rock is told; see ``rocks_near``."""
    return [
        (each.rock, each.shape) for each in rocks_near(conn, grid, within_m=within_m) if each.rock is not None
    ]


def lithology_digest(conn: Connection[Any], grid: Grid, *, within_m: float = 0.0) -> str:
    """SHA-256 of all that ``lithology_near`` would return, whatever the order in which it came in."""
    digests = {each.digest for each in rocks_near(conn, grid, within_m=within_m) if each.rock is not None}
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _metric_crs(srid: int) -> pyproj.CRS:
    try:
        crs = pyproj.CRS.from_epsg(srid)
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"EPSG:{srid} is not known: give the grid a known reference system") from error
    if not crs.is_projected or any(axis.unit_conversion_factor != 1 for axis in crs.axis_info[:2]):
        raise UsageError(
            f"distances need a grid in metres, and EPSG:{srid} ({crs.name}) is not: "
            "warp it to the UTM zone of the place first"
        )
    return crs


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    return (
        grid.origin_x,
        grid.origin_y - grid.height_px * grid.resolution_y,
        grid.origin_x + grid.width_px * grid.resolution_x,
        grid.origin_y,
    )


def _half_diagonal(box: shapely.Geometry) -> float:
    west, south, east, north = box.bounds
    return float(np.hypot(east - west, north - south)) / 2


def _names(kind: str) -> dict[str, Identifier]:
    """Names of the table and its key, for SQL."""
    table = TABLES[kind][0]
    return {"table": Identifier("lode", table), "key": Identifier(f"{table}_id")}


@contextmanager
def _transforming(conn: Connection[Any], what: str, srid: int, advice: str) -> Iterator[None]:
    """What PROJ refuses, in a savepoint, as an error that people can read."""
    try:
        with conn.transaction():
            yield
    except errors.InternalError_ as error:
        raise UsageError(
            f"{what} cannot be transformed between EPSG:{srid}, the reference system of the grid, and "
            f"EPSG:4326 ({error.diag.message_primary}): {advice}"
        ) from error


def _distance_of_one(conn: Connection[Any], kind: str, grid: Grid, words: Sequence[str]) -> float:
    """Distance of the middle of a grid to one feature, which is near, though maybe not the nearest, m."""
    west, south, east, north = _bounds(grid)
    middle = {"x": (west + east) / 2, "y": (south + north) / 2, "srid": grid.srid}
    nearest = SQL(
        "with middle as materialized ("
        " select st_transform(st_setsrid(st_makepoint({x}, {y}), {srid}), 4326) as geom)"
        " select f.key from middle m cross join lateral"
        " (select t.{key} as key from {table} t where {said} order by t.geom <-> m.geom limit 1) f"
    ).format(said=_said(kind, words), **middle, **_names(kind))
    advice = "look whether the grid lies where its reference system is used"
    with _transforming(conn, "the middle of the grid", grid.srid, advice):
        row = conn.execute(nearest).fetchone()
    if row is None:
        raise UsageError(
            f"the database has no {kind}: bring them in with `lode ingest {kind} FILE`, "
            "or do without geology: `lode prospect dataset --no-geology`"
        )
    (key,) = row
    distance = SQL(
        "select st_distance(st_transform(geom, %(srid)s), st_setsrid(st_makepoint(%(x)s, %(y)s), %(srid)s))"
        " from {table} where {key} = %(key)s"
    ).format(**_names(kind))
    with _transforming(conn, f"{TABLES[kind][0]} {key}", grid.srid, _advice(kind)):
        row = conn.execute(distance, middle | {"key": key}).fetchone()
    if row is None or row[0] is None or not np.isfinite(row[0]):
        raise UsageError(_not_finite(kind, key, grid.srid))
    return float(row[0])


def _read(
    conn: Connection[Any],
    kind: str,
    srid: int,
    windows: Sequence[tuple[float, float, float, float]],
    words: Sequence[str] = (),
) -> tuple[list[int], list[str], Any]:
    """Keys, SHA-256 as stored, and transformed shapes of the features in windows of EPSG:4326."""
    where = SQL("({}) and {}").format(_inside(windows), _said(kind, words))
    query = SQL(
        "select {key}, encode(sha256(st_asbinary(geom)), 'hex'), st_asbinary(st_transform(geom, {srid}))"
        " from {table} where {where} order by 2"
    ).format(srid=srid, where=where, **_names(kind))
    try:
        with conn.transaction():
            rows = conn.execute(query).fetchall()
    except errors.InternalError_:
        _refuse_first(conn, kind, srid, where)
        raise
    keys, digests, wkb = ([row[column] for row in rows] for column in range(3))
    return keys, digests, shapely.from_wkb(wkb)


def _refuse_first(conn: Connection[Any], kind: str, srid: int, where: Composable) -> None:
    """Say which feature it is that cannot be transformed."""
    keys = conn.execute(
        SQL("select {key} from {table} where {where} order by 1").format(where=where, **_names(kind))
    ).fetchall()
    one = SQL("select st_transform(geom, {srid}) is null from {table} where {key} = %s").format(
        srid=srid, **_names(kind)
    )
    for (key,) in keys:
        with _transforming(conn, f"{TABLES[kind][0]} {key}", srid, _advice(kind)):
            conn.execute(one, (key,))


def _advice(kind: str) -> str:
    return f"bring in the {kind} of this ground, or correct or delete it"


def _not_finite(kind: str, key: int, srid: int) -> str:
    return (
        f"{TABLES[kind][0]} {key} cannot be transformed to EPSG:{srid}, the reference system of the grid: "
        f"its coordinates become infinite there; {_advice(kind)}"
    )


def _windows(
    crs: pyproj.CRS, bounds: tuple[float, float, float, float], srid: int
) -> list[tuple[float, float, float, float]]:
    """Windows in longitude and latitude that hold a box of the plane; several about the 180th meridian."""
    transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    west, south, east, north = transformer.transform_bounds(*bounds, densify_pts=64)
    if not np.isfinite((west, south, east, north)).all():
        raise UsageError(
            f"the grid, or what is nearest to it, lies far from where EPSG:{srid} ({crs.name}) is used: "
            "bring in the geology of this ground, and look whether the grid has the right reference system"
        )
    if west > east:
        east += 360
    # Between two points of the boundary the true one may bulge by far less than a hundredth of its size.
    margin_x, margin_y = 0.01 * (east - west), 0.01 * (north - south)
    west, east = west - margin_x, east + margin_x
    return [
        (west + turn, max(south - margin_y, -90.0), east + turn, min(north + margin_y, 90.0))
        for turn in (-360, 0, 360)
        if west + turn <= 180 and east + turn >= -180
    ]


def _check_shapes(kind: str, srid: int, keys: Sequence[int], shapes: Any) -> None:
    xy, place = shapely.get_coordinates(shapes, return_index=True)
    for lost in place[~np.isfinite(xy).all(axis=1)][:1]:
        raise UsageError(_not_finite(kind, keys[lost], srid))
    for lost in np.flatnonzero(shapely.length(shapes) == 0)[:1]:
        raise UsageError(
            f"{TABLES[kind][0]} {keys[lost]} has no length in EPSG:{srid}: draw it anew, or delete it"
        )


def _that_matter(box: shapely.Geometry, shapes: Any, within_m: float) -> Any:
    """Places of the features that can be the nearest to a point of the box, or lie so near to it."""
    west, south, east, north = box.bounds
    x, y = np.linspace(west, east, _PARTS + 1), np.linspace(south, north, _PARTS + 1)
    left, lower = (each.ravel() for each in np.meshgrid(x[:-1], y[:-1]))
    right, upper = (each.ravel() for each in np.meshgrid(x[1:], y[1:]))
    parts = shapely.box(left, lower, right, upper)
    tree = shapely.STRtree(shapes)
    (part, _feature), distance = tree.query_nearest(
        shapely.points((left + right) / 2, (lower + upper) / 2), return_distance=True, all_matches=False
    )
    reach = np.empty(len(parts))
    reach[part] = distance + _half_diagonal(box) / _PARTS + _SLACK_M
    _part, near = tree.query(parts, predicate="dwithin", distance=reach)
    within = tree.query(box, predicate="dwithin", distance=within_m + _SLACK_M)
    return np.unique(np.concatenate([near, within]))
