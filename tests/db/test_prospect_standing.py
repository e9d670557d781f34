"""Which searches for ore stand, which are equal, and what is told of those that stand no more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.prospect_runs import searches_report, targets_report, withdraw_search
from db.reports.prospects import find_search
from inference.prospect.apply import SearchRequest, search_ground
from inference.prospect.apply_command import _sets_report, outcome_lines
from reporting.prospect_page import prospect_page
from reporting.prospect_report import gather_search
from tests.db import prospect_rows
from tests.db import searched_ground as made
from tests.db.searched_ground import rows
from tests.role_logins import login, url_of

HOME = SearchRequest("net", product="home", device_name="cpu")


@pytest.fixture
def conn(searched_copy: str) -> Iterator[Connection[Any]]:
    with connect(searched_copy) as connection:
        yield connection


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    made.answer_by_rule(monkeypatch)


def supersede_home(conn: Connection[Any]) -> None:
    """A newer version of the scene, somewhat darker."""
    newer = made.add_scene(conn, "newer", made.spectra() * np.float32(0.9))
    conn.execute("update lode.scene set superseded_by = %s where product = 'home'", (newer,))
    conn.execute("update lode.scene set product = 'home', version = 2 where scene_id = %s", (newer,))
    conn.commit()


def test_searches_of_an_earlier_version_of_a_scene_stand_no_more(
    dark: None, searched_copy: str, conn: Connection[Any]
) -> None:
    request = replace(HOME, threshold=0.7)
    old = search_ground(searched_copy, request).run_id
    assert rows(conn, "select count(*) from lode_api.prospect_target") == [(1,)]
    supersede_home(conn)
    for view in ("prospect_map", "prospect_target"):
        assert rows(conn, f"select count(*) from lode_api.{view}") == [(0,)], view
    assert rows(conn, "select ogc_fid, status from lode_api.prospect_history") == [(old, "superseded")]
    assert searches_report(conn).rows == []
    assert len(searches_report(conn, with_all=True).rows) == 1
    with pytest.raises(UsageError, match="no search stands"):
        targets_report(conn, None, 5)
    with pytest.raises(UsageError, match="an earlier version of scene home"):
        targets_report(conn, old, 5)
    with pytest.raises(UsageError, match=rf"all 1 were withdrawn, or .* newer version.*--run {old}"):
        find_search(conn, None)
    found = gather_search(conn, old, 5)
    assert (found.head.status, found.is_superseded, found.stands) == ("superseded", True, False)
    page = prospect_page(conn, found, "en")
    assert "SUPERSEDED: the scene has a newer version" in page
    # the view lists what stands: the page's query must find the targets it shows
    assert f"select * from lode.prospect_target where prospect_run_id = {old}" in page
    conn.rollback()
    new = search_ground(searched_copy, request)
    assert (new.was_there, new.beside) == (False, (old,))
    assert any(f"search {old} was not withdrawn" in line for line in outcome_lines(new))
    for view in ("prospect_map", "prospect_target"):
        shown = rows(conn, f"select distinct prospect_run_id from lode_api.{view}")
        assert shown == [(new.run_id,)], view
    standing = gather_search(conn, None, 5)
    assert (standing.head.search, standing.stands) == (new.run_id, True)
    assert "SUPERSEDED" not in prospect_page(conn, standing, "en")
    conn.rollback()
    again = search_ground(searched_copy, replace(request, is_again=True))
    assert (again.withdrew, again.beside) == ((old, new.run_id), ())
    assert rows(conn, "select status from lode_api.prospect_history order by ogc_fid") == [
        ("withdrawn",),
        ("withdrawn",),
        ("published",),
    ]


def test_networks_of_equal_weights_are_not_one(searched_copy: str, conn: Connection[Any]) -> None:
    made.add_model(conn, "twin", made.channels_of(), made.training_values() * np.float32(1.5))
    conn.commit()
    hashes = rows(conn, "select count(distinct sha256), count(*) from lode.model_weights")
    assert hashes == [(1, 2)]
    own = search_ground(searched_copy, HOME)
    twin = search_ground(searched_copy, replace(HOME, model_name="twin"))
    assert not twin.was_there
    assert twin.run_id != own.run_id
    assert twin.figures["mean_probability"] != own.figures["mean_probability"]
    again = search_ground(searched_copy, replace(HOME, model_name="twin", is_again=True))
    assert again.withdrew == (twin.run_id,)


def test_scales_and_patches_are_of_the_content(searched_copy: str, conn: Connection[Any]) -> None:
    """Also where somebody writes them into the registry's row by hand."""
    first = search_ground(searched_copy, HOME)
    scaled = "update lode.model set normalisation = jsonb_set(normalisation, '{means, 0}', '0.5')"
    conn.execute(scaled.encode())
    conn.commit()
    assert not search_ground(searched_copy, HOME).was_there
    conn.execute("update lode.model set resolution_m = 30.5")
    conn.commit()
    third = search_ground(searched_copy, HOME)
    assert not third.was_there
    assert third.beside == (first.run_id, first.run_id + 1)


def test_edited_geology_is_another_search_of_a_network_without_geology(
    dark: None, searched_copy: str, conn: Connection[Any]
) -> None:
    made.add_model(conn, "bare", made.channels_of(geology=()), made.spectra())
    conn.commit()
    request = replace(HOME, model_name="bare", threshold=0.7)
    first = search_ground(searched_copy, request)
    conn.execute("update lode.deposit set name = 'another'")
    # beyond the fault that is there: it is the nearest of no cell
    far = shapely.MultiLineString([[(made.WEST - 90_000, made.NORTH), (made.WEST - 90_000, made.NORTH - 9)]])
    made.add_feature(conn, "fault", far)
    conn.commit()
    assert search_ground(searched_copy, request).was_there
    inside = shapely.MultiLineString([[(made.WEST, made.NORTH), (made.WEST + 900, made.NORTH - 900)]])
    made.add_feature(conn, "fault", inside)
    conn.commit()
    second = search_ground(searched_copy, request)
    assert not second.was_there
    (before,), (after,) = rows(
        conn, "select fault_distance_m from lode.prospect_target order by prospect_run_id"
    )
    assert second.beside == (first.run_id,)
    assert after < 300 < 900 < before
    digests = rows(conn, "select count(distinct parameters ->> 'nearby_digest') from lode.prospect_run")
    assert digests == [(2,)]


def test_a_commit_whose_answer_was_lost_is_told_as_published(
    searched_copy: str, conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = search_ground(searched_copy, HOME)
    real = sys.modules["inference.prospect.publishing"].standing_searches
    calls: list[int] = []

    def lose_once(own: Connection[Any], *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            conn.execute("select pg_terminate_backend(%s)", (own.info.backend_pid,))
            conn.commit()
        return real(own, *arguments)

    monkeypatch.setattr("inference.prospect.publishing.standing_searches", lose_once)
    outcome = search_ground(searched_copy, replace(HOME, is_again=True))
    assert len(calls) == 2
    assert (outcome.was_there, outcome.withdrew, outcome.beside) == (False, (earlier.run_id,), ())
    standing = rows(conn, "select prospect_run_id from lode.prospect_run where withdrawn_at is null")
    assert standing == [(outcome.run_id,)]
    assert "seconds" in outcome.figures


def comments(conn: Connection[Any], run_id: int) -> dict[str, str]:
    return dict(
        rows(
            conn,
            "select relname::text, obj_description(oid, 'pg_class') from pg_class"
            " where relkind = 'r' and relname ~ %s",
            f"prospect_score_{run_id}$",
        )
    )


def test_the_raster_of_a_withdrawn_search_says_so(searched_copy: str, conn: Connection[Any]) -> None:
    worker = url_of(searched_copy, "lode_worker")
    first = search_ground(worker, HOME).run_id
    second = search_ground(worker, replace(HOME, threshold=0.4)).run_id
    plain = comments(conn, first)
    assert plain[f"prospect_score_{first}"] == f"Probability of ore, 0..1, of search {first}"
    with login(searched_copy, "lode_worker") as own:
        withdraw_search(own, first, "a reason")
        own.commit()
    today = rows(conn, "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD')")[0][0]
    marked = comments(conn, first)
    assert marked == {table: f"WITHDRAWN on {today}. {about}" for table, about in plain.items()}
    assert not any("WITHDRAWN" in about for about in comments(conn, second).values())
    assert conn.execute("select count(*) from lode_raster.prospect_score").fetchone() == (2,)
    conn.execute("update lode.prospect_run set withdrawn_at = null, withdrawn_by = null")
    conn.commit()
    assert comments(conn, first) == plain


def test_no_search_marks_the_raster_of_another(searched_copy: str, conn: Connection[Any]) -> None:
    first = search_ground(searched_copy, HOME).run_id
    second = search_ground(searched_copy, replace(HOME, threshold=0.4)).run_id
    before = comments(conn, second)
    conn.execute("update lode.prospect_run set tile_table = 'gone' where prospect_run_id = %s", (second,))
    conn.execute(
        "update lode.prospect_run set tile_table = %s, withdrawn_at = now() where prospect_run_id = %s",
        (f"prospect_score_{second}", first),
    )
    conn.commit()
    assert comments(conn, second) == before


def test_ground_at_the_edge_that_lies_in_no_cell_is_told(searched_copy: str, conn: Connection[Any]) -> None:
    said: list[str] = []
    search_ground(searched_copy, replace(HOME, stride_px=7), said.append)
    # patches of 10 px, 7 apart, begin at 0, 7 ... 49 across and 0, 7 ... 28 down; each holds one cell wholly
    told = [line for line in said if "lie in no cell" in line]
    assert len(told) == 1
    assert told[0].startswith(
        "4 px at the right and 5 px at the lower edge lie in no cell: no patch of 10 px"
    )
    edge = rows(conn, "select max(row_px), max(col_px) from lode.prospect")
    assert edge == [(4, 7)]
    said.clear()
    search_ground(searched_copy, HOME, said.append)
    assert not any("lie in no cell" in line for line in said)


@pytest.mark.parametrize(
    ("left_m", "upper_m", "is_learned_from"),
    [(-149.95, 150.0, False), (420.0, 420.0, True), (150.0, 150.0, True), (450.0, 450.0, False)],
    ids=["a sliver of 5 cm", "one pixel", "the target itself", "a corner"],
)
def test_a_target_that_only_touches_a_patch_was_not_learned_from(
    conn: Connection[Any], left_m: float, upper_m: float, is_learned_from: bool
) -> None:
    """Target 1 lies 150 to 450 m from the left and 150 to 450 m from the top; patches are of 300 m."""
    prospect_rows.add_whole_search(conn)
    corners = np.array([[0, 0], [0, 300], [300, 300], [300, 0]], float)
    corners += [left_m, upper_m]
    patch = shapely.Polygon(np.column_stack(prospect_rows.degrees_at(corners[:, 0], corners[:, 1])))
    conn.execute(
        "update lode.prospect_patch set geom = st_geomfromwkb(%s, 4326) where split = 'train'",
        (shapely.to_wkb(patch),),
    )
    first, _second = gather_search(conn, None, 20).rows("targets")
    conn.rollback()
    assert first["is_learned_from"] is is_learned_from


def test_sets_that_do_not_say_how_many_patches_they_hold_are_listed(conn: Connection[Any]) -> None:
    area_id = prospect_rows.add_area(conn)
    prospect_rows.add_set(conn, area_id)
    report = _sets_report(conn)
    conn.rollback()
    (row,) = [dict(zip(report.columns, each, strict=True)) for each in report.rows]
    assert (row["set"], row["positive"], row["negative"]) == ("patches", None, None)
