"""Cells of evidence without a value: declared, stated, masked, absurd or suspicious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio

from db.errors import UsageError
from db.raster import Grid
from ingest.evidence.gridded import Gridded, grid_raster
from ingest.files import source_file
from tests.ingest_files import write_tiff

GRID = Grid(32645, 500_000.0, 4_860_000.0, 10.0, 10.0, 5, 2)
NAN = float("nan")


def brought(
    folder: Path, pixels: npt.NDArray[Any], *, kind: str = "geochemistry", nodata: Any = (), **profile: Any
) -> Gridded:
    path = write_tiff(folder / "layer.tif", pixels[np.newaxis], **profile)
    return grid_raster(source_file(path), GRID, kind=kind, nodata=nodata)


def cells(*values: float, dtype: str = "float32") -> npt.NDArray[Any]:
    """Ten cells that begin with these values and go on with 1, 2, 3, ..."""
    return np.array([*values, *range(1, 11 - len(values))], dtype).reshape(2, 5)


def missing(found: Gridded) -> list[int]:
    return [int(place) for place in np.flatnonzero(np.isnan(found.values))]


def test_declared_stated_and_masked_cells_have_no_value(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cells(-1, 3)[np.newaxis], nodata=-1)
    found = grid_raster(source_file(path), GRID, kind="geochemistry")
    assert missing(found) == [0]
    assert len(found.notes) == 1  # where its cells lie
    # what the user states comes beside what the file declares
    assert missing(grid_raster(source_file(path), GRID, kind="geochemistry", nodata=[3])) == [0, 1, 4]
    assert missing(grid_raster(source_file(path), GRID, kind="geochemistry", nodata=[3, -1])) == [0, 1, 4]
    assert missing(grid_raster(source_file(path), GRID, kind="geophysics", nodata=[3, NAN])) == [1, 4]
    everything = grid_raster(source_file(path), GRID, kind="geochemistry", nodata=[NAN])
    assert everything.values.ravel()[:2].tolist() == [-1, 3]
    assert any("no cell" in note for note in brought(tmp_path, cells(7), nodata=[55]).notes)
    mask = np.ones((2, 5), bool)
    mask[1, 2] = False
    assert missing(brought(tmp_path, cells(7), mask=mask)) == [7]
    assert missing(brought(tmp_path, cells(7), mask=mask, nodata=[7])) == [0, 7]


@pytest.mark.parametrize(("kind", "mark"), [("float32", 1e20), ("uint16", 65535), ("int16", 32767)])
def test_a_mark_of_the_file_stays_one_beside_another(tmp_path: Path, kind: str, mark: float) -> None:
    path = write_tiff(tmp_path / "a.tif", cells(mark, 0, dtype=kind)[np.newaxis], nodata=mark)
    found = grid_raster(source_file(path), GRID, kind="geochemistry", nodata=[0])
    assert missing(found) == [0, 1]
    assert np.nanmax(found.values) == 8


def test_whole_numbers_are_values_too(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cells(255, 3, dtype="uint8")[np.newaxis], nodata=255)
    found = grid_raster(source_file(path), GRID, kind="geochemistry")
    assert (missing(found), found.values.dtype) == ([0], np.float32)
    assert missing(brought(tmp_path, cells(200, 3, dtype="uint8"), nodata=[-1, 200])) == [0]


@pytest.mark.parametrize("absurd", [-3.4028235e38, 3.4e38, -1.7e308, 1.1e30, np.inf, -np.inf, NAN])
def test_absurd_numbers_never_are_values(tmp_path: Path, absurd: float) -> None:
    kind = "float32" if not np.isfinite(absurd) or abs(absurd) < 3.5e38 else "float64"
    found = brought(tmp_path, cells(absurd, absurd, dtype=kind), kind="geophysics")
    assert missing(found) == [0, 1]
    assert np.nanmax(found.values) == 8
    told = [note for note in found.notes if "2 cells hold absurd numbers" in note]
    assert len(told) == (1 if np.isfinite(absurd) else 0)


@pytest.mark.parametrize("mark", [-1, -9, -99, -999, -9999, -32768])
def test_a_mark_that_nobody_declared_is_no_content_of_an_element(tmp_path: Path, mark: float) -> None:
    with pytest.raises(UsageError, match=rf"lowest value is {mark}, in 1 of 10 cells.*say --nodata {mark};"):
        brought(tmp_path, cells(mark))
    assert missing(brought(tmp_path, cells(mark), nodata=[mark])) == [0]
    assert missing(brought(tmp_path, cells(mark), kind="geophysics")) == []
    assert missing(brought(tmp_path, cells(mark), nodata=[NAN])) == []


def test_values_below_0_are_doubted_by_how_often_they_come(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lowest value is -0.5, in 2 of 10 cells"):
        brought(tmp_path, cells(-0.5, -0.5))
    once = brought(tmp_path, cells(-0.5, -0.25))
    assert missing(once) == []
    assert any("are these logarithms" in note for note in once.notes)
    told = brought(tmp_path, cells(-9999, -9999), kind="geophysics")
    assert any("say --nodata -9999" in note for note in told.notes)
    assert not any("--nodata" in note for note in brought(tmp_path, cells(-1, -1), kind="geophysics").notes)
    assert len(brought(tmp_path, cells(0, 0)).notes) == 1


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", cells(0, 20, dtype="uint8")[np.newaxis], nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5,), (100.0,)
    found = grid_raster(source_file(path), GRID, kind="geochemistry")
    assert missing(found) == [0]
    assert found.values.ravel()[1:3].tolist() == [110, 100.5]
    assert any("scale 0.5 and offset 100" in note for note in found.notes)
