"""What an inspector says of an alert stays, whatever is derived later; nothing else is written by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, errors

from db.alerts.reviews import review_alert
from db.connection import connect
from db.errors import UsageError
from tests.alert_rows import BARE, District
from tests.catalogue_rows import ewkb
from tests.grids import CELL_M2, cells

BEFORE = date(2021, 5, 1)
EARLY = date(2022, 5, 1)
LATE = date(2022, 9, 1)
PIT = "ppppbb\nbbbbbb\nbbbbbb"
TARGETS = pytest.mark.parametrize(
    ("relation", "key"), [("lode.alert", "alert_id"), ("lode_api.damage_alert", "ogc_fid")]
)


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    """One alert of 4 cells (a notice), open, committed."""
    made = District(conn)
    made.publish(BEFORE, BARE)
    made.publish(LATE, PIT)
    made.commit()
    return made


def only(district: District, *columns: str) -> tuple[Any, ...]:
    """These columns of the only alert."""
    (row,) = district.conn.execute(f"select {', '.join(columns)} from lode.alert").fetchall()
    return row


@TARGETS
def test_a_review_is_stamped_and_can_be_taken_back(district: District, relation: str, key: str) -> None:
    """By whom and when, and what the reviewer saw; a note on an open alert is no review."""
    conn = district.conn
    (user,) = conn.execute("select session_user").fetchone() or ("",)
    conn.execute(f"update {relation} set note = 'look at it' where {key} > 0")
    assert only(district, "state", "note", "reviewed_by", "reviewed_at") == ("open", "look at it", None, None)
    conn.execute(f"update {relation} set state = 'confirmed' where {key} > 0")
    assert only(district, "state", "note", "reviewed_by") == ("confirmed", "look at it", user)
    assert only(district, "reviewed_at = now()", "reviewed_level") == (True, "notice")
    assert only(district, "reviewed_area_m2") == only(district, "area_m2")
    conn.execute(f"update {relation} set state = 'open' where {key} > 0")
    taken_back = only(district, "state", "reviewed_by", "reviewed_at", "reviewed_level", "reviewed_area_m2")
    assert taken_back == ("open", None, None, None, None)


def test_the_view_returns_what_it_stamped(district: District) -> None:
    row = district.conn.execute(
        "update lode_api.damage_alert set state = 'rejected', note = 'snow'"
        " returning state, note, reviewed_by = session_user, reviewed_at = now()"
    ).fetchone()
    assert row == ("rejected", "snow", True, True)


@TARGETS
def test_other_columns_are_refused_by_name(district: District, relation: str, key: str) -> None:
    for column, value in (
        ("area_m2", "1"),
        ("level", "'severe'"),
        ("confidence", "1"),
        ("reviewed_by", "'somebody else'"),
        ("reviewed_at", "now()"),
        ("is_current", "false"),
        ("reason", "''"),
        ("first_raised_at", "'1999-01-01'"),
        ("geom", "st_multi(st_buffer(geom, 1e-10))"),
        (key, f"{key} + 1"),
    ):
        said = rf"alert \d+: {column} is derived and cannot be changed by hand"
        with pytest.raises(errors.CheckViolation, match=said), district.conn.transaction():
            district.conn.execute(f"update {relation} set {column} = {value}, state = 'confirmed'")
    assert only(district, "state") == ("open",)


@TARGETS
def test_another_state_is_refused(district: District, relation: str, key: str) -> None:
    for state in ("'confirm'", "'Rejected'", "''", "null"):
        said = rf"alert \d+: state is {state}; it must be open, confirmed or rejected"
        with pytest.raises(errors.CheckViolation, match=said), district.conn.transaction():
            district.conn.execute(f"update {relation} set state = {state} where {key} > 0")


def test_alerts_come_and_go_by_derivation_alone(district: District) -> None:
    """Nobody draws or deletes one by hand; they go with their mine, reviewed or not."""
    conn = district.conn
    copied = (
        "insert into lode.alert (mine_id, kind, from_year, to_year, level, reason, reason_zh, area_m2,"
        " confidence, agreeing_scene_count, run_ids, start_date, end_date, geom) select mine_id, kind,"
        " from_year, 2030, level, reason, reason_zh, area_m2, 1, 0, '{}', start_date, end_date, geom"
        " from lode.alert"
    )
    for statement, said in (
        (copied, "cannot be drawn by hand"),
        ("delete from lode.alert", "not deleted by hand"),
    ):
        with pytest.raises(errors.CheckViolation, match=said), conn.transaction():
            conn.execute(statement)
    conn.execute("update lode.alert set state = 'confirmed'")
    conn.execute("delete from lode.mine")
    assert conn.execute("select count(*) from lode.alert").fetchone() == (0,)


def test_a_client_cannot_pass_for_derivation(district: District) -> None:
    """The setting that lets derivation through counts for the table's owner alone."""
    conn = district.conn
    conn.execute("create role alert_inspector")
    conn.execute("grant usage on schema lode, lode_api to alert_inspector")
    conn.execute("grant select on lode.mine to alert_inspector")
    conn.execute("grant select, update, delete on lode.alert, lode_api.damage_alert to alert_inspector")
    conn.execute("set role alert_inspector")
    conn.execute("set lode.deriving_alerts = 'on'")
    with pytest.raises(errors.CheckViolation, match="area_m2 is derived"), conn.transaction():
        conn.execute("update lode.alert set area_m2 = 1")
    conn.execute(
        "create temporary table mine (mine_id integer)"
    )  # were it taken for lode.mine, none were left
    with pytest.raises(errors.CheckViolation, match="not deleted by hand"), conn.transaction():
        conn.execute("delete from lode.alert")
    for relation, state in (("lode.alert", "confirmed"), ("lode_api.damage_alert", "rejected")):
        conn.execute(f"update {relation} set state = '{state}'")
        assert only(district, "state", "reviewed_by = session_user") == (state, True)
    conn.rollback()


def test_a_trigger_on_a_table_of_ones_own_writes_no_review(district: District) -> None:
    """Nor an answer that an interpreter is said to have given before."""
    conn = district.conn
    conn.execute("create role forger")
    conn.execute("grant usage on schema lode to forger")
    conn.execute("grant select on lode.alert to forger")
    conn.execute("grant insert on lode.alert_review, lode.sample_answer_past to forger")
    conn.execute("set role forger")
    for said, insert in (
        (
            "reviews of alerts are written by the database",
            "lode.alert_review (alert_id, mine_code, kind, from_year, to_year, state, reviewed_by, level,"
            " area_m2, confidence, reason, reason_zh, geom) select alert_id, 'M1', kind, from_year, to_year,"
            " 'rejected', 'chief', level, 0, 0, '', '', geom from lode.alert",
        ),
        (
            "what was answered before is kept as it is",
            "lode.sample_answer_past (sample_point_id, interpreter, entered_by, ended_by, is_taken_back)"
            " values (1, 'Li', 'Li', 'Li', false)",
        ),
    ):
        with pytest.raises(errors.CheckViolation, match=said), conn.transaction():
            conn.execute(
                "create temporary table own (i integer);"
                "create function pg_temp.forge() returns trigger language plpgsql as $$"
                f" begin insert into {insert}; return null; end $$;"
                "create trigger forge after insert on own for each row execute function pg_temp.forge();"
                "insert into own values (1)"
            )
    conn.rollback()


def test_what_was_said_of_alerts_is_not_truncated(district: District) -> None:
    conn = district.conn
    conn.execute("update lode.alert set state = 'confirmed', note = 'seen on site'")
    district.commit()
    for truncate in ("lode.alert_review", "lode.alert cascade", "lode.alert, lode.alert_review"):
        with pytest.raises(errors.CheckViolation, match="what was said of alerts would be lost"):
            conn.execute(f"truncate {truncate}")
        conn.rollback()
    assert conn.execute("select state, note from lode.alert_review").fetchall() == [
        ("confirmed", "seen on site")
    ]


def test_a_review_whose_row_was_lost_keeps_no_publication_from_being_derived(district: District) -> None:
    """The owner can switch triggers off: nobody then knows what the reviewer saw."""
    conn = district.conn
    conn.execute("update lode.alert set state = 'confirmed'")
    conn.execute("alter table lode.alert_review disable trigger user")
    conn.execute("delete from lode.alert_review")
    conn.execute("alter table lode.alert_review enable trigger user")
    district.commit()
    district.publish(date(2022, 10, 1), "pppppp\nbbbbbb\nbbbbbb")
    unreviewed, area = only(district, "unreviewed_area_m2", "area_m2")
    assert unreviewed == area == pytest.approx(6 * CELL_M2)
    conn.execute("select lode_api.derive_all()")
    assert only(district, "unreviewed_area_m2") == (area,)


def test_the_right_to_the_view_is_enough_to_review(district: District) -> None:
    conn = district.conn
    conn.execute("create role alert_inspector")
    conn.execute("grant usage on schema lode_api to alert_inspector")
    conn.execute("grant select, update on lode_api.damage_alert to alert_inspector")
    conn.execute("set role alert_inspector")
    conn.execute("update lode_api.damage_alert set state = 'confirmed', note = 'visited'")
    with pytest.raises(errors.InsufficientPrivilege), conn.transaction():
        conn.execute("update lode.alert set state = 'open'")
    conn.execute("reset role")
    assert only(district, "state", "note") == ("confirmed", "visited")
    conn.rollback()


def test_a_review_survives_whatever_is_derived_later(district: District) -> None:
    """Numbers follow the boundary, the run and the year; state, note and stamp stay."""
    conn = district.conn
    conn.execute("update lode.alert set state = 'confirmed', note = 'seen on site'")
    district.commit()
    review = (
        "alert_id",
        "state",
        "note",
        "reviewed_by",
        "reviewed_at",
        "reviewed_area_m2",
        "first_raised_at",
    )
    said = only(district, *review)
    (((late,),),) = (only(district, "run_ids"),)

    conn.execute(
        "update lode.mine set boundary = %s::geometry", (ewkb(cells("xxx...\nxxx...\nxxx...", "x")).hex(),)
    )
    assert only(district, "area_m2")[0] == pytest.approx(3 * CELL_M2)
    assert only(district, *review) == said

    district.publish(EARLY, "dddddd\nbbbbbb\nbbbbbb", probability=0.8)
    assert only(district, "confidence") == (pytest.approx(0.98),)
    conn.execute("update lode.run set is_current = false where run_id = %s", (late,))
    assert only(district, "area_m2")[0] == pytest.approx(3 * CELL_M2)
    assert only(district, "confidence") == (0.8,)
    assert only(district, *review) == said

    district.publish(date(2023, 5, 1), "dddddd\nbbbbbb\nbbbbbb", probability=0.5)
    assert only(district, "confidence", "is_current") == (pytest.approx(0.9), True)
    conn.execute("select lode_api.derive_all()")
    district.commit()
    assert only(district, *review) == said


def test_a_condition_that_no_longer_holds(district: District) -> None:
    """The open alert goes, the reviewed one stays and says so; both are raised again when it holds again."""
    conn = district.conn
    conn.execute("update lode.run set is_current = false")
    assert conn.execute("select count(*) from lode_api.damage_alert").fetchone() == (0,)
    district.commit()
    assert conn.execute("select count(*) from lode.alert").fetchone() == (0,)
    conn.execute("update lode.run set is_current = true")
    conn.execute("update lode_api.damage_alert set state = 'confirmed'")
    district.commit()

    conn.execute("update lode.alert_rule set is_enabled = false")
    district.commit()
    assert district.alerts("state", "is_current", "rank") == [("confirmed", False, None)]
    with (
        pytest.raises(errors.CheckViolation, match="no longer holds, so it cannot be opened"),
        conn.transaction(),
    ):
        conn.execute("update lode.alert set state = 'open'")
    conn.execute("update lode.alert set state = 'rejected', note = 'rule was too sharp'")
    conn.execute("update lode.alert_rule set is_enabled = true")
    assert district.alerts("state", "is_current", "note") == [("rejected", True, "rule was too sharp")]


def test_another_run_of_the_scene_keeps_an_open_alert(district: District) -> None:
    """Key, note and first moment stay: one step withdraws it, the next raises it again."""
    conn = district.conn
    conn.execute("update lode.alert set note = 'to be visited'")
    district.commit()
    kept = ("alert_id", "note", "first_raised_at", "state")
    before = only(district, *kept)
    conn.execute("update lode.run set is_current = false where run_id = (select max(run_id) from lode.run)")
    conn.execute("update lode.run set is_current = true where run_id = (select max(run_id) from lode.run)")
    district.commit()
    assert only(district, *kept) == before


def test_damage_that_rises_after_a_review_is_pointed_out(district: District) -> None:
    conn = district.conn
    assert district.alerts("level", "has_risen_since_review") == [("notice", False)]
    conn.execute("update lode_api.damage_alert set state = 'rejected', note = 'shadow'")
    assert district.alerts("level", "has_risen_since_review") == [("notice", False)]
    conn.execute("update lode.alert_rule set threshold_m2 = 1 where level = 'severe'")
    assert district.alerts("level", "has_risen_since_review", "state") == [("severe", True, "rejected")]
    conn.execute("update lode_api.damage_alert set note = 'looked again: shadow'")
    assert district.alerts("level", "has_risen_since_review", "state") == [("severe", False, "rejected")]


def beside_an_inspector(district: District, database_url: str, work: Callable[[], object]) -> None:
    """Do this and commit while an inspector confirms: it has to wait until the inspector has saved."""
    with connect(database_url) as inspector:
        inspector.execute("update lode.alert set state = 'confirmed', note = 'just now'")

        def work_and_commit() -> None:
            work()
            district.commit()

        beside = threading.Thread(target=work_and_commit)
        beside.start()
        waiting = (
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        )
        with connect(database_url, autocommit=True) as watcher:
            while watcher.execute(waiting).fetchone() == (0,):
                assert beside.is_alive()
                time.sleep(0.02)
        inspector.commit()
        beside.join()


def test_a_review_that_derivation_had_to_wait_for_stays(district: District, database_url: str) -> None:
    """A run is withdrawn beside: the alert is kept, and no longer holds."""
    withdraw = "update lode.run set is_current = false"
    beside_an_inspector(district, database_url, lambda: district.conn.execute(withdraw))
    assert only(district, "state", "note", "is_current") == ("confirmed", "just now", False)


def test_ground_that_came_while_it_was_reviewed_was_not_reviewed(
    district: District, database_url: str
) -> None:
    """A later scene with two cells more is published beside."""
    later = date(2022, 10, 1)
    beside_an_inspector(district, database_url, lambda: district.publish(later, "pppppp\nbbbbbb\nbbbbbb"))
    reviewed, unreviewed, area = only(district, "reviewed_area_m2", "unreviewed_area_m2", "area_m2")
    assert [round(m2 / CELL_M2, 4) for m2 in (reviewed, unreviewed, area)] == [4, 2, 6]
    assert district.alerts("state", "has_risen_since_review") == [("confirmed", True)]


def test_reviews_by_python(district: District) -> None:
    conn = district.conn
    (alert_id,) = only(district, "alert_id")
    review_alert(conn, alert_id, "rejected", "cloud shadow")
    review_alert(conn, alert_id, "confirmed")
    assert only(district, "state", "note") == ("confirmed", "cloud shadow")
    with pytest.raises(UsageError, match=f"there is no alert {alert_id + 1};"):
        review_alert(conn, alert_id + 1, "confirmed")
    with pytest.raises(UsageError, match="state is 'done'; it must be open, confirmed or rejected"):
        review_alert(conn, alert_id, "done")
