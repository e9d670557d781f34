"""What a mine owner's view costs: a box of the map among the outlines of all mines.

    python -m benchmarks.privacy [--mines 1555]

Fills a database with mines and 129 outlines of damaged ground in each, and times a map's query (a box that
holds six outlines) as the table's owner on the table itself, as the owner of ten mines and as the owner of
all of them on ``lode_api.own_mine_damage``; then the last two again without the mark that lets a box filter
pass the view's barrier (see docs/roles.md), which is what a plain view with a barrier costs. Each figure is
the median of 50 calls, in turn. Ends with a table, build/privacy.json, and the same as JSON on the last line.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import click
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from benchmarks.measure import benchmark_database, note, report
from db.connection import connect
from db.role_logins import add_login

CALLS, FEW = 50, 10
YEARS, KINDS = 43, ("excavated", "occupied", "subsided")
BOX = (80.011, 40.001, 80.0395, 40.0095)
"""West, south, east, north, EPSG:4326: over three years of two kinds in the first mine."""
QUERY = "select count(st_area(geom)) from {} where geom && st_makeenvelope(%s, %s, %s, %s, 4326)"
FOUND = 6


def fill(conn: Connection[Any], mines: int) -> int:
    """Mines in rows of 40, 0.5 degrees apart, and their outlines; how many of these."""
    conn.execute("set session_replication_role = replica")  # nothing is derived
    conn.execute(
        "insert into lode.mine (code, name, boundary) select format('M%%s', n), format('Mine %%s', n),"
        " st_multi(st_makeenvelope(80 + 0.5 * (n %% 40), 40 + 0.5 * (n / 40), 80.49 + 0.5 * (n %% 40),"
        " 40.49 + 0.5 * (n / 40), 4326)) from generate_series(0, %s) as n",
        (mines - 1,),
    )
    outlines = conn.execute(
        "insert into lode.mine_damage (mine_id, year, damage_kind, geom, area_m2, start_date, end_date)"
        " select m.mine_id, 1980 + y, k.kind, st_multi(st_buffer(st_setsrid(st_makepoint("
        " st_xmin(m.boundary) + 0.01 * y + 0.005, st_ymin(m.boundary) + 0.005 * k.number), 4326), 0.002)),"
        " 1e5, make_date(1980 + y, 1, 1), make_date(1981 + y, 1, 1) from lode.mine m,"
        " generate_series(1, %s) as y, unnest(%s::text[]) with ordinality as k(kind, number)",
        (YEARS, list(KINDS)),
    ).rowcount
    conn.commit()
    conn.execute("set session_replication_role = origin")
    conn.commit()
    conn.autocommit = True
    conn.execute("vacuum analyze")
    return outlines


def once_ms(conn: Connection[Any], relation: str) -> float:
    """Milliseconds of one query."""
    begun = time.perf_counter()
    row = conn.execute(QUERY.format(relation).encode(), BOX).fetchone()
    taken = time.perf_counter() - begun
    if row != (FOUND,):
        raise RuntimeError(f"{relation}: {row} outlines in the box, {FOUND} expected")
    return 1000 * taken


def medians_ms(sides: dict[str, tuple[Connection[Any], str]]) -> dict[str, float]:
    """Median of each side; the sides are called in turn."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(CALLS):
        for name, (conn, relation) in sides.items():
            taken[name].append(once_ms(conn, relation))
    return {name: statistics.median(each) for name, each in taken.items()}


@click.command(help=__doc__)
@click.option("--mines", default=1555, show_default=True, type=click.IntRange(min=FEW))
def main(mines: int) -> None:
    """Run the benchmark."""
    with benchmark_database() as url, connect(url) as conn:
        note("filling")
        outlines = fill(conn, mines)
        with conn.transaction():
            add_login(conn, "owner_of_few", "owner", mines=[f"M{n}" for n in range(FEW)])
            add_login(conn, "owner_of_all", "owner", mines=[f"M{n}" for n in range(mines)])
        with (
            connect(make_conninfo(url, user="owner_of_few"), autocommit=True) as few,
            connect(make_conninfo(url, user="owner_of_all"), autocommit=True) as everything,
        ):
            own = {
                f"own_mine_damage, owner of {FEW} mines": (few, "lode_api.own_mine_damage"),
                f"own_mine_damage, owner of {mines} mines": (everything, "lode_api.own_mine_damage"),
            }
            found = medians_ms({"the table itself": (conn, "lode.mine_damage"), **own})
            conn.execute("alter function public.geometry_overlaps(geometry, geometry) not leakproof")
            found |= {f"{name}, without the mark": ms for name, ms in medians_ms(own).items()}
    for name, ms in found.items():
        print(f"{name:56}{ms:10.2f} ms")
    result = {
        "benchmark": "privacy",
        "outlines": outlines,
        "median_ms": {name: round(ms, 3) for name, ms in found.items()},
    }
    Path("build").mkdir(exist_ok=True)
    Path("build/privacy.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    report(result)


if __name__ == "__main__":
    main()
