"""Grids of study areas, from a file or around bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from affine import Affine

from db.errors import UsageError
from db.raster import Grid
from ingest.evidence.grids import grid_like, grid_of_bounds
from ingest.files import source_file
from tests.ingest_files import some_pixels, write_tiff

BOUNDS = (499_950.0, 4_858_010.0, 501_000.0, 4_860_000.0)


def test_bounds_are_rounded_outwards_to_whole_cells() -> None:
    made = grid_of_bounds(BOUNDS, 32645, 100)
    assert made.grid == Grid(32645, 499_900, 4_860_000, 100, 100, 11, 20)
    assert made.notes == ()
    # what is a multiple but for the last bits stays one
    tenth = grid_of_bounds((500_000 + 1e-9, 4_859_999.7, 500_000.3, 4_860_000.1 + 1e-9), 32645, 0.1).grid
    assert (tenth.width_px, tenth.height_px) == (3, 4)
    assert tenth.origin_x == pytest.approx(500_000)


def test_a_file_lends_its_grid(tmp_path: Path) -> None:
    oblong = Affine(10, 0, 500_003, 0, -20, 4_860_000)
    file = source_file(write_tiff(tmp_path / "a.tif", some_pixels(1), transform=oblong))
    assert grid_like(file).grid == Grid(32645, 500_003, 4_860_000, 10, 20, 50, 40)
    # 500 x 800 m in cells of 150 m: enough of them to cover it
    assert grid_like(file, 150).grid == Grid(32645, 500_003, 4_860_000, 150, 150, 4, 6)
    turned = write_tiff(
        tmp_path / "b.tif", some_pixels(1), transform=Affine(10, 0, 500_003, 0, 20, 4_859_200)
    )
    assert grid_like(source_file(turned)).grid == Grid(32645, 500_003, 4_860_000, 10, 20, 50, 40)


@pytest.mark.parametrize(
    ("crs", "transform", "said"),
    [
        ("EPSG:4326", Affine(0.01, 0, 87, 0, -0.01, 44), r"may not be geographic \(degrees\).*EPSG:326nn"),
        ("EPSG:2225", Affine(10, 0, 500_000, 0, -10, 486_000), "may not be in another unit than metres"),
        ("EPSG:32645", Affine(10, 1, 500_000, 1, -10, 4_860_000), "its grid is rotated: warp it"),
        (None, Affine(10, 0, 500_000, 0, -10, 4_860_000), "states no coordinate reference system"),
        (
            "+proj=tmerc +lon_0=88 +datum=WGS84 +units=m",
            Affine(10, 0, 0, 0, -10, 4_860_000),
            "has no EPSG code",
        ),
    ],
)
def test_a_grid_that_nothing_can_be_measured_on_is_refused(
    tmp_path: Path, crs: str | None, transform: Affine, said: str
) -> None:
    file = write_tiff(tmp_path / "a.tif", some_pixels(1), crs=crs, transform=transform)
    with pytest.raises(UsageError, match=said):
        grid_like(source_file(file))


@pytest.mark.parametrize(
    ("bounds", "srid", "resolution_m", "said"),
    [
        ((87, 43, 88, 44), 4326, 100, r"--srid 4326: the grid .* geographic .* and write --bounds in it"),
        ((87, 43, 88, 44), 32645, 100, "these look like degrees"),
        ((501_000, 4_858_010, 499_950, 4_860_000), 32645, 100, "WEST,SOUTH,EAST,NORTH"),
        ((float("nan"), 0, 1, 1), 32645, 100, "WEST,SOUTH,EAST,NORTH"),
        ((400_000, 4_000_000, 600_000, 4_900_000), 32645, 1, "too large.*coarser --resolution-m"),
        (BOUNDS, 99999, 100, "cannot be understood"),
    ],
)
def test_bounds_that_cannot_be_right_are_refused(
    bounds: tuple[float, float, float, float], srid: int, resolution_m: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        grid_of_bounds(bounds, srid, resolution_m)


def test_a_plane_in_which_distances_are_wrong_is_told() -> None:
    # Web Mercator at 44 degrees north: 1 / cos(44 degrees) = 1.39
    (note,) = grid_of_bounds((9_700_000, 5_400_000, 9_710_000, 5_420_000), 3857, 100).notes
    assert "a metre on the ground is 1.38 m of EPSG:3857" in note or "1.39 m" in note
