"""Rational polynomials against a camera in closed form, and GDAL's own."""

from __future__ import annotations

import attr
import numpy as np
import pytest
from rasterio.transform import RPCTransformer

from db.errors import UsageError
from ingest.preprocess.rpc_model import fit, locate, project
from tests.pushbroom import Camera, to_geographic

CAMERA = Camera(lines=6_000, samples=7_000, gsd_m=3.2)
RPC, RMS_PX = CAMERA.polynomials()


def some_places(count: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines, samples and heights that took no part in the fit."""
    random = np.random.default_rng(5)
    return (
        random.uniform(-0.5, CAMERA.lines - 0.5, count),
        random.uniform(-0.5, CAMERA.samples - 0.5, count),
        random.uniform(-50.0, 850.0, count),
    )


def test_the_fit_reproduces_the_camera() -> None:
    line, sample, height = some_places()
    lon, lat = to_geographic(*CAMERA.ground(line, sample, height))
    at_line, at_sample = project(RPC, lon, lat, height)
    assert RMS_PX < 0.01
    assert np.abs(at_line - line).max() < 0.02
    assert np.abs(at_sample - sample).max() < 0.02


def test_locate_undoes_project() -> None:
    line, sample, height = some_places()
    lon, lat = locate(RPC, line, sample, height)
    at_line, at_sample = project(RPC, lon, lat, height)
    np.testing.assert_allclose(at_line, line, rtol=0, atol=2e-4)
    np.testing.assert_allclose(at_sample, sample, rtol=0, atol=2e-4)
    east, north = CAMERA.ground(line, sample, height)
    true_lon, true_lat = to_geographic(east, north)
    # A hundredth of a pixel of 3.2 m is 3e-7 degrees of latitude.
    np.testing.assert_allclose(lat, true_lat, rtol=0, atol=3e-7)
    np.testing.assert_allclose(lon, true_lon, rtol=0, atol=4e-7)


def test_gdal_reads_them_with_the_first_pixels_centre_at_zero() -> None:
    """GDAL's rows and columns count from the corner of the first pixel, half a pixel before its centre."""
    lon, lat = to_geographic(*CAMERA.ground(np.array([100.0]), np.array([2000.0]), np.array([400.0])))
    with RPCTransformer(RPC, RPC_HEIGHT=400.0) as gdal:
        row, col = gdal.rowcol(lon, lat, op=lambda value: value)
    assert row[0] == pytest.approx(100.5, abs=0.02)
    assert col[0] == pytest.approx(2000.5, abs=0.02)


def test_shapes_are_kept_and_heights_spread() -> None:
    line, sample = np.mgrid[0:3, 0:4].astype(float)
    lon, lat = locate(RPC, line, sample, 300.0)
    assert lon.shape == lat.shape == (3, 4)
    at_line, _ = project(RPC, lon, lat, 300.0)
    assert at_line.shape == (3, 4)
    assert locate(RPC, np.zeros(0), np.zeros(0), 0.0)[0].shape == (0,)


def test_damaged_polynomials_have_no_answer() -> None:
    for broken in (
        attr.evolve(RPC, line_num_coeff=[0.0] * 20),
        attr.evolve(RPC, samp_num_coeff=RPC.line_num_coeff, samp_den_coeff=RPC.line_den_coeff),
        attr.evolve(RPC, line_den_coeff=[0.0] * 20),
        attr.evolve(RPC, lat_off=float("nan")),
    ):
        with pytest.raises(UsageError, match="cannot be inverted"):
            locate(broken, np.array([10.0, 900.0]), np.array([10.0, 400.0]), 300.0)


def test_a_zero_denominator_is_not_finite() -> None:
    line, sample = project(attr.evolve(RPC, line_den_coeff=[0.0] * 20), 87.0, 43.9, 300.0)
    assert not np.isfinite(line)
    assert np.isfinite(sample)


def test_points_that_determine_nothing_are_refused() -> None:
    line, sample, height = some_places()
    lon, lat = to_geographic(*CAMERA.ground(line, sample, height))
    with pytest.raises(UsageError, match="80 points at least"):
        fit(lon[:79], lat[:79], height[:79], line[:79], sample[:79])
    with pytest.raises(UsageError, match="got 500, 499"):
        fit(lon, lat[1:], height, line, sample)
    with pytest.raises(UsageError, match=r"all heights are 300"):
        fit(lon, lat, np.full_like(height, 300.0), line, sample)
    with pytest.raises(UsageError, match="some latitudes"):
        fit(lon, np.where(lat == lat[7], np.nan, lat), height, line, sample)


def test_noise_in_the_points_is_reported() -> None:
    line, sample, height = some_places(4_000)
    lon, lat = to_geographic(*CAMERA.ground(line, sample, height))
    noisy = line + np.random.default_rng(1).normal(0.0, 0.5, line.shape)
    rpc, rms = fit(lon, lat, height, noisy, sample)
    assert rms == pytest.approx(0.5, rel=0.05)
    assert np.abs(project(rpc, lon, lat, height)[0] - line).mean() < 0.1
