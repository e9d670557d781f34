"""A real survey of 39 elements: its layers, 4.2 km wide, on the 1 km grid of its geology."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from psycopg import Connection

from db.evidence import area_by_name, list_layers, read_layer
from ingest.evidence.judged import judged_cells
from tests.conftest import RunLode
from tests.ingest_files import Pixels
from tests.support import test_data as data

GEOLOGY = ("Faults", "Granite", "Strata")
SURVEYED = 39


def interpolated(path: Path, rows: list[int], cols: list[int]) -> list[float]:
    """Bilinear values in the middles of cells of the 1 km grid, from the four cells of the file around."""
    with rasterio.open(path) as file, rasterio.open(data("nanling_lithium/Granite.tif")) as grid:
        values, to_file = file.read(1).astype(float), ~file.transform
        places = [
            to_file @ (grid.transform @ (col + 0.5, row + 0.5)) for row, col in zip(rows, cols, strict=True)
        ]
    found = []
    for x, y in places:
        col, row = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
        right, down = x - 0.5 - col, y - 0.5 - row
        four = values[row : row + 2, col : col + 2]
        assert (four != -1).all()
        found.append(float(np.array([1 - down, down]) @ four @ np.array([1 - right, right])))
    return found


def test_a_survey_of_39_elements_comes_onto_one_grid(run_lode: RunLode, conn: Connection[object]) -> None:
    folder = data("nanling_lithium")
    inside = [word for name in GEOLOGY for word in ("--inside", folder / f"{name}.tif")]
    made = run_lode("ingest", "area", "nanling", "--like", folder / "Granite.tif", *inside)
    assert made.returncode == 0, made.stderr
    above: Pixels = np.zeros((645, 556), bool)
    for name in GEOLOGY:
        with rasterio.open(folder / f"{name}.tif") as file:
            above |= file.read(1) > 0
    # Without the first row and column, which the file of deposits lacks, they are 123,258.
    assert (above.sum(), above[1:, 1:].sum()) == (123_284, 123_258)
    assert "556 x 645 cells of 1000 m, EPSG:32650; 123284 of 358620 cells are judged" in made.stdout
    assert "122,984.0 km2" in made.stdout
    area = area_by_name(conn, "nanling")
    np.testing.assert_array_equal(judged_cells(area.geometry, area.grid), above)

    survey = sorted(path for path in folder.glob("Idw_*.tif") if path.stem[4:] not in ("xx", "yy"))
    assert len(survey) == SURVEYED
    common = ("--area", "nanling", "--kind", "geochemistry", "--name-pattern", "Idw_{element}.tif")
    done = run_lode("ingest", "evidence", *survey, *common)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("its cells of 4244 x 4179 m share no edges with the grid's") == SURVEYED
    assert (
        "[39/39] stored layer Zr of nanling (geochemistry): values taken by bilinear, on 100.0%"
        in done.stdout
    )
    refused = run_lode("ingest", "evidence", folder / "Idw_xx.tif", *common)
    assert (refused.returncode, "'xx' is no element or oxide" in refused.stderr) == (1, True)
    geology = [folder / f"{name}.tif" for name in GEOLOGY]
    assert run_lode("ingest", "evidence", *geology, "--area", "nanling", "--kind", "geology").returncode == 0
    labels = run_lode(
        "ingest", "evidence", folder / "Li_deposits0.tif", "--area", "nanling", "--kind", "geology"
    )
    assert "lie 0.5 east and 0.5 south of the grid's" in labels.stdout

    layers = {layer.name: layer for layer in list_layers(conn, area)}
    assert len(layers) == SURVEYED + len(GEOLOGY) + 1
    deposits = layers["Li_deposits0"]
    assert (deposits.resampling, deposits.shift_x_px, deposits.shift_y_px) == ("nearest", 0.5, 0.5)
    rows, cols = [300, 301, 250, 400, 480], [300, 300, 215, 333, 268]
    for element in ("Li", "W", "Fe2O3"):
        layer = layers[element]
        assert (layer.element, layer.shift_x_px, layer.valid_fraction) == (element, None, 1)
        assert layer.source_resolution_m == pytest.approx(4243.855228)
        values = read_layer(conn, layer)
        assert np.nanmin(values) >= 0  # the mark -1 of no value is in none of them
        expected = interpolated(folder / f"Idw_{element}.tif", rows, cols)
        np.testing.assert_allclose(values[rows, cols], expected, rtol=1e-5)
    with rasterio.open(folder / "Granite.tif") as file:
        np.testing.assert_array_equal(read_layer(conn, layers["Granite"]), file.read(1))
    assert layers["Granite"].resampling == "none"
