"""Rasters brought onto the grid of a study area: where their cells lie, and what values become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer

from db.errors import UsageError
from db.raster import Grid
from ingest.evidence.gridded import Gridded, grid_raster
from ingest.files import source_file
from tests.ingest_files import write_tiff

GRID = Grid(32645, 500_000.0, 4_860_000.0, 100.0, 100.0, 8, 6)
NAN = float("nan")
Values = npt.NDArray[np.float32]


def at(cell_m: float, east_px: float = 0, south_px: float = 0) -> Affine:
    """Cells of this size, moved by so many cells of the grid."""
    return Affine(cell_m, 0, 500_000 + 100 * east_px, 0, -cell_m, 4_860_000 - 100 * south_px)


def numbers(height: int = 6, width: int = 8) -> Values:
    return np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width) ** 1.5


def gridded(
    folder: Path, values: npt.NDArray[Any], transform: Affine, *, grid: Grid = GRID, **options: Any
) -> Gridded:
    how = {key: options.pop(key) for key in ("band", "nodata", "resampling") if key in options}
    path = write_tiff(folder / "layer.tif", np.atleast_3d(values.T).T, transform=transform, **options)
    return grid_raster(source_file(path), grid, kind="geophysics", **how)


def test_cells_of_the_grid_are_taken_as_they_are(tmp_path: Path) -> None:
    values = numbers()
    values[1, 2] = NAN
    found = gridded(tmp_path, values, at(100))
    assert (found.resampling, found.shift_x_px, found.shift_y_px) == ("none", 0, 0)
    np.testing.assert_array_equal(found.values, values)
    # a file that begins two cells farther north-west, and ends beyond the grid
    larger = np.pad(values, ((2, 5), (2, 5)), constant_values=7)
    np.testing.assert_array_equal(gridded(tmp_path, larger, at(100, -2, -2)).values, values)
    # a file that covers the middle alone
    small = gridded(tmp_path, values[2:4, 3:6], at(100, 3, 2)).values
    np.testing.assert_array_equal(small[2:4, 3:6], values[2:4, 3:6])
    assert np.isfinite(small).sum() == 6


def test_a_file_stored_south_up_is_turned(tmp_path: Path) -> None:
    found = gridded(tmp_path, numbers()[::-1], Affine(100, 0, 500_000, 0, 100, 4_859_400))
    assert found.resampling == "none"
    np.testing.assert_array_equal(found.values, numbers())


@pytest.mark.parametrize(
    ("cell_m", "east_px", "south_px", "shift", "how", "said"),
    [
        (100, 0.5, 0.5, (0.5, 0.5), "bilinear", "lie 0.5 east and 0.5 south of the grid's"),
        (100, -0.25, 1.2, (-0.25, 0.2), "bilinear", "lie 0.25 west and 0.2 south"),
        (100, -1.5, -0.4, (0.5, -0.4), "bilinear", "lie 0.5 east and 0.4 north"),
        (300, -1, 0, (0, 0), "bilinear", "share their edges"),
        (300, -0.9, 0, (0.1, 0), "bilinear", "lie 0.1 east and 0 south"),
        (50, 0, 0.5, (0, 0), "average", "share their edges"),
        (50, 0.2, 0.4, (0.2, -0.1), "average", "lie 0.2 east and 0.1 north"),
        (80, 0, 0, (None, None), "bilinear", "share no edges"),
        (66, 0, 0, (None, None), "average", "of 66 x 66 m share no edges"),
        (424.3, -3, -3, (None, None), "bilinear", "share no edges"),
    ],
)
def test_the_offset_of_the_cells_is_told(
    tmp_path: Path,
    cell_m: float,
    east_px: float,
    south_px: float,
    shift: tuple[float | None, float | None],
    how: str,
    said: str,
) -> None:
    found = gridded(tmp_path, numbers(20, 20), at(cell_m, east_px, south_px))
    assert (found.shift_x_px, found.shift_y_px) == pytest.approx(shift)
    assert (found.resampling, found.source_resolution_m) == (how, pytest.approx(cell_m))
    assert said in found.notes[0]


def test_coarser_cells_are_interpolated(tmp_path: Path) -> None:
    # Middles of the 200 m cells lie at 1, 3, 5, ... cells of the grid, those of the grid at 0.5, 1.5, ...
    coarse = np.array([[0, 4, 8, 12], [8, 12, 16, 20], [16, 20, 24, 28]], np.float32)
    found = gridded(tmp_path, coarse, at(200)).values
    expected = [2 * (col - 1) + 4 * (row - 1) for row in (1.5, 2.5, 3.5, 4.5) for col in (1.5, 2.5, 3.5, 4.5)]
    np.testing.assert_allclose(found[1:5, 1:5].ravel(), expected, rtol=1e-6)
    assert found[0, 0] == 0  # nothing lies farther out to interpolate with
    np.testing.assert_array_equal(
        gridded(tmp_path, coarse, at(200), resampling="nearest").values, coarse.repeat(2, 0).repeat(2, 1)
    )


def test_finer_cells_are_averaged_and_half_of_them_must_have_a_value(tmp_path: Path) -> None:
    fine = numbers(12, 16)
    expected = fine.reshape(6, 2, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(gridded(tmp_path, fine, at(50)).values, expected, rtol=1e-6)
    fine[0, :2] = NAN  # half of the first cell
    fine[0:2, 2:4] = [[NAN, NAN], [NAN, 5]]  # three quarters of the second
    found = gridded(tmp_path, fine, at(50)).values
    assert found[0, 0] == pytest.approx(fine[1, :2].mean())
    assert np.isnan(found[0, 1])
    assert np.isfinite(found).sum() == 47


@pytest.mark.parametrize(
    ("east_px", "south_px", "known"), [(0, 0, 16), (0.3, 0.2, 16), (0.4, 0.4, 15), (0.9, 0, 16), (-3, -3, 1)]
)
def test_an_average_does_not_spread_beyond_the_file(
    tmp_path: Path, east_px: float, south_px: float, known: int
) -> None:
    found = gridded(tmp_path, np.full((40, 40), 5, np.float32), at(10, east_px, south_px))
    assert found.resampling == "average"
    across, down = (
        np.clip(np.minimum(np.arange(count) + 1, first + 4) - np.maximum(np.arange(count), first), 0, 1)
        for count, first in ((8, east_px), (6, south_px))
    )
    is_known = np.isfinite(found.values)
    np.testing.assert_array_equal(is_known, np.outer(down, across) > 0.499)
    assert is_known.sum() == known
    assert (found.values[is_known] == 5).all()


def test_an_average_of_another_zone_ends_where_the_file_does(tmp_path: Path) -> None:
    to_file = Transformer.from_crs(32645, 32644, always_xy=True)
    west, north = to_file.transform(500_160, 4_859_860)
    place = Affine(10, 0, west, 0, -10, north)
    values = np.full((30, 45), 5, np.float32)
    is_known = np.isfinite(gridded(tmp_path, values, place, crs="EPSG:32644").values)
    # share of each cell that the file covers, by 50 x 50 points in it
    at_px = (np.arange(400) + 0.5) / 50, (np.arange(300) + 0.5) / 50
    x, y = to_file.transform(*np.meshgrid(500_000 + 100 * at_px[0], 4_860_000 - 100 * at_px[1]))
    col, row = ~place @ (x, y)
    inside = (col > 0) & (col < 45) & (row > 0) & (row < 30)
    share = inside.reshape(6, 50, 8, 50).mean(axis=(1, 3))
    sure = np.abs(share - 0.5) > 0.02
    np.testing.assert_array_equal(is_known[sure], (share > 0.5)[sure])
    assert ((share > 0.02) & (share < 0.48)).sum() > 3


def test_codes_of_geology_are_not_mixed(tmp_path: Path) -> None:
    codes = np.array([[1, 1, 5, 5, 9, 9]] * 4, np.uint8)
    path = write_tiff(tmp_path / "rocks.tif", codes[np.newaxis], transform=at(130))
    found = grid_raster(source_file(path), GRID, kind="geology")
    assert found.resampling == "nearest"
    assert set(found.values[np.isfinite(found.values)].tolist()) == {1, 5, 9}
    assert any("its whole numbers are taken for codes" in note for note in found.notes)
    fine = write_tiff(tmp_path / "fine.tif", codes[np.newaxis], transform=at(20))
    assert grid_raster(source_file(fine), GRID, kind="geology").resampling == "nearest"
    # who says how is heard; amounts stay amounts
    asked = grid_raster(source_file(path), GRID, kind="geology", resampling="bilinear")
    amounts = grid_raster(source_file(path), GRID, kind="geophysics")
    cover = write_tiff(tmp_path / "cover.tif", codes[np.newaxis].astype(np.float32), transform=at(130))
    surface = grid_raster(source_file(cover), GRID, kind="geology")
    for each in (asked, amounts, surface):
        assert each.resampling == "bilinear"
        assert not any("codes" in note for note in each.notes)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (0.0,)
    assert grid_raster(source_file(path), GRID, kind="geology").resampling == "bilinear"


def test_values_do_not_spread_over_ground_without_any(tmp_path: Path) -> None:
    coarse = numbers(3, 4)
    coarse[1, 1] = -1
    found = gridded(tmp_path, coarse, at(200), nodata=[-1]).values
    hole = np.zeros((6, 8), bool)
    hole[2:4, 2:4] = True
    np.testing.assert_array_equal(np.isnan(found), hole)
    assert np.nanmin(found) >= 1
    # beyond the file's edge there is nothing either
    part = gridded(tmp_path, numbers(2, 2), at(200, 2, 2)).values
    assert np.isfinite(part[2:6, 2:6]).all()
    assert np.isfinite(part).sum() == 16


def test_a_file_in_degrees_lies_where_it_lies(tmp_path: Path) -> None:
    """A plane of the grid's own x, sampled in degrees, comes back as x."""
    to_grid = Transformer.from_crs(4326, 32645, always_xy=True)
    step = 0.0005
    lon = 86.95 + step * (np.arange(400) + 0.5)
    lat = 43.95 - step * (np.arange(300) + 0.5)
    x, y = to_grid.transform(*np.meshgrid(lon, lat))
    grid = Grid(32645, 499_000.0, 4_858_000.0, 20.0, 20.0, 200, 150)
    middle = grid.origin_x + 20 * (np.arange(200) + 0.5)
    place = Affine(step, 0, 86.95, 0, -step, 43.95)
    found = gridded(tmp_path, (x - 500_000).astype(np.float32), place, grid=grid, crs="EPSG:4326")
    assert (found.resampling, found.shift_x_px) == ("bilinear", None)
    assert found.source_resolution_m == pytest.approx(40.2, abs=0.1)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values - (middle - 500_000)).max() < 0.01  # m
    north = gridded(tmp_path, (y - 4_850_000).astype(np.float32), place, grid=grid, crs="EPSG:4326").values
    rows = grid.origin_y - 20 * (np.arange(150) + 0.5) - 4_850_000
    assert np.abs(north - rows[:, None]).max() < 0.01


def test_a_rotated_file_is_brought_onto_the_grid(tmp_path: Path) -> None:
    turn = Affine.translation(499_700, 4_860_000) @ Affine.rotation(20) @ Affine.scale(120, -120)
    col, row = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    x, _y = turn @ (col, row)
    found = gridded(tmp_path, (x - 500_000).astype(np.float32), turn)
    known = np.isfinite(found.values)
    assert known.sum() > 30
    expected = np.broadcast_to(100 * (np.arange(8) + 0.5), (6, 8))
    assert np.abs(found.values - expected)[known].max() < 0.01
    assert (found.shift_x_px, found.source_resolution_m) == (None, pytest.approx(120))


def test_a_file_beside_the_area_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"layer.tif: lies outside of the study area: it covers x 520000 to"):
        gridded(tmp_path, numbers(), at(100, 200))
    with pytest.raises(UsageError, match=r"lies outside of the study area.* of EPSG:4326"):
        gridded(tmp_path, numbers(), Affine(0.01, 0, 10, 0, -0.01, 10), crs="EPSG:4326")


def test_which_of_several_bands_must_be_said(tmp_path: Path) -> None:
    both = np.stack([numbers(), numbers() + 100])
    with pytest.raises(UsageError, match="has 2 bands; say with --band"):
        gridded(tmp_path, both, at(100))
    np.testing.assert_array_equal(gridded(tmp_path, both, at(100), band=2).values, both[1])
    with pytest.raises(UsageError, match="has no band 3, only 2"):
        gridded(tmp_path, both, at(100), band=3)


def test_what_is_no_layer_is_refused(tmp_path: Path) -> None:
    for options, said in (
        ({"crs": None}, "states no coordinate reference system"),
        ({"crs": "EPSG:32645", "transform": None}, "is not georeferenced"),
    ):
        path = write_tiff(tmp_path / "bad.tif", numbers()[None], **options)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=said):
            grid_raster(source_file(path), GRID, kind="geology")
    with pytest.raises(UsageError, match="of type complex64, and not real numbers"):
        gridded(tmp_path, numbers().astype(np.complex64), at(100))
    with pytest.raises(UsageError, match="has no value over the area"):
        gridded(tmp_path, np.full((6, 8), NAN, np.float32), at(100))
    (tmp_path / "x.tif").write_bytes(b"GIF89a" + b"x" * 100)
    with pytest.raises(UsageError):
        grid_raster(source_file(tmp_path / "x.tif"), GRID, kind="geology")
