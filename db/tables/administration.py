"""What Lode keeps about itself."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from db.tables.base import SCHEMA, metadata, moment_column

api_object = Table(
    "api_object",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False, comment="Order of creation"),
    Column("kind", Text, nullable=False, comment="view or function"),
    Column("name", Text, nullable=False, comment="Name in schema lode_api"),
    Column("sha256", Text, nullable=False, comment="SHA-256 of the file it was made from"),
    moment_column("installed_at", "When it was made", now=True),
    schema=SCHEMA,
    comment="Objects of schema lode_api that the upgrade made and will replace",
)
