"""Derived change: pairs of years, what went from which class to which, damaged ground and what became of it.

Computed from the pieces of ``db.tables.accounts`` by the functions of ``sql/functions/accounts``.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)

from db.tables.accounts import area_column, class_column, date_columns, mine_column
from db.tables.base import SCHEMA, geometry_column, key_column, metadata, spatial_index

mine_pair = Table(
    "mine_pair",
    metadata,
    key_column("mine_pair_id", "Key"),
    mine_column(),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column(
        "is_consecutive",
        Boolean,
        nullable=False,
        comment="No year between them observed the mine",
    ),
    Column(
        "is_bridging",
        Boolean,
        nullable=False,
        comment="Steps over years that saw less than half of the mine, between two that saw at least half",
    ),
    area_column("observed_area_m2", "Ground that both years observed and could judge"),
    area_column("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
    area_column(
        "unobserved_area_m2", "Ground of the mine that not both years observed, or one could not judge"
    ),
    geometry_column(
        "blind_geom",
        "MULTIPOLYGON",
        "Ground that is not compared: damaged in one year, in the other undamaged to a network that does not"
        " map the class of that damage; null: none",
        nullable=True,
    ),
    CheckConstraint("from_year < to_year", name="years"),
    Index("mine_pair_years_idx", "mine_id", "from_year", "to_year", unique=True),
    schema=SCHEMA,
    comment="Pairs of years that observed a mine; derived",
)


def _pair_column() -> Column[int]:
    return Column(
        "mine_pair_id",
        ForeignKey(mine_pair.c.mine_pair_id, ondelete="CASCADE"),
        nullable=False,
        comment="The mine and its pair of years",
    )


mine_transition = Table(
    "mine_transition",
    metadata,
    key_column("mine_transition_id", "Key", big=True),
    _pair_column(),
    class_column("from_class_code", "Class in the earlier year"),
    class_column("to_class_code", "Class in the later year"),
    area_column("area_m2", "Ground that went from the one to the other, of what both years observed"),
    area_column("exclusive_area_m2", "The part of it outside every mine of smaller code"),
    Index("mine_transition_classes_idx", "mine_pair_id", "from_class_code", "to_class_code", unique=True),
    schema=SCHEMA,
    comment="From which class to which the ground of each mine went; derived from mine_piece",
)

mine_change = Table(
    "mine_change",
    metadata,
    key_column("mine_change_id", "Key", big=True),
    _pair_column(),
    mine_column(),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column("damage_kind", Text, nullable=False, comment="excavated, occupied, subsided, or any of them"),
    area_column("new_area_m2", "Of this kind in the later year, not damaged in the earlier"),
    area_column("treated_area_m2", "Of this kind in the earlier year, not damaged in the later"),
    area_column("persisting_area_m2", "Of this kind in both years"),
    area_column("converted_from_area_m2", "Of this kind in the later year, of another kind in the earlier"),
    area_column("converted_to_area_m2", "Of this kind in the earlier year, of another kind in the later"),
    area_column(
        "interpreted_treated_area_m2", "Part of treated that an interpreter saw and drew as treated ground"
    ),
    area_column("unobserved_area_m2", "Ground of the mine that not both years observed"),
    area_column("exclusive_new_area_m2", "Part of new outside every mine of smaller code"),
    area_column("exclusive_treated_area_m2", "Part of treated outside every mine of smaller code"),
    area_column("exclusive_persisting_area_m2", "Part of persisting outside every mine of smaller code"),
    CheckConstraint("from_year < to_year", name="years"),
    Index("mine_change_pair_idx", "mine_id", "from_year", "to_year", "damage_kind", unique=True),
    schema=SCHEMA,
    comment="Change by mine, pair of years and kind, over what both years observed; derived",
)

mine_damage = Table(
    "mine_damage",
    metadata,
    key_column("mine_damage_id", "Key", big=True),
    mine_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    Column("damage_kind", Text, nullable=False, comment="excavated, occupied or subsided"),
    geometry_column("geom", "MULTIPOLYGON", "Damaged ground of this kind, EPSG:4326"),
    area_column("area_m2", "Its area"),
    *date_columns(),
    Index("mine_damage_mine_year_kind_idx", "mine_id", "year", "damage_kind", unique=True),
    spatial_index("mine_damage", "geom"),
    schema=SCHEMA,
    comment="Damaged ground by mine, year and kind, as one shape each; derived from mine_piece",
)

damage_patch = Table(
    "damage_patch",
    metadata,
    key_column("damage_patch_id", "Key", big=True),
    Column(
        "code",
        Text,
        nullable=False,
        unique=True,
        comment="Mine, first year, kind and number; number 0 gathers what is smaller than a mapped patch",
    ),
    mine_column(),
    Column("damage_kind", Text, nullable=False, comment="Kind when it was first seen"),
    Column("first_year", Integer, nullable=False, comment="Year it was first seen damaged"),
    Column("number", Integer, nullable=False, comment="Within mine, year and kind; the largest is 1"),
    Column("first_damaged_on", Date, nullable=False, comment="Day of the scene it was first seen damaged in"),
    Column(
        "is_new",
        Boolean,
        nullable=False,
        comment="An earlier year observed the mine: damage came between; false: damage of unknown age",
    ),
    Column("last_seen_year", Integer, nullable=False, comment="Latest year that saw half of it damaged"),
    Column("last_seen_on", Date, nullable=False, comment="Day of the scene of that year"),
    area_column("area_m2", "Its area"),
    area_column(
        "damaged_area_m2", "What of it is damaged in the latest year that observed it, or a part of it"
    ),
    *date_columns(),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326; no ground lies in two patches of a mine"),
    Index("damage_patch_mine_year_idx", "mine_id", "first_year", "damage_kind", "number", unique=True),
    spatial_index("damage_patch", "geom"),
    schema=SCHEMA,
    comment="Ground by when it was first seen damaged, with stable codes; derived from mine_damage",
)

damage_change = Table(
    "damage_change",
    metadata,
    key_column("damage_change_id", "Key", big=True),
    Column(
        "damage_patch_id",
        ForeignKey(damage_patch.c.damage_patch_id, ondelete="CASCADE"),
        nullable=False,
        comment="The patch it is a part of",
    ),
    Column("code", Text, nullable=False, comment="Code of the patch, the same from year to year"),
    mine_column(index=True),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column("change", Text, nullable=False, comment="new, persisting or treated"),
    Column("damage_kind", Text, nullable=False, comment="Kind of the patch"),
    Column("first_damaged_on", Date, nullable=False, comment="Day it was first seen damaged"),
    Column("last_seen_on", Date, nullable=False, comment="Latest day it was seen damaged"),
    area_column("area_m2", "Its area"),
    *date_columns(),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326"),
    CheckConstraint("change in ('new', 'persisting', 'treated')", name="change"),
    Index("damage_change_patch_idx", "damage_patch_id", "from_year", "to_year", "change", unique=True),
    spatial_index("damage_change", "geom"),
    schema=SCHEMA,
    comment="Change polygons: what is new, persists or was treated between consecutive years; derived",
)
