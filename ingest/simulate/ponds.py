"""Tailings ponds: a terraced dam downhill, a beach of pale sediment in fans, water at the far end."""

import numpy as np

from ingest.simulate.fields import Mask, ring_noise
from ingest.simulate.ground import TAILINGS_POND, WATER, Frame, Ground, blob, levelled
from ingest.simulate.materials import Material
from ingest.simulate.pits import Season
from ingest.simulate.plans import MinePlan

_SPIGOTS = 6


def paint_pond(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    allowed: Mask,
    plan: MinePlan,
    half_px: tuple[float, float],
    season: Season,
) -> None:
    """Lay a pond of half axes `half_px` (a, b) into a window; u points downhill, to the dam."""
    a_px, b_px = half_px
    rho, angle = blob(rng, part, a_px, b_px, rough=0.8)
    warp = part.noise(rng, b_px / 2.2)
    fine = part.noise(rng, 4)
    t_px = (season.growth - rho) * b_px
    flooded = (t_px > 0) & allowed
    if not flooded.any():
        return
    dam_px = float(np.clip(0.15 * b_px, 4.0, 11.0))
    downhill = np.clip(1.6 * np.cos(angle) + 0.55, 0, 1)
    dam = t_px < dam_px * downhill
    level_m = float(np.median(ground.height_m[flooded]))
    shore = -part.u / a_px - 0.22 * (part.v / b_px) ** 2 + 0.10 * warp
    water = (shore > 0.16) & (t_px > 2.5) & ~dam
    wet = (shore > -0.10) & ~water & ~dam
    streak = _spigot_fans(rng, part, a_px, b_px, season.growth)
    lines = np.sin(t_px * np.float32(2 * np.pi / 4.0))
    height = level_m + 0.012 * part.u + 0.04 * streak
    height = np.where(
        dam, level_m + 3.0 + 0.6 * lines - np.clip(dam_px * downhill - t_px, 0, None) * 0.9, height
    )
    tone = np.where(dam, 1.0 + 0.05 * lines, 1.0 + 0.045 * streak + 0.03 * warp + 0.015 * fine)
    material = np.where(dam, Material.DAM, np.where(wet, Material.TAILINGS_WET, plan.sand)).astype(np.uint8)
    ground.put(flooded, land_class=TAILINGS_POND, material=material)
    land = levelled(ground.height_m, flooded, 0.5 * b_px, 5.0)
    # Away from the dam the pond laps against the valley's slopes.
    height = np.where(dam, height, np.where(t_px < 4.0, land, height))
    ground.height_m[flooded] = height.astype(np.float32)[flooded]
    ground.tone[flooded] = tone.astype(np.float32)[flooded]
    pool = water & flooded
    ground.put(pool, land_class=WATER, material=Material.TAILINGS_WATER)
    ground.height_m[pool] = level_m - 0.6
    # Silt clouds where the slurry enters: the water pales towards the beach.
    ground.tone[pool] = (1.0 + 0.55 * np.exp(-(shore - 0.16) / 0.13) + 0.04 * warp).astype(np.float32)[pool]


def _spigot_fans(
    rng: np.random.Generator, part: Frame, a_px: float, b_px: float, growth: float
) -> np.ndarray:
    """Streaks that spread from the spigots along the dam, deviation about 1."""
    streak = np.zeros(part.u.shape, np.float32)
    nearest = np.full(part.u.shape, np.inf, np.float32)
    for bearing in np.linspace(-1.0, 1.0, _SPIGOTS):
        u = part.u - np.float32(growth * a_px * np.cos(bearing))
        v = part.v - np.float32(growth * b_px * np.sin(bearing))
        distance = np.hypot(u, v)
        rays = ring_noise(rng, np.arctan2(v, u) % np.float32(2 * np.pi), 90)
        streak = np.where(distance < nearest, rays, streak)
        nearest = np.minimum(nearest, distance)
    return streak
