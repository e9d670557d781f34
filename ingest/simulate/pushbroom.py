"""A pushbroom camera over terrain: which ground every pixel of its image sees, and polynomials for it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.rpc import RPC
from scipy import ndimage

from ingest.preprocess.rpc_model import fit
from ingest.simulate.fields import FloatMap
from ingest.simulate.write import RESOLUTION_M, SRID, Placement

Points = NDArray[np.float64]

ALTITUDE_M = 631_000.0
HEADING_DEG = 193.0
"""Direction of flight of a descending pass, from north over east; lines run along it."""

_ROUNDS = 8


@dataclass(frozen=True)
class Camera:
    """One acquisition of a line camera.

    The ground is taken as flat on the map's plane; heights count from the ellipsoid. Lines are scanned along
    the direction of flight, samples run from west to east, (0, 0) is the centre of the first pixel.

    Attributes:
        centre_m: easting and northing of the ground at height 0 in the image's middle, EPSG:32645.
        gsd_m: distance of pixels on that ground.
        lines, samples: size of the image.
        roll_deg: how far the camera looks towards east.
        pitch_deg: how far it looks forward.

    """

    centre_m: tuple[float, float]
    gsd_m: float
    lines: int
    samples: int
    roll_deg: float
    pitch_deg: float = 0.0

    @property
    def view_zenith_deg(self) -> float:
        """Angle between the plumb line and the line to the satellite."""
        return math.degrees(
            math.atan(
                math.hypot(math.tan(math.radians(self.roll_deg)), math.tan(math.radians(self.pitch_deg)))
            )
        )

    @property
    def view_azimuth_deg(self) -> float:
        """Direction from the ground to the satellite, from north over east."""
        across, along = _axes()
        back = np.tan(np.radians(self.roll_deg)) * across + np.tan(np.radians(self.pitch_deg)) * along
        return float(np.degrees(np.arctan2(-back[0], -back[1])) % 360.0)

    @property
    def _focal_px(self) -> float:
        return ALTITUDE_M / math.cos(math.radians(self.roll_deg)) ** 2 / self.gsd_m

    def ground(self, line: Points, sample: Points, height_m: Points) -> tuple[Points, Points]:
        """Easting and northing that pixels see at a height."""
        roll, pitch = math.radians(self.roll_deg), math.radians(self.pitch_deg)
        aside = np.tan(roll + np.arctan((sample - (self.samples - 1) / 2) / self._focal_px))
        v = -ALTITUDE_M * math.tan(roll) + (ALTITUDE_M - height_m) * aside
        u = (line - (self.lines - 1) / 2) * self.gsd_m - height_m * math.tan(pitch)
        across, along = _axes()
        return (
            self.centre_m[0] + u * along[0] + v * across[0],
            self.centre_m[1] + u * along[1] + v * across[1],
        )

    def image(self, east_m: Points, north_m: Points, height_m: Points) -> tuple[Points, Points]:
        """Line and sample of points of the ground."""
        roll, pitch = math.radians(self.roll_deg), math.radians(self.pitch_deg)
        across, along = _axes()
        dx, dy = east_m - self.centre_m[0], north_m - self.centre_m[1]
        u, v = dx * along[0] + dy * along[1], dx * across[0] + dy * across[1]
        angle = np.arctan((v + ALTITUDE_M * math.tan(roll)) / (ALTITUDE_M - height_m)) - roll
        sample = np.tan(angle) * self._focal_px + (self.samples - 1) / 2
        line = (u + height_m * math.tan(pitch)) / self.gsd_m + (self.lines - 1) / 2
        return line, sample

    def seen(
        self, line: Points, sample: Points, height_m: FloatMap, placement: Placement
    ) -> tuple[Points, Points]:
        """Row and column of the district (pixel centres whole) that pixels see on its terrain."""
        height = np.full(line.shape, float(height_m.mean()))
        row = column = height
        for _ in range(_ROUNDS):
            east, north = self.ground(line, sample, height)
            column = (east - placement.origin_x_m) / RESOLUTION_M - 0.5
            row = (placement.origin_y_m - north) / RESOLUTION_M - 0.5
            height = ndimage.map_coordinates(
                height_m, (row, column), np.float64, order=1, mode="nearest", prefilter=False
            )
        return row, column

    def finer(self, times: int) -> "Camera":
        """The camera with pixels so many times as fine over the same ground."""
        return Camera(
            self.centre_m,
            self.gsd_m / times,
            self.lines * times,
            self.samples * times,
            self.roll_deg,
            self.pitch_deg,
        )

    def polynomials(self, lowest_m: float, highest_m: float) -> RPC:
        """Rational polynomials fitted to the camera between two heights."""
        line, sample, height = np.meshgrid(
            np.linspace(-0.05 * self.lines, 1.05 * self.lines, 15),
            np.linspace(-0.05 * self.samples, 1.05 * self.samples, 15),
            np.linspace(lowest_m, highest_m, 7),
            indexing="ij",
        )
        east, north = self.ground(line, sample, height)
        lon, lat = to_geographic(east, north)
        rpc, _ = fit(lon.ravel(), lat.ravel(), height.ravel(), line.ravel(), sample.ravel())
        return rpc


def to_geographic(east_m: Any, north_m: Any) -> tuple[Any, Any]:
    """Longitude and latitude of points in EPSG:32645, degrees."""
    return Transformer.from_crs(SRID, 4326, always_xy=True).transform(east_m, north_m)


def _axes() -> tuple[Points, Points]:
    """Unit vectors (east, north) along samples and along lines."""
    heading = math.radians(HEADING_DEG)
    return np.array([-math.cos(heading), math.sin(heading)]), np.array([math.sin(heading), math.cos(heading)])
