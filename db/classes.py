"""The classes of land cover: look-ups in ``lode.land_class``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection


@dataclass(frozen=True)
class LandClass:
    """A class of land cover.

    Attributes:
        code: code, as in maps.
        key: English key, e.g. ``open_pit``.
        name, name_zh: English and Chinese name.
        damage_kind: excavated, occupied, subsided, treated or none.
        colour: map colour, ``#rrggbb``.
        is_mapped: whether networks can find it; otherwise only labels hold it.
        min_patch_m2: smallest mapped patch, m2.

    """

    code: int
    key: str
    name: str
    name_zh: str
    damage_kind: str
    colour: str
    is_mapped: bool
    min_patch_m2: float


def list_classes(conn: Connection[Any]) -> list[LandClass]:
    """All classes, by code."""
    rows = conn.execute(
        "select land_class_code, key, name, name_zh, damage_kind, colour, is_mapped, min_patch_m2"
        " from lode.land_class order by land_class_code"
    )
    return [LandClass(*row) for row in rows]


def find_class(classes: Sequence[LandClass], text: str) -> LandClass | None:
    """Find a class by code, key, English or Chinese name; case and surrounding blanks do not matter."""
    wanted = text.strip().casefold()
    for land_class in classes:
        if wanted in (
            str(land_class.code),
            land_class.key.casefold(),
            land_class.name.casefold(),
            land_class.name_zh,
        ):
            return land_class
    return None


def class_list(classes: Sequence[LandClass]) -> str:
    """List classes for a message: code and key."""
    return ", ".join(f"{each.code} {each.key}" for each in classes)
