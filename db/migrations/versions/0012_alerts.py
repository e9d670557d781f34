"""Alerts of damage: rules with their first thresholds, the alerts, and what was said of them.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# kind, level, least area in m2, least share. New damage of the 1,555 mines of a published survey of the central
# Tianshan (115 km2 in two years) is 37,000 m2 a mine and year: a notice is a quarter of it, severe is fivefold.
# What lies outside the licence is lower, it is unlawful at any size; a pond that grew by half is a warning
# however small it was.
_RULES = [
    ("new_damage", "notice", 10_000.0, None),
    ("new_damage", "warning", 50_000.0, None),
    ("new_damage", "severe", 200_000.0, None),
    ("outside_licence", "notice", 2_000.0, None),
    ("outside_licence", "warning", 10_000.0, None),
    ("outside_licence", "severe", 50_000.0, None),
    ("tailings_growth", "notice", 5_000.0, None),
    ("tailings_growth", "warning", 20_000.0, None),
    ("tailings_growth", "warning", 5_000.0, 0.5),
    ("tailings_growth", "severe", 50_000.0, None),
]


def upgrade() -> None:
    """Make the tables of alerts."""
    op.create_table(
        "alert_rule",
        sa.Column("alert_rule_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="new_damage, outside_licence or tailings_growth"
        ),
        sa.Column("level", sa.Text(), nullable=False, comment="Level it raises: notice, warning or severe"),
        sa.Column(
            "threshold_m2", sa.Double(), nullable=True, comment="Least area, m2 (geodesic, WGS 84); null: any"
        ),
        sa.Column(
            "threshold_fraction",
            sa.Double(),
            nullable=True,
            comment="Least share (alert.share); null: any. A pond where there was none exceeds every share",
        ),
        sa.Column(
            "is_enabled",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="Whether the rule raises alerts",
        ),
        sa.CheckConstraint(
            "kind in ('new_damage', 'outside_licence', 'tailings_growth')", name=op.f("alert_rule_kind_check")
        ),
        sa.CheckConstraint("level in ('notice', 'warning', 'severe')", name=op.f("alert_rule_level_check")),
        sa.CheckConstraint(
            "threshold_fraction >= 0 and threshold_fraction < 'infinity'::double precision",
            name=op.f("alert_rule_threshold_fraction_check"),
        ),
        sa.CheckConstraint(
            "threshold_m2 >= 0 and threshold_m2 < 'infinity'::double precision",
            name=op.f("alert_rule_threshold_m2_check"),
        ),
        sa.CheckConstraint(
            "threshold_m2 is not null or threshold_fraction is not null",
            name=op.f("alert_rule_threshold_check"),
        ),
        sa.PrimaryKeyConstraint("alert_rule_id", name=op.f("alert_rule_pkey")),
        schema="lode",
        comment="When an alert is raised: all thresholds of a rule must be met, and the highest level of all rules counts; alerts follow an edit at once",
    )
    op.create_table(
        "alert",
        sa.Column("alert_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("mine_id", sa.Integer(), nullable=False, comment="The mine"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="new_damage, outside_licence or tailings_growth"
        ),
        sa.Column(
            "from_year",
            sa.Integer(),
            nullable=True,
            comment="Earlier year; null for damage outside the licence",
        ),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Year it was seen in"),
        sa.Column("level", sa.Text(), nullable=False, comment="notice, warning or severe, by alert_rule"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="Why it was raised, with the numbers, English"
        ),
        sa.Column(
            "reason_zh", sa.Text(), nullable=False, comment="Why it was raised, with the numbers, Chinese"
        ),
        sa.Column(
            "area_m2", sa.Double(), nullable=False, comment="Area of its ground, m2 (geodesic, WGS 84)"
        ),
        sa.Column(
            "share",
            sa.Double(),
            nullable=True,
            comment="New damage: of the mine's area; outside the licence: of the mine's damage of that year; growth of a tailings pond: of the pond before; null: there was none, or nobody looked for one",
        ),
        sa.Column(
            "confidence",
            sa.Double(),
            nullable=False,
            comment="How sure it is that the ground is what it says, 0..1; rises when another scene agrees",
        ),
        sa.Column(
            "agreeing_scene_count",
            sa.Integer(),
            nullable=False,
            comment="Further scenes of the year that agree; the next observed year counts as one",
        ),
        sa.Column(
            "run_ids",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="Runs that found the ground; none: interpreters did",
        ),
        sa.Column(
            "first_raised_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was raised first",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When what is derived of it last changed",
        ),
        sa.Column(
            "is_current",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="The condition still holds; a reviewed alert stays when it no longer does, an open one goes",
        ),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'open'"),
            nullable=False,
            comment="open, confirmed or rejected: set by the inspector",
        ),
        sa.Column(
            "reviewed_by", sa.Text(), nullable=True, comment="Database role that confirmed or rejected it"
        ),
        sa.Column(
            "reviewed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was confirmed or rejected",
        ),
        sa.Column("reviewed_level", sa.Text(), nullable=True, comment="Level it had when it was reviewed"),
        sa.Column(
            "reviewed_area_m2", sa.Double(), nullable=True, comment="Area it had when it was reviewed, m2"
        ),
        sa.Column(
            "unreviewed_area_m2",
            sa.Double(),
            nullable=True,
            comment="Part of its ground outside what was reviewed, without slivers, m2 (geodesic, WGS 84); null: not reviewed",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="What the inspector says of it"),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day it is shown for"),
        sa.Column("end_date", sa.Date(), nullable=False, comment="First day it is no longer shown for"),
        sa.Column(
            "geom",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="The ground it speaks of, EPSG:4326",
        ),
        sa.CheckConstraint(
            "(from_year is null) = (kind = 'outside_licence')", name=op.f("alert_from_year_check")
        ),
        sa.CheckConstraint(
            "(state = 'open') = (reviewed_at is null) and (reviewed_at is null) = (reviewed_by is null)"
            " and (reviewed_at is null) = (reviewed_level is null)"
            " and (reviewed_at is null) = (reviewed_area_m2 is null)"
            " and (reviewed_at is null) = (unreviewed_area_m2 is null)",
            name=op.f("alert_reviewed_check"),
        ),
        sa.CheckConstraint(
            "kind in ('new_damage', 'outside_licence', 'tailings_growth')", name=op.f("alert_kind_check")
        ),
        sa.CheckConstraint("level in ('notice', 'warning', 'severe')", name=op.f("alert_level_check")),
        sa.CheckConstraint("state in ('open', 'confirmed', 'rejected')", name=op.f("alert_state_check")),
        sa.CheckConstraint("area_m2 > 0 and share >= 0", name=op.f("alert_area_check")),
        sa.CheckConstraint(
            "confidence >= 0 and confidence <= 1 and agreeing_scene_count >= 0",
            name=op.f("alert_confidence_check"),
        ),
        sa.CheckConstraint("from_year < to_year", name=op.f("alert_years_check")),
        sa.ForeignKeyConstraint(
            ["mine_id"], ["lode.mine.mine_id"], name=op.f("alert_mine_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("alert_pkey")),
        schema="lode",
        comment="Alerts of damage; derived, but for state and note, which people set and derivation keeps",
    )
    op.create_index(
        "alert_geom_gist", "alert", ["geom"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "alert_mine_kind_year_idx", "alert", ["mine_id", "kind", "to_year"], unique=True, schema="lode"
    )
    op.create_table(
        "alert_review",
        sa.Column("alert_review_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column(
            "alert_id",
            sa.Integer(),
            nullable=True,
            comment="The alert; null: it is gone, with its mine or after it was opened again",
        ),
        sa.Column("mine_code", sa.Text(), nullable=False, comment="Code the mine then had"),
        sa.Column("kind", sa.Text(), nullable=False, comment="Kind of the alert"),
        sa.Column(
            "from_year",
            sa.Integer(),
            nullable=True,
            comment="Earlier year; null for damage outside the licence",
        ),
        sa.Column("to_year", sa.Integer(), nullable=False, comment="Year it was seen in"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="confirmed, rejected, or open: an earlier review was taken back",
        ),
        sa.Column(
            "note",
            sa.Text(),
            nullable=True,
            comment="The alert's note as it then read; null: none was written",
        ),
        sa.Column("reviewed_by", sa.Text(), nullable=False, comment="Database role that said so"),
        sa.Column(
            "reviewed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was said",
        ),
        sa.Column("level", sa.Text(), nullable=False, comment="Level the alert then had"),
        sa.Column("area_m2", sa.Double(), nullable=False, comment="Area it then had, m2 (geodesic, WGS 84)"),
        sa.Column("confidence", sa.Double(), nullable=False, comment="Confidence it then had, 0..1"),
        sa.Column("reason", sa.Text(), nullable=False, comment="Reason as it then read, English"),
        sa.Column("reason_zh", sa.Text(), nullable=False, comment="Reason as it then read, Chinese"),
        sa.Column(
            "geom",
            Geometry("MULTIPOLYGON", srid=4326, spatial_index=False),
            nullable=False,
            comment="The ground it then spoke of, EPSG:4326",
        ),
        sa.CheckConstraint(
            "kind in ('new_damage', 'outside_licence', 'tailings_growth')",
            name=op.f("alert_review_kind_check"),
        ),
        sa.CheckConstraint("level in ('notice', 'warning', 'severe')", name=op.f("alert_review_level_check")),
        sa.CheckConstraint(
            "state in ('open', 'confirmed', 'rejected')", name=op.f("alert_review_state_check")
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["lode.alert.alert_id"],
            name=op.f("alert_review_alert_id_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("alert_review_id", name=op.f("alert_review_pkey")),
        schema="lode",
        comment="Every review of an alert with what the reviewer saw; written by the database, never changed, and kept when the alert goes",
    )
    op.create_index(
        "alert_review_alert_idx", "alert_review", ["alert_id", "alert_review_id"], unique=False, schema="lode"
    )
    op.get_bind().execute(
        sa.text(
            "insert into lode.alert_rule (kind, level, threshold_m2, threshold_fraction)"
            " values (:kind, :level, :area, :fraction)"
        ),
        [dict(zip(("kind", "level", "area", "fraction"), rule, strict=True)) for rule in _RULES],
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
