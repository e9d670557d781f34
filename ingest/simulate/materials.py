"""Surfaces and plants: reflectance in blue, green, red and near infrared, and how rough they look.

Values are of the order found in spectral libraries (ECOSTRESS, USGS splib07) for the same kind of surface,
rounded; they serve plausibility, not calibration.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ingest.simulate.fields import FloatMap


class Material(IntEnum):
    """Bare surfaces; SOIL stands for natural ground, whose colour follows the rock below it."""

    SOIL = 0
    RIVER = 1
    GRAVEL = 2
    ASPHALT = 3
    DIRT_ROAD = 4
    HAUL_ROAD = 5
    COAL = 6
    COAL_SHALE = 7
    SANDSTONE = 8
    MUDSTONE = 9
    IRON_ORE = 10
    IRON_WASTE = 11
    GRANITE_FRESH = 12
    GRANITE_WASTE = 13
    LIMESTONE = 14
    LIMESTONE_WASTE = 15
    COPPER_OXIDE = 16
    COPPER_WASTE = 17
    PIT_LAKE = 18
    TAILINGS_DRY = 19
    TAILINGS_WET = 20
    TAILINGS_WATER = 21
    DAM = 22
    YARD = 23
    YARD_DARK = 24
    ROOF_BLUE = 25
    ROOF_GREY = 26
    ROOF_WHITE = 27
    ROOF_RUST = 28
    ROOF_RED = 29
    ROOF_BROWN = 30
    HOUSE_YARD = 31
    STREET = 32
    IRON_TAILINGS = 33
    DUST = 34


class Plant(IntEnum):
    """Kinds of plant cover, each with its own year."""

    STEPPE = 0
    SHRUB = 1
    SPRUCE = 2
    WHEAT = 3
    MAIZE = 4
    YOUNG = 5
    POPLAR = 6


@dataclass(frozen=True)
class Surface:
    """Mean reflectance per band, and relative deviation of fine (2 m) and middle (10 m) texture."""

    reflectance: tuple[float, float, float, float]
    fine: float
    middle: float


SURFACES: dict[Material, Surface] = {
    Material.SOIL: Surface((0.10, 0.14, 0.18, 0.24), 0.05, 0.035),
    Material.RIVER: Surface((0.065, 0.088, 0.074, 0.040), 0.04, 0.05),
    Material.GRAVEL: Surface((0.155, 0.185, 0.21, 0.25), 0.06, 0.09),
    Material.ASPHALT: Surface((0.088, 0.098, 0.108, 0.125), 0.04, 0.05),
    Material.DIRT_ROAD: Surface((0.15, 0.19, 0.235, 0.285), 0.03, 0.05),
    Material.HAUL_ROAD: Surface((0.14, 0.168, 0.195, 0.225), 0.04, 0.06),
    Material.COAL: Surface((0.038, 0.042, 0.048, 0.062), 0.12, 0.16),
    Material.COAL_SHALE: Surface((0.075, 0.083, 0.094, 0.115), 0.09, 0.13),
    Material.SANDSTONE: Surface((0.12, 0.152, 0.195, 0.235), 0.06, 0.08),
    Material.MUDSTONE: Surface((0.10, 0.122, 0.15, 0.178), 0.07, 0.09),
    Material.IRON_ORE: Surface((0.075, 0.079, 0.104, 0.128), 0.09, 0.12),
    Material.IRON_WASTE: Surface((0.098, 0.108, 0.142, 0.165), 0.08, 0.10),
    Material.GRANITE_FRESH: Surface((0.192, 0.218, 0.242, 0.266), 0.07, 0.09),
    Material.GRANITE_WASTE: Surface((0.165, 0.192, 0.218, 0.248), 0.09, 0.10),
    Material.LIMESTONE: Surface((0.202, 0.236, 0.255, 0.272), 0.06, 0.09),
    Material.LIMESTONE_WASTE: Surface((0.175, 0.209, 0.232, 0.256), 0.08, 0.10),
    Material.COPPER_OXIDE: Surface((0.122, 0.150, 0.158, 0.190), 0.08, 0.12),
    Material.COPPER_WASTE: Surface((0.122, 0.142, 0.162, 0.196), 0.08, 0.10),
    Material.PIT_LAKE: Surface((0.062, 0.092, 0.070, 0.032), 0.03, 0.04),
    Material.TAILINGS_DRY: Surface((0.198, 0.232, 0.256, 0.284), 0.02, 0.05),
    Material.TAILINGS_WET: Surface((0.142, 0.166, 0.176, 0.168), 0.025, 0.06),
    Material.TAILINGS_WATER: Surface((0.088, 0.128, 0.112, 0.052), 0.03, 0.05),
    Material.DAM: Surface((0.142, 0.172, 0.206, 0.248), 0.05, 0.06),
    Material.YARD: Surface((0.152, 0.172, 0.19, 0.214), 0.05, 0.08),
    Material.YARD_DARK: Surface((0.088, 0.097, 0.108, 0.126), 0.08, 0.12),
    Material.ROOF_BLUE: Surface((0.262, 0.222, 0.138, 0.235), 0.03, 0.03),
    Material.ROOF_GREY: Surface((0.205, 0.218, 0.226, 0.238), 0.03, 0.03),
    Material.ROOF_WHITE: Surface((0.385, 0.402, 0.405, 0.412), 0.03, 0.03),
    Material.ROOF_RUST: Surface((0.098, 0.112, 0.168, 0.222), 0.06, 0.06),
    Material.ROOF_RED: Surface((0.092, 0.102, 0.216, 0.278), 0.05, 0.04),
    Material.ROOF_BROWN: Surface((0.118, 0.131, 0.155, 0.188), 0.05, 0.05),
    Material.HOUSE_YARD: Surface((0.128, 0.155, 0.185, 0.228), 0.08, 0.10),
    Material.STREET: Surface((0.148, 0.168, 0.182, 0.202), 0.04, 0.05),
    Material.IRON_TAILINGS: Surface((0.168, 0.184, 0.211, 0.226), 0.02, 0.05),
    Material.DUST: Surface((0.138, 0.167, 0.2, 0.239), 0.05, 0.08),
}

# Bare natural ground: four strata that follow each other across the strike, granite, and river sediment.
STRATA = np.array(
    [
        (0.105, 0.138, 0.178, 0.232),
        (0.082, 0.103, 0.148, 0.196),
        (0.118, 0.150, 0.184, 0.228),
        (0.090, 0.118, 0.142, 0.176),
    ],
    np.float32,
)
PLUTON_SOIL = np.array((0.132, 0.160, 0.192, 0.234), np.float32)
ALLUVIUM_SOIL = np.array((0.118, 0.155, 0.200, 0.262), np.float32)


@dataclass(frozen=True)
class Foliage:
    """Reflectance when green and when dry, day of the year when greenest, and days for which it lasts."""

    green: tuple[float, float, float, float]
    dry: tuple[float, float, float, float]
    peak_day: float
    spread_days: float


FOLIAGE: dict[Plant, Foliage] = {
    Plant.STEPPE: Foliage((0.042, 0.078, 0.064, 0.285), (0.078, 0.115, 0.152, 0.255), 172, 52),
    Plant.SHRUB: Foliage((0.038, 0.064, 0.052, 0.265), (0.062, 0.088, 0.105, 0.215), 188, 62),
    Plant.SPRUCE: Foliage((0.021, 0.036, 0.025, 0.205), (0.023, 0.038, 0.029, 0.190), 190, 220),
    Plant.WHEAT: Foliage((0.036, 0.074, 0.042, 0.405), (0.096, 0.138, 0.190, 0.310), 162, 36),
    Plant.MAIZE: Foliage((0.034, 0.076, 0.038, 0.455), (0.090, 0.122, 0.148, 0.260), 215, 44),
    Plant.YOUNG: Foliage((0.046, 0.086, 0.060, 0.330), (0.080, 0.118, 0.142, 0.260), 190, 70),
    Plant.POPLAR: Foliage((0.028, 0.054, 0.034, 0.330), (0.055, 0.080, 0.095, 0.220), 195, 70),
}


def surface_table() -> tuple[FloatMap, FloatMap]:
    """Reflectance (materials, 4) and texture (materials, 2: fine, middle) by material code."""
    ordered = [SURFACES[material] for material in Material]
    reflectance = np.array([surface.reflectance for surface in ordered], np.float32)
    texture = np.array([(surface.fine, surface.middle) for surface in ordered], np.float32)
    return reflectance, texture


def foliage_table() -> tuple[FloatMap, FloatMap]:
    """Green and dry reflectance (plants, 4) by plant code."""
    green = np.array([FOLIAGE[plant].green for plant in Plant], np.float32)
    dry = np.array([FOLIAGE[plant].dry for plant in Plant], np.float32)
    return green, dry


def greenness(day_of_year: int, wetness: float) -> FloatMap:
    """Green share 0..1 of each plant's foliage (plants,) on a day; `wetness` shifts the year as rain does."""
    values = []
    for plant in Plant:
        leaf = FOLIAGE[plant]
        values.append(np.exp(-(((day_of_year - leaf.peak_day) / (1.35 * leaf.spread_days)) ** 2)) + wetness)
    return np.clip(np.array(values, np.float32), 0.05, 1.0)
