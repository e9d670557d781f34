"""Writing rasters: what is left after a failure, who waits for whom, what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import errors

from db.connection import connect
from db.errors import RetryError, UsageError
from db.raster import RasterReader, RasterWriter, attach_partition, raster_table_faults
from tests.rasters import grid_of, noise, with_holes, write_table
from tests.support import REPOSITORY

Connection = psycopg.Connection[tuple[Any, ...]]

PIXELS = with_holes(noise("uint16", 3, 300, 210), 0)
TABLES = (
    "select relname::text from pg_class where relnamespace = 'lode_raster'::regnamespace and relkind = 'r'"
)


def raster_tables(conn: Connection) -> set[str]:
    return {row[0] for row in conn.execute(TABLES)}


@pytest.fixture
def other(database_url: str) -> Iterator[Connection]:
    with connect(database_url) as connection:
        yield connection


def writer_of(conn: Connection, **options: Any) -> RasterWriter:
    arguments: dict[str, Any] = {
        "parent": "scene_tile",
        "owner_id": 1,
        "table": "scene_1",
        "grid": grid_of(210, 300),
        "dtype": "uint16",
        "band_count": 3,
        "nodata": 0,
        "tile_px": 64,
    }
    return RasterWriter(conn, **{**arguments, **options})


def test_the_parent_shows_the_tiles_after_the_commit(conn: Connection, other: Connection) -> None:
    write_table(conn, PIXELS, nodata=0)
    assert raster_tables(other) == set()
    other.rollback()
    conn.commit()
    assert raster_tables(other) == {"scene_1", "o_2_scene_1", "o_4_scene_1", "o_8_scene_1"}
    stored = other.execute("select rid, scene_id from lode_raster.scene_tile order by rid").fetchall()
    assert {scene for _, scene in stored} == {1}
    assert 1 not in [rid for rid, _ in stored]  # all nodata
    assert [rid for rid, _ in stored] == [
        row[0] for row in other.execute("select rid from lode_raster.scene_1 order by rid")
    ]


@pytest.mark.parametrize("storage", ["external", "lz4"])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 7), ("float32", -9999), ("float32", float("nan"))])
def test_empty_tiles_are_stored_small_where_nodata_is_not_0(
    conn: Connection, dtype: str, nodata: float, storage: str
) -> None:
    pixels = with_holes(noise(dtype, 3, 300, 210), nodata)
    write_table(conn, pixels, nodata=nodata, storage=storage)
    for level, (height, width) in {"": (300, 210), "o_2_": (150, 105), "o_4_": (75, 53)}.items():
        table = f"lode_raster.{level}scene_1"
        stored = conn.execute(
            "select array_agg(rid order by rid),"
            " max(pg_column_size(rast)) filter (where st_bandisnodata(rast, 2)),"
            " st_astext(st_envelope(st_collect(st_envelope(rast)))) ="
            " (select st_astext(extent) from raster_columns where r_table_name = %s)"
            f" from {table}",
            (f"{level}scene_1",),
        ).fetchone()
        assert stored is not None
        rids, largest, covers_all = stored
        across, down = -(-width // 64), -(-height // 64)
        assert rids == list(range(1, across * down + 1)), table
        assert covers_all
        if not level:
            assert 0 < largest < 3 * 64 * 64 * pixels.itemsize / 50
    np.testing.assert_array_equal(RasterReader(conn, "scene_1").read(0, 0, 300, 210), pixels)
    facts = conn.execute(
        "select attstorage::text, attcompression::text from pg_attribute"
        " where attrelid = 'lode_raster.scene_1'::regclass and attname = 'rast'"
    ).fetchone()
    assert facts == (("e", "") if storage == "external" else ("m", "l"))
    assert raster_table_faults(conn) == []


def test_probabilities_have_their_own_parent(conn: Connection) -> None:
    pixels = noise("uint8", 2, 100, 100)
    write_table(conn, pixels, owner_id=7, parent="probability", table="probability_7", storage="lz4")
    assert conn.execute("select distinct run_id from lode_raster.probability").fetchall() == [(7,)]
    np.testing.assert_array_equal(RasterReader(conn, "probability_7").read(0, 0, 100, 100), pixels)


def test_rollback_leaves_nothing(conn: Connection) -> None:
    write_table(conn, PIXELS, nodata=0)
    conn.rollback()
    assert raster_tables(conn) == set()
    write_table(conn, PIXELS, nodata=0)
    conn.commit()


def test_a_refused_tile_raises_and_the_connection_lives_on(conn: Connection) -> None:
    writer = writer_of(conn)
    batches = writer.encode_rows(PIXELS)
    conn.execute("alter table lode_raster.scene_1 add check (rid <> 6)")
    with pytest.raises(errors.CheckViolation):
        writer.send(batches)
    assert conn.pgconn.nonblocking == 1
    assert conn.pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF
    with pytest.raises(errors.InFailedSqlTransaction):
        conn.execute("select 1")
    conn.rollback()
    assert raster_tables(conn) == set()


def test_the_server_goes_away_in_the_middle(conn: Connection, other: Connection) -> None:
    writer = writer_of(conn)
    writer.write_rows(PIXELS[:, :128])
    with connect(conn.info.dsn, autocommit=True) as killer:
        killer.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        writer.write_rows(PIXELS[:, 128:])
    assert raster_tables(other) == set()


KILLED_LOAD = """
import sys
from db.connection import connect
from tests.db.test_raster_writer import PIXELS, writer_of
with connect(sys.argv[1]) as conn:
    writer = writer_of(conn)
    writer.write_rows(PIXELS[:, :128])
    print("half", flush=True)
    sys.stdin.read()
"""


def test_a_killed_load_leaves_nothing(database_url: str, conn: Connection) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_LOAD, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as load:
        assert load.stdout is not None
        assert load.stdout.readline() == "half\n"
        os.kill(load.pid, signal.SIGKILL)
    # The next load waits on the name at most until the server notices, and then finds it free.
    write_table(conn, PIXELS, nodata=0)
    conn.commit()
    np.testing.assert_array_equal(RasterReader(conn, "scene_1").read(0, 0, 300, 210), PIXELS)


def test_readers_of_the_parent_are_not_waited_for_nor_kept_waiting(
    conn: Connection, other: Connection, database_url: str
) -> None:
    write_table(conn, PIXELS, nodata=0)
    conn.commit()
    # A reader in the middle of its transaction, with a lock on parent and partitions.
    assert other.execute("select count(*) from lode_raster.scene_tile").fetchone() is not None
    conn.execute("set local statement_timeout = '5s'")
    write_table(conn, PIXELS, owner_id=2, nodata=0)
    # Attached but not committed: new readers see the old state at once.
    with connect(database_url) as third:
        third.execute("set statement_timeout = '5s'")
        assert third.execute("select distinct scene_id from lode_raster.scene_tile").fetchall() == [(1,)]
    conn.commit()
    assert other.execute("select count(distinct scene_id) from lode_raster.scene_tile").fetchone() == (2,)


def test_two_loads_at_once(conn: Connection, database_url: str) -> None:
    first_half = threading.Barrier(2, timeout=30)
    failures: list[BaseException] = []

    def load(owner_id: int) -> None:
        try:
            with connect(database_url) as mine:
                writer = writer_of(mine, owner_id=owner_id, table=f"scene_{owner_id}")
                writer.write_rows(PIXELS[:, :150])
                first_half.wait()  # both are in the middle
                writer.write_rows(PIXELS[:, 150:])
                writer.finish()
                mine.commit()
        except BaseException as error:
            failures.append(error)

    loads = [threading.Thread(target=load, args=(owner_id,)) for owner_id in (1, 2)]
    for thread in loads:
        thread.start()
    for thread in loads:
        thread.join(60)
    assert failures == []
    for owner_id in (1, 2):
        reader = RasterReader(conn, f"scene_{owner_id}")
        np.testing.assert_array_equal(reader.read(0, 0, 300, 210), PIXELS)


def test_attaching_waits_for_another_load_and_gives_up_in_time(
    conn: Connection, other: Connection, database_url: str
) -> None:
    write_table(conn, PIXELS, nodata=0)  # attached, not committed
    writer_of(other, owner_id=9, table="scene_9")
    other.execute("set lock_timeout = '7s'")
    with pytest.raises(RetryError, match="locked by others"):
        attach_partition(other, parent="scene_tile", owner_id=9, table="scene_9", wait_s=0.5)
    # The transaction is alive and its settings are what they were.
    assert other.execute("show lock_timeout").fetchone() == ("7s",)
    release = threading.Timer(1.5, conn.commit)
    release.start()
    attach_partition(other, parent="scene_tile", owner_id=9, table="scene_9", wait_s=30)
    release.join()
    assert other.execute("show lock_timeout").fetchone() == ("7s",)
    other.commit()


def test_settings_are_put_back(conn: Connection) -> None:
    conn.execute("set plan_cache_mode = force_custom_plan")
    write_table(conn, PIXELS, nodata=0)
    assert conn.execute("show plan_cache_mode").fetchone() == ("force_custom_plan",)
    assert conn.execute("show lock_timeout").fetchone() == ("0",)


def test_in_a_transaction_block_of_an_autocommit_connection(database_url: str) -> None:
    with connect(database_url, autocommit=True) as conn:
        with conn.transaction():
            write_table(conn, PIXELS, nodata=0)
        np.testing.assert_array_equal(RasterReader(conn, "scene_1").read(0, 0, 300, 210), PIXELS)


def test_without_a_transaction_it_is_refused_and_nothing_is_made(database_url: str) -> None:
    with connect(database_url, autocommit=True) as conn:
        with pytest.raises(UsageError, match="transaction"):
            writer_of(conn)
        assert raster_tables(conn) == set()


def test_tiles_larger_than_a_statement(conn: Connection) -> None:
    pixels = noise("float64", 40, 130, 140)
    write_table(conn, pixels, tile_px=128)
    np.testing.assert_array_equal(RasterReader(conn, "scene_1").read(0, 0, 130, 140), pixels)


def test_rows_that_are_missing_or_finished_twice(conn: Connection) -> None:
    writer = writer_of(conn)
    writer.write_rows(PIXELS[:, :299])
    with pytest.raises(UsageError, match="1 of 300 rows"):
        writer.finish()
    writer.write_rows(PIXELS[:, 299:])
    writer.finish()
    with pytest.raises(UsageError, match="finished already"):
        writer.finish()


def test_a_table_or_owner_that_exists_is_refused(conn: Connection) -> None:
    write_table(conn, PIXELS, nodata=0)
    conn.commit()
    with pytest.raises(UsageError, match=r"lode_raster\.scene_1 exists already"):
        writer_of(conn, owner_id=2)
    conn.rollback()
    with pytest.raises(UsageError, match="scene_id 1 already"):
        write_table(conn, PIXELS, nodata=0, table="scene_again")


def test_a_database_without_the_schema(postgis_url: str) -> None:
    with connect(postgis_url) as conn, pytest.raises(UsageError, match="lode db upgrade"):
        writer_of(conn)
    with connect(postgis_url) as conn:
        conn.execute("create schema lode_raster")
        with pytest.raises(UsageError, match="missing: run `lode db upgrade`"):
            write_table(conn, PIXELS, nodata=0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"table": "Scene_1"}, "cannot name"),
        ({"table": 'scene"; drop table lode.scene; --'}, "cannot name"),
        ({"table": "s" * 39}, "cannot name"),
        ({"parent": "scene"}, "no raster tables"),
        ({"dtype": "int64"}, "int32"),
        ({"nodata": -1}, "nodata"),
        ({"nodata": [0, 0]}, "2 nodata values"),
        ({"band_count": 0}, "bands"),
        ({"tile_px": 65}, "even side"),
        ({"tile_px": 8192}, "even side"),
        ({"overview_factors": [3]}, "powers of two"),
        ({"overview_factors": [4, 2]}, "powers of two"),
        ({"overview_factors": [2048]}, "powers of two"),
        ({"resampling": "cubic"}, "cubic"),
        ({"storage": "zip"}, "zip"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_made(
    conn: Connection, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        writer_of(conn, **options)
    assert raster_tables(conn) == set()
