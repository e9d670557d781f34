"""Areas by mine and year on ground that can be counted by hand."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db import accounting, runs
from db.connection import connect
from db.errors import UsageError
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, publish_drawing
from tests.grids import CELL_M2, cells

WHOLE = """
    xxxxxx
    xxxxxx
    xxxxxx
"""


def areas(conn: Connection[Any], column: str = "area_m2") -> dict[tuple[str, int, str], float | None]:
    """Area in cells by mine, year and class, without the zero rows."""
    rows = conn.execute(f"select mine_code, year, land_class, {column} from lode_api.damage_by_mine_year")
    return {
        (mine, year, name): None if area is None else round(area / CELL_M2, 4)
        for mine, year, name, area in rows
        if area is None or area > 0
    }


def test_area_counts_only_ground_inside_the_mine(conn: Connection[Any]) -> None:
    """Water is damage inside the boundary alone; vegetation never is."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("......\n.xxx..\n.xxx..", "x"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "wwbbbb\nwppvbb\nddwvbb")
    assert areas(conn) == {
        ("M1", 2021, "open_pit"): 2,
        ("M1", 2021, "dump"): 1,
        ("M1", 2021, "water"): 1,
    }
    total = conn.execute("select sum(area_m2) from lode.mine_area").fetchone()
    assert total[0] / CELL_M2 == pytest.approx(6, abs=1e-6)


def test_a_later_scene_of_the_year_owns_shared_ground(conn: Connection[Any]) -> None:
    """The later scene's map counts where both saw; the earlier one's elsewhere; whatever came first."""
    early = add_scene(conn, "early", date(2021, 5, 1), cells(WHOLE, "x"))
    late = add_scene(conn, "late", date(2021, 8, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells(WHOLE, "x"))
    model = add_model(conn, "net")
    publish_drawing(conn, late, model, 2021, "...ddd\n...ddd\n...bbb")
    publish_drawing(conn, early, model, 2021, "pppp..\npppp..\nbbbb..")
    assert areas(conn) == {("M1", 2021, "open_pit"): 6, ("M1", 2021, "dump"): 6}
    row = conn.execute(
        "select sum(owned_area_m2), (select observed_area_m2 from lode.mine_year) from lode.observation"
    ).fetchone()
    assert row[0] / CELL_M2 == pytest.approx(18, rel=1e-6)
    assert row[1] == pytest.approx(row[0], rel=1e-6)


def test_what_was_not_seen_is_null_with_a_reason(conn: Connection[Any]) -> None:
    """Not observed is neither zero nor undamaged."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    add_scene(conn, "two", date(2022, 6, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("xx....\nxx....", "x"))
    add_mine(conn, "M2", cells(".........x", "x"))
    publish_drawing(conn, scene, add_model(conn, "net", (0, 6)), 2021, "pb....\n......")
    rows = conn.execute(
        "select mine_code, year, area_m2, round(observed_fraction::numeric, 3), reason"
        " from lode_api.damage_by_mine_year where land_class = 'open_pit' order by 1, 2"
    ).fetchall()
    assert [(m, y, float(f), r) for m, y, _a, f, r in rows] == [
        ("M1", 2021, 0.5, None),
        ("M1", 2022, 0.0, "a scene of this year covers it, but no current run observed it"),
        ("M2", 2021, 0.0, "no scene of this year covers it"),
        ("M2", 2022, 0.0, "no scene of this year covers it"),
    ]
    assert rows[0][2] / CELL_M2 == pytest.approx(1, rel=1e-6)
    assert [row[2] for row in rows[1:]] == [None, None, None]
    reason = conn.execute(
        "select area_m2, reason from lode_api.damage_by_mine_year"
        " where mine_code = 'M1' and year = 2021 and land_class = 'dump'"
    ).fetchone()
    assert reason == (None, "the models of this year do not map this class")


def test_overlapping_mines_total_their_union(conn: Connection[Any]) -> None:
    """Each mine keeps its own area; sums over mines count shared ground once."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("xxxx..", "x"))
    add_mine(conn, "M2", cells("..xxxx", "x"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "pppppp")
    assert areas(conn) == {("M1", 2021, "open_pit"): 4, ("M2", 2021, "open_pit"): 4}
    assert areas(conn, "exclusive_area_m2") == {("M1", 2021, "open_pit"): 4, ("M2", 2021, "open_pit"): 2}
    total = conn.execute(
        "select area_m2 from lode_api.damage_by_year where land_class = 'open_pit'"
    ).fetchone()
    assert total[0] / CELL_M2 == pytest.approx(6, rel=1e-6)


def test_another_model_counts_only_when_told_so(conn: Connection[Any]) -> None:
    """A second run of the scene waits until it is made current; then only it counts."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells(WHOLE, "x"))
    publish_drawing(conn, scene, add_model(conn, "first"), 2021, "pppppp\nbbbbbb\nbbbbbb")
    second = publish_drawing(
        conn, scene, add_model(conn, "second"), 2021, "dddddd\ndddddd\nbbbbbb", current=False
    )
    assert areas(conn) == {("M1", 2021, "open_pit"): 6}
    assert runs.make_current(conn, second) is True
    assert areas(conn) == {("M1", 2021, "dump"): 12}
    assert runs.make_current(conn, second) is False


def test_a_superseded_scene_no_longer_counts(conn: Connection[Any]) -> None:
    """Its ground goes back to the other scene of the year that saw it."""
    early = add_scene(conn, "early", date(2021, 5, 1), cells(WHOLE, "x"))
    late = add_scene(conn, "late", date(2021, 8, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells(WHOLE, "x"))
    model = add_model(conn, "net")
    publish_drawing(conn, early, model, 2021, "pppppp\nbbbbbb\nbbbbbb")
    publish_drawing(conn, late, model, 2021, "dddddd\ndddddd\nbbbbbb")
    conn.execute("update lode.scene set superseded_by = %s where scene_id = %s", (early, late))
    assert areas(conn) == {("M1", 2021, "open_pit"): 6}
    assert conn.execute("select count(owned) from lode.observation").fetchone() == (1,)


def test_change_is_damage_identity_over_what_both_years_saw(conn: Connection[Any]) -> None:
    """damage(y) = damage(y-1) + new - treated, over ground seen in both years."""
    first = add_scene(conn, "a", date(2021, 6, 1), cells(WHOLE, "x"))
    second = add_scene(conn, "b", date(2022, 6, 1), cells(WHOLE, "x"))
    add_mine(conn, "M1", cells(WHOLE, "x"))
    model = add_model(conn, "net")
    publish_drawing(conn, first, model, 2021, "ppppbb\nddbbbb\nbbbb..")
    publish_drawing(conn, second, model, 2022, ".pppdd\nvdbbbb\nbbbbpp")
    rows = conn.execute(
        "select damage_kind, new_area_m2, treated_area_m2, persisting_area_m2, unobserved_area_m2"
        " from lode.mine_change where (from_year, to_year) = (2021, 2022) order by 1"
    ).fetchall()
    in_cells = {kind: [round(area / CELL_M2, 4) for area in numbers] for kind, *numbers in rows}
    assert in_cells == {
        "any": [2, 1, 4, 3],
        "excavated": [0, 0, 3, 3],
        "occupied": [2, 1, 1, 3],
    }


def test_partial_refresh_equals_deriving_from_nothing(conn: Connection[Any]) -> None:
    """After a change of boundary and of runs the tables hold what a full derivation gives."""
    model = add_model(conn, "net")
    scenes = [
        add_scene(conn, f"s{year}{month}", date(year, month, 1), cells(WHOLE, "x"))
        for year in (2021, 2022)
        for month in (5, 8)
    ]
    mines = [
        add_mine(conn, "M1", cells("xxxx..\nxxxx..", "x")),
        add_mine(conn, "M2", cells("...xxx\n...xxx", "x")),
    ]
    drawings = [
        "pppp..\nddbb..\nvvbb..",
        "...ddd\n..pppp\n..bbbb",
        "ppdd..\nddbb..\nvvww..",
        "...ppp\n..pppp\n......",
    ]
    for scene, drawing, year in zip(scenes, drawings, (2021, 2021, 2022, 2022), strict=True):
        publish_drawing(conn, scene, model, year, drawing)
    conn.execute(
        "update lode.mine set boundary = st_multi(st_difference(boundary, st_buffer(st_pointn("
        "st_exteriorring(st_geometryn(boundary, 1)), 1), 0.0005))) where mine_id = %s",
        (mines[0],),
    )

    def derived() -> list[Any]:
        return conn.execute(
            "select m.code, y.year, y.observed_area_m2, a.land_class_code, a.area_m2, a.exclusive_area_m2"
            " from lode.mine_year y join lode.mine m using (mine_id)"
            " join lode.mine_area a using (mine_year_id)"
            " order by 1, 2, 4"
        ).fetchall()

    kept_up = derived()
    accounting.derive_all(conn)
    assert kept_up == derived()
    assert kept_up


def test_a_token_that_was_taken_away_cannot_publish(conn: Connection[Any]) -> None:
    """The stale attempt is refused; the new one is not."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"), overlap_px=8)
    stale = runs.claim_run(conn, run.run_id, device="cpu", versions={})
    fresh = runs.claim_run(conn, run.run_id, device="cpu", versions={})
    assert (stale.attempt, fresh.attempt) == (1, 2)
    with pytest.raises(UsageError, match="may no longer publish"):
        runs.hold_for_publication(conn, stale)
    runs.hold_for_publication(conn, fresh)
    runs.fail_run(conn, stale, "too late")
    assert runs.run_by_id(conn, run.run_id).status == "running"
    assert runs.request_interpretation(conn, scene, run.model_id, overlap_px=8).run_id == run.run_id


def test_an_edit_beside_a_publication_waits_and_nobody_waits_in_a_circle(
    conn: Connection[Any], database_url: str
) -> None:
    """Whoever renames a mine or deletes a label waits before its row is locked, not after."""
    first = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    second = add_scene(conn, "two", date(2022, 6, 1), cells(WHOLE, "x"))
    mine = add_mine(conn, "M1", cells(WHOLE, "x"))
    label = add_label(conn, 8, cells("xx", "x"), date(2021, 7, 1))
    model = add_model(conn, "net")
    conn.commit()
    for scene, year, edit, key in (
        (first, 2021, "update lode.mine set code = 'M9' where mine_id = %s", mine),
        (second, 2022, "delete from lode.label where label_id = %s", label),
    ):
        conn.execute("select lode_api.lock_accounts()")
        with connect(database_url) as other, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda other=other, edit=edit, key=key: other.execute(edit, (key,)))
            await_lock(conn)
            publish_drawing(conn, scene, model, year, "pppppp\npppppp\npppppp")
            conn.commit()
            waiting.result(timeout=60)
            other.commit()
    assert areas(conn) == {("M9", 2021, "open_pit"): 18, ("M9", 2022, "open_pit"): 18}


def await_lock(conn: Connection[Any]) -> None:
    """Wait until some other session waits for an advisory lock."""
    for _ in range(300):
        row = conn.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        ).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.1)
    raise AssertionError("nobody waits for the accounting lock")
