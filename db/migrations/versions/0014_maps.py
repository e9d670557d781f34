"""Generalised outlines for small scales.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ZOOMS = "zoom between 0 and 12"
_ZOOM_COMMENT = "Web map zoom it is drawn at, 0 to 12"
_GEOM_COMMENT = "Outline on the grid of the zoom's pixels, EPSG:{}; rings may touch or cross themselves"


def _multipolygon(srid: int) -> sa.Column[object]:
    kind = Geometry("MULTIPOLYGON", srid=srid, spatial_index=False)
    return sa.Column("geom", kind, nullable=False, comment=_GEOM_COMMENT.format(srid))


def upgrade() -> None:
    """Make the tables that tiles of small scales are read from."""
    op.create_table(
        "landcover_general",
        sa.Column(
            "landcover_general_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("run_id", sa.Integer(), nullable=False, comment="The run"),
        sa.Column("zoom", sa.Integer(), nullable=False, comment=_ZOOM_COMMENT),
        sa.Column("land_class_code", sa.Integer(), nullable=False, comment="Class"),
        sa.Column(
            "landcover_id",
            sa.BigInteger(),
            nullable=True,
            comment="The published polygon; null: cells that smaller patches fill together",
        ),
        sa.Column(
            "area_m2",
            sa.Double(),
            nullable=False,
            comment="Published area of what it stands for, m2 (geodesic)",
        ),
        sa.Column(
            "mean_probability", sa.Double(), nullable=True, comment="Mean probability of the class, 0..1"
        ),
        _multipolygon(4326),
        sa.CheckConstraint(_ZOOMS, name=op.f("landcover_general_zoom_check")),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("landcover_general_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("landcover_general_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("landcover_general_id", name=op.f("landcover_general_pkey")),
        schema="lode",
        comment="Land cover for maps of small scale; derived from landcover at publication",
    )
    op.create_index("landcover_general_run_zoom_idx", "landcover_general", ["run_id", "zoom"], schema="lode")
    op.create_index(
        "landcover_general_geom_gist",
        "landcover_general",
        ["geom"],
        schema="lode",
        postgresql_using="gist",
    )
    op.create_table(
        "damage_general",
        sa.Column(
            "damage_general_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("zoom", sa.Integer(), nullable=False, comment=_ZOOM_COMMENT),
        sa.Column(
            "mine_damage_id", sa.BigInteger(), nullable=True, comment="The damaged ground it stands for"
        ),
        sa.Column(
            "damage_change_id", sa.BigInteger(), nullable=True, comment="The change polygon it stands for"
        ),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="Its mine"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Its year; of change the later one"),
        sa.Column("kind", sa.Text(), nullable=False, comment="Kind of damage, or new, persisting, treated"),
        sa.Column(
            "area_m2", sa.Double(), nullable=False, comment="Area of what it stands for, m2 (geodesic)"
        ),
        _multipolygon(3857),
        sa.CheckConstraint(_ZOOMS, name=op.f("damage_general_zoom_check")),
        sa.CheckConstraint(
            "(mine_damage_id is null) <> (damage_change_id is null)",
            name=op.f("damage_general_origin_check"),
        ),
        sa.ForeignKeyConstraint(
            ["mine_damage_id"],
            ["lode.mine_damage.mine_damage_id"],
            name=op.f("damage_general_mine_damage_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["damage_change_id"],
            ["lode.damage_change.damage_change_id"],
            name=op.f("damage_general_damage_change_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("damage_general_id", name=op.f("damage_general_pkey")),
        schema="lode",
        comment="Damaged ground and its change for maps of small scale; derived by triggers",
    )
    for origin in ("mine_damage", "damage_change"):
        op.create_index(
            f"damage_general_{origin}_idx",
            "damage_general",
            [f"{origin}_id", "zoom"],
            unique=True,
            schema="lode",
        )
    op.create_index("damage_general_zoom_year_idx", "damage_general", ["zoom", "year"], schema="lode")
    op.create_index(
        "damage_general_geom_gist", "damage_general", ["geom"], schema="lode", postgresql_using="gist"
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
