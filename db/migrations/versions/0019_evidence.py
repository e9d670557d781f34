"""Prospectivity without labels: samples with their error, rocks, mineral systems, scores, reasons, evaluations.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and add the columns to those of layers, cells and searches."""
    op.create_table(
        "mineral_system",
        sa.Column(
            "mineral_system_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("definition", sa.Text(), nullable=False, comment="Its elements and geology, as TOML"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the definition"),
        sa.Column(
            "imported_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who brought it in",
        ),
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was brought in",
        ),
        sa.PrimaryKeyConstraint("mineral_system_id", name=op.f("mineral_system_pkey")),
        sa.UniqueConstraint("name", name=op.f("mineral_system_name_key")),
        schema="lode",
        comment="Mineral systems that people wrote: which elements and which geology tell of ore",
    )
    op.create_table(
        "lithology",
        sa.Column("lithology_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=True, comment="Name of the unit"),
        sa.Column("rock", sa.Text(), nullable=True, comment="Rock, by which units are told apart"),
        sa.Column("age", sa.Text(), nullable=True, comment="Geological age"),
        sa.Column(
            "geom",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="Outline, EPSG:4326",
        ),
        sa.Column(
            "feature_source_id",
            sa.Integer(),
            nullable=True,
            comment="The file it came from; null when drawn in a client",
        ),
        sa.CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name=op.f("lithology_geom_check")),
        sa.ForeignKeyConstraint(
            ["feature_source_id"],
            ["lode.feature_source.feature_source_id"],
            name=op.f("lithology_feature_source_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("lithology_id", name=op.f("lithology_pkey")),
        schema="lode",
        comment="Mapped rocks: the units of a geological map",
    )
    op.create_index(
        op.f("lithology_feature_source_id_idx"),
        "lithology",
        ["feature_source_id"],
        unique=False,
        schema="lode",
    )
    op.create_index(
        "lithology_geom_gist", "lithology", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_table(
        "prospect_evaluation",
        sa.Column(
            "prospect_evaluation_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("prospect_run_id", sa.Integer(), nullable=False, comment="The search"),
        sa.Column("deposit_rule", sa.Text(), nullable=False, comment="Which deposits: all, or column=value"),
        sa.Column(
            "deposit_ids",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="Those on scored ground, deposit.deposit_id",
        ),
        sa.Column(
            "outside",
            sa.Integer(),
            nullable=False,
            comment="Deposits within the grid but not on scored ground",
        ),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Draws, shifts, seed, and what it was held against",
        ),
        sa.Column(
            "curves",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Points of the curves that are drawn, by score",
        ),
        sa.Column(
            "evaluated_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who asked for it",
        ),
        sa.Column(
            "evaluated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was evaluated",
        ),
        sa.ForeignKeyConstraint(
            ["prospect_run_id"],
            ["lode.prospect_run.prospect_run_id"],
            name=op.f("prospect_evaluation_prospect_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prospect_evaluation_id", name=op.f("prospect_evaluation_pkey")),
        schema="lode",
        comment="How known deposits rank in a search that was made without them",
    )
    op.create_index(
        "prospect_evaluation_run_idx", "prospect_evaluation", ["prospect_run_id"], unique=False, schema="lode"
    )
    op.create_table(
        "prospect_reason",
        sa.Column(
            "prospect_reason_id", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("prospect_run_id", sa.Integer(), nullable=False, comment="The search"),
        sa.Column("row_px", sa.Integer(), nullable=False, comment="Row of the cell, as in prospect"),
        sa.Column("col_px", sa.Integer(), nullable=False, comment="Column of the cell, as in prospect"),
        sa.Column(
            "place", sa.Integer(), nullable=False, comment="Elements first, then geology, each by its share"
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="element, geophysics or geology"),
        sa.Column("name", sa.Text(), nullable=False, comment="Element, layer or geological feature"),
        sa.Column("value", sa.Double(), nullable=True, comment="What was found there, in unit"),
        sa.Column("unit", sa.Text(), nullable=True, comment="Unit of value and expected"),
        sa.Column(
            "expected",
            sa.Double(),
            nullable=True,
            comment="What the method expected there; null: it expects nothing",
        ),
        sa.Column(
            "deviations", sa.Double(), nullable=True, comment="How many robust deviations it exceeds that"
        ),
        sa.Column(
            "share",
            sa.Double(),
            nullable=True,
            comment="Of the anomaly, or of the favourability, that it makes up, 0..1",
        ),
        sa.CheckConstraint(
            "kind in ('element', 'geophysics', 'geology')", name=op.f("prospect_reason_kind_check")
        ),
        sa.CheckConstraint("share between 0 and 1", name=op.f("prospect_reason_share_check")),
        sa.ForeignKeyConstraint(
            ["prospect_run_id"],
            ["lode.prospect_run.prospect_run_id"],
            name=op.f("prospect_reason_prospect_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prospect_reason_id", name=op.f("prospect_reason_pkey")),
        schema="lode",
        comment="Why cells score: elements that exceed what was expected, and geology that favours ore",
    )
    op.create_index(
        "prospect_reason_place_idx",
        "prospect_reason",
        ["prospect_run_id", "row_px", "col_px", "place"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "prospect_evaluation_figure",
        sa.Column(
            "prospect_evaluation_figure_id",
            sa.Integer(),
            sa.Identity(always=False),
            nullable=False,
            comment="Key",
        ),
        sa.Column("prospect_evaluation_id", sa.Integer(), nullable=False, comment="The evaluation"),
        sa.Column(
            "score",
            sa.Text(),
            nullable=False,
            comment="Whose figure: a score of the search, or a plain answer",
        ),
        sa.Column(
            "figure", sa.Text(), nullable=False, comment="roc_auc, capture_5, density, ..., or a difference"
        ),
        sa.Column("value", sa.Double(), nullable=True, comment="Its value; null: it has none"),
        sa.Column(
            "low", sa.Double(), nullable=True, comment="Lower end of its interval; null: too few deposits"
        ),
        sa.Column(
            "high", sa.Double(), nullable=True, comment="Upper end of its interval; null: too few deposits"
        ),
        sa.Column(
            "null_p",
            sa.Double(),
            nullable=True,
            comment="Share of shifted deposits that do as well; null: not asked",
        ),
        sa.ForeignKeyConstraint(
            ["prospect_evaluation_id"],
            ["lode.prospect_evaluation.prospect_evaluation_id"],
            name=op.f("prospect_evaluation_figure_prospect_evaluation_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "prospect_evaluation_figure_id", name=op.f("prospect_evaluation_figure_pkey")
        ),
        schema="lode",
        comment="Figures of evaluations with their intervals",
    )
    op.create_index(
        "prospect_evaluation_figure_idx",
        "prospect_evaluation_figure",
        ["prospect_evaluation_id", "score", "figure"],
        unique=True,
        schema="lode",
    )
    op.add_column(
        "evidence_layer",
        sa.Column(
            "error_kind",
            sa.Text(),
            nullable=True,
            comment="What the second band of its tiles holds: kriging_standard_error or cross_validation_error; null: they have one band",
        ),
        schema="lode",
    )
    op.add_column(
        "evidence_layer",
        sa.Column(
            "gridding",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="How samples were gridded, and how well; null: it came as a raster",
        ),
        schema="lode",
    )
    op.alter_column(
        "feature_source",
        "kind",
        existing_type=sa.TEXT(),
        comment="labels, mines, faults, plutons, lithology, deposits or regions",
        existing_comment="labels, mines, faults, plutons, deposits or regions",
        existing_nullable=False,
        schema="lode",
    )
    op.add_column(
        "prospect",
        sa.Column(
            "anomaly",
            sa.Double(),
            nullable=True,
            comment="Excess over what was expected, in deviations; null: no such score",
        ),
        schema="lode",
    )
    op.add_column(
        "prospect",
        sa.Column(
            "favourability",
            sa.Double(),
            nullable=True,
            comment="Of the mapped geology, 0..1; null: no such score",
        ),
        schema="lode",
    )
    op.add_column(
        "prospect",
        sa.Column(
            "prospectivity_spread",
            sa.Double(),
            nullable=True,
            comment="Standard deviation of the prospectivity over seeds",
        ),
        schema="lode",
    )
    op.add_column(
        "prospect",
        sa.Column(
            "anomaly_spread",
            sa.Double(),
            nullable=True,
            comment="Standard deviation of the anomaly over seeds",
        ),
        schema="lode",
    )
    op.add_column(
        "prospect",
        sa.Column(
            "favourability_spread",
            sa.Double(),
            nullable=True,
            comment="Standard deviation of the favourability over seeds",
        ),
        schema="lode",
    )
    op.alter_column(
        "prospect",
        "probability",
        existing_type=sa.Double(),
        comment="Probability of ore, 0..1: mean over the patches that hold the cell; prospectivity, 0..1, where that is the score of the search",
        existing_comment="Probability of ore, 0..1: mean over the patches that hold the cell",
        existing_nullable=False,
        schema="lode",
    )
    op.add_column(
        "prospect_run",
        sa.Column(
            "score_kind",
            sa.Text(),
            server_default="probability",
            nullable=False,
            comment="What its cells hold: probability of ore, or prospectivity, which is a rank",
        ),
        schema="lode",
    )
    op.create_check_constraint(
        op.f("evidence_layer_error_kind_check"),
        "evidence_layer",
        "error_kind in ('kriging_standard_error', 'cross_validation_error')",
        schema="lode",
    )
    op.create_check_constraint(
        op.f("prospect_run_score_kind_check"),
        "prospect_run",
        "score_kind in ('probability', 'prospectivity')",
        schema="lode",
    )
    # 0009 named it so by mistake: its name went through the naming convention twice.
    op.drop_constraint(
        op.f("feature_source_feature_source_kind_check_check"), "feature_source", schema="lode"
    )
    op.create_check_constraint(
        op.f("feature_source_kind_check"),
        "feature_source",
        "kind in ('labels', 'mines', 'faults', 'plutons', 'lithology', 'deposits', 'regions')",
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
