"""Grids: what stays as it is, what is warped and how, and what is refused."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from db.errors import UsageError
from ingest.crs import file_crs
from ingest.figures import check_observed, scene_figures
from ingest.files import source_file
from ingest.footprint import footprint
from ingest.gridding import GridPlan, plan_grid
from ingest.opening import open_raster, reading
from ingest.view import SceneView, scene_view
from tests.ingest_files import NORTH_UP, some_pixels, write_tiff

GEOGRAPHIC = Affine(9e-5, 0, 86.0, 0, -9e-5, 43.9)


def planned(path: Path, nominal_m: float = 10.0, **options: Any) -> GridPlan:
    file = source_file(path)
    with open_raster(file) as dataset, reading(file):
        return plan_grid(dataset, file.name, nominal_resolution_m=nominal_m, **options)


def viewed(
    stack: ExitStack,
    path: Path,
    nominal_m: float = 10.0,
    nodata: float | None = None,
    resampling: str = "nearest",
) -> tuple[GridPlan, SceneView]:
    file = source_file(path)
    dataset = stack.enter_context(open_raster(file))
    stack.enter_context(reading(file))
    plan = plan_grid(dataset, file.name, nominal_resolution_m=nominal_m)
    view = scene_view(dataset, plan, file.name, stated_nodata=nodata, resampling=resampling)
    return plan, stack.enter_context(view)


@pytest.mark.parametrize("crs", ["EPSG:32645", "EPSG:4547", "EPSG:4491", "EPSG:2056", "EPSG:3857"])
def test_metric_grids_stay_as_they_are(tmp_path: Path, crs: str) -> None:
    pixels = some_pixels(2)
    path = write_tiff(tmp_path / "x.tif", pixels, crs=crs)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        assert plan.reason is None
        assert plan.grid.srid == int(crs.removeprefix("EPSG:"))
        assert (plan.grid.origin_x, plan.grid.origin_y) == (NORTH_UP.c, NORTH_UP.f)
        assert np.array_equal(view.read_rows(0, 40)[0], pixels)
        assert view.nodata.value is None


def test_a_crs_without_code_is_recognised_by_its_numbers(tmp_path: Path) -> None:
    wkt = file_crs("EPSG:32645", "x").crs.to_wkt("WKT1_ESRI")
    path = write_tiff(tmp_path / "x.tif", some_pixels(1), crs=wkt)
    assert planned(path).grid.srid == 32645
    # One number off, and it is another CRS: warped, not mistaken for the zone.
    moved = wkt.replace('"Central_Meridian",87.0', '"Central_Meridian",87.5')
    assert moved != wkt
    plan = planned(write_tiff(tmp_path / "y.tif", some_pixels(1), crs=moved))
    assert plan.reason is not None
    assert "no EPSG code" in plan.reason


def test_metres_that_are_none_are_mentioned(tmp_path: Path) -> None:
    mercator = write_tiff(tmp_path / "x.tif", some_pixels(1), crs="EPSG:3857")
    assert "0.76 m on the ground" in planned(mercator).notes[0]
    assert planned(write_tiff(tmp_path / "y.tif", some_pixels(1))).notes == ()


def test_datums_without_transformation_are_mentioned() -> None:
    assert "few hundred metres" in str(file_crs("EPSG:4610", "x").doubt())  # Xian 1980
    assert file_crs("EPSG:4547", "x").doubt() is None  # CGCS2000
    assert file_crs("EPSG:4214", "x").doubt() is None  # Beijing 1954 has one


def test_geographic_scenes_are_warped_to_utm(tmp_path: Path) -> None:
    pixels = some_pixels(2, 60, 50)
    path = write_tiff(tmp_path / "x.tif", pixels, crs="EPSG:4326", transform=GEOGRAPHIC)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        grid = plan.grid
        assert plan.reason == "its grid is geographic (EPSG:4326)"
        assert grid.srid == 32645
        assert (grid.resolution_x, grid.resolution_y) == (10.0, 10.0)
        assert grid.origin_x % 10 == 0
        assert grid.origin_y % 10 == 0
        assert view.nodata.value == 0
        stored, _ = view.read_rows(0, grid.height_px)
    # Every pixel is the source pixel under its centre: computed here, one by one.
    to_lonlat = Transformer.from_crs(32645, 4326, always_xy=True)
    col, row = np.meshgrid(np.arange(grid.width_px) + 0.5, np.arange(grid.height_px) + 0.5)
    lon, lat = to_lonlat.transform(grid.origin_x + col * 10, grid.origin_y - row * 10)
    source_col, source_row = (lon - GEOGRAPHIC.c) / GEOGRAPHIC.a, (lat - GEOGRAPHIC.f) / GEOGRAPHIC.e
    inside = (source_col >= 0) & (source_col < 50) & (source_row >= 0) & (source_row < 60)
    expected = np.zeros_like(stored)
    i, j = np.floor(source_row[inside]).astype(int), np.floor(source_col[inside]).astype(int)
    expected[:, inside] = pixels[:, i, j]
    same = (stored == expected).all(axis=0)
    # The warper interpolates positions to an eighth of a pixel.
    near_edge = np.minimum(
        np.abs(source_col - np.round(source_col)), np.abs(source_row - np.round(source_row))
    )
    assert same[near_edge > 0.13].all()
    assert same.mean() > 0.8


def test_southern_scenes_go_to_southern_zones(tmp_path: Path) -> None:
    south = Affine(9e-5, 0, -44.1, 0, -9e-5, -20.1)
    path = write_tiff(tmp_path / "x.tif", some_pixels(1), crs="EPSG:4326", transform=south)
    assert planned(path).grid.srid == 32723


def test_the_resolution_is_the_instruments_or_a_round_one(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(1), crs="EPSG:4326", transform=GEOGRAPHIC)
    assert planned(path, nominal_m=10).grid.resolution_x == 10
    assert planned(path, nominal_m=2).grid.resolution_x == 8.5
    assert planned(path, resolution_m=5.0).grid.resolution_x == 5
    with pytest.raises(UsageError, match="does not fit"):
        planned(path, resolution_m=500.0)
    metric = write_tiff(tmp_path / "y.tif", some_pixels(1))
    with pytest.raises(UsageError, match="only for scenes that must be warped"):
        planned(metric, resolution_m=5.0)


def test_rotated_scenes_stay_in_their_plane(tmp_path: Path) -> None:
    rotated = Affine.translation(500000, 4860000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    pixels = some_pixels(1, 50, 50)
    path = write_tiff(tmp_path / "x.tif", pixels, crs="EPSG:4547", transform=rotated)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        assert plan.reason == "its grid is rotated"
        assert plan.grid.srid == 4547
        figures = scene_figures(view, ("pan",))
    # A square turned by 30 degrees fills this share of its bounding box.
    box = (math.cos(math.pi / 6) + math.sin(math.pi / 6)) ** 2
    assert figures.valid_px / figures.total_px == pytest.approx(1 / box, abs=0.03)


@pytest.mark.parametrize(
    ("transform", "turn"),
    [
        (Affine(10, 0, 500000.3, 0, 10, 4860000.7), lambda pixels: pixels[:, ::-1]),
        (Affine(-10, 0, 517000.3, 0, -10, 4860000.7), lambda pixels: pixels[:, :, ::-1]),
    ],
)
def test_turned_grids_are_turned_back_pixel_by_pixel(tmp_path: Path, transform: Affine, turn: Any) -> None:
    pixels = some_pixels(2, 1300, 1700)
    path = write_tiff(tmp_path / "x.tif", pixels, transform=transform)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        assert plan.is_turned
        assert (plan.grid.origin_x, plan.grid.width_px) == (500000.3, 1700)
        assert np.array_equal(view.read_rows(0, 1300)[0], turn(pixels))


def test_feet_are_warped(tmp_path: Path) -> None:
    feet = Affine(30, 0, 6_000_000, 0, -30, 2_100_000)
    plan = planned(write_tiff(tmp_path / "x.tif", some_pixels(1), crs="EPSG:2227", transform=feet))
    assert plan.reason is not None
    assert "not in metres" in plan.reason
    assert plan.grid.srid == 32610
    assert plan.grid.resolution_x == 10  # 30 US survey feet are 9.1 m


@pytest.mark.parametrize(
    ("crs", "transform", "reason"),
    [
        (None, NORTH_UP, "states no coordinate reference system"),
        ("EPSG:32645", None, "not georeferenced"),
        ("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 60), "too wide for one UTM zone"),
        ("EPSG:4326", Affine(0.01, 0, 10, 0, -0.01, 89), "can be warped to UTM"),
        ("EPSG:32645", Affine(math.nan, 0, 500000, 0, -10, 4860000), "not a number or zero"),
        ("EPSG:32645", Affine(0, 0, 500000, 0, 0, 4860000), "not a number or zero|not georeferenced"),
        (
            'LOCAL_CS["quarry grid",UNIT["metre",1]]',
            NORTH_UP,
            "not tied to the Earth|no coordinate reference",
        ),
        (
            'GEOGCS["x",DATUM["unknown",SPHEROID["GRS 1980",6378137,298.257222101]],PRIMEM["Greenwich",0],'
            'UNIT["degree",0.0174532925199433]]',
            GEOGRAPHIC,
            "datum .* is unknown",
        ),
    ],
)
def test_grids_that_lead_nowhere_are_refused(
    tmp_path: Path, crs: str | None, transform: Affine | None, reason: str
) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(1, 100, 100), crs=crs, transform=transform)
    with pytest.raises(UsageError, match=reason):
        planned(path)


def test_masked_pixels_become_nodata(tmp_path: Path) -> None:
    pixels = some_pixels(2)
    mask = np.ones((40, 50), bool)
    mask[:10, :20] = False
    for transform, crs in ((NORTH_UP, "EPSG:32645"), (Affine(10, 0, 500000, 0, 10, 4860000), "EPSG:32645")):
        path = write_tiff(tmp_path / f"{transform.e}.tif", pixels, crs=crs, transform=transform, mask=mask)
        with ExitStack() as stack:
            plan, view = viewed(stack, path)
            assert view.nodata.value == 0
            figures = scene_figures(view, ("red", "nir"))
            assert figures.valid_px == 40 * 50 - 200
            outline = footprint(figures, plan.grid, plan.source, "x")
            assert outline.is_valid
    geographic = write_tiff(
        tmp_path / "g.tif", pixels, crs="EPSG:4326", transform=GEOGRAPHIC, mask=mask, nodata=None
    )
    with ExitStack() as stack:
        plan, view = viewed(stack, geographic)
        figures = scene_figures(view, ("red", "nir"))
        share = figures.valid_px * 100 / (2000 * 9e-5**2 * 111320**2 * math.cos(math.radians(43.9)))
        assert share == pytest.approx(0.9, abs=0.03)


def test_a_mask_that_masks_nothing_needs_no_nodata(tmp_path: Path) -> None:
    pixels = np.arange(2000).reshape(1, 40, 50).astype("uint8")  # every value is in use
    path = write_tiff(tmp_path / "x.tif", pixels, mask=np.ones((40, 50), bool))
    with ExitStack() as stack:
        _plan, view = viewed(stack, path)
        assert view.nodata.value is None
        assert np.array_equal(view.read_rows(0, 40)[0], pixels)


def test_without_a_free_value_a_warp_is_refused_until_one_is_given_up(tmp_path: Path) -> None:
    pixels = np.arange(2000).reshape(1, 40, 50).astype("uint8")
    path = write_tiff(tmp_path / "x.tif", pixels, crs="EPSG:4326", transform=GEOGRAPHIC)
    with ExitStack() as stack, pytest.raises(UsageError, match="--nodata"):
        viewed(stack, path)
    with ExitStack() as stack:
        _plan, view = viewed(stack, path, nodata=255)
        assert view.nodata.value == 255
    used = pixels.copy()
    used[used == 77] = 78
    path = write_tiff(tmp_path / "y.tif", used, crs="EPSG:4326", transform=GEOGRAPHIC)
    with ExitStack() as stack:
        _plan, view = viewed(stack, path)
        assert view.nodata.value == 77


def test_nodata_that_cannot_occur(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(1))
    with ExitStack() as stack, pytest.raises(UsageError, match="cannot occur"):
        viewed(stack, path, nodata=-9999)
    mask = np.ones((40, 50), bool)
    mask[0] = False
    masked = write_tiff(tmp_path / "y.tif", some_pixels(1), mask=mask)
    with ExitStack() as stack, pytest.raises(UsageError, match="value of valid pixels"):
        viewed(stack, masked, nodata=int(some_pixels(1)[0, 5, 5]))


@pytest.mark.parametrize("nodata", [None, math.nan, -9999.0])
def test_values_that_are_not_finite_become_nodata(tmp_path: Path, nodata: float | None) -> None:
    pixels = some_pixels(2, dtype="float32")
    pixels[0, 0, :3] = [np.nan, np.inf, -np.inf]
    if nodata is not None:
        pixels[1, 1, :5] = nodata
    path = write_tiff(tmp_path / "x.tif", pixels, nodata=nodata)
    with ExitStack() as stack:
        _plan, view = viewed(stack, path)
        stored, replaced = view.read_rows(0, 40)
        held = view.nodata.value
        assert held is not None
        figures = scene_figures(view, ("red", "nir"))
    # NaN is the nodata value itself in the second case.
    assert replaced == (2 if nodata is not None and math.isnan(nodata) else 3)
    assert np.isfinite(stored[np.isfinite(pixels)]).all() or nodata is not None
    assert figures.bands[0].valid_px == 1997
    assert figures.bands[1].valid_px == (2000 if nodata is None else 1995)
    assert figures.valid_px == 2000
    assert np.isfinite([figures.bands[0].minimum, figures.bands[0].maximum]).all()


def test_pixel_types(tmp_path: Path) -> None:
    small = some_pixels(1, dtype="int8") - 60
    path = write_tiff(tmp_path / "x.tif", small.astype("int8"))
    with ExitStack() as stack:
        _plan, view = viewed(stack, path)
        assert view.dtype == np.dtype("int16")
        assert "int8" in view.notes[0]
        assert np.array_equal(view.read_rows(0, 40)[0], small)
    for odd in ("complex64", "int64", "uint64"):
        path = write_tiff(tmp_path / f"{odd}.tif", some_pixels(1).astype(odd))
        with ExitStack() as stack, pytest.raises(UsageError, match="cannot be stored"):
            viewed(stack, path)


def test_nothing_observed_and_constant_bands_are_refused(tmp_path: Path) -> None:
    cases = []
    empty = np.zeros((2, 40, 50), "uint16")
    cases.append((empty, "nothing observed"))
    half = some_pixels(2)
    half[1] = 0
    cases.append((half, "band nir holds no data"))
    constant = some_pixels(2)
    constant[0] = 7
    cases.append((constant, "band red is constant"))
    for pixels, reason in cases:
        path = write_tiff(tmp_path / "x.tif", pixels, nodata=0)
        with ExitStack() as stack:
            _plan, view = viewed(stack, path)
            with pytest.raises(UsageError, match=reason):
                check_observed(scene_figures(view, ("red", "nir")), "x")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0.02, 0.98),
    cell=st.integers(1, 9),
)
def test_footprints_are_valid_and_hold_what_was_seen(
    tmp_path: Path, seed: int, height: int, width: int, share: float, cell: int
) -> None:
    generator = np.random.default_rng(seed)
    coarse = generator.random((-(-height // cell), -(-width // cell))) < share
    valid = np.kron(coarse, np.ones((cell, cell), bool))[:height, :width]
    valid[generator.integers(height), generator.integers(width)] = True
    pixels = np.where(valid, some_pixels(1, height, width), 0)
    path = write_tiff(tmp_path / "x.tif", pixels.astype("uint16"), nodata=0)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        figures = scene_figures(view, ("pan",))
        assert figures.valid_px == int(valid.sum())
        outline = footprint(figures, plan.grid, plan.source, "x")
    assert outline.is_valid
    assert not outline.is_empty
    assert outline.geom_type == "MultiPolygon"
    area_m2 = outline.area * (111320**2) * math.cos(math.radians(43.9))
    # Small holes are filled and corners rounded, by about a pixel along the outline.
    edges = np.count_nonzero(np.diff(np.pad(valid, 1), axis=0)) + np.count_nonzero(np.diff(np.pad(valid, 1)))
    assert abs(area_m2 / 100 - valid.sum()) <= 1.5 * edges + 0.02 * valid.sum()


def test_large_masks_are_kept_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.figures.MASK_PX", 5000)
    pixels = some_pixels(1, 301, 403)
    pixels[:, :100, :200] = 0
    path = write_tiff(tmp_path / "x.tif", pixels, nodata=0)
    with ExitStack() as stack:
        plan, view = viewed(stack, path)
        figures = scene_figures(view, ("pan",))
        outline = footprint(figures, plan.grid, plan.source, "x")
    assert figures.mask_px == 5
    assert figures.valid_px == 301 * 403 - 20_000
    to_utm = Transformer.from_crs(4326, 32645, always_xy=True).transform
    x, y = to_utm(*np.transpose([point for part in outline.geoms for point in part.exterior.coords]))
    assert np.max(x) == pytest.approx(500000 + 4030, abs=0.01)
    assert np.min(y) == pytest.approx(4860000 - 3010, abs=0.01)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_files_are_viewed_or_refused_and_nothing_else(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    source = tmp_path / "whole.tif"
    if not source.exists():
        write_tiff(source, some_pixels(2, 9, 11), crs="EPSG:4326", transform=GEOGRAPHIC, nodata=0)
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "damaged.tif"
    path.write_bytes(bytes(data))
    try:
        with ExitStack() as stack:
            plan, view = viewed(stack, path)
            figures = scene_figures(view, tuple(f"b{band}" for band in view.indexes))
            check_observed(figures, path.name)
            crs = file_crs(f"EPSG:{plan.grid.srid}", path.name)
            assert footprint(figures, plan.grid, crs, path.name).is_valid
    except UsageError as error:
        assert str(error)  # noqa: PT017 - any other exception fails the test
