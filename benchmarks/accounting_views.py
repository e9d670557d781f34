"""How long the views and the vector tiles of a full database take, as their users ask for them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection, pq, sql

from benchmarks.measure import note
from db.errors import UsageError

LIMIT_MS = 100.0
REPEATS = 5
PAGE_ROWS = 100
WINDOW_DEGREES = (0.03, 0.02)
"""Width and height of what a map window shows around a mine, some 2.4 km by 2.2 km."""

WHOLE_MAPS = ("evidence", "landcover_map")
"""Polygons of a whole year map: asked for by window, by mine or in pages, never all at once."""

PAGED_BY_MINE = ("evidence",)
"""Cut and whole pieces stand apart there: a mine and a window find an index, pages of everything do not."""

MEASURED_ELSEWHERE = ("queue", "worker_status", "ingest_source_status", "ingest_item_status")
"""Views of the service, like those of owners, are no accounts: `benchmarks.queue`, `benchmarks.privacy`."""

ZOOMS = range(4, 17)
TILES_A_ZOOM = 12
TILE_FUNCTIONS = ("landcover_tile", "damage_tile")


@dataclass(frozen=True)
class Wanted:
    """What users ask for: a year, a mine, a region, an assessment."""

    year: int
    mine_code: str
    layer: str
    region_code: str
    assessment: str


def time_views(conn: Connection[Any], wanted: Wanted) -> dict[str, dict[str, float]]:
    """Milliseconds of each view of ``lode_api`` by what is asked of it, the median of five.

    The rows are fetched, in binary, as QGIS and every driver do it.

    Raises:
        UsageError: a view gives no row at all, so that its time would say nothing.

    """
    columns: dict[str, set[str]] = {}
    for view, column in conn.execute(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = 'lode_api'::regnamespace and c.relkind = 'v' and a.attnum > 0 order by 1, 2"
    ):
        if view not in MEASURED_ELSEWHERE and not view.startswith("own_"):
            columns.setdefault(view, set()).add(column)
    found = {}
    for view, names in columns.items():
        query = sql.SQL("select * from lode_api.{}").format(sql.Identifier(view))
        times, rows = {}, 0
        for what, clause in _questions(conn, view, names, wanted):
            milliseconds, count = _time((query + clause).as_bytes(conn), conn)
            times[what] = milliseconds
            rows = max(rows, count)
        if not rows:
            raise UsageError(f"view lode_api.{view} gives no row: its time would say nothing")
        found[view] = times
        note(f"  {view}: " + ", ".join(f"{what} {ms:.1f} ms" for what, ms in times.items()))
    conn.rollback()
    return found


def _questions(
    conn: Connection[Any], view: str, columns: set[str], wanted: Wanted
) -> Iterator[tuple[str, sql.Composable]]:
    """What is asked of a view: a name and the rest of the query."""
    year = next((column for column in ("to_year", "year") if column in columns), None)
    if year is not None and view not in WHOLE_MAPS:
        yield "year", sql.SQL(" where {} = {}").format(sql.Identifier(year), wanted.year)
    if "mine_code" in columns:
        yield "mine", sql.SQL(" where mine_code = {}").format(wanted.mine_code)
    if "region_code" in columns:
        yield (
            "region",
            sql.SQL(" where layer = {} and region_code = {}").format(wanted.layer, wanted.region_code),
        )
    if "assessment" in columns:
        yield "assessment", sql.SQL(" where assessment = {}").format(wanted.assessment)
    if "geom" in columns:
        envelope = conn.execute(
            "select st_expand(st_centroid(boundary), %s, %s)::text from lode.mine where code = %s",
            (WINDOW_DEGREES[0] / 2, WINDOW_DEGREES[1] / 2, wanted.mine_code),
        ).fetchone()
        if envelope is None:
            raise UsageError(f"there is no mine {wanted.mine_code}")
        of_year = (
            sql.SQL("") if year is None else sql.SQL(" and {} = {}").format(sql.Identifier(year), wanted.year)
        )
        yield "window", sql.SQL(" where geom && {}::geometry").format(envelope[0]) + of_year
    of_mine = sql.SQL(" where mine_code = {}").format(wanted.mine_code)
    yield (
        "first page",
        (of_mine if view in PAGED_BY_MINE else sql.SQL(""))
        + sql.SQL(" order by ogc_fid limit {}").format(PAGE_ROWS),
    )


def _time(query: bytes, conn: Connection[Any]) -> tuple[float, int]:
    """Median of the milliseconds that it takes until all rows are here, and their number."""
    taken, rows = [], 0
    for _ in range(REPEATS):
        begun = time.perf_counter()
        result = conn.pgconn.exec_params(query, None, result_format=pq.Format.BINARY)
        taken.append(time.perf_counter() - begun)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise UsageError(f"{query.decode()}: {result.error_message.decode()}")
        rows = result.ntuples
    return round(1000 * statistics.median(taken), 1), rows


def time_tiles(conn: Connection[Any], year: int, *, seed: int = 6) -> dict[str, dict[int, dict[str, float]]]:
    """Milliseconds of vector tiles by function and zoom: median and worst of a sample over the ground.

    Each tile is asked for twice; the second time counts, as on a server that has been running for a while.
    """
    extent = conn.execute(
        "select st_xmin(e), st_ymin(e), st_xmax(e), st_ymax(e)"
        " from (select st_extent(boundary) as e from lode.mine) m"
    ).fetchone()
    if extent is None or extent[0] is None:
        raise UsageError("there is no mine, hence no ground that tiles could show")
    random = np.random.default_rng(seed)
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in TILE_FUNCTIONS}
    for zoom in ZOOMS:
        tiles = _tiles(extent, zoom, random)
        for name in TILE_FUNCTIONS:
            times, sizes = [], []
            for x, y in tiles:
                query = sql.SQL("select lode_api.{}({}, {}, {}, {})").format(
                    sql.Identifier(name), zoom, x, y, year
                )
                for _ in range(2):
                    begun = time.perf_counter()
                    row = conn.execute(query, binary=True).fetchone()
                    taken = time.perf_counter() - begun
                times.append(1000 * taken)
                sizes.append(0 if row is None else len(row[0]))
            found[name][zoom] = {
                "median_ms": round(statistics.median(times), 1),
                "worst_ms": round(max(times), 1),
                "largest_kb": round(max(sizes) / 1000, 1),
            }
        note(
            f"  zoom {zoom}, {len(tiles)} tiles: "
            + ", ".join(
                f"{name} {found[name][zoom]['median_ms']} ms, worst {found[name][zoom]['worst_ms']} ms"
                for name in TILE_FUNCTIONS
            )
        )
    conn.rollback()
    return found


def _tiles(extent: Sequence[float], zoom: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Some of the tiles of web maps (EPSG:3857) that the ground (west, south, east, north) lies in."""
    west, east = (math.floor((longitude + 180) / 360 * 2**zoom) for longitude in extent[::2])
    south, north = (
        math.floor((1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2 * 2**zoom)
        for latitude in extent[1::2]
    )
    wide, high = east - west + 1, south - north + 1
    chosen = random.choice(wide * high, min(TILES_A_ZOOM, wide * high), replace=False)
    return [(west + int(number) % wide, north + int(number) // wide) for number in chosen]


def too_slow(
    views: Mapping[str, Mapping[str, float]], tiles: Mapping[str, Mapping[int, Mapping[str, float]]]
) -> list[str]:
    """What took longer than it may, a line each."""
    return [
        f"view lode_api.{view}, {what}: {milliseconds:.0f} ms"
        for view, times in views.items()
        for what, milliseconds in times.items()
        if milliseconds > LIMIT_MS
    ] + [
        f"lode_api.{name}, zoom {zoom}: median {times['median_ms']:.0f} ms"
        for name, zooms in tiles.items()
        for zoom, times in zooms.items()
        if times["median_ms"] > LIMIT_MS
    ]
