"""Files into raster tables through the reading thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import rasterio
from rasterio.transform import Affine

from db.errors import UsageError
from db.raster import RasterReader
from ingest.loader import grid_of_dataset, load_raster
from tests.rasters import grid_of, noise, with_holes, write_file

Connection = psycopg.Connection[tuple[Any, ...]]

PIXELS = with_holes(noise("uint16", 3, 300, 210), 0)


def load(conn: Connection, path: Path, **options: Any) -> None:
    with rasterio.open(path) as dataset:
        load_raster(
            conn,
            dataset,
            **{"parent": "scene_tile", "owner_id": 1, "table": "scene_1", "tile_px": 64, **options},
        )


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"tiled": True, "blockxsize": 64, "blockysize": 64},
        {"tiled": True, "blockxsize": 128, "blockysize": 160, "compress": "deflate"},
        {"interleave": "pixel", "compress": "lzw"},
        {"blockysize": 300},
    ],
)
def test_every_pixel_arrives_whatever_the_files_blocks(
    conn: Connection, tmp_path: Path, profile: dict[str, Any]
) -> None:
    steps: list[tuple[int, int]] = []
    path = write_file(tmp_path / "scene.tif", PIXELS, nodata=0, **profile)
    load(conn, path, progress=lambda done, total: steps.append((done, total)))
    reader = RasterReader(conn, "scene_1")
    assert reader.grid == grid_of(210, 300)
    assert reader.nodata == 0
    np.testing.assert_array_equal(reader.read(0, 0, 300, 210), PIXELS)
    assert steps[-1] == (300, 300)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_chosen_bands_in_their_order_and_another_nodata(conn: Connection, tmp_path: Path) -> None:
    load(conn, write_file(tmp_path / "scene.tif", PIXELS), bands=[3, 1], nodata=7)
    reader = RasterReader(conn, "scene_1")
    assert reader.nodata == 7
    np.testing.assert_array_equal(reader.read(0, 0, 300, 210), PIXELS[[2, 0]])


def test_an_error_of_the_file_reaches_the_caller_and_ends_the_thread(
    conn: Connection, tmp_path: Path
) -> None:
    path = write_file(tmp_path / "scene.tif", PIXELS, nodata=0, compress="deflate", blockysize=8)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 4000] = bytes(4000)
    path.write_bytes(damaged)
    with pytest.raises(rasterio.errors.RasterioIOError):
        load(conn, path)
    conn.rollback()
    assert not any(thread.name == "raster-reader" for thread in threading.enumerate())
    assert conn.execute("select to_regclass('lode_raster.scene_1')").fetchone() == (None,)


def test_an_error_of_the_caller_ends_the_thread(conn: Connection, tmp_path: Path) -> None:
    def interrupted(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    path = write_file(tmp_path / "scene.tif", noise("uint8", 1, 2000, 100))
    with pytest.raises(KeyboardInterrupt):
        load(conn, path, progress=interrupted)
    assert not any(thread.name == "raster-reader" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ({"crs": None}, "no CRS"),
        ({"crs": "+proj=laea +lat_0=47 +lon_0=88"}, "no EPSG code"),
        ({"transform": Affine(2, 0, 0, 0, 2, 0)}, "south-up"),
        ({"transform": Affine(2, 1, 0, 0, -2, 0)}, "rotated"),
        ({"transform": Affine(-2, 0, 0, 0, -2, 0)}, "south-up"),
        ({"dtype": "int8"}, "int16"),
    ],
)
def test_files_that_cannot_be_stored_are_refused(
    conn: Connection, tmp_path: Path, profile: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "scene.tif"
    made: dict[str, Any] = {
        "driver": "GTiff",
        "width": 20,
        "height": 20,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:32645",
        "transform": Affine(2, 0, 500000, 0, -2, 4860000),
        **profile,
    }
    with rasterio.open(path, "w", **made) as file:
        file.write(np.ones((1, 20, 20), made["dtype"]))
    with pytest.raises(UsageError, match=reason):
        load(conn, path)


def test_nodata_that_no_pixel_can_have_is_refused(conn: Connection, tmp_path: Path) -> None:
    path = write_file(tmp_path / "scene.tif", noise("uint8", 1, 20, 20))
    with pytest.raises(UsageError, match="nodata"):
        load(conn, path, nodata=-9999)


def test_the_grid_of_a_file(tmp_path: Path) -> None:
    with rasterio.open(write_file(tmp_path / "scene.tif", PIXELS)) as dataset:
        assert grid_of_dataset(dataset) == grid_of(210, 300)
