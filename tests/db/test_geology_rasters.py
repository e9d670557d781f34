"""Rasters of geology from the database: exact, and kept until the geology changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

import inference.geology.rasters as rasters
from db.connection import connect
from db.geology_near import features_near
from db.geology_rasters import stored_raster
from db.raster import Grid, RasterReader
from inference.geology import BANDS, GeologyRasters, GeologySettings, geology_rasters
from tests.conftest import RunLode
from tests.db.mapped_geology import BEYOND, CROSSING, FAR_FAULT, GRID, RINGED, SRID, add, at, centres, draw
from tests.role_logins import login
from tests.support import await_waiting


def band(found: GeologyRasters, name: str) -> Any:
    return found.values[found.band_names.index(name)]


def rows(conn: Connection[Any]) -> list[tuple[str, str]]:
    return conn.execute("select content_digest, tile_table from lode.geology_raster order by 1").fetchall()


def tables(conn: Connection[Any]) -> set[str]:
    return {
        name
        for (name,) in conn.execute(
            "select relname::text from pg_class where relnamespace = 'lode_raster'::regnamespace"
            " and relkind = 'r' and relname ~ 'geology_[0-9]'"
        )
    }


@pytest.fixture
def ground(conn: Connection[Any]) -> Connection[Any]:
    return draw(conn)


@pytest.fixture
def other(database_url: str) -> Iterator[Connection[Any]]:
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Grid]:
    """The grids that were computed, not read."""
    grids: list[Grid] = []
    compute = rasters.compute

    def counted(grid: Grid, *arguments: Any) -> Any:
        grids.append(grid)
        return compute(grid, *arguments)

    monkeypatch.setattr(rasters, "compute", counted)
    return grids


def test_the_bands_are_what_shapely_says(ground: Connection[Any]) -> None:
    found = geology_rasters(ground, GRID)
    assert found.band_names == BANDS
    assert found.values.shape == (6, 80, 60)
    assert found.values.dtype == np.float32
    points = centres(GRID)
    fault = shapely.distance(shapely.union_all(CROSSING), points)
    pluton = shapely.distance(shapely.union_all([RINGED, BEYOND]), points)
    np.testing.assert_allclose(band(found, "fault_distance_m"), fault, rtol=0, atol=1e-3)
    np.testing.assert_allclose(band(found, "pluton_distance_m"), pluton, rtol=0, atol=1e-3)
    np.testing.assert_allclose(band(found, "fault_proximity"), 1 / (1 + fault / 1000), rtol=0, atol=1e-6)
    np.testing.assert_allclose(band(found, "pluton_proximity"), 1 / (1 + pluton / 1000), rtol=0, atol=1e-6)
    assert (band(found, "pluton_distance_m") == 0).any()
    hole = shapely.contains(shapely.Polygon(RINGED.interiors[0]), points)
    assert hole.any()
    assert (band(found, "pluton_distance_m")[hole] > 0).all()


def test_density_and_intersections_are_those_of_the_circle(ground: Connection[Any]) -> None:
    found = geology_rasters(ground, GRID, GeologySettings(density_radius_m=400))
    circles = shapely.buffer(centres(GRID)[::9, ::9], 400, quad_segs=500)
    circle_km2 = np.pi * 0.4**2
    length = sum(shapely.length(shapely.intersection(line, circles)) for line in CROSSING)
    density = band(found, "fault_density")
    np.testing.assert_allclose(density[::9, ::9], length / 1000 / circle_km2, rtol=1e-4, atol=1e-5)
    crossing = CROSSING[0].intersection(CROSSING[1])
    away = shapely.distance(crossing, centres(GRID))
    sure = np.abs(away - 400) > 2
    expected = np.where(away <= 400, 1 / circle_km2, 0)
    np.testing.assert_allclose(band(found, "fault_intersections")[sure], expected[sure], rtol=1e-6)
    assert 0 < (expected > 0).mean() < 1


def test_the_nearest_fault_may_lie_far_beyond_the_edge(conn: Connection[Any]) -> None:
    add(conn, "fault", FAR_FAULT)
    add(conn, "pluton", shapely.box(*at((-300_000, 40_000))[0], *at((-200_000, 1000))[0]))
    found = geology_rasters(conn, GRID)
    expected = shapely.distance(FAR_FAULT, centres(GRID))
    np.testing.assert_allclose(band(found, "fault_distance_m"), expected, rtol=1e-7)
    assert found.values[1].min() > 190_000
    assert (band(found, "fault_density") == 0).all()


def test_what_is_read_holds_the_nearest_of_every_cell(conn: Connection[Any]) -> None:
    """Against all features: scattered so that each cell's nearest is hard to guess, and few are near."""
    random = np.random.default_rng(4)
    grid = replace(GRID, width_px=700, height_px=500)
    places = random.uniform((-60_000, -60_000), (90_000, 60_000), (250, 2))
    places = places[(np.abs(places - (10_000, 5000)) > (15_000, 9000)).any(axis=1)]
    drawn = [shapely.LineString(at(*(place + random.normal(0, 2000, (4, 2))))) for place in places]
    for line in drawn:
        add(conn, "fault", line)
    near = features_near(conn, "faults", grid)
    assert len(near.shapes) < len(drawn)
    points = centres(grid)[::20, ::20]
    expected = np.min([shapely.distance(line, points) for line in drawn], axis=0)
    got = np.min([shapely.distance(line, points) for line in near.shapes], axis=0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)
    within = features_near(conn, "faults", grid, within_m=30_000)
    x, y = grid.origin_x, grid.origin_y
    box = shapely.box(x, y - 500 * 20, x + 700 * 30, y)
    assert len(within.shapes) >= sum(line.distance(box) <= 30_000 for line in drawn) > len(near.shapes)


def test_a_long_edge_is_found_where_it_is_straight_in_the_plane(conn: Connection[Any]) -> None:
    """An edge of 500 km along a parallel runs 5 km north of the parallel in the plane."""
    long = shapely.LineString([(84, 43.5), (90, 43.5)])
    add(conn, "fault", long, srid=4326)
    add(conn, "fault", shapely.LineString(at((-3000, -100), (-2500, 1700))))
    row = conn.execute(
        "select st_asbinary(st_transform(geom, 32645)) from lode.fault order by fault_id limit 1"
    ).fetchone()
    assert row is not None
    edge = shapely.from_wkb(row[0])
    y = edge.interpolate(0.5, normalized=True).y
    grid = replace(GRID, origin_y=y + 2000)
    shapes = features_near(conn, "faults", grid).shapes
    assert min(shape.distance(shapely.Point(500_900, y + 1200)) for shape in shapes) < 1201


def test_across_the_180th_meridian(conn: Connection[Any]) -> None:
    """A grid in UTM zone 60 that reaches to both sides, a fault on the far side of the line."""
    grid = Grid(32660, 700_000.0, 5_000_000.0, 100.0, 100.0, 500, 300)
    conn.execute(
        "insert into lode.fault (geom) values (st_geomfromtext("
        "'multilinestring((-179.5 45, -179.4 44.9))', 4326)), (st_geomfromtext("
        "'multilinestring((178.8 45, 178.9 44.9))', 4326))"
    )
    shapes = features_near(conn, "faults", grid).shapes
    x = [shape.centroid.x for shape in shapes]
    assert len(x) == 2
    assert max(x) > 740_000
    assert min(x) < 700_000


def test_what_is_stored_is_what_was_computed(
    ground: Connection[Any], computed: list[Grid], other: Connection[Any]
) -> None:
    first = geology_rasters(ground, GRID)
    ground.commit()
    assert computed == [GRID]
    again = geology_rasters(other, GRID)
    assert computed == [GRID]
    assert again.content_digest == first.content_digest
    assert again.tile_table == first.tile_table
    assert again.values.dtype == np.float32
    assert np.array_equal(again.values, first.values)
    reader = RasterReader(other, first.tile_table)
    assert reader.grid == GRID
    assert reader.band_count == 6
    assert reader.nodata_values == (None,) * 6
    (stored,) = other.execute(
        "select srid, origin_x, origin_y, resolution_m, resolution_y_m, width_px, height_px, band_names,"
        " parameters, tile_table from lode.geology_raster"
    ).fetchall()
    assert stored[:7] == (SRID, 500_000.0, 4_860_000.0, 30.0, 20.0, 60, 80)
    assert tuple(stored[7]) == BANDS
    assert stored[8] == {"proximity_m": 1000.0, "density_radius_m": 2000.0}


def test_other_grids_and_settings_are_others(ground: Connection[Any], computed: list[Grid]) -> None:
    geology_rasters(ground, GRID)
    geology_rasters(ground, replace(GRID, width_px=59))
    geology_rasters(ground, GRID, GeologySettings(proximity_m=500))
    geology_rasters(ground, GRID, GeologySettings(density_radius_m=500))
    assert len(computed) == 4
    assert len(rows(ground)) == 4
    whole = Grid(SRID, 500_000, 4_860_000, 30, 20, 60, 80)  # the same, in whole numbers
    geology_rasters(ground, whole, GeologySettings(1000, 2000))
    assert len(computed) == 4


CHANGES = {
    "an edited fault": "update lode.fault set geom = st_translate(geom, 0, 0.0001) where fault_id = 1",
    "a fault less": "delete from lode.fault where fault_id = 2",
    "a fault more": "insert into lode.fault (geom) select st_translate(geom, 0.001, 0.001) from lode.fault"
    " where fault_id = 1",
    "an edited pluton": "update lode.pluton set geom = st_translate(geom, 0, 0.0001) where pluton_id = 1",
    "a pluton less": "delete from lode.pluton where pluton_id = 1",
    "a pluton more": "insert into lode.pluton (geom) select st_translate(geom, 0.01, 0.01) from lode.pluton"
    " where pluton_id = 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_geology_gives_new_rasters_and_removes_the_old(
    ground: Connection[Any], computed: list[Grid], change: str
) -> None:
    before = geology_rasters(ground, GRID)
    kept = geology_rasters(ground, replace(GRID, srid=32646))  # another grid
    ground.commit()
    ground.execute(CHANGES[change].encode())
    after = geology_rasters(ground, GRID)
    assert len(computed) == 3
    assert after.content_digest != before.content_digest
    assert not np.array_equal(after.values, before.values)
    ground.commit()
    assert {table for _digest, table in rows(ground)} == {after.tile_table, kept.tile_table}
    assert {name.split("geology")[1] for name in tables(ground)} == {
        after.tile_table.removeprefix("geology"),
        kept.tile_table.removeprefix("geology"),
    }


UNCHANGED = {
    "a far fault": "update lode.fault set geom = st_translate(geom, 0, 0.01) where fault_id = 3",
    "its name": "update lode.fault set name = 'F1', fault_type = 'normal'",
    "ingested again, with other keys": "with gone as (delete from lode.fault returning geom)"
    " insert into lode.fault (geom) select geom from gone order by st_xmin(geom) desc",
    "the same twice": "insert into lode.fault (geom) select geom from lode.fault where fault_id = 1",
}


@pytest.mark.parametrize("change", UNCHANGED)
def test_a_change_that_does_not_matter_keeps_them(
    ground: Connection[Any], computed: list[Grid], change: str
) -> None:
    before = geology_rasters(ground, GRID)
    ground.execute(UNCHANGED[change].encode())
    assert geology_rasters(ground, GRID).content_digest == before.content_digest
    assert len(computed) == 1


def test_rasters_that_somebody_reads_stay_for_the_next_time(
    ground: Connection[Any], other: Connection[Any]
) -> None:
    before = geology_rasters(ground, GRID)
    ground.commit()
    assert other.execute("select count(*) from lode_raster.geology_tile").fetchone() != (0,)  # and holds on
    ground.execute("delete from lode.fault where fault_id = 1")
    said: list[str] = []
    geology_rasters(ground, GRID, report=said.append)
    ground.commit()
    assert [line for line in said if before.tile_table in line and "in use" in line]
    assert len(rows(ground)) == 2
    other.rollback()
    ground.execute("delete from lode.fault where fault_id = 2")
    last = geology_rasters(ground, GRID)
    ground.commit()
    assert [table for _digest, table in rows(ground)] == [last.tile_table]
    assert tables(ground) == {last.tile_table}


def test_rasters_taken_from_the_cache_are_not_removed_under_the_reader(
    ground: Connection[Any], other: Connection[Any]
) -> None:
    before = geology_rasters(ground, GRID)
    ground.commit()
    assert stored_raster(other, before.content_digest)  # and is about to read them
    ground.execute("delete from lode.fault where fault_id = 1")
    geology_rasters(ground, GRID)
    ground.commit()
    assert before.tile_table in tables(ground)
    assert np.array_equal(RasterReader(other, before.tile_table).read(0, 0, 80, 60), before.values)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_two_at_once_compute_once_unless_the_first_gives_up(
    ground: Connection[Any], other: Connection[Any], database_url: str, computed: list[Grid], ends: str
) -> None:
    first = geology_rasters(ground, GRID)
    second: list[GeologyRasters] = []
    said: list[str] = []

    def work() -> None:
        second.append(geology_rasters(other, GRID, report=said.append))
        other.commit()

    thread = threading.Thread(target=work)
    thread.start()
    with connect(database_url, autocommit=True) as watching:
        await_waiting(watching)
    getattr(ground, ends)()
    thread.join(60)
    assert len(said) == 1
    assert "waiting" in said[0]
    assert np.array_equal(second[0].values, first.values)
    assert len(computed) == (1 if ends == "commit" else 2)
    assert len(rows(ground)) == 1


def test_a_rollback_leaves_nothing(ground: Connection[Any]) -> None:
    geology_rasters(ground, GRID)
    ground.rollback()
    assert rows(ground) == []
    assert tables(ground) == set()


def test_a_row_whose_tiles_are_gone_is_computed_again(ground: Connection[Any], computed: list[Grid]) -> None:
    first = geology_rasters(ground, GRID)
    ground.execute(f"drop table lode_raster.{first.tile_table}".encode())
    again = geology_rasters(ground, GRID)
    assert len(computed) == 2
    assert np.array_equal(again.values, first.values)
    assert [table for _digest, table in rows(ground)] == [again.tile_table]


def test_a_worker_computes_and_stores_and_readers_see(
    ground: Connection[Any], database_url: str, computed: list[Grid]
) -> None:
    with login(database_url, "lode_worker", autocommit=False) as worker:
        first = geology_rasters(worker, GRID)
        worker.commit()
        assert np.array_equal(geology_rasters(worker, GRID).values, first.values)
        assert len(computed) == 1
        worker.commit()
    with login(database_url, "lode_reader") as reader:
        assert np.array_equal(RasterReader(reader, first.tile_table).read(0, 0, 80, 60), first.values)
        names = reader.execute("select r_table_name from raster_columns where r_table_name ~ '^geology'")
        assert {name for (name,) in names} == {first.tile_table, "geology_tile"}


def test_a_worker_removes_outdated_tables_with_their_overviews(
    ground: Connection[Any], database_url: str
) -> None:
    grid = replace(GRID, width_px=600)
    said: list[str] = []
    with login(database_url, "lode_worker", autocommit=False) as worker:
        old = geology_rasters(worker, grid)
        worker.commit()
        assert {name.removesuffix(old.tile_table) for name in tables(ground)} == {"", "o_2_", "o_4_"}
        ground.execute("delete from lode.fault where fault_id = 1")
        ground.commit()
        new = geology_rasters(worker, grid, report=said.append)
        worker.commit()
    assert said == []
    assert [table for _digest, table in rows(ground)] == [new.tile_table]
    assert {name.removesuffix(new.tile_table) for name in tables(ground)} == {"", "o_2_", "o_4_"}


def test_outdated_rasters_whose_tiles_are_gone_go_too(ground: Connection[Any]) -> None:
    said: list[str] = []
    old = geology_rasters(ground, GRID)
    ground.execute(f"drop table lode_raster.{old.tile_table}".encode())
    ground.execute("delete from lode.fault where fault_id = 1")
    new = geology_rasters(ground, GRID, report=said.append)
    assert said == []
    assert [table for _digest, table in rows(ground)] == [new.tile_table]


def test_a_table_of_somebody_else_stays_and_is_told(ground: Connection[Any]) -> None:
    said: list[str] = []
    old = geology_rasters(ground, GRID)
    ground.execute(f"alter table lode_raster.{old.tile_table} owner to lode_reader".encode())
    ground.execute("delete from lode.fault where fault_id = 1")
    new = geology_rasters(ground, GRID, report=said.append)
    assert [line for line in said if old.tile_table in line and "no raster table" in line]
    assert {table for _digest, table in rows(ground)} == {old.tile_table, new.tile_table}
    assert tables(ground) == {old.tile_table, new.tile_table}


def test_checks_find_nothing_wrong(ground: Connection[Any], run_lode: RunLode) -> None:
    geology_rasters(ground, replace(GRID, width_px=600))
    ground.commit()
    ground.execute("delete from lode.fault where fault_id = 1")
    geology_rasters(ground, replace(GRID, width_px=600))
    ground.commit()
    done = run_lode("db", "check")
    assert "geology_" not in done.stdout + done.stderr
