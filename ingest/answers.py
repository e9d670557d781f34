"""Interpreters' answers from a file into the database: read, check, compare with what is stored."""

from __future__ import annotations

import datetime
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from psycopg import Connection

from db.assessments.answers import (
    Answer,
    answers_of_assessment,
    insert_answers,
    own_name,
    update_answers,
)
from db.assessments.catalogue import Assessment, assessment_by_name, points_of_assessment
from db.classes import LandClass, class_list, find_class, list_classes
from db.errors import UsageError
from db.locks import allow_long_transaction
from ingest.columns import Field, day_of, match_columns, texts
from ingest.csv_table import read_csv
from ingest.files import SourceFile
from ingest.requests import crs_of
from ingest.vectors import FeatureTable, read_features

CANNOT_TELL = ("cannot tell", "cannot_tell", "can't tell", "unknown", "unclear", "?", "无法判断", "不确定")
FIELDS = (
    Field("point", ("number", "sample_point", "点号"), is_required=True),
    Field("class", ("land_class", "land_class_code", "reference_class", "类别"), is_required=True),
    Field("interpreter", ("解译员",)),
    Field("answered_on", ("date", "日期")),
    Field("note", ("remark", "备注")),
    Field("assessment"),
    Field("longitude", ("lon",)),
    Field("latitude", ("lat",)),
)
MOVED_M = 5.0
"""Farther from where it was drawn a point is another one, m; other CRS of the same datum shift less."""

_METRES_A_DEGREE = 111_320.0
LONGEST_NUMBER = 9
SHOWN_CONFLICTS = 5


@dataclass(frozen=True)
class AnswersRequest:
    """How a file of answers is to be read.

    Attributes:
        file: the file: CSV, or what ``ingest.vectors`` reads.
        roots: folders that parts of a shapefile must lie in; empty: any.
        interpreter: who answered, where no column says it; None: the database login, where it may answer in
            its own name alone.
        fields: column by field of ours.
        layer: which layer, where there are several.
        encoding: encoding of a CSV file's or shapefile's texts.
        replace: answers that are stored and say something else are changed.

    """

    file: SourceFile
    roots: tuple[Path, ...] = ()
    interpreter: str | None = None
    fields: Mapping[str, str] | None = None
    layer: str | None = None
    encoding: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class AnswersOutcome:
    """What became of a file of answers: how many were new, changed, the same, and not given yet."""

    new: int
    changed: int
    unchanged: int
    empty: int


def import_answers(conn: Connection[Any], name: str, request: AnswersRequest) -> AnswersOutcome:
    """Bring interpreters' answers into the database, inside the caller's transaction.

    Rows without a class are points that wait for an answer; who cannot tell says so (``cannot tell``).

    Args:
        conn: connection, not in autocommit mode.
        name: the assessment.
        request: the file.

    Raises:
        UsageError: a row cannot be right, or says something else than what is stored; nothing is stored.

    """
    allow_long_transaction(conn)
    assessment = assessment_by_name(conn, name)
    table = _read(request)
    if not len(table.ids):
        raise UsageError(f"{table.name}: holds no rows; nobody has answered a point in it")
    stored = answers_of_assessment(conn, assessment.assessment_id)
    answers, empty = _answers(conn, assessment, table, request, {person for _number, person in stored})
    new, changed = [], []
    for row, answer in answers.items():
        before = stored.get((answer.number, answer.interpreter))
        if before is None:
            new.append(answer)
        elif answer.differs(before):
            changed.append((row, answer, before))
    if changed and not request.replace:
        _refuse_changes(conn, table, changed)
    insert_answers(conn, assessment.assessment_id, new)
    update_answers(conn, assessment.assessment_id, [answer for _row, answer, _before in changed])
    return AnswersOutcome(len(new), len(changed), len(answers) - len(new) - len(changed), empty)


def _read(request: AnswersRequest) -> FeatureTable:
    if request.file.path.suffix.lower() != ".csv":
        return read_features(request.file, request.roots, layer=request.layer, encoding=request.encoding)
    if request.layer is not None:
        raise UsageError(f"{request.file.name}: a CSV file has no layers; leave --layer out")
    return read_csv(request.file, encoding=request.encoding)


def _answers(
    conn: Connection[Any],
    assessment: Assessment,
    table: FeatureTable,
    request: AnswersRequest,
    known: Iterable[str],
) -> tuple[dict[int, Answer], int]:
    """Answers by row (from 0), and how many rows wait for one; ``known``: who has answered before."""
    columns = match_columns(table, FIELDS, request.fields or {})
    held = {name: texts(table, column) for name, column in columns.items()}
    classes = list_classes(conn)
    points = {each.number: each for each in points_of_assessment(conn, assessment.assessment_id)}
    places = _places(table, held)
    answers: dict[int, Answer] = {}
    rows: dict[tuple[int, str], int] = {}
    person_of = _Interpreters(own_name(conn), request.interpreter, known)
    for row, said in enumerate(held["class"]):
        where = f"{table.name}: {table.row_name(row)}"
        other = held["assessment"][row]
        if other is not None and other != assessment.name:
            raise UsageError(f"{where}: is of assessment {other!r}, not of {assessment.name!r}")
        number = _number(held["point"][row], where)
        point = points.get(number)
        if point is None:
            raise UsageError(
                f"{where}: assessment {assessment.name!r} has no point {number}; its points are 1 to "
                f"{max(points, default=0)}"
            )
        if _distance_m(places[row], (point.longitude, point.latitude)) > MOVED_M:
            raise UsageError(
                f"{where}: point {number} of {assessment.name!r} lies at {point.longitude:.5f}, "
                f"{point.latitude:.5f}; the file is of another assessment, or the point was moved"
            )
        if said is None:
            continue
        person = person_of(held["interpreter"][row], where)
        if (number, person) in rows:
            raise UsageError(
                f"{where}: {person} has answered point {number} in {table.row_name(rows[number, person])} "
                "already; keep one of them"
            )
        rows[number, person] = row
        answers[row] = Answer(
            number,
            person,
            _code(said, classes, where),
            _day(held["answered_on"][row], where),
            held["note"][row],
        )
    return answers, len(table.ids) - len(answers)


class _Interpreters:
    """Who answered a row: whom it names, else whom the command names, else the login.

    One person under two spellings would answer twice, and count twice where answers are counted.

    Args:
        own_name: in whose name alone this session may answer; None: in anybody's.
        stated: who answered where a row names nobody.
        known: who has answered before.

    """

    def __init__(self, own_name: str | None, stated: str | None, known: Iterable[str]) -> None:
        self._own_name = own_name
        self._default = stated or own_name or ""
        self._known = set(known)
        self._spelling = {_folded(name): name for name in self._known}

    def __call__(self, named: str | None, where: str) -> str:
        person = (named or self._default).strip()
        if not person:
            raise UsageError(f"{where}: who answered? Fill the column interpreter, or state --interpreter")
        if self._own_name is not None and person != self._own_name:
            raise UsageError(
                f"{where}: {person!r} answered, but this database login is {self._own_name!r} and stores "
                "its own answers alone; the owner of Lode's tables imports for others"
            )
        spelling = self._spelling.setdefault(_folded(person), person)
        if spelling != person and person not in self._known:
            raise UsageError(
                f"{where}: interpreter {person!r} is also spelt {spelling!r}; one person answers a point "
                "once, so spell the name alike"
            )
        return person


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _number(text: str | None, where: str) -> int:
    if text is None or not text.strip().isdecimal() or len(text) > LONGEST_NUMBER:
        raise UsageError(f"{where}: {text!r} is no number of a point")
    return int(text)


def _code(said: str, classes: Sequence[LandClass], where: str) -> int | None:
    if said.strip().casefold() in CANNOT_TELL:
        return None
    found = find_class(classes, said)
    if found is None:
        raise UsageError(
            f"{where}: {said!r} is no class; classes are: {class_list(classes)}, or 'cannot tell'"
        )
    return found.code


def _day(text: str | None, where: str) -> datetime.date | None:
    if text is None:
        return None
    day = day_of(text)
    if day is None or day > datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1):
        raise UsageError(f"{where}: {text!r} is no day that has been, like 2021-06-30")
    return day


def _places(table: FeatureTable, held: Mapping[str, Sequence[str | None]]) -> npt.NDArray[np.float64]:
    """Longitude and latitude of each row ``(rows, 2)``, degrees; not a number where the file does not say."""
    places = np.full((len(table.ids), 2), np.nan)
    is_point = np.array([shape is not None for shape in table.geometries], bool)
    if is_point.any():
        shapes = table.geometries[is_point]
        if any(shape.geom_type != "Point" for shape in shapes):
            raise UsageError(f"{table.name}: holds other shapes than points; it is no file of sample points")
        x, y = crs_of(table, None).to_wgs84().transform(shapely.get_x(shapes), shapely.get_y(shapes))
        places[is_point] = np.column_stack((x, y))
    for row, pair in enumerate(zip(held["longitude"], held["latitude"], strict=True)):
        if not is_point[row] and None not in pair:
            try:
                places[row] = [float(text) for text in pair if text is not None]
            except ValueError:
                raise UsageError(
                    f"{table.name}: {table.row_name(row)}: {pair[0]}, {pair[1]} is no longitude and latitude"
                ) from None
    return places


def _distance_m(place: npt.NDArray[np.float64], point: tuple[float, float]) -> float:
    """Distance between neighbouring places, m; 0 where the first is not known."""
    if np.isnan(place).any():
        return 0.0
    east = (place[0] - point[0]) * math.cos(math.radians(point[1])) * _METRES_A_DEGREE
    return math.hypot(east, (place[1] - point[1]) * _METRES_A_DEGREE)


def _refuse_changes(
    conn: Connection[Any], table: FeatureTable, changed: Sequence[tuple[int, Answer, Answer]]
) -> None:
    keys = {each.code: each.key for each in list_classes(conn)}

    def shown(answer: Answer) -> str:
        told = "cannot tell" if answer.land_class_code is None else keys[answer.land_class_code]
        return " ".join(str(part) for part in (told, answer.answered_on, answer.note) if part is not None)

    said = "; ".join(
        f"{table.row_name(row)}: point {new.number}, {new.interpreter}: stored is {shown(old)!r}, the file "
        f"says {shown(new)!r}"
        for row, new, old in changed[:SHOWN_CONFLICTS]
    )
    more = f"; and {len(changed) - SHOWN_CONFLICTS} more" if len(changed) > SHOWN_CONFLICTS else ""
    raise UsageError(
        f"{table.name}: {len(changed)} answers are stored already and say something else, so nothing was "
        f"stored; --replace takes the file's: {said}{more}"
    )
