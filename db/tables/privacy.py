"""Which login sees which mines as its own."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, func, text

from db.tables.base import SCHEMA, metadata, moment_column
from db.tables.change import damage_change, mine_damage
from db.tables.ground import mine

mine_owner = Table(
    "mine_owner",
    metadata,
    Column(
        "role_name", Text, primary_key=True, comment="Login of a mine's owner, or a role its logins are in"
    ),
    Column(
        "mine_id",
        Integer,
        ForeignKey(mine.c.mine_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The mine",
    ),
    moment_column("granted_at", "Since when it sees the mine", now=True),
    Index("mine_owner_mine_id_idx", "mine_id"),
    schema=SCHEMA,
    comment="Mines that a login sees in the views lode_api.own_*; it sees no others",
)

# Mine and outline in one index: whoever may see some mines only is never led past other mines' outlines.
for _table in (mine_damage, damage_change):
    Index(
        f"{_table.name}_own_gist",
        func.int4range(_table.c.mine_id, _table.c.mine_id, text("'[]'")),
        text("(st_multi(geom)::geometry(MultiPolygon, 4326))"),
        postgresql_using="gist",
    )
