"""The metadata all tables share, and the columns that look the same in many of them."""

from __future__ import annotations

from typing import Any

from geoalchemy2 import Geometry
from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, MetaData, text

SCHEMA = "lode"
RASTER_SCHEMA = "lode_raster"

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


def key_column(name: str, comment: str, *, big: bool = False) -> Column[int]:
    """An integer primary key the database counts up; GIS clients take the first column as feature id."""
    kind = BigInteger() if big else Integer()
    return Column(name, kind, Identity(always=False), primary_key=True, comment=comment)


def moment_column(name: str, comment: str, *, now: bool = False) -> Column[Any]:
    """A moment in time with zone; ``now`` makes the moment of the insert its default."""
    default = text("now()") if now else None
    return Column(name, DateTime(timezone=True), nullable=not now, server_default=default, comment=comment)


def geometry_column(
    name: str, kind: str, comment: str, *, nullable: bool = False, srid: int = 4326
) -> Column[Any]:
    """A geometry of one class; its index is declared beside the table, with a use."""
    return Column(name, Geometry(kind, srid=srid, spatial_index=False), nullable=nullable, comment=comment)


def spatial_index(table: str, column: str) -> Index:
    """GiST index on the bare column, so that clients' box filters find it."""
    return Index(f"{table}_{column}_gist", column, postgresql_using="gist")
