"""The worker's role does all that a worker does, and derived areas follow without a right to them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from db import landcover, runs
from db.raster import Grid, RasterWriter
from db.scenes import scene_by_product
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.db.ingested_scenes import ingest, pixels_of
from tests.grids import cells
from tests.ingest_files import some_pixels, write_tiff
from tests.role_logins import denied, login, url_of
from tests.support import lode_here

DERIVED = ("mine_zone", "mine_piece", "mine_year", "mine_area", "mine_damage", "damage_general", "alert")


@pytest.fixture
def province(conn: Connection[Any], database_url: str) -> str:
    """URL of a database in which somebody else drew a mine."""
    add_mine(conn, "M1", cells("xx", "x"))
    conn.commit()
    return database_url


def areas(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select mine_code, year, land_class, round(area_m2::numeric, 3)"
        " from lode_api.damage_by_mine_year order by 1, 2, 3"
    ).fetchall()


def test_it_brings_a_scene_in_interprets_it_and_publishes(
    province: str, conn: Connection[Any], tmp_path: Path
) -> None:
    with login(province, "lode_worker", autocommit=False) as worker:
        pixels = some_pixels(4, 300, 280)
        outcome = ingest(worker, write_tiff(tmp_path / "x.tif", pixels), "brought")
        assert outcome.is_new
        scene = scene_by_product(worker, "brought")
        assert np.array_equal(pixels_of(worker, scene), pixels)
        run_id = publish_drawing(worker, scene.scene_id, add_model(worker, "net"), 2021, "pd")
        worker.commit()
        mine = areas(worker)
        asked = worker.execute("select requested_by from lode.run where run_id = %s", (run_id,)).fetchone()
        assert asked == ("lode_worker",)
    assert mine
    assert mine == areas(conn)
    assert {row[1] for row in mine} == {2021}
    owners = conn.execute(
        "select distinct relowner::regrole::text from pg_class"
        " where relnamespace = 'lode_raster'::regnamespace and relkind in ('r', 'p')"
    ).fetchall()
    assert owners == [("lode_owner",)]
    with login(province, "lode_reader") as reader:
        row = reader.execute(f"select count(*) from lode_raster.{scene.tile_table}").fetchone()
        assert row is not None
        assert row[0] > 0


def test_it_works_by_command_line_as_well(province: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    done = lode_here(
        url_of(province, "lode_worker"),
        *("ingest", "scene", path, "--sensor", "gf2_pms", "--acquired-on", "2021-06-19", "--product", "x"),
    )
    assert done.returncode == 0, done.stderr
    assert lode_here(url_of(province, "lode_worker"), "scene", "list").returncode == 0


def test_what_a_superuser_ingests_is_beside_the_workers(
    province: str, conn: Connection[Any], tmp_path: Path
) -> None:
    ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1)), "first")
    conn.commit()
    with login(province, "lode_worker", autocommit=False) as worker:
        ingest(worker, write_tiff(tmp_path / "b.tif", some_pixels(seed=2)), "second")
        worker.commit()
        first = scene_by_product(worker, "first")
        assert np.array_equal(pixels_of(worker, first), some_pixels(seed=1))
        assert worker.execute("select count(*) from lode_raster.scene_tile").fetchone() == (2,)
    with login(province, "lode_reader") as looking:
        row = looking.execute("select count(*) from lode_raster.scene_tile").fetchone()
        assert row == (2,)


@pytest.mark.parametrize("status", ["running", "published"])
def test_probabilities_are_written_too(province: str, status: str) -> None:
    with login(province, "lode_worker", autocommit=False) as worker:
        scene = add_scene(worker, "one", date(2021, 6, 1), cells("xx", "x"))
        model = add_model(worker, "net")
        if status == "published":
            run = publish_drawing(worker, scene, model, 2021, "pd")
        else:  # as while it is published
            run = runs.request_interpretation(worker, scene, model).run_id
            runs.claim_run(worker, run, device="drawn", versions={})
        grid = Grid(32645, 500000.0, 4860000.0, 10.0, 10.0, 40, 30)
        writer = RasterWriter(
            worker,
            parent="probability",
            owner_id=run,
            table=f"probability_{run}",
            grid=grid,
            dtype=np.uint8,
            band_count=2,
            nodata=255,
            tile_px=16,
            storage="lz4",
        )
        pixels = np.full((2, 30, 40), 7, np.uint8)
        pixels[:, :20, :20] = 255  # a tile of the raster lies within
        writer.write_rows(pixels)
        writer.finish()
        worker.commit()
        assert worker.execute("select count(*) from lode_raster.probability").fetchone() == (6,)


def test_a_failed_attempt_is_cleaned_up(province: str) -> None:
    with login(province, "lode_worker", autocommit=False) as worker:
        scene = add_scene(worker, "one", date(2021, 6, 1), cells("xx", "x"))
        run = runs.request_interpretation(worker, scene, add_model(worker, "net"))
        claim = runs.claim_run(worker, run.run_id, device="drawn", versions={})
        landcover.insert_landcover(worker, run.run_id, 2021, [])
        runs.fail_run(worker, claim, "out of memory")
        worker.execute("delete from lode.landcover where run_id = %s", (run.run_id,))
        worker.commit()


def test_it_writes_no_area_and_draws_no_mine(province: str) -> None:
    with login(province, "lode_worker") as worker:
        for table in DERIVED:
            with denied("42501"):
                worker.execute(f"delete from lode.{table}")
        for statement in (
            "update lode.mine set name = 'mine'",
            "delete from lode.label",
            "create table lode.mine_of_mine (i integer)",
            "create table public.mine (i integer)",
            "create function lode_api.damage_tile() returns integer language sql as 'select 1'",
            "select lode_api.derive_all()",
            "alter table lode.run disable trigger all",
            "set session_replication_role = replica",
            "set role lode_owner",
            "create role other",
            "create extension dblink",
            "update lode_api.damage_alert set state = 'confirmed'",
        ):
            with denied("42501"):
                worker.execute(statement)
