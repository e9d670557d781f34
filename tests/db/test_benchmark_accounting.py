"""The benchmark of the accounts on ground that can be counted: what it compares, counts and refuses."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from benchmarks import accounting_queries as queries
from benchmarks.accounting_views import Wanted, time_tiles, time_views, too_slow
from benchmarks.server_time import in_turn, measured, postmaster_id
from db.errors import UsageError
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, publish_drawing
from tests.grids import CELL_M2, cells

WHOLE = "xxxxxx\nxxxxxx\nxxxxxx"
WANTED = Wanted(2022, "M1", "county", "C1", "none")


def two_years(conn: Connection[Any]) -> None:
    """Two mines that share a column, seen whole in 2021 and but for a corner in 2022."""
    add_mine(conn, "M1", cells("xxxx..\nxxxx..\nxxxx..", "x"))
    add_mine(conn, "M2", cells("...xxx\n...xxx\n...xxx", "x"))
    model = add_model(conn, "net")
    for year, drawing in ((2021, "ppbbdd\npbbbbd\nbbbbbb"), (2022, "pppbd \nppbbdd\nbbbbbb")):
        seen = "".join("x" if letter in CODES else letter for letter in drawing)
        scene = add_scene(conn, f"S{year}", date(year, 7, 1), cells(seen, "x"))
        publish_drawing(conn, scene, model, year, drawing)
    conn.commit()


def test_plain_queries_and_ours_say_the_same_of_drawn_ground(conn: Connection[Any]) -> None:
    """Areas and transitions of both sides agree, and are those that one can count."""
    two_years(conn)
    plain, change = queries.plain_areas(conn), queries.plain_change(conn)
    assert plain["M1", 2022, CODES["p"]] / CELL_M2 == pytest.approx(5, abs=1e-4)
    assert change["M1", 2021, CODES["b"], CODES["p"]] / CELL_M2 == pytest.approx(2, abs=1e-4)
    transitions = {key: area for key, area in change.items() if key[3] is not None}
    assert {key[:3]: area for key, area in change.items() if key[3] is None} == pytest.approx(plain)
    assert queries.check_same(conn, queries.our_areas(conn), plain, "area") < 1e-6
    assert queries.check_same(conn, queries.our_change(conn), transitions, "change") < 1e-6


def test_areas_alone_are_derived_from_nothing(conn: Connection[Any], database_url: str) -> None:
    """What the timed side derives equals what triggers derived, on several connections too."""
    two_years(conn)
    before = queries.our_areas(conn)
    conn.execute("update lode.mine_area set area_m2 = 0, exclusive_area_m2 = 0")
    conn.commit()
    queries.derive_areas(database_url, connections=2)
    assert queries.our_areas(conn) == pytest.approx(before)


@pytest.mark.parametrize("change", ["area_m2 = area_m2 * (1 + 1e-5)", "area_m2 = 0"])
def test_a_difference_is_an_error_that_names_it(conn: Connection[Any], change: str) -> None:
    """A class that differs by more than a millionth of the mine, or that one side lacks."""
    two_years(conn)
    conn.execute(
        f"update lode.mine_area set {change}, exclusive_area_m2 = 0 where land_class_code = 0".encode()
    )
    conn.commit()
    with pytest.raises(UsageError, match=r"area \('M[12]', 202[12], 0\): ours is"):
        queries.check_same(conn, queries.our_areas(conn), queries.plain_areas(conn), "area")


def test_seconds_of_the_server_are_its_work_and_not_its_waiting(conn: Connection[Any]) -> None:
    """A query that sleeps takes time on the clock alone, one that computes takes both."""
    postmaster = postmaster_id(conn)
    asleep = measured(postmaster, lambda: conn.execute("select pg_sleep(0.5)"))
    assert asleep.wall_s >= 0.5
    busy = measured(
        postmaster, lambda: conn.execute("select count(sqrt(n)) from generate_series(1, 5000000) n")
    )
    assert busy.cpu_s > 0.2
    assert asleep.cpu_s < busy.cpu_s


def test_sides_are_run_in_turn_until_the_budget_is_used(conn: Connection[Any]) -> None:
    """Every other round begins with the other side; without budget there is one round."""
    order: list[str] = []
    sides = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = in_turn(postmaster_id(conn), sides, runs=3, budget_s=60)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found["b"].runs == 3
    assert in_turn(postmaster_id(conn), sides, runs=3, budget_s=0)["a"].runs == 1


def test_a_view_without_rows_is_not_timed(conn: Connection[Any]) -> None:
    """An empty view is fast whatever it would have to do."""
    two_years(conn)
    with pytest.raises(UsageError, match=r"view lode_api\.\w+ gives no row"):
        time_views(conn, WANTED)


def test_tiles_are_those_of_the_ground(conn: Connection[Any]) -> None:
    """At every zoom some tile of the sample holds something; far out there is one tile."""
    two_years(conn)
    found = time_tiles(conn, 2022)
    assert set(found) == {"landcover_tile", "damage_tile"}
    assert sorted(found["landcover_tile"]) == list(range(4, 17))
    assert all(times["largest_kb"] > 0 for times in found["damage_tile"].values())


def test_what_is_too_slow_is_named() -> None:
    """Views by what was asked of them, tiles by their median."""
    views = {"damage_by_year": {"year": 99.0, "first page": 101.0}, "evidence": {"mine": 3.0}}
    tiles = {"damage_tile": {4: {"median_ms": 12.0, "worst_ms": 300.0}, 5: {"median_ms": 120.0}}}
    assert too_slow(views, tiles) == [
        "view lode_api.damage_by_year, first page: 101 ms",
        "lode_api.damage_tile, zoom 5: median 120 ms",
    ]
