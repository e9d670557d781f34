"""Mine owners, tables of tiles under way, and the indexes in which a mine's outlines are found.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.errors import UsageError

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of owners and the indexes."""
    op.create_table(
        "mine_owner",
        sa.Column(
            "role_name",
            sa.Text(),
            nullable=False,
            comment="Login of a mine's owner, or a role its logins are in",
        ),
        sa.Column("mine_id", sa.Integer(), autoincrement=False, nullable=False, comment="The mine"),
        sa.Column(
            "granted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Since when it sees the mine",
        ),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("mine_owner_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("role_name", "mine_id", name=op.f("mine_owner_pkey")),
        schema="lode",
        comment="Mines that a login sees in the views lode_api.own_*; it sees no others",
    )
    op.create_index("mine_owner_mine_id_idx", "mine_owner", ["mine_id"], schema="lode")
    op.create_table(
        "tile_table",
        sa.Column("table_name", sa.Text(), nullable=False, comment="Its name in lode_raster"),
        sa.Column("parent", sa.Text(), nullable=False, comment="scene_tile or probability"),
        sa.Column("owner_id", sa.Integer(), nullable=False, comment="The scene or run"),
        sa.PrimaryKeyConstraint("table_name", name=op.f("tile_table_pkey")),
        schema="lode",
        comment="Tables of tiles that a worker's transaction makes; empty when it ends",
    )
    for table in ("mine_damage", "damage_change"):
        op.create_index(
            f"{table}_own_gist",
            table,
            [
                sa.text("int4range(mine_id, mine_id, '[]')"),
                sa.text("(st_multi(geom)::geometry(MultiPolygon, 4326))"),
            ],
            schema="lode",
            postgresql_using="gist",
        )
        # What ANALYZE knows of the outlines would tell EXPLAIN how many lie where, whosever they are.
        op.execute(f"alter index lode.{table}_own_gist alter column 2 set statistics 0")


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
