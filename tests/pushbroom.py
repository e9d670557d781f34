"""A line camera, a landscape and its terrain in closed form: what orthorectification must undo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import Transformer
from rasterio.rpc import RPC

from ingest.preprocess.rpc_model import fit
from tests.ingest_files import write_tiff

SRID = 32645
CENTRE = (500_600.0, 4_860_700.0)
ALTITUDE_M = 631_000.0

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Lines run along the flight, (0, 0) is the centre of the first pixel.

    Attributes:
        lines, samples: size of the image.
        gsd_m: pixel size on the ground at height 0.
        roll_deg: how far it looks to its right.
        pitch_deg: how far it looks forward.
        heading_deg: of the flight, from north over east.

    """

    lines: int = 240
    samples: int = 300
    gsd_m: float = 4.0
    roll_deg: float = 18.0
    pitch_deg: float = 6.0
    heading_deg: float = 193.0

    def ground(self, line: Any, sample: Any, height_m: Any) -> tuple[Points, Points]:
        """Easting and northing that pixels see at a height."""
        slope = math.tan(math.radians(self.roll_deg)) + (sample - (self.samples - 1) / 2) * (
            self.gsd_m / ALTITUDE_M
        )
        right = (ALTITUDE_M - height_m) * slope - ALTITUDE_M * math.tan(math.radians(self.roll_deg))
        ahead = (line - (self.lines - 1) / 2) * self.gsd_m
        ahead = ahead - height_m * math.tan(math.radians(self.pitch_deg))
        turn = math.radians(self.heading_deg)
        east = CENTRE[0] + ahead * math.sin(turn) + right * math.cos(turn)
        north = CENTRE[1] + ahead * math.cos(turn) - right * math.sin(turn)
        return east, north

    def pixel(self, east: Any, north: Any, height_m: Any) -> tuple[Points, Points]:
        """Line and sample that see a point of the ground: ``ground`` turned round."""
        turn = math.radians(self.heading_deg)
        x, y = east - CENTRE[0], north - CENTRE[1]
        ahead = x * math.sin(turn) + y * math.cos(turn) + height_m * math.tan(math.radians(self.pitch_deg))
        right = x * math.cos(turn) - y * math.sin(turn)
        roll = math.tan(math.radians(self.roll_deg))
        slope = (right + ALTITUDE_M * roll) / (ALTITUDE_M - height_m)
        line = ahead / self.gsd_m + (self.lines - 1) / 2
        sample = (slope - roll) * ALTITUDE_M / self.gsd_m + (self.samples - 1) / 2
        return line, sample

    def seen(self, line: Any, sample: Any) -> tuple[Points, Points]:
        """Easting and northing that pixels see on the terrain."""
        height: Any = terrain_m(*CENTRE)
        for _ in range(40):
            east, north = self.ground(line, sample, height)
            height = terrain_m(east, north)
        return east, north

    def polynomials(self, lowest_m: float = -100.0, highest_m: float = 900.0) -> tuple[RPC, float]:
        """Polynomials fitted to the camera, and the root mean square of their error in pixels."""
        line, sample, height = (
            each.ravel()
            for each in np.meshgrid(
                np.linspace(-20.0, self.lines + 20.0, 13),
                np.linspace(-20.0, self.samples + 20.0, 13),
                np.linspace(lowest_m, highest_m, 7),
                indexing="ij",
            )
        )
        lon, lat = to_geographic(*self.ground(line, sample, height))
        return fit(lon, lat, height, line, sample)

    def image(self, *, flat_at_m: float | None = None) -> npt.NDArray[np.float32]:
        """What the camera records of the landscape (2, lines, samples), on its terrain or on a plain."""
        line, sample = np.mgrid[: self.lines, : self.samples].astype(np.float64)
        place = self.seen(line, sample) if flat_at_m is None else self.ground(line, sample, flat_at_m)
        return landscape(*place)


def terrain_m(east: Any, north: Any) -> Any:
    """Height of the ground above the ellipsoid, m: 200 to 500, slopes up to 40 degrees."""
    x, y = np.asarray(east) - CENTRE[0], np.asarray(north) - CENTRE[1]
    return 350.0 + 150.0 * np.sin(x / 200.0) * np.cos(y / 240.0 + 0.4)


def landscape(east: Any, north: Any) -> npt.NDArray[np.float32]:
    """What stands on the ground: two bands that no shift, turn or mirror image leaves alike."""
    x, y = np.asarray(east) - CENTRE[0], np.asarray(north) - CENTRE[1]
    first = 500 + 150 * np.sin(x / 17.0 + y / 61.0) + 120 * np.cos(y / 19.0 - x / 90.0) + x / 9.0 + y / 23.0
    second = 900 + 200 * np.sin(y / 14.0) * np.cos(x / 21.0) - x / 7.0
    return np.stack([first, second]).astype(np.float32)


def to_geographic(east: Any, north: Any) -> tuple[Points, Points]:
    """Longitude and latitude of points in EPSG:32645, degrees."""
    lon, lat = Transformer.from_crs(SRID, 4326, always_xy=True).transform(east, north)
    return lon, lat


def write_elevation_model(
    path: Path,
    *,
    above_m: float = 0.0,
    reach_m: float = 1_800.0,
    step_m: float = 10.0,
    nodata: float | None = None,
    hole_m: float = 0.0,
) -> Path:
    """The terrain less ``above_m`` as a GeoTIFF in EPSG:32645, with a square hole around the centre."""
    side = round(2 * reach_m / step_m)
    west, north = CENTRE[0] - reach_m, CENTRE[1] + reach_m
    x = west + (np.arange(side) + 0.5) * step_m
    y = north - (np.arange(side) + 0.5) * step_m
    heights = terrain_m(*np.meshgrid(x, y)) - above_m
    if nodata is not None:
        hole = (np.abs(y - CENTRE[1])[:, None] < hole_m) & (np.abs(x - CENTRE[0])[None, :] < hole_m)
        heights[hole] = nodata
    transform = Affine(step_m, 0.0, west, 0.0, -step_m, north)
    return write_tiff(path, heights.astype(np.float32)[None], transform=transform, nodata=nodata)
