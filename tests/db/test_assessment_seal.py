"""A drawn sample stays as it is: what is refused, and what is found when it was changed all the same."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import Connection, errors

from db.assessments.catalogue import assessment_by_name
from db.assessments.draw import Drawn, SampleDesign, draw_assessment
from db.assessments.report import assessment_report
from db.assessments.seal import seal_faults, seal_of_assessment
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from tests.assessed_ground import answer, answer_from, publish_map, rows_of
from tests.conftest import copied_database
from tests.restored import restore_copy

MINES = {'矿 "1"': "xxxx..\nxxxx..\nxxxx..", "M2": "..xxxx\n..xxxx\n..xxxx"}
FIGURES = (
    "estimated_area_m2", "standard_error_m2", "lower_m2", "upper_m2", "users_accuracy", "users_accuracy_se",
    "producers_accuracy", "producers_accuracy_se", "overall_accuracy", "overall_accuracy_se",
)  # fmt: skip


def sampled(conn: Connection[Any], name: str = "a", **options: Any) -> Drawn:
    """A small assessment, answered, committed."""
    drawn = draw_assessment(conn, name, SampleDesign(2021, per_stratum=5, seed=5, **options))
    answer_from(conn, drawn, "ppddbb\nppddbb\nppwwbb")
    conn.commit()
    return drawn


def hexadecimal(value: float) -> str:
    return struct.pack(">d", value).hex()


def sum_of(conn: Connection[Any], name: str) -> str:
    """SHA-256 as the view's header describes it, from the rows, without the database's own functions."""
    design = conn.execute(
        "select assessment_id, name, year, stratified_by, scope, mine_codes, total_area_m2, seed,"
        " requested_by, created_at from lode.assessment where name = %s",
        (name,),
    ).fetchone()
    assert design is not None
    *head, area, seed, who, made = design
    microseconds = (made - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
    lines: list[list[Any]] = [["design", *head, hexadecimal(area), seed, who, microseconds]]
    lines += [
        ["stratum", key, code, kind, hexadecimal(size), count]
        for key, code, kind, size, count in conn.execute(
            "select assessment_stratum_id, land_class_code, damage_kind, area_m2, sample_count"
            " from lode.assessment_stratum where assessment_id = %s order by 1",
            (head[0],),
        )
    ]
    lines += [
        ["point", key, stratum, number, hexadecimal(x), hexadecimal(y)]
        for key, stratum, number, x, y in conn.execute(
            "select sample_point_id, assessment_stratum_id, number, st_x(geom), st_y(geom)"
            " from lode.sample_point where assessment_id = %s order by 1",
            (head[0],),
        )
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_sum_is_that_of_design_strata_and_points(conn: Connection[Any]) -> None:
    """Computed here from the rows; the same whatever a client's settings of days, zones and digits."""
    publish_map(conn, mines=MINES)
    every = sampled(conn)
    some = sampled(conn, "b", stratified_by="kind", mine_codes=tuple(MINES))
    assert every.sha256 == sum_of(conn, "a")
    assert some.sha256 == sum_of(conn, "b") != every.sha256
    assert assessment_by_name(conn, "b").drawn_sha256 == some.sha256
    before = seal_of_assessment(conn, every.assessment_id)
    conn.execute("set extra_float_digits = -5")
    conn.execute("set timezone = 'Asia/Urumqi'")
    conn.execute("set datestyle = 'German'")
    assert seal_of_assessment(conn, every.assessment_id) == before
    assert before.fault is None
    assert seal_faults(conn) == []
    answer(conn, every.assessment_id, [1], [None], "Wang")
    after = seal_of_assessment(conn, every.assessment_id)
    assert after.drawn_sha256 == before.drawn_sha256
    assert after.answers_sha256 != before.answers_sha256
    rows = conn.execute(
        "select p.number, n.interpreter, n.land_class_code, n.answered_on, n.note from lode.sample_answer n"
        " join lode.sample_point p using (sample_point_id) where p.assessment_id = %s order by 1, 2",
        (every.assessment_id,),
    ).fetchall()
    text = "\n".join(json.dumps(["answer", *row], default=str) for row in rows)
    assert after.answers_sha256 == hashlib.sha256(text.encode()).hexdigest()


REFUSED = (
    "update lode.sample_point set geom = st_translate(geom, 1e-14, 0) where number = 1",
    "update lode.sample_point set number = 1000 where number = 1",
    "update lode.sample_point set assessment_stratum_id = 5 - assessment_stratum_id",
    "update lode.sample_point set assessment_id = 2 where number = 1",
    "delete from lode.sample_point where number = 1",
    "insert into lode.sample_point (assessment_id, assessment_stratum_id, number, geom)"
    " select assessment_id, assessment_stratum_id, 1000, geom from lode.sample_point where number = 1",
    "update lode.assessment_stratum set area_m2 = area_m2 * 1.000001",
    "update lode.assessment_stratum set land_class_code = 8 where land_class_code = 6",
    "update lode.assessment_stratum set sample_count = sample_count + 1",
    "delete from lode.assessment_stratum where land_class_code = 6",
    "insert into lode.assessment_stratum (assessment_id, land_class_code, area_m2, sample_count)"
    " values (1, 8, 1e6, 2)",
    "update lode.assessment set name = 'b'",
    "update lode.assessment set seed = 6",
    "update lode.assessment set total_area_m2 = total_area_m2 + 1",
    "update lode.assessment set mine_codes = '{M1}'",
    "update lode.assessment set requested_by = 'somebody'",
    "update lode.assessment set created_at = now() - interval '1 year'",
    "update lode.assessment set drawn_sha256 = null",
    "update lode.assessment set drawn_sha256 = repeat('0', 64)",
    "truncate lode.sample_answer",
    "truncate lode.sample_answer_past",
    "truncate lode.sample_point cascade",
    "truncate lode.assessment_stratum cascade",
    "truncate lode.assessment cascade",
)


def test_nobody_changes_what_was_drawn(conn: Connection[Any]) -> None:
    """Not even a superuser; saving a form without a change is none, and one draw does not close the next."""
    publish_map(conn)
    sampled(conn)
    assert conn.execute("select rolsuper from pg_roles where rolname = session_user").fetchone() == (True,)
    for edit in REFUSED:
        with pytest.raises(errors.CheckViolation, match=r"must stay as it is|not truncated|is kept as it is"):
            conn.execute(edit)
        conn.rollback()
    with pytest.raises(errors.CheckViolation, match="sample point 1 of assessment a was drawn and must stay"):
        conn.execute(REFUSED[0])
    conn.rollback()
    conn.execute("update lode.sample_point set geom = geom, number = number")
    conn.execute("update lode.assessment_stratum set area_m2 = area_m2")
    conn.execute("update lode.assessment set name = name")
    sampled(conn, "b")
    assert rows_of(conn, "a")["open_pit"]["reason"] is None
    assert assessment_report(conn, "b").seal.fault is None


BEHIND_THE_TRIGGERS = (
    "update lode.sample_point set geom = st_translate(geom, 1e-14, 0) where sample_point_id = 1",
    "update lode.sample_point set assessment_stratum_id = case assessment_stratum_id when 1 then 2 else 1 end"
    " where sample_point_id = 1",
    "delete from lode.sample_answer where sample_point_id = 1; delete from lode.sample_point"
    " where sample_point_id = 1",
    "insert into lode.sample_point (assessment_id, assessment_stratum_id, number, geom)"
    " select assessment_id, assessment_stratum_id, 1000, geom from lode.sample_point"
    " where sample_point_id = 1",
    "update lode.assessment_stratum set area_m2 = area_m2 * 2 where assessment_stratum_id = 1",
    "update lode.assessment set seed = 6 where name = 'a'",
    "update lode.assessment set drawn_sha256 = repeat('0', 64) where name = 'a'",
)


def test_what_was_changed_behind_the_triggers_has_no_figures(conn: Connection[Any]) -> None:
    """An owner can switch triggers off. The sum tells: all figures null with the reason, and no report."""
    publish_map(conn)
    drawn = sampled(conn)
    sampled(conn, "untouched", stratified_by="kind")
    for edit in BEHIND_THE_TRIGGERS:
        conn.execute("set session_replication_role = replica")
        conn.execute(edit)
        conn.execute("set session_replication_role = origin")
        rows = rows_of(conn, "a")
        assert set(rows) == {"background", "water", "dump", "open_pit"}
        for row in rows.values():
            assert "no longer those that were drawn: their SHA-256 is" in row["reason"], edit
            assert [row[name] for name in FIGURES] == [None] * len(FIGURES)
        shares = conn.execute(
            "select distinct area_proportion from lode_api.error_matrix where assessment = 'a'"
        ).fetchall()
        assert shares == [(None,)]
        with pytest.raises(UsageError, match=r"assessment 'a': the design, the strata or the points are no"):
            assessment_report(conn, "a")
        assert [fault.split(":")[0] for fault in seal_faults(conn)] == ["assessment a"]
        assert all(row["reason"] is None for row in rows_of(conn, "untouched").values())
        assessment_report(conn, "untouched")
        conn.rollback()
    assert assessment_report(conn, "a").seal.drawn_sha256 == drawn.sha256


def test_an_assessment_goes_as_a_whole(conn: Connection[Any]) -> None:
    """With strata, points, answers and what they had been; its neighbour stays."""
    publish_map(conn)
    gone, stays = sampled(conn), sampled(conn, "b")
    conn.execute("update lode.sample_answer set land_class_code = null")
    conn.execute("delete from lode.sample_answer where sample_answer_id % 2 = 0")
    conn.commit()

    def held() -> dict[str, set[int]]:
        points = "from lode.sample_point p join lode.{} n using (sample_point_id)"
        return {
            table: {row[0] for row in conn.execute(f"select distinct assessment_id {source}")}
            for table, source in {
                "assessment": "from lode.assessment",
                "assessment_stratum": "from lode.assessment_stratum",
                "sample_point": "from lode.sample_point",
                "sample_answer": points.format("sample_answer"),
                "sample_answer_past": points.format("sample_answer_past"),
            }.items()
        }

    both = {gone.assessment_id, stays.assessment_id}
    assert all(found == both for found in held().values())
    past = conn.execute("select count(*) from lode.sample_answer_past").fetchone()
    conn.execute("delete from lode.assessment where name = 'a'")
    conn.commit()
    assert all(found == {stays.assessment_id} for found in held().values())
    left = conn.execute("select count(*) from lode.sample_answer_past").fetchone()
    assert past is not None
    assert left is not None
    assert left[0] < past[0]
    assert seal_faults(conn) == []


def test_a_draw_is_over_when_its_transaction_ends(conn: Connection[Any]) -> None:
    """Also one by hand: until then there are no figures, from then on nothing is changed."""
    insert = (
        "insert into lode.assessment (name, year, stratified_by, scope, total_area_m2, seed, drawn_sha256)"
        " values ('hand', 2021, 'class', 'drawn', 100, 1, %s) returning assessment_id"
    )
    with pytest.raises(errors.CheckViolation, match="is found at the end of the draw and not stated"):
        conn.execute(insert, ("0" * 64,))
    conn.rollback()
    row = conn.execute(insert, (None,)).fetchone()
    assert row is not None
    conn.execute(
        "insert into lode.assessment_stratum (assessment_id, land_class_code, area_m2, sample_count)"
        " values (%s, 6, 100, 2)",
        row,
    )
    conn.execute(
        "insert into lode.sample_point (assessment_id, assessment_stratum_id, number, geom)"
        " select s.assessment_id, s.assessment_stratum_id, n, st_point(87, 44, 4326)"
        " from lode.assessment_stratum s, generate_series(1, 3) n"
    )
    conn.execute("delete from lode.sample_point where number = 3")
    answer(conn, row[0], [1, 2], [6, 6])
    assert rows_of(conn, "hand")["open_pit"]["estimated_area_m2"] is None
    assert "the draw is not over" in rows_of(conn, "hand")["open_pit"]["reason"]
    with pytest.raises(errors.CheckViolation, match="is not the sum of what was drawn"), conn.transaction():
        conn.execute("update lode.assessment set drawn_sha256 = repeat('0', 64)")
    conn.commit()
    assert seal_of_assessment(conn, row[0]).drawn_sha256 == sum_of(conn, "hand")
    assert rows_of(conn, "hand")["open_pit"]["estimated_area_m2"] == pytest.approx(100)
    with pytest.raises(errors.CheckViolation, match="must stay as it is"):
        conn.execute("delete from lode.sample_point where number = 2")


def test_a_restored_dump_holds_the_sample_that_was_drawn(
    conn: Connection[Any], cluster: Cluster, database_url: str
) -> None:
    """Triggers do not stand in its way; sum and figures are the same, and nothing can be changed there."""
    publish_map(conn, mines=MINES)
    drawn = sampled(conn, mine_codes=("M2",))
    conn.execute("update lode.sample_answer set note = 'again' where sample_point_id = 1")
    conn.commit()
    rows, seal = rows_of(conn, "a"), seal_of_assessment(conn, drawn.assessment_id)
    conn.commit()
    with copied_database(cluster, "template1") as url:
        restore_copy(database_url, url)
        with connect(url) as restored:
            assert seal_of_assessment(restored, drawn.assessment_id) == seal
            found = rows_of(restored, "a")
            assert set(found) == set(rows) == {"background", "dump", "water"}
            for key, row in rows.items():
                assert found[key] == pytest.approx(row)
            assert restored.execute("select count(*) from lode.sample_answer_past").fetchone() == (1,)
            with pytest.raises(errors.CheckViolation, match="must stay as it is"):
                restored.execute(REFUSED[0])
