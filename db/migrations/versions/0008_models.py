"""What a network in service needs: calibrated probabilities, a licence, and an end of its service.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from db.errors import UsageError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen model."""
    for column in (
        sa.Column(
            "temperature",
            sa.Double(),
            nullable=False,
            server_default=sa.text("1"),
            comment="What logits are divided by before the softmax, so that probabilities mean what they say",
        ),
        sa.Column(
            "licence", sa.Text(), comment="Terms under which the weights may be used; null: not stated"
        ),
        sa.Column(
            "retired_at",
            sa.DateTime(timezone=True),
            comment="When it was taken out of service; it interprets no scene any more",
        ),
        sa.Column("retired_reason", sa.Text(), comment="Why it was taken out of service"),
    ):
        op.add_column("model", column, schema="lode")
    op.create_check_constraint(
        op.f("model_temperature_check"),
        "model",
        "temperature > 0 and temperature < 'infinity'::double precision",
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
