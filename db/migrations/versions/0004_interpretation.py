"""Networks, runs and what they publish.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry, Raster
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Networks, runs and what they publish."""
    op.create_table(
        "model",
        sa.Column("model_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("task", sa.Text(), nullable=False, comment="segmentation, prospect, ..."),
        sa.Column("architecture", sa.Text(), nullable=False, comment="Network, as build_network knows it"),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Options the network is built with (backbone, ...)",
        ),
        sa.Column(
            "class_codes",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="Class code of each output, in order",
        ),
        sa.Column(
            "mapped_codes",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="Classes it had training labels for; it never answers another",
        ),
        sa.Column("band_names", sa.ARRAY(sa.Text()), nullable=False, comment="Input bands, in order"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Pixel size it was trained on, m"),
        sa.Column("tile_px", sa.Integer(), nullable=False, comment="Window edge it was trained on, pixels"),
        sa.Column(
            "normalisation",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Mean and standard deviation of each band, in the unit of the training scenes after offset and scale",
        ),
        sa.Column(
            "training",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Settings, scenes, split and label counts",
        ),
        sa.Column(
            "history",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Loss and validation figures of each epoch",
        ),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Figures on the test blocks, from one confusion matrix",
        ),
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Versions of the software it was trained with",
        ),
        sa.Column(
            "trained_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was stored",
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("model_pkey")),
        sa.UniqueConstraint("name", name=op.f("model_name_key")),
        schema="lode",
        comment="Trained networks",
    )
    op.create_table(
        "model_weights",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False, comment="The network"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of weights"),
        sa.Column("weights", sa.LargeBinary(), nullable=False, comment="safetensors file"),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["lode.model.model_id"],
            name=op.f("model_weights_model_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("model_weights_pkey")),
        schema="lode",
        comment="Weights of the trained networks",
    )
    op.create_table(
        "run",
        sa.Column("run_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("scene_id", sa.Integer(), nullable=False, comment="The scene"),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="The network"),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Settings of the interpretation",
        ),
        sa.Column("parameters_digest", sa.Text(), nullable=False, comment="SHA-256 of parameters"),
        sa.Column(
            "status",
            sa.Text(),
            server_default=sa.text("'requested'"),
            nullable=False,
            comment="requested, running, published, failed or withdrawn",
        ),
        sa.Column(
            "is_current",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Its polygons stand for the scene in maps and areas",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Times it was started",
        ),
        sa.Column("token", sa.UUID(), nullable=True, comment="Right to publish; changes with every attempt"),
        sa.Column(
            "requested_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who asked",
        ),
        sa.Column(
            "requested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was asked for",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=True, comment="Start of the last attempt"
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was published or failed",
        ),
        sa.Column("device", sa.Text(), nullable=True, comment="What computed it"),
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Versions of the software that computed it",
        ),
        sa.Column(
            "figures",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Pixels, patches, seconds of each stage",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why the last attempt failed"),
        sa.CheckConstraint("not is_current or status = 'published'", name=op.f("run_current_check")),
        sa.CheckConstraint("status <> 'running' or token is not null", name=op.f("run_token_check")),
        sa.CheckConstraint(
            "status in ('requested', 'running', 'published', 'failed', 'withdrawn')",
            name=op.f("run_status_check"),
        ),
        sa.ForeignKeyConstraint(["model_id"], ["lode.model.model_id"], name=op.f("run_model_id_fkey")),
        sa.ForeignKeyConstraint(["scene_id"], ["lode.scene.scene_id"], name=op.f("run_scene_id_fkey")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("run_pkey")),
        schema="lode",
        comment="Interpretations of a scene by a network",
    )
    op.create_index(
        "run_current_idx",
        "run",
        ["scene_id"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("is_current"),
    )
    op.create_index(
        "run_identity_idx", "run", ["scene_id", "model_id", "parameters_digest"], unique=True, schema="lode"
    )
    op.create_index(op.f("run_model_id_idx"), "run", ["model_id"], unique=False, schema="lode")
    op.create_table(
        "landcover",
        sa.Column("landcover_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="The run"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "geom",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="Outline, EPSG:4326; neighbours share their vertices",
        ),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Geodesic area on WGS 84, m2"),
        sa.Column(
            "mean_probability",
            sa.Double(),
            nullable=True,
            comment="Mean probability of the class over the patch, 0..1",
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day of the year it stands for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day of the next year (excluded)"),
        sa.CheckConstraint("area_m2 > 0", name=op.f("landcover_area_check")),
        sa.CheckConstraint("start_date < end_date", name=op.f("landcover_dates_check")),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("landcover_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("landcover_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("landcover_id", name=op.f("landcover_pkey")),
        schema="lode",
        comment="Published polygons of land cover",
    )
    op.create_index(
        "landcover_geom_gist", "landcover", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index("landcover_run_id_idx", "landcover", ["run_id"], unique=False, schema="lode")
    op.create_table(
        "observation",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False, comment="The run"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year of acquisition"),
        sa.Column(
            "geom",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="What the run saw: valid pixels, EPSG:4326",
        ),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Geodesic area of geom on WGS 84, m2"),
        sa.Column(
            "owned",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
            comment="The part of geom that counts in the year map, EPSG:4326; null while the run is not current",
        ),
        sa.Column(
            "owned_area_m2", sa.Double(), nullable=True, comment="Geodesic area of owned on WGS 84, m2"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("observation_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("observation_pkey")),
        schema="lode",
        comment="What each run really observed, and which part of it counts in its year",
    )
    op.create_index(
        "observation_geom_gist", "observation", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index("observation_year_idx", "observation", ["year"], unique=False, schema="lode")
    op.create_table(
        "mine_year",
        sa.Column("mine_year_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("boundary_area_m2", sa.Double(), nullable=False, comment="Geodesic area of the mine, m2"),
        sa.Column(
            "observed_area_m2",
            sa.Double(),
            nullable=False,
            comment="Part of it that current runs observed, m2",
        ),
        sa.CheckConstraint(
            "boundary_area_m2 > 0 and observed_area_m2 >= 0", name=op.f("mine_year_areas_check")
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_year_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_year_id", name=op.f("mine_year_pkey")),
        schema="lode",
        comment="How much of each mine was observed in each year; derived at publication",
    )
    op.create_index("mine_year_mine_year_idx", "mine_year", ["mine_id", "year"], unique=True, schema="lode")
    op.create_table(
        "mine_area",
        sa.Column("mine_area_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_year_id", sa.Integer(), nullable=False, comment="The mine and year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "area_m2", sa.Double(), nullable=False, comment="Geodesic area of the class inside the mine, m2"
        ),
        sa.Column(
            "exclusive_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of it outside every mine of smaller code, m2; sums over mines count no ground twice",
        ),
        sa.CheckConstraint("exclusive_area_m2 >= 0 and area_m2 >= 0", name=op.f("mine_area_areas_check")),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("mine_area_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["mine_year_id"],
            ["lode.mine_year.mine_year_id"],
            name=op.f("mine_area_mine_year_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("mine_area_id", name=op.f("mine_area_pkey")),
        schema="lode",
        comment="Area by mine, year and class; derived at publication from landcover",
    )
    op.create_index(
        "mine_area_mine_year_class_idx",
        "mine_area",
        ["mine_year_id", "land_class_code"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "mine_change",
        sa.Column(
            "mine_change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("from_year", sa.Integer(), nullable=False, comment="Earlier year"),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Later year"),
        sa.Column(
            "damage_kind", sa.Text(), nullable=False, comment="excavated, occupied, subsided, or any of them"
        ),
        sa.Column("new_area_m2", sa.Double(), nullable=False, comment="Damaged in the later year only, m2"),
        sa.Column(
            "treated_area_m2", sa.Double(), nullable=False, comment="Damaged in the earlier year only, m2"
        ),
        sa.Column("persisting_area_m2", sa.Double(), nullable=False, comment="Damaged in both years, m2"),
        sa.Column(
            "unobserved_area_m2", sa.Double(), nullable=False, comment="Not observed in both years, m2"
        ),
        sa.CheckConstraint("from_year < to_year", name=op.f("mine_change_years_check")),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_change_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_change_id", name=op.f("mine_change_pkey")),
        schema="lode",
        comment="Change by mine, pair of years and kind, over what both years observed",
    )
    op.create_index(
        "mine_change_pair_idx",
        "mine_change",
        ["mine_id", "from_year", "to_year", "damage_kind"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "prospect",
        sa.Column("prospect_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="The run"),
        sa.Column(
            "geom",
            Geometry(
                geometry_type="POLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="Patch or cell, EPSG:4326",
        ),
        sa.Column("probability", sa.Double(), nullable=False, comment="Probability of ore, 0..1"),
        sa.Column("rank", sa.Integer(), nullable=False, comment="1 is the most probable of its run"),
        sa.CheckConstraint("probability between 0 and 1", name=op.f("prospect_probability_check")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("prospect_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("prospect_id", name=op.f("prospect_pkey")),
        schema="lode",
        comment="Where ore may lie: patches with their probability",
    )
    op.create_index(
        "prospect_geom_gist", "prospect", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(op.f("prospect_run_id_idx"), "prospect", ["run_id"], unique=False, schema="lode")
    op.create_table(
        "probability",
        sa.Column("rid", sa.Integer(), nullable=False, comment="Tile number, counted along rows from 1"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="The run"),
        sa.Column(
            "rast",
            Raster(spatial_index=False, from_text="raster", name="raster"),
            nullable=True,
            comment="One band a class of the model: probability * 200, nodata 255, on the scene's grid",
        ),
        schema="lode_raster",
        comment="Class probabilities of published runs; one partition a run",
        postgresql_partition_by="LIST (run_id)",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
