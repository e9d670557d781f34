"""Assessments of the year map: all SQL about ``lode.assessment``, its strata, points and answers."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from psycopg import Connection, errors
from psycopg.rows import class_row

from db.errors import UsageError
from db.labels import ewkb_hex
from db.registry import NAME_BYTES, is_name
from db.reports.known import require_mines

SMALLEST_STRATUM_M2 = 1.0
"""Classes with less ground than this are cut off a polygon's edge: nobody can look at them."""


@dataclass(frozen=True)
class MapStratum:
    """What the year map shows under one name, piece by piece.

    Attributes:
        class_key: class, or by kind excavated, occupied, subsided or undamaged.
        class_number: order in reports; the class code where strata are classes.
        piece_ids: mine_piece_id of each piece ``(pieces,)``, in an order that a new derivation keeps.
        areas_m2: their areas ``(pieces,)``, m2.

    """

    class_key: str
    class_number: int
    piece_ids: npt.NDArray[np.int64]
    areas_m2: npt.NDArray[np.float64]

    @property
    def area_m2(self) -> float:
        """Area of all pieces, m2."""
        return float(self.areas_m2.sum())


@dataclass(frozen=True)
class NewAssessment:
    """An assessment to be stored; attributes as in ``lode.assessment``."""

    name: str
    year: int
    stratified_by: str
    scope: str
    mine_codes: tuple[str, ...] | None
    seed: int


@dataclass(frozen=True)
class DrawnStratum:
    """The points of a stratum: numbers ``(points,)``, longitude and latitude ``(points, 2)``, degrees."""

    stratum: MapStratum
    numbers: npt.NDArray[np.int64]
    lonlat: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Assessment:
    """A row of ``lode.assessment``, with how far its answers are."""

    assessment_id: int
    name: str
    year: int
    stratified_by: str
    scope: str
    mine_codes: list[str] | None
    total_area_m2: float
    seed: int
    requested_by: str
    created_at: datetime.datetime
    drawn_sha256: str | None
    point_count: int
    answered_count: int


@dataclass(frozen=True)
class SamplePoint:
    """A sample point as interpreters know it; longitude and latitude in degrees."""

    number: int
    longitude: float
    latitude: float


def require_free_assessment_name(conn: Connection[Any], name: str) -> None:
    """Check that an assessment may be called ``name``.

    Raises:
        UsageError: empty, too long, not printable, or taken.

    """
    if not is_name(name):
        raise UsageError(
            f"name of an assessment {name!r}: give 1 to {NAME_BYTES} bytes of printable characters, without "
            "spaces at the ends or a dash at the beginning"
        )
    if conn.execute("select from lode.assessment where name = %s", (name,)).fetchone() is not None:
        raise UsageError(_taken(name))


def _taken(name: str) -> str:
    return f"an assessment called {name!r} exists: choose another name, see lode assess list"


def map_strata(
    conn: Connection[Any], year: int, stratified_by: str, mine_codes: Sequence[str] | None
) -> list[MapStratum]:
    """What the map of a year shows inside mines, by stratum.

    Args:
        conn: connection.
        year: year of the map.
        stratified_by: ``class`` or ``kind``.
        mine_codes: only these mines; None: all.

    Raises:
        UsageError: there is no map of this year, or none of one of the mines.

    """
    years = [row[0] for row in conn.execute("select distinct year from lode.mine_piece order by year")]
    if year not in years:
        known = f"there are maps of {', '.join(map(str, years))}" if years else "there is none of any year"
        raise UsageError(f"year {year}: no ground inside a mine is mapped; {known}")
    if mine_codes is not None:
        _require_mapped_mines(conn, year, mine_codes)
    rows = conn.execute(
        "select k.class_key, k.class_number, array_agg(g.mine_piece_id order by g.mine_code collate"
        ' "C", g.label_id, g.landcover_id, g.area_m2, g.mine_piece_id),'
        ' array_agg(g.area_m2 order by g.mine_code collate "C", g.label_id, g.landcover_id, g.area_m2,'
        " g.mine_piece_id)"
        " from lode_api.assessed_ground(%s, %s) g"
        " join lode_api.assessed_class k on k.stratified_by = %s and k.land_class_code = g.land_class_code"
        " group by k.class_key, k.class_number order by k.class_number",
        (year, None if mine_codes is None else list(mine_codes), stratified_by),
    ).fetchall()
    strata = [
        MapStratum(key, number, np.array(ids, np.int64), np.array(areas, np.float64))
        for key, number, ids, areas in rows
    ]
    return [stratum for stratum in strata if stratum.area_m2 >= SMALLEST_STRATUM_M2]


def _require_mapped_mines(conn: Connection[Any], year: int, mine_codes: Sequence[str]) -> None:
    rows = conn.execute(
        "select m.code, exists (select from lode.mine_zone z join lode.mine_piece q"
        " on q.mine_zone_id = z.mine_zone_id where z.mine_id = m.mine_id and q.year = %s) from lode.mine m",
        (year,),
    )
    is_mapped: dict[str, bool] = dict(rows.fetchall())
    require_mines(conn, mine_codes)
    for code in mine_codes:
        if not is_mapped[code]:
            raise UsageError(f"mine {code!r}: none of its ground is mapped in {year}")


def piece_shapes(
    conn: Connection[Any], year: int, mine_codes: Sequence[str] | None, piece_ids: Sequence[int]
) -> dict[int, shapely.Polygon | shapely.MultiPolygon]:
    """Shape of pieces of the map, EPSG:4326, by mine_piece_id; arguments as for ``map_strata``."""
    rows = conn.execute(
        "select mine_piece_id, st_asbinary(geom) from lode_api.assessed_ground(%s, %s)"
        " where mine_piece_id = any(%s)",
        (year, None if mine_codes is None else list(mine_codes), list(piece_ids)),
    ).fetchall()
    shapes = shapely.from_wkb([row[1] for row in rows])
    return {row[0]: shape for row, shape in zip(rows, shapes, strict=True)}


def store_assessment(conn: Connection[Any], new: NewAssessment, drawn: Sequence[DrawnStratum]) -> int:
    """Store an assessment, its strata and its points in the caller's transaction.

    Returns:
        assessment_id.

    Raises:
        UsageError: the name is taken.

    """
    try:
        with conn.transaction():
            row = conn.execute(
                "insert into lode.assessment (name, year, stratified_by, scope, mine_codes, total_area_m2,"
                " seed) values (%s, %s, %s, %s, %s, %s, %s) returning assessment_id",
                (
                    new.name,
                    new.year,
                    new.stratified_by,
                    new.scope,
                    None if new.mine_codes is None else list(new.mine_codes),
                    sum(each.stratum.area_m2 for each in drawn),
                    new.seed,
                ),
            ).fetchone()
    except errors.UniqueViolation as error:
        raise UsageError(_taken(new.name)) from error
    if row is None:
        raise RuntimeError("insert into lode.assessment returned no key")
    assessment_id = int(row[0])
    points = []
    for each in drawn:
        stratum_id = _store_stratum(conn, assessment_id, new.stratified_by, each)
        points += [
            (int(number), stratum_id, place)
            for number, place in zip(each.numbers, shapely.points(each.lonlat), strict=True)
        ]
    points.sort(key=lambda point: point[0])  # keys, too, tell nothing of the stratum
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy lode.sample_point (assessment_id, assessment_stratum_id, number, geom) from stdin"
        ) as copy,
    ):
        for number, stratum_id, place in points:
            copy.write_row((assessment_id, stratum_id, number, ewkb_hex(place)))
    return assessment_id


def _store_stratum(conn: Connection[Any], assessment_id: int, stratified_by: str, drawn: DrawnStratum) -> int:
    stratum = drawn.stratum
    is_class = stratified_by == "class"
    row = conn.execute(
        "insert into lode.assessment_stratum (assessment_id, land_class_code, damage_kind, area_m2,"
        " sample_count) values (%s, %s, %s, %s, %s) returning assessment_stratum_id",
        (
            assessment_id,
            stratum.class_number if is_class else None,
            None if is_class else stratum.class_key,
            stratum.area_m2,
            len(drawn.numbers),
        ),
    ).fetchone()
    if row is None:
        raise RuntimeError("insert into lode.assessment_stratum returned no key")
    return int(row[0])


_SELECT = """
    select a.assessment_id, a.name, a.year, a.stratified_by, a.scope, a.mine_codes, a.total_area_m2, a.seed,
      a.requested_by, a.created_at, a.drawn_sha256,
      (select count(*) from lode.sample_point p where p.assessment_id = a.assessment_id) as point_count,
      (
        select count(*) from lode.sample_point p
        where p.assessment_id = a.assessment_id
          and exists (select from lode.sample_answer n where n.sample_point_id = p.sample_point_id)
      ) as answered_count
    from lode.assessment a
"""


def list_assessments(conn: Connection[Any]) -> list[Assessment]:
    """All assessments, by year and name."""
    with conn.cursor(row_factory=class_row(Assessment)) as cursor:
        return cursor.execute(_SELECT + " order by a.year, a.name").fetchall()


def assessment_by_name(conn: Connection[Any], name: str) -> Assessment:
    """The assessment called ``name``.

    Raises:
        UsageError: there is none; lists those there are.

    """
    with conn.cursor(row_factory=class_row(Assessment)) as cursor:
        found = cursor.execute(_SELECT + " where a.name = %s", (name,)).fetchone()
    if found is not None:
        return found
    names = [row[0] for row in conn.execute("select name from lode.assessment order by name")]
    known = "there are " + ", ".join(names) if names else "there is none yet, see lode assess sample"
    raise UsageError(f"no assessment is called {name!r}: {known}")


def points_of_assessment(conn: Connection[Any], assessment_id: int) -> list[SamplePoint]:
    """The points of an assessment, by number."""
    with conn.cursor(row_factory=class_row(SamplePoint)) as cursor:
        return cursor.execute(
            "select number, st_x(geom) as longitude, st_y(geom) as latitude from lode.sample_point"
            " where assessment_id = %s order by number",
            (assessment_id,),
        ).fetchall()
