"""Parts of runs, what they stage, workers and quotas; the queue in a schema of its own.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.errors import UsageError
from db.queue.schema import install_queue
from db.upgrade import dbapi_cursor

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_IDENTITY = """
update lode.run r
set parameters = n.parameters, parameters_digest = n.parameters_digest
from (
  select m.run_id, m.parameters,
    case row_number() over (
      partition by m.scene_id, m.model_id, m.digest
      order by m.is_current desc, m.status = 'published' desc, m.status = 'withdrawn' desc, m.run_id desc
    )
      when 1 then m.digest
      else m.parameters_digest
    end as parameters_digest
  from (
    select o.run_id, o.scene_id, o.model_id, o.is_current, o.status, o.parameters_digest,
      p.settings || jsonb_build_object(
        'block_px',
        case when o.status in ('published', 'withdrawn')
          then greatest(16777216, s.width_px::bigint * s.height_px) else 16777216 end
      ) as parameters,
      encode(sha256(convert_to(p.settings::text, 'UTF8')), 'hex') as digest
    from lode.run o
    join lode.scene s on s.scene_id = o.scene_id
    cross join lateral (
      select o.parameters || jsonb_build_object(
        'overlap_px', cast(o.parameters ->> 'overlap_px' as integer),
        'tile_px', cast(o.parameters ->> 'tile_px' as integer),
        'max_segment_m', cast(o.parameters ->> 'max_segment_m' as double precision),
        'min_patch_m2', (
          select coalesce(jsonb_object_agg(c.key, cast(c.value as double precision)), '{}')
          from jsonb_each_text(o.parameters -> 'min_patch_m2') as c
        )
      ) as settings
    ) as p
    where o.parameters ?& array['overlap_px', 'tile_px', 'max_segment_m', 'min_patch_m2']
  ) as m
) as n
where r.run_id = n.run_id
"""
"""Gives older runs the identity that requests look for from here on (lode_api.ask_run): the digest of the settings
as the database writes them, 500 where Python wrote 500.0. ``block_px`` is no part of it: what was published before
had one block, the whole scene; what was not is split when it is computed. Of runs that become equal, which no Lode
made, the one that counts has the digest; the others keep theirs, and what they published."""


def upgrade() -> None:
    """Make the tables of the service and the queue."""
    op.create_table(
        "quota",
        sa.Column(
            "role_name", sa.Text(), nullable=False, comment="Role or group; empty: everybody without a row"
        ),
        sa.Column(
            "pending_runs",
            sa.Integer(),
            nullable=True,
            comment="Runs it may have waiting or running; null: any number",
        ),
        sa.Column(
            "area_km2_per_day",
            sa.Double(),
            nullable=True,
            comment="Area it may ask for in 24 hours, km2; null: any",
        ),
        sa.CheckConstraint(
            "area_km2_per_day >= 0 and area_km2_per_day < 'infinity'::double precision",
            name=op.f("quota_area_km2_per_day_check"),
        ),
        sa.CheckConstraint("pending_runs >= 0", name=op.f("quota_pending_runs_check")),
        sa.PrimaryKeyConstraint("role_name", name=op.f("quota_pkey")),
        schema="lode",
        comment="How much each role may ask for; of several that hold for a login the most generous counts",
    )
    # A province of 200,000 km2 a day; the whole country is fifty times that.
    op.execute(
        "insert into lode.quota (role_name, pending_runs, area_km2_per_day)"
        " values ('', 500, 200000), ('lode_worker', null, null), ('lode_owner', null, null)"
    )
    op.create_table(
        "sweep",
        sa.Column("sweep_id", sa.Integer(), autoincrement=False, nullable=False, comment="Always 1"),
        sa.Column(
            "swept_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When workers last swept what nobody needs any more",
        ),
        sa.CheckConstraint("sweep_id = 1", name=op.f("sweep_single_check")),
        sa.PrimaryKeyConstraint("sweep_id", name=op.f("sweep_pkey")),
        schema="lode",
        comment="When the queue was last swept: of all workers one does it, once a minute",
    )
    op.execute("insert into lode.sweep (sweep_id) values (1)")
    op.create_table(
        "worker",
        sa.Column(
            "worker_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Key; the same as in lode_queue.procrastinate_workers, which has its heartbeat",
        ),
        sa.Column("host", sa.Text(), nullable=False, comment="Name of its machine"),
        sa.Column("process_id", sa.Integer(), nullable=False, comment="Number of its process there"),
        sa.Column("device", sa.Text(), nullable=False, comment="What it computes on"),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False, comment="Queues it takes work from"),
        sa.Column("versions", postgresql.JSONB(), nullable=False, comment="Versions of its software"),
        sa.Column(
            "silent_s",
            sa.Double(),
            server_default=sa.text("60"),
            nullable=False,
            comment="Seconds without a heartbeat after which it counts as dead",
        ),
        sa.Column(
            "login",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="Its database role",
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it registered",
        ),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("worker_pkey")),
        schema="lode",
        comment="Workers that registered; those that stopped or died are swept",
    )
    op.create_table(
        "run_block",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False, comment="The run"),
        sa.Column(
            "block", sa.Integer(), autoincrement=False, nullable=False, comment="Number, from 0 at the top"
        ),
        sa.Column("first_row_px", sa.Integer(), nullable=False, comment="First row of the scene, from 0"),
        sa.Column("row_count_px", sa.Integer(), nullable=False, comment="Rows, pixels"),
        sa.Column(
            "status",
            sa.Text(),
            server_default=sa.text("'waiting'"),
            nullable=False,
            comment="waiting, running, or staged: its classes and probabilities wait for publication",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Times it was started",
        ),
        sa.Column("token", sa.UUID(), nullable=True, comment="Right to stage; changes with every attempt"),
        sa.Column(
            "worker",
            sa.Text(),
            nullable=True,
            comment="Who computes or computed it: host, process and device",
        ),
        sa.Column(
            "lode_version",
            sa.Text(),
            nullable=True,
            comment="Version of Lode that computes or computed it",
        ),
        sa.Column(
            "stage",
            sa.Text(),
            nullable=True,
            comment="What its worker does: classifying, outlining, storing polygons, ...",
        ),
        sa.Column(
            "done",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Units of the stage done",
        ),
        sa.Column(
            "total",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Units in all; 0: not known",
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=True, comment="Start of the last attempt"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its worker last told how far it is",
        ),
        sa.CheckConstraint("status = 'waiting' or token is not null", name=op.f("run_block_token_check")),
        sa.CheckConstraint("status in ('waiting', 'running', 'staged')", name=op.f("run_block_status_check")),
        sa.CheckConstraint("first_row_px >= 0 and row_count_px > 0", name=op.f("run_block_rows_check")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["lode.run.run_id"], name=op.f("run_block_run_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "block", name=op.f("run_block_pkey")),
        schema="lode",
        comment="Parts of a run: strips of a large scene that several workers share; a small scene has one",
    )
    op.create_table(
        "run_stage",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False, comment="The run"),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False, comment="The block"),
        sa.Column(
            "row_px", sa.Integer(), autoincrement=False, nullable=False, comment="First row, in the scene"
        ),
        sa.Column(
            "class_map",
            sa.LargeBinary(),
            nullable=False,
            comment="uint8 (rows, width): codes; 255 not observed",
        ),
        sa.Column(
            "probability",
            sa.LargeBinary(),
            nullable=False,
            comment="uint8 (classes, rows, width): probability of each class times 200; 255 not observed",
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "block"],
            ["lode.run_block.run_id", "lode.run_block.block"],
            name=op.f("run_stage_run_id_block_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "block", "row_px", name=op.f("run_stage_pkey")),
        schema="lode",
        comment="What finished blocks wait with for publication, which empties it; nobody else reads it",
    )
    # Classes and probabilities shrink well; pglz, the default, takes twice the time for the same size.
    bind = op.get_bind()
    if bind.scalar(
        sa.text("select 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'")
    ):
        for column in ("class_map", "probability"):
            op.execute(f"alter table lode.run_stage alter column {column} set compression lz4")
    op.add_column(
        "run",
        sa.Column(
            "becomes_current",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Stands for its scene when it is published, even if another run does",
        ),
        schema="lode",
    )
    op.add_column(
        "run",
        sa.Column(
            "queued_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it was put into the queue; null: whoever asked computes it (lode infer)",
        ),
        schema="lode",
    )
    op.alter_column(
        "run",
        "status",
        comment="requested, running, published, failed, cancelled or withdrawn",
        existing_type=sa.Text(),
        existing_nullable=False,
        schema="lode",
    )
    op.drop_constraint("run_status_check", "run", schema="lode")
    op.create_check_constraint(
        op.f("run_status_check"),
        "run",
        "status in ('requested', 'running', 'published', 'failed', 'cancelled', 'withdrawn')",
        schema="lode",
    )
    op.execute(_IDENTITY)
    op.create_index(
        "run_pending_idx",
        "run",
        ["requested_by"],
        schema="lode",
        postgresql_where=sa.text("status in ('requested', 'running')"),
    )
    op.create_index("run_requested_idx", "run", ["requested_by", "requested_at"], schema="lode")
    with dbapi_cursor(op.get_bind()) as cursor:
        install_queue(cursor)


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
