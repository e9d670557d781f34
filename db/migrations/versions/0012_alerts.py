"""Alerts of new damage.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from db.errors import UsageError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Alerts of new damage."""


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
