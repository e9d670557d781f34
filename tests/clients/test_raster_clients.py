"""Raster tables as GDAL and QGIS read them: every pixel type, empty tiles, overviews, many bands."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import rasterio

from db.raster import RasterReader
from db.raster.pixels import is_nodata
from tests.clients.programs import SYSTEM_PYTHON, missing
from tests.rasters import Pixels, noise, with_holes, write_file, write_table

Connection = psycopg.Connection[tuple[Any, ...]]

QGIS_SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer, QgsRectangle
app = QgsApplication([], False)
app.initQgis()
found = []
for uri, window, width, height in json.loads(sys.argv[1]):
    layer = QgsRasterLayer(uri, "raster", "postgresraster")
    provider = layer.dataProvider()
    box = layer.extent()
    view = QgsRectangle(*window)
    blocks = [provider.block(band + 1, view, width, height) for band in range(layer.bandCount())]
    # The whole at a fifth of its size, from an overview: how many pixels show 0.
    coarse = [provider.block(band + 1, box, 42, 60) for band in range(layer.bandCount())]
    found.append({
        "zeros": sum(block.value(row, col) == 0 and not block.isNoData(row, col)
                     for block in coarse for row in range(60) for col in range(42)),
        "valid": layer.isValid(), "size": [layer.width(), layer.height()], "crs": layer.crs().authid(),
        "extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        "nodata": provider.sourceNoDataValue(1) if provider.sourceHasNoDataValue(1) else None,
        "values": [[[block.value(row, col) for col in range(width)] for row in range(height)]
                   for block in blocks],
        "missing": [[[block.isNoData(row, col) for col in range(width)] for row in range(height)]
                    for block in blocks],
    })
print(json.dumps(found))
app.exitQgis()
"""


@pytest.fixture(autouse=True)
def gdal_is_there() -> None:
    if shutil.which("gdalinfo") is None:
        missing("gdal-bin")


def server_of(conn: Connection) -> str:
    info = conn.info
    return f"host='{info.host}' port={info.port} user='{info.user}' dbname='{info.dbname}'"


def gdal_name(conn: Connection, table: str) -> str:
    return f"PG:{server_of(conn)} schema='lode_raster' table='{table}' mode=2"


def gdalinfo(name: str | Path) -> str:
    done = subprocess.run(["gdalinfo", "-checksum", str(name)], check=True, capture_output=True, text=True)
    assert "ERROR" not in done.stderr
    return done.stdout


def checksums(text: str) -> list[str]:
    return re.findall(r"^  Checksum=(\d+)", text, re.M)


def same_in_gdal(
    conn: Connection, tmp_path: Path, pixels: Pixels, nodata: float | None, **options: Any
) -> str:
    """Write the pixels as a file and as a table, compare what GDAL says of them, and return the latter."""
    path = write_file(tmp_path / "source.tif", pixels, nodata=nodata, photometric="minisblack")
    write_table(conn, pixels, nodata=nodata, **options)
    conn.commit()
    theirs = gdalinfo(path)
    ours = gdalinfo(gdal_name(conn, options.get("table", "scene_1")))
    assert len(checksums(theirs)) == len(pixels)
    assert checksums(ours) == checksums(theirs)
    for fact in (
        r"^Size is .*$",
        r"^Origin = .*$",
        r"^Pixel Size = .*$",
        r"ID\[\"EPSG\",32645\]",
        r"NoData Value=.*$",
    ):
        assert re.findall(fact, ours, re.M) == re.findall(fact, theirs, re.M), fact
    return ours


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_checksums_of_every_pixel_type(
    conn: Connection, tmp_path: Path, dtype: str, nodata: float | None
) -> None:
    pixels = noise(dtype, 2, 300, 210)
    if nodata is not None:
        pixels = with_holes(pixels, nodata)
    same_in_gdal(conn, tmp_path, pixels, nodata)
    tiles = conn.execute("select count(*) from lode_raster.scene_1").fetchone()
    assert tiles is not None
    assert (tiles[0] == 20) == (nodata is None)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (1, 1), (65, 63), (10, 500), (500, 10), (128, 192)])
def test_any_size(conn: Connection, tmp_path: Path, height: int, width: int) -> None:
    same_in_gdal(conn, tmp_path, noise("uint16", 1, height, width), None)


def test_many_bands(conn: Connection, tmp_path: Path) -> None:
    same_in_gdal(conn, tmp_path, with_holes(noise("uint16", 166, 90, 70), 0), 0)


def test_compressed_class_maps(conn: Connection, tmp_path: Path) -> None:
    classes = np.full((1, 300, 210), 255, np.uint8)
    classes[0, 20:200, 30:150] = 6
    classes[0, 100:150, 60:90] = 1
    text = same_in_gdal(
        conn,
        tmp_path,
        classes,
        255,
        parent="probability",
        table="probability_1",
        storage="lz4",
        resampling="mode",
    )
    assert "Overviews: 105x150, 52x75, 26x38" in text


@pytest.mark.parametrize("valid", [[], [(0, 0)], [(299, 209)], [(150, 100)]])
def test_almost_empty_rasters(conn: Connection, tmp_path: Path, valid: list[tuple[int, int]]) -> None:
    pixels = np.zeros((2, 300, 210), np.uint16)
    for row, col in valid:
        pixels[:, row, col] = 60000
    same_in_gdal(conn, tmp_path, pixels, 0)
    np.testing.assert_array_equal(RasterReader(conn, "scene_1").read(0, 0, 300, 210), pixels)


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", math.nan), ("uint16", 0), ("int16", None)])
def test_a_copy_of_one_band_holds_the_pixels(
    conn: Connection, tmp_path: Path, dtype: str, nodata: float | None
) -> None:
    # GDAL 3.6 takes such a table for empty where it copies to GeoTIFF or gathers statistics: as documented.
    pixels = noise(dtype, 1, 300, 210)
    if nodata is not None:
        pixels = with_holes(pixels, nodata)
    write_table(conn, pixels, nodata=nodata)
    conn.commit()
    path = tmp_path / "copy.tif"
    name = gdal_name(conn, "scene_1")
    subprocess.run(["gdal_translate", "-q", "-of", "COG", name, str(path)], check=True)
    with rasterio.open(path) as copy:
        np.testing.assert_array_equal(copy.read(), pixels)
    said = subprocess.run(["gdalinfo", "-stats", str(path)], check=True, capture_output=True, text=True)
    valid = pixels if nodata is None else pixels[~is_nodata(pixels, nodata)]
    told = re.findall(r"STATISTICS_(?:MINIMUM|MAXIMUM)=(.*)", said.stdout)
    assert [float(value) for value in told] == pytest.approx([valid.max(), valid.min()])


def test_overviews_are_listed_and_used(conn: Connection, tmp_path: Path) -> None:
    pixels = with_holes(noise("uint16", 2, 300, 210), 0)
    text = same_in_gdal(conn, tmp_path, pixels, 0)
    # GDAL rounds half a pixel at the edge to the even number; ours has it as a pixel of its own.
    assert text.count("Overviews: 105x150, 52x75, 26x38") == 2
    # What GDAL reads of an overview is what we made.
    for level, (factor, width, height) in enumerate([(2, 105, 150), (4, 52, 75), (8, 26, 38)]):
        preview = tmp_path / f"preview_{factor}.tif"
        subprocess.run(
            ["gdal_translate", "-q", "-ovr", str(level), gdal_name(conn, "scene_1"), str(preview)],
            check=True,
            capture_output=True,
        )
        expected = RasterReader(conn, "scene_1").read(0, 0, height, width, overview=factor)
        overview = write_file(tmp_path / "overview.tif", expected, nodata=0, photometric="minisblack")
        assert checksums(gdalinfo(preview)) == checksums(gdalinfo(overview))


def test_qgis_shows_pixels_and_gaps(conn: Connection, tmp_path: Path) -> None:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], check=False, capture_output=True).returncode:
        missing("python3-qgis")
    tables: dict[str, tuple[Pixels, float | None]] = {}
    for owner_id, dtype in enumerate(
        ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"), 1
    ):
        for kind, nodata in enumerate((None, 0, 7)):
            number = 10 * kind + owner_id
            pixels = noise(dtype, 2, 300, 210)
            if nodata is not None:
                pixels = with_holes(pixels, nodata)
            write_table(conn, pixels, owner_id=number, nodata=nodata)
            tables[f"scene_{number}"] = (pixels, nodata)
    for parent, dtype, nodata in (("probability", "uint8", 255), ("prospect_score", "float32", math.nan)):
        pixels = with_holes(noise(dtype, 2, 300, 210), nodata)
        table = f"{parent}_1"
        write_table(conn, pixels, parent=parent, table=table, nodata=nodata, storage="lz4")
        tables[table] = (pixels, nodata)
    conn.commit()

    # A window across tile borders whose left part lies in a tile without a valid pixel.
    row, col, height, width = 60, 50, 10, 30
    west, north = 500000 + 2 * col, 4860000 - 4 * row
    window = [west, north - 4 * height, west + 2 * width, north]
    asked = [
        [
            f"PG: {server_of(conn)} mode='2' schema='lode_raster' column='rast' table='{table}'",
            window,
            width,
            height,
        ]
        for table in tables
    ]
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS_SCRIPT, json.dumps(asked)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        env={"QT_QPA_PLATFORM": "offscreen", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    for (table, (pixels, nodata)), found in zip(
        tables.items(), json.loads(done.stdout.splitlines()[-1]), strict=True
    ):
        assert found["valid"], table
        assert (found["size"], found["crs"]) == ([210, 300], "EPSG:32645")
        assert found["nodata"] == nodata or (nodata != nodata and math.isnan(found["nodata"]))
        assert found["zeros"] == 0, table
        assert found["extent"] == [500000, 4860000 - 1200, 500420, 4860000]
        expected = pixels[:, row : row + height, col : col + width]
        gaps = np.zeros(expected.shape, np.bool_) if nodata is None else is_nodata(expected, nodata)
        np.testing.assert_array_equal(np.array(found["missing"]), gaps, table)
        assert gaps.any() == (nodata is not None)
        values = np.array(found["values"])
        np.testing.assert_array_equal(values[~gaps], expected[~gaps].astype(np.float64), table)
