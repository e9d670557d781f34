"""A search is published whole or not at all, once, and its cells, raster and targets say the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import shapely
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.prospect_runs import withdraw_search
from db.raster import RasterReader
from inference.prospect import apply
from inference.prospect.apply import SearchRequest, search_ground
from tests.db import searched_ground as made
from tests.db.searched_ground import rows
from tests.role_logins import denied, login, url_of
from tests.support import REPOSITORY, await_waiting, lode_here

HOME = SearchRequest("net", product="home", device_name="cpu")
DOWN, ACROSS = made.HEIGHT // 5, made.WIDTH // 5


@pytest.fixture
def conn(searched_copy: str) -> Iterator[Connection[Any]]:
    with connect(searched_copy) as connection:
        yield connection


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    made.answer_by_rule(monkeypatch)


def traces(conn: Connection[Any]) -> dict[str, int]:
    """What searches have left in the database."""
    (counts,) = rows(
        conn,
        "select (select count(*) from lode.prospect_run), (select count(*) from lode.prospect),"
        " (select count(*) from lode.prospect_target), (select count(*) from lode_raster.prospect_score),"
        " (select count(*) from pg_class where relname ~ 'prospect_score_[0-9]' and relkind = 'r'),"
        " (select count(*) from lode.tile_table where parent = 'prospect_score')",
    )
    return dict(zip(("runs", "cells", "targets", "tiles", "tables", "made"), counts, strict=True))


NOTHING = dict.fromkeys(("runs", "cells", "targets", "tiles", "tables", "made"), 0)


def test_cells_raster_and_figures_agree(searched_copy: str, conn: Connection[Any]) -> None:
    said: list[str] = []
    outcome = search_ground(searched_copy, HOME, said.append)
    assert not outcome.was_there
    assert outcome.figures["cells"] == DOWN * ACROSS
    found = rows(
        conn,
        "select row_px, col_px, probability, rank, st_isvalid(geom) from lode.prospect"
        " where prospect_run_id = %s order by row_px, col_px",
        outcome.run_id,
    )
    assert [row[:2] for row in found] == [(row, col) for row in range(DOWN) for col in range(ACROSS)]
    assert all(row[4] for row in found)
    probability = np.array([row[2] for row in found])
    assert 0 <= probability.min() < probability.max() <= 1
    ranks = [1 + int((probability > each).sum()) for each in probability]
    assert [row[3] for row in found] == ranks
    reader = RasterReader(conn, f"prospect_score_{outcome.run_id}")
    assert (reader.grid.resolution_x, reader.grid.origin_x, reader.grid.origin_y) == (
        *(150.0, made.WEST),
        made.NORTH,
    )
    raster = reader.read(0, 0, DOWN, ACROSS)[0]
    np.testing.assert_array_equal(raster.ravel().astype(np.float64), probability)
    (high,) = rows(
        conn,
        "select (select sum(cells) from lode_api.prospect_target), count(*) filter (where is_target)"
        " from lode_api.prospect_map",
    )
    assert high[0] == high[1] > 0
    (stored,) = rows(conn, "select threshold, cell_m, band_names, figures, parameters from lode.prospect_run")
    assert stored[:3] == (0.5, 150.0, ["probability"])
    assert stored[3]["shift"]["distance"] == pytest.approx(1, abs=0.2)
    assert [channel["sources"] for channel in stored[4]["channels"]] == [
        [channel.name] for channel in made.channels_of()
    ]
    assert any("features lie 1.0" in line or "features lie 0.9" in line for line in said), said


def test_a_target_is_where_it_was_put_with_what_is_near_and_speaks_for_it(
    dark: None, searched_copy: str, conn: Connection[Any]
) -> None:
    search_ground(searched_copy, replace(HOME, threshold=0.7))
    (target,) = rows(
        conn,
        "select rank, st_asbinary(geom), area_m2, st_area(geom::geography), cells, mean_probability,"
        " highest_probability, fault_distance_m, pluton_distance_m, deposit_distance_m, deposit_id, evidence"
        " from lode.prospect_target",
    )
    # Patches begin every 5 px: those of rows 10 and columns 20 and 25 lie on ore wholly, those one step off
    # by half. Of the four patches around an inner cell all but these hold ore by half or a quarter.
    (row, col), (height, width) = (10, 20), (10, 15)
    scores = {
        (y, x): max(0, min(y + 10, row + height) - max(y, row))
        * max(0, min(x + 10, col + width) - max(x, col))
        / 100
        for y in range(0, made.HEIGHT - 9, 5)
        for x in range(0, made.WIDTH - 9, 5)
    }
    means = {
        (y, x): float(np.mean([scores[p] for p in around if p in scores]))
        for y in range(0, made.HEIGHT, 5)
        for x in range(0, made.WIDTH, 5)
        for around in [[(y, x), (y - 5, x), (y, x - 5), (y - 5, x - 5)]]
    }
    high = {place: mean for place, mean in means.items() if mean >= 0.7}
    assert len(high) == 2
    plane = shapely.union_all([made.square(x, y, 5, 5) for y, x in high])
    outline = shapely.from_wkb(target[1])
    assert outline.symmetric_difference(made.to_wgs84(plane)).area < 1e-12
    assert (target[0], target[4]) == (1, 2)
    assert target[2] == pytest.approx(target[3], rel=1e-8)
    assert target[5] == pytest.approx(np.mean(list(high.values())), abs=1e-6)
    assert target[6] == pytest.approx(max(high.values()), abs=1e-6)
    west, _south, east, _north = plane.bounds
    assert target[7] == pytest.approx(west - (made.WEST - 300), abs=0.01)
    assert target[8] == pytest.approx(made.WEST + (made.WIDTH - 4) * made.PIXEL_M - east, abs=0.01)
    deposit = shapely.Point(made.WEST + 27 * made.PIXEL_M, made.NORTH - 22 * made.PIXEL_M)
    assert target[9] == pytest.approx(plane.distance(deposit), abs=0.01)
    assert rows(conn, "select name from lode.deposit where deposit_id = %s", target[10]) == [("Beryl Hill",)]
    beryl, other = target[11]
    assert beryl["name"] == "beryl 830 nm"
    assert beryl["value"] == pytest.approx(0.25, abs=0.02)
    assert beryl["deviations"] > 2.5
    assert other["name"].startswith("beryl, spodumene")
    assert abs(other["deviations"]) < 1


def test_the_same_search_is_published_once(searched_copy: str, conn: Connection[Any]) -> None:
    first = search_ground(searched_copy, HOME)
    before = traces(conn)
    again = search_ground(searched_copy, HOME)
    assert (again.run_id, again.was_there, again.figures) == (first.run_id, True, first.figures)
    assert traces(conn) == before
    other = search_ground(searched_copy, replace(HOME, threshold=0.9))
    assert other.run_id != first.run_id
    assert other.beside == (first.run_id,)


def test_again_withdraws_the_earlier_one_in_the_same_moment(
    searched_copy: str, conn: Connection[Any]
) -> None:
    kept = search_ground(searched_copy, replace(HOME, stride_px=10))
    first = search_ground(searched_copy, HOME)
    second = search_ground(searched_copy, replace(HOME, is_again=True))
    assert second.withdrew == (first.run_id,)
    assert second.beside == (kept.run_id,)
    moments = rows(
        conn, "select prospect_run_id, withdrawn_reason from lode.prospect_run where withdrawn_at = ("
        " select published_at from lode.prospect_run where prospect_run_id = %s)", second.run_id
    )  # fmt: skip
    assert moments == [(first.run_id, "made again")]
    shown = rows(conn, "select distinct prospect_run_id from lode_api.prospect_map order by 1")
    assert shown == [(kept.run_id,), (second.run_id,)]


def test_edited_geology_is_another_search_and_again_replaces_the_old_one(
    searched_copy: str, conn: Connection[Any]
) -> None:
    first = search_ground(searched_copy, HOME)
    fault = shapely.MultiLineString([[(made.WEST, made.NORTH), (made.WEST + 900, made.NORTH - 900)]])
    made.add_feature(conn, "fault", fault)
    conn.commit()
    second = search_ground(searched_copy, HOME)
    assert not second.was_there
    assert second.beside == (first.run_id,)
    third = search_ground(searched_copy, replace(HOME, is_again=True))
    assert third.withdrew == (first.run_id, second.run_id)
    distances = rows(
        conn, "select min(fault_distance_m) from lode.prospect_target where prospect_run_id = any(%s)"
        " group by prospect_run_id order by prospect_run_id", [first.run_id, third.run_id]
    )  # fmt: skip
    assert len(distances) == 2
    assert distances[1][0] < distances[0][0]
    # each keeps word of the geology that it saw
    digests = [
        digest
        for (digest,) in rows(
            conn, "select parameters ->> 'geology_digest' from lode.prospect_run order by prospect_run_id"
        )
    ]
    assert len(set(map(len, digests))) == 1
    assert digests[0] != digests[1] == digests[2]


@pytest.mark.parametrize("function", ["insert_cells", "insert_targets", "_write_raster"])
def test_what_fails_within_leaves_nothing(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    first = search_ground(searched_copy, HOME)
    before = traces(conn)

    def fail(*arguments: Any, **named: Any) -> None:
        if function != "_write_raster":
            real(*arguments, **named)
        raise RuntimeError("broken")

    real = getattr(sys.modules["inference.prospect.publishing"], function)
    monkeypatch.setattr(f"inference.prospect.publishing.{function}", fail)
    with pytest.raises(RuntimeError, match="broken"):
        search_ground(searched_copy, replace(HOME, is_again=True))
    assert traces(conn) == before
    assert rows(conn, "select ogc_fid, status from lode_api.prospect_history") == [
        (first.run_id, "published")
    ]


POINTS = ("prospect.publishing", "prospect.writing", "prospect.before_commit")


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_search_leaves_nothing(
    searched_copy: str, conn: Connection[Any], tmp_path: Path, point: str
) -> None:
    hold = {"LODE_HOLD_AT": point, "LODE_HOLD_FOLDER": str(tmp_path)}
    words = ["prospect", "apply", "--model", "net", "--scene", "home", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lode", *words],
        env=os.environ | hold | {"LODE_DATABASE_URL": searched_copy},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        deadline = time.monotonic() + 240
        while not list(tmp_path.iterdir()):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert traces(conn) == NOTHING
        process.send_signal(signal.SIGKILL)
    while rows(conn, "select from pg_stat_activity where application_name = 'lode prospect apply'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert traces(conn) == NOTHING
    outcome = search_ground(searched_copy, HOME)
    assert not outcome.was_there
    assert traces(conn)["runs"] == traces(conn)["tables"] == 1


def test_of_two_at_once_one_publishes_and_the_other_says_so(
    searched_copy: str, conn: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LODE_HOLD_AT", "prospect.before_commit")
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path))
    monkeypatch.setattr("db.points._met", Counter())
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(search_ground, searched_copy, HOME)
        deadline = time.monotonic() + 240
        while not list(tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = threads.submit(search_ground, searched_copy, HOME)
        await_waiting(conn)
        (sign,) = tmp_path.iterdir()
        sign.unlink()
        published, told = first.result(60), second.result(60)
    assert (published.was_there, told.was_there) == (False, True)
    assert told.run_id == published.run_id
    assert traces(conn)["runs"] == traces(conn)["tables"] == 1


def test_a_connection_lost_in_the_middle_is_made_anew(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sys.modules["inference.prospect.publishing"].insert_targets
    calls: list[int] = []

    def lose_once(own: Connection[Any], *arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            conn.execute("select pg_terminate_backend(%s)", (own.info.backend_pid,))
            conn.commit()
        real(own, *arguments)

    monkeypatch.setattr("inference.prospect.publishing.insert_targets", lose_once)
    outcome = search_ground(searched_copy, HOME)
    assert len(calls) == 2
    assert not outcome.was_there
    assert traces(conn)["runs"] == traces(conn)["tables"] == 1


def test_a_deposit_that_was_deleted_meanwhile_is_not_named(
    dark: None, searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apply.publish_search

    def delete_first(*arguments: Any, **named: Any) -> Any:
        conn.execute("delete from lode.deposit")
        conn.commit()
        return real(*arguments, **named)

    monkeypatch.setattr(apply, "publish_search", delete_first)
    search_ground(searched_copy, replace(HOME, threshold=0.7))
    ((distance, deposit),) = rows(conn, "select deposit_distance_m, deposit_id from lode.prospect_target")
    assert distance > 0
    assert deposit is None


def test_workers_search_and_analysts_look(searched_copy: str) -> None:
    outcome = search_ground(url_of(searched_copy, "lode_worker"), HOME)
    with login(searched_copy, "lode_analyst") as analyst:
        history = "select published_by, cells, status from lode_api.prospect_history"
        assert analyst.execute(history).fetchall() == [("lode_worker", DOWN * ACROSS, "published")]
        for view in ("prospect_map", "prospect_target"):
            count = analyst.execute(f"select count(*) from lode_api.{view}".encode()).fetchone()
            assert count is not None
        with denied("42501"):
            analyst.execute("update lode.prospect_run set withdrawn_at = now()")
    with login(searched_copy, "lode_reader") as reader:
        tiles = f"select count(*) > 0 from lode_raster.prospect_score_{outcome.run_id}"
        assert reader.execute(tiles.encode()).fetchone() == (True,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        search_ground(url_of(searched_copy, "lode_analyst"), replace(HOME, is_again=True))


def test_withdrawn_searches_are_shown_no_more(searched_copy: str, conn: Connection[Any]) -> None:
    run_id = search_ground(searched_copy, HOME).run_id
    with pytest.raises(UsageError, match="printable characters on one line"):
        withdraw_search(conn, run_id, " ")
    with pytest.raises(UsageError, match="there is no search 99"):
        withdraw_search(conn, 99, "wrong")
    withdraw_search(conn, run_id, " wrong faults ")
    conn.commit()
    assert rows(conn, "select count(*) from lode_api.prospect_map") == [(0,)]
    assert rows(conn, "select withdrawn_reason, withdrawn_by = session_user from lode.prospect_run") == [
        ("wrong faults", True)
    ]
    with pytest.raises(UsageError, match=r"was withdrawn on .* \(wrong faults\) already"):
        withdraw_search(conn, run_id, "again")
    assert not search_ground(searched_copy, HOME).was_there


def test_the_command_line_searches_lists_and_withdraws(dark: None, searched_copy: str) -> None:
    words = ("prospect", "apply", "--model", "net", "--scene", "home", "--device", "cpu")
    done = lode_here(searched_copy, *words, "--threshold", "0.7")
    assert done.returncode == 0, done.stderr
    assert "home: search 1 published 96 cells, 1 targets over 0.045 km2" in done.stdout
    assert "lode prospect targets --run 1" in done.stdout
    assert "100.0% of 60 x 40 px can be judged by 8 channels" in done.stderr
    done = lode_here(searched_copy, *words, "--threshold", "0.7")
    assert "home: search 1 is there" in done.stdout
    listed = lode_here(searched_copy, "prospect", "list").stdout
    assert "net" in listed
    assert "0.700" in listed
    shown = lode_here(searched_copy, "prospect", "targets", "--limit", "5").stdout
    assert "Targets of search 1" in shown
    assert "Beryl Hill" in shown
    for column in ("mean_probability", "area_m2", "fault_m", "pluton_m", "deposit_m"):
        assert f" {column} " in shown
    assert "beryl 830" in shown
    assert "spodumene" not in shown
    assert lode_here(searched_copy, "prospect", "withdraw", "1", "--reason", "a test").returncode == 0
    assert "home" not in lode_here(searched_copy, "prospect", "list").stdout
    assert "a test" in lode_here(searched_copy, "prospect", "list", "--all").stdout
    for arguments, message in (
        (("targets",), "no search stands"),
        (("targets", "--run", "1"), "search 1 was withdrawn (a test)"),
        (("targets", "--run", "7"), "there is no search 7"),
        (("apply", "--model", "net"), "either a scene (--scene) or a study area (--area)"),
        ((*words[1:], "--stride", "0"), "a stride of 0 px does not go with patches"),
        ((*words[1:], "--top", "0.1"), "--top means nothing to model net"),
    ):
        failed = lode_here(searched_copy, "prospect", *arguments)
        assert failed.returncode == 1
        assert message in failed.stderr


def test_again_withdraws_nothing_where_an_equal_search_came_first(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = search_ground(searched_copy, HOME)
    fault = shapely.MultiLineString([[(made.WEST, made.NORTH), (made.WEST + 900, made.NORTH - 900)]])
    made.add_feature(conn, "fault", fault)
    conn.commit()
    real = apply.publish_search

    def publish_twice(own_url: str, task: Any, found: Any, *, is_again: bool, report: Any) -> Any:
        real(own_url, task, found, is_again=False, report=report)
        return real(own_url, task, found, is_again=is_again, report=report)

    monkeypatch.setattr(apply, "publish_search", publish_twice)
    outcome = search_ground(searched_copy, replace(HOME, is_again=True))
    assert (outcome.was_there, outcome.withdrew) == (True, ())
    standing = rows(
        conn, "select prospect_run_id from lode.prospect_run where withdrawn_at is null order by 1"
    )
    assert standing == [(old.run_id,), (outcome.run_id,)]
