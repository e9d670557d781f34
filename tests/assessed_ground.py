"""Maps to assess, and assessments whose answers are known: rows for tests of `lode assess`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from db.assessments.draw import Drawn
from db.assessments.seal import seal_assessment
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, publish_drawing
from tests.grids import cells

MAP = """
    ppddbb
    ppddbb
    ppwwbb
"""
WHOLE = MAP.translate(str.maketrans("pdwb", "xxxx"))


def publish_map(conn: Connection[Any], drawing: str = MAP, mines: Mapping[str, str] | None = None) -> None:
    """A map of 2021 drawn as text, inside mines drawn likewise; without them one mine holds all."""
    ground = "".join(letter if letter.isspace() else "x" for letter in drawing)
    for code, extent in ({"M1": ground} if mines is None else mines).items():
        add_mine(conn, code, cells(extent, "x"))
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(ground, "x"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, drawing)
    conn.commit()


@cache
def _ground(truth: str) -> dict[int, shapely.MultiPolygon]:
    found = {CODES[letter]: cells(truth, letter) for letter in sorted(set(truth) & set(CODES))}
    shapely.prepare(list(found.values()))
    return found


def answer_from(conn: Connection[Any], drawn: Drawn, truth: str, interpreter: str = "Li") -> None:
    """Answer every point with what is true there, drawn as text."""
    numbers = np.concatenate([each.numbers for each in drawn.strata])
    lonlat = np.concatenate([each.lonlat for each in drawn.strata])
    codes = np.full(len(numbers), -1)
    for code, ground in _ground(truth).items():
        codes[shapely.contains_xy(ground, lonlat)] = code
    assert (codes >= 0).all()
    answer(conn, drawn.assessment_id, numbers.tolist(), codes.tolist(), interpreter)


def answer(
    conn: Connection[Any],
    assessment_id: int,
    numbers: Sequence[int],
    codes: Sequence[int | None],
    interpreter: str = "Li",
) -> None:
    """Answers, by number of the point; None: cannot tell."""
    conn.execute(
        "insert into lode.sample_answer (sample_point_id, interpreter, land_class_code)"
        " select p.sample_point_id, %s, a.code"
        " from unnest(%s::integer[], %s::integer[]) as a(number, code)"
        " join lode.sample_point p on p.assessment_id = %s and p.number = a.number",
        (interpreter, list(numbers), list(codes), assessment_id),
    )


def planted_assessment(
    conn: Connection[Any],
    name: str,
    areas_m2: Mapping[int, float],
    matrix: Mapping[int, Mapping[int, int]],
    stratified_by: str = "class",
) -> int:
    """An assessment by hand: area of each mapped class, and how many points were found to be which class."""
    row = conn.execute(
        "insert into lode.assessment (name, year, stratified_by, scope, total_area_m2, seed)"
        " values (%s, 2021, %s, 'planted', %s, 0) returning assessment_id",
        (name, stratified_by, sum(areas_m2.values())),
    ).fetchone()
    assert row is not None
    number = 0
    for map_class, found in matrix.items():
        conn.execute(
            "insert into lode.assessment_stratum (assessment_id, land_class_code, area_m2, sample_count)"
            " values (%s, %s, %s, %s)",
            (row[0], map_class, areas_m2[map_class], sum(found.values())),
        )
        conn.execute(
            "insert into lode.sample_point (assessment_id, assessment_stratum_id, number, geom)"
            " select assessment_id, assessment_stratum_id, %s + n, st_point(87, 44, 4326)"
            " from lode.assessment_stratum, generate_series(1, sample_count) n"
            " where assessment_id = %s and land_class_code = %s",
            (number, row[0], map_class),
        )
        codes = [code for code, count in found.items() for _ in range(count)]
        answer(conn, row[0], range(number + 1, number + 1 + len(codes)), codes)
        number += len(codes)
    seal_assessment(conn, int(row[0]))
    return int(row[0])


def rows_of(
    conn: Connection[Any], name: str, view: str = "area_uncertainty", key: str = "land_class"
) -> dict[str, dict[str, Any]]:
    """Rows of a view about an assessment, by class."""
    cursor = conn.execute(f"select * from lode_api.{view} where assessment = %s", (name,))
    columns = [column.name for column in cursor.description or ()]
    return {row[key]: row for row in (dict(zip(columns, each, strict=True)) for each in cursor)}
