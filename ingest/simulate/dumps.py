"""Dumps: tipped fans with scalloped fronts, gullied slopes and flat tops in tiers."""

import numpy as np

from ingest.simulate.fields import Mask, ring_noise, smoothstep
from ingest.simulate.ground import DUMP, Frame, Ground, levelled, smoothed
from ingest.simulate.pits import Season, plant_rows
from ingest.simulate.plans import MinePlan

TREATED_DUMP = 10
_REPOSE_M_PER_PX = 1.35
_FANS = 5


def paint_dump(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    allowed: Mask,
    plan: MinePlan,
    half_px: tuple[float, float],
    season: Season,
) -> None:
    """Tip a dump of half axes `half_px` (a, b) onto the ground of a window, as it is in one year.

    Fans start along a line at the dump's back (small u) and reach forward; each is the land covered by
    tipping from one head. The dump is their union; slopes lie at the angle of repose (about 34 degrees).
    """
    a_px, b_px = half_px
    reach = np.full(part.u.shape, -np.inf, np.float32)
    streak = np.zeros(part.u.shape, np.float32)
    age = np.zeros(part.u.shape, np.float32)
    for spread in np.linspace(-1.0, 1.0, _FANS):
        head_u = a_px * (-0.42 - 0.1 * float(rng.random()))
        head_v = b_px * 0.62 * float(spread)
        radius = (1.26 - 0.38 * abs(float(spread))) * a_px * float(rng.uniform(0.76, 1.08))
        u, v = part.u - np.float32(head_u), part.v - np.float32(head_v)
        angle = np.arctan2(v, u) % np.float32(2 * np.pi)
        front = 0.5 + 0.5 * np.cos(angle - np.float32(0.5 * spread))
        scallops = (
            1 + 0.09 * ring_noise(rng, angle, 9) + 0.06 * np.abs(np.sin(angle * 5.5 + float(rng.random())))
        )
        limit = radius * (0.30 + 0.70 * front**1.4) * scallops
        t_px = (season.growth * limit - np.hypot(u, v)).astype(np.float32)
        nearer = t_px > reach
        reach = np.where(nearer, t_px, reach)
        streak = np.where(nearer, ring_noise(rng, angle, max(24, int(radius * 0.9))), streak)
        age = np.where(nearer, np.float32(rng.uniform(-1, 1)), age)
    warp = part.noise(rng, b_px / 3)
    fine = part.noise(rng, 3)
    reach += 1.6 * warp + 0.4 * fine
    tipped = (reach > 0) & allowed
    if not tipped.any():
        return
    lift_m = float(np.clip(0.16 * b_px, 7.0, 16.0))
    step_px = lift_m / _REPOSE_M_PER_PX
    first = np.clip(reach, 0, step_px) * _REPOSE_M_PER_PX
    back_px = step_px + max(5.0, 0.12 * b_px)
    second = np.clip(reach - back_px, 0, step_px) * _REPOSE_M_PER_PX
    third = np.clip(reach - 2.1 * back_px, 0, step_px) * _REPOSE_M_PER_PX
    slope = (first < lift_m) | ((second > 0) & (second < lift_m)) | ((third > 0) & (third < lift_m))
    height = levelled(ground.height_m, tipped, b_px / 3, 10.0) + first + second + third
    height += np.where(slope, 0.55 * streak, 0.22 * fine)
    mixed = 0.55 * age + 0.5 * warp + 0.3 * fine + np.where(slope, 0.35 * streak, 0.0)
    material = np.where(mixed > 0.35, plan.waste[1], plan.waste[0]).astype(np.uint8)
    tone = 1.0 + 0.05 * age + np.where(slope, 0.06 * streak - 0.02, 0.05) + 0.03 * warp
    ground.put(tipped, land_class=DUMP, material=material)
    ground.height_m[tipped] = height[tipped]
    ground.tone[tipped] = tone.astype(np.float32)[tipped]
    if season.treated > 0:
        edge = a_px * (0.9 - 1.9 * season.treated)
        green = tipped & (part.u + 0.14 * a_px * warp > edge)
        calm = smoothed(ground.height_m, 2.0)
        ground.height_m[green] = calm[green]
        plant_rows(
            ground,
            part,
            green,
            TREATED_DUMP,
            (warp + 0.5 * smoothstep(streak, -1, 1) - 0.25).astype(np.float32),
        )
