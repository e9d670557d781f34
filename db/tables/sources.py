"""Where scenes come from by themselves: sources that are looked through on a schedule, and what was found."""

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
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column
from db.tables.interpretation import model, run
from db.tables.scenes import scene

ingest_source = Table(
    "ingest_source",
    metadata,
    key_column("ingest_source_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name people call it by"),
    Column("kind", Text, nullable=False, comment="folder, stac_api or stac_catalogue"),
    Column(
        "location", Text, nullable=False, comment="Absolute path of a folder or catalogue, or http(s) URL"
    ),
    Column(
        "collections",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Only these STAC collections; empty: all",
    ),
    Column(
        "options",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="Options of `lode ingest scene` by name, e.g. sensor, offset, scale, bands, level, reference",
    ),
    geometry_column(
        "area", "MULTIPOLYGON", "Only scenes that meet it, EPSG:4326; null: that meet a mine", nullable=True
    ),
    Column(
        "mine_codes", ARRAY(Text), comment="Only scenes that meet one of these mines; null: any, or the area"
    ),
    Column(
        "cloud_limit", Double, comment="Only scenes said to be clouded no more than this, 0..1; null: any"
    ),
    Column("from_day", Date, comment="Only scenes of this day (UTC) or later"),
    Column("to_day", Date, comment="Only scenes of this day (UTC) or earlier"),
    Column("model_id", ForeignKey(model.c.model_id), comment="Network that interprets them; null: none does"),
    Column(
        "becomes_current",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Its runs stand for their scenes even where another run does",
    ),
    Column("report_folder", Text, comment="Folder that reports are written to; null: none are"),
    Column("cron", Text, comment="When it is looked through, five fields, UTC; null: only when asked"),
    Column("enabled", Boolean, nullable=False, server_default=text("true"), comment="False: paused"),
    Column(
        "settle_s",
        Integer,
        nullable=False,
        server_default=text("60"),
        comment="Folders: a file that changed within so many seconds is still being written",
    ),
    moment_column("next_scan_at", "When it is due; null: the scheduler computes it"),
    moment_column("last_scan_at", "When it was looked through last"),
    Column("last_error", Text, comment="What went wrong then; null: nothing did"),
    Column("created_by", Text, nullable=False, server_default=text("session_user"), comment="Who added it"),
    moment_column("created_at", "When it was added", now=True),
    Column(
        "changed_by",
        Text,
        nullable=False,
        server_default=text("session_user"),
        comment="Who last changed what work it makes; its runs count against the quota of this login",
    ),
    CheckConstraint("kind in ('folder', 'stac_api', 'stac_catalogue')", name="kind"),
    CheckConstraint("jsonb_typeof(options) = 'object'", name="options"),
    CheckConstraint("cloud_limit >= 0 and cloud_limit <= 1", name="cloud_limit"),
    CheckConstraint("from_day <= to_day", name="days"),
    CheckConstraint("settle_s >= 0 and settle_s <= 86400", name="settle_s"),
    CheckConstraint("cardinality(mine_codes) > 0", name="mine_codes"),
    Index(
        "ingest_source_due_idx",
        "next_scan_at",
        postgresql_where=text("enabled and cron is not null"),
    ),
    Index("ingest_source_area_gist", "area", postgresql_using="gist"),
    schema=SCHEMA,
    comment="Folders and catalogues that scenes come from by themselves",
)

ingest_item = Table(
    "ingest_item",
    metadata,
    key_column("ingest_item_id", "Key", big=True),
    Column(
        "ingest_source_id",
        ForeignKey(ingest_source.c.ingest_source_id, ondelete="CASCADE"),
        nullable=False,
        comment="The source",
    ),
    Column(
        "item_key", Text, nullable=False, comment="Collection and id of the STAC item, or path in the folder"
    ),
    Column(
        "mark", Text, nullable=False, comment="Tells its content: another mark is another version of the item"
    ),
    Column("href", Text, nullable=False, comment="Address of the item, or path in the folder"),
    Column("acquired_on", Date, comment="Day of acquisition as the catalogue says (UTC)"),
    geometry_column(
        "footprint",
        "MULTIPOLYGON",
        "Outline as the catalogue says, then of the scene, EPSG:4326",
        nullable=True,
    ),
    Column("cloud_fraction", Double, comment="Share of cloud as the catalogue says, 0..1"),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=text("'found'"),
        comment="found, fetching, fetched, ingested, interpreting, published, reported, skipped or failed",
    ),
    Column(
        "attempt", Integer, nullable=False, server_default=text("0"), comment="Times its ingest was started"
    ),
    Column("token", UUID(as_uuid=True), comment="Right to store it; changes with every attempt"),
    Column(
        "fetched_bytes",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="Bytes that lie here so far",
    ),
    Column("sha256", Text, comment="SHA-256 of the scene's content"),
    Column("scene_id", ForeignKey(scene.c.scene_id, ondelete="SET NULL"), comment="The scene it became"),
    Column("run_id", ForeignKey(run.c.run_id, ondelete="SET NULL"), comment="Its interpretation"),
    Column("report", Text, comment="Folder of the report that tells of it, within the source's"),
    Column(
        "awaits_quota",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="Its interpretation is asked for at a later look, when the quota of the source allows it",
    ),
    Column("error", Text, comment="Why it was skipped, failed or waits, or why the last attempt ended"),
    moment_column("found_at", "When it was found", now=True),
    moment_column("started_at", "Start of the last attempt"),
    moment_column("updated_at", "When its worker last told how far it is"),
    moment_column("ingested_at", "When its scene was stored"),
    moment_column("published_at", "When its interpretation was published"),
    moment_column("reported_at", "When its report was complete"),
    CheckConstraint(
        "status in ('found', 'fetching', 'fetched', 'ingested', 'interpreting', 'published', 'reported',"
        " 'skipped', 'failed')",
        name="status",
    ),
    CheckConstraint("cloud_fraction >= 0 and cloud_fraction <= 1", name="cloud_fraction"),
    CheckConstraint("status not in ('fetching', 'fetched') or token is not null", name="token"),
    CheckConstraint("length(item_key) >= 1 and length(item_key) <= 1000 and length(mark) <= 200", name="key"),
    Index("ingest_item_identity_idx", "ingest_source_id", "item_key", "mark", unique=True),
    Index(
        "ingest_item_open_idx",
        "ingest_source_id",
        "status",
        postgresql_where=text("status not in ('reported', 'skipped')"),
    ),
    Index("ingest_item_scene_idx", "scene_id"),
    Index("ingest_item_run_idx", "run_id"),
    Index("ingest_item_footprint_gist", "footprint", postgresql_using="gist"),
    schema=SCHEMA,
    comment="What was found in sources, each version of it once, and how far it came",
)
