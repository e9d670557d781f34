"""What people drew: classes, mines, labels, geology, deposits, and the files they came from."""

from __future__ import annotations

from sqlalchemy import (
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

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.scenes import scene

land_class = Table(
    "land_class",
    metadata,
    Column("land_class_code", Integer, primary_key=True, autoincrement=False, comment="Code, as in maps"),
    Column("key", Text, nullable=False, unique=True, comment="English key, e.g. open_pit"),
    Column("name", Text, nullable=False, comment="English name"),
    Column("name_zh", Text, nullable=False, comment="Chinese name"),
    Column(
        "damage_kind",
        Text,
        nullable=False,
        comment="Legal kind of damage: excavated, occupied, subsided, treated or none",
    ),
    Column(
        "occupation_type",
        Text,
        comment="Occupation type of monitoring practice: pit, transfer_yard, solid_waste or building",
    ),
    Column("colour", Text, nullable=False, comment="Map colour, #rrggbb"),
    Column(
        "is_mapped",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="Networks can find the class; otherwise only labels hold it",
    ),
    Column(
        "min_patch_m2",
        Double,
        nullable=False,
        server_default=text("0"),
        comment="Smallest mapped patch, m2; smaller ones join their neighbour",
    ),
    Column(
        "counts_outside_mines",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Counts as damage of a region outside every mine as well; water and villages do not",
    ),
    CheckConstraint("damage_kind in ('excavated', 'occupied', 'subsided', 'treated', 'none')", name="kind"),
    CheckConstraint("land_class_code between 0 and 254", name="code"),
    CheckConstraint("colour ~ '^#[0-9a-f]{6}$'", name="colour"),
    CheckConstraint("min_patch_m2 >= 0", name="min_patch"),
    schema=SCHEMA,
    comment="Classes of land cover with their legal kind of damage",
)

feature_source = Table(
    "feature_source",
    metadata,
    key_column("feature_source_id", "Key"),
    Column(
        "kind", Text, nullable=False, comment="labels, mines, faults, plutons, lithology, deposits or regions"
    ),
    Column("name", Text, nullable=False, comment="File name (and layer)"),
    Column("sha256", Text, nullable=False, comment="SHA-256 of the file"),
    Column("options_digest", Text, nullable=False, comment="SHA-256 of the options it was read with"),
    Column("feature_count", Integer, nullable=False, comment="Features stored"),
    Column(
        "repaired_count",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Features whose geometry was repaired on request",
    ),
    moment_column("ingested_at", "When it was stored", now=True),
    CheckConstraint(
        "kind in ('labels', 'mines', 'faults', 'plutons', 'lithology', 'deposits', 'regions')", name="kind"
    ),
    Index("feature_source_content_idx", "kind", "sha256", "options_digest", unique=True),
    schema=SCHEMA,
    comment="Files that features were read from",
)


def _source_column() -> Column[int]:
    return Column(
        "feature_source_id",
        ForeignKey(feature_source.c.feature_source_id, ondelete="SET NULL"),
        index=True,
        comment="The file it came from; null when drawn in a client",
    )


mine = Table(
    "mine",
    metadata,
    key_column("mine_id", "Key"),
    Column("code", Text, nullable=False, unique=True, comment="Official code"),
    Column("name", Text, nullable=False, comment="Name"),
    Column("mineral", Text, comment="What is mined"),
    Column("mining_method", Text, comment="open_cast, underground, ..."),
    geometry_column("boundary", "MULTIPOLYGON", "Area the mine answers for, EPSG:4326"),
    geometry_column("licence_boundary", "MULTIPOLYGON", "Licensed area, EPSG:4326", nullable=True),
    _source_column(),
    CheckConstraint("st_isvalid(boundary) and not st_isempty(boundary)", name="boundary"),
    CheckConstraint("licence_boundary is null or st_isvalid(licence_boundary)", name="licence_boundary"),
    spatial_index("mine", "boundary"),
    spatial_index("mine", "licence_boundary"),
    schema=SCHEMA,
    comment="Mines",
)

label = Table(
    "label",
    metadata,
    key_column("label_id", "Key"),
    Column("land_class_code", ForeignKey(land_class.c.land_class_code), nullable=False, comment="Class"),
    geometry_column("geom", "MULTIPOLYGON", "Outline as interpreted, EPSG:4326"),
    Column("valid_on", Date, nullable=False, comment="Day of the image or visit it describes"),
    Column(
        "scene_id",
        ForeignKey(scene.c.scene_id),
        index=True,
        comment="The scene it was drawn on; null: holds for every scene of that year",
    ),
    Column("interpreter", Text, comment="Who drew it"),
    Column(
        "is_counted",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Decides the class of its ground in its year's account; labels of classes that no network "
        "maps always do",
    ),
    _source_column(),
    CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name="geom"),
    Index("label_valid_on_idx", "valid_on"),
    spatial_index("label", "geom"),
    schema=SCHEMA,
    comment="Polygons of known class, drawn by interpreters",
)

fault = Table(
    "fault",
    metadata,
    key_column("fault_id", "Key"),
    Column("name", Text, comment="Name"),
    Column("fault_type", Text, comment="normal, reverse, strike_slip, ..."),
    geometry_column("geom", "MULTILINESTRING", "Trace, EPSG:4326"),
    _source_column(),
    CheckConstraint("st_length(geom) > 0", name="length"),
    spatial_index("fault", "geom"),
    schema=SCHEMA,
    comment="Mapped faults",
)

pluton = Table(
    "pluton",
    metadata,
    key_column("pluton_id", "Key"),
    Column("name", Text, comment="Name"),
    Column("lithology", Text, comment="Rock"),
    Column("age", Text, comment="Geological age"),
    geometry_column("geom", "MULTIPOLYGON", "Outline, EPSG:4326"),
    _source_column(),
    CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name="geom"),
    spatial_index("pluton", "geom"),
    schema=SCHEMA,
    comment="Mapped plutons",
)

lithology = Table(
    "lithology",
    metadata,
    key_column("lithology_id", "Key"),
    Column("name", Text, comment="Name of the unit"),
    Column("rock", Text, comment="Rock, by which units are told apart"),
    Column("age", Text, comment="Geological age"),
    geometry_column("geom", "MULTIPOLYGON", "Outline, EPSG:4326"),
    _source_column(),
    CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name="geom"),
    spatial_index("lithology", "geom"),
    schema=SCHEMA,
    comment="Mapped rocks: the units of a geological map",
)

deposit = Table(
    "deposit",
    metadata,
    key_column("deposit_id", "Key"),
    Column("name", Text, comment="Name"),
    Column("commodity", Text, comment="What it holds"),
    Column("deposit_type", Text, comment="pegmatite, skarn, podiform, ..."),
    geometry_column("geom", "POINT", "Place, EPSG:4326"),
    geometry_column(
        "body", "MULTIPOLYGON", "Mapped outline of the ore body, where known, EPSG:4326", nullable=True
    ),
    _source_column(),
    CheckConstraint("body is null or st_isvalid(body) and not st_isempty(body)", name="body"),
    spatial_index("deposit", "geom"),
    spatial_index("deposit", "body"),
    schema=SCHEMA,
    comment="Known mineral deposits",
)
