"""Derived areas: which ground counts for which mine and year, and its classes.

Everything here is computed from runs, observations, land cover, labels and mines by the functions of
``sql/functions/accounts``; triggers keep it up whoever changes what it stands on.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
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
)

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.ground import label, land_class, mine
from db.tables.interpretation import landcover

derivation = Table(
    "derivation",
    metadata,
    Column("derivation_id", Integer, primary_key=True, autoincrement=False, comment="Always 1"),
    Column(
        "rules_sha256", Text, nullable=False, comment="SHA-256 of the functions that derived what is there"
    ),
    moment_column("derived_at", "When everything was last derived from nothing", now=True),
    CheckConstraint("derivation_id = 1", name="single"),
    schema=SCHEMA,
    comment="By which rules the derived tables were filled",
)

report_period = Table(
    "report_period",
    metadata,
    key_column("report_period_id", "Key"),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column("name", Text, comment="What it is called in reports"),
    CheckConstraint("from_year < to_year", name="years"),
    Index("report_period_years_idx", "from_year", "to_year", unique=True),
    schema=SCHEMA,
    comment="Pairs of years whose change is derived beside that of consecutive years",
)

interpreted_ground = Table(
    "interpreted_ground",
    metadata,
    Column(
        "label_id",
        ForeignKey(label.c.label_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The label",
    ),
    Column("year", Integer, nullable=False, comment="Year it counts in"),
    Column("land_class_code", ForeignKey(land_class.c.land_class_code), nullable=False, comment="Class"),
    geometry_column("geom", "MULTIPOLYGON", "The label without what later labels of its year cover"),
    Column("area_m2", Double, nullable=False, comment="Geodesic area of geom on WGS 84, m2"),
    Index("interpreted_ground_year_idx", "year"),
    spatial_index("interpreted_ground", "geom"),
    schema=SCHEMA,
    comment="Ground whose class an interpreter decides in a year's account; derived from label",
)


landcover_part = Table(
    "landcover_part",
    metadata,
    key_column("landcover_part_id", "Key", big=True),
    Column(
        "landcover_id",
        ForeignKey(landcover.c.landcover_id, ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The published polygon",
    ),
    Column("run_id", Integer, nullable=False, comment="Its run"),
    geometry_column("geom", "MULTIPOLYGON", "A part of it, EPSG:4326"),
    spatial_index("landcover_part", "geom"),
    schema=SCHEMA,
    comment="Large published polygons in smaller parts, which can be cut fast; derived",
)


def mine_column(*, index: bool = False) -> Column[int]:
    """The mine a row is of; the row goes with it."""
    return Column(
        "mine_id",
        ForeignKey(mine.c.mine_id, ondelete="CASCADE"),
        nullable=False,
        index=index,
        comment="The mine",
    )


def class_column(name: str = "land_class_code", comment: str = "Class") -> Column[int]:
    """A class of ground."""
    return Column(name, ForeignKey(land_class.c.land_class_code), nullable=False, comment=comment)


def area_column(name: str, comment: str, *, nullable: bool = False) -> Column[float]:
    """An area in m2, geodesic on WGS 84."""
    return Column(name, Double, nullable=nullable, comment=f"{comment}, m2 (geodesic, WGS 84)")


def date_columns() -> tuple[Column[object], Column[object]]:
    """From when to when a client's temporal control shows a row."""
    return (
        Column("start_date", Date, nullable=False, comment="First day it is shown for"),
        Column("end_date", Date, nullable=False, comment="First day it is no longer shown for"),
    )


mine_zone = Table(
    "mine_zone",
    metadata,
    key_column("mine_zone_id", "Key"),
    mine_column(index=True),
    Column(
        "is_exclusive",
        Boolean,
        nullable=False,
        comment="Outside every mine of smaller code: sums over mines count this ground",
    ),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326"),
    area_column("area_m2", "Its area"),
    Column(
        "mine_sha256",
        Text,
        nullable=False,
        comment="SHA-256 of the code, boundary and licence that the mine had then (lode_api.mine_sha256)",
    ),
    spatial_index("mine_zone", "geom"),
    schema=SCHEMA,
    comment="The ground of each mine, cut where that of another mine begins; derived from mine",
)


def _zone_column() -> Column[int]:
    return Column(
        "mine_zone_id",
        ForeignKey(mine_zone.c.mine_zone_id, ondelete="CASCADE"),
        nullable=False,
        comment="The zone of the mine",
    )


zone_year = Table(
    "zone_year",
    metadata,
    key_column("zone_year_id", "Key", big=True),
    _zone_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    geometry_column("geom", "MULTIPOLYGON", "What was observed; null: the whole zone", nullable=True),
    area_column("area_m2", "Area of what was observed"),
    Index("zone_year_zone_year_idx", "mine_zone_id", "year", unique=True),
    schema=SCHEMA,
    comment="What of each zone was observed in each year; derived",
)

mine_piece = Table(
    "mine_piece",
    metadata,
    key_column("mine_piece_id", "Key", big=True),
    _zone_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    class_column(),
    Column("run_id", Integer, comment="The run that found it; null: an interpreter did"),
    Column("landcover_id", BigInteger, comment="The published polygon it is a part of"),
    Column("label_id", Integer, comment="The label it is a part of"),
    geometry_column("geom", "MULTIPOLYGON", "The ground; null: the whole polygon", nullable=True),
    area_column("area_m2", "Its area"),
    area_column(
        "unlicensed_area_m2",
        "The part of it outside the licence; null: the mine has no licence boundary, or it is no damage",
        nullable=True,
    ),
    CheckConstraint("(landcover_id is null) <> (label_id is null)", name="origin"),
    CheckConstraint("geom is not null or landcover_id is not null", name="geom"),
    Index("mine_piece_zone_year_idx", "mine_zone_id", "year"),
    Index("mine_piece_landcover_idx", "landcover_id"),
    spatial_index("mine_piece", "geom"),
    schema=SCHEMA,
    comment="The year map inside mines: every piece of ground counts once, with where it comes from; derived",
)

mine_year = Table(
    "mine_year",
    metadata,
    key_column("mine_year_id", "Key"),
    mine_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    area_column("boundary_area_m2", "Area of the mine"),
    area_column("observed_area_m2", "Part of it that current runs or interpreters observed"),
    area_column("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
    area_column("interpreted_area_m2", "Part of it whose class an interpreter decided"),
    Column("run_ids", ARRAY(Integer), nullable=False, comment="Runs whose ground counts here"),
    Column("first_acquired_on", Date, comment="Day of the earliest scene that counts here"),
    Column("last_acquired_on", Date, comment="Day of the latest scene that counts here"),
    area_column("newly_area_m2", "Ground damaged in this year that no earlier year saw damaged"),
    area_column("cumulative_area_m2", "Ground that this or an earlier year saw damaged"),
    area_column(
        "unobserved_damage_area_m2", "Part of cumulative that the year did not observe or could not judge"
    ),
    area_column("exclusive_newly_area_m2", "Part of newly outside every mine of smaller code"),
    area_column("exclusive_cumulative_area_m2", "Part of cumulative outside every mine of smaller code"),
    geometry_column(
        "blind_geom",
        "MULTIPOLYGON",
        "Ground that an earlier year saw damaged and a network that does not map the class of that damage"
        " found undamaged in this year; null: none",
        nullable=True,
    ),
    CheckConstraint("boundary_area_m2 > 0 and observed_area_m2 >= 0", name="areas"),
    Index("mine_year_mine_year_idx", "mine_id", "year", unique=True),
    schema=SCHEMA,
    comment="How much of each mine was observed in each year, and its damage over time; derived",
)

mine_area = Table(
    "mine_area",
    metadata,
    key_column("mine_area_id", "Key", big=True),
    Column(
        "mine_year_id",
        ForeignKey(mine_year.c.mine_year_id, ondelete="CASCADE"),
        nullable=False,
        comment="The mine and year",
    ),
    class_column(),
    area_column("area_m2", "Area of the class inside the mine"),
    area_column(
        "exclusive_area_m2",
        "The part of it outside every mine of smaller code; sums over mines count no ground twice",
    ),
    area_column("interpreted_area_m2", "The part of it that comes from labels"),
    area_column(
        "judged_area_m2", "Observed ground on which a network that maps the class, or a label, decided"
    ),
    area_column(
        "unlicensed_area_m2",
        "The part of it outside the licence; null: the mine has no licence boundary, or it is no damage",
        nullable=True,
    ),
    Column(
        "mean_probability",
        Double,
        comment="Mean probability of the class over its ground, 0..1; null: none was found",
    ),
    CheckConstraint("exclusive_area_m2 >= 0 and area_m2 >= 0", name="areas"),
    Index("mine_area_mine_year_class_idx", "mine_year_id", "land_class_code", unique=True),
    schema=SCHEMA,
    comment="Area by mine, year and class; derived from mine_piece",
)
