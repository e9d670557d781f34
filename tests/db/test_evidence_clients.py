"""Layers of evidence as GDAL and QGIS read them: cells without value are gaps."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from psycopg import Connection

from db.evidence import EvidenceLayer
from ingest.evidence.areas import AreaRequest, ingest_area
from ingest.evidence.layers import LayerRequest, ingest_layer
from ingest.evidence.naming import NamedFile
from ingest.files import source_file
from tests.clients.programs import need, ogr_source, qgis_source, run_qgis
from tests.ingest_files import Pixels, write_tiff

QGIS_SCRIPT = """
layer = QgsRasterLayer(arguments["source"], "evidence", "postgresraster")
provider = layer.dataProvider()
block = provider.block(1, layer.extent(), layer.width(), layer.height())
statistics = provider.bandStatistics(1, QgsRasterBandStats.All, layer.extent(), 0)
found = {
    "valid": layer.isValid(), "size": [layer.width(), layer.height()], "crs": layer.crs().authid(),
    "least": statistics.minimumValue, "most": statistics.maximumValue,
    "cells": [[None if block.isNoData(row, col) else block.value(row, col) for col in range(layer.width())]
              for row in range(layer.height())],
}
"""


@pytest.fixture
def values() -> Pixels:
    """Contents with a hole, and the right two of four tiles without any value."""
    values: Pixels = np.random.default_rng(1).gamma(2, 10, (300, 400)).astype(np.float32)
    values[100:160, 30:90] = np.nan
    values[:, 250:] = np.nan
    return values


@pytest.fixture
def layer(conn: Connection[Any], tmp_path: Path, values: Pixels) -> EvidenceLayer:
    place = Affine(100, 0, 500_000, 0, -100, 4_860_000)
    file = source_file(write_tiff(tmp_path / "Idw_Li.tif", values[np.newaxis], transform=place))
    ingest_area(conn, AreaRequest("north", like=file))
    request = LayerRequest(NamedFile(file, "Li", "Li"), "north", "geochemistry")
    made = ingest_layer(conn, request).layer
    conn.commit()
    return made


def test_gdal_reads_values_and_gaps(layer: EvidenceLayer, values: Pixels, database_url: str) -> None:
    need("gdallocationinfo", "gdal-bin")
    source = f"{ogr_source(database_url)} schema='lode_raster' table='{layer.tile_table}' mode=2"
    shown = subprocess.run(["gdalinfo", source], check=True, capture_output=True, text=True)
    assert "NoData Value=nan" in shown.stdout
    assert "ERROR" not in shown.stderr
    cells = [(5, 7), (95, 120), (60, 130), (249, 299), (250, 0), (399, 299)]
    asked = "".join(f"{col} {row}\n" for col, row in cells)
    found = subprocess.run(
        ["gdallocationinfo", "-valonly", source], input=asked, check=True, capture_output=True, text=True
    )
    expected = [values[row, col] for col, row in cells]
    assert np.isnan(expected).tolist() == [False, False, True, False, True, True]
    np.testing.assert_array_equal(np.array(found.stdout.split(), np.float32), expected)


def test_qgis_shows_values_and_gaps(
    layer: EvidenceLayer, values: Pixels, tmp_path: Path, database_url: str
) -> None:
    source = f"PG: {qgis_source(database_url)} mode='2' schema='lode_raster' column='rast'"
    found = run_qgis(QGIS_SCRIPT, tmp_path, source=f"{source} table='{layer.tile_table}'")
    assert (found["valid"], found["size"], found["crs"]) == (True, [400, 300], "EPSG:32645")
    cells = np.array(found["cells"], float)  # None becomes NaN
    np.testing.assert_array_equal(cells.astype(np.float32), values)
    assert (found["least"], found["most"]) == pytest.approx((np.nanmin(values), np.nanmax(values)))
