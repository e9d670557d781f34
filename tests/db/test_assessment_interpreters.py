"""Interpreters at the database: blind, in their own name, and nothing they said is lost. With real logins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, errors
from psycopg.sql import SQL, Identifier

from db.assessments.draw import Drawn, SampleDesign, draw_assessment
from db.connection import connect
from db.errors import UsageError
from ingest.answers import AnswersOutcome, AnswersRequest, import_answers
from ingest.files import source_file
from tests.assessed_ground import answer, answer_from, publish_map
from tests.support import REPOSITORY

LI, WANG = "lode_test_li", "lode_test_wang"
TASK = ["ogc_fid", "assessment", "year", "number", "land_class", "answered_on", "note", "geom"]
Login = Callable[[str], Connection[Any]]


def documented_grants() -> list[str]:
    """What the page tells the owner to grant, for the role ``interpreter``."""
    text = (REPOSITORY / "docs" / "assessment.md").read_text("utf-8")
    return [line.strip() for line in text.splitlines() if line.startswith("    grant ")]


@pytest.fixture
def drawn(conn: Connection[Any]) -> Drawn:
    publish_map(conn)
    made = draw_assessment(conn, "a", SampleDesign(2021, per_stratum=3, seed=1))
    conn.commit()
    return made


@pytest.fixture
def login(conn: Connection[Any], drawn: Drawn, database_url: str) -> Iterator[Login]:
    """Connects as one of two interpreters, who have the rights that the page grants and no others."""
    opened: list[Connection[Any]] = []

    def as_role(role: str) -> Connection[Any]:
        opened.append(connect(re.sub(r"//[^@]*@", f"//{role}@", database_url), autocommit=True))
        return opened[-1]

    for role in (LI, WANG):
        conn.execute(SQL("create role {} login").format(Identifier(role)))
        for grant in documented_grants():
            conn.execute(re.sub(r"\binterpreter\b", role, grant))
    conn.commit()
    yield as_role
    for each in opened:
        each.close()
    conn.rollback()
    for role in (LI, WANG):  # roles belong to the whole server
        conn.execute(SQL("drop owned by {}").format(Identifier(role)))
        conn.execute(SQL("drop role {}").format(Identifier(role)))
    conn.commit()


def stored(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        "select p.number, n.interpreter, n.land_class_code, n.note, n.entered_by from lode.sample_answer n"
        " join lode.sample_point p using (sample_point_id) order by 1, 2"
    ).fetchall()
    conn.commit()
    return rows


def past(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        "select p.number, n.interpreter, n.land_class_code, n.note, n.entered_by, n.ended_by,"
        " n.is_taken_back, n.entered_at <= n.ended_at and n.ended_at <= clock_timestamp()"
        " from lode.sample_answer_past n join lode.sample_point p using (sample_point_id)"
        " order by sample_answer_past_id"
    ).fetchall()
    conn.commit()
    assert all(row[-1] for row in rows)
    return [row[:-1] for row in rows]


def test_interpreters_see_their_tasks_and_their_own_answers(
    conn: Connection[Any], drawn: Drawn, login: Login
) -> None:
    """Neither what the map shows nor what another said, in no relation that the page grants."""
    li, wang = login(LI), login(WANG)
    numbers = sorted(int(number) for each in drawn.strata for number in each.numbers)
    answer(conn, drawn.assessment_id, numbers, [5] * len(numbers), WANG)
    conn.commit()
    cursor = li.execute("select * from lode_api.sample_task order by ogc_fid")
    assert [column.name for column in cursor.description or ()] == TASK
    rows = cursor.fetchall()
    assert [row[3] for row in rows] == numbers  # keys run with the numbers, which were dealt at random
    assert all(row[4:7] == (None, None, None) for row in rows)
    seen = wang.execute("select distinct land_class from lode_api.sample_task").fetchall()
    assert seen == [("dump",)]
    readable = li.execute(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('lode', 'lode_api', 'lode_raster') and c.relkind in ('r', 'v', 'm', 'p')"
        " and has_schema_privilege(n.oid, 'usage')"
        " and (has_any_column_privilege(c.oid, 'select, insert, update')"
        " or has_table_privilege(c.oid, 'delete'))"
        " order by 1"
    ).fetchall()
    assert readable == [("lode_api.assessed_class",), ("lode_api.sample_task",)]
    # A function of their own that costs less than the view's filter must not be called before it.
    told: list[str] = []
    li.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    li.execute(
        "create function pg_temp.tell(day date) returns boolean language plpgsql strict cost 0.0000001"
        " as $$ begin raise notice 'somebody answered on %', day; return true; end $$"
    )
    assert li.execute("select from lode_api.sample_task where pg_temp.tell(answered_on)").fetchall() == []
    assert told == []
    li.execute("update lode_api.sample_task set land_class = 'water' where number = 1")
    assert len(li.execute("select from lode_api.sample_task where pg_temp.tell(answered_on)").fetchall()) == 1
    assert len(told) == 1
    for hidden in ("lode.sample_answer", "lode.sample_point", "lode_api.sample_reference"):
        with pytest.raises(errors.InsufficientPrivilege):
            li.execute(f"select from {hidden}")


def test_answers_are_given_and_corrected_where_the_tasks_are_seen(
    conn: Connection[Any], drawn: Drawn, login: Login
) -> None:
    """Key, code, English and Chinese name, cannot tell; corrected, taken back; each step is kept."""
    li = login(LI)
    task = "update lode_api.sample_task set {} where number = %s"
    for number, said in enumerate(("open_pit", "5", "  Water ", "露天采场", "Cannot tell"), start=1):
        li.execute(task.format("land_class = %s"), (said, number))
    li.execute(task.format("land_class = 'dump', note = 'cloud', answered_on = '2022-03-05'"), (6,))
    told = li.execute(
        "select land_class, answered_on between current_date - 1 and current_date, note"
        " from lode_api.sample_task where number <= 7 order by number"
    ).fetchall()
    assert told == [
        ("open_pit", True, None), ("dump", True, None), ("water", True, None), ("open_pit", True, None),
        ("cannot tell", True, None), ("dump", False, "cloud"), (None, None, None),
    ]  # fmt: skip
    assert stored(conn) == [
        (1, LI, 6, None, LI), (2, LI, 5, None, LI), (3, LI, 2, None, LI), (4, LI, 6, None, LI),
        (5, LI, None, None, LI), (6, LI, 5, "cloud", LI),
    ]  # fmt: skip
    assert past(conn) == []

    li.execute(task.format("land_class = 'cannot tell'"), (6,))
    li.execute(task.format("note = 'haze'"), (6,))
    li.execute(task.format("note = note, land_class = land_class"), (6,))
    li.execute(task.format("land_class = null"), (6,))
    li.execute(task.format("land_class = 'water'"), (6,))
    assert past(conn) == [
        (6, LI, 5, "cloud", LI, LI, False),
        (6, LI, None, "cloud", LI, LI, False),
        (6, LI, None, "haze", LI, LI, True),
    ]
    assert stored(conn)[-1] == (6, LI, 2, None, LI)

    for edit, said in {
        "land_class = 'moon'": "sample point 1: 'moon' is no class",
        "number = 99": "sample point 1: number was drawn and cannot be changed",
        "assessment = 'b'": "assessment was drawn",
        "geom = st_translate(geom, 1e-14, 0)": "geom was drawn",
        "ogc_fid = 2": "ogc_fid was drawn",
    }.items():
        with pytest.raises(errors.CheckViolation, match=said):
            li.execute(task.format(edit), (1,))
    with pytest.raises(errors.CheckViolation, match="sample point 7: a day or a note alone is no answer"):
        li.execute(task.format("note = 'wet'"), (7,))
    for refused in (
        "insert into lode_api.sample_task (number) values (1)",
        "delete from lode_api.sample_task",
    ):
        with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
            li.execute(refused)


def test_nobody_answers_in_anothers_name(conn: Connection[Any], drawn: Drawn, login: Login) -> None:
    """Not with every right on the table, nor in another role; the owner does, and is named as the one."""
    conn.execute(f"grant usage on schema lode to {LI}, {WANG}")
    conn.execute(f"grant all on lode.sample_answer to {LI}, {WANG}")
    conn.execute(f"grant select on lode.sample_point to {LI}, {WANG}")
    conn.execute(f"grant {WANG} to {LI}")
    conn.commit()
    li, wang = login(LI), login(WANG)
    give = "insert into lode.sample_answer (sample_point_id, interpreter, land_class_code) values (1, %s, 6)"
    wang.execute("insert into lode.sample_answer (sample_point_id, land_class_code) values (1, 6)")
    li.execute(give, (LI,))
    for hat in ("reset role", f"set role {WANG}"):
        li.execute(hat)
        for edit in (
            "insert into lode.sample_answer (sample_point_id, interpreter) values (2, '{other}')",
            "update lode.sample_answer set land_class_code = 5 where interpreter = '{other}'",
            "delete from lode.sample_answer where interpreter = '{other}'",
        ):
            with pytest.raises(errors.InsufficientPrivilege, match=f"answer of {WANG} at point .* by {LI}"):
                li.execute(edit.format(other=WANG))
    for edit in ("interpreter = 'x'", "sample_point_id = 2"):
        with pytest.raises(errors.CheckViolation, match="keeps its key, its point and its interpreter"):
            wang.execute(f"update lode.sample_answer set {edit} where interpreter = session_user")
    wang.execute(
        "update lode.sample_answer set note = 'mine', entered_by = 'x', entered_at = '2000-01-01'"
        " where interpreter = session_user"
    )
    assert stored(conn) == [(1, LI, 6, None, LI), (1, WANG, 6, "mine", WANG)]
    owner = conn.execute("select session_user::text").fetchone()
    assert owner is not None
    conn.execute("update lode.sample_answer set land_class_code = 5 where interpreter = %s", (WANG,))
    conn.execute("insert into lode.sample_answer (sample_point_id, interpreter) values (2, 'Zhao')")
    conn.commit()
    assert stored(conn)[1:] == [(1, WANG, 5, "mine", owner[0]), (2, "Zhao", None, None, owner[0])]
    assert past(conn) == [(1, WANG, 6, None, WANG, WANG, False), (1, WANG, 6, "mine", WANG, owner[0], False)]
    with pytest.raises(errors.CheckViolation):
        conn.execute("insert into lode.sample_answer (sample_point_id, interpreter) values (3, ' Zhao')")
    conn.rollback()


def test_who_reads_the_views_needs_no_right_to_the_tables(
    conn: Connection[Any], drawn: Drawn, login: Login
) -> None:
    """Figures of all mines and of a named one, and the sum, for a role that sees schema lode_api alone."""
    one = draw_assessment(conn, "one", SampleDesign(2021, mine_codes=("M1",), per_stratum=3, seed=1))
    for each in (drawn, one):
        answer_from(conn, each, "ppddbb\nppddbb\nppwwbb")
    conn.execute(f"grant select on all tables in schema lode_api to {WANG}")
    conn.commit()
    reader = login(WANG)
    for view in ("area_uncertainty", "error_matrix", "assessment_seal", "sample_reference"):
        query = f"select * from lode_api.{view} order by ogc_fid"
        rows = reader.execute(query).fetchall()
        assert rows == conn.execute(query).fetchall()
        assert len({row[1] for row in rows}) == 2
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("select from lode.sample_point")


def test_what_was_said_before_is_kept(conn: Connection[Any], drawn: Drawn) -> None:
    """Even the owner can neither write it, nor change it, nor delete it."""
    answer(conn, drawn.assessment_id, [1], [6])
    conn.execute("update lode.sample_answer set land_class_code = 5")
    conn.commit()
    before = past(conn)
    assert [row[2] for row in before] == [6]
    for edit in (
        "update lode.sample_answer_past set land_class_code = 5",
        "delete from lode.sample_answer_past",
        "truncate lode.sample_answer_past",
        "insert into lode.sample_answer_past"
        " (sample_point_id, interpreter, entered_by, ended_by, is_taken_back)"
        " values (1, 'Li', 'Li', 'Li', false)",
    ):
        with pytest.raises(errors.CheckViolation, match="what was answered before is kept as it is"):
            conn.execute(edit)
        conn.rollback()
    assert past(conn) == before


def write(path: Path, rows: Sequence[Sequence[Any]]) -> AnswersRequest:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows), "utf-8")
    return AnswersRequest(source_file(path))


def test_a_login_that_is_not_the_owner_imports_its_own_answers(
    conn: Connection[Any], drawn: Drawn, login: Login, tmp_path: Path
) -> None:
    """In its name without being told; a row in another's is refused with its line, and nothing is stored."""
    conn.execute(f"grant usage on schema lode to {LI}")
    conn.execute(f"grant select on all tables in schema lode to {LI}")
    conn.execute(f"grant insert, update on lode.sample_answer to {LI}")
    conn.commit()
    header = ["point", "class", "interpreter"]
    with login(LI) as li, li.transaction():
        mixed = write(tmp_path / "f.csv", [header, [1, "dump", LI], [2, "dump", "Wang"]])
        with pytest.raises(
            UsageError, match=f"f.csv: line 3: 'Wang' answered, but this database login is '{LI}'"
        ):
            import_answers(li, "a", mixed)
        own = write(tmp_path / "own.csv", [header[:2], [1, "dump"], [2, "cannot tell"]])
        assert import_answers(li, "a", own) == AnswersOutcome(2, 0, 0, 0)
    assert stored(conn) == [(1, LI, 5, None, LI), (2, LI, None, None, LI)]
    both = write(tmp_path / "both.csv", [header, [1, "dump", "Wang"], [2, "dump", "Zhao"]])
    assert import_answers(conn, "a", both) == AnswersOutcome(2, 0, 0, 0)
    conn.commit()
    assert [row[:2] for row in stored(conn)] == [(1, "Wang"), (1, LI), (2, "Zhao"), (2, LI)]
