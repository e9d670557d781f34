"""Mines: all SQL about ``lode.mine``. A mine is known by its code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection

from db.labels import ewkb_hex


@dataclass(frozen=True)
class NewMine:
    """A mine to be stored; boundaries are MultiPolygons in EPSG:4326."""

    code: str
    name: str
    mineral: str | None
    mining_method: str | None
    boundary: shapely.MultiPolygon
    licence_boundary: shapely.MultiPolygon | None = None


@dataclass(frozen=True)
class MineCounts:
    """What became of the mines of a file."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int
    reviewed_alerts: int = 0
    """Alerts of deleted mines that somebody had reviewed; the reviews stay in ``lode.alert_review``."""


# Columns that the file does not have keep what the database has.
_DIFFERENT = """
  (m.name, case when %(mineral)s then m.mineral end, case when %(method)s then m.mining_method end)
    is distinct from (i.name, i.mineral, i.mining_method)
  or not st_orderingequals(m.boundary, i.boundary)
  or (%(licence)s and i.licence_boundary is not null
    and (m.licence_boundary is null or not st_orderingequals(m.licence_boundary, i.licence_boundary)))
"""

_UPDATE = f"""
update lode.mine m set
  name = i.name,
  mineral = case when %(mineral)s then i.mineral else m.mineral end,
  mining_method = case when %(method)s then i.mining_method else m.mining_method end,
  boundary = i.boundary,
  licence_boundary = coalesce(i.licence_boundary, m.licence_boundary)
from mine_in i
where i.code = m.code and ({_DIFFERENT})
"""  # noqa: S608 - composed of constants

_INSERT = """
insert into lode.mine (code, name, mineral, mining_method, boundary, licence_boundary)
select i.code, i.name, i.mineral, i.mining_method, i.boundary, i.licence_boundary
from mine_in i
where not exists (select from lode.mine m where m.code = i.code)
order by i.position
returning mine_id
"""


def upsert_mines(
    conn: Connection[Any],
    mines: Sequence[NewMine],
    *,
    source_id: int,
    has_mineral: bool,
    has_method: bool,
    replaces: Sequence[int] = (),
) -> MineCounts:
    """Store mines by code: new ones are inserted, changed ones updated.

    Args:
        conn: connection inside a transaction.
        mines: the mines; codes are unique.
        source_id: the file they came from.
        has_mineral: whether the file says what is mined; otherwise what is stored stays.
        has_method: whether the file says how it is mined.
        replaces: sources whose other mines are deleted.

    Returns:
        Counts.

    """
    _stage(conn, mines)
    has = {
        "mineral": has_mineral,
        "method": has_method,
        "licence": any(mine.licence_boundary is not None for mine in mines),
    }
    gone = [
        row[0]
        for row in conn.execute(
            "select mine_id from lode.mine where feature_source_id = any(%s)"
            " and code not in (select code from mine_in)",
            (list(replaces),),
        )
    ]
    reviewed = conn.execute(
        "select count(*) from lode.alert where mine_id = any(%s) and state <> 'open'", (gone,)
    ).fetchone()
    conn.execute("delete from lode.mine where mine_id = any(%s)", (gone,))
    updated = conn.execute(_UPDATE, has).rowcount
    inserted = [row[0] for row in conn.execute(_INSERT)]
    conn.execute(
        "update lode.mine m set feature_source_id = %s from mine_in i"
        " where i.code = m.code and m.feature_source_id is distinct from %s",
        (source_id, source_id),
    )
    conn.execute("drop table mine_in")
    unchanged = len(mines) - updated - len(inserted)
    return MineCounts(len(inserted), updated, unchanged, len(gone), reviewed[0] if reviewed else 0)


def _stage(conn: Connection[Any], mines: Sequence[NewMine]) -> None:
    conn.execute(
        "create temporary table mine_in (position integer, code text primary key, name text, mineral text,"
        " mining_method text, boundary geometry(multipolygon, 4326),"
        " licence_boundary geometry(multipolygon, 4326)) on commit drop"
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy mine_in (position, code, name, mineral, mining_method, boundary, licence_boundary)"
            " from stdin"
        ) as copy,
    ):
        for position, mine in enumerate(mines):
            licence = None if mine.licence_boundary is None else ewkb_hex(mine.licence_boundary)
            copy.write_row(
                (
                    position,
                    mine.code,
                    mine.name,
                    mine.mineral,
                    mine.mining_method,
                    ewkb_hex(mine.boundary),
                    licence,
                )
            )
    conn.execute("analyze mine_in")


def count_mines_of_source(conn: Connection[Any], source_id: int) -> int:
    """How many mines belong to a file now."""
    row = conn.execute("select count(*) from lode.mine where feature_source_id = %s", (source_id,)).fetchone()
    return 0 if row is None else int(row[0])


def mine_boundaries(conn: Connection[Any]) -> list[shapely.MultiPolygon]:
    """Boundary of every mine, EPSG:4326, by code."""
    rows = conn.execute("select st_asbinary(boundary) from lode.mine order by code").fetchall()
    return [shapely.from_wkb(wkb) for (wkb,) in rows]
