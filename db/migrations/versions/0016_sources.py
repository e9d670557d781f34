"""Sources that scenes come from on a schedule, and what was found in them.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of sources and items."""
    op.create_table(
        "ingest_source",
        sa.Column("ingest_source_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name people call it by"),
        sa.Column("kind", sa.Text(), nullable=False, comment="folder, stac_api or stac_catalogue"),
        sa.Column(
            "location",
            sa.Text(),
            nullable=False,
            comment="Absolute path of a folder or catalogue, or http(s) URL",
        ),
        sa.Column(
            "collections",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Only these STAC collections; empty: all",
        ),
        sa.Column(
            "options",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Options of `lode ingest scene` by name, e.g. sensor, offset, scale, bands, level, reference",
        ),
        sa.Column(
            "area",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=True,
            comment="Only scenes that meet it, EPSG:4326; null: that meet a mine",
        ),
        sa.Column(
            "mine_codes",
            sa.ARRAY(sa.Text()),
            nullable=True,
            comment="Only scenes that meet one of these mines; null: any, or the area",
        ),
        sa.Column(
            "cloud_limit",
            sa.Double(),
            nullable=True,
            comment="Only scenes said to be clouded no more than this, 0..1; null: any",
        ),
        sa.Column("from_day", sa.Date(), nullable=True, comment="Only scenes of this day (UTC) or later"),
        sa.Column("to_day", sa.Date(), nullable=True, comment="Only scenes of this day (UTC) or earlier"),
        sa.Column(
            "model_id", sa.Integer(), nullable=True, comment="Network that interprets them; null: none does"
        ),
        sa.Column(
            "becomes_current",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Its runs stand for their scenes even where another run does",
        ),
        sa.Column(
            "report_folder",
            sa.Text(),
            nullable=True,
            comment="Folder that reports are written to; null: none are",
        ),
        sa.Column(
            "cron",
            sa.Text(),
            nullable=True,
            comment="When it is looked through, five fields, UTC; null: only when asked",
        ),
        sa.Column(
            "enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False, comment="False: paused"
        ),
        sa.Column(
            "settle_s",
            sa.Integer(),
            server_default=sa.text("60"),
            nullable=False,
            comment="Folders: a file that changed within so many seconds is still being written",
        ),
        sa.Column(
            "next_scan_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it is due; null: the scheduler computes it",
        ),
        sa.Column(
            "last_scan_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was looked through last",
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="What went wrong then; null: nothing did"),
        sa.Column(
            "created_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who added it",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was added",
        ),
        sa.Column(
            "changed_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who last changed what work it makes; its runs count against the quota of this login",
        ),
        sa.CheckConstraint("jsonb_typeof(options) = 'object'", name=op.f("ingest_source_options_check")),
        sa.CheckConstraint(
            "kind in ('folder', 'stac_api', 'stac_catalogue')", name=op.f("ingest_source_kind_check")
        ),
        sa.CheckConstraint("cardinality(mine_codes) > 0", name=op.f("ingest_source_mine_codes_check")),
        sa.CheckConstraint(
            "cloud_limit >= 0 and cloud_limit <= 1", name=op.f("ingest_source_cloud_limit_check")
        ),
        sa.CheckConstraint("from_day <= to_day", name=op.f("ingest_source_days_check")),
        sa.CheckConstraint("settle_s >= 0 and settle_s <= 86400", name=op.f("ingest_source_settle_s_check")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["lode.model.model_id"], name=op.f("ingest_source_model_id_fkey")
        ),
        sa.PrimaryKeyConstraint("ingest_source_id", name=op.f("ingest_source_pkey")),
        sa.UniqueConstraint("name", name=op.f("ingest_source_name_key")),
        schema="lode",
        comment="Folders and catalogues that scenes come from by themselves",
    )
    op.create_index(
        "ingest_source_area_gist", "ingest_source", ["area"], schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "ingest_source_due_idx",
        "ingest_source",
        ["next_scan_at"],
        schema="lode",
        postgresql_where=sa.text("enabled and cron is not null"),
    )
    op.create_table(
        "ingest_item",
        sa.Column(
            "ingest_item_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("ingest_source_id", sa.Integer(), nullable=False, comment="The source"),
        sa.Column(
            "item_key",
            sa.Text(),
            nullable=False,
            comment="Collection and id of the STAC item, or path in the folder",
        ),
        sa.Column(
            "mark",
            sa.Text(),
            nullable=False,
            comment="Tells its content: another mark is another version of the item",
        ),
        sa.Column("href", sa.Text(), nullable=False, comment="Address of the item, or path in the folder"),
        sa.Column(
            "acquired_on", sa.Date(), nullable=True, comment="Day of acquisition as the catalogue says (UTC)"
        ),
        sa.Column(
            "footprint",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=True,
            comment="Outline as the catalogue says, then of the scene, EPSG:4326",
        ),
        sa.Column(
            "cloud_fraction", sa.Double(), nullable=True, comment="Share of cloud as the catalogue says, 0..1"
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default=sa.text("'found'"),
            nullable=False,
            comment="found, fetching, fetched, ingested, interpreting, published, reported, skipped or failed",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Times its ingest was started",
        ),
        sa.Column("token", sa.UUID(), nullable=True, comment="Right to store it; changes with every attempt"),
        sa.Column(
            "fetched_bytes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Bytes that lie here so far",
        ),
        sa.Column("sha256", sa.Text(), nullable=True, comment="SHA-256 of the scene's content"),
        sa.Column("scene_id", sa.Integer(), nullable=True, comment="The scene it became"),
        sa.Column("run_id", sa.Integer(), nullable=True, comment="Its interpretation"),
        sa.Column(
            "report",
            sa.Text(),
            nullable=True,
            comment="Folder of the report that tells of it, within the source's",
        ),
        sa.Column(
            "awaits_quota",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Its interpretation is asked for at a later look, when the quota of the source allows it",
        ),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="Why it was skipped, failed or waits, or why the last attempt ended",
        ),
        sa.Column(
            "found_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was found",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=True, comment="Start of the last attempt"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its worker last told how far it is",
        ),
        sa.Column(
            "ingested_at", sa.DateTime(timezone=True), nullable=True, comment="When its scene was stored"
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its interpretation was published",
        ),
        sa.Column(
            "reported_at", sa.DateTime(timezone=True), nullable=True, comment="When its report was complete"
        ),
        sa.CheckConstraint(
            "status in ('found', 'fetching', 'fetched', 'ingested', 'interpreting', 'published', 'reported', 'skipped', 'failed')",
            name=op.f("ingest_item_status_check"),
        ),
        sa.CheckConstraint(
            "status not in ('fetching', 'fetched') or token is not null", name=op.f("ingest_item_token_check")
        ),
        sa.CheckConstraint(
            "cloud_fraction >= 0 and cloud_fraction <= 1", name=op.f("ingest_item_cloud_fraction_check")
        ),
        sa.CheckConstraint(
            "length(item_key) >= 1 and length(item_key) <= 1000 and length(mark) <= 200",
            name=op.f("ingest_item_key_check"),
        ),
        sa.ForeignKeyConstraint(
            ["ingest_source_id"],
            ["lode.ingest_source.ingest_source_id"],
            name=op.f("ingest_item_ingest_source_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("ingest_item_run_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["scene_id"], ["lode.scene.scene_id"], name=op.f("ingest_item_scene_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("ingest_item_id", name=op.f("ingest_item_pkey")),
        schema="lode",
        comment="What was found in sources, each version of it once, and how far it came",
    )
    op.create_index(
        "ingest_item_footprint_gist", "ingest_item", ["footprint"], schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "ingest_item_identity_idx",
        "ingest_item",
        ["ingest_source_id", "item_key", "mark"],
        unique=True,
        schema="lode",
    )
    op.create_index(
        "ingest_item_open_idx",
        "ingest_item",
        ["ingest_source_id", "status"],
        schema="lode",
        postgresql_where=sa.text("status not in ('reported', 'skipped')"),
    )
    op.create_index("ingest_item_run_idx", "ingest_item", ["run_id"], schema="lode")
    op.create_index("ingest_item_scene_idx", "ingest_item", ["scene_id"], schema="lode")


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
