"""A small scene and a network that splits it into three blocks, and what is published of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import sql

import lode
from db import runs
from db.connection import connect
from db.embedded import Cluster
from inference.interpret import interpret
from tests.conftest import copied_database
from tests.db.trials import QUICK, SIDE_PX
from tests.service.workers import wait_for
from tests.support import rows

BLOCK_ROWS = 48
"""Two strides of windows of 32 px that share 8; the scene has three times as many."""

Rows = list[tuple[Any, ...]]

PUBLISHED = (
    "select land_class_code, start_date, end_date, area_m2, mean_probability, st_asbinary(geom)"
    " from lode.landcover order by landcover_id",
    "select year, area_m2, owned_area_m2, st_asbinary(geom) from lode.observation",
    "select run_id, rid, st_asbinary(rast) from lode_raster.probability order by run_id, rid",
    "select run_id, scene_id, model_id, is_current, status from lode.run",
)


def fill(cluster: Cluster, name: str) -> None:
    """Train network ``x`` on the labelled scene ``a`` of a database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LODE_DATABASE_URL", cluster.url(name))
        assert lode.run(["train", "segmentation", "--name", "x", *QUICK]) == 0


@contextmanager
def copy_in_blocks(cluster: Cluster, template: str, block_rows: int = BLOCK_ROWS) -> Iterator[str]:
    """URL of a copy of that database where blocks are small."""
    with copied_database(cluster, template) as url:
        with connect(url, autocommit=True) as conn:
            database = sql.Identifier(conn.info.dbname)
            pixels = sql.Literal(str(SIDE_PX * block_rows))
            conn.execute(sql.SQL("alter database {} set lode.block_px = {}").format(database, pixels))
        yield url


def published(url: str) -> list[Rows]:
    """Everything a client can see of the one run."""
    return [rows(url, query) for query in PUBLISHED]


def requested(url: str) -> int:
    """Ask for the run of ``a`` by ``x``; it is not put into the queue."""
    with connect(url) as conn:
        return runs.request_interpretation(conn, 1, 1).run_id


def published_at_once(cluster: Cluster, template: str, block_rows: int = BLOCK_ROWS) -> list[Rows]:
    """What one process publishes by itself."""
    with copy_in_blocks(cluster, template, block_rows) as url:
        outcome = interpret(url, "a", "x", device_name="cpu")
        assert outcome.is_current
        assert outcome.figures["polygons"] > 20
        assert len(rows(url, "select from lode.run_block")) == SIDE_PX // block_rows
        return published(url)


def assert_nothing_is_left(url: str) -> None:
    """No row is staged, and sessions of interpretations end: the server is told when they already have."""
    assert rows(url, "select count(*) from lode.run_stage") == [(0,)]
    sessions = "select count(*) from pg_stat_activity where application_name like 'lode infer%'"
    ours = f"{sessions} and datname = current_database()"
    wait_for(lambda: rows(url, ours) == [(0,)], "no session of an interpretation is open", 30)
