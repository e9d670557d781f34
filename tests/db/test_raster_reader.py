"""Windows read back, against the array that was written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.raster import RasterReader
from db.raster.overviews import halve
from tests.conftest import copied_database
from tests.rasters import Pixels, grid_of, noise, with_holes, write_table

Connection = psycopg.Connection[tuple[Any, ...]]

HEIGHT, WIDTH = 300, 210
NODATA = (0, 7, 0, 0, 7)
PIXELS = with_holes(noise("uint16", 5, HEIGHT, WIDTH), 0)
PIXELS[1][PIXELS[1] == 0] = 7
PIXELS[4][PIXELS[4] == 0] = 7


@pytest.fixture(scope="module")
def scene_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A database with one scene, which no test changes."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            write_table(conn, PIXELS, nodata=NODATA)
            write_table(conn, noise("int16", 2, 100, 130), owner_id=2)
        yield url


@pytest.fixture(scope="module")
def reader(scene_url: str) -> Iterator[RasterReader]:
    with connect(scene_url) as conn:
        yield RasterReader(conn, "scene_1")


def cut(pixels: Pixels, nodata: tuple[float, ...], row: int, col: int, height: int, width: int) -> Pixels:
    """A window of an array, with nodata outside, pixel by pixel."""
    window = np.empty((len(pixels), height, width), pixels.dtype)
    for band, value in enumerate(nodata):
        window[band] = value
    for y in range(max(0, -row), min(height, pixels.shape[1] - row)):
        for x in range(max(0, -col), min(width, pixels.shape[2] - col)):
            window[:, y, x] = pixels[:, row + y, col + x]
    return window


def test_facts(reader: RasterReader) -> None:
    assert reader.grid == grid_of(WIDTH, HEIGHT)
    assert (reader.dtype, reader.band_count, reader.tile_px) == (np.uint16, 5, 64)
    assert reader.nodata_values == NODATA
    assert reader.overviews == (2, 4, 8)
    with pytest.raises(UsageError, match="different nodata"):
        _ = reader.nodata


window_sides = st.integers(1, 90)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-100, 330), col=st.integers(-100, 240), height=window_sides, width=window_sides)
def test_any_window(reader: RasterReader, row: int, col: int, height: int, width: int) -> None:
    expected = cut(PIXELS, NODATA, row, col, height, width)
    np.testing.assert_array_equal(reader.read(row, col, height, width), expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    factor=st.sampled_from([2, 4, 8]),
    row=st.integers(-50, 160),
    col=st.integers(-50, 110),
    height=window_sides,
    width=window_sides,
)
def test_any_window_of_any_overview(
    reader: RasterReader, factor: int, row: int, col: int, height: int, width: int
) -> None:
    level = PIXELS
    while level.shape[2] > -(-WIDTH // factor):
        level = halve(level, NODATA, "average")
    expected = cut(level, NODATA, row, col, height, width)
    np.testing.assert_array_equal(reader.read(row, col, height, width, overview=factor), expected)


@pytest.mark.parametrize("bands", [[1], [5, 2], [2, 2], [5, 4, 3, 2, 1], [3, 1, 4], [1, 2, 3, 4, 5]])
def test_bands_in_any_order(reader: RasterReader, bands: list[int]) -> None:
    chosen = [band - 1 for band in bands]
    reader.read(90, -20, 100, 260)  # whole tiles in the cache must not be taken for picked bands
    for _ in range(2):  # from the database, then from the cache
        expected = cut(PIXELS, NODATA, 90, -20, 100, 260)[chosen]
        np.testing.assert_array_equal(reader.read(90, -20, 100, 260, bands=bands), expected)


def test_the_whole_raster_and_more(reader: RasterReader) -> None:
    expected = cut(PIXELS, NODATA, -1, -1, HEIGHT + 2, WIDTH + 2)
    np.testing.assert_array_equal(reader.read(-1, -1, HEIGHT + 2, WIDTH + 2), expected)


def test_a_window_far_outside_asks_nothing_of_the_database(reader: RasterReader) -> None:
    window = reader.read(10**6, -(10**6), 3, 4)
    assert [int(band[0, 0]) for band in window] == list(NODATA)


def test_without_nodata_a_fill_value_is_outside(scene_url: str) -> None:
    with connect(scene_url) as conn:
        reader = RasterReader(conn, "scene_2")
        assert reader.nodata is None
        assert reader.read(-1, -1, 1, 1).tolist() == [[[0]], [[0]]]
        window = reader.read(99, 129, 2, 2, fill=-5)
        assert window[:, 1, :].tolist() == [[-5, -5], [-5, -5]]
        assert window[0, 0, 0] == noise("int16", 2, 100, 130)[0, 99, 129]


def test_a_missing_tile_of_a_raster_without_nodata_is_an_error(conn: Connection) -> None:
    write_table(conn, noise("int16", 2, 100, 130))
    conn.execute("delete from lode_raster.scene_1 where rid = 2")
    reader = RasterReader(conn, "scene_1")
    assert reader.read(0, 0, 10, 10).shape == (2, 10, 10)
    for _ in range(2):  # also when the cache knows that it is missing
        with pytest.raises(UsageError, match=r"a tile is missing from lode_raster\.scene_1"):
            reader.read(0, 0, 100, 130)
    # The connection is not left in the middle of anything.
    assert conn.execute("select 1").fetchone() == (1,)


def test_tiles_are_read_once(conn: Connection) -> None:
    write_table(conn, PIXELS, nodata=NODATA)
    cached, uncached = RasterReader(conn, "scene_1"), RasterReader(conn, "scene_1", cache_bytes=0)
    for reader in (cached, uncached):
        np.testing.assert_array_equal(reader.read(0, 0, HEIGHT, WIDTH), PIXELS)
    conn.execute("truncate lode_raster.scene_1")
    np.testing.assert_array_equal(cached.read(0, 0, HEIGHT, WIDTH), PIXELS)
    assert uncached.read(130, 100, 1, 1).tolist() == [[[value]] for value in NODATA]


def test_a_small_cache_changes_nothing(scene_url: str) -> None:
    tile_bytes = 5 * 64 * 64 * 2
    with connect(scene_url) as conn:
        for capacity in (0, tile_bytes, 3 * tile_bytes):
            reader = RasterReader(conn, "scene_1", cache_bytes=capacity)
            for row, col in [(0, 0), (100, 100), (64, 64), (0, 0), (250, 10), (100, 100)]:
                expected = cut(PIXELS, NODATA, row, col, 80, 80)
                np.testing.assert_array_equal(reader.read(row, col, 80, 80), expected)


def test_the_result_is_the_callers_own(reader: RasterReader) -> None:
    window = reader.read(130, 100, 20, 20)
    before = window.copy()
    window += 1
    np.testing.assert_array_equal(reader.read(130, 100, 20, 20), before)


@pytest.mark.parametrize("autocommit", [False, True])
def test_reading_in_and_out_of_transactions(scene_url: str, autocommit: bool) -> None:
    with connect(scene_url, autocommit=autocommit) as conn:
        reader = RasterReader(conn, "scene_1")
        for _ in range(3):
            np.testing.assert_array_equal(reader.read(0, 0, HEIGHT, WIDTH), PIXELS)
            conn.commit()


def test_threads_with_connections_of_their_own(scene_url: str) -> None:
    failures: list[BaseException] = []

    def read(offset: int) -> None:
        try:
            with connect(scene_url) as conn:
                mine = RasterReader(conn, "scene_1", cache_bytes=0)
                for row in range(offset, 200, 40):
                    expected = PIXELS[:, row : row + 70, offset : offset + 100]
                    np.testing.assert_array_equal(mine.read(row, offset, 70, 100), expected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"overview": 3}, "no overview of factor 3"),
        ({"overview": 16}, r"choose one of \(1, 2, 4, 8\)"),
        ({"bands": [0]}, "from 1 to 5"),
        ({"bands": [1, 6]}, "from 1 to 5"),
        ({"bands": []}, "from 1 to 5"),
        ({"height": 0}, "at least one pixel"),
        ({"width": -3}, "at least one pixel"),
    ],
)
def test_impossible_requests_are_refused(
    reader: RasterReader, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        reader.read(**{"row": 0, "col": 0, "height": 5, "width": 5, **arguments})


def test_tables_that_are_none(conn: Connection) -> None:
    with pytest.raises(UsageError, match=r"no raster table lode_raster\.scene_404"):
        RasterReader(conn, "scene_404")
    conn.execute("create table lode_raster.plain (rid integer primary key, rast raster)")
    with pytest.raises(UsageError, match="lacks raster constraints"):
        RasterReader(conn, "plain")


def test_a_table_that_was_dropped_meanwhile(conn: Connection) -> None:
    write_table(conn, noise("int16", 2, 100, 130))
    reader = RasterReader(conn, "scene_1")
    conn.execute(sql.SQL("drop table lode_raster.scene_1"))
    with pytest.raises(UsageError, match="dropped meanwhile"):
        reader.read(0, 0, 5, 5)


def test_an_overview_can_be_read_as_a_raster_of_its_own(scene_url: str, reader: RasterReader) -> None:
    with connect(scene_url) as conn:
        own = RasterReader(conn, "o_2_scene_1")
        assert own.grid == reader.grid.overview(2)
        np.testing.assert_array_equal(own.read(0, 0, 150, 105), reader.read(0, 0, 150, 105, overview=2))
