"""Generalised outlines that vector tiles of small scales are made of; all derived."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, ForeignKey, Index, Integer, Table, Text

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, spatial_index
from db.tables.change import damage_change, mine_damage
from db.tables.ground import land_class
from db.tables.interpretation import run


def _zoom_column() -> Column[int]:
    return Column(
        "zoom",
        Integer,
        nullable=False,
        comment="Web map zoom it is drawn at, 0 to 12",
    )


def _shape_column(srid: int) -> Column[object]:
    return geometry_column(
        "geom",
        "MULTIPOLYGON",
        f"Outline on the grid of the zoom's pixels, EPSG:{srid}; rings may touch or cross themselves",
        srid=srid,
    )


landcover_general = Table(
    "landcover_general",
    metadata,
    key_column("landcover_general_id", "Key", big=True),
    Column("run_id", ForeignKey(run.c.run_id, ondelete="CASCADE"), nullable=False, comment="The run"),
    _zoom_column(),
    Column("land_class_code", ForeignKey(land_class.c.land_class_code), nullable=False, comment="Class"),
    Column(
        "landcover_id",
        BigInteger,
        comment="The published polygon; null: cells that smaller patches fill together",
    ),
    Column("area_m2", Double, nullable=False, comment="Published area of what it stands for, m2 (geodesic)"),
    Column("mean_probability", Double, comment="Mean probability of the class, 0..1"),
    _shape_column(4326),
    CheckConstraint("zoom between 0 and 12", name="zoom"),
    Index("landcover_general_run_zoom_idx", "run_id", "zoom"),
    spatial_index("landcover_general", "geom"),
    schema=SCHEMA,
    comment="Land cover for maps of small scale; derived from landcover at publication",
)

damage_general = Table(
    "damage_general",
    metadata,
    key_column("damage_general_id", "Key", big=True),
    _zoom_column(),
    Column(
        "mine_damage_id",
        ForeignKey(mine_damage.c.mine_damage_id, ondelete="CASCADE"),
        comment="The damaged ground it stands for",
    ),
    Column(
        "damage_change_id",
        ForeignKey(damage_change.c.damage_change_id, ondelete="CASCADE"),
        comment="The change polygon it stands for",
    ),
    Column("mine_id", Integer, nullable=False, comment="Its mine"),
    Column("year", Integer, nullable=False, comment="Its year; of change the later one"),
    Column("kind", Text, nullable=False, comment="Kind of damage, or new, persisting, treated"),
    Column("area_m2", Double, nullable=False, comment="Area of what it stands for, m2 (geodesic)"),
    _shape_column(3857),
    CheckConstraint("zoom between 0 and 12", name="zoom"),
    CheckConstraint("(mine_damage_id is null) <> (damage_change_id is null)", name="origin"),
    Index("damage_general_mine_damage_idx", "mine_damage_id", "zoom", unique=True),
    Index("damage_general_damage_change_idx", "damage_change_id", "zoom", unique=True),
    Index("damage_general_zoom_year_idx", "zoom", "year"),
    spatial_index("damage_general", "geom"),
    schema=SCHEMA,
    comment="Damaged ground and its change for maps of small scale; derived by triggers",
)
