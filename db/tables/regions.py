"""Regions that reports are summed over, and their derived areas.

A region is any polygon: a county, a province, a watershed, protected ground. Everything below ``region`` is
computed by the functions of ``sql/functions`` and kept up by triggers.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, spatial_index
from db.tables.ground import feature_source, label, land_class, mine
from db.tables.interpretation import run

region_layer = Table(
    "region_layer",
    metadata,
    key_column("region_layer_id", "Key"),
    Column("key", Text, nullable=False, unique=True, comment="What commands call it, e.g. county"),
    Column("name", Text, nullable=False, comment="Name"),
    Column("name_zh", Text, comment="Name, Chinese"),
    Column(
        "is_protected",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Ground that must not be damaged: farmland, an ecological red line, a reserve",
    ),
    CheckConstraint("key ~ '^[a-z][a-z0-9_]{0,62}$'", name="key"),
    schema=SCHEMA,
    comment="Layers of regions: counties, provinces, watersheds, protected ground",
)

region = Table(
    "region",
    metadata,
    key_column("region_id", "Key"),
    Column(
        "region_layer_id",
        ForeignKey(region_layer.c.region_layer_id, ondelete="CASCADE"),
        nullable=False,
        comment="The layer it belongs to",
    ),
    Column("code", Text, nullable=False, comment="Official code; unique within the layer"),
    Column("name", Text, nullable=False, comment="Name"),
    Column("name_zh", Text, comment="Name, Chinese"),
    geometry_column("geom", "MULTIPOLYGON", "Outline, EPSG:4326; straight edges in degrees"),
    Column(
        "feature_source_id",
        ForeignKey(feature_source.c.feature_source_id, ondelete="SET NULL"),
        index=True,
        comment="The file it came from; null when drawn in a client",
    ),
    CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name="geom"),
    Index("region_layer_code_idx", "region_layer_id", "code", unique=True),
    spatial_index("region", "geom"),
    schema=SCHEMA,
    comment="Regions that reports are summed over; those of a layer may overlap, each counts its own ground",
)


def _region_column() -> Column[int]:
    return Column(
        "region_id",
        ForeignKey(region.c.region_id, ondelete="CASCADE"),
        nullable=False,
        comment="The region",
    )


def _year_column() -> Column[int]:
    return Column("year", Integer, nullable=False, comment="Year")


def _class_column() -> Column[int]:
    return Column(
        "land_class_code", ForeignKey(land_class.c.land_class_code), nullable=False, comment="Class"
    )


def _area(name: str, comment: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=f"{comment}, m2 (geodesic, WGS 84)")


region_part = Table(
    "region_part",
    metadata,
    key_column("region_part_id", "Key", big=True),
    Column(
        "region_id",
        ForeignKey(region.c.region_id, ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The region",
    ),
    geometry_column("geom", "MULTIPOLYGON", "A part of few vertices; the parts of a region share no ground"),
    _area("area_m2", "Its area"),
    spatial_index("region_part", "geom"),
    schema=SCHEMA,
    comment="Regions divided, so that cutting at a long border costs what the border near by costs; derived",
)

outside_piece = Table(
    "outside_piece",
    metadata,
    key_column("outside_piece_id", "Key", big=True),
    _year_column(),
    _class_column(),
    Column("run_id", Integer, comment="The run that found it; null: an interpreter did"),
    Column("landcover_id", BigInteger, comment="The published polygon it is a part of"),
    Column("label_id", Integer, comment="The label it is a part of"),
    _area("area_m2", "Its area"),
    _area("newly_area_m2", "The part of it that no earlier year saw damaged"),
    Column("start_date", Date, nullable=False, comment="First day of the year it stands for"),
    Column("end_date", Date, nullable=False, comment="First day of the next year (excluded)"),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326"),
    geometry_column(
        "newly_geom",
        "MULTIPOLYGON",
        "The part of it that no earlier year saw damaged; null: all of it, or nothing of it",
        nullable=True,
    ),
    CheckConstraint("(landcover_id is null) <> (label_id is null)", name="origin"),
    Index("outside_piece_year_idx", "year"),
    Index(
        "outside_piece_landcover_idx",
        "landcover_id",
        unique=True,
        postgresql_where=text("landcover_id is not null"),
    ),
    Index("outside_piece_label_idx", "label_id", unique=True, postgresql_where=text("label_id is not null")),
    spatial_index("outside_piece", "geom"),
    schema=SCHEMA,
    comment="Damaged ground outside every mine, by year; no ground of a year lies in two pieces; derived",
)

region_piece = Table(
    "region_piece",
    metadata,
    key_column("region_piece_id", "Key", big=True),
    _region_column(),
    Column(
        "outside_piece_id",
        BigInteger,
        ForeignKey(outside_piece.c.outside_piece_id, ondelete="CASCADE"),
        nullable=False,
        comment="The ground outside mines",
    ),
    _year_column(),
    _class_column(),
    _area("area_m2", "Area of the piece inside the region"),
    _area("newly_area_m2", "The part of it that no earlier year saw damaged"),
    _area("interpreted_area_m2", "area_m2 where an interpreter decided the class, else 0"),
    Index("region_piece_region_year_idx", "region_id", "year"),
    Index("region_piece_piece_region_idx", "outside_piece_id", "region_id", unique=True),
    schema=SCHEMA,
    comment="Ground outside mines by region; derived from outside_piece",
)

region_ground = Table(
    "region_ground",
    metadata,
    key_column("region_ground_id", "Key", big=True),
    _region_column(),
    _year_column(),
    Column("run_id", Integer, ForeignKey(run.c.run_id, ondelete="CASCADE"), comment="The run that observed"),
    Column(
        "label_id",
        Integer,
        ForeignKey(label.c.label_id, ondelete="CASCADE"),
        comment="The label that decides a class",
    ),
    _area("observed_area_m2", "Ground of the region it observed; of a label, what no run observed"),
    _area("interpreted_area_m2", "Ground of the region whose class the label decides; 0 for a run"),
    CheckConstraint("(run_id is null) <> (label_id is null)", name="origin"),
    Index("region_ground_region_year_idx", "region_id", "year"),
    Index(
        "region_ground_run_idx",
        "run_id",
        "region_id",
        unique=True,
        postgresql_where=text("run_id is not null"),
    ),
    Index(
        "region_ground_label_idx",
        "label_id",
        "region_id",
        unique=True,
        postgresql_where=text("label_id is not null"),
    ),
    schema=SCHEMA,
    comment="What of each region was observed and interpreted, by run and label; derived",
)

region_mine = Table(
    "region_mine",
    metadata,
    key_column("region_mine_id", "Key"),
    _region_column(),
    Column(
        "mine_id",
        ForeignKey(mine.c.mine_id, ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The mine",
    ),
    Column("is_whole", Boolean, nullable=False, comment="The mine lies wholly inside: nothing of it is cut"),
    geometry_column(
        "geom",
        "MULTIPOLYGON",
        "The mine's ground inside the region, EPSG:4326; null: all of it",
        nullable=True,
    ),
    Index("region_mine_region_mine_idx", "region_id", "mine_id", unique=True),
    schema=SCHEMA,
    comment="Which mines have ground in which region; derived from mine and region",
)


def _region_mine_column() -> Column[int]:
    return Column(
        "region_mine_id",
        ForeignKey(region_mine.c.region_mine_id, ondelete="CASCADE"),
        nullable=False,
        comment="The region and mine",
    )


region_mine_area = Table(
    "region_mine_area",
    metadata,
    key_column("region_mine_area_id", "Key", big=True),
    _region_mine_column(),
    _year_column(),
    _class_column(),
    _area("area_m2", "Damaged area of the class inside mine and region"),
    _area("exclusive_area_m2", "The part of it outside every mine of smaller code"),
    _area("interpreted_area_m2", "The part of exclusive_area_m2 that comes from labels"),
    Index("region_mine_area_idx", "region_mine_id", "year", "land_class_code", unique=True),
    schema=SCHEMA,
    comment="Damage by region, mine, year and class, where there is any; derived from mine_piece",
)

region_mine_year = Table(
    "region_mine_year",
    metadata,
    key_column("region_mine_year_id", "Key", big=True),
    _region_mine_column(),
    _year_column(),
    _area(
        "newly_area_m2",
        "Ground of mine and region, outside every mine of smaller code, first seen damaged in this year",
    ),
    Index("region_mine_year_idx", "region_mine_id", "year", unique=True),
    schema=SCHEMA,
    comment="New damage by region, mine and year, where there is any; derived from damage_patch",
)

region_area = Table(
    "region_area",
    metadata,
    key_column("region_area_id", "Key", big=True),
    _region_column(),
    _year_column(),
    _class_column(),
    _area("in_mine_area_m2", "Area inside mines; ground in several mines counts once"),
    _area("outside_mine_area_m2", "Area outside every mine"),
    _area("interpreted_area_m2", "The part of both that comes from labels"),
    Column("mine_count", Integer, nullable=False, comment="Mines in which it was found inside the region"),
    Index("region_area_idx", "region_id", "year", "land_class_code", unique=True),
    schema=SCHEMA,
    comment="Damage by region, year and class, 0 where it was looked for and not found; derived",
)

region_year = Table(
    "region_year",
    metadata,
    key_column("region_year_id", "Key"),
    _region_column(),
    _year_column(),
    _area("region_area_m2", "Area of the region"),
    _area("observed_area_m2", "Part of it that current runs or interpreters observed"),
    _area("interpreted_area_m2", "Part of it whose class an interpreter decided"),
    _area("damaged_area_m2", "Damage in mines and outside; null: nobody looked for any", nullable=True),
    _area(
        "newly_area_m2",
        "Ground damaged in this year that no earlier year saw damaged; null: nobody looked",
        nullable=True,
    ),
    _area("cumulative_area_m2", "Ground that this or an earlier year saw damaged"),
    Column("mine_count", Integer, nullable=False, comment="Mines with ground in the region"),
    Column("run_count", Integer, nullable=False, comment="Current runs that observed a part of it"),
    Index("region_year_region_year_idx", "region_id", "year", unique=True),
    schema=SCHEMA,
    comment="How much of each region was observed in each year, and its damage over time; derived",
)
