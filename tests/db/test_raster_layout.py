"""Raster tables as GIS clients want them, and what the check says when one is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from db.connection import connect
from db.raster import RasterReader, raster_table_faults
from tests.rasters import noise, with_holes, write_table

Connection = psycopg.Connection[tuple[Any, ...]]

FACTS = "select * from raster_columns where r_table_schema = 'lode_raster' and r_table_name = %s"
CONSTRAINTS = """
select conname::text, replace(pg_get_constraintdef(oid), ' NOT VALID', '') from pg_constraint
where conrelid = %s::regclass and contype = 'c' and conname like 'enforce%%_rast' order by 1
"""


def write(conn: Connection, dtype: str, size: tuple[int, int], nodata: Any, **options: Any) -> None:
    height, width = size
    pixels = noise(dtype, 3, height, width)
    write_table(conn, pixels, nodata=nodata, **options)


ANY = ("uint16", 7, (200, 150))


@pytest.mark.parametrize(
    ("dtype", "nodata", "size"),
    [(dtype, *ANY[1:]) for dtype in ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")]
    + [(ANY[0], nodata, ANY[2]) for nodata in (None, [7, None, 0])]
    + [(*ANY[:2], size) for size in ((256, 384), (20, 300), (50, 40))],
)
def test_facts_equal_those_that_postgis_would_gather(
    conn: Connection, dtype: str, nodata: Any, size: tuple[int, int]
) -> None:
    write(conn, dtype, size, nodata, overview_factors=(2,))
    for table in ("scene_1", "o_2_scene_1"):
        name = f"lode_raster.{table}"
        ours = conn.execute(FACTS, (table,)).fetchone()
        our_constraints = conn.execute(CONSTRAINTS, (name,)).fetchall()
        conn.execute("select dropoverviewconstraints('lode_raster', 'o_2_scene_1', 'rast')")
        conn.execute("select droprasterconstraints('lode_raster'::name, %s::name, 'rast'::name)", (table,))
        conn.execute("select addrasterconstraints('lode_raster'::name, %s::name, 'rast'::name)", (table,))
        assert conn.execute(FACTS, (table,)).fetchone() == ours
        # The order of the sides depends on how many tiles have each, and our scales keep all their digits;
        # everything else is the same text.
        theirs = dict(conn.execute(CONSTRAINTS, (name,)).fetchall())
        ours_by_name = dict(our_constraints)
        same = {name for name in theirs if name.split("_")[1] not in {"width", "height", "scalex", "scaley"}}
        assert len(same) == 7
        assert {name: ours_by_name[name] for name in same} == {name: theirs[name] for name in same}
        assert set(ours_by_name) - set(theirs) <= {"enforce_overview_rast"}


def test_constraints_are_validated_and_hold(conn: Connection) -> None:
    write(conn, "uint8", (200, 150), 7)
    unchecked = conn.execute(
        "select conname::text from pg_constraint where not convalidated"
        " and connamespace = 'lode_raster'::regnamespace and conname <> 'enforce_overview_rast'"
    ).fetchall()
    assert unchecked == []
    with pytest.raises(psycopg.errors.CheckViolation, match=r"enforce_(max_extent|same_alignment)_rast"):
        conn.execute("update lode_raster.scene_1 set rast = st_setupperleft(rast, 0, 0) where rid = 2")


def test_overviews_are_registered_as_postgis_does(conn: Connection) -> None:
    write(conn, "uint8", (300, 300), 7)
    query = (
        "select o_table_name::text, r_table_name::text, overview_factor from raster_overviews"
        " where o_table_schema = 'lode_raster' and r_table_schema = 'lode_raster' order by 3"
    )
    ours = conn.execute(query).fetchall()
    assert ours == [(f"o_{factor}_scene_1", "scene_1", factor) for factor in (2, 4, 8)]
    for factor in (2, 4, 8):
        table = f"o_{factor}_scene_1"
        conn.execute("select dropoverviewconstraints('lode_raster', %s, 'rast')", (table,))
        conn.execute(
            "select addoverviewconstraints('lode_raster', %s, 'rast', 'lode_raster', 'scene_1', 'rast', %s)",
            (table, factor),
        )
    assert conn.execute(query).fetchall() == ours


def test_the_extent_is_that_of_the_scene_even_where_tiles_are_empty(conn: Connection) -> None:
    pixels = np.zeros((1, 200, 200), np.uint8)
    pixels[0, 100, 100] = 1
    write_table(conn, pixels, nodata=0)
    extent = conn.execute(
        "select st_xmin(extent), st_ymin(extent), st_xmax(extent), st_ymax(extent), st_srid(extent)"
        " from raster_columns where r_table_schema = 'lode_raster' and r_table_name = 'scene_1'"
    ).fetchone()
    assert extent == (500000, 4860000 - 800, 500400, 4860000, 32645)
    assert conn.execute("select count(*) from lode_raster.scene_1").fetchone() == (1,)


def test_awkward_resolutions_and_nodata_come_back_exactly(conn: Connection) -> None:
    from dataclasses import replace

    from db.raster import RasterWriter
    from tests.rasters import grid_of

    lowest = float(np.finfo(np.float32).min)
    for owner_id, (resolution, nodata) in enumerate(
        [(1 / 3, lowest), (0.1, math.nan), (10.000000001, -1e-20), (0.05, 1e30), (30.0, math.inf)], 1
    ):
        grid = replace(
            grid_of(333, 250), origin_x=123456.789 / 3, resolution_x=resolution, resolution_y=resolution * 1.1
        )
        writer = RasterWriter(
            conn,
            parent="scene_tile",
            owner_id=owner_id,
            table=f"scene_{owner_id}",
            grid=grid,
            dtype="float32",
            band_count=1,
            nodata=nodata,
            tile_px=64,
        )
        pixels = noise("float32", 1, 250, 333)
        writer.write_rows(pixels)
        writer.finish()
        reader = RasterReader(conn, f"scene_{owner_id}")
        assert reader.grid == grid
        held = float(np.float32(nodata))
        assert reader.nodata == held or (math.isnan(held) and reader.nodata is not None)
        np.testing.assert_array_equal(reader.read(0, 0, 250, 333), pixels)


def test_key_index_storage_comment_and_statistics(conn: Connection) -> None:
    write(conn, "uint16", (300, 300), 7)
    write(
        conn, "uint8", (300, 300), 7, owner_id=2, storage="lz4", resampling="mode", comment="Classes of '23"
    )
    for table in ("scene_1", "o_2_scene_1", "scene_2"):
        name = f"lode_raster.{table}"
        columns = conn.execute(
            "select attname::text, attnotnull from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " order by attnum",
            (name,),
        ).fetchall()
        owner = [("scene_id", True)] if table.startswith("scene") else []
        assert columns == [("rid", True), *owner, ("rast", True)]
        keys = conn.execute(
            "select contype::text, conkey from pg_constraint"
            " where conrelid = %s::regclass and contype <> 'c'",
            (name,),
        ).fetchall()
        assert keys == [("p", [1])]
        indexes = conn.execute(
            "select indexdef from pg_indexes where schemaname = 'lode_raster' and tablename = %s", (table,)
        ).fetchall()
        assert sorted(text.split(" USING ")[1] for (text,) in indexes) == [
            "btree (rid)",
            "gist (st_convexhull(rast))",
        ]
        stored = conn.execute("select reltuples from pg_class where oid = %s::regclass", (name,)).fetchone()
        count = conn.execute(
            sql.SQL("select count(*) from {}").format(sql.Identifier("lode_raster", table))
        ).fetchone()
        assert stored == count
    facts = conn.execute(
        "select attrelid::regclass::text, attstorage::text, attcompression::text from pg_attribute"
        " where attname = 'rast' and attrelid in ('lode_raster.scene_1'::regclass,"
        " 'lode_raster.scene_2'::regclass, 'lode_raster.o_2_scene_2'::regclass) order by 1"
    ).fetchall()
    assert facts == [
        ("lode_raster.o_2_scene_2", "m", "l"),
        ("lode_raster.scene_1", "e", ""),
        ("lode_raster.scene_2", "m", "l"),
    ]
    comments = dict(
        conn.execute(
            "select relname::text, obj_description(oid, 'pg_class') from pg_class"
            " where relnamespace = 'lode_raster'::regnamespace and relkind = 'r'"
        ).fetchall()
    )
    assert comments["scene_1"] == "Tiles of scene 1: 3 bands of uint16, 300 x 300 px, EPSG:32645"
    assert comments["scene_2"] == "Classes of '23"
    assert comments["o_4_scene_2"].startswith("Overview 1:4 of scene_2 (mode). Classes")


def test_sound_tables_have_no_faults(conn: Connection) -> None:
    assert raster_table_faults(conn) == []
    write_table(conn, with_holes(noise("uint16", 2, 300, 210), 0), nodata=0)
    write(conn, "uint8", (300, 300), 7, owner_id=3, parent="probability", table="probability_3")
    assert raster_table_faults(conn) == []


@pytest.mark.parametrize(
    ("damage", "table", "fault"),
    [
        ("vacuum full lode_raster.scene_1", "scene_1", "rewritten"),
        ("cluster lode_raster.o_2_scene_1 using o_2_scene_1_pkey", "o_2_scene_1", "rewritten"),
        ("alter table lode_raster.scene_1 drop constraint scene_1_pkey", "scene_1", "no primary key"),
        ("alter table lode_raster.scene_1 add unique (scene_id, rid)", "scene_1", "may take constraint"),
        ("alter table lode_raster.scene_1 drop constraint enforce_width_rast", "scene_1", "missing: width"),
        ("drop index lode_raster.scene_1_st_convexhull_idx", "scene_1", "no valid index"),
        (
            "alter table lode_raster.scene_tile detach partition lode_raster.scene_1",
            "scene_1",
            "no partitioned",
        ),
        (
            "select dropoverviewconstraints('lode_raster', 'o_2_scene_1', 'rast')",
            "o_2_scene_1",
            "no registered",
        ),
        ("drop table lode_raster.scene_1", "o_2_scene_1", "no registered overview"),
        (
            "create table lode_raster.stray (id bigint primary key, rast raster)",
            "stray",
            "no primary key (rid)",
        ),
    ],
)
def test_faults_are_found(database_url: str, damage: str, table: str, fault: str) -> None:
    with connect(database_url) as conn:
        write(conn, "uint8", (120, 120), 7)
        conn.commit()
        conn.autocommit = True
        conn.execute(damage.encode())
        found = [(found.table, found.fault) for found in raster_table_faults(conn)]
        assert any(name == table and fault in text for name, text in found), found
        hints = [found.hint for found in raster_table_faults(conn)]
        assert all(hints)
        if "stray" not in damage and not damage.startswith("drop table"):
            assert {name for name, _ in found} == {table}
