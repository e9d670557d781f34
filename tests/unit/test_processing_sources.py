"""Sources of pixels: nested product rasters, reduced images, sub-pixel shifts, and how values are stored."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.figures import in_blocks, into_blocks
from ingest.files import source_file
from ingest.processing.native import NativeSource
from ingest.processing.shifted import ShiftedSource
from ingest.processing.source import FloatArray, WindowSource, block_means
from ingest.processing.stacked import StackedSource
from ingest.processing.view import encoding_of, tile_edge_px
from ingest.products.product import Band, Layer, Part


class Held(WindowSource):
    """Pixels in memory, a metre each."""

    def __init__(self, pixels: FloatArray) -> None:
        self._pixels = pixels

    @property
    def grid(self) -> Grid:
        return Grid(32645, 0.0, 0.0, 1.0, 1.0, self._pixels.shape[2], self._pixels.shape[1])

    @property
    def band_count(self) -> int:
        return len(self._pixels)

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        return self._pixels[:, row : row + height, col : col + width]


def plane(height: int = 50, width: int = 60) -> FloatArray:
    """Two bands whose values say where a pixel is: 2 row + column, and column - row."""
    row, col = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([2 * row + col, col - row])


def write(path: Path, pixels: np.ndarray, west: float, north: float, size: float, **more: object) -> Path:
    profile = {
        "driver": "GTiff",
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
        "crs": "EPSG:32645",
        "transform": Affine(size, 0, west, 0, -size, north),
    }
    with rasterio.open(path, "w", **{**profile, **more}) as out:
        out.write(pixels)
    return path


def part_of(*layers: tuple[str, list[Path], int], nodata: float | None = None) -> Part:
    return Part(
        "multispectral",
        "gf2_pms",
        "",
        "surface_reflectance",
        tuple(Layer(Band(name), tuple(map(source_file, files)), index) for name, files, index in layers),
        None,
        None,
        10.0,
        nodata=nodata,
    )


def test_a_block_is_averaged_without_what_has_no_data() -> None:
    pixels = plane(5, 7)
    pixels[0, 0, 0] = np.nan
    pixels[1, :2, :2] = np.nan
    means = block_means(pixels, 2)
    assert means.shape == (2, 3, 4)
    assert means[0, 0, 0] == pytest.approx(np.mean([1, 2, 3]))
    assert np.isnan(means[1, 0, 0])
    assert means[0, 2, 3] == pixels[0, 4, 6]


def test_a_reduced_image_is_the_same_whatever_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Held(plane(101, 90))
    whole = block_means(plane(101, 90), 7)
    monkeypatch.setattr("ingest.processing.source._STRIP_BYTES", 90 * 2 * 4 * 20)
    np.testing.assert_array_equal(source.reduced(7), whole)


@pytest.mark.parametrize("shift", [(1.25, -2.5), (0.0, 3.0), (-0.75, 0.5), (4.0, -4.0)])
def test_a_shift_is_exact_on_a_plane_and_without_data_beyond(shift: tuple[float, float]) -> None:
    moved = ShiftedSource(Held(plane()), *shift)
    row, col = np.mgrid[8:40, 8:50]
    expected = np.stack(
        [2 * (row + shift[0]) + col + shift[1], col + shift[1] - row - shift[0]],
    )
    np.testing.assert_allclose(moved.read_window(8, 8, 32, 42), expected, atol=1e-4)
    window = moved.read(0, 50)
    np.testing.assert_array_equal(moved.read_window(10, 20, 7, 9), window[:, 10:17, 20:29])
    if shift[0] >= 1:
        assert np.isnan(window[:, -1]).all()
    if shift[1] <= -1:
        assert np.isnan(window[:, :, 0]).all()


def test_bands_of_different_resolution_nest_without_interpolation(tmp_path: Path) -> None:
    fine = np.arange(80, dtype=np.uint16).reshape(1, 8, 10) + 1
    coarse = np.arange(20, dtype=np.uint16).reshape(1, 4, 5) + 1000
    files = (
        write(tmp_path / "f.tif", fine, 600.0, 900.0, 10.0),
        write(tmp_path / "c.tif", coarse, 600.0, 900.0, 20.0),
    )
    with ExitStack() as stack:
        source = NativeSource(part_of(("red", [files[0]], 1), ("swir16", [files[1]], 1)), stack, "P")
        assert source.grid == Grid(32645, 600.0, 900.0, 10.0, 10.0, 10, 8)
        stored = source.read_stored(3, 1, 4, 6)
    np.testing.assert_array_equal(stored[0], fine[0, 3:7, 1:7])
    np.testing.assert_array_equal(stored[1], coarse[0].repeat(2, 0).repeat(2, 1)[3:7, 1:7])


def test_tiles_of_one_grid_make_one_image_with_gaps(tmp_path: Path) -> None:
    whole = np.arange(1, 2 * 64 * 96 + 1, dtype=np.float32).reshape(2, 64, 96)
    paths = [
        write(
            tmp_path / f"t_{col}_{row}.tif",
            whole[:, row : row + 32, col : col + 32],
            300.0 + col * 30,
            9000.0 - row * 30,
            30.0,
            nodata=-1.0,
        )
        for row, col in ((0, 0), (32, 32), (0, 64))
    ]
    with ExitStack() as stack:
        source = NativeSource(part_of(("a", paths, 1), ("b", paths, 2)), stack, "tiles")
        assert source.grid == Grid(32645, 300.0, 9000.0, 30.0, 30.0, 96, 64)
        pixels = source.read_window(0, 0, 64, 96)
        part = source.read_window(20, 25, 30, 50)
    np.testing.assert_array_equal(pixels[:, :32, :32], whole[:, :32, :32])
    np.testing.assert_array_equal(pixels[:, 32:, 32:64], whole[:, 32:, 32:64])
    assert np.isnan(pixels[:, :32, 32:64]).all()
    np.testing.assert_array_equal(part, pixels[:, 20:50, 25:75])


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    ones = np.ones((1, 8, 8), np.uint16)
    base = write(tmp_path / "base.tif", ones, 600.0, 900.0, 10.0)
    others = {
        "EPSG:32646": write(tmp_path / "zone.tif", ones, 600.0, 900.0, 10.0, crs="EPSG:32646"),
        "does not nest": write(tmp_path / "odd.tif", ones, 600.0, 900.0, 15.0),
        "pixel types": write(tmp_path / "type.tif", ones.astype(np.float32), 600.0, 900.0, 10.0),
        "north-up": write(tmp_path / "geo.tif", ones, 10.0, 40.0, 0.1, crs="EPSG:4326"),
        "not square": write(
            tmp_path / "oblong.tif", ones, 600.0, 900.0, 10.0, transform=Affine(10, 0, 600, 0, -20, 900)
        ),
    }
    for reason, path in others.items():
        with ExitStack() as stack, pytest.raises(UsageError, match=reason):
            NativeSource(part_of(("a", [base], 1), ("b", [path], 1)), stack, "P")
    with ExitStack() as stack, pytest.raises(UsageError, match="has 1 bands"):
        NativeSource(part_of(("a", [base], 2)), stack, "P")
    with ExitStack() as stack, pytest.raises(UsageError, match="leave gaps"):
        NativeSource(part_of(("a", [base, base], 1)), stack, "P")


def test_stacked_sources_have_the_bands_of_all() -> None:
    first, second = Held(plane()), Held(plane() + 100)
    both = StackedSource([first, second])
    assert both.band_count == 4
    np.testing.assert_array_equal(both.read_window(3, 4, 5, 6)[2:], plane()[:, 3:8, 4:10] + 100)
    np.testing.assert_array_equal(both.reduced(5)[:2], first.reduced(5))
    with pytest.raises(ValueError, match="one grid"):
        StackedSource([first, Held(plane(10, 10))])


def test_reflectance_is_stored_as_esa_does() -> None:
    encoding = encoding_of("toa_reflectance")
    values = np.array([[[0.0, 0.25, -0.05, np.nan, -5.0, 9.0]]], np.float32)
    stored = encoding.stored(values)
    np.testing.assert_array_equal(stored[0, 0], [1000, 3500, 500, 0, 1, 65535])
    back = (stored[0, 0, :3].astype(float) + encoding.offset) * encoding.scale
    np.testing.assert_allclose(back, [0.0, 0.25, -0.05], atol=1e-9)


def test_tiles_of_many_bands_are_smaller() -> None:
    assert tile_edge_px(4, 2) == 256
    assert tile_edge_px(10, 2) == 256
    assert tile_edge_px(166, 2) == 64
    assert tile_edge_px(224, 4) == 64


def test_blocks_of_a_mask_gathered_in_strips_equal_those_of_the_whole() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        height, width, block = (int(number) for number in rng.integers((1, 1, 1), (60, 60, 9)))
        mask = rng.random((height, width)) < 0.1
        gathered = np.zeros((-(-height // block), -(-width // block)), bool)
        top = 0
        while top < height:
            rows = min(int(rng.integers(1, 20)), height - top)
            into_blocks(gathered, mask[top : top + rows], top, block)
            top += rows
        np.testing.assert_array_equal(gathered, in_blocks(mask, block))
