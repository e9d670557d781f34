"""The accounts of a province of 1,555 mines, three years and 180,000 polygons, beside plain SQL.

    python -m benchmarks.accounting [--mines 1555] [--runs 3]

Measured: deriving all areas again, and everything with change and damage patches, against one plain query of
ST_Area(ST_Intersection) per mine, year and class (the ratio) and against its like for change; the publication
of scenes while the database fills; every view. Areas of both sides must agree to 1e-6.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import click
from psycopg import Connection

from benchmarks.measure import benchmark_database, note, paired_runs, report
from benchmarks.tianshan import (
    MINES_A_SIDE,
    YEARS,
    Ground,
    grounds,
    insert_mines,
    insert_model,
    publish_scene,
)
from db.accounting import refresh_all
from db.connection import connect
from db.errors import UsageError

PEER = """
select m.code, extract(year from l.start_date)::integer, l.land_class_code,
  sum(st_area(st_intersection(l.geom, m.boundary)::geography))
from lode.mine m
join lode.landcover l on st_intersects(l.geom, m.boundary)
group by 1, 2, 3
"""

OURS = """
select m.code, y.year, a.land_class_code, a.area_m2
from lode.mine_area a
join lode.mine_year y on y.mine_year_id = a.mine_year_id
join lode.mine m on m.mine_id = y.mine_id
where a.area_m2 > 0
"""

TOLERANCE = 1e-6


def fill(conn: Connection[Any], mines: int, years: list[Ground]) -> list[dict[str, float]]:
    """Publish all scenes, a year after the other; seconds and polygons of each."""
    scenes = -(-mines // MINES_A_SIDE**2)
    model_id = insert_model(conn)
    insert_mines(conn, mines)
    published = []
    for year, ground in zip(YEARS, years, strict=True):
        for scene in range(scenes):
            begun = time.perf_counter()
            count = publish_scene(conn, ground, scene=scene, year=year, model_id=model_id)
            conn.commit()
            seconds = time.perf_counter() - begun
            published.append({"year": year, "polygons": count, "seconds": seconds})
            note(f"published {year} scene {scene + 1} of {scenes}: {count} polygons, {seconds:.1f} s")
    conn.autocommit = True
    conn.execute("vacuum analyze")
    conn.autocommit = False
    return published


def compare(conn: Connection[Any]) -> float:
    """The largest difference between our areas and the plain query's, relative to the mine's area."""
    ours = {tuple(row[:3]): float(row[3]) for row in conn.execute(OURS)}
    theirs = {tuple(row[:3]): float(row[3]) for row in conn.execute(PEER)}
    rows = conn.execute("select code, st_area(boundary::geography) from lode.mine")
    area = {code: float(area_m2) for code, area_m2 in rows}
    keys = ours.keys() | theirs.keys()
    return max(abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) / area[key[0]] for key in keys)


def time_views(conn: Connection[Any]) -> dict[str, float]:
    """Milliseconds of each view, all of its rows, the median of five."""
    names = [row[0] for row in conn.execute("select viewname from pg_views where schemaname = 'lode_api'")]
    found = {}
    for name in sorted(names):
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            conn.execute(
                f"select count(*), min(v.ogc_fid) from (select * from lode_api.{name} offset 0) v".encode()
            )
            taken.append(time.perf_counter() - begun)
        found[name] = round(1000 * statistics.median(taken), 1)
    return found


@click.command()
@click.option("--mines", type=click.IntRange(min=1), default=1555, show_default=True)
@click.option("--runs", type=click.IntRange(min=3), default=3, show_default=True)
def main(mines: int, runs: int) -> None:
    """Measure and print the result as JSON on the last line."""
    years = grounds()
    with benchmark_database() as url, connect(url) as conn:
        published = fill(conn, mines, years)
        polygons = sum(int(each["polygons"]) for each in published)
        views = time_views(conn)
        note(json.dumps(views))
        difference = compare(conn)
        if difference > TOLERANCE:
            raise UsageError(f"areas differ from the plain query's by {difference:.1e} of the mine's area")
        conn.commit()

        def ours() -> float:
            begun = time.perf_counter()
            refresh_all(url)
            return time.perf_counter() - begun

        def peer() -> float:
            begun = time.perf_counter()
            conn.execute(PEER).fetchall()
            conn.commit()
            return time.perf_counter() - begun

        both = paired_runs(ours, peer, runs=runs)
        report(
            {
                "benchmark": "accounting",
                "measured": "seconds to derive the accounts of all mines and years from nothing",
                "peer": "one query of ST_Area(ST_Intersection) per mine, year and class",
                **both.summary(),
                "mines": mines,
                "polygons": polygons,
                "largest_difference": difference,
                "views_ms": views,
                "published": published,
            }
        )


if __name__ == "__main__":
    main()
