"""Regions that reports are summed over.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _multipolygon() -> Geometry:
    return Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)


def upgrade() -> None:
    """Make the tables of regions; the derived ones are filled when lode_api has been built."""
    op.create_table(
        "region_layer",
        sa.Column("region_layer_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("key", sa.Text(), nullable=False, comment="What commands call it, e.g. county"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("name_zh", sa.Text(), nullable=True, comment="Name, Chinese"),
        sa.Column(
            "is_protected",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Ground that must not be damaged: farmland, an ecological red line, a reserve",
        ),
        sa.CheckConstraint("key ~ '^[a-z][a-z0-9_]{0,62}$'", name=op.f("region_layer_key_check")),
        sa.PrimaryKeyConstraint("region_layer_id", name=op.f("region_layer_pkey")),
        sa.UniqueConstraint("key", name=op.f("region_layer_key_key")),
        schema="lode",
        comment="Layers of regions: counties, provinces, watersheds, protected ground",
    )
    op.create_table(
        "region",
        sa.Column("region_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("region_layer_id", sa.Integer(), nullable=False, comment="The layer it belongs to"),
        sa.Column("code", sa.Text(), nullable=False, comment="Official code; unique within the layer"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("name_zh", sa.Text(), nullable=True, comment="Name, Chinese"),
        sa.Column(
            "geom",
            _multipolygon(),
            nullable=False,
            comment="Outline, EPSG:4326; straight edges in degrees",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name=op.f("region_geom_check")),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("region_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["region_layer_id"],
            ["lode.region_layer.region_layer_id"],
            name=op.f("region_region_layer_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_id", name=op.f("region_pkey")),
        schema="lode",
        comment="Regions that reports are summed over; those of a layer may overlap, each counts its own ground",
    )
    op.create_index(
        op.f("region_feature_source_id_idx"), "region", ["feature_source_id"], unique=False, schema="lode"
    )
    op.create_index(
        "region_geom_gist", "region", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "region_layer_code_idx", "region", ["region_layer_id", "code"], unique=True, schema="lode"
    )
    op.create_table(
        "region_area",
        sa.Column(
            "region_area_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "in_mine_area_m2",
            sa.Double(),
            nullable=False,
            comment="Area inside mines; ground in several mines counts once, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "outside_mine_area_m2",
            sa.Double(),
            nullable=False,
            comment="Area outside every mine, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "interpreted_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of both that comes from labels, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "mine_count",
            sa.Integer(),
            nullable=False,
            comment="Mines in which it was found inside the region",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("region_area_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_area_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_area_id", name=op.f("region_area_pkey")),
        schema="lode",
        comment="Damage by region, year and class, 0 where it was looked for and not found; derived",
    )
    op.create_index(
        "region_area_idx", "region_area", ["region_id", "year", "land_class_code"], unique=True, schema="lode"
    )
    op.create_table(
        "region_mine",
        sa.Column("region_mine_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column(
            "is_whole",
            sa.Boolean(),
            nullable=False,
            comment="The mine lies wholly inside: nothing of it is cut",
        ),
        sa.Column(
            "geom",
            _multipolygon(),
            nullable=True,
            comment="The mine's ground inside the region, EPSG:4326; null: all of it",
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("region_mine_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_mine_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_mine_id", name=op.f("region_mine_pkey")),
        schema="lode",
        comment="Which mines have ground in which region; derived from mine and region",
    )
    op.create_index(op.f("region_mine_mine_id_idx"), "region_mine", ["mine_id"], unique=False, schema="lode")
    op.create_index(
        "region_mine_region_mine_idx", "region_mine", ["region_id", "mine_id"], unique=True, schema="lode"
    )
    op.create_table(
        "region_part",
        sa.Column(
            "region_part_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column(
            "geom",
            _multipolygon(),
            nullable=False,
            comment="A part of few vertices; the parts of a region share no ground",
        ),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Its area, m2 (geodesic, WGS 84)"),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_part_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_part_id", name=op.f("region_part_pkey")),
        schema="lode",
        comment="Regions divided, so that cutting at a long border costs what the border near by costs; derived",
    )
    op.create_index(
        "region_part_geom_gist", "region_part", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        op.f("region_part_region_id_idx"), "region_part", ["region_id"], unique=False, schema="lode"
    )
    op.create_table(
        "region_year",
        sa.Column("region_year_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column(
            "region_area_m2", sa.Double(), nullable=False, comment="Area of the region, m2 (geodesic, WGS 84)"
        ),
        sa.Column(
            "observed_area_m2",
            sa.Double(),
            nullable=False,
            comment="Part of it that current runs or interpreters observed, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "interpreted_area_m2",
            sa.Double(),
            nullable=False,
            comment="Part of it whose class an interpreter decided, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "damaged_area_m2",
            sa.Double(),
            nullable=True,
            comment="Damage in mines and outside; null: nobody looked for any, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "newly_area_m2",
            sa.Double(),
            nullable=True,
            comment="Ground damaged in this year that no earlier year saw damaged; null: nobody looked,"
            " m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "cumulative_area_m2",
            sa.Double(),
            nullable=False,
            comment="Ground that this or an earlier year saw damaged, m2 (geodesic, WGS 84)",
        ),
        sa.Column("mine_count", sa.Integer(), nullable=False, comment="Mines with ground in the region"),
        sa.Column(
            "run_count", sa.Integer(), nullable=False, comment="Current runs that observed a part of it"
        ),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_year_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_year_id", name=op.f("region_year_pkey")),
        schema="lode",
        comment="How much of each region was observed in each year, and its damage over time; derived",
    )
    op.create_index(
        "region_year_region_year_idx", "region_year", ["region_id", "year"], unique=True, schema="lode"
    )
    op.create_table(
        "region_ground",
        sa.Column(
            "region_ground_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("run_id", sa.Integer(), nullable=True, comment="The run that observed"),
        sa.Column("label_id", sa.Integer(), nullable=True, comment="The label that decides a class"),
        sa.Column(
            "observed_area_m2",
            sa.Double(),
            nullable=False,
            comment="Ground of the region it observed; of a label, what no run observed, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "interpreted_area_m2",
            sa.Double(),
            nullable=False,
            comment="Ground of the region whose class the label decides; 0 for a run, m2 (geodesic, WGS 84)",
        ),
        sa.CheckConstraint("(run_id is null) <> (label_id is null)", name=op.f("region_ground_origin_check")),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["lode.label.label_id"],
            name=op.f("region_ground_label_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_ground_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("region_ground_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("region_ground_id", name=op.f("region_ground_pkey")),
        schema="lode",
        comment="What of each region was observed and interpreted, by run and label; derived",
    )
    op.create_index(
        "region_ground_label_idx",
        "region_ground",
        ["label_id", "region_id"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("label_id is not null"),
    )
    op.create_index(
        "region_ground_region_year_idx", "region_ground", ["region_id", "year"], unique=False, schema="lode"
    )
    op.create_index(
        "region_ground_run_idx",
        "region_ground",
        ["run_id", "region_id"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("run_id is not null"),
    )
    op.create_table(
        "region_mine_area",
        sa.Column(
            "region_mine_area_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_mine_id", sa.Integer(), nullable=False, comment="The region and mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "area_m2",
            sa.Double(),
            nullable=False,
            comment="Damaged area of the class inside mine and region, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "exclusive_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of it outside every mine of smaller code, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "interpreted_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of exclusive_area_m2 that comes from labels, m2 (geodesic, WGS 84)",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("region_mine_area_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["region_mine_id"],
            ["lode.region_mine.region_mine_id"],
            name=op.f("region_mine_area_region_mine_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_mine_area_id", name=op.f("region_mine_area_pkey")),
        schema="lode",
        comment="Damage by region, mine, year and class, where there is any; derived from mine_piece",
    )
    op.create_index(
        "region_mine_area_idx",
        "region_mine_area",
        ["region_mine_id", "year", "land_class_code"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "region_mine_year",
        sa.Column(
            "region_mine_year_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_mine_id", sa.Integer(), nullable=False, comment="The region and mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column(
            "newly_area_m2",
            sa.Double(),
            nullable=False,
            comment="Ground of mine and region, outside every mine of smaller code, first seen damaged in this year, m2 (geodesic, WGS 84)",
        ),
        sa.ForeignKeyConstraint(
            ["region_mine_id"],
            ["lode.region_mine.region_mine_id"],
            name=op.f("region_mine_year_region_mine_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_mine_year_id", name=op.f("region_mine_year_pkey")),
        schema="lode",
        comment="New damage by region, mine and year, where there is any; derived from damage_patch",
    )
    op.create_index(
        "region_mine_year_idx", "region_mine_year", ["region_mine_id", "year"], unique=True, schema="lode"
    )
    op.create_table(
        "outside_piece",
        sa.Column(
            "outside_piece_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "run_id", sa.Integer(), nullable=True, comment="The run that found it; null: an interpreter did"
        ),
        sa.Column(
            "landcover_id", sa.BigInteger(), nullable=True, comment="The published polygon it is a part of"
        ),
        sa.Column("label_id", sa.Integer(), nullable=True, comment="The label it is a part of"),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Its area, m2 (geodesic, WGS 84)"),
        sa.Column(
            "newly_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of it that no earlier year saw damaged, m2 (geodesic, WGS 84)",
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day of the year it stands for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day of the next year (excluded)"),
        sa.Column("geom", _multipolygon(), nullable=False, comment="The ground, EPSG:4326"),
        sa.Column(
            "newly_geom",
            _multipolygon(),
            nullable=True,
            comment="The part of it that no earlier year saw damaged; null: all of it, or nothing of it",
        ),
        sa.CheckConstraint(
            "(landcover_id is null) <> (label_id is null)", name=op.f("outside_piece_origin_check")
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("outside_piece_land_class_code_fkey"),
        ),
        sa.PrimaryKeyConstraint("outside_piece_id", name=op.f("outside_piece_pkey")),
        schema="lode",
        comment="Damaged ground outside every mine, by year; no ground of a year lies in two pieces; derived",
    )
    op.create_index(
        "outside_piece_geom_gist",
        "outside_piece",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "outside_piece_label_idx",
        "outside_piece",
        ["label_id"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("label_id is not null"),
    )
    op.create_index(
        "outside_piece_landcover_idx",
        "outside_piece",
        ["landcover_id"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("landcover_id is not null"),
    )
    op.create_index("outside_piece_year_idx", "outside_piece", ["year"], unique=False, schema="lode")
    op.create_table(
        "region_piece",
        sa.Column(
            "region_piece_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("region_id", sa.Integer(), nullable=False, comment="The region"),
        sa.Column("outside_piece_id", sa.BigInteger(), nullable=False, comment="The ground outside mines"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "area_m2",
            sa.Double(),
            nullable=False,
            comment="Area of the piece inside the region, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "newly_area_m2",
            sa.Double(),
            nullable=False,
            comment="The part of it that no earlier year saw damaged, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "interpreted_area_m2",
            sa.Double(),
            nullable=False,
            comment="area_m2 where an interpreter decided the class, else 0, m2 (geodesic, WGS 84)",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("region_piece_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["outside_piece_id"],
            ["lode.outside_piece.outside_piece_id"],
            name=op.f("region_piece_outside_piece_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["region_id"],
            ["lode.region.region_id"],
            name=op.f("region_piece_region_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("region_piece_id", name=op.f("region_piece_pkey")),
        schema="lode",
        comment="Ground outside mines by region; derived from outside_piece",
    )
    op.create_index(
        "region_piece_piece_region_idx",
        "region_piece",
        ["outside_piece_id", "region_id"],
        unique=True,
        schema="lode",
    )
    op.create_index(
        "region_piece_region_year_idx", "region_piece", ["region_id", "year"], unique=False, schema="lode"
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
