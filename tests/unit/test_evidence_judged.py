"""Ground that is judged: from the whole grid, polygons, or rasters above 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from db.errors import UsageError
from db.raster import Grid
from ingest.evidence.judged import MAX_EDGE_DEGREES, judged_cells, judged_ground
from ingest.files import SourceFile, source_file
from tests.ingest_files import write_geojson, write_tiff

GRID = Grid(32645, 400_000.0, 4_860_000.0, 1000.0, 1000.0, 60, 40)
PLACE = Affine(1000, 0, 400_000, 0, -1000, 4_860_000)
Mask = npt.NDArray[np.bool_]


def raster(path: Path, mask: npt.NDArray[Any], transform: Affine = PLACE, **options: Any) -> SourceFile:
    return source_file(write_tiff(path, mask.astype(np.float32)[np.newaxis], transform=transform, **options))


def ragged(share: float = 0.4) -> Mask:
    """Cells at random, with many that touch at a corner."""
    return np.random.default_rng(3).random((40, 60)) < share


def longest_edge(shape: shapely.Geometry) -> float:
    longest = 0.0
    for polygon in shapely.get_parts(shape):
        for ring in (polygon.exterior, *polygon.interiors):
            steps = np.abs(np.diff(shapely.get_coordinates(ring), axis=0))
            longest = max(longest, float(steps.max()))
    return longest


def test_without_files_the_whole_grid_is_judged() -> None:
    ground = judged_ground([], GRID)
    assert ground.notes == ()
    assert ground.geometry.is_valid
    assert len(ground.geometry.geoms) == 1
    assert longest_edge(ground.geometry) <= 1000 / 111_000 * 1.5
    assert judged_cells(ground.geometry, GRID).all()


@pytest.mark.parametrize("share", [0.02, 0.4, 0.6, 0.98])
def test_cells_above_0_come_back_as_they_were(tmp_path: Path, share: float) -> None:
    mask = ragged(share)
    ground = judged_ground([raster(tmp_path / "a.tif", mask)], GRID)
    assert (ground.geometry.is_valid, ground.notes) == (True, ())
    np.testing.assert_array_equal(judged_cells(ground.geometry, GRID), mask)


def test_any_raster_above_0_counts(tmp_path: Path) -> None:
    first, second = ragged(), ragged(0.1)[::-1]
    values = np.where(second, 0.001, -3).astype(np.float32)
    values[:2] = np.nan
    files = [raster(tmp_path / "a.tif", first), raster(tmp_path / "b.tif", values)]
    expected = first | second
    expected[:2] = first[:2]
    np.testing.assert_array_equal(judged_cells(judged_ground(files, GRID).geometry, GRID), expected)
    # nodata above 0 does not count
    marked = raster(tmp_path / "c.tif", np.where(first, 3, 1), nodata=3)
    np.testing.assert_array_equal(judged_cells(judged_ground([marked], GRID).geometry, GRID), ~first)


def test_rasters_on_other_grids_count_on_their_own_cells(tmp_path: Path) -> None:
    coarse = np.zeros((8, 12), bool)
    coarse[2, 3] = coarse[7, 11] = True  # cells of 5 km
    fine = np.zeros((40, 60), bool)
    fine[12, 20] = fine[0, 0] = True
    files = [
        raster(tmp_path / "a.tif", coarse, Affine(5000, 0, 400_000, 0, -5000, 4_860_000)),
        raster(tmp_path / "b.tif", fine),
    ]
    expected = coarse.repeat(5, 0).repeat(5, 1) | fine
    ground = judged_ground(files, GRID)
    np.testing.assert_array_equal(judged_cells(ground.geometry, GRID), expected)
    assert len(ground.geometry.geoms) == 3  # the cell beside a coarse one is one with it
    assert ground.notes == ()


def test_polygons_keep_their_ground_and_get_short_edges(tmp_path: Path) -> None:
    # A box of degrees: its southern edge is a parallel, which is no straight line on the grid.
    box = shapely.box(85.9, 43.6, 86.4, 43.8)
    file = source_file(write_geojson(tmp_path / "a.geojson", [box], [{}]))
    ground = judged_ground([file], GRID)
    assert longest_edge(ground.geometry) <= MAX_EDGE_DEGREES * 1.001
    assert shapely.symmetric_difference(ground.geometry, box).area < 1e-12
    lon, lat = _middles()
    expected = (lon > 85.9) & (lon < 86.4) & (lat > 43.6) & (lat < 43.8)
    assert 400 < expected.sum() < 1200
    np.testing.assert_array_equal(judged_cells(ground.geometry, GRID), expected)


def test_polygons_and_rasters_join_and_what_lies_outside_is_left_out(tmp_path: Path) -> None:
    west = shapely.box(85.0, 43.7, 85.9, 43.8)  # begins beyond the grid
    file = source_file(write_geojson(tmp_path / "a.geojson", [west], [{}]))
    spot = np.zeros((40, 60), bool)
    spot[5, 50] = True
    ground = judged_ground([file, raster(tmp_path / "b.tif", spot)], GRID)
    assert ground.notes == ("ground outside of the grid is left out",)
    assert ground.geometry.is_valid
    lon, lat = _middles()
    expected = spot | ((lon < 85.9) & (lat > 43.7) & (lat < 43.8))
    assert expected.sum() > 50
    np.testing.assert_array_equal(judged_cells(ground.geometry, GRID), expected)
    assert ground.geometry.bounds[0] > 85.7


def test_ground_that_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    far = source_file(write_geojson(tmp_path / "far.geojson", [shapely.box(10, 10, 11, 11)], [{}]))
    with pytest.raises(UsageError, match=r"far.geojson: none of it lies on the grid"):
        judged_ground([far], GRID)
    with pytest.raises(UsageError, match=r"a.tif: no cell is above 0"):
        judged_ground([raster(tmp_path / "a.tif", np.zeros((40, 60)))], GRID)
    two = source_file(write_tiff(tmp_path / "b.tif", np.ones((2, 4, 4), np.float32), transform=PLACE))
    with pytest.raises(UsageError, match="has 2 bands"):
        judged_ground([two], GRID)
    with pytest.raises(UsageError, match="states no coordinate reference system"):
        judged_ground([raster(tmp_path / "c.tif", np.ones((4, 4)), crs=None)], GRID)
    lines = source_file(
        write_geojson(tmp_path / "l.geojson", [shapely.LineString([(86, 43.6), (86.1, 43.7)])], [{}])
    )
    with pytest.raises(UsageError, match="is a LineString, where polygons are expected"):
        judged_ground([lines], GRID)


def _middles() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude and latitude of the middles of the grid's cells."""
    x, y = np.meshgrid(400_500 + 1000.0 * np.arange(60), 4_859_500 - 1000.0 * np.arange(40))
    lon, lat = Transformer.from_crs(32645, 4326, always_xy=True).transform(x, y)
    return np.asarray(lon), np.asarray(lat)
