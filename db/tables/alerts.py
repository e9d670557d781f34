"""Alerts of damage: the rules that raise them, and what inspectors said of them."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.ground import mine

_KINDS = "kind in ('new_damage', 'outside_licence', 'tailings_growth')"
_LEVELS = "level in ('notice', 'warning', 'severe')"

alert_rule = Table(
    "alert_rule",
    metadata,
    key_column("alert_rule_id", "Key"),
    Column("kind", Text, nullable=False, comment="new_damage, outside_licence or tailings_growth"),
    Column("level", Text, nullable=False, comment="Level it raises: notice, warning or severe"),
    Column("threshold_m2", Double, comment="Least area, m2 (geodesic, WGS 84); null: any"),
    Column(
        "threshold_fraction",
        Double,
        comment="Least share (alert.share); null: any. A pond where there was none exceeds every share",
    ),
    Column(
        "is_enabled",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="Whether the rule raises alerts",
    ),
    CheckConstraint(_KINDS, name="kind"),
    CheckConstraint(_LEVELS, name="level"),
    CheckConstraint(
        "threshold_m2 is not null or threshold_fraction is not null",
        name="threshold",
    ),
    CheckConstraint("threshold_m2 >= 0 and threshold_m2 < 'infinity'::double precision", name="threshold_m2"),
    CheckConstraint(
        "threshold_fraction >= 0 and threshold_fraction < 'infinity'::double precision",
        name="threshold_fraction",
    ),
    schema=SCHEMA,
    comment="When an alert is raised: all thresholds of a rule must be met, and the highest level of "
    "all rules counts; alerts follow an edit at once",
)

alert = Table(
    "alert",
    metadata,
    key_column("alert_id", "Key"),
    Column("mine_id", ForeignKey(mine.c.mine_id, ondelete="CASCADE"), nullable=False, comment="The mine"),
    Column("kind", Text, nullable=False, comment="new_damage, outside_licence or tailings_growth"),
    Column("from_year", Integer, comment="Earlier year; null for damage outside the licence"),
    Column("to_year", Integer, nullable=False, comment="Year it was seen in"),
    Column("level", Text, nullable=False, comment="notice, warning or severe, by alert_rule"),
    Column("reason", Text, nullable=False, comment="Why it was raised, with the numbers, English"),
    Column("reason_zh", Text, nullable=False, comment="Why it was raised, with the numbers, Chinese"),
    Column("area_m2", Double, nullable=False, comment="Area of its ground, m2 (geodesic, WGS 84)"),
    Column(
        "share",
        Double,
        comment="New damage: of the mine's area; outside the licence: of the mine's damage of that year; "
        "growth of a tailings pond: of the pond before; null: there was none, or nobody looked for one",
    ),
    Column(
        "confidence",
        Double,
        nullable=False,
        comment="How sure it is that the ground is what it says, 0..1; rises when another scene agrees",
    ),
    Column(
        "agreeing_scene_count",
        Integer,
        nullable=False,
        comment="Further scenes of the year that agree; the next observed year counts as one",
    ),
    Column(
        "run_ids",
        ARRAY(Integer),
        nullable=False,
        comment="Runs that found the ground; none: interpreters did",
    ),
    moment_column("first_raised_at", "When it was raised first", now=True),
    moment_column("updated_at", "When what is derived of it last changed", now=True),
    Column(
        "is_current",
        Boolean,
        nullable=False,
        server_default=text("true"),
        comment="The condition still holds; a reviewed alert stays when it no longer does, an open one goes",
    ),
    Column(
        "state",
        Text,
        nullable=False,
        server_default=text("'open'"),
        comment="open, confirmed or rejected: set by the inspector",
    ),
    Column("reviewed_by", Text, comment="Database role that confirmed or rejected it"),
    moment_column("reviewed_at", "When it was confirmed or rejected"),
    Column("reviewed_level", Text, comment="Level it had when it was reviewed"),
    Column("reviewed_area_m2", Double, comment="Area it had when it was reviewed, m2"),
    Column(
        "unreviewed_area_m2",
        Double,
        comment="Part of its ground outside what was reviewed, without slivers, m2 (geodesic, WGS 84); "
        "null: not reviewed",
    ),
    Column("note", Text, comment="What the inspector says of it"),
    Column("start_date", Date, nullable=False, comment="First day it is shown for"),
    Column("end_date", Date, nullable=False, comment="First day it is no longer shown for"),
    geometry_column("geom", "MULTIPOLYGON", "The ground it speaks of, EPSG:4326"),
    CheckConstraint(_KINDS, name="kind"),
    CheckConstraint(_LEVELS, name="level"),
    CheckConstraint("state in ('open', 'confirmed', 'rejected')", name="state"),
    CheckConstraint("from_year < to_year", name="years"),
    CheckConstraint("(from_year is null) = (kind = 'outside_licence')", name="from_year"),
    CheckConstraint("area_m2 > 0 and share >= 0", name="area"),
    CheckConstraint("confidence >= 0 and confidence <= 1 and agreeing_scene_count >= 0", name="confidence"),
    CheckConstraint(
        "(state = 'open') = (reviewed_at is null) and (reviewed_at is null) = (reviewed_by is null)"
        " and (reviewed_at is null) = (reviewed_level is null)"
        " and (reviewed_at is null) = (reviewed_area_m2 is null)"
        " and (reviewed_at is null) = (unreviewed_area_m2 is null)",
        name="reviewed",
    ),
    Index("alert_mine_kind_year_idx", "mine_id", "kind", "to_year", unique=True),
    spatial_index("alert", "geom"),
    schema=SCHEMA,
    comment="Alerts of damage; derived, but for state and note, which people set and derivation keeps",
)

alert_review = Table(
    "alert_review",
    metadata,
    key_column("alert_review_id", "Key"),
    Column(
        "alert_id",
        ForeignKey(alert.c.alert_id, ondelete="SET NULL"),
        comment="The alert; null: it is gone, with its mine or after it was opened again",
    ),
    Column("mine_code", Text, nullable=False, comment="Code the mine then had"),
    Column("kind", Text, nullable=False, comment="Kind of the alert"),
    Column("from_year", Integer, comment="Earlier year; null for damage outside the licence"),
    Column("to_year", Integer, nullable=False, comment="Year it was seen in"),
    Column(
        "state",
        Text,
        nullable=False,
        comment="confirmed, rejected, or open: an earlier review was taken back",
    ),
    Column("note", Text, comment="The alert's note as it then read; null: none was written"),
    Column("reviewed_by", Text, nullable=False, comment="Database role that said so"),
    moment_column("reviewed_at", "When it was said", now=True),
    Column("level", Text, nullable=False, comment="Level the alert then had"),
    Column("area_m2", Double, nullable=False, comment="Area it then had, m2 (geodesic, WGS 84)"),
    Column("confidence", Double, nullable=False, comment="Confidence it then had, 0..1"),
    Column("reason", Text, nullable=False, comment="Reason as it then read, English"),
    Column("reason_zh", Text, nullable=False, comment="Reason as it then read, Chinese"),
    geometry_column("geom", "MULTIPOLYGON", "The ground it then spoke of, EPSG:4326"),
    CheckConstraint(_KINDS, name="kind"),
    CheckConstraint(_LEVELS, name="level"),
    CheckConstraint("state in ('open', 'confirmed', 'rejected')", name="state"),
    Index("alert_review_alert_idx", "alert_id", "alert_review_id"),
    schema=SCHEMA,
    comment="Every review of an alert with what the reviewer saw; written by the database, never changed, "
    "and kept when the alert goes",
)
