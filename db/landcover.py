"""What a run publishes: polygons of land cover, and what it observed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from db.errors import UsageError


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

    """
    conn.execute(
        "create temporary table landcover_incoming (position integer generated always as identity,"
        " land_class_code integer, geom geometry(MultiPolygon, 4326), mean_probability double precision)"
        " on commit drop"
    )
    copy_sql = (
        "copy landcover_incoming (land_class_code, geom, mean_probability) from stdin with (format binary)"
    )
    with conn.cursor() as cursor:
        with cursor.copy(copy_sql) as copy:
            copy.set_types(["int4", "bytea", "float8"])
            for row in polygons:
                copy.write_row(row)
        cursor.execute(
            "insert into lode.landcover"
            " (run_id, land_class_code, geom, area_m2, mean_probability, start_date, end_date)"
            " select %(run)s, land_class_code, geom, st_area(geom::geography), mean_probability,"
            "   make_date(%(year)s, 1, 1), make_date(%(year)s + 1, 1, 1)"
            " from landcover_incoming order by position",
            {"run": run_id, "year": year},
        )
        stored = cursor.rowcount
        cursor.execute("drop table landcover_incoming")
    return stored


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
