"""Sampled checks of the year map: designs, strata, sample points and interpreters' answers."""

from __future__ import annotations

from typing import Any

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
    text,
)

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.ground import land_class

assessment = Table(
    "assessment",
    metadata,
    key_column("assessment_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name"),
    Column("year", Integer, nullable=False, comment="Year of the map that is assessed"),
    Column(
        "stratified_by",
        Text,
        nullable=False,
        comment="class: strata are classes of the map; kind: legal kinds of damage, the rest undamaged",
    ),
    Column("scope", Text, nullable=False, comment="Which ground was sampled, in words"),
    Column(
        "mine_codes",
        ARRAY(Text),
        comment="Mines whose ground was sampled, mine.code; null: the ground of all mines, counted once",
    ),
    Column("total_area_m2", Double, nullable=False, comment="Area of all strata, m2 (geodesic, WGS 84)"),
    Column("seed", BigInteger, nullable=False, comment="Seed the points were drawn with"),
    Column("requested_by", Text, nullable=False, server_default=text("session_user"), comment="Who asked"),
    moment_column("created_at", "When the points were drawn", now=True),
    Column(
        "drawn_sha256",
        Text,
        comment="SHA-256 of design, strata and points as they were drawn (lode_api.assessment_seal); kept "
        "when the draw is over, after which none of them can be changed; null: not over",
    ),
    CheckConstraint("stratified_by in ('class', 'kind')", name="stratified_by"),
    CheckConstraint("total_area_m2 > 0", name="area"),
    CheckConstraint("mine_codes is null or cardinality(mine_codes) > 0", name="mines"),
    CheckConstraint("drawn_sha256 ~ '^[0-9a-f]{64}$'", name="drawn_sha256"),
    schema=SCHEMA,
    comment="Sampled checks of the year map: stratified random points inside mines, Olofsson et al. 2014",
)


def _assessment_column() -> Column[int]:
    return Column(
        "assessment_id",
        ForeignKey(assessment.c.assessment_id, ondelete="CASCADE"),
        nullable=False,
        comment="The assessment",
    )


assessment_stratum = Table(
    "assessment_stratum",
    metadata,
    key_column("assessment_stratum_id", "Key"),
    _assessment_column(),
    Column(
        "land_class_code",
        ForeignKey(land_class.c.land_class_code),
        comment="Class of the map, where strata are classes",
    ),
    Column(
        "damage_kind",
        Text,
        comment="excavated, occupied, subsided or undamaged, where strata are kinds of damage",
    ),
    Column(
        "area_m2", Double, nullable=False, comment="Mapped area when it was sampled, m2 (geodesic, WGS 84)"
    ),
    Column("sample_count", Integer, nullable=False, comment="Points drawn in it"),
    CheckConstraint("(land_class_code is null) <> (damage_kind is null)", name="stratum"),
    CheckConstraint("damage_kind in ('excavated', 'occupied', 'subsided', 'undamaged')", name="kind"),
    CheckConstraint("area_m2 > 0", name="area"),
    CheckConstraint("sample_count >= 2", name="sample_count"),
    Index("assessment_stratum_class_idx", "assessment_id", "land_class_code", unique=True),
    Index("assessment_stratum_kind_idx", "assessment_id", "damage_kind", unique=True),
    schema=SCHEMA,
    comment="Strata of an assessment: what the map shows, with its area and the points drawn in it",
)

sample_point = Table(
    "sample_point",
    metadata,
    key_column("sample_point_id", "Key"),
    _assessment_column(),
    Column(
        "assessment_stratum_id",
        ForeignKey(assessment_stratum.c.assessment_stratum_id, ondelete="CASCADE"),
        nullable=False,
        index=True,
        comment="The stratum it was drawn in; to be hidden from interpreters",
    ),
    Column(
        "number",
        Integer,
        nullable=False,
        comment="Number interpreters know it by, from 1; dealt at random, so that it tells no stratum",
    ),
    geometry_column("geom", "POINT", "Where it lies, EPSG:4326; drawn at random and not to be moved"),
    CheckConstraint("number >= 1", name="number"),
    Index("sample_point_number_idx", "assessment_id", "number", unique=True),
    spatial_index("sample_point", "geom"),
    schema=SCHEMA,
    comment="Random points whose true class interpreters tell; the mapped class is not shown, on purpose",
)


def _point_column() -> Column[int]:
    return Column(
        "sample_point_id",
        ForeignKey(sample_point.c.sample_point_id, ondelete="CASCADE"),
        nullable=False,
        comment="The point",
    )


def _answer_columns() -> tuple[Column[Any], ...]:
    return (
        Column(
            "land_class_code",
            ForeignKey(land_class.c.land_class_code),
            comment="Class the interpreter saw there (reference class); null: cannot tell",
        ),
        Column(
            "answered_on",
            Date,
            nullable=False,
            server_default=text("current_date"),
            comment="Day of the answer",
        ),
        Column("note", Text, comment="What the interpreter wants to be known"),
    )


sample_answer = Table(
    "sample_answer",
    metadata,
    key_column("sample_answer_id", "Key"),
    _point_column(),
    Column(
        "interpreter",
        Text,
        nullable=False,
        server_default=text("session_user"),
        comment="Who answered, each interpreter a point once; the database login, or whom the owner of the "
        "table imported it for",
    ),
    *_answer_columns(),
    Column(
        "entered_by",
        Text,
        nullable=False,
        server_default=text("session_user"),
        comment="Database login that stored it as it is; kept by trigger",
    ),
    moment_column("entered_at", "When it was stored as it is; kept by trigger", now=True),
    CheckConstraint("interpreter <> '' and interpreter = btrim(interpreter)", name="interpreter"),
    Index("sample_answer_interpreter_idx", "sample_point_id", "interpreter", unique=True),
    schema=SCHEMA,
    comment="What interpreters saw at sample points; filled by import, or in a GIS client through"
    " lode_api.sample_task",
)

sample_answer_past = Table(
    "sample_answer_past",
    metadata,
    key_column("sample_answer_past_id", "Key"),
    _point_column(),
    Column("interpreter", Text, nullable=False, comment="Who had answered"),
    *_answer_columns(),
    Column("entered_by", Text, nullable=False, comment="Database login that had stored it"),
    moment_column("entered_at", "When it had been stored", now=True),
    Column("ended_by", Text, nullable=False, comment="Database login that changed it or took it back"),
    moment_column("ended_at", "When it was changed or taken back", now=True),
    Column(
        "is_taken_back",
        Boolean,
        nullable=False,
        comment="It was deleted; false: the interpreter's next answer took its place",
    ),
    Index("sample_answer_past_point_idx", "sample_point_id", "interpreter"),
    schema=SCHEMA,
    comment="Answers at sample points that were changed or taken back, as they had been; kept by trigger, "
    "grows only and goes with its assessment",
)
