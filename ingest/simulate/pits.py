"""Open pits: benches that follow the contour down to a floor, strata in their faces, water at the bottom."""

from typing import NamedTuple

import numpy as np

from ingest.simulate.fields import FloatMap, Mask, smoothstep
from ingest.simulate.ground import OPEN_PIT, VEGETATION, WATER, Frame, Ground, blob, levelled
from ingest.simulate.materials import Material, Plant
from ingest.simulate.plans import Element, MinePlan

TREATED_PIT = 9
_FACE_SHARE = 0.42


class Season(NamedTuple):
    """Size of an element in one year, and the share of it revegetated."""

    growth: float
    treated: float


def paint_pit(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    allowed: Mask,
    plan: MinePlan,
    element: Element,
    half_px: tuple[float, float],
    season: Season,
) -> None:
    """Dig a pit of half axes `half_px` (a, b) into the ground of a window, as it is in one year."""
    a_px, b_px = half_px
    rho, angle = blob(rng, part, a_px, b_px)
    warp = part.noise(rng, b_px / 2)
    fine = part.noise(rng, 4)
    lake_at = (float(rng.uniform(-0.25, 0.25)) * a_px, float(rng.uniform(-0.25, 0.25)) * b_px)
    seam = float(rng.uniform(0, 2 * np.pi))
    t_px = (season.growth - rho) * b_px
    dug = (t_px > 0) & allowed
    if not dug.any():
        return
    bench_px = float(np.clip(b_px / 8, 4.5, 10.5))
    bench_m = 1.25 * bench_px
    land = levelled(ground.height_m, dug, b_px / 5, 8.0)
    turn = ((angle + seam) / (2 * np.pi) % 1.0 * bench_m).astype(np.float32) * smoothstep(
        t_px, 0, 2 * bench_px
    )
    cone = land - t_px * (bench_m / bench_px) + 0.8 * warp + turn
    level, face = _terraces(cone, bench_m)
    depth = 0.60 * b_px * season.growth * bench_m / bench_px
    floor_m = float(np.percentile(land[dug], 35)) - depth
    bottom = level - turn <= floor_m
    height = np.where(bottom, floor_m + 0.25 * fine, np.minimum(level - turn, land))
    material = _strata(level, bench_m, plan, 0.35 * warp + 0.12 * fine)
    worked = bottom & (part.noise(rng, b_px / 4) > -0.5)
    material[worked] = plan.floor
    tone = np.where(face, 0.90, 1.05) + 0.03 * warp
    ground.put(dug, land_class=OPEN_PIT, material=material)
    ground.height_m[dug] = height[dug]
    ground.tone[dug] = tone[dug]
    if element.lake > 0:
        reach = element.lake * (0.7 + 0.3 * season.growth)
        lake_rho = np.hypot(
            (part.u - lake_at[0]) / (a_px * reach * 1.2), (part.v - lake_at[1]) / (b_px * reach)
        )
        lake = dug & bottom & (lake_rho + 0.22 * warp + 0.04 * fine < 1.0)
        ground.put(lake, land_class=WATER, material=Material.PIT_LAKE)
        ground.height_m[lake] = floor_m - 0.5
    if season.treated > 0:
        _backfill(ground, part, dug, land, rho, a_px, season, warp)


def _terraces(cone: FloatMap, bench_m: float) -> tuple[FloatMap, Mask]:
    """Benches cut into a smooth surface: horizontal steps joined by steep faces, and where the faces are."""
    step = cone / np.float32(bench_m)
    index = np.floor(step)
    rise = step - index
    level = (index + smoothstep(rise, 1 - _FACE_SHARE, 1.0)) * np.float32(bench_m)
    return level.astype(np.float32), np.asarray(rise > 1 - _FACE_SHARE)


def _strata(level_m: FloatMap, bench_m: float, plan: MinePlan, wobble: FloatMap) -> np.ndarray:
    """Rock met at a height: layers about one bench thick, in the order of the plan."""
    layer = np.floor(level_m / (1.15 * bench_m) + wobble).astype(np.int64)
    return np.asarray(np.array(plan.rock, np.uint8)[layer % len(plan.rock)])


def _backfill(
    ground: Ground,
    part: Frame,
    dug: Mask,
    land: FloatMap,
    rho: FloatMap,
    a_px: float,
    season: Season,
    warp: FloatMap,
) -> None:
    """Fill one end of a pit back nearly to the old surface and plant it in rows."""
    edge = a_px * (1.0 - 2.0 * season.treated)
    filled = dug & (part.u + 0.05 * a_px * warp > edge)
    ground.height_m[filled] = (land - 3.0 * (1.0 - np.clip(rho, 0, 1)))[filled]
    plant_rows(ground, part, filled, TREATED_PIT, warp)


def plant_rows(ground: Ground, part: Frame, where: Mask, treated_class: int, patchy: FloatMap) -> None:
    """Young plants in rows, sparse and patchy, on ground that is being treated."""
    ground.put(where, land_class=VEGETATION, material=Material.SOIL)
    ground.plant[where] = Plant.YOUNG
    rows = 0.10 * np.sin(part.v * np.float32(2 * np.pi / 4.6))
    cover = np.clip(0.50 + rows + 0.09 * patchy, 0.26, 0.80).astype(np.float32)
    ground.cover[where] = cover[where]
    ground.treated[where] = treated_class
