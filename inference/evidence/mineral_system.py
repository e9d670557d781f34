"""Mineral systems by name: those that come with Lode, and those that people brought in."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.mineral_systems import StoredSystem, delete_system, find_stored, list_stored, store_system
from inference.evidence.system_toml import parse_system as parse_system
from inference.evidence.system_toml import to_toml as to_toml
from inference.evidence.system_types import GeologyRule as GeologyRule
from inference.evidence.system_types import MineralSystem as MineralSystem


@cache
def builtin_systems() -> dict[str, MineralSystem]:
    """The systems that come with Lode, by name, in its order."""
    folder = files("inference.evidence") / "systems"
    found = [
        parse_system(file.read_text(encoding="utf-8"), file.name)
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    ]
    return {system.name: system for system in sorted(found, key=lambda system: system.name)}


def find_system(conn: Connection[Any], name: str) -> MineralSystem:
    """Find a mineral system by its name.

    Raises:
        UsageError: there is none; the message lists what there is.

    """
    builtin = builtin_systems().get(name)
    if builtin is not None:
        return builtin
    stored = find_stored(conn, name)
    if stored is None:
        raise UsageError(
            f"there is no mineral system {name!r}; there are: {', '.join(system_names(conn))}. Bring another "
            "with `lode system import FILE`"
        )
    return read_stored(stored)


def system_names(conn: Connection[Any]) -> list[str]:
    """Names of all systems, in order."""
    return sorted({*builtin_systems(), *(stored.name for stored in list_stored(conn))})


def read_stored(stored: StoredSystem) -> MineralSystem:
    """What a stored definition says."""
    return parse_system(stored.definition, f"mineral system {stored.name} in the database")


def import_system(conn: Connection[Any], system: MineralSystem, *, is_replacing: bool = False) -> str:
    """Store a system in the canonical form of its TOML.

    Args:
        conn: connection inside a transaction, which the caller commits.
        system: the system.
        is_replacing: put it in the place of another of that name.

    Returns:
        What was done: ``stored``, ``replaced``, or ``unchanged``.

    Raises:
        UsageError: its name is that of a system of Lode's own, or of another system.

    """
    if system.name in builtin_systems():
        raise UsageError(
            f"{system.name} comes with Lode and stays as it is: give yours another name (name = ... in the "
            "file) and import that"
        )
    definition = to_toml(system)
    there = find_stored(conn, system.name)
    if there is not None and there.definition == definition:
        return "unchanged"
    if there is not None and not is_replacing:
        raise UsageError(
            f"there is another mineral system {system.name}, brought in by {there.imported_by} on "
            f"{there.imported_at:%Y-%m-%d}: give yours another name, or say --replace; models keep the one "
            "that they were trained with"
        )
    if not store_system(conn, system.name, definition, is_replacing=is_replacing):
        raise UsageError(
            f"somebody brought in a mineral system {system.name} at this moment: look at it first"
        )
    return "stored" if there is None else "replaced"


def remove_system(conn: Connection[Any], name: str) -> None:
    """Remove a system that was brought in; models that were trained with it keep theirs.

    Raises:
        UsageError: it comes with Lode, or there is none.

    """
    if name in builtin_systems():
        raise UsageError(f"{name} comes with Lode and cannot be removed")
    if not delete_system(conn, name):
        raise UsageError(
            f"there is no mineral system {name!r} to remove; brought in were: "
            + (", ".join(stored.name for stored in list_stored(conn)) or "none")
        )
