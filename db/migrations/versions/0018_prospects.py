"""Where ore may lie: study areas and evidence, geology as rasters, sets of patches, searches and targets.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry, Raster
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; that of prospects was never written to and is made anew."""
    op.drop_table("prospect", schema="lode")
    op.create_table(
        "evidence_area",
        sa.Column("evidence_area_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name people call it by"),
        sa.Column("srid", sa.Integer(), nullable=False, comment="EPSG code of the grid, in metres"),
        sa.Column("origin_x", sa.Double(), nullable=False, comment="West edge of the grid, units of srid"),
        sa.Column("origin_y", sa.Double(), nullable=False, comment="North edge of the grid, units of srid"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Cell width, m"),
        sa.Column("resolution_y_m", sa.Double(), nullable=False, comment="Cell height, m"),
        sa.Column("width_px", sa.Integer(), nullable=False, comment="Columns, cells"),
        sa.Column("height_px", sa.Integer(), nullable=False, comment="Rows, cells"),
        sa.Column(
            "geom",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Ground that is judged; outside of it nothing counts, EPSG:4326",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was made",
        ),
        sa.CheckConstraint(
            "resolution_m > 0 and resolution_y_m > 0 and width_px > 0 and height_px > 0",
            name=op.f("evidence_area_grid_check"),
        ),
        sa.CheckConstraint(
            "st_isvalid(geom) and not st_isempty(geom)", name=op.f("evidence_area_geom_check")
        ),
        sa.PrimaryKeyConstraint("evidence_area_id", name=op.f("evidence_area_pkey")),
        sa.UniqueConstraint("name", name=op.f("evidence_area_name_key")),
        schema="lode",
        comment="Study areas: one grid for all their evidence, and the ground that is judged",
    )
    op.create_index(
        "evidence_area_geom_gist",
        "evidence_area",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_table(
        "geology_raster",
        sa.Column(
            "geology_raster_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("srid", sa.Integer(), nullable=False, comment="EPSG code of the grid, in metres"),
        sa.Column("origin_x", sa.Double(), nullable=False, comment="West edge of the grid, units of srid"),
        sa.Column("origin_y", sa.Double(), nullable=False, comment="North edge of the grid, units of srid"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Cell width, m"),
        sa.Column("resolution_y_m", sa.Double(), nullable=False, comment="Cell height, m"),
        sa.Column("width_px", sa.Integer(), nullable=False, comment="Columns, cells"),
        sa.Column("height_px", sa.Integer(), nullable=False, comment="Rows, cells"),
        sa.Column("band_names", sa.ARRAY(sa.Text()), nullable=False, comment="What its bands hold, in order"),
        sa.Column(
            "parameters", postgresql.JSONB(), nullable=False, comment="Settings of proximity and density, m"
        ),
        sa.Column(
            "content_digest",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the grid, the settings, and the faults and plutons it was computed from",
        ),
        sa.Column("tile_table", sa.Text(), nullable=False, comment="Its tiles in lode_raster"),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was computed",
        ),
        sa.PrimaryKeyConstraint("geology_raster_id", name=op.f("geology_raster_pkey")),
        sa.UniqueConstraint("content_digest", name=op.f("geology_raster_content_digest_key")),
        sa.UniqueConstraint("tile_table", name=op.f("geology_raster_tile_table_key")),
        schema="lode",
        comment="Distances to faults and plutons as rasters, kept until the geology changes",
    )
    op.create_table(
        "evidence_tile",
        sa.Column("rid", sa.Integer(), nullable=False, comment="Tile number, counted along rows from 1"),
        sa.Column("evidence_layer_id", sa.Integer(), nullable=False, comment="The layer"),
        sa.Column(
            "rast",
            Raster(spatial_index=False),
            nullable=True,
            comment="Values on the grid of the study area; nodata: NaN",
        ),
        schema="lode_raster",
        comment="Layers of evidence; one partition a layer",
        postgresql_partition_by="LIST (evidence_layer_id)",
    )
    op.create_table(
        "geology_tile",
        sa.Column("rid", sa.Integer(), nullable=False, comment="Tile number, counted along rows from 1"),
        sa.Column(
            "geology_raster_id", sa.Integer(), nullable=False, comment="The rasters of one grid and geology"
        ),
        sa.Column(
            "rast",
            Raster(spatial_index=False),
            nullable=True,
            comment="One band each of geology_raster.band_names",
        ),
        schema="lode_raster",
        comment="Distances to faults and plutons; one partition a grid and state of the geology",
        postgresql_partition_by="LIST (geology_raster_id)",
    )
    op.create_table(
        "prospect_score",
        sa.Column("rid", sa.Integer(), nullable=False, comment="Tile number, counted along rows from 1"),
        sa.Column("prospect_run_id", sa.Integer(), nullable=False, comment="The search"),
        sa.Column(
            "rast",
            Raster(spatial_index=False),
            nullable=True,
            comment="One band each of prospect_run.band_names, 0..1",
        ),
        schema="lode_raster",
        comment="Scores of searches for ore; one partition a search",
        postgresql_partition_by="LIST (prospect_run_id)",
    )
    op.create_table(
        "evidence_layer",
        sa.Column(
            "evidence_layer_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column(
            "evidence_area_id", sa.Integer(), nullable=False, comment="The study area, on whose grid it lies"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Name within the area"),
        sa.Column("kind", sa.Text(), nullable=False, comment="geochemistry, geophysics, geology or spectral"),
        sa.Column(
            "element",
            sa.Text(),
            nullable=True,
            comment="Element or oxide it is the content of, e.g. Li, Fe2O3",
        ),
        sa.Column("unit", sa.Text(), nullable=True, comment="Unit of its values"),
        sa.Column("source_name", sa.Text(), nullable=False, comment="File it came from"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of that file"),
        sa.Column("resampling", sa.Text(), nullable=False, comment="How it was brought onto the grid"),
        sa.Column(
            "source_resolution_m",
            sa.Double(),
            nullable=True,
            comment="Cell width in the file, m; null: no raster in metres",
        ),
        sa.Column(
            "shift_x_px",
            sa.Double(),
            nullable=True,
            comment="How far its cells lay east of the grid's, in cells of the area, -0.5 to 0.5",
        ),
        sa.Column(
            "shift_y_px",
            sa.Double(),
            nullable=True,
            comment="How far its cells lay south of the grid's, in cells of the area, -0.5 to 0.5",
        ),
        sa.Column(
            "valid_fraction",
            sa.Double(),
            nullable=False,
            comment="Share of the judged ground with a value, 0..1",
        ),
        sa.Column("tile_table", sa.Text(), nullable=False, comment="Its tiles in lode_raster"),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was stored",
        ),
        sa.CheckConstraint(
            "kind in ('geochemistry', 'geophysics', 'geology', 'spectral')",
            name=op.f("evidence_layer_kind_check"),
        ),
        sa.CheckConstraint(
            "valid_fraction between 0 and 1", name=op.f("evidence_layer_valid_fraction_check")
        ),
        sa.ForeignKeyConstraint(
            ["evidence_area_id"],
            ["lode.evidence_area.evidence_area_id"],
            name=op.f("evidence_layer_evidence_area_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evidence_layer_id", name=op.f("evidence_layer_pkey")),
        sa.UniqueConstraint("tile_table", name=op.f("evidence_layer_tile_table_key")),
        schema="lode",
        comment="Layers of evidence for ore on the grid of their study area",
    )
    op.create_index(
        "evidence_layer_name_idx", "evidence_layer", ["evidence_area_id", "name"], unique=True, schema="lode"
    )
    op.create_table(
        "prospect_run",
        sa.Column("prospect_run_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("model_id", sa.Integer(), nullable=False, comment="The network"),
        sa.Column("scene_id", sa.Integer(), nullable=True, comment="The scene; null: an area"),
        sa.Column("evidence_area_id", sa.Integer(), nullable=True, comment="The study area; null: a scene"),
        sa.Column(
            "parameters",
            postgresql.JSONB(),
            nullable=False,
            comment="Stride, threshold, channels as they were matched",
        ),
        sa.Column(
            "content_digest",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of network, ground, geology and parameters: equal runs are one",
        ),
        sa.Column(
            "threshold",
            sa.Double(),
            nullable=False,
            comment="Probability from which a cell belongs to a target, 0..1",
        ),
        sa.Column("cell_m", sa.Double(), nullable=False, comment="Edge of the cells that were scored, m"),
        sa.Column("tile_table", sa.Text(), nullable=False, comment="Its scores in lode_raster"),
        sa.Column(
            "band_names", sa.ARRAY(sa.Text()), nullable=False, comment="Scores in that raster, in order"
        ),
        sa.Column(
            "figures",
            postgresql.JSONB(),
            nullable=False,
            comment="Cells, seconds of each stage, how far the features lie from those of training",
        ),
        sa.Column("device", sa.Text(), nullable=False, comment="What computed it"),
        sa.Column(
            "versions",
            postgresql.JSONB(),
            nullable=False,
            comment="Versions of the software that computed it",
        ),
        sa.Column(
            "published_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who published it",
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was published",
        ),
        sa.Column(
            "withdrawn_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was withdrawn; null: it stands",
        ),
        sa.Column("withdrawn_by", sa.Text(), nullable=True, comment="Who withdrew it"),
        sa.Column("withdrawn_reason", sa.Text(), nullable=True, comment="Why it was withdrawn"),
        sa.CheckConstraint(
            "num_nonnulls(scene_id, evidence_area_id) = 1", name=op.f("prospect_run_ground_check")
        ),
        sa.CheckConstraint("threshold between 0 and 1", name=op.f("prospect_run_threshold_check")),
        sa.CheckConstraint("cell_m > 0", name=op.f("prospect_run_cell_check")),
        sa.ForeignKeyConstraint(
            ["evidence_area_id"],
            ["lode.evidence_area.evidence_area_id"],
            name=op.f("prospect_run_evidence_area_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["lode.model.model_id"], name=op.f("prospect_run_model_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["scene_id"], ["lode.scene.scene_id"], name=op.f("prospect_run_scene_id_fkey")
        ),
        sa.PrimaryKeyConstraint("prospect_run_id", name=op.f("prospect_run_pkey")),
        sa.UniqueConstraint("tile_table", name=op.f("prospect_run_tile_table_key")),
        schema="lode",
        comment="Searches for ore that were published: a network over a scene or a study area",
    )
    op.create_index(
        "prospect_run_content_idx",
        "prospect_run",
        ["content_digest"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("withdrawn_at is null"),
    )
    op.create_index(
        op.f("prospect_run_evidence_area_id_idx"),
        "prospect_run",
        ["evidence_area_id"],
        unique=False,
        schema="lode",
    )
    op.create_index(
        op.f("prospect_run_model_id_idx"), "prospect_run", ["model_id"], unique=False, schema="lode"
    )
    op.create_index(
        op.f("prospect_run_scene_id_idx"), "prospect_run", ["scene_id"], unique=False, schema="lode"
    )
    op.create_table(
        "prospect_set",
        sa.Column("prospect_set_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("scene_id", sa.Integer(), nullable=True, comment="The scene; null: an area"),
        sa.Column("evidence_area_id", sa.Integer(), nullable=True, comment="The study area; null: a scene"),
        sa.Column("patch_px", sa.Integer(), nullable=False, comment="Edge of the patches, cells"),
        sa.Column(
            "spacing_m", sa.Double(), nullable=False, comment="Cell width: distance of neighbouring nodes, m"
        ),
        sa.Column(
            "channels",
            postgresql.JSONB(),
            nullable=False,
            comment="Inputs in order: name, kind (spectral, evidence or geology), center_nm of bands",
        ),
        sa.Column(
            "deposit_ids",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="Deposits that count, deposit.deposit_id",
        ),
        sa.Column("buffer_m", sa.Double(), nullable=False, comment="Ground so near a deposit is positive, m"),
        sa.Column(
            "positive_share",
            sa.Double(),
            nullable=False,
            comment="Share of a patch that must be positive for the patch to be",
        ),
        sa.Column(
            "split_rule",
            sa.Text(),
            nullable=False,
            comment="What is held out: blocks of ground, or all north or south of a parallel",
        ),
        sa.Column("seed", sa.Integer(), nullable=False, comment="Seed of split and drawing"),
        sa.Column(
            "geology_digest",
            sa.Text(),
            nullable=True,
            comment="Content of the geology rasters it was cut from; null: without them",
        ),
        sa.Column(
            "parameters",
            postgresql.JSONB(),
            nullable=False,
            comment="Blocks, gap, patches by part and label, what was left out and why, warnings",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was made",
        ),
        sa.CheckConstraint(
            "split_rule in ('block', 'north', 'south')", name=op.f("prospect_set_split_rule_check")
        ),
        sa.CheckConstraint(
            "num_nonnulls(scene_id, evidence_area_id) = 1", name=op.f("prospect_set_ground_check")
        ),
        sa.CheckConstraint(
            "patch_px >= 1 and spacing_m > 0 and buffer_m >= 0", name=op.f("prospect_set_sizes_check")
        ),
        sa.CheckConstraint(
            "positive_share > 0 and positive_share <= 1", name=op.f("prospect_set_positive_share_check")
        ),
        sa.ForeignKeyConstraint(
            ["evidence_area_id"],
            ["lode.evidence_area.evidence_area_id"],
            name=op.f("prospect_set_evidence_area_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["scene_id"], ["lode.scene.scene_id"], name=op.f("prospect_set_scene_id_fkey")
        ),
        sa.PrimaryKeyConstraint("prospect_set_id", name=op.f("prospect_set_pkey")),
        sa.UniqueConstraint("name", name=op.f("prospect_set_name_key")),
        schema="lode",
        comment="Sets of patches that networks learn from where ore lies",
    )
    op.create_index(
        op.f("prospect_set_evidence_area_id_idx"),
        "prospect_set",
        ["evidence_area_id"],
        unique=False,
        schema="lode",
    )
    op.create_index(
        op.f("prospect_set_scene_id_idx"), "prospect_set", ["scene_id"], unique=False, schema="lode"
    )
    op.create_table(
        "prospect_patch",
        sa.Column(
            "prospect_patch_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("prospect_set_id", sa.Integer(), nullable=False, comment="The set"),
        sa.Column("row_px", sa.Integer(), nullable=False, comment="First row on the grid, from 0"),
        sa.Column("col_px", sa.Integer(), nullable=False, comment="First column on the grid, from 0"),
        sa.Column("is_positive", sa.Boolean(), nullable=False, comment="Whether it counts as ore-bearing"),
        sa.Column(
            "positive_share", sa.Double(), nullable=False, comment="Share of its cells near a deposit, 0..1"
        ),
        sa.Column("split", sa.Text(), nullable=False, comment="train, validation or test"),
        sa.Column(
            "block_key", sa.Text(), nullable=False, comment="Block of ground that is held out as a whole"
        ),
        sa.Column(
            "geom",
            Geometry("POLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Outline, EPSG:4326",
        ),
        sa.CheckConstraint(
            "split in ('train', 'validation', 'test')", name=op.f("prospect_patch_split_check")
        ),
        sa.CheckConstraint(
            "positive_share between 0 and 1", name=op.f("prospect_patch_positive_share_check")
        ),
        sa.CheckConstraint("row_px >= 0 and col_px >= 0", name=op.f("prospect_patch_place_check")),
        sa.ForeignKeyConstraint(
            ["prospect_set_id"],
            ["lode.prospect_set.prospect_set_id"],
            name=op.f("prospect_patch_prospect_set_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prospect_patch_id", name=op.f("prospect_patch_pkey")),
        schema="lode",
        comment="Patches of a set with their label and the part they play; pixels stay in lode_raster",
    )
    op.create_index(
        "prospect_patch_geom_gist",
        "prospect_patch",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "prospect_patch_place_idx",
        "prospect_patch",
        ["prospect_set_id", "row_px", "col_px"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "prospect_target",
        sa.Column(
            "prospect_target_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("prospect_run_id", sa.Integer(), nullable=False, comment="The search"),
        sa.Column("rank", sa.Integer(), nullable=False, comment="1 is the first to be looked at"),
        sa.Column(
            "geom",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Connected cells from the threshold on, EPSG:4326",
        ),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Geodesic area on WGS 84, m2"),
        sa.Column("cells", sa.Integer(), nullable=False, comment="Cells it consists of"),
        sa.Column("mean_probability", sa.Double(), nullable=False, comment="Mean over its cells, 0..1"),
        sa.Column("highest_probability", sa.Double(), nullable=False, comment="Of its best cell, 0..1"),
        sa.Column(
            "fault_distance_m",
            sa.Double(),
            nullable=True,
            comment="To the nearest fault, m; null: none is mapped",
        ),
        sa.Column(
            "pluton_distance_m",
            sa.Double(),
            nullable=True,
            comment="To the nearest pluton, m, 0 inside; null: none is mapped",
        ),
        sa.Column(
            "deposit_distance_m",
            sa.Double(),
            nullable=True,
            comment="To the nearest known deposit, m; null: none is known",
        ),
        sa.Column("deposit_id", sa.Integer(), nullable=True, comment="That deposit"),
        sa.Column(
            "evidence",
            postgresql.JSONB(),
            nullable=False,
            comment="What speaks for it: name, value, unit, and how many deviations above its surroundings",
        ),
        sa.CheckConstraint(
            "mean_probability between 0 and 1", name=op.f("prospect_target_mean_probability_check")
        ),
        sa.CheckConstraint(
            "highest_probability between 0 and 1", name=op.f("prospect_target_highest_probability_check")
        ),
        sa.ForeignKeyConstraint(
            ["deposit_id"],
            ["lode.deposit.deposit_id"],
            name=op.f("prospect_target_deposit_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["prospect_run_id"],
            ["lode.prospect_run.prospect_run_id"],
            name=op.f("prospect_target_prospect_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prospect_target_id", name=op.f("prospect_target_pkey")),
        schema="lode",
        comment="Areas to look at in the field: connected cells of high probability, ranked",
    )
    op.create_index(
        op.f("prospect_target_deposit_id_idx"), "prospect_target", ["deposit_id"], unique=False, schema="lode"
    )
    op.create_index(
        "prospect_target_geom_gist",
        "prospect_target",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "prospect_target_rank_idx", "prospect_target", ["prospect_run_id", "rank"], unique=True, schema="lode"
    )
    op.add_column(
        "deposit",
        sa.Column(
            "body",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=True,
            comment="Mapped outline of the ore body, where known, EPSG:4326",
        ),
        schema="lode",
    )
    op.create_index(
        "deposit_body_gist", "deposit", ["body"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_check_constraint(
        op.f("deposit_body_check"),
        "deposit",
        "body is null or st_isvalid(body) and not st_isempty(body)",
        schema="lode",
    )
    op.create_table(
        "prospect",
        sa.Column("prospect_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("prospect_run_id", sa.Integer(), nullable=False, comment="The search"),
        sa.Column(
            "row_px", sa.Integer(), nullable=False, comment="Row of the cell among the cells scored, from 0"
        ),
        sa.Column(
            "col_px",
            sa.Integer(),
            nullable=False,
            comment="Column of the cell among the cells scored, from 0",
        ),
        sa.Column(
            "probability",
            sa.Double(),
            nullable=False,
            comment="Probability of ore, 0..1: mean over the patches that hold the cell",
        ),
        sa.Column(
            "rank",
            sa.Integer(),
            nullable=False,
            comment="1 is the most probable of its search; ties share it",
        ),
        sa.Column(
            "geom",
            Geometry("POLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="The cell, EPSG:4326",
        ),
        sa.CheckConstraint("probability between 0 and 1", name=op.f("prospect_probability_check")),
        sa.ForeignKeyConstraint(
            ["prospect_run_id"],
            ["lode.prospect_run.prospect_run_id"],
            name=op.f("prospect_prospect_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prospect_id", name=op.f("prospect_pkey")),
        schema="lode",
        comment="Where ore may lie: cells with their probability",
    )
    op.create_index(
        "prospect_geom_gist", "prospect", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "prospect_place_idx", "prospect", ["prospect_run_id", "row_px", "col_px"], unique=True, schema="lode"
    )
    op.alter_column(
        "tile_table",
        "parent",
        existing_type=sa.TEXT(),
        comment="Partitioned table it is for",
        existing_comment="scene_tile or probability",
        existing_nullable=False,
        schema="lode",
    )
    op.alter_column(
        "tile_table",
        "owner_id",
        existing_type=sa.INTEGER(),
        comment="The scene, run, layer, ... it is for",
        existing_comment="The scene or run",
        existing_nullable=False,
        schema="lode",
    )
    op.alter_column(
        "model_weights",
        "weights",
        existing_type=sa.LargeBinary(),
        comment="safetensors file, or skops of scikit-learn",
        existing_comment="safetensors file",
        existing_nullable=False,
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
