"""What interpreters saw at sample points: all SQL about ``lode.sample_answer``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, errors
from psycopg.rows import class_row

from db.errors import RetryError


@dataclass(frozen=True)
class Answer:
    """What an interpreter saw at a point.

    Attributes:
        number: number of the point.
        interpreter: who answered.
        land_class_code: class seen there; None: cannot tell.
        answered_on: day of the answer; None in a new answer: not said.
        note: None in a new answer: not said.

    """

    number: int
    interpreter: str
    land_class_code: int | None
    answered_on: datetime.date | None = None
    note: str | None = None

    def differs(self, stored: Answer) -> bool:
        """Whether it says anything else than what is stored."""
        return (
            self.land_class_code != stored.land_class_code
            or self.answered_on not in (None, stored.answered_on)
            or self.note not in (None, stored.note)
        )


def own_name(conn: Connection[Any]) -> str | None:
    """In whose name alone this database session may answer: its login's; None: in anybody's.

    The owner of the table, members of that role and superusers import what others answered
    (``lode_api.sample_answer_kept``).
    """
    row = conn.execute(
        "select case when not pg_has_role(session_user, c.relowner, 'usage') then session_user::text end"
        " from pg_class c where c.oid = 'lode.sample_answer'::regclass"
    ).fetchone()
    return None if row is None else row[0]


def answers_of_assessment(conn: Connection[Any], assessment_id: int) -> Mapping[tuple[int, str], Answer]:
    """Stored answers by number of the point and interpreter."""
    with conn.cursor(row_factory=class_row(Answer)) as cursor:
        rows = cursor.execute(
            "select p.number, n.interpreter, n.land_class_code, n.answered_on, n.note"
            " from lode.sample_answer n join lode.sample_point p on p.sample_point_id = n.sample_point_id"
            " where p.assessment_id = %s",
            (assessment_id,),
        ).fetchall()
    return {(row.number, row.interpreter): row for row in rows}


def insert_answers(conn: Connection[Any], assessment_id: int, answers: Sequence[Answer]) -> None:
    """Store answers of points that their interpreters have not answered.

    Raises:
        RetryError: somebody else stored one of them meanwhile.

    """
    try:
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into lode.sample_answer"
                " (sample_point_id, interpreter, land_class_code, answered_on, note)"
                " select sample_point_id, %s, %s, coalesce(%s, current_date), %s from lode.sample_point"
                " where assessment_id = %s and number = %s",
                [
                    (a.interpreter, a.land_class_code, a.answered_on, a.note, assessment_id, a.number)
                    for a in answers
                ],
            )
    except errors.UniqueViolation as error:
        raise RetryError(f"an answer was stored by somebody else meanwhile ({error}); try again") from error


def update_answers(conn: Connection[Any], assessment_id: int, answers: Sequence[Answer]) -> None:
    """Change stored answers; day and note stay where the new ones do not say them."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "update lode.sample_answer n set land_class_code = %s,"
            " answered_on = coalesce(%s, n.answered_on), note = coalesce(%s, n.note)"
            " from lode.sample_point p where p.sample_point_id = n.sample_point_id"
            " and p.assessment_id = %s and p.number = %s and n.interpreter = %s",
            [
                (a.land_class_code, a.answered_on, a.note, assessment_id, a.number, a.interpreter)
                for a in answers
            ],
        )
