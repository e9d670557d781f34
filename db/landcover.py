"""What a run publishes: polygons of land cover, and what it observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, sql

from db.errors import UsageError
from db.landcover_rows import COLUMNS, HEADER, TRAILER, LandcoverRows


def insert_landcover(
    conn: Connection[Any],
    run_id: int,
    year: int,
    polygons: Iterable[tuple[int, bytes, float | None]],
) -> int:
    """Store a run's polygons in the caller's transaction; area is computed here, once, on WGS 84.

    Args:
        conn: connection; the caller commits.
        run_id: the run.
        year: calendar year the polygons stand for.
        polygons: class code, EWKB of a MultiPolygon in EPSG:4326, mean probability 0..1 or None.

    Returns:
        The number of polygons stored.

    Raises:
        UsageError: a geometry is no MultiPolygon in EPSG:4326; the transaction can then only be rolled back.

    """
    return insert_landcover_rows(conn, run_id, year, [LandcoverRows.of(polygons)])


def insert_landcover_rows(
    conn: Connection[Any], run_id: int, year: int, parts: Iterable[LandcoverRows]
) -> int:
    """Store a run's polygons as ``insert_landcover`` does, from arrays; keys ascend in their order.

    The server stores a part while the next one is made: give an iterator over parts of some 1000 polygons.
    """
    stored = 0
    with _quick_compression(conn), conn.cursor() as cursor:
        statement = sql.SQL("copy lode.landcover ({}) from stdin with (format binary)")
        with cursor.copy(statement.format(sql.SQL(COLUMNS))) as copy:
            copy.write(HEADER)
            for part in parts:
                copy.write(part.encode(run_id, year))
                stored += len(part)
            copy.write(TRAILER)
    return stored


@contextmanager
def _quick_compression(conn: Connection[Any]) -> Iterator[None]:
    """Large geometries are compressed by lz4 where the server has it: a tenth of the time of pglz."""
    row = conn.execute(
        "select setting, 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'"
    ).fetchone()
    if row is None or not row[1]:
        yield
        return
    conn.execute("set local default_toast_compression = 'lz4'")
    yield
    conn.execute("select set_config('default_toast_compression', %s, true)", (row[0],))


def insert_observation(conn: Connection[Any], run_id: int, year: int, outline_ewkb: bytes) -> float:
    """Store what the run saw; returns its geodesic area in m2.

    Args:
        conn: connection; the caller commits.
        run_id: the run.
        year: calendar year of acquisition.
        outline_ewkb: EWKB of a MultiPolygon in EPSG:4326.

    Raises:
        UsageError: the outline is empty.

    """
    row = conn.execute(
        "insert into lode.observation (run_id, year, geom, area_m2)"
        " select %(run)s, %(year)s, g.geom, st_area(g.geom::geography)"
        " from (select %(wkb)s::geometry as geom) g where not st_isempty(g.geom) returning area_m2",
        {"run": run_id, "year": year, "wkb": outline_ewkb.hex()},
    ).fetchone()
    if row is None:
        raise UsageError(
            "nothing was observed: the scene holds no valid pixel, so there is nothing to publish"
        )
    return float(row[0])


def smallest_patches_m2(conn: Connection[Any]) -> dict[int, float]:
    """Smallest mapped patch of each class that networks map, m2."""
    rows = conn.execute("select land_class_code, min_patch_m2 from lode.land_class where is_mapped")
    return {int(code): float(area) for code, area in rows}


def landcover_of_year(conn: Connection[Any], year: int) -> list[tuple[int, bytes]]:
    """Class code and WKB (EPSG:4326) of the polygons that stand for a year; what counts last comes last.

    Where scenes overlap, drawing the polygons in this order gives the year map.
    """
    rows = conn.execute(
        "select l.land_class_code, st_asbinary(l.geom)"
        " from lode.landcover l join lode.run r on r.run_id = l.run_id and r.is_current"
        " join lode.scene s on s.scene_id = r.scene_id and s.superseded_by is null"
        " where l.start_date = make_date(%s, 1, 1) order by s.acquired_on, s.scene_id, l.landcover_id",
        (year,),
        binary=True,
    )
    return [(int(code), bytes(wkb)) for code, wkb in rows]
