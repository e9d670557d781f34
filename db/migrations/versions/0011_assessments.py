"""Sampled checks of the year map.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry

from db.errors import UsageError

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sampled checks of the year map."""
    op.create_table(
        "assessment",
        sa.Column("assessment_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year of the map that is assessed"),
        sa.Column(
            "stratified_by",
            sa.Text(),
            nullable=False,
            comment="class: strata are classes of the map; kind: legal kinds of damage, the rest undamaged",
        ),
        sa.Column("scope", sa.Text(), nullable=False, comment="Which ground was sampled, in words"),
        sa.Column(
            "mine_codes",
            sa.ARRAY(sa.Text()),
            nullable=True,
            comment="Mines whose ground was sampled, mine.code; null: the ground of all mines, counted once",
        ),
        sa.Column(
            "total_area_m2", sa.Double(), nullable=False, comment="Area of all strata, m2 (geodesic, WGS 84)"
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="Seed the points were drawn with"),
        sa.Column(
            "requested_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who asked",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the points were drawn",
        ),
        sa.Column(
            "drawn_sha256",
            sa.Text(),
            nullable=True,
            comment="SHA-256 of design, strata and points as they were drawn (lode_api.assessment_seal); kept "
            "when the draw is over, after which none of them can be changed; null: not over",
        ),
        sa.CheckConstraint("stratified_by in ('class', 'kind')", name=op.f("assessment_stratified_by_check")),
        sa.CheckConstraint(
            "mine_codes is null or cardinality(mine_codes) > 0", name=op.f("assessment_mines_check")
        ),
        sa.CheckConstraint("drawn_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("assessment_drawn_sha256_check")),
        sa.CheckConstraint("total_area_m2 > 0", name=op.f("assessment_area_check")),
        sa.PrimaryKeyConstraint("assessment_id", name=op.f("assessment_pkey")),
        sa.UniqueConstraint("name", name=op.f("assessment_name_key")),
        schema="lode",
        comment="Sampled checks of the year map: stratified random points inside mines, Olofsson et al. 2014",
    )
    op.create_table(
        "assessment_stratum",
        sa.Column(
            "assessment_stratum_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("assessment_id", sa.Integer(), nullable=False, comment="The assessment"),
        sa.Column(
            "land_class_code",
            sa.Integer(),
            nullable=True,
            comment="Class of the map, where strata are classes",
        ),
        sa.Column(
            "damage_kind",
            sa.Text(),
            nullable=True,
            comment="excavated, occupied, subsided or undamaged, where strata are kinds of damage",
        ),
        sa.Column(
            "area_m2",
            sa.Double(),
            nullable=False,
            comment="Mapped area when it was sampled, m2 (geodesic, WGS 84)",
        ),
        sa.Column("sample_count", sa.Integer(), nullable=False, comment="Points drawn in it"),
        sa.CheckConstraint(
            "damage_kind in ('excavated', 'occupied', 'subsided', 'undamaged')",
            name=op.f("assessment_stratum_kind_check"),
        ),
        sa.CheckConstraint(
            "(land_class_code is null) <> (damage_kind is null)",
            name=op.f("assessment_stratum_stratum_check"),
        ),
        sa.CheckConstraint("area_m2 > 0", name=op.f("assessment_stratum_area_check")),
        sa.CheckConstraint("sample_count >= 2", name=op.f("assessment_stratum_sample_count_check")),
        sa.ForeignKeyConstraint(
            ["assessment_id"],
            ["lode.assessment.assessment_id"],
            name=op.f("assessment_stratum_assessment_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("assessment_stratum_land_class_code_fkey"),
        ),
        sa.PrimaryKeyConstraint("assessment_stratum_id", name=op.f("assessment_stratum_pkey")),
        schema="lode",
        comment="Strata of an assessment: what the map shows, with its area and the points drawn in it",
    )
    op.create_index(
        "assessment_stratum_class_idx",
        "assessment_stratum",
        ["assessment_id", "land_class_code"],
        unique=True,
        schema="lode",
    )
    op.create_index(
        "assessment_stratum_kind_idx",
        "assessment_stratum",
        ["assessment_id", "damage_kind"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "sample_point",
        sa.Column("sample_point_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("assessment_id", sa.Integer(), nullable=False, comment="The assessment"),
        sa.Column(
            "assessment_stratum_id",
            sa.Integer(),
            nullable=False,
            comment="The stratum it was drawn in; to be hidden from interpreters",
        ),
        sa.Column(
            "number",
            sa.Integer(),
            nullable=False,
            comment="Number interpreters know it by, from 1; dealt at random, so that it tells no stratum",
        ),
        sa.Column(
            "geom",
            Geometry("POINT", srid=4326, spatial_index=False),
            nullable=False,
            comment="Where it lies, EPSG:4326; drawn at random and not to be moved",
        ),
        sa.CheckConstraint("number >= 1", name=op.f("sample_point_number_check")),
        sa.ForeignKeyConstraint(
            ["assessment_id"],
            ["lode.assessment.assessment_id"],
            name=op.f("sample_point_assessment_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["assessment_stratum_id"],
            ["lode.assessment_stratum.assessment_stratum_id"],
            name=op.f("sample_point_assessment_stratum_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sample_point_id", name=op.f("sample_point_pkey")),
        schema="lode",
        comment="Random points whose true class interpreters tell; the mapped class is not shown, on purpose",
    )
    op.create_index(
        op.f("sample_point_assessment_stratum_id_idx"),
        "sample_point",
        ["assessment_stratum_id"],
        unique=False,
        schema="lode",
    )
    op.create_index(
        "sample_point_geom_gist",
        "sample_point",
        ["geom"],
        unique=False,
        schema="lode",
        postgresql_using="gist",
    )
    op.create_index(
        "sample_point_number_idx", "sample_point", ["assessment_id", "number"], unique=True, schema="lode"
    )
    op.create_table(
        "sample_answer",
        sa.Column("sample_answer_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("sample_point_id", sa.Integer(), nullable=False, comment="The point"),
        sa.Column(
            "interpreter",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Who answered, each interpreter a point once; the database login, or whom the owner of the "
            "table imported it for",
        ),
        sa.Column(
            "land_class_code",
            sa.Integer(),
            nullable=True,
            comment="Class the interpreter saw there (reference class); null: cannot tell",
        ),
        sa.Column(
            "answered_on",
            sa.Date(),
            server_default=sa.text("current_date"),
            nullable=False,
            comment="Day of the answer",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="What the interpreter wants to be known"),
        sa.Column(
            "entered_by",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Database login that stored it as it is; kept by trigger",
        ),
        sa.Column(
            "entered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was stored as it is; kept by trigger",
        ),
        sa.CheckConstraint(
            "interpreter <> '' and interpreter = btrim(interpreter)",
            name=op.f("sample_answer_interpreter_check"),
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("sample_answer_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["sample_point_id"],
            ["lode.sample_point.sample_point_id"],
            name=op.f("sample_answer_sample_point_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sample_answer_id", name=op.f("sample_answer_pkey")),
        schema="lode",
        comment="What interpreters saw at sample points; filled by import, or in a GIS client through "
        "lode_api.sample_task",
    )
    op.create_index(
        "sample_answer_interpreter_idx",
        "sample_answer",
        ["sample_point_id", "interpreter"],
        unique=True,
        schema="lode",
    )
    _create_past_answers()


def _create_past_answers() -> None:
    op.create_table(
        "sample_answer_past",
        sa.Column(
            "sample_answer_past_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"
        ),
        sa.Column("sample_point_id", sa.Integer(), nullable=False, comment="The point"),
        sa.Column("interpreter", sa.Text(), nullable=False, comment="Who had answered"),
        sa.Column(
            "land_class_code",
            sa.Integer(),
            nullable=True,
            comment="Class the interpreter saw there (reference class); null: cannot tell",
        ),
        sa.Column(
            "answered_on",
            sa.Date(),
            server_default=sa.text("current_date"),
            nullable=False,
            comment="Day of the answer",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="What the interpreter wants to be known"),
        sa.Column("entered_by", sa.Text(), nullable=False, comment="Database login that had stored it"),
        sa.Column(
            "entered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it had been stored",
        ),
        sa.Column(
            "ended_by", sa.Text(), nullable=False, comment="Database login that changed it or took it back"
        ),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was changed or taken back",
        ),
        sa.Column(
            "is_taken_back",
            sa.Boolean(),
            nullable=False,
            comment="It was deleted; false: the interpreter's next answer took its place",
        ),
        sa.ForeignKeyConstraint(
            ["land_class_code"],
            ["lode.land_class.land_class_code"],
            name=op.f("sample_answer_past_land_class_code_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["sample_point_id"],
            ["lode.sample_point.sample_point_id"],
            name=op.f("sample_answer_past_sample_point_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sample_answer_past_id", name=op.f("sample_answer_past_pkey")),
        schema="lode",
        comment="Answers at sample points that were changed or taken back, as they had been; kept by trigger, "
        "grows only and goes with its assessment",
    )
    op.create_index(
        "sample_answer_past_point_idx",
        "sample_answer_past",
        ["sample_point_id", "interpreter"],
        unique=False,
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
