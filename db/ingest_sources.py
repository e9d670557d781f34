"""Sources that scenes come from on a schedule: all SQL of ``lode.ingest_source``.

Feature files, which labels and mines come from, are another thing: ``db.sources``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import shapely
from psycopg import Connection, errors
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.labels import ewkb_hex

KINDS = ("folder", "stac_api", "stac_catalogue")
SCHEDULE_LOCK = 0x10DE0009
"""Key of the advisory lock of the one scheduler that is at work."""

_COLUMNS = (
    "ingest_source_id, name, kind, location, collections, options, area is not null, mine_codes, cloud_limit,"
    " from_day, to_day, model_id, becomes_current, report_folder, cron, enabled, settle_s"
)


@dataclass(frozen=True)
class IngestSource:
    """A row of ``lode.ingest_source``; its area stays in the database."""

    ingest_source_id: int
    name: str
    kind: str
    location: str
    collections: tuple[str, ...]
    options: dict[str, Any]
    has_area: bool
    mine_codes: tuple[str, ...] | None
    cloud_limit: float | None
    from_day: date | None
    to_day: date | None
    model_id: int | None
    becomes_current: bool
    report_folder: str | None
    cron: str | None
    is_enabled: bool
    settle_s: int


@dataclass(frozen=True)
class NewSource:
    """A source to be stored; None and empty: no limit, or nothing of the kind."""

    name: str
    kind: str
    location: str
    collections: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    area: shapely.MultiPolygon | None = None
    mine_codes: Sequence[str] | None = None
    cloud_limit: float | None = None
    from_day: date | None = None
    to_day: date | None = None
    model_id: int | None = None
    becomes_current: bool = False
    report_folder: str | None = None
    cron: str | None = None
    is_enabled: bool = True
    settle_s: int = 60


@dataclass(frozen=True)
class Time:
    """When a source is due, for the scheduler."""

    ingest_source_id: int
    cron: str
    is_due: bool
    now: datetime


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Say what the database refuses of a source in its own words.

    Raises:
        UsageError: it refused.

    """
    try:
        yield
    except errors.UniqueViolation as error:
        raise UsageError(
            f"there is a source {name} already; `lode source remove` it, or choose a name"
        ) from error
    except (errors.CheckViolation, errors.DatetimeFieldOverflow) as error:
        said = error.diag.message_primary or str(error)
        hint = f". {error.diag.message_hint}" if error.diag.message_hint else ""
        raise UsageError(f"{said}{hint}") from error


def add_source(conn: Connection[Any], new: NewSource) -> int:
    """Store a source; its key.

    Raises:
        UsageError: the name is taken, a mine is unknown, or the database refuses something.

    """
    if new.mine_codes is not None:
        _require_mines(conn, new.mine_codes)
    with refusals(new.name):
        row = conn.execute(
            "insert into lode.ingest_source (name, kind, location, collections, options, area, mine_codes,"
            " cloud_limit, from_day, to_day, model_id, becomes_current, report_folder, cron, enabled,"
            " settle_s)"
            " values (%s, %s, %s, %s, %s, %s::geometry, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " returning ingest_source_id",
            (
                new.name,
                new.kind,
                new.location,
                list(new.collections),
                Jsonb(dict(new.options)),
                None if new.area is None else ewkb_hex(new.area),
                None if new.mine_codes is None else list(new.mine_codes),
                new.cloud_limit,
                new.from_day,
                new.to_day,
                new.model_id,
                new.becomes_current,
                new.report_folder,
                new.cron,
                new.is_enabled,
                new.settle_s,
            ),
        ).fetchone()
    if row is None:
        raise RuntimeError("an insert returned nothing")
    return int(row[0])


def _require_mines(conn: Connection[Any], codes: Sequence[str]) -> None:
    known = {
        code for (code,) in conn.execute("select code from lode.mine where code = any(%s)", (list(codes),))
    }
    unknown = [code for code in codes if code not in known]
    if unknown:
        raise UsageError(f"there is no mine {', '.join(unknown)}; `lode ingest mines` brings mines in")


def _source(row: Sequence[Any]) -> IngestSource:
    values = list(row)
    values[4] = tuple(values[4])
    values[7] = None if values[7] is None else tuple(values[7])
    return IngestSource(*values)


def source_by_id(conn: Connection[Any], source_id: int) -> IngestSource:
    """The source with this key.

    Raises:
        UsageError: there is none, any more.

    """
    row = conn.execute(
        f"select {_COLUMNS} from lode.ingest_source where ingest_source_id = %s",  # noqa: S608 - constants
        (source_id,),
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no source {source_id}: it was removed")
    return _source(row)


def source_by_name(conn: Connection[Any], name: str) -> IngestSource:
    """The source of this name.

    Raises:
        UsageError: there is none.

    """
    row = conn.execute(
        f"select {_COLUMNS} from lode.ingest_source where name = %s",  # noqa: S608 - composed of constants
        (name,),
    ).fetchone()
    if row is None:
        known = [
            each for (each,) in conn.execute("select name from lode.ingest_source order by name limit 11")
        ]
        there = f"there are: {', '.join(known[:10])}" if known else "there are none: `lode source add`"
        raise UsageError(f"there is no source {name}; {there}{', ...' if len(known) > 10 else ''}")
    return _source(row)


def set_enabled(conn: Connection[Any], source_id: int, is_enabled: bool) -> None:
    """Pause a source or let it go on."""
    conn.execute(
        "update lode.ingest_source set enabled = %s where ingest_source_id = %s and enabled <> %s",
        (is_enabled, source_id, is_enabled),
    )


def remove_source(conn: Connection[Any], source_id: int) -> int:
    """Remove a source and the list of what was found in it; how many entries that was. Scenes stay."""
    row = conn.execute(
        "select count(*) from lode.ingest_item where ingest_source_id = %s", (source_id,)
    ).fetchone()
    conn.execute("delete from lode.ingest_source where ingest_source_id = %s", (source_id,))
    return 0 if row is None else int(row[0])


def wanted_bounds(conn: Connection[Any], source: IngestSource) -> tuple[float, float, float, float]:
    """West, south, east, north of the ground a source is looked through for, degrees.

    Raises:
        UsageError: it has no area, and there is no mine.

    """
    row = conn.execute(
        "select st_xmin(e), st_ymin(e), st_xmax(e), st_ymax(e) from (select st_extent(g.geom) as e from ("
        " select s.area as geom from lode.ingest_source s"
        "  where s.ingest_source_id = %(id)s and s.area is not null"
        " union all select m.boundary from lode.mine m where not %(has_area)s"
        "  and (%(codes)s::text[] is null or m.code = any(%(codes)s))) as g) as x",
        {"id": source.ingest_source_id, "has_area": source.has_area, "codes": _codes(source)},
    ).fetchone()
    if row is None or row[0] is None:
        what = (
            "none of its mines is in the database"
            if source.mine_codes
            else "there is no mine in the database"
        )
        raise UsageError(
            f"source {source.name}: nothing can be wanted of it: it has no area, and {what}; "
            "set one, or bring mines in by `lode ingest mines`"
        )
    west, south, east, north = (float(value) for value in row)
    return west, south, east, north


def meets_wanted_ground(conn: Connection[Any], source: IngestSource, footprint: shapely.Geometry) -> bool:
    """Whether an outline (EPSG:4326) meets the area, and a mine where some are named or there is no area."""
    row = conn.execute(
        "select (not %(has_area)s or exists (select from lode.ingest_source s"
        " where s.ingest_source_id = %(id)s and st_intersects(s.area, %(g)s::geometry)))"
        " and (%(has_area)s and %(codes)s::text[] is null or exists (select from lode.mine m"
        " where (%(codes)s::text[] is null or m.code = any(%(codes)s))"
        " and st_intersects(m.boundary, %(g)s::geometry)))",
        {
            "id": source.ingest_source_id,
            "has_area": source.has_area,
            "codes": _codes(source),
            "g": ewkb_hex(footprint),
        },
    ).fetchone()
    return bool(row and row[0])


def _codes(source: IngestSource) -> list[str] | None:
    return None if source.mine_codes is None else list(source.mine_codes)


def printable(text: str) -> str:
    """A text without what PostgreSQL cannot store or a terminal would obey: blanks and ? in its place."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in text)


def note_scan(conn: Connection[Any], source_id: int, error: str | None) -> None:
    """Write down that a source was looked through, and what went wrong."""
    conn.execute(
        "update lode.ingest_source set last_scan_at = clock_timestamp(), last_error = %s"
        " where ingest_source_id = %s",
        (None if error is None else printable(error), source_id),
    )


def take_schedule(conn: Connection[Any]) -> bool:
    """Be the one scheduler until the transaction ends; False: another one is."""
    row = conn.execute("select pg_try_advisory_xact_lock(%s::bigint)", (SCHEDULE_LOCK,)).fetchone()
    return bool(row and row[0])


def times(conn: Connection[Any]) -> list[Time]:
    """Sources that are due, or whose time is not computed yet, by the database's clock."""
    rows = conn.execute(
        "select ingest_source_id, cron, next_scan_at is not null, now() from lode.ingest_source"
        " where enabled and cron is not null and (next_scan_at is null or next_scan_at <= now())"
        " order by next_scan_at, ingest_source_id for update skip locked"
    ).fetchall()
    return [Time(*row) for row in rows]


def later_times(conn: Connection[Any]) -> list[tuple[Time, datetime]]:
    """Sources that are not due yet, and when they are said to be."""
    rows = conn.execute(
        "select ingest_source_id, cron, false, now(), next_scan_at from lode.ingest_source"
        " where enabled and cron is not null and next_scan_at > now()"
    ).fetchall()
    return [(Time(*row[:4]), row[4]) for row in rows]


def correct_next_scan(conn: Connection[Any], source_id: int, wrong: datetime, at: datetime) -> None:
    """Write down when a source is due next, unless somebody else wrote anything else meanwhile."""
    conn.execute(
        "update lode.ingest_source set next_scan_at = %s where ingest_source_id = %s and next_scan_at = %s",
        (at, source_id, wrong),
    )


def set_next_scan(conn: Connection[Any], source_id: int, at: datetime) -> None:
    """Write down when a source is due next."""
    conn.execute(
        "update lode.ingest_source set next_scan_at = %s where ingest_source_id = %s", (at, source_id)
    )


def enqueue_scan(conn: Connection[Any], source_id: int) -> bool:
    """Put the job that looks through a source into the queue; False: one waits already."""
    row = conn.execute("select lode_api.ask_scan(%s)", (source_id,)).fetchone()
    return bool(row and row[0])


def note_error(conn: Connection[Any], source_id: int, error: str | None) -> None:
    """Write down what went wrong with a source, or that it is well again."""
    conn.execute(
        "update lode.ingest_source set last_error = %s where ingest_source_id = %s",
        (None if error is None else printable(error), source_id),
    )


def ask_report(conn: Connection[Any], source_id: int) -> None:
    """Put the job that writes a source's report into the queue, if nothing of it is under way any more."""
    conn.execute("select lode_api.ask_report(%s)", (source_id,))
