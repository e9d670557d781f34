"""Trained networks, their runs over scenes, and what was published from them."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.ground import land_class
from db.tables.scenes import scene

model = Table(
    "model",
    metadata,
    key_column("model_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name"),
    Column("task", Text, nullable=False, comment="segmentation, prospect, ..."),
    Column("architecture", Text, nullable=False, comment="Network, as build_network knows it"),
    Column("options", JSONB, nullable=False, comment="Options the network is built with (backbone, ...)"),
    Column("class_codes", ARRAY(Integer), nullable=False, comment="Class code of each output, in order"),
    Column(
        "mapped_codes",
        ARRAY(Integer),
        nullable=False,
        comment="Classes it had training labels for; it never answers another",
    ),
    Column("band_names", ARRAY(Text), nullable=False, comment="Input bands, in order"),
    Column("resolution_m", Double, nullable=False, comment="Pixel size it was trained on, m"),
    Column("tile_px", Integer, nullable=False, comment="Window edge it was trained on, pixels"),
    Column(
        "normalisation",
        JSONB,
        nullable=False,
        comment="Mean and standard deviation of each band, in the "
        "unit of the training scenes after offset and scale",
    ),
    Column("training", JSONB, nullable=False, comment="Settings, scenes, split and label counts"),
    Column("history", JSONB, nullable=False, comment="Loss and validation figures of each epoch"),
    Column("metrics", JSONB, nullable=False, comment="Figures on the test blocks, from one confusion matrix"),
    Column("versions", JSONB, nullable=False, comment="Versions of the software it was trained with"),
    moment_column("trained_at", "When it was stored", now=True),
    Column(
        "temperature",
        Double,
        nullable=False,
        server_default=text("1"),
        comment="What logits are divided by before the softmax, so that probabilities mean what they say",
    ),
    Column("licence", Text, comment="Terms under which the weights may be used; null: not stated"),
    moment_column("retired_at", "When it was taken out of service; it interprets no scene any more"),
    Column("retired_reason", Text, comment="Why it was taken out of service"),
    CheckConstraint("temperature > 0 and temperature < 'infinity'::double precision", name="temperature"),
    schema=SCHEMA,
    comment="Trained networks",
)

model_weights = Table(
    "model_weights",
    metadata,
    Column(
        "model_id",
        ForeignKey(model.c.model_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The network",
    ),
    Column("sha256", Text, nullable=False, comment="SHA-256 of weights"),
    Column("weights", LargeBinary, nullable=False, comment="safetensors file, or skops of scikit-learn"),
    schema=SCHEMA,
    comment="Weights of the trained networks",
)

run = Table(
    "run",
    metadata,
    key_column("run_id", "Key"),
    Column("scene_id", ForeignKey(scene.c.scene_id), nullable=False, comment="The scene"),
    Column("model_id", ForeignKey(model.c.model_id), nullable=False, index=True, comment="The network"),
    Column("parameters", JSONB, nullable=False, comment="Settings of the interpretation"),
    Column("parameters_digest", Text, nullable=False, comment="SHA-256 of parameters"),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=text("'requested'"),
        comment="requested, running, published, failed, cancelled or withdrawn",
    ),
    Column(
        "is_current",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Its polygons stand for the scene in maps and areas",
    ),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="Times it was started"),
    Column("token", UUID(as_uuid=True), comment="Right to publish; changes with every attempt"),
    Column(
        "priority",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="Analyst's choice in the year map: where runs overlap the higher one owns the ground",
    ),
    Column(
        "becomes_current",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Stands for its scene when it is published, even if another run does",
    ),
    Column("requested_by", Text, nullable=False, server_default=text("session_user"), comment="Who asked"),
    moment_column("requested_at", "When it was asked for", now=True),
    moment_column(
        "queued_at", "When it was put into the queue; null: whoever asked computes it (lode infer)"
    ),
    moment_column("started_at", "Start of the last attempt"),
    moment_column("finished_at", "When it was published or failed"),
    Column("device", Text, comment="What computed it"),
    Column("versions", JSONB, comment="Versions of the software that computed it"),
    Column("figures", JSONB, comment="Pixels, patches, seconds of each stage"),
    Column("error", Text, comment="Why the last attempt failed"),
    moment_column("withdrawn_at", "When it was withdrawn from maps and areas; null: it was not"),
    Column("withdrawn_by", Text, comment="Who withdrew it"),
    Column("withdrawn_reason", Text, comment="Why it was withdrawn"),
    CheckConstraint(
        "status in ('requested', 'running', 'published', 'failed', 'cancelled', 'withdrawn')", name="status"
    ),
    CheckConstraint("not is_current or status = 'published'", name="current"),
    CheckConstraint("status <> 'running' or token is not null", name="token"),
    CheckConstraint("withdrawn_at is null or status = 'withdrawn'", name="withdrawn"),
    Index("run_identity_idx", "scene_id", "model_id", "parameters_digest", unique=True),
    Index("run_current_idx", "scene_id", unique=True, postgresql_where=text("is_current")),
    Index(
        "run_pending_idx",
        "requested_by",
        postgresql_where=text("status in ('requested', 'running')"),
    ),
    Index("run_requested_idx", "requested_by", "requested_at"),
    schema=SCHEMA,
    comment="Interpretations of a scene by a network",
)

landcover = Table(
    "landcover",
    metadata,
    key_column("landcover_id", "Key", big=True),
    Column("run_id", ForeignKey(run.c.run_id, ondelete="CASCADE"), nullable=False, comment="The run"),
    Column("land_class_code", ForeignKey(land_class.c.land_class_code), nullable=False, comment="Class"),
    geometry_column("geom", "MULTIPOLYGON", "Outline, EPSG:4326; neighbours share their vertices"),
    Column("area_m2", Double, nullable=False, comment="Geodesic area on WGS 84, m2"),
    Column("mean_probability", Double, comment="Mean probability of the class over the patch, 0..1"),
    Column("start_date", Date, nullable=False, comment="First day of the year it stands for"),
    Column("end_date", Date, nullable=False, comment="First day of the next year (excluded)"),
    CheckConstraint("area_m2 > 0", name="area"),
    CheckConstraint("start_date < end_date", name="dates"),
    Index("landcover_run_id_idx", "run_id"),
    spatial_index("landcover", "geom"),
    schema=SCHEMA,
    comment="Published polygons of land cover",
)

observation = Table(
    "observation",
    metadata,
    Column(
        "run_id",
        ForeignKey(run.c.run_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The run",
    ),
    Column("year", Integer, nullable=False, comment="Year of acquisition"),
    geometry_column("geom", "MULTIPOLYGON", "What the run saw: valid pixels, EPSG:4326"),
    Column("area_m2", Double, nullable=False, comment="Geodesic area of geom on WGS 84, m2"),
    geometry_column(
        "owned",
        "MULTIPOLYGON",
        "The part of geom that counts in the year map, EPSG:4326; null while the run is not current",
        nullable=True,
    ),
    Column("owned_area_m2", Double, comment="Geodesic area of owned on WGS 84, m2"),
    Index("observation_year_idx", "year"),
    spatial_index("observation", "geom"),
    schema=SCHEMA,
    comment="What each run really observed, and which part of it counts in its year",
)
