"""What people drew: classes, mines, labels and geology.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What people drew: classes, mines, labels and geology."""
    op.create_table(
        "land_class",
        sa.Column(
            "land_class_code", sa.Integer(), autoincrement=False, nullable=False, comment="Code, as in maps"
        ),
        sa.Column("key", sa.Text(), nullable=False, comment="English key, e.g. open_pit"),
        sa.Column("name", sa.Text(), nullable=False, comment="English name"),
        sa.Column("name_zh", sa.Text(), nullable=False, comment="Chinese name"),
        sa.Column(
            "damage_kind",
            sa.Text(),
            nullable=False,
            comment="Legal kind of damage: excavated, occupied, subsided, treated or none",
        ),
        sa.Column(
            "occupation_type",
            sa.Text(),
            nullable=True,
            comment="Occupation type of monitoring practice: pit, transfer_yard, solid_waste or building",
        ),
        sa.Column("colour", sa.Text(), nullable=False, comment="Map colour, #rrggbb"),
        sa.Column(
            "is_mapped",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Networks can find the class; otherwise only labels hold it",
        ),
        sa.Column(
            "min_patch_m2",
            sa.Double(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Smallest mapped patch, m2; smaller ones join their neighbour",
        ),
        sa.CheckConstraint("colour ~ '^#[0-9a-f]{6}$'", name=op.f("land_class_colour_check")),
        sa.CheckConstraint(
            "damage_kind in ('excavated', 'occupied', 'subsided', 'treated', 'none')",
            name=op.f("land_class_kind_check"),
        ),
        sa.CheckConstraint("land_class_code between 0 and 254", name=op.f("land_class_code_check")),
        sa.CheckConstraint("min_patch_m2 >= 0", name=op.f("land_class_min_patch_check")),
        sa.PrimaryKeyConstraint("land_class_code", name=op.f("land_class_pkey")),
        sa.UniqueConstraint("key", name=op.f("land_class_key_key")),
        schema="lode",
        comment="Classes of land cover with their legal kind of damage",
    )
    op.create_table(
        "feature_source",
        sa.Column(
            "feature_source_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="labels, mines, faults, plutons or deposits"),
        sa.Column("name", sa.Text(), nullable=False, comment="File name (and layer)"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the file"),
        sa.Column(
            "options_digest", sa.Text(), nullable=False, comment="SHA-256 of the options it was read with"
        ),
        sa.Column("feature_count", sa.Integer(), nullable=False, comment="Features stored"),
        sa.Column(
            "repaired_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Features whose geometry was repaired on request",
        ),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was stored",
        ),
        sa.CheckConstraint(
            "kind in ('labels', 'mines', 'faults', 'plutons', 'deposits')",
            name=op.f("feature_source_kind_check"),
        ),
        sa.PrimaryKeyConstraint("feature_source_id", name=op.f("feature_source_pkey")),
        schema="lode",
        comment="Files that features were read from",
    )
    op.create_index(
        "feature_source_content_idx",
        "feature_source",
        ["kind", "sha256", "options_digest"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "mine",
        sa.Column("mine_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("code", sa.Text(), nullable=False, comment="Official code"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("mineral", sa.Text(), nullable=True, comment="What is mined"),
        sa.Column("mining_method", sa.Text(), nullable=True, comment="open_cast, underground, ..."),
        sa.Column(
            "boundary",
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
            comment="Area the mine answers for, EPSG:4326",
        ),
        sa.Column(
            "licence_boundary",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
            comment="Licensed area, EPSG:4326",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint(
            "licence_boundary is null or st_isvalid(licence_boundary)",
            name=op.f("mine_licence_boundary_check"),
        ),
        sa.CheckConstraint(
            "st_isvalid(boundary) and not st_isempty(boundary)", name=op.f("mine_boundary_check")
        ),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("mine_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("mine_id", name=op.f("mine_pkey")),
        sa.UniqueConstraint("code", name=op.f("mine_code_key")),
        schema="lode",
        comment="Mines",
    )
    op.create_index(
        "mine_boundary_gist", "mine", ["boundary"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        op.f("mine_feature_source_id_idx"), "mine", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "mine_licence_boundary_gist",
        "mine",
        ["licence_boundary"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_table(
        "label",
        sa.Column("label_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
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
            comment="Outline as interpreted, EPSG:4326",
        ),
        sa.Column("valid_on", sa.Date(), nullable=False, comment="Day of the image or visit it describes"),
        sa.Column(
            "scene_id",
            sa.Integer(),
            nullable=True,
            comment="The scene it was drawn on; null: holds for every scene of that year",
        ),
        sa.Column("interpreter", sa.Text(), nullable=True, comment="Who drew it"),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name=op.f("label_geom_check")),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("label_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"], ["lode.land_class.land_class_code"], name=op.f("label_land_class_code_fkey")
        ),
        sa.ForeignKeyConstraint(["scene_id"], ["lode.scene.scene_id"], name=op.f("label_scene_id_fkey")),
        sa.PrimaryKeyConstraint("label_id", name=op.f("label_pkey")),
        schema="lode",
        comment="Polygons of known class, drawn by interpreters",
    )
    op.create_index(
        op.f("label_feature_source_id_idx"), "label", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "label_geom_gist", "label", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(op.f("label_scene_id_idx"), "label", ["scene_id"], unique=False, schema="lode")
    op.create_index("label_valid_on_idx", "label", ["valid_on"], unique=False, schema="lode")
    op.create_table(
        "fault",
        sa.Column("fault_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=True, comment="Name"),
        sa.Column("fault_type", sa.Text(), nullable=True, comment="normal, reverse, strike_slip, ..."),
        sa.Column(
            "geom",
            Geometry(
                geometry_type="MULTILINESTRING",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="Trace, EPSG:4326",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint("st_length(geom) > 0", name=op.f("fault_length_check")),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("fault_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("fault_id", name=op.f("fault_pkey")),
        schema="lode",
        comment="Mapped faults",
    )
    op.create_index(
        op.f("fault_feature_source_id_idx"), "fault", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "fault_geom_gist", "fault", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_table(
        "pluton",
        sa.Column("pluton_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=True, comment="Name"),
        sa.Column("lithology", sa.Text(), nullable=True, comment="Rock"),
        sa.Column("age", sa.Text(), nullable=True, comment="Geological age"),
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
            comment="Outline, EPSG:4326",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name=op.f("pluton_geom_check")),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("pluton_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("pluton_id", name=op.f("pluton_pkey")),
        schema="lode",
        comment="Mapped plutons",
    )
    op.create_index(
        op.f("pluton_feature_source_id_idx"), "pluton", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "pluton_geom_gist", "pluton", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_table(
        "deposit",
        sa.Column("deposit_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=True, comment="Name"),
        sa.Column("commodity", sa.Text(), nullable=True, comment="What it holds"),
        sa.Column("deposit_type", sa.Text(), nullable=True, comment="pegmatite, skarn, podiform, ..."),
        sa.Column(
            "geom",
            Geometry(
                geometry_type="POINT",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="Place, EPSG:4326",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("deposit_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("deposit_id", name=op.f("deposit_pkey")),
        schema="lode",
        comment="Known mineral deposits",
    )
    op.create_index(
        op.f("deposit_feature_source_id_idx"), "deposit", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "deposit_geom_gist", "deposit", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
