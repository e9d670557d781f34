"""What Alembic's comparison looks at: the tables of ours, not the tiles, nor other people's."""

from __future__ import annotations

import re
from typing import Any

_TILE_TABLE = re.compile(r"^(o_\d+_)?(scene|probability|evidence|geology|prospect_score)_\d+$")
_NOT_IN_METADATA = {"alembic_version"}


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Limit the comparison to the schemas ``lode`` and ``lode_raster``."""
    if kind == "schema":
        return name in {"lode", "lode_raster"}
    return True


def include_object(_thing: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """Leave out tile tables (one a scene, made at run time) and Alembic's own table."""
    if kind == "table" and reflected and name is not None:
        return name not in _NOT_IN_METADATA and not _TILE_TABLE.match(name)
    return True
