"""Sets of patches: all SQL about ``lode.prospect_set`` and ``lode.prospect_patch``, and reading deposits."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection, errors
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.labels import ewkb_hex
from db.registry import NAME_BYTES, is_name

KINDS_OF_DATA = ("real", "simulated", "implanted")
"""What ground can be; implanted: real, with ore that was mixed in."""
SPLITS = ("train", "validation", "test")
"""Names of the parts; a part's number is its place here."""


@dataclass(frozen=True)
class Deposit:
    """A known deposit: a row of ``lode.deposit``.

    Attributes:
        deposit_id: key.
        name, commodity, deposit_type: texts; None where nobody said.
        geom: Point, EPSG:4326.
        body: mapped outline of the ore body, MultiPolygon, EPSG:4326; None where there is none.

    """

    deposit_id: int
    name: str | None
    commodity: str | None
    deposit_type: str | None
    geom: shapely.Point
    body: shapely.MultiPolygon | None


@dataclass(frozen=True)
class NewProspectSet:
    """A set to be stored; attributes as in ``lode.prospect_set``."""

    name: str
    scene_id: int | None
    evidence_area_id: int | None
    patch_px: int
    spacing_m: float
    channels: tuple[Mapping[str, Any], ...]
    deposit_ids: tuple[int, ...]
    buffer_m: float
    positive_share: float
    split_rule: str
    seed: int
    geology_digest: str | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class ProspectSet:
    """A row of ``lode.prospect_set``; see the table for the columns."""

    prospect_set_id: int
    name: str
    scene_id: int | None
    evidence_area_id: int | None
    patch_px: int
    spacing_m: float
    channels: list[dict[str, Any]]
    deposit_ids: list[int]
    buffer_m: float
    positive_share: float
    split_rule: str
    seed: int
    geology_digest: str | None
    parameters: dict[str, Any]
    created_at: datetime.datetime


@dataclass(frozen=True)
class Patch:
    """A patch of a set: a row of ``lode.prospect_patch`` without its outline."""

    row_px: int
    col_px: int
    is_positive: bool
    positive_share: float
    split: str
    block_key: str


def read_deposits(conn: Connection[Any]) -> list[Deposit]:
    """All known deposits, by key."""
    rows = conn.execute(
        "select deposit_id, name, commodity, deposit_type, st_asbinary(geom), st_asbinary(body)"
        " from lode.deposit order by deposit_id"
    )
    return [
        Deposit(
            *(deposit_id, name, commodity, deposit_type),
            shapely.from_wkb(geom),
            None if body is None else shapely.from_wkb(body),
        )
        for deposit_id, name, commodity, deposit_type, geom, body in rows
    ]


def require_free_set_name(conn: Connection[Any], name: str) -> None:
    """Check that a set of patches may be called ``name``.

    Raises:
        UsageError: empty, too long, not printable, or taken.

    """
    if not is_name(name):
        raise UsageError(
            f"name of a set of patches {name!r}: give 1 to {NAME_BYTES} bytes of printable characters, "
            "without spaces at the ends or a dash at the beginning"
        )
    if conn.execute("select from lode.prospect_set where name = %s", (name,)).fetchone() is not None:
        raise UsageError(_taken(name))


def store_prospect_set(
    conn: Connection[Any], new: NewProspectSet, patches: Sequence[Patch], outlines: Sequence[shapely.Polygon]
) -> int:
    """Store a set and its patches in the caller's transaction.

    Args:
        conn: connection inside a transaction.
        new: the set.
        patches: its patches; their keys count up in this order.
        outlines: Polygon of each patch, EPSG:4326.

    Returns:
        prospect_set_id.

    Raises:
        UsageError: the name is taken.

    """
    values = vars(new) | {
        "channels": Jsonb([dict(channel) for channel in new.channels]),
        "deposit_ids": list(new.deposit_ids),
        "parameters": Jsonb(dict(new.parameters)),
    }
    try:
        with conn.transaction():
            row = conn.execute(_INSERT, values).fetchone()
    except errors.UniqueViolation as error:
        raise UsageError(_taken(new.name)) from error
    if row is None:
        raise RuntimeError("insert into lode.prospect_set returned no key")
    set_id = int(row[0])
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy lode.prospect_patch (prospect_set_id, row_px, col_px, is_positive, positive_share, split,"
            " block_key, geom) from stdin"
        ) as copy,
    ):
        for patch, outline in zip(patches, outlines, strict=True):
            copy.write_row((set_id, *vars(patch).values(), ewkb_hex(outline)))
    return set_id


def list_prospect_sets(conn: Connection[Any]) -> list[ProspectSet]:
    """All sets of patches, by name."""
    with conn.cursor(row_factory=class_row(ProspectSet)) as cursor:
        return cursor.execute(_SELECT + " order by name").fetchall()


def prospect_set_by_name(conn: Connection[Any], name: str) -> ProspectSet:
    """The set of patches called ``name``.

    Raises:
        UsageError: there is none; lists those there are.

    """
    with conn.cursor(row_factory=class_row(ProspectSet)) as cursor:
        found = cursor.execute(_SELECT + " where name = %s", (name,)).fetchone()
    if found is not None:
        return found
    names = [row[0] for row in conn.execute("select name from lode.prospect_set order by name")]
    known = "there are " + ", ".join(names) if names else "there is none yet, see lode prospect dataset"
    raise UsageError(f"no set of patches is called {name!r}: {known}")


def patches_of_set(conn: Connection[Any], prospect_set_id: int) -> list[Patch]:
    """The patches of a set, by key."""
    with conn.cursor(row_factory=class_row(Patch)) as cursor:
        return cursor.execute(
            "select row_px, col_px, is_positive, positive_share, split, block_key from lode.prospect_patch"
            " where prospect_set_id = %s order by prospect_patch_id",
            (prospect_set_id,),
        ).fetchall()


def remove_prospect_set(conn: Connection[Any], name: str) -> int:
    """Remove a set and its patches; networks trained on it stay. Returns how many patches it had.

    Raises:
        UsageError: there is none.

    """
    found = prospect_set_by_name(conn, name)
    count = conn.execute(
        "delete from lode.prospect_patch where prospect_set_id = %s", (found.prospect_set_id,)
    ).rowcount
    conn.execute("delete from lode.prospect_set where prospect_set_id = %s", (found.prospect_set_id,))
    return count


_INSERT = """
    insert into lode.prospect_set (
      name, scene_id, evidence_area_id, patch_px, spacing_m, channels, deposit_ids, buffer_m,
      positive_share, split_rule, seed, geology_digest, parameters
    )
    values (
      %(name)s, %(scene_id)s, %(evidence_area_id)s, %(patch_px)s, %(spacing_m)s, %(channels)s,
      %(deposit_ids)s, %(buffer_m)s, %(positive_share)s, %(split_rule)s, %(seed)s, %(geology_digest)s,
      %(parameters)s
    )
    returning prospect_set_id
"""

_SELECT = """
    select prospect_set_id, name, scene_id, evidence_area_id, patch_px, spacing_m, channels, deposit_ids,
      buffer_m, positive_share, split_rule, seed, geology_digest, parameters, created_at
    from lode.prospect_set
"""


def _taken(name: str) -> str:
    return (
        f"a set of patches called {name!r} exists: choose another name, or remove it with "
        "`lode prospect remove`"
    )
