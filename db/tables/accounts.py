"""Derived areas: which ground counts for which mine and year, its classes, its damage and its change.

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


def _mine_column(*, index: bool = False) -> Column[int]:
    return Column(
        "mine_id",
        ForeignKey(mine.c.mine_id, ondelete="CASCADE"),
        nullable=False,
        index=index,
        comment="The mine",
    )


def _class_column(name: str = "land_class_code", comment: str = "Class") -> Column[int]:
    return Column(name, ForeignKey(land_class.c.land_class_code), nullable=False, comment=comment)


def _area(name: str, comment: str, *, nullable: bool = False) -> Column[float]:
    return Column(name, Double, nullable=nullable, comment=f"{comment}, m2 (geodesic, WGS 84)")


def _dates() -> tuple[Column[object], Column[object]]:
    return (
        Column("start_date", Date, nullable=False, comment="First day it is shown for"),
        Column("end_date", Date, nullable=False, comment="First day it is no longer shown for"),
    )


mine_zone = Table(
    "mine_zone",
    metadata,
    key_column("mine_zone_id", "Key"),
    _mine_column(index=True),
    Column(
        "is_exclusive",
        Boolean,
        nullable=False,
        comment="Outside every mine of smaller code: sums over mines count this ground",
    ),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326"),
    _area("area_m2", "Its area"),
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
    _area("area_m2", "Area of what was observed"),
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
    _class_column(),
    Column("run_id", Integer, comment="The run that found it; null: an interpreter did"),
    Column("landcover_id", BigInteger, comment="The published polygon it is a part of"),
    Column("label_id", Integer, comment="The label it is a part of"),
    geometry_column("geom", "MULTIPOLYGON", "The ground; null: the whole polygon", nullable=True),
    _area("area_m2", "Its area"),
    _area(
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
    _mine_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    _area("boundary_area_m2", "Area of the mine"),
    _area("observed_area_m2", "Part of it that current runs or interpreters observed"),
    _area("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
    _area("interpreted_area_m2", "Part of it whose class an interpreter decided"),
    Column("run_ids", ARRAY(Integer), nullable=False, comment="Runs whose ground counts here"),
    Column("first_acquired_on", Date, comment="Day of the earliest scene that counts here"),
    Column("last_acquired_on", Date, comment="Day of the latest scene that counts here"),
    _area("newly_area_m2", "Ground damaged in this year that no earlier year saw damaged"),
    _area("cumulative_area_m2", "Ground that this or an earlier year saw damaged"),
    _area("unobserved_damage_area_m2", "Part of cumulative that the year did not observe or could not judge"),
    _area("exclusive_newly_area_m2", "Part of newly outside every mine of smaller code"),
    _area("exclusive_cumulative_area_m2", "Part of cumulative outside every mine of smaller code"),
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
    _class_column(),
    _area("area_m2", "Area of the class inside the mine"),
    _area(
        "exclusive_area_m2",
        "The part of it outside every mine of smaller code; sums over mines count no ground twice",
    ),
    _area("interpreted_area_m2", "The part of it that comes from labels"),
    _area("judged_area_m2", "Observed ground on which a network that maps the class, or a label, decided"),
    _area(
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

mine_pair = Table(
    "mine_pair",
    metadata,
    key_column("mine_pair_id", "Key"),
    _mine_column(),
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
    _area("observed_area_m2", "Ground that both years observed and could judge"),
    _area("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
    _area("unobserved_area_m2", "Ground of the mine that not both years observed, or one could not judge"),
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
    _class_column("from_class_code", "Class in the earlier year"),
    _class_column("to_class_code", "Class in the later year"),
    _area("area_m2", "Ground that went from the one to the other, of what both years observed"),
    _area("exclusive_area_m2", "The part of it outside every mine of smaller code"),
    Index("mine_transition_classes_idx", "mine_pair_id", "from_class_code", "to_class_code", unique=True),
    schema=SCHEMA,
    comment="From which class to which the ground of each mine went; derived from mine_piece",
)

mine_change = Table(
    "mine_change",
    metadata,
    key_column("mine_change_id", "Key", big=True),
    _pair_column(),
    _mine_column(),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column("damage_kind", Text, nullable=False, comment="excavated, occupied, subsided, or any of them"),
    _area("new_area_m2", "Of this kind in the later year, not damaged in the earlier"),
    _area("treated_area_m2", "Of this kind in the earlier year, not damaged in the later"),
    _area("persisting_area_m2", "Of this kind in both years"),
    _area("converted_from_area_m2", "Of this kind in the later year, of another kind in the earlier"),
    _area("converted_to_area_m2", "Of this kind in the earlier year, of another kind in the later"),
    _area(
        "interpreted_treated_area_m2", "Part of treated that an interpreter saw and drew as treated ground"
    ),
    _area("unobserved_area_m2", "Ground of the mine that not both years observed"),
    _area("exclusive_new_area_m2", "Part of new outside every mine of smaller code"),
    _area("exclusive_treated_area_m2", "Part of treated outside every mine of smaller code"),
    _area("exclusive_persisting_area_m2", "Part of persisting outside every mine of smaller code"),
    CheckConstraint("from_year < to_year", name="years"),
    Index("mine_change_pair_idx", "mine_id", "from_year", "to_year", "damage_kind", unique=True),
    schema=SCHEMA,
    comment="Change by mine, pair of years and kind, over what both years observed; derived",
)

mine_damage = Table(
    "mine_damage",
    metadata,
    key_column("mine_damage_id", "Key", big=True),
    _mine_column(),
    Column("year", Integer, nullable=False, comment="Year"),
    Column("damage_kind", Text, nullable=False, comment="excavated, occupied or subsided"),
    geometry_column("geom", "MULTIPOLYGON", "Damaged ground of this kind, EPSG:4326"),
    _area("area_m2", "Its area"),
    *_dates(),
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
    _mine_column(),
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
    _area("area_m2", "Its area"),
    _area("damaged_area_m2", "What of it is damaged in the latest year that observed it, or a part of it"),
    *_dates(),
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
    _mine_column(index=True),
    Column("from_year", Integer, nullable=False, comment="Earlier year"),
    Column("to_year", Integer, nullable=False, comment="Later year"),
    Column("change", Text, nullable=False, comment="new, persisting or treated"),
    Column("damage_kind", Text, nullable=False, comment="Kind of the patch"),
    Column("first_damaged_on", Date, nullable=False, comment="Day it was first seen damaged"),
    Column("last_seen_on", Date, nullable=False, comment="Latest day it was seen damaged"),
    _area("area_m2", "Its area"),
    *_dates(),
    geometry_column("geom", "MULTIPOLYGON", "The ground, EPSG:4326"),
    CheckConstraint("change in ('new', 'persisting', 'treated')", name="change"),
    Index("damage_change_patch_idx", "damage_patch_id", "from_year", "to_year", "change", unique=True),
    spatial_index("damage_change", "geom"),
    schema=SCHEMA,
    comment="Change polygons: what is new, persists or was treated between consecutive years; derived",
)
