"""Rational polynomials (RPC): from the ground to the image, back, and fitted to a camera.

The model is RPC00B (STDI-0002, Compendium of Controlled Extensions for NITF): normalised line and sample are
quotients of two cubic polynomials of 20 terms in normalised longitude, latitude and height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.rpc import RPC

from db.errors import UsageError

FloatArray = npt.NDArray[np.float64]

FEWEST_POINTS = 80
"""Two for each of the 39 unknowns of a quotient, about."""

_STEPS = 12
_TOLERANCE_PX = 1e-4
_RIDGE = 1e-8
_MARGIN = 1.05


def terms(lon: FloatArray, lat: FloatArray, height: FloatArray) -> FloatArray:
    """The 20 terms of RPC00B for normalised coordinates: array (..., 20)."""
    one = np.ones_like(lon)
    return np.stack(
        [
            one,
            lon,
            lat,
            height,
            lon * lat,
            lon * height,
            lat * height,
            lon * lon,
            lat * lat,
            height * height,
            lat * lon * height,
            lon**3,
            lon * lat * lat,
            lon * height * height,
            lon * lon * lat,
            lat**3,
            lat * height * height,
            lon * lon * height,
            lat * lat * height,
            height**3,
        ],
        axis=-1,
    )


def project(
    rpc: RPC, lon: npt.ArrayLike, lat: npt.ArrayLike, height_m: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Where points of the ground lie in the image.

    Args:
        rpc: the polynomials.
        lon: longitude, degrees on WGS 84.
        lat: latitude, degrees on WGS 84.
        height_m: height above the ellipsoid, m.

    Returns:
        Line and sample, pixels, in the convention of the polynomials; not finite where a denominator is 0.

    """
    points = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (lon, lat, height_m)))
    normal = terms(
        (points[0] - rpc.long_off) / rpc.long_scale,
        (points[1] - rpc.lat_off) / rpc.lat_scale,
        (points[2] - rpc.height_off) / rpc.height_scale,
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        line = (normal @ np.asarray(rpc.line_num_coeff)) / (normal @ np.asarray(rpc.line_den_coeff))
        sample = (normal @ np.asarray(rpc.samp_num_coeff)) / (normal @ np.asarray(rpc.samp_den_coeff))
    return line * rpc.line_scale + rpc.line_off, sample * rpc.samp_scale + rpc.samp_off


def locate(
    rpc: RPC, line: npt.ArrayLike, sample: npt.ArrayLike, height_m: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Where pixels lie on the ground at a height, by Newton's method on ``project``.

    Args:
        rpc: the polynomials.
        line: row in the image, pixels.
        sample: column in the image, pixels.
        height_m: height of the ground above the ellipsoid, m.

    Returns:
        Longitude and latitude, degrees on WGS 84.

    Raises:
        UsageError: the polynomials have no answer there.

    """
    rows, columns, heights = np.broadcast_arrays(
        *(np.asarray(each, np.float64) for each in (line, sample, height_m))
    )
    lon = np.full(rows.shape, rpc.long_off)
    lat = np.full(rows.shape, rpc.lat_off)
    d_lon, d_lat = rpc.long_scale * 1e-5, rpc.lat_scale * 1e-5
    for _ in range(_STEPS):
        at_line, at_sample = project(rpc, lon, lat, heights)
        off_line, off_sample = rows - at_line, columns - at_sample
        if not np.isfinite(off_line).all() or not np.isfinite(off_sample).all():
            break
        if max(np.abs(off_line).max(initial=0), np.abs(off_sample).max(initial=0)) < _TOLERANCE_PX:
            return lon, lat
        east_line, east_sample = project(rpc, lon + d_lon, lat, heights)
        north_line, north_sample = project(rpc, lon, lat + d_lat, heights)
        a, b = (east_line - at_line) / d_lon, (north_line - at_line) / d_lat
        c, d = (east_sample - at_sample) / d_lon, (north_sample - at_sample) / d_lat
        with np.errstate(divide="ignore", invalid="ignore"):
            determinant = a * d - b * c
            lon = lon + (d * off_line - b * off_sample) / determinant
            lat = lat + (a * off_sample - c * off_line) / determinant
    raise UsageError("the rational polynomials (RPC) cannot be inverted over the image: they are damaged")


def fit(
    lon: FloatArray, lat: FloatArray, height_m: FloatArray, line: FloatArray, sample: FloatArray
) -> tuple[RPC, float]:
    """Fit polynomials to points whose place in the image is known.

    Iterated linear least squares with a small ridge, as in Tao and Hu (2001), PE&RS 67(12).

    Args:
        lon: longitudes, degrees on WGS 84, of points that fill the volume over the image.
        lat: latitudes.
        height_m: heights above the ellipsoid, m.
        line: rows in the image, pixels.
        sample: columns in the image, pixels.

    Returns:
        The polynomials, and the root mean square of the residuals over lines and samples, pixels.

    Raises:
        UsageError: the points are too few, not finite, or do not fill a volume.

    """
    points = [np.asarray(each, np.float64).ravel() for each in (lon, lat, height_m, line, sample)]
    lon, lat, height_m, line, sample = points
    if len({len(each) for each in points}) != 1 or len(lon) < FEWEST_POINTS:
        raise UsageError(
            f"polynomials need {FEWEST_POINTS} points at least, each with all five coordinates, got "
            f"{', '.join(str(len(each)) for each in points)}"
        )
    for name, each in zip(("longitudes", "latitudes", "heights", "lines", "samples"), points, strict=True):
        if not np.isfinite(each).all():
            raise UsageError(f"polynomials need finite points; some {name} are none")
        if np.ptp(each) == 0:
            raise UsageError(
                f"polynomials need points that fill a volume; all {name} are {each[0]:g}: take more of them"
            )
    offsets, scales = [], []
    for values in (lon, lat, height_m, line, sample):
        low, high = float(values.min()), float(values.max())
        offsets.append((low + high) / 2)
        scales.append((high - low) / 2 * _MARGIN)
    normal = [
        (values - offset) / scale
        for values, offset, scale in zip((lon, lat, height_m, line, sample), offsets, scales, strict=True)
    ]
    design = terms(*normal[:3])
    found = [_quotient(design, target) for target in normal[3:]]
    rpc = RPC(
        height_off=offsets[2],
        height_scale=scales[2],
        lat_off=offsets[1],
        lat_scale=scales[1],
        line_den_coeff=found[0][1],
        line_num_coeff=found[0][0],
        line_off=offsets[3],
        line_scale=scales[3],
        long_off=offsets[0],
        long_scale=scales[0],
        samp_den_coeff=found[1][1],
        samp_num_coeff=found[1][0],
        samp_off=offsets[4],
        samp_scale=scales[4],
        err_bias=None,
        err_rand=None,
    )
    at_line, at_sample = project(rpc, lon, lat, height_m)
    rms = float(np.sqrt(np.mean((at_line - line) ** 2 + (at_sample - sample) ** 2)))
    return rpc, rms


def _quotient(design: FloatArray, target: FloatArray) -> tuple[list[float], list[float]]:
    """Numerator and denominator (20 each, the denominator's first 1) whose quotient is the target."""
    weight = np.ones(len(target))
    both: Any = np.concatenate([design, -target[:, None] * design[:, 1:]], axis=1)
    solution = np.zeros(39)
    for _ in range(5):
        weighted = both * weight[:, None]
        normal_matrix = weighted.T @ weighted
        normal_matrix[np.diag_indices(39)] += _RIDGE * len(target)
        solution = np.linalg.solve(normal_matrix, weighted.T @ (target * weight))
        weight = 1.0 / (1.0 + design[:, 1:] @ solution[20:])
    return solution[:20].tolist(), [1.0, *solution[20:].tolist()]
