"""Regions that reports are summed over.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

from db.errors import UsageError

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Regions that reports are summed over."""


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
