"""Living areas: rows of small houses with coloured roofs, yards, trees and streets."""

import numpy as np

from ingest.simulate.fields import Mask
from ingest.simulate.ground import LIVING_AREA, Frame, Ground, levelled
from ingest.simulate.materials import Material, Plant

_ROOFS = (
    Material.ROOF_RED,
    Material.ROOF_RED,
    Material.ROOF_RED,
    Material.ROOF_BROWN,
    Material.ROOF_BROWN,
    Material.ROOF_BLUE,
    Material.ROOF_GREY,
    Material.ROOF_WHITE,
)
_STREET_PX = 1.7


def paint_settlement(
    rng: np.random.Generator, ground: Ground, part: Frame, allowed: Mask, half_px: tuple[float, float]
) -> None:
    """Build houses on plots inside a rough ellipse of half axes `half_px` (a, b) in a window."""
    a_px, b_px = half_px
    # Plots shrink a little in small districts, but a house never below 3 x 3 pixels (6 m).
    scale = float(np.clip(b_px / 30, 0.72, 1.0))
    plot_u, plot_v = 10.5 * scale, 12.5 * scale
    column = np.floor(part.u / plot_u).astype(np.int64)
    row = np.floor(part.v / plot_v).astype(np.int64)
    reach = int(np.ceil(2.2 * max(a_px, b_px) / min(plot_u, plot_v))) + 2
    plots = 2 * reach + 1
    pick = (np.clip(row + reach, 0, plots - 1), np.clip(column + reach, 0, plots - 1))
    middle_u = (np.arange(-reach, reach + 1) + 0.5) * plot_u / a_px
    middle_v = (np.arange(-reach, reach + 1) + 0.5) * plot_v / b_px
    rough = 0.13 * rng.standard_normal((plots, plots))
    settled = np.hypot(middle_u[None, :], middle_v[:, None]) + rough < 1.0
    town = settled[pick] & allowed
    if not town.any():
        return
    u = part.u - column * np.float32(plot_u)
    v = part.v - row * np.float32(plot_v)
    warp = part.noise(rng, 7)
    ground.put(town, land_class=LIVING_AREA, material=Material.HOUSE_YARD)
    ground.height_m[town] = levelled(ground.height_m, town, 12, 9.0)[town]
    ground.tone[town] = (1.0 + 0.06 * warp)[town]
    trees = town & (warp + 0.6 * part.noise(rng, 3) > 1.0)
    ground.cover[trees] = 0.75
    ground.plant[trees] = Plant.POPLAR
    ground.height_m[trees] += 3.0
    street = town & ((v < _STREET_PX) | ((np.mod(column, 4) == 0) & (u < _STREET_PX)))
    wide = rng.uniform(0.42, 0.80, (plots, plots)) * plot_u
    deep = rng.uniform(0.36, 0.60, (plots, plots)) * plot_v
    left = 1.0 + rng.uniform(0, 1, (plots, plots)) * (plot_u - wide - 1.5)
    top = _STREET_PX + 0.6 + rng.uniform(0, 0.35, (plots, plots)) * (plot_v - deep - _STREET_PX)
    built = rng.random((plots, plots)) < 0.88
    roofs = rng.choice(np.array(_ROOFS, np.uint8), (plots, plots))
    shade = rng.uniform(0.86, 1.12, (plots, plots)).astype(np.float32)
    stories = np.where(rng.random((plots, plots)) < 0.12, 9.0, rng.uniform(3.0, 5.0, (plots, plots)))
    in_u = (u >= left[pick]) & (u < (left + wide)[pick])
    house = town & built[pick] & in_u & (v >= top[pick]) & (v < (top + deep)[pick])
    for mask in (street, house):
        ground.cover[mask] = 0.0
    ground.material[street] = Material.STREET
    ground.material[house] = roofs[pick][house]
    ground.tone[house] = shade[pick][house]
    ridge = 1.0 - np.abs((v - top[pick]) / deep[pick] - 0.5)
    ground.height_m[house] += (stories[pick] + ridge).astype(np.float32)[house]
