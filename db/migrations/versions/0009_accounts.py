"""Accounts: which ground counts for which mine and year; all derived.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _multipolygon() -> Geometry:
    return Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)


def _area(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False, comment=f"{comment}, m2 (geodesic, WGS 84)")


def upgrade() -> None:
    """Make the derived tables anew; they are filled when lode_api has been built."""
    for table in ("mine_change", "mine_area", "mine_year"):
        op.drop_table(table, schema="lode")
    for column in (
        sa.Column(
            "withdrawn_at",
            sa.DateTime(timezone=True),
            comment="When it was withdrawn from maps and areas; null: it was not",
        ),
        sa.Column("withdrawn_by", sa.Text(), comment="Who withdrew it"),
        sa.Column("withdrawn_reason", sa.Text(), comment="Why it was withdrawn"),
    ):
        op.add_column("run", column, schema="lode")
    op.create_check_constraint(
        op.f("run_withdrawn_check"),
        "run",
        "withdrawn_at is null or status = 'withdrawn'",
        schema="lode",
    )
    # Compressing outlines takes longer than computing their areas, and hardly makes them smaller.
    op.execute("alter table lode.landcover alter column geom set storage external")
    op.create_table(
        "derivation",
        sa.Column("derivation_id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1"),
        sa.Column(
            "rules_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the functions that derived what is there",
        ),
        sa.Column(
            "derived_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When everything was last derived from nothing",
        ),
        sa.CheckConstraint("derivation_id = 1", name=op.f("derivation_single_check")),
        sa.PrimaryKeyConstraint("derivation_id", name=op.f("derivation_pkey")),
        schema="lode",
        comment="By which rules the derived tables were filled",
    )
    op.create_table(
        "interpreted_ground",
        sa.Column("label_id", sa.Integer(), autoincrement=False, nullable=False, comment="The label"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year it counts in"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "geom",
            _multipolygon(),
            nullable=False,
            comment="The label without what later labels of its year cover",
        ),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Geodesic area of geom on WGS 84, m2"),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["lode.label.label_id"],
            name=op.f("interpreted_ground_label_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("interpreted_ground_land_class_code_fkey"),
        ),
        sa.PrimaryKeyConstraint("label_id", name=op.f("interpreted_ground_pkey")),
        schema="lode",
        comment="Ground whose class an interpreter decides in a year's account; derived from label",
    )
    op.create_index(
        "interpreted_ground_geom_gist",
        "interpreted_ground",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "interpreted_ground_year_idx", "interpreted_ground", ["year"], unique=False, schema="lode"
    )
    op.create_table(
        "landcover_part",
        sa.Column(
            "landcover_part_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("landcover_id", sa.BigInteger(), nullable=False, comment="The published polygon"),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="Its run"),
        sa.Column("geom", _multipolygon(), nullable=False, comment="A part of it, EPSG:4326"),
        sa.ForeignKeyConstraint(
            ["landcover_id"],
            ["lode.landcover.landcover_id"],
            name=op.f("landcover_part_landcover_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("landcover_part_id", name=op.f("landcover_part_pkey")),
        schema="lode",
        comment="Large published polygons in smaller parts, which can be cut fast; derived",
    )
    op.create_index(
        "landcover_part_geom_gist",
        "landcover_part",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        op.f("landcover_part_landcover_id_idx"),
        "landcover_part",
        ["landcover_id"],
        unique=False,
        schema="lode",
    )
    op.create_table(
        "mine_zone",
        sa.Column("mine_zone_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column(
            "is_exclusive",
            sa.Boolean(),
            nullable=False,
            comment="Outside every mine of smaller code: sums over mines count this ground",
        ),
        sa.Column("geom", _multipolygon(), nullable=False, comment="The ground, EPSG:4326"),
        _area("area_m2", "Its area"),
        sa.Column(
            "mine_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the code, boundary and licence that the mine had then (lode_api.mine_sha256)",
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_zone_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_zone_id", name=op.f("mine_zone_pkey")),
        schema="lode",
        comment="The ground of each mine, cut where that of another mine begins; derived from mine",
    )
    op.create_index(
        "mine_zone_geom_gist", "mine_zone", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(op.f("mine_zone_mine_id_idx"), "mine_zone", ["mine_id"], unique=False, schema="lode")
    op.create_table(
        "zone_year",
        sa.Column("zone_year_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_zone_id", sa.Integer(), nullable=False, comment="The zone of the mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("geom", _multipolygon(), nullable=True, comment="What was observed; null: the whole zone"),
        _area("area_m2", "Area of what was observed"),
        sa.ForeignKeyConstraint(
            ["mine_zone_id"],
            ["lode.mine_zone.mine_zone_id"],
            name=op.f("zone_year_mine_zone_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("zone_year_id", name=op.f("zone_year_pkey")),
        schema="lode",
        comment="What of each zone was observed in each year; derived",
    )
    op.create_index(
        "zone_year_zone_year_idx", "zone_year", ["mine_zone_id", "year"], unique=True, schema="lode"
    )
    op.create_table(
        "mine_piece",
        sa.Column("mine_piece_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_zone_id", sa.Integer(), nullable=False, comment="The zone of the mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "run_id", sa.Integer(), nullable=True, comment="The run that found it; null: an interpreter did"
        ),
        sa.Column(
            "landcover_id", sa.BigInteger(), nullable=True, comment="The published polygon it is a part of"
        ),
        sa.Column("label_id", sa.Integer(), nullable=True, comment="The label it is a part of"),
        sa.Column("geom", _multipolygon(), nullable=True, comment="The ground; null: the whole polygon"),
        _area("area_m2", "Its area"),
        sa.Column(
            "unlicensed_area_m2",
            sa.Double(),
            nullable=True,
            comment="The part of it outside the licence; null: the mine has no licence boundary, or it is no damage, m2 (geodesic, WGS 84)",
        ),
        sa.CheckConstraint(
            "(landcover_id is null) <> (label_id is null)", name=op.f("mine_piece_origin_check")
        ),
        sa.CheckConstraint(
            "geom is not null or landcover_id is not null", name=op.f("mine_piece_geom_check")
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("mine_piece_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["mine_zone_id"],
            ["lode.mine_zone.mine_zone_id"],
            name=op.f("mine_piece_mine_zone_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("mine_piece_id", name=op.f("mine_piece_pkey")),
        schema="lode",
        comment="The year map inside mines: every piece of ground counts once, with where it comes from; derived",
    )
    op.create_index(
        "mine_piece_zone_year_idx", "mine_piece", ["mine_zone_id", "year"], unique=False, schema="lode"
    )
    op.create_index("mine_piece_landcover_idx", "mine_piece", ["landcover_id"], unique=False, schema="lode")
    op.create_index(
        "mine_piece_geom_gist", "mine_piece", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_table(
        "mine_year",
        sa.Column("mine_year_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        _area("boundary_area_m2", "Area of the mine"),
        _area("observed_area_m2", "Part of it that current runs or interpreters observed"),
        _area("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
        _area("interpreted_area_m2", "Part of it whose class an interpreter decided"),
        sa.Column("run_ids", sa.ARRAY(sa.Integer()), nullable=False, comment="Runs whose ground counts here"),
        sa.Column(
            "first_acquired_on",
            sa.Date(),
            nullable=True,
            comment="Day of the earliest scene that counts here",
        ),
        sa.Column(
            "last_acquired_on", sa.Date(), nullable=True, comment="Day of the latest scene that counts here"
        ),
        _area("newly_area_m2", "Ground damaged in this year that no earlier year saw damaged"),
        _area("cumulative_area_m2", "Ground that this or an earlier year saw damaged"),
        _area(
            "unobserved_damage_area_m2", "Part of cumulative that the year did not observe or could not judge"
        ),
        _area("exclusive_newly_area_m2", "Part of newly outside every mine of smaller code"),
        _area("exclusive_cumulative_area_m2", "Part of cumulative outside every mine of smaller code"),
        sa.Column(
            "blind_geom",
            _multipolygon(),
            comment="Ground that an earlier year saw damaged and a network that does not map the class of that"
            " damage found undamaged in this year; null: none",
        ),
        sa.CheckConstraint(
            "boundary_area_m2 > 0 and observed_area_m2 >= 0", name=op.f("mine_year_areas_check")
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_year_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_year_id", name=op.f("mine_year_pkey")),
        schema="lode",
        comment="How much of each mine was observed in each year, and its damage over time; derived",
    )
    op.create_index("mine_year_mine_year_idx", "mine_year", ["mine_id", "year"], unique=True, schema="lode")
    op.create_table(
        "mine_area",
        sa.Column("mine_area_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_year_id", sa.Integer(), nullable=False, comment="The mine and year"),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        _area("area_m2", "Area of the class inside the mine"),
        _area(
            "exclusive_area_m2",
            "The part of it outside every mine of smaller code; sums over mines count no ground twice",
        ),
        _area("interpreted_area_m2", "The part of it that comes from labels"),
        _area(
            "judged_area_m2", "Observed ground on which a network that maps the class, or a label, decided"
        ),
        sa.Column(
            "unlicensed_area_m2",
            sa.Double(),
            nullable=True,
            comment="The part of it outside the licence; null: the mine has no licence boundary, or it is no damage, m2 (geodesic, WGS 84)",
        ),
        sa.Column(
            "mean_probability",
            sa.Double(),
            nullable=True,
            comment="Mean probability of the class over its ground, 0..1; null: none was found",
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
        comment="Area by mine, year and class; derived from mine_piece",
    )
    op.create_index(
        "mine_area_mine_year_class_idx",
        "mine_area",
        ["mine_year_id", "land_class_code"],
        unique=True,
        schema="lode",
    )
    op.alter_column(
        "feature_source",
        "kind",
        existing_type=sa.TEXT(),
        comment="labels, mines, faults, plutons, deposits or regions",
        existing_comment="labels, mines, faults, plutons or deposits",
        existing_nullable=False,
        schema="lode",
    )
    op.add_column(
        "label",
        sa.Column(
            "is_counted",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Decides the class of its ground in its year's account; labels of classes that no network maps always do",
        ),
        schema="lode",
    )
    op.add_column(
        "land_class",
        sa.Column(
            "counts_outside_mines",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Counts as damage of a region outside every mine as well; water and villages do not",
        ),
        schema="lode",
    )
    op.add_column(
        "run",
        sa.Column(
            "priority",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Analyst's choice in the year map: where runs overlap the higher one owns the ground",
        ),
        schema="lode",
    )
    for table in ("interpreted_ground", "landcover_part", "mine_zone", "zone_year", "mine_piece"):
        op.execute(f"alter table lode.{table} alter column geom set storage external")
    op.drop_constraint("feature_source_kind_check", "feature_source", schema="lode")
    op.create_check_constraint(
        "feature_source_kind_check",
        "feature_source",
        "kind in ('labels', 'mines', 'faults', 'plutons', 'deposits', 'regions')",
        schema="lode",
    )
    op.execute(
        "update lode.land_class set counts_outside_mines = true"
        " where key in ('open_pit', 'dump', 'tailings_pond', 'subsidence')"
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
