"""Light on the ground: the sun's place, slopes towards and away from it, and cast shadow."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from ingest.simulate.fields import FloatMap, smoothstep

# Steps of the shadow's ray in pixels: dense near the pixel for houses, wide for pit walls.
_RAY_PX = (1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36)
SHADOW_REACH_PX = _RAY_PX[-1] + 1
DIFFUSE_SHARE = 0.16


@dataclass(frozen=True)
class Sun:
    """Direction of the sun in radians: azimuth from north over east, elevation above the horizon."""

    azimuth: float
    elevation: float

    @property
    def shadow_px(self) -> tuple[float, float]:
        """Unit vector (row, column) in which shadows fall."""
        return float(np.cos(self.azimuth)), float(-np.sin(self.azimuth))


def sun_at(day: date, latitude_deg: float, hour: float = 10.9) -> Sun:
    """Sun at local solar time `hour`; declination by Cooper (1969), Solar Energy 12."""
    day_of_year = day.timetuple().tm_yday
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    latitude, turn = np.radians(latitude_deg), np.radians(15 * (hour - 12))
    sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(turn)
    elevation = float(np.arcsin(sine))
    east = -np.cos(declination) * np.sin(turn)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(turn)
    return Sun(float(np.arctan2(east, north)), elevation)


def irradiance(height_m: FloatMap, sun: Sun, resolution_m: float) -> FloatMap:
    """Light relative to flat open ground (height, width); needs SHADOW_REACH_PX of margin to be right."""
    down, right = np.gradient(height_m, np.float32(resolution_m))
    flat = np.float32(np.sin(sun.elevation))
    east = np.float32(np.sin(sun.azimuth) * np.cos(sun.elevation))
    north = np.float32(np.cos(sun.azimuth) * np.cos(sun.elevation))
    cosine = (flat - right * east + down * north) / np.sqrt(1 + right * right + down * down)
    sky = 1.0 / (1.0 + 0.25 * (right * right + down * down))
    lit = 1.0 - _shadow(height_m, sun, resolution_m)
    direct = np.clip(cosine / flat, 0.0, 1.7) * lit
    return np.asarray((1 - DIFFUSE_SHARE) * direct + DIFFUSE_SHARE * sky, dtype=np.float32)


def _shadow(height_m: FloatMap, sun: Sun, resolution_m: float) -> FloatMap:
    """Depth of cast shadow, 0..1: how far the ray to the sun passes below the surface."""
    reach = SHADOW_REACH_PX
    padded = np.pad(height_m, reach, mode="edge")
    rows, columns = height_m.shape
    down, right = sun.shadow_px
    blocked = np.full(height_m.shape, -np.inf, np.float32)
    for step in _RAY_PX:
        row, column = reach - round(down * step), reach - round(right * step)
        rise = np.float32(step * resolution_m * np.tan(sun.elevation))
        np.maximum(blocked, padded[row : row + rows, column : column + columns] - rise, out=blocked)
    return smoothstep(blocked - height_m, -0.3, 1.2)
