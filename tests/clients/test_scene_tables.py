"""A scene that was ingested, as GDAL and QGIS read it back."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from psycopg.conninfo import conninfo_to_dict

from db.connection import connect
from tests.clients.programs import SYSTEM_PYTHON, missing
from tests.conftest import RunLode

QGIS_SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer, QgsRectangle
app = QgsApplication([], False)
app.initQgis()
layer = QgsRasterLayer(sys.argv[1], "scene", "postgresraster")
box = layer.extent()
found = {"valid": layer.isValid(), "bands": layer.bandCount(), "size": [layer.width(), layer.height()],
         "crs": layer.crs().authid(),
         "extent": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]}
window = QgsRectangle(*json.loads(sys.argv[2]))
block = layer.dataProvider().block(2, window, 8, 6)
found["values"] = [[block.value(row, col) for col in range(8)] for row in range(6)]
print(json.dumps(found))
app.exitQgis()
"""


def write_scene(path: Path, dtype: str, *, nodata: float | None) -> np.ndarray:
    """A scene whose sides are no multiple of a tile, with a corner of tiles that hold nothing."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 250, (4, 700, 1111)).astype(dtype)
    if nodata is not None:
        pixels[:, :300, :600] = nodata
    profile = {
        "driver": "GTiff", "width": 1111, "height": 700, "count": 4, "dtype": dtype, "nodata": nodata,
        "photometric": "minisblack",
        "crs": "EPSG:32645", "transform": Affine(2.0, 0, 500_000.0, 0, -2.0, 4_860_000.0),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)
    return pixels


def source_of(url: str, table: str) -> str:
    parts = conninfo_to_dict(url)
    return (
        f"PG:host={parts['host']} port={parts.get('port', 5432)} dbname={parts['dbname']}"
        f" user={parts['user']}"
        f" schema=lode_raster table={table} mode=2"
    )


def checksums(source: str | Path) -> list[str]:
    done = subprocess.run(["gdalinfo", "-checksum", str(source)], check=True, capture_output=True, text=True)
    return re.findall(r"Checksum=(\d+)", done.stdout)


def ingest(run_lode: RunLode, path: Path) -> None:
    done = run_lode("ingest", "scene", path, "--sensor", "gf2_pms", "--acquired-on", "2021-06-01")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", None), ("uint16", 0), ("int16", -9999), ("float32", -1)]
)
def test_gdal_reads_every_band_as_it_was(
    run_lode: RunLode, database_url: str, tmp_path: Path, dtype: str, nodata: float | None
) -> None:
    path = tmp_path / "scene.tif"
    write_scene(path, dtype, nodata=nodata)
    ingest(run_lode, path)
    with connect(database_url) as conn:
        [(table, tiles)] = conn.execute(
            "select tile_table, (select count(*) from lode_raster.scene_tile) from lode.scene"
        ).fetchall()
    assert tiles == (13 if nodata == 0 else 15)
    expected = checksums(path)
    assert len(expected) == 4
    assert checksums(source_of(database_url, table)) == expected
    described = subprocess.run(
        ["gdalinfo", source_of(database_url, table)], check=True, capture_output=True, text=True
    ).stdout
    assert "Size is 1111, 700" in described
    assert "Overviews: 556x350" in described


def test_qgis_reads_the_scene(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], check=False, capture_output=True).returncode:
        missing("python3-qgis")
    path = tmp_path / "scene.tif"
    pixels = write_scene(path, "uint16", nodata=0)
    ingest(run_lode, path)
    with connect(database_url) as conn:
        [(table,)] = conn.execute("select tile_table from lode.scene").fetchall()
    parts = conninfo_to_dict(database_url)
    uri = (
        f"PG: dbname='{parts['dbname']}' host={parts['host']} port={parts.get('port', 5432)}"
        f" user='{parts['user']}' mode='2' schema='lode_raster' column='rast' table='{table}'"
    )
    row, col = 250, 700  # across tile borders
    west, north = 500_000.0 + 2 * col, 4_860_000.0 - 2 * row
    window = json.dumps([west, north - 12, west + 16, north])
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS_SCRIPT, uri, window],
        check=False, capture_output=True, text=True, timeout=120,
        env={"QT_QPA_PLATFORM": "offscreen", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["valid"]
    assert (found["bands"], found["size"], found["crs"]) == (4, [1111, 700], "EPSG:32645")
    assert found["extent"] == [500_000.0, 4_858_600.0, 502_222.0, 4_860_000.0]
    assert np.array_equal(np.array(found["values"]), pixels[1, row : row + 6, col : col + 8])
