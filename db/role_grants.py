"""What each role may do in a Lode database: one table, applied at every upgrade.

What is granted beside it stays: ``lode db upgrade`` adds what is missing here and takes nothing away but what
everybody has by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from db.roles import ANALYST, MINE_OWNER, OWNER, READER, WORKER

Kind = Literal["database", "schema", "table", "sequence", "function", "computation"]


@dataclass(frozen=True)
class Grant:
    """Privileges of a role on objects of one kind.

    Attributes:
        role: the role.
        kind: what the objects are; ``table`` is any relation, ``computation`` any function that runs with its
            caller's rights and changes nothing.
        schema: their schema, or the schema itself; empty for the database.
        names: names of the objects, those of them that exist; None for all.
        privileges: in lower case.
        columns: the columns alone; empty for the whole table.

    """

    role: str
    kind: Kind
    schema: str
    names: tuple[str, ...] | None
    privileges: tuple[str, ...]
    columns: tuple[str, ...] = ()


SELECT = ("select",)
WRITE = ("insert", "update", "delete")
EXECUTE = ("execute",)

OWN_VIEWS = (
    "own_mine",
    "own_mine_damage",
    "own_damage_change",
    "own_damage_by_mine_year",
    "own_change_by_mine_year",
    "own_alert",
)
"""Views in which a mine owner's login finds its own mines' rows."""

OWN_FUNCTIONS = ("own_mines", "own_mine_rows", "own_damage_rows", "own_change_rows", "own_alert_rows")
"""Functions behind those views: whoever looks into a view needs the right to execute what it calls."""

TILES = ("landcover_tile", "landcover_tile_query", "damage_tile", "damage_tile_query")

REQUESTS = ("request_inference", "request_mine", "cancel_run")
"""Functions by which work is asked for in SQL."""

JOBS = (
    *("enqueue", "ask_run", "ask_report", "ask_scan", "put_in_queue", "block_finished", "reap_jobs"),
    "lock_accounts",
)
"""Functions that workers call to share work out among them and to publish it."""

TILE_TABLES = (
    *("create_tile_table", "register_overview", "analyze_tile_table", "attach_tile_table"),
    *("store_empty_tiles", "drop_tile_table"),
)
"""Functions by which workers make tables of tiles and drop them: they own none and may create nowhere."""

EDITED = (
    *("label", "mine", "fault", "pluton", "lithology", "deposit", "region", "region_layer", "report_period"),
    "mineral_system",
)
"""Tables that people fill; areas follow by triggers."""

PRODUCED = (
    *("scene", "scene_band", "run_block", "run_stage", "landcover", "observation"),
    *("model", "model_weights", "sample_set", "sample", "worker"),
    *("evidence_area", "evidence_layer", "geology_raster", "prospect_set", "prospect_patch"),
    *("prospect_run", "prospect", "prospect_target", "prospect_reason"),
    *("prospect_evaluation", "prospect_evaluation_figure"),
)
"""Tables that computation fills; areas follow by triggers."""

RUN_PROGRESS = (
    *("status", "attempt", "token", "started_at", "finished_at", "device", "versions", "figures", "error"),
    *("is_current", "priority", "withdrawn_at", "withdrawn_by", "withdrawn_reason"),
)
"""What workers write of a run. Who asked, when and for what is written by lode_api.ask_run alone."""

GRANTS: tuple[Grant, ...] = (
    # The owner makes schemas and temporary tables when it upgrades; the others connect by everybody's right.
    Grant(OWNER, "database", "", None, ("create", "temporary")),
    Grant(WORKER, "database", "", None, ("temporary",)),
    Grant(ANALYST, "database", "", None, ("temporary",)),
    # readers: reports, maps, tiles and pixels
    Grant(READER, "schema", "lode_api", None, ("usage",)),
    Grant(READER, "schema", "lode", None, ("usage",)),
    Grant(READER, "schema", "lode_raster", None, ("usage",)),
    Grant(READER, "table", "lode_api", None, SELECT),
    Grant(READER, "table", "lode_raster", None, SELECT),
    Grant(READER, "computation", "lode_api", None, EXECUTE),
    Grant(READER, "function", "lode_api", (*TILES, *OWN_FUNCTIONS), EXECUTE),
    # layers that servers take from tables, for the key
    Grant(READER, "table", "lode", ("mine", "mine_damage", "damage_patch", "damage_change"), SELECT),
    # what the view area_uncertainty looks up in the reader's name
    Grant(
        READER, "table", "lode", ("mine_zone",), SELECT, ("mine_zone_id", "mine_id", "is_exclusive", "geom")
    ),
    Grant(
        *(READER, "table", "lode", ("mine_piece",), SELECT),
        (
            *("mine_piece_id", "mine_zone_id", "year", "land_class_code", "landcover_id", "label_id"),
            *("area_m2", "geom"),
        ),
    ),
    Grant(READER, "table", "lode", ("landcover",), SELECT, ("landcover_id", "geom")),
    # analysts: what people draw and decide
    Grant(ANALYST, "table", "lode", EDITED, (*SELECT, *WRITE)),
    Grant(ANALYST, "table", "lode", ("feature_source",), (*SELECT, *WRITE)),
    Grant(
        *(ANALYST, "table", "lode"),
        (
            *("scene", "scene_band", "sensor", "sensor_band", "land_class", "run", "model", "landcover"),
            *("observation", "alert_rule", "alert", "alert_review", "run_block", "quota"),
            *("assessment", "assessment_stratum", "sample_point", "sample_answer_past"),
            *("evidence_area", "evidence_layer", "geology_raster", "prospect_set", "prospect_patch"),
            *("prospect_run", "prospect", "prospect_target", "prospect_reason"),
            *("prospect_evaluation", "prospect_evaluation_figure"),
        ),
        SELECT,
    ),
    Grant(ANALYST, "table", "lode", ("run",), ("update",), ("priority",)),
    Grant(ANALYST, "table", "lode", ("alert",), ("update",), ("state", "note")),
    Grant(ANALYST, "table", "lode_api", ("damage_alert",), ("update",), ("state", "note")),
    Grant(ANALYST, "table", "lode", ("alert_rule",), WRITE),
    Grant(ANALYST, "table", "lode", ("sample_answer",), (*SELECT, *WRITE)),
    Grant(ANALYST, "table", "lode_api", ("sample_task",), ("update",)),
    Grant(ANALYST, "table", "lode", ("ingest_source", "ingest_item"), SELECT),
    Grant(ANALYST, "table", "lode", ("ingest_source",), WRITE),
    Grant(ANALYST, "function", "lode_api", (*REQUESTS, "ask_scan", "lock_accounts"), EXECUTE),
    # workers: scenes, networks, runs and what they find; the queue
    Grant(WORKER, "schema", "lode", None, ("usage",)),
    Grant(WORKER, "schema", "lode_api", None, ("usage",)),
    Grant(WORKER, "schema", "lode_queue", None, ("usage",)),
    Grant(WORKER, "schema", "lode_raster", None, ("usage",)),
    Grant(WORKER, "table", "lode_raster", None, SELECT),
    Grant(WORKER, "table", "lode", None, SELECT),
    Grant(WORKER, "table", "lode_api", None, SELECT),
    Grant(WORKER, "table", "lode", PRODUCED, WRITE),
    Grant(WORKER, "table", "lode", ("run",), ("update",), RUN_PROGRESS),
    # keys that are wanted before their row is written
    Grant(WORKER, "sequence", "lode", tuple(f"{table}_{table}_id_seq" for table in PRODUCED), ("usage",)),
    Grant(WORKER, "table", "lode", ("ingest_source",), ("update",)),
    Grant(WORKER, "table", "lode", ("ingest_item",), WRITE),
    Grant(WORKER, "computation", "lode_api", None, EXECUTE),
    Grant(
        *(WORKER, "function", "lode_api"),
        (*TILES, *OWN_FUNCTIONS, *REQUESTS, *JOBS, *TILE_TABLES),
        EXECUTE,
    ),
    Grant(WORKER, "table", "lode_queue", None, (*SELECT, *WRITE)),
    Grant(WORKER, "sequence", "lode_queue", None, ("usage", "select")),
    Grant(WORKER, "function", "lode_queue", None, EXECUTE),
    # mine owners: their own rows
    Grant(MINE_OWNER, "schema", "lode_api", None, ("usage",)),
    Grant(MINE_OWNER, "table", "lode_api", OWN_VIEWS, SELECT),
    Grant(MINE_OWNER, "function", "lode_api", OWN_FUNCTIONS, EXECUTE),
)


@dataclass(frozen=True)
class Default:
    """What later objects of a role are born with.

    Attributes:
        maker: who makes them.
        schema: where; empty: anywhere, for what is taken away.
        kind: ``r`` relations or ``f`` functions, as pg_default_acl names them.
        role: who gets the privilege; empty: everybody loses it.
        privilege: the privilege.

    """

    maker: str
    schema: str
    kind: Literal["r", "f"]
    role: str
    privilege: str


DEFAULTS = (
    Default(OWNER, "", "f", "", "execute"),
    Default(WORKER, "", "f", "", "execute"),
    Default(OWNER, "lode_api", "r", READER, "select"),
    Default(OWNER, "lode_api", "r", WORKER, "select"),
    Default(OWNER, "lode", "r", WORKER, "select"),
    Default(OWNER, "lode_raster", "r", READER, "select"),
    Default(OWNER, "lode_raster", "r", WORKER, "select"),
)
