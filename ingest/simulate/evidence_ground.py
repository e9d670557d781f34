"""The ground of a simulated province: rocks, plutons, faults, what they do to contents, and geophysics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage

from ingest.simulate.fields import ByteMap, FloatMap, fractal_noise, smooth_noise, stream

CELL_M = 500.0
SRID = 32650
ORIGIN_M = (400_000.0, 5_300_000.0)
"""Upper left corner, in the Great Khingan: far from the real surveys that Lode is tried on."""

ROCKS = ("sandstone", "black shale", "schist", "limestone", "andesite")
GRANITE, DIORITE = "granite", "diorite"

ORE_ELEMENTS = ("Li", "Cs", "Be", "Rb", "Ta", "Nb", "Sn")
"""Elements that stand above their surroundings where a pegmatite lies."""

# Median content in ppm (oxides in per cent), and how far each rock's lies from it, natural logarithm, in the
# order of ROCKS, granite, diorite. Black shale and granite are rich in the ore elements without any ore.
_CONTENTS: dict[str, tuple[float, tuple[float, ...]]] = {
    "Li": (32.0, (-0.3, 0.7, 0.3, -0.8, -0.4, 0.6, -0.3)),
    "Cs": (6.0, (-0.3, 0.6, 0.3, -0.9, -0.5, 0.7, -0.4)),
    "Be": (2.2, (-0.2, 0.3, 0.1, -0.6, -0.2, 0.7, -0.1)),
    "Rb": (110.0, (-0.2, 0.4, 0.2, -1.0, -0.4, 0.6, -0.3)),
    "Ta": (1.0, (-0.1, 0.1, 0.1, -0.6, -0.2, 0.7, -0.2)),
    "Nb": (15.0, (-0.1, 0.2, 0.1, -0.6, -0.1, 0.4, -0.1)),
    "Sn": (3.4, (-0.2, 0.4, 0.1, -0.6, -0.3, 0.8, -0.2)),
    "W": (2.0, (-0.2, 0.5, 0.2, -0.5, -0.3, 0.6, -0.2)),
    "Ba": (480.0, (-0.1, 0.5, 0.1, -0.9, 0.2, 0.1, 0.3)),
    "Sr": (140.0, (-0.4, -0.2, -0.1, 0.6, 0.7, -0.3, 0.7)),
    "Zr": (230.0, (0.2, -0.1, 0.0, -0.7, -0.2, 0.0, -0.2)),
    "Cr": (60.0, (-0.1, 0.4, 0.2, -0.7, 0.3, -0.8, 0.5)),
    "Fe2O3": (4.6, (-0.3, 0.2, 0.2, -0.7, 0.5, -0.5, 0.5)),
    "MgO": (1.3, (-0.4, 0.1, 0.2, 0.6, 0.6, -0.8, 0.7)),
    "K2O": (2.4, (-0.1, 0.3, 0.2, -1.0, -0.2, 0.5, -0.1)),
    "Ti": (4200.0, (-0.1, 0.1, 0.2, -0.8, 0.4, -0.6, 0.4)),
}
ELEMENTS = tuple(_CONTENTS)

_AUREOLE = 0.35
"""By so much, as a logarithm, the ore elements rise towards a granite: geology explains it, ore does not."""
_AUREOLE_M = 4000.0
_REGIONAL, _SHARED, _OWN, _MEASURED = 0.30, 0.20, 0.14, 0.10
"""Deviations of logarithms: across the province, in patches of some cells over all elements and over one, and
of the laboratory."""


@dataclass(frozen=True)
class Province:
    """The ground, (size, size) cells from the upper left.

    Attributes:
        rocks: code of the rock: place in ``names``.
        names: of the rocks; granite and diorite come last.
        plutons: outline and rock of each, m.
        faults: traces, m.
        granite_m, fault_m: distance to the nearest granite (0 inside) and fault, m.
        outline: study area, m.
        is_inside: cells whose centre lies in it.

    """

    rocks: ByteMap
    names: tuple[str, ...]
    plutons: tuple[tuple[shapely.Polygon, str], ...]
    faults: tuple[shapely.LineString, ...]
    granite_m: FloatMap
    fault_m: FloatMap
    outline: shapely.Polygon
    is_inside: NDArray[np.bool_]


def make_province(seed: int, size_px: int, attempt: int = 0) -> Province:
    """Draw the ground of a province of ``size_px`` x ``size_px`` cells; another one in each attempt."""
    key = (seed, "evidence", size_px, attempt)
    shape = (size_px, size_px)
    fields = [smooth_noise(stream(*key, "rock", rock), shape, 18.0) for rock in ROCKS]
    rocks = np.argmax(np.stack(fields), axis=0).astype(np.uint8)
    names = (*ROCKS, GRANITE, DIORITE)
    plutons = _plutons(stream(*key, "plutons"), size_px)
    for outline, rock in plutons:
        rocks[_burnt([outline], size_px)] = names.index(rock)
    faults = _faults(stream(*key, "faults"), size_px)
    granites = _burnt([outline for outline, rock in plutons if rock == GRANITE], size_px)
    traces = _burnt(list(faults), size_px)
    outline = _study_area(stream(*key, "outline"), size_px)
    return Province(
        rocks=rocks,
        names=names,
        plutons=plutons,
        faults=faults,
        granite_m=(ndimage.distance_transform_edt(~granites) * CELL_M).astype(np.float32),
        fault_m=(ndimage.distance_transform_edt(~traces) * CELL_M).astype(np.float32),
        outline=outline,
        is_inside=_burnt([outline], size_px),
    )


def make_contents(seed: int, province: Province, halo: dict[str, FloatMap]) -> dict[str, FloatMap]:
    """Contents by element, ppm or per cent, (size, size).

    Args:
        seed: of the province.
        province: the ground.
        halo: by element, what ore and decoys add to the logarithm.

    """
    size_px = len(province.rocks)
    key, shape = (seed, "evidence", size_px), province.rocks.shape
    regional = [fractal_noise(stream(*key, "regional", each), shape, 80.0, 2) for each in range(2)]
    shared = [smooth_noise(stream(*key, "shared", each), shape, 6.0) for each in range(3)]
    aureole = np.exp(-province.granite_m / _AUREOLE_M) * (province.granite_m > 0)
    found = {}
    for element, (median, by_rock) in _CONTENTS.items():
        random = stream(*key, "element", element)
        loads = random.normal(0, 1, (len(regional), 1, 1)) / np.sqrt(len(regional))
        logs = np.log(median) + np.array(by_rock)[province.rocks]
        logs += _REGIONAL * (loads * np.stack(regional)).sum(axis=0)
        loads = random.normal(0.6, 0.6, (len(shared), 1, 1)) / np.sqrt(len(shared))
        logs += _SHARED * (loads * np.stack(shared)).sum(axis=0)
        logs += _OWN * smooth_noise(random, shape, 4.0) + _MEASURED * random.standard_normal(shape)
        if element in halo:
            logs += _AUREOLE * aureole + halo[element]
        found[element] = np.exp(logs).astype(np.float32)
    return found


def make_geophysics(seed: int, province: Province) -> dict[str, FloatMap]:
    """Gravity, mGal, low over granite, and magnetic field, nT, high over andesite and diorite."""
    key, shape = (seed, "evidence", len(province.rocks)), province.rocks.shape
    depth = ndimage.gaussian_filter((province.granite_m == 0).astype(np.float32), 4.0)
    magnetic = np.isin(province.rocks, [province.names.index(rock) for rock in ("andesite", DIORITE)])
    rise = ndimage.gaussian_filter(magnetic.astype(np.float32), 2.0)
    gravity = -18.0 * depth + 6.0 * fractal_noise(stream(*key, "gravity"), shape, 60.0, 3)
    field = 160.0 * rise + 40.0 * fractal_noise(stream(*key, "magnetics"), shape, 30.0, 4)
    return {"gravity": gravity.astype(np.float32), "magnetics": field.astype(np.float32)}


def burnt_transform() -> Affine:
    """Affine transform of the grid."""
    return Affine(CELL_M, 0.0, ORIGIN_M[0], 0.0, -CELL_M, ORIGIN_M[1])


def _burnt(shapes: list[shapely.Geometry], size_px: int) -> NDArray[np.bool_]:
    """Cells whose centre lies in a polygon, or that a line passes."""
    lines = any(isinstance(shape, shapely.LineString) for shape in shapes)
    shape = (size_px, size_px)
    burnt = rasterize(shapes, shape, transform=burnt_transform(), all_touched=lines, dtype="uint8")
    return np.asarray(burnt, bool)


def _ring(random: np.random.Generator, centre: NDArray[np.float64], radius_m: float, rough: float) -> Any:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    waves = sum(random.normal(0, rough) / k * np.cos(k * angle + random.uniform(0, 6.3)) for k in range(2, 7))
    away = np.maximum(1 + waves, 0.3) * radius_m
    return shapely.Polygon(centre + np.column_stack([np.cos(angle), np.sin(angle)]) * away[:, None])


def _corner(size_px: int) -> NDArray[np.float64]:
    return np.array([ORIGIN_M[0], ORIGIN_M[1] - size_px * CELL_M])


def _plutons(random: np.random.Generator, size_px: int) -> tuple[tuple[shapely.Polygon, str], ...]:
    """Plutons that do not touch, two of three of granite; one for each 9,000 cells, two at least."""
    side_m = size_px * CELL_M
    wanted = max(3, round(size_px**2 / 9000))
    found: list[tuple[shapely.Polygon, str]] = []
    for _ in range(200 * wanted):
        if len(found) == wanted:
            break
        radius_m = min(random.uniform(3500, 8000), 0.08 * side_m)
        shape = _ring(random, _corner(size_px) + random.uniform(0.08, 0.92, 2) * side_m, radius_m, 0.25)
        if shape.is_valid and all(shape.distance(other) > 2000 for other, _rock in found):
            found.append((shape, DIORITE if len(found) % 3 == 2 else GRANITE))
    return tuple(found)


def _faults(random: np.random.Generator, size_px: int) -> tuple[shapely.LineString, ...]:
    """Traces that mostly strike north-east."""
    side_m = size_px * CELL_M
    drawn = []
    for _ in range(max(4, round(size_px**2 / 3400))):
        strike = random.normal(np.pi / 4, 0.35)
        turns = strike + np.cumsum(random.normal(0, 0.06, 24))
        step_m = random.uniform(0.08, 0.3) * side_m / 24
        start = _corner(size_px) + random.uniform(0, 1, 2) * side_m
        steps = np.column_stack([np.cos(turns), np.sin(turns)]) * step_m
        drawn.append(shapely.LineString(np.vstack([start, start + np.cumsum(steps, axis=0)])))
    return tuple(drawn)


def _study_area(random: np.random.Generator, size_px: int) -> shapely.Polygon:
    side_m = size_px * CELL_M
    whole = shapely.box(*_corner(size_px), *(_corner(size_px) + side_m))
    ring = _ring(random, _corner(size_px) + 0.5 * side_m, 0.53 * side_m, 0.05)
    return shapely.intersection(shapely.make_valid(ring), whole)
