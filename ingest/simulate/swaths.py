"""When and where the satellite looked: two slanted swaths a year, their clouds and their weather."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from rasterio import features
from shapely import MultiPolygon, Polygon, affinity, box, unary_union
from shapely.geometry import shape as as_geometry

from ingest.simulate.fields import FloatMap, Mask, fractal_noise, smoothstep, stream
from ingest.simulate.ground import frame
from ingest.simulate.illumination import Sun, sun_at

LATITUDE_DEG = 43.9
_SLANT = 0.158  # tangent of 9 degrees: the ground track of a sun-synchronous orbit at this latitude
_TILT = 0.011
_OVERLAP = 0.32


@dataclass(frozen=True)
class Cloud:
    """Opacity 0..1 of a cloud and of its shadow in windows of the district, and both outlines (pixels)."""

    rows: slice
    columns: slice
    opacity: FloatMap
    shadow_rows: slice
    shadow_columns: slice
    shadow: FloatMap
    outline: MultiPolygon
    shadow_outline: MultiPolygon


@dataclass(frozen=True)
class Swath:
    """One acquisition; `footprint` in pixel coordinates (column, row) of the district.

    `haze` scales the path reflectance, `wetness` shifts the plants' year, `gain` is in W m-2 sr-1 um-1 per
    digital number for each band.
    """

    acquired_on: date
    camera: str
    side: int
    sun: Sun
    footprint: Polygon
    haze: float
    wetness: float
    gain: tuple[float, float, float, float]
    cloud: Cloud | None


_DATES = {
    2021: (date(2021, 6, 15), date(2021, 8, 21)),
    2022: (date(2022, 7, 4), date(2022, 9, 9)),
    2023: (date(2023, 6, 2), date(2023, 8, 3)),
}
_WETNESS = {2021: 0.04, 2022: -0.08, 2023: 0.08}
_GAIN = (0.1503, 0.1609, 0.1574, 0.1731)


def plan_swaths(seed: int, shape: tuple[int, int], year: int) -> list[Swath]:
    """The two acquisitions of a year; the earlier one of 2021 and of 2022 has a cloud in the overlap."""
    rng = stream(seed, "swaths", year)
    swaths = []
    for side, day in enumerate(_DATES[year]):
        sun = sun_at(day, LATITUDE_DEG, 10.9 + float(rng.uniform(-0.15, 0.15)))
        size = {2021: 0.055, 2022: 0.085}.get(year, 0.0) if side == 0 else 0.0
        swaths.append(
            Swath(
                acquired_on=day,
                camera=f"PMS{side + 1}",
                side=side,
                sun=sun,
                footprint=_footprint(shape, side),
                haze=float(rng.uniform(0.6, 1.15)),
                wetness=_WETNESS[year] + float(rng.uniform(-0.03, 0.03)),
                gain=_gains(rng),
                cloud=_overlap_cloud(rng, shape, sun, size) if size else None,
            )
        )
    return swaths


def _gains(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Calibration of a camera in a year, a few per cent round the nominal."""
    blue, green, red, nir = (round(g * float(rng.uniform(0.97, 1.03)), 4) for g in _GAIN)
    return blue, green, red, nir


def _footprint(shape: tuple[int, int], side: int) -> Polygon:
    """Parallelogram of the western (0) or eastern (1) swath, cut to the district."""
    height, width = shape
    # Narrow districts lean less, so that each swath still reaches its own side's corners but for a sliver.
    slant = min(_SLANT, 0.35 * width / height)
    inner = (0.5 + 0.5 * _OVERLAP) * width if side == 0 else (0.5 - 0.5 * _OVERLAP) * width
    outer = -0.5 * slant * height + 0.018 * width
    outer = outer if side == 0 else width - outer
    lean = 0.5 * slant * height
    west, east = (outer, inner) if side == 0 else (inner, outer)
    top, bottom = 0.004 * height, height - 0.004 * height
    tilt = _TILT * (1.0 if side == 0 else -1.0)

    def down(x: float) -> float:
        return tilt * (x - west) if tilt > 0 else tilt * (x - east)

    corners = [
        (west + lean, top + down(west + lean)),
        (east + lean, top + down(east + lean)),
        (east - lean, bottom - abs(tilt) * (east - west) + down(east - lean)),
        (west - lean, bottom - abs(tilt) * (east - west) + down(west - lean)),
    ]
    return Polygon(corners).intersection(box(0, 0, width, height))


def covered(footprint: Polygon, rows: tuple[int, int], columns: tuple[int, int]) -> Mask:
    """Pixels of a window whose centre lies in a footprint."""
    moved = affinity.translate(footprint, -columns[0], -rows[0])
    size = (rows[1] - rows[0], columns[1] - columns[0])
    return np.asarray(features.rasterize([moved], out_shape=size, dtype="uint8"), dtype=np.bool_)


def _overlap_cloud(rng: np.random.Generator, shape: tuple[int, int], sun: Sun, size: float) -> Cloud:
    """A cumulus in the swaths' overlap."""
    height, width = shape
    row = float(rng.uniform(0.34, 0.7)) * height
    slant = min(_SLANT, 0.35 * width / height)
    column = 0.5 * width + (0.5 * height - row) * slant + 0.04 * width
    return make_cloud(rng, shape, sun, size, (row, column))


def make_cloud(
    rng: np.random.Generator, shape: tuple[int, int], sun: Sun, size: float, place: tuple[float, float]
) -> Cloud:
    """A cumulus at a place (row, column), and its shadow where the sun throws it.

    `size` is a share of the district's mean side.
    """
    height, width = shape
    row, column = place
    reach = size * float(np.sqrt(height * width)) * 1.25
    part = frame((row, column), 1.7 * reach, 0.0, shape)
    shape_noise = part.cut(fractal_noise(rng, part.full, reach / 1.4, 6, 0.58))
    radius = np.hypot(part.u / np.float32(1.25 * reach), part.v / np.float32(0.8 * reach))
    body = np.asarray(1.05 - radius + 0.30 * shape_noise, dtype=np.float32)
    far = np.asarray(1.65 - np.hypot(part.u, part.v) / reach, dtype=np.float32)
    rim = smoothstep(far, 0.0, 0.25)
    opacity = smoothstep(body, 0.16, 0.62) * rim
    throw = min(0.9 * reach / np.cos(sun.elevation), 320.0) / np.tan(sun.elevation)
    down, right = (round(c * throw) for c in sun.shadow_px)
    rows, columns = _shifted(part.rows, down, height), _shifted(part.columns, right, width)
    cut_rows = slice(rows.start - down - part.rows.start, rows.stop - down - part.rows.start)
    cut_columns = slice(columns.start - right - part.columns.start, columns.stop - right - part.columns.start)
    shadow = np.ascontiguousarray(opacity[cut_rows, cut_columns])
    return Cloud(
        part.rows,
        part.columns,
        opacity,
        rows,
        columns,
        shadow,
        _outline(opacity, part.rows, part.columns),
        _outline(shadow, rows, columns),
    )


def _shifted(window: slice, by: int, length: int) -> slice:
    """Window moved by some pixels, kept inside the district."""
    start = int(np.clip(window.start + by, 0, length))
    return slice(start, int(np.clip(window.stop + by, start, length)))


def _outline(opacity: FloatMap, rows: slice, columns: slice) -> MultiPolygon:
    """Outline of what is at least 12 % opaque, in pixel coordinates (column, row)."""
    seen = (opacity > 0.12).astype(np.uint8)
    found = [as_geometry(g) for g, value in features.shapes(seen, connectivity=4) if value == 1]
    merged = affinity.translate(unary_union([piece.buffer(0) for piece in found]), columns.start, rows.start)
    return merged if isinstance(merged, MultiPolygon) else MultiPolygon([merged])
