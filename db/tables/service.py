"""Work that waits or runs: parts of a run, what they staged, the workers, and what each role may ask for.

The queue itself lies in schema ``lode_queue`` and belongs to procrastinate (``db.queue.schema``).
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from db.tables.base import SCHEMA, metadata, moment_column
from db.tables.interpretation import run

run_block = Table(
    "run_block",
    metadata,
    Column(
        "run_id",
        ForeignKey(run.c.run_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The run",
    ),
    Column("block", Integer, primary_key=True, autoincrement=False, comment="Number, from 0 at the top"),
    Column("first_row_px", Integer, nullable=False, comment="First row of the scene, from 0"),
    Column("row_count_px", Integer, nullable=False, comment="Rows, pixels"),
    Column(
        "status",
        Text,
        nullable=False,
        server_default=text("'waiting'"),
        comment="waiting, running, or staged: its classes and probabilities wait for publication",
    ),
    Column("attempt", Integer, nullable=False, server_default=text("0"), comment="Times it was started"),
    Column("token", UUID(as_uuid=True), comment="Right to stage; changes with every attempt"),
    Column("worker", Text, comment="Who computes or computed it: host, process and device"),
    Column("lode_version", Text, comment="Version of Lode that computes or computed it"),
    Column("stage", Text, comment="What its worker does: classifying, outlining, storing polygons, ..."),
    Column("done", Integer, nullable=False, server_default=text("0"), comment="Units of the stage done"),
    Column("total", Integer, nullable=False, server_default=text("0"), comment="Units in all; 0: not known"),
    moment_column("started_at", "Start of the last attempt"),
    moment_column("updated_at", "When its worker last told how far it is"),
    CheckConstraint("status in ('waiting', 'running', 'staged')", name="status"),
    CheckConstraint("first_row_px >= 0 and row_count_px > 0", name="rows"),
    CheckConstraint("status = 'waiting' or token is not null", name="token"),
    schema=SCHEMA,
    comment="Parts of a run: strips of a large scene that several workers share; a small scene has one",
)

run_stage = Table(
    "run_stage",
    metadata,
    Column("run_id", Integer, primary_key=True, autoincrement=False, comment="The run"),
    Column("block", Integer, primary_key=True, autoincrement=False, comment="The block"),
    Column("row_px", Integer, primary_key=True, autoincrement=False, comment="First row, in the scene"),
    Column("class_map", LargeBinary, nullable=False, comment="uint8 (rows, width): codes; 255 not observed"),
    Column(
        "probability",
        LargeBinary,
        nullable=False,
        comment="uint8 (classes, rows, width): probability of each class times 200; 255 not observed",
    ),
    ForeignKeyConstraint(
        ["run_id", "block"], ["lode.run_block.run_id", "lode.run_block.block"], ondelete="CASCADE"
    ),
    schema=SCHEMA,
    comment="What finished blocks wait with for publication, which empties it; nobody else reads it",
)

worker = Table(
    "worker",
    metadata,
    Column(
        "worker_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Key; the same as in lode_queue.procrastinate_workers, which has its heartbeat",
    ),
    Column("host", Text, nullable=False, comment="Name of its machine"),
    Column("process_id", Integer, nullable=False, comment="Number of its process there"),
    Column("device", Text, nullable=False, comment="What it computes on"),
    Column("queues", ARRAY(Text), nullable=False, comment="Queues it takes work from"),
    Column("versions", JSONB, nullable=False, comment="Versions of its software"),
    Column(
        "silent_s",
        Double,
        nullable=False,
        server_default=text("60"),
        comment="Seconds without a heartbeat after which it counts as dead",
    ),
    Column("login", Text, nullable=False, server_default=text("session_user"), comment="Its database role"),
    moment_column("started_at", "When it registered", now=True),
    schema=SCHEMA,
    comment="Workers that registered; those that stopped or died are swept",
)

sweep = Table(
    "sweep",
    metadata,
    Column("sweep_id", Integer, primary_key=True, autoincrement=False, comment="Always 1"),
    moment_column("swept_at", "When workers last swept what nobody needs any more", now=True),
    CheckConstraint("sweep_id = 1", name="single"),
    schema=SCHEMA,
    comment="When the queue was last swept: of all workers one does it, once a minute",
)

quota = Table(
    "quota",
    metadata,
    Column("role_name", Text, primary_key=True, comment="Role or group; empty: everybody without a row"),
    Column("pending_runs", Integer, comment="Runs it may have waiting or running; null: any number"),
    Column("area_km2_per_day", Double, comment="Area it may ask for in 24 hours, km2; null: any"),
    CheckConstraint("pending_runs >= 0", name="pending_runs"),
    CheckConstraint(
        "area_km2_per_day >= 0 and area_km2_per_day < 'infinity'::double precision", name="area_km2_per_day"
    ),
    schema=SCHEMA,
    comment="How much each role may ask for; of several that hold for a login the most generous counts",
)
