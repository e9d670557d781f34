"""Sample sets: where the windows lie that networks are trained, validated and tested on.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INTEGERS = sa.ARRAY(sa.Integer())


def upgrade() -> None:
    """Make sample_set and sample."""
    op.create_table(
        "sample_set",
        sa.Column("sample_set_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("tile_px", sa.Integer(), nullable=False, comment="Edge of the windows, pixels"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Pixel size of the first scene, m"),
        sa.Column(
            "class_codes", _INTEGERS, nullable=False, comment="Classes counted in each sample, in order"
        ),
        sa.Column(
            "split_rule",
            sa.Text(),
            nullable=False,
            comment="What is held out as a whole: mines, blocks of ground, or scenes that overlap",
        ),
        sa.Column("seed", sa.Integer(), nullable=False, comment="Seed of the split"),
        sa.Column(
            "gap_m",
            sa.Double(),
            nullable=False,
            comment="Ground left between samples of different parts, m, at least",
        ),
        sa.Column("scene_ids", _INTEGERS, nullable=False, comment="Scenes it was cut from, scene.scene_id"),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Blocks, share of each part, what was left out and why, warnings",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was made",
        ),
        sa.CheckConstraint(
            "tile_px >= 1 and resolution_m > 0 and gap_m >= 0", name=op.f("sample_set_sizes_check")
        ),
        sa.CheckConstraint(
            "split_rule in ('mine', 'block', 'scene')", name=op.f("sample_set_split_rule_check")
        ),
        sa.PrimaryKeyConstraint("sample_set_id", name=op.f("sample_set_pkey")),
        sa.UniqueConstraint("name", name=op.f("sample_set_name_key")),
        schema="lode",
        comment="Sets of windows that networks are trained, validated and tested on",
    )
    op.create_table(
        "sample",
        sa.Column("sample_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("sample_set_id", sa.Integer(), nullable=False, comment="The set"),
        sa.Column("scene_id", sa.Integer(), nullable=False, comment="The scene it is read from"),
        sa.Column("row_px", sa.Integer(), nullable=False, comment="First row in the scene, from 0"),
        sa.Column("col_px", sa.Integer(), nullable=False, comment="First column in the scene, from 0"),
        sa.Column("height_px", sa.Integer(), nullable=False, comment="Rows, pixels"),
        sa.Column("width_px", sa.Integer(), nullable=False, comment="Columns, pixels"),
        sa.Column("split", sa.Text(), nullable=False, comment="train, validation or test"),
        sa.Column(
            "group_key", sa.Text(), nullable=False, comment="Mine, block or scenes held out as a whole"
        ),
        sa.Column(
            "label_ids",
            _INTEGERS,
            nullable=False,
            comment="Labels whose pixels count here, label.label_id; others belong to another part",
        ),
        sa.Column(
            "class_pixels",
            _INTEGERS,
            nullable=False,
            comment="Labelled pixels of each class of sample_set.class_codes",
        ),
        sa.Column(
            "own_class_pixels",
            _INTEGERS,
            nullable=False,
            comment="Of class_pixels those that no sample of smaller key on the same scene holds: sums count no pixel twice",
        ),
        sa.Column(
            "geom",
            Geometry("POLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Outline, EPSG:4326",
        ),
        sa.CheckConstraint("split in ('train', 'validation', 'test')", name=op.f("sample_split_check")),
        sa.CheckConstraint(
            "row_px >= 0 and col_px >= 0 and height_px >= 1 and width_px >= 1",
            name=op.f("sample_window_check"),
        ),
        sa.CheckConstraint(
            "cardinality(class_pixels) = cardinality(own_class_pixels)", name=op.f("sample_pixels_check")
        ),
        sa.ForeignKeyConstraint(
            ["sample_set_id"],
            ["lode.sample_set.sample_set_id"],
            name=op.f("sample_sample_set_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["scene_id"], ["lode.scene.scene_id"], name=op.f("sample_scene_id_fkey")),
        sa.PrimaryKeyConstraint("sample_id", name=op.f("sample_pkey")),
        schema="lode",
        comment="Windows of scenes with the part they play; pixels stay in lode_raster",
    )
    op.create_index(
        "sample_geom_gist", "sample", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index("sample_scene_id_idx", "sample", ["scene_id"], unique=False, schema="lode")
    op.create_index(
        "sample_set_window_idx",
        "sample",
        ["sample_set_id", "scene_id", "row_px", "col_px"],
        unique=True,
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
