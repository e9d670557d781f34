"""Industrial squares: a paved yard with halls, silos, a stockpile and a conveyor."""

import numpy as np

from ingest.simulate.fields import FloatMap, Mask, ring_noise
from ingest.simulate.ground import INDUSTRIAL_SQUARE, Frame, Ground, levelled
from ingest.simulate.materials import Material
from ingest.simulate.plans import MinePlan

_ROOFS = (Material.ROOF_BLUE, Material.ROOF_GREY, Material.ROOF_WHITE, Material.ROOF_RUST, Material.ROOF_BLUE)


def paint_square(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    allowed: Mask,
    plan: MinePlan,
    half_px: tuple[float, float],
) -> None:
    """Build an industrial square of half sides `half_px` (a, b) in a window."""
    a_px, b_px = half_px
    warp = part.noise(rng, 0.6 * b_px)
    side = np.float32(rng.choice([-1.0, 1.0]))
    yard = (np.abs(part.u) < a_px + 0.5 * warp) & (np.abs(part.v) < 0.82 * b_px + 0.5 * warp)
    yard |= (np.abs(part.u - side * 0.35 * a_px) < 0.6 * a_px) & (np.abs(part.v) < 1.12 * b_px)
    yard &= allowed
    if not yard.any():
        return
    dark = warp + part.noise(rng, 6) * 0.5 > 1.1
    ground.put(
        yard,
        land_class=INDUSTRIAL_SQUARE,
        material=np.where(dark, Material.YARD_DARK, Material.YARD).astype(np.uint8),
    )
    ground.height_m[yard] = levelled(ground.height_m, yard, b_px / 1.5, 9.0)[yard]
    ground.tone[yard] = (1.0 + 0.05 * warp)[yard]
    stock_at = (-side * 0.68 * a_px, np.float32(0.3 * b_px))
    _stockpile(rng, ground, part, yard, plan, stock_at, 0.42 * b_px)
    scale = float(np.clip(b_px / 30, 0.42, 1.0))
    v0 = -0.74 * b_px
    while v0 < 0.66 * b_px:
        deep = float(rng.uniform(9, 18)) * scale
        u0 = -0.92 * a_px
        while u0 < 0.86 * a_px:
            wide = float(rng.uniform(14, 46)) * scale
            centre = (u0 + wide / 2, v0 + deep / 2)
            free = (
                abs(centre[0] - stock_at[0]) > 0.45 * b_px + wide / 2
                or abs(centre[1] - stock_at[1]) > 0.5 * b_px
            )
            if free and u0 + wide < 0.95 * a_px and rng.random() < 0.86:
                _hall(rng, ground, part, yard, centre, (wide / 2, deep / 2))
            u0 += wide + float(rng.uniform(4, 9)) * scale
        v0 += deep + float(rng.uniform(5, 10)) * scale
    _silos(rng, ground, part, yard, (float(side) * 0.5 * a_px, 0.88 * b_px), scale)
    _conveyor(ground, part, yard, (float(stock_at[0]), float(stock_at[1])), (float(side) * 0.4 * a_px, 0.0))


def _hall(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    yard: Mask,
    centre: tuple[float, float],
    half: tuple[float, float],
) -> None:
    """A hall with a ridged roof of corrugated sheet."""
    u, v = part.u - np.float32(centre[0]), part.v - np.float32(centre[1])
    roof = yard & (np.abs(u) < half[0]) & (np.abs(v) < half[1])
    ground.material[roof] = rng.choice(_ROOFS)
    ridge = 1.5 * (1 - np.abs(v) / np.float32(half[1]))
    ground.height_m[roof] += (float(rng.uniform(5, 13)) + ridge)[roof]
    ground.tone[roof] = (float(rng.uniform(0.88, 1.1)) + 0.04 * np.sin(u * np.float32(1.9)))[roof]


def _silos(
    rng: np.random.Generator, ground: Ground, part: Frame, yard: Mask, at: tuple[float, float], scale: float
) -> None:
    """A row of round silos or tanks."""
    radius = float(rng.uniform(3.6, 5.5)) * scale
    for place in range(int(rng.integers(2, 5))):
        u = part.u - np.float32(at[0] + place * radius * 2.7)
        disc = yard & (np.hypot(u, part.v - np.float32(at[1])) < radius)
        ground.material[disc] = Material.ROOF_WHITE if place % 2 else Material.ROOF_GREY
        ground.height_m[disc] += 11.0


def _stockpile(
    rng: np.random.Generator,
    ground: Ground,
    part: Frame,
    yard: Mask,
    plan: MinePlan,
    at: tuple[np.float32, np.float32],
    radius: float,
) -> None:
    """A heap of what the mine sells, with its dust around it."""
    u, v = part.u - at[0], part.v - at[1]
    lumpy = 1 + 0.13 * ring_noise(rng, np.arctan2(v, u) % np.float32(2 * np.pi), 7)
    distance: FloatMap = (np.hypot(0.86 * u, v) * lumpy).astype(np.float32)
    heap = yard & (distance < radius)
    ground.material[heap] = plan.stock
    ground.height_m[heap] += (1.1 * (radius - distance))[heap]
    ground.material[yard & (distance >= radius) & (distance < 1.3 * radius)] = Material.YARD_DARK


def _conveyor(
    ground: Ground, part: Frame, yard: Mask, start: tuple[float, float], end: tuple[float, float]
) -> None:
    """A covered belt, two pixels wide, from the stockpile to the halls."""
    along = np.array(end) - np.array(start)
    length = float(np.hypot(*along))
    cos, sin = along / length
    u, v = part.u - np.float32(start[0]), part.v - np.float32(start[1])
    way, off = u * np.float32(cos) + v * np.float32(sin), v * np.float32(cos) - u * np.float32(sin)
    belt = yard & (way > 0) & (way < length) & (np.abs(off) < 1.1)
    ground.material[belt] = Material.ROOF_GREY
    ground.height_m[belt] += 5.0
