"""Change between years, damaged ground and its patches; all derived.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _multipolygon() -> Geometry:
    return Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)


def _area(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False, comment=f"{comment}, m2 (geodesic, WGS 84)")


def upgrade() -> None:
    """Make the tables of change."""
    op.create_table(
        "report_period",
        sa.Column("report_period_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("from_year", sa.Integer(), nullable=False, comment="Earlier year"),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Later year"),
        sa.Column("name", sa.Text(), nullable=True, comment="What it is called in reports"),
        sa.CheckConstraint("from_year < to_year", name=op.f("report_period_years_check")),
        sa.PrimaryKeyConstraint("report_period_id", name=op.f("report_period_pkey")),
        schema="lode",
        comment="Pairs of years whose change is derived beside that of consecutive years",
    )
    op.create_index(
        "report_period_years_idx", "report_period", ["from_year", "to_year"], unique=True, schema="lode"
    )
    op.create_table(
        "mine_pair",
        sa.Column("mine_pair_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("from_year", sa.Integer(), nullable=False, comment="Earlier year"),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Later year"),
        sa.Column(
            "is_consecutive",
            sa.Boolean(),
            nullable=False,
            comment="No year between them observed the mine",
        ),
        sa.Column(
            "is_bridging",
            sa.Boolean(),
            nullable=False,
            comment="Steps over years that saw less than half of the mine, between two that saw at least half",
        ),
        _area("observed_area_m2", "Ground that both years observed and could judge"),
        _area("exclusive_observed_area_m2", "Part of that outside every mine of smaller code"),
        _area(
            "unobserved_area_m2", "Ground of the mine that not both years observed, or one could not judge"
        ),
        sa.Column(
            "blind_geom",
            _multipolygon(),
            comment="Ground that is not compared: damaged in one year, in the other undamaged to a network"
            " that does not map the class of that damage; null: none",
        ),
        sa.CheckConstraint("from_year < to_year", name=op.f("mine_pair_years_check")),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_pair_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_pair_id", name=op.f("mine_pair_pkey")),
        schema="lode",
        comment="Pairs of years that observed a mine; derived",
    )
    op.create_index(
        "mine_pair_years_idx", "mine_pair", ["mine_id", "from_year", "to_year"], unique=True, schema="lode"
    )
    op.create_table(
        "mine_transition",
        sa.Column(
            "mine_transition_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("mine_pair_id", sa.Integer(), nullable=False, comment="The mine and its pair of years"),
        sa.Column("from_class_code", sa.Integer(), nullable=False, comment="Class in the earlier year"),
        sa.Column("to_class_code", sa.Integer(), nullable=False, comment="Class in the later year"),
        _area("area_m2", "Ground that went from the one to the other, of what both years observed"),
        _area("exclusive_area_m2", "The part of it outside every mine of smaller code"),
        sa.ForeignKeyConstraint(
            ["from_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("mine_transition_from_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["mine_pair_id"],
            ["lode.mine_pair.mine_pair_id"],
            name=op.f("mine_transition_mine_pair_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["to_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("mine_transition_to_class_code_fkey"),
        ),
        sa.PrimaryKeyConstraint("mine_transition_id", name=op.f("mine_transition_pkey")),
        schema="lode",
        comment="From which class to which the ground of each mine went; derived from mine_piece",
    )
    op.create_index(
        "mine_transition_classes_idx",
        "mine_transition",
        ["mine_pair_id", "from_class_code", "to_class_code"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "mine_change",
        sa.Column(
            "mine_change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("mine_pair_id", sa.Integer(), nullable=False, comment="The mine and its pair of years"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("from_year", sa.Integer(), nullable=False, comment="Earlier year"),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Later year"),
        sa.Column(
            "damage_kind", sa.Text(), nullable=False, comment="excavated, occupied, subsided, or any of them"
        ),
        _area("new_area_m2", "Of this kind in the later year, not damaged in the earlier"),
        _area("treated_area_m2", "Of this kind in the earlier year, not damaged in the later"),
        _area("persisting_area_m2", "Of this kind in both years"),
        _area("converted_from_area_m2", "Of this kind in the later year, of another kind in the earlier"),
        _area("converted_to_area_m2", "Of this kind in the earlier year, of another kind in the later"),
        _area(
            "interpreted_treated_area_m2",
            "Part of treated that an interpreter saw and drew as treated ground",
        ),
        _area("unobserved_area_m2", "Ground of the mine that not both years observed"),
        _area("exclusive_new_area_m2", "Part of new outside every mine of smaller code"),
        _area("exclusive_treated_area_m2", "Part of treated outside every mine of smaller code"),
        _area("exclusive_persisting_area_m2", "Part of persisting outside every mine of smaller code"),
        sa.CheckConstraint("from_year < to_year", name=op.f("mine_change_years_check")),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_change_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mine_pair_id"],
            ["lode.mine_pair.mine_pair_id"],
            name=op.f("mine_change_mine_pair_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("mine_change_id", name=op.f("mine_change_pkey")),
        schema="lode",
        comment="Change by mine, pair of years and kind, over what both years observed; derived",
    )
    op.create_index(
        "mine_change_pair_idx",
        "mine_change",
        ["mine_id", "from_year", "to_year", "damage_kind"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "mine_damage",
        sa.Column(
            "mine_damage_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year"),
        sa.Column("damage_kind", sa.Text(), nullable=False, comment="excavated, occupied or subsided"),
        sa.Column("geom", _multipolygon(), nullable=False, comment="Damaged ground of this kind, EPSG:4326"),
        _area("area_m2", "Its area"),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day it is shown for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day it is no longer shown for"),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_damage_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mine_damage_id", name=op.f("mine_damage_pkey")),
        schema="lode",
        comment="Damaged ground by mine, year and kind, as one shape each; derived from mine_piece",
    )
    op.create_index(
        "mine_damage_geom_gist", "mine_damage", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "mine_damage_mine_year_kind_idx",
        "mine_damage",
        ["mine_id", "year", "damage_kind"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "damage_patch",
        sa.Column(
            "damage_patch_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column(
            "code",
            sa.Text(),
            nullable=False,
            comment="Mine, first year, kind and number; number 0 gathers what is smaller than a mapped patch",
        ),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("damage_kind", sa.Text(), nullable=False, comment="Kind when it was first seen"),
        sa.Column("first_year", sa.Integer(), nullable=False, comment="Year it was first seen damaged"),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="Within mine, year and kind; the largest is 1"
        ),
        sa.Column(
            "first_damaged_on",
            sa.Date(),
            nullable=False,
            comment="Day of the scene it was first seen damaged in",
        ),
        sa.Column(
            "is_new",
            sa.Boolean(),
            nullable=False,
            comment="An earlier year observed the mine: damage came between; false: damage of unknown age",
        ),
        sa.Column(
            "last_seen_year", sa.Integer(), nullable=False, comment="Latest year that saw half of it damaged"
        ),
        sa.Column("last_seen_on", sa.Date(), nullable=False, comment="Day of the scene of that year"),
        _area("area_m2", "Its area"),
        _area(
            "damaged_area_m2", "What of it is damaged in the latest year that observed it, or a part of it"
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day it is shown for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day it is no longer shown for"),
        sa.Column(
            "geom",
            _multipolygon(),
            nullable=False,
            comment="The ground, EPSG:4326; no ground lies in two patches of a mine",
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("damage_patch_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("damage_patch_id", name=op.f("damage_patch_pkey")),
        sa.UniqueConstraint("code", name=op.f("damage_patch_code_key")),
        schema="lode",
        comment="Ground by when it was first seen damaged, with stable codes; derived from mine_damage",
    )
    op.create_index(
        "damage_patch_geom_gist",
        "damage_patch",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "damage_patch_mine_year_idx",
        "damage_patch",
        ["mine_id", "first_year", "damage_kind", "number"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "damage_change",
        sa.Column(
            "damage_change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("damage_patch_id", sa.BigInteger(), nullable=False, comment="The patch it is a part of"),
        sa.Column("code", sa.Text(), nullable=False, comment="Code of the patch, the same from year to year"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column("from_year", sa.Integer(), nullable=False, comment="Earlier year"),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Later year"),
        sa.Column("change", sa.Text(), nullable=False, comment="new, persisting or treated"),
        sa.Column("damage_kind", sa.Text(), nullable=False, comment="Kind of the patch"),
        sa.Column("first_damaged_on", sa.Date(), nullable=False, comment="Day it was first seen damaged"),
        sa.Column("last_seen_on", sa.Date(), nullable=False, comment="Latest day it was seen damaged"),
        _area("area_m2", "Its area"),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day it is shown for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day it is no longer shown for"),
        sa.Column("geom", _multipolygon(), nullable=False, comment="The ground, EPSG:4326"),
        sa.CheckConstraint(
            "change in ('new', 'persisting', 'treated')", name=op.f("damage_change_change_check")
        ),
        sa.ForeignKeyConstraint(
            ["damage_patch_id"],
            ["lode.damage_patch.damage_patch_id"],
            name=op.f("damage_change_damage_patch_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("damage_change_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("damage_change_id", name=op.f("damage_change_pkey")),
        schema="lode",
        comment="Change polygons: what is new, persists or was treated between consecutive years; derived",
    )
    op.create_index(
        "damage_change_geom_gist",
        "damage_change",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        op.f("damage_change_mine_id_idx"), "damage_change", ["mine_id"], unique=False, schema="lode"
    )
    op.create_index(
        "damage_change_patch_idx",
        "damage_change",
        ["damage_patch_id", "from_year", "to_year", "change"],
        unique=True,
        schema="lode",
    )

    for table in ("mine_damage", "damage_patch", "damage_change"):
        op.execute(f"alter table lode.{table} alter column geom set storage external")


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
