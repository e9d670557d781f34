"""The accounts of a province of 1,555 mines, three years and 180,000 polygons, beside plain SQL.

    python -m benchmarks.accounting [--mines 1555] [--scale 0.1 --scale 1] [--runs 3]

At each scale, in a database of its own: deriving all areas from nothing, on one connection and on two, beside
one query of ST_Area(ST_Intersection) per mine, year and class; deriving everything (areas, change matrices,
damage shapes, patches with their history, regions, alerts), beside the same query and beside one that also
intersects the polygons of each pair of years; publishing scenes of several sizes. At the largest scale: every
view, and vector tiles. Areas of both sides must agree to 1e-6 of the mine's area. Ours store what they find,
with indices; the plain queries only give rows.

Seconds of a processor stand beside those of the clock: they say what the work costs, however many processors
and neighbours there are. Ends with a table, and the same as JSON on the last line; exit code 1 names what is
slower than it may be.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import click
from psycopg import Connection

from benchmarks import accounting_queries as queries
from benchmarks import tianshan_rows as rows
from benchmarks.accounting_figures import Figures, table
from benchmarks.accounting_views import LIMIT_MS, Wanted, time_tiles, time_views, too_slow
from benchmarks.measure import benchmark_database, note, report
from benchmarks.server_time import Spent, in_turn, measured, postmaster_id
from benchmarks.tianshan import CELLS, YEARS, Ground, Scenery
from db.accounting import refresh_all
from db.connection import connect

CONNECTIONS = 2
PUBLISHED_ROWS = (range(1), range(2, 4), range(5, 8))
"""Rows of 12 mines that the scenes published later see, within the first scene's place."""

PUBLISHED_ON = date(2022, 9, 1)
BUDGET_S = 240.0
"""No further run of a comparison begins that would end later than this."""


def fill(conn: Connection[Any], scenery: Scenery, mines: int) -> tuple[int, int, int]:
    """Store the province without deriving anything; polygons, vertices of their outlines, and the model."""
    rows.insert_mines(conn, mines)
    rows.insert_regions(conn, mines)
    model_id = rows.insert_model(conn)
    polygons = 0
    begun = time.perf_counter()
    for count in rows.store_scenes(conn, scenery, mines, model_id):
        conn.commit()
        polygons += count
    note(f"  stored {polygons} polygons in {time.perf_counter() - begun:.1f} s")
    _vacuum(conn)
    row = conn.execute("select sum(st_npoints(geom)) from lode.landcover").fetchone()
    conn.rollback()
    return polygons, 0 if row is None else int(row[0]), model_id


def _vacuum(conn: Connection[Any]) -> None:
    conn.commit()
    conn.autocommit = True
    conn.execute("vacuum analyze")
    conn.autocommit = False


def compare(conn: Connection[Any], url: str, figures: Figures, *, runs: int, is_thorough: bool) -> None:
    """Time both sides, and check that they say the same.

    Args:
        conn: connection for the plain queries.
        url: libpq URL, for ours, which open their own connections.
        figures: takes what is found.
        runs: most runs of each side.
        is_thorough: also time areas on one connection and the plain query of change, which takes longest.

    """
    postmaster = postmaster_id(conn)
    conn.rollback()
    plain: dict[str, queries.Areas] = {}

    def plain_areas() -> None:
        plain["areas"] = queries.plain_areas(conn)

    def plain_change() -> None:
        plain["change"] = queries.plain_change(conn)

    note("areas")
    sides: dict[str, Callable[[], object]] = {
        "two_connections": lambda: queries.derive_areas(url, connections=CONNECTIONS),
        "plain_areas": plain_areas,
    }
    if is_thorough:
        sides["one_connection"] = lambda: queries.derive_areas(url, connections=1)
    figures.areas = in_turn(postmaster, sides, runs=runs, budget_s=BUDGET_S)
    figures.largest_difference = queries.check_same(
        conn, queries.our_areas(conn), plain["areas"], "area by mine, year and class"
    )
    note("everything")
    sides = {"ours": lambda: refresh_all(url, jobs=CONNECTIONS)}
    if is_thorough:
        sides["plain_change"] = plain_change
    figures.everything = in_turn(postmaster, sides, runs=runs, budget_s=BUDGET_S)
    queries.check_same(conn, queries.our_areas(conn), plain["areas"], "area by mine, year and class")
    if is_thorough:
        change = {key: area_m2 for key, area_m2 in plain["change"].items() if key[3] is not None}
        figures.largest_difference = max(
            figures.largest_difference,
            queries.check_same(
                conn, queries.our_change(conn), change, "area by mine, year, class and class a year later"
            ),
        )


def publish(
    conn: Connection[Any], scenery: Scenery, mines: int, model_id: int
) -> list[tuple[int, int, Spent]]:
    """Publish further scenes of a year over the first one's place; polygons, mines and seconds of each."""
    postmaster = postmaster_id(conn)
    conn.rollback()
    found = []
    for mined in PUBLISHED_ROWS:
        if mined.stop * CELLS > mines:
            break
        ground = scenery.ground(YEARS[-1], mined, clouded=False)

        def publish_one(ground: Ground = ground) -> None:
            rows.publish_scene(
                conn,
                ground,
                product=f"later {ground.rows.start}",
                acquired_on=PUBLISHED_ON,
                place=0,
                model_id=model_id,
            )
            conn.commit()

        spent = measured(postmaster, publish_one)
        found.append((ground.polygon_count, len(mined) * CELLS, spent))
        note(
            f"  published {ground.polygon_count} polygons in {spent.wall_s:.1f} s, {spent.cpu_s:.1f} s of a"
            f" processor: {1000 * spent.cpu_s / ground.polygon_count:.1f} ms each"
        )
    return found


def look(conn: Connection[Any], figures: Figures) -> None:
    """Add what interpreters say, then time views and tiles."""
    labels = rows.insert_labels(conn, figures.mines)
    conn.commit()
    points = rows.insert_assessment(conn)
    note(f"views, after {labels} labels and an assessment of {points} points")
    _vacuum(conn)
    found = conn.execute(
        "select m.code, l.key, r.code"
        " from lode.label b join lode.mine m on st_intersects(m.boundary, b.geom)"
        " join lode.region r on st_intersects(r.geom, m.boundary)"
        " join lode.region_layer l on l.region_layer_id = r.region_layer_id and not l.is_protected"
        " order by m.code, r.code limit 1"
    ).fetchone()
    mine_code, layer, region_code = found or ("T00000", "county", "C000")
    wanted = Wanted(PUBLISHED_ON.year, mine_code, layer, region_code, rows.ASSESSMENT)
    figures.views = time_views(conn, wanted)
    note("tiles")
    figures.tiles = time_tiles(conn, PUBLISHED_ON.year)


def measure(scenery: Scenery, mines: int, *, runs: int, is_largest: bool, is_thorough: bool) -> Figures:
    """Everything at one scale, in a database of its own."""
    figures = Figures(mines)
    note(f"{mines} mines")
    with benchmark_database() as url, connect(url) as conn:
        figures.polygons, figures.vertices, model_id = fill(conn, scenery, mines)
        compare(conn, url, figures, runs=runs, is_thorough=is_thorough)
        _vacuum(conn)
        note("publication")
        figures.published = publish(conn, scenery, mines, model_id)
        if is_largest:
            look(conn, figures)
    return figures


@click.command()
@click.option("--mines", type=click.IntRange(min=12), default=1555, show_default=True, help="At scale 1.")
@click.option(
    "--scale",
    "scales",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=(0.1, 1.0),
    show_default=True,
    help="Share of these mines and their polygons; give it several times.",
)
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Most runs of each.")
def main(mines: int, scales: Sequence[float], runs: int) -> None:
    """Measure, print a table and, on the last line, the result as JSON."""
    note("drawing the ground")
    scenery = Scenery()
    counts = sorted({max(CELLS, round(mines * scale)) for scale in scales})
    # What takes long and grows as the rest does is left out at the largest of several scales.
    scaled = [
        measure(
            scenery,
            count,
            runs=runs,
            is_largest=count == counts[-1],
            is_thorough=count != counts[-1] or len(counts) == 1,
        )
        for count in counts
    ]
    print("\n".join(table(scaled)), flush=True)
    largest = scaled[-1]
    slow = too_slow(largest.views, largest.tiles)
    report(
        {
            "benchmark": "accounting",
            "measured": "seconds to derive areas by mine, year and class from nothing, on two connections",
            "peer": "one query of ST_Area(ST_Intersection) per mine, year and class",
            "ratio": round(largest.areas["plain_areas"].wall_s / largest.areas["two_connections"].wall_s, 2),
            "scales": [figures.rounded() for figures in scaled],
            "views_ms": largest.views,
            "tiles_ms": largest.tiles,
            "too_slow": slow,
        }
    )
    for line in slow:
        note(f"slower than {LIMIT_MS:.0f} ms: {line}")
    if slow:
        sys.exit(1)


if __name__ == "__main__":
    main()
