"""Orthorectification against a camera, a terrain and a landscape that are known in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attr
import numpy as np
import pytest
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.files import source_file
from ingest.opening import open_raster
from ingest.preprocess.orthorectification import OrthoSource, ortho_grid, terrain_coverage
from ingest.preprocess.terrain import Terrain, open_terrain
from tests.ingest_files import write_tiff
from tests.pushbroom import CENTRE, SRID, Camera, landscape, terrain_m, write_elevation_model

CAMERA = Camera()
RPC, RPC_RMS_PX = CAMERA.polynomials()
PIXEL_M = 4.0


class Scene:
    """Files of a test, and images of them on the map."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack

    def image(self, pixels: Any, name: str = "image.tif") -> Any:
        """An image in sensor geometry, open."""
        path = write_tiff(self.folder / name, pixels, crs=None, transform=None)
        return self.stack.enter_context(open_raster(source_file(path)))

    def terrain(self, geoid_height_m: float = 0.0, **model: Any) -> Terrain:
        """An elevation model, open."""
        path = write_elevation_model(self.folder / "dem.tif", **model)
        return self.opened(path, geoid_height_m)

    def opened(self, path: Path, geoid_height_m: float = 0.0) -> Terrain:
        """An elevation model that was written already."""
        return self.stack.enter_context(open_terrain(source_file(path), geoid_height_m=geoid_height_m))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def grid_over(terrain: Terrain | None, height_m: float = 350.0, resolution_m: float = PIXEL_M) -> Grid:
    return ortho_grid(
        RPC,
        CAMERA.samples,
        CAMERA.lines,
        resolution_m=resolution_m,
        height_m=height_m,
        terrain=terrain,
        name="image.tif",
    )


def source_of(dataset: Any, grid: Grid, terrain: Terrain | None, **options: Any) -> OrthoSource:
    options = {"height_m": 350.0, "resampling": "cubic", **options}
    return OrthoSource(dataset, [1, 2], RPC, grid, terrain=terrain, **options)


def truth_on(grid: Grid) -> Any:
    """The landscape at the grid's pixel centres."""
    east = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    north = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    return landscape(*np.meshgrid(east, north))


def image_pixels(grid: Grid) -> tuple[Any, Any]:
    """Line and sample of the grid's pixels, from the camera's own geometry and the terrain."""
    east = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    north = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    e, n = np.meshgrid(east, north)
    return CAMERA.pixel(e, n, terrain_m(e, n))


def inside(pixels: Any, rows: int = 4) -> Any:
    """Pixels with data, some away from pixels without and from the edge."""
    seen = np.isfinite(pixels).all(axis=0)
    padded = np.pad(seen, rows)
    shape = seen.shape
    for d_row in range(-rows, rows + 1, rows):
        for d_col in range(-rows, rows + 1, rows):
            seen &= padded[rows + d_row :, rows + d_col :][: shape[0], : shape[1]]
    return seen


def displacement_px(pixels: Any, truth: Any) -> tuple[float, float, float]:
    """How far east and north the image lies from the truth, in pixels, and what remains (rms)."""
    d_row, d_col = np.gradient(truth.astype(np.float64), axis=(1, 2))
    at = inside(pixels)
    assert at.sum() > 3_000
    design = np.stack([d_col[:, at].ravel(), -d_row[:, at].ravel()], axis=1)
    difference = (truth - pixels)[:, at].ravel()
    found, *_ = np.linalg.lstsq(design, difference, rcond=None)
    return float(found[0]), float(found[1]), float(np.sqrt(np.mean(difference**2)))


def test_terrain_is_undone(scene: Scene) -> None:
    terrain = scene.terrain()
    grid = grid_over(terrain)
    assert (grid.srid, grid.resolution_x, grid.origin_x % PIXEL_M) == (SRID, PIXEL_M, 0.0)
    pixels = source_of(scene.image(CAMERA.image()), grid, terrain).read(0, grid.height_px)
    east, north, rms = displacement_px(pixels, truth_on(grid))
    # The landscape's bands have a deviation of about 130 and 100, half a pixel off is an rms of 14.
    assert abs(east) < 0.02
    assert abs(north) < 0.02
    assert rms < 1.5
    # And the grid holds the whole image: as much ground as the camera saw.
    line, sample = image_pixels(grid)
    within = (line > 0) & (line < CAMERA.lines - 1) & (sample > 0) & (sample < CAMERA.samples - 1)
    assert np.isfinite(pixels[0])[within].all()
    beyond = (line < -1) | (line > CAMERA.lines) | (sample < -1) | (sample > CAMERA.samples)
    assert np.isnan(pixels[:, beyond]).all()


@pytest.mark.parametrize("height_m", [0.0, 350.0])
def test_a_plain_at_one_height(scene: Scene, height_m: float) -> None:
    grid = grid_over(None, height_m)
    image = scene.image(CAMERA.image(flat_at_m=height_m))
    pixels = source_of(image, grid, None, height_m=height_m).read(0, grid.height_px)
    east, north, rms = displacement_px(pixels, truth_on(grid))
    assert abs(east) < 0.02
    assert abs(north) < 0.02
    assert rms < 1.5


def test_one_height_displaces_by_roll_and_pitch(scene: Scene) -> None:
    """What is higher than thought lies, in the map, further from the satellite."""
    grid = grid_over(None, 350.0)
    image = scene.image(CAMERA.image(flat_at_m=370.0))
    pixels = source_of(image, grid, None, height_m=350.0).read(0, grid.height_px)
    expected_east, expected_north = (
        (float(low[0] - high[0])) / PIXEL_M
        for low, high in zip(
            CAMERA.ground(np.array([120.0]), np.array([150.0]), 350.0),
            CAMERA.ground(np.array([120.0]), np.array([150.0]), 370.0),
            strict=True,
        )
    )
    assert np.hypot(expected_east, expected_north) > 1.5
    east, north, _ = displacement_px(pixels, truth_on(grid))
    assert east == pytest.approx(expected_east, abs=0.25)
    assert north == pytest.approx(expected_north, abs=0.25)


def test_heights_above_the_geoid_need_its_height(scene: Scene) -> None:
    image = scene.image(CAMERA.image())
    terrain = scene.terrain(geoid_height_m=-40.0, above_m=-40.0)
    grid = grid_over(terrain)
    pixels = source_of(image, grid, terrain).read(0, grid.height_px)
    assert np.abs(displacement_px(pixels, truth_on(grid))[:2]).max() < 0.02
    forgotten = scene.opened(scene.folder / "dem.tif")
    pixels = source_of(image, grid, forgotten).read(0, grid.height_px)
    assert displacement_px(pixels, truth_on(grid))[2] > 20


def test_a_model_in_degrees(scene: Scene) -> None:
    metric = scene.terrain(reach_m=2_500.0)
    there = metric.dataset
    heights = np.full((560, 560), np.nan, np.float32)
    step = 1e-4
    transform = Affine(step, 0.0, 86.98, 0.0, -step, 43.924)
    reproject(
        there.read(1),
        heights,
        src_transform=there.transform,
        src_crs=there.crs,
        dst_transform=transform,
        dst_crs="EPSG:4326",
        resampling=Resampling.cubic,
        init_dest_nodata=False,
    )
    heights[heights == 0] = np.nan
    path = write_tiff(
        scene.folder / "degrees.tif", heights[None], crs="EPSG:4326", transform=transform, nodata=np.nan
    )
    terrain = scene.opened(path)
    grid = grid_over(terrain)
    pixels = source_of(scene.image(CAMERA.image()), grid, terrain).read(0, grid.height_px)
    east, north, rms = displacement_px(pixels, truth_on(grid))
    assert abs(east) < 0.03
    assert abs(north) < 0.03
    assert rms < 3


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
def test_strips_and_windows_are_parts_of_the_whole(scene: Scene, resampling: str) -> None:
    terrain = scene.terrain(step_m=30.0)
    grid = grid_over(terrain)
    source = source_of(scene.image(CAMERA.image()), grid, terrain, resampling=resampling)
    whole = source.read(0, grid.height_px)
    strips = [source.read(row, min(37, grid.height_px - row)) for row in range(0, grid.height_px, 37)]
    np.testing.assert_allclose(np.concatenate(strips, axis=1), whole, rtol=0, atol=1e-3)
    window = source.read_window(91, 113, 40, 1)
    np.testing.assert_allclose(window, whole[:, 91:131, 113:114], rtol=0, atol=1e-3)


def test_larger_pixels_are_means_and_do_not_depend_on_strips(scene: Scene) -> None:
    terrain = scene.terrain()
    grid = grid_over(terrain)
    source = source_of(scene.image(CAMERA.image()), grid, terrain)
    reduced = source.reduced(6)
    assert reduced.shape == (2, -(-grid.height_px // 6), -(-grid.width_px // 6))
    rows, columns = grid.height_px // 6, grid.width_px // 6
    fine = truth_on(grid)[:, : rows * 6, : columns * 6]
    means = fine.reshape(2, rows, 6, columns, 6).mean(axis=(2, 4))
    seen = inside(reduced[:, :rows, :columns], 1)
    assert seen.sum() > 1_000
    assert np.sqrt(np.mean((reduced[:, :rows, :columns] - means)[:, seen] ** 2)) < 6
    coarse = grid_over(terrain, resolution_m=16.0)
    source = source_of(scene.image(CAMERA.image(), "again.tif"), coarse, terrain)
    strips = [source.read(row, min(11, coarse.height_px - row)) for row in range(0, coarse.height_px, 11)]
    np.testing.assert_allclose(
        np.concatenate(strips, axis=1), source.read(0, coarse.height_px), rtol=0, atol=0.05
    )


def test_an_offset_fetches_what_stands_there(scene: Scene) -> None:
    """Offset (east, north): each pixel shows what would otherwise stand that far to its east and north."""
    terrain = scene.terrain()
    grid = grid_over(terrain)
    image = scene.image(CAMERA.image())
    plain = source_of(image, grid, terrain).read(0, grid.height_px)
    moved = source_of(image, grid, terrain, offset_m=(3 * PIXEL_M, -2 * PIXEL_M)).read(0, grid.height_px)
    np.testing.assert_allclose(moved[:, :-2, :-3], plain[:, 2:, 3:], atol=1e-3)


def test_no_data_in_the_image_is_left_out(scene: Scene) -> None:
    image = CAMERA.image()
    image[:, 100:140, 100:200] = 0
    image[0, 30:40, 30:40] = 0  # one band only: a dark place, not a hole
    terrain = scene.terrain()
    grid = grid_over(terrain)
    pixels = source_of(scene.image(image), grid, terrain, resampling="bilinear").read(0, grid.height_px)
    line, sample = image_pixels(grid)
    hole = (line > 101) & (line < 138) & (sample > 101) & (sample < 198)
    assert hole.sum() > 2_000
    assert np.isnan(pixels[:, hole]).all()
    # Beside the hole nothing is darkened by it.
    beside = (line > 95) & (line < 145) & (sample > 95) & (sample < 205) & np.isfinite(pixels[0])
    assert pixels[0, beside].min() > 100
    dark = (line > 31) & (line < 38) & (sample > 31) & (sample < 38)
    assert (pixels[0, dark] == 0).all()
    assert (pixels[1, dark] > 100).all()


def test_holes_of_the_model_are_no_data(scene: Scene) -> None:
    terrain = scene.terrain(nodata=-9999.0, hole_m=100.0)
    grid = grid_over(terrain)
    pixels = source_of(scene.image(CAMERA.image()), grid, terrain).read(0, grid.height_px)
    row = round((grid.origin_y - CENTRE[1]) / PIXEL_M)
    col = round((CENTRE[0] - grid.origin_x) / PIXEL_M)
    assert np.isnan(pixels[:, row - 20 : row + 20, col - 20 : col + 20]).all()
    around = pixels[:, row - 60 : row + 60, col - 60 : col + 60]
    assert np.isfinite(around[0]).mean() > 0.7
    assert displacement_px(pixels, truth_on(grid))[2] < 1.5
    assert 0.9 < terrain_coverage(RPC, CAMERA.samples, CAMERA.lines, terrain) < 0.98


def test_beyond_the_model_is_no_data_and_counted(scene: Scene) -> None:
    small = scene.terrain(reach_m=250.0)
    grid = grid_over(small)
    share = terrain_coverage(RPC, CAMERA.samples, CAMERA.lines, small)
    assert share == pytest.approx(500.0**2 / (CAMERA.lines * CAMERA.samples * PIXEL_M**2), abs=0.06)
    pixels = source_of(scene.image(CAMERA.image()), grid, small).read(0, grid.height_px)
    assert np.isfinite(pixels[0]).sum() * PIXEL_M**2 == pytest.approx(500.0**2, rel=0.06)
    assert displacement_px(pixels, truth_on(grid))[2] < 1.5
    assert terrain_coverage(RPC, CAMERA.samples, CAMERA.lines, scene.terrain()) == 1.0


def test_a_model_of_elsewhere_is_refused(scene: Scene) -> None:
    path = write_tiff(
        scene.folder / "far.tif",
        np.full((1, 20, 20), 300.0, np.float32),
        transform=Affine(30.0, 0.0, 700_000.0, 0.0, -30.0, 4_860_000.0),
    )
    with pytest.raises(UsageError, match=r"far\.tif.*no heights where the image lies"):
        grid_over(scene.opened(path))


def test_heights_that_are_none_are_refused(scene: Scene) -> None:
    path = write_tiff(
        scene.folder / "raw.tif",
        np.full((1, 90, 90), -32768.0, np.float32),
        transform=Affine(30.0, 0.0, CENTRE[0] - 1350.0, 0.0, -30.0, CENTRE[1] + 1350.0),
    )
    with pytest.raises(UsageError, match="nodata value declared"):
        grid_over(scene.opened(path))


def test_outside_the_image_there_is_nothing(scene: Scene) -> None:
    grid = Grid(SRID, CENTRE[0] + 50_000.0, CENTRE[1], PIXEL_M, PIXEL_M, 30, 20)
    pixels = source_of(scene.image(CAMERA.image()), grid, None).read(0, 20)
    assert pixels.shape == (2, 20, 30)
    assert np.isnan(pixels).all()
    half = Grid(SRID, CENTRE[0], CENTRE[1] + 400.0, PIXEL_M, PIXEL_M, 400, 200)
    seen = np.isfinite(source_of(scene.image(CAMERA.image(), "again.tif"), half, None).read(0, 200)[0])
    assert 0.2 < seen.mean() < 0.6


def test_polynomials_of_a_pole_or_of_nonsense_are_refused() -> None:
    polar = attr.evolve(RPC, lat_off=88.0)
    with pytest.raises(UsageError, match="84 degrees"):
        ortho_grid(polar, 300, 240, resolution_m=4.0, height_m=350.0, name="image.tif")
    flat = attr.evolve(RPC, line_num_coeff=[0.0] * 20)
    with pytest.raises(UsageError, match="cannot be inverted"):
        ortho_grid(flat, 300, 240, resolution_m=4.0, height_m=350.0, name="image.tif")
