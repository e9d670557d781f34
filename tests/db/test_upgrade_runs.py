"""Runs made before the queue are the same runs after the upgrade: found, refused and counted as before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from db import landcover, runs
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.upgrade import upgrade
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells

OLDER = "0014"
DRAWING = "pd\nvp"
DAY = date(2022, 6, 1)
AREAS = (
    "select mine_code, year, land_class, area_m2, reason from lode_api.damage_by_mine_year order by 1, 2, 3"
)


def parameters_then(conn: Connection[Any], tile_px: int = 64) -> dict[str, Any]:
    """Settings of a run, as `lode infer` wrote them at ``OLDER``."""
    rows = conn.execute(
        "select land_class_code, min_patch_m2 from lode.land_class where is_mapped"
    ).fetchall()
    return {
        "overlap_px": tile_px // 4,
        "tile_px": tile_px,
        "max_segment_m": 500.0,
        "min_patch_m2": {str(code): float(area) for code, area in sorted(rows)},
    }


def digest_then(parameters: dict[str, Any]) -> str:
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def add_run_then(
    conn: Connection[Any],
    scene_id: int,
    status: str,
    *,
    digest: str | None = None,
    drawing: str | None = None,
    is_current: bool = False,
) -> int:
    """A run as the code of ``OLDER`` left it; what is drawn was published by it."""
    parameters = parameters_then(conn)
    row = conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest, status, is_current,"
        " attempt, token, finished_at, withdrawn_at, withdrawn_reason) values (%s, 1, %s, %s, %s, %s, 1,"
        " gen_random_uuid(), now(), case when %s then now() end, case when %s then 'wrong' end)"
        " returning run_id",
        (
            *(scene_id, Jsonb(parameters), digest or digest_then(parameters), status, is_current),
            *(status == "withdrawn", status == "withdrawn"),
        ),
    ).fetchone()
    assert row is not None
    if drawing is not None:
        present = [letter for letter in CODES if letter in drawing]
        polygons = [(CODES[letter], ewkb(cells(drawing, letter)), 0.9) for letter in present]
        landcover.insert_landcover(conn, row[0], DAY.year, polygons)
        landcover.insert_observation(conn, row[0], DAY.year, ewkb(cells(drawing, "".join(present))))
    return int(row[0])


def add_ground(conn: Connection[Any]) -> None:
    """A network and six scenes over one mine; two are large."""
    add_model(conn, "net")
    for product in ("published", "withdrawn", "failed", "by hand", "large", "large and failed"):
        add_scene(conn, product, DAY, cells("xx\nxx", "x"))
    conn.execute("update lode.scene set width_px = 30000, height_px = 30000 where product ~ 'large'")
    add_mine(conn, "M1", cells("xx\nxx", "x"))


@pytest.fixture(scope="module")
def upgraded(cluster: Cluster, postgis_template: str) -> Iterator[str]:
    """URL of a database of ``OLDER`` with some runs, after its upgrade; nobody changes it."""
    with copied_database(cluster, postgis_template) as url:
        upgrade(url, revision=OLDER)
        with connect(url) as conn:
            add_ground(conn)
            add_run_then(conn, 1, "published", drawing=DRAWING, is_current=True)
            add_run_then(conn, 2, "withdrawn", drawing="pp\npp")
            add_run_then(conn, 3, "failed")
            add_run_then(conn, 1, "withdrawn", digest="by hand")
            add_run_then(conn, 5, "published")
            add_run_then(conn, 6, "failed")
            conn.execute(
                "insert into lode.run (scene_id, model_id, parameters, parameters_digest)"
                " values (4, 1, '{}', 'by hand')"
            )
        upgrade(url)
        yield url


@pytest.fixture
def older(upgraded: str) -> Iterator[Connection[Any]]:
    """Connection to that database; what a test changes is taken back."""
    with connect(upgraded) as conn:
        yield conn
        conn.rollback()


def counts(conn: Connection[Any]) -> list[int]:
    """Runs and jobs."""
    return [
        row[0]
        for query in ("select count(*) from lode.run", "select count(*) from lode_queue.procrastinate_jobs")
        for row in conn.execute(query)
    ]


def test_what_was_published_is_not_computed_again(older: Connection[Any]) -> None:
    areas = older.execute(AREAS).fetchall()
    assert older.execute("select lode_api.request_inference('published', 'net')").fetchone() == (1,)
    found = runs.request_interpretation(older, 1, 1)
    assert (found.run_id, found.status, found.is_current) == (1, "published", True)
    assert counts(older) == [7, 0]
    assert older.execute(AREAS).fetchall() == areas


def test_what_was_withdrawn_stays_withdrawn(older: Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=r"run 2 of scene withdrawn .* was withdrawn"):
        older.execute("select lode_api.request_inference('withdrawn', 'net')")
    older.rollback()
    with pytest.raises(UsageError, match=r"run 2 .* was withdrawn; `lode run reinstate 2`"):
        runs.request_interpretation(older, 2, 1)
    older.rollback()
    assert counts(older) == [7, 0]


def test_what_failed_begins_anew_as_the_same_run(older: Connection[Any]) -> None:
    assert older.execute("select lode_api.request_inference('failed', 'net')").fetchone() == (3,)
    assert runs.run_by_id(older, 3).status == "requested"
    assert counts(older) == [7, 1]


def test_areas_settings_and_digest_are_those_of_a_new_database(
    older: Connection[Any], conn: Connection[Any]
) -> None:
    add_ground(conn)
    new = publish_drawing(conn, 1, 1, DAY.year, DRAWING)
    areas = older.execute(AREAS).fetchall()
    assert areas == conn.execute(AREAS).fetchall()
    assert sum(row[3] or 0 for row in areas) > 0
    query = "select parameters::text, parameters_digest from lode.run where run_id = %s"
    assert older.execute(query, (1,)).fetchone() == conn.execute(query, (new,)).fetchone()


def test_of_runs_that_become_equal_the_one_that_counts_is_found(older: Connection[Any]) -> None:
    query = "select status, parameters_digest from lode.run where run_id = %s"
    assert older.execute(query, (4,)).fetchone() == ("withdrawn", "by hand")
    assert runs.run_plan(older, 4).tile_px == 64
    bare = older.execute("select parameters from lode.run where scene_id = 4").fetchone()
    assert bare == ({},)


def test_a_large_scene_that_was_published_at_once_had_one_block(older: Connection[Any]) -> None:
    sizes = {run: runs.run_plan(older, run).block_px for run in (1, 3, 5, 6)}
    assert sizes == {1: 4096 * 4096, 3: 4096 * 4096, 5: 30000 * 30000, 6: 4096 * 4096}
