"""Geology of a district with pegmatites: belts of plutons, faults that cross, and how far all is from both.

Everything is in metres of EPSG:32645.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from ingest.simulate.fields import FloatMap

STEP_M = 30.0
"""Cells of the maps of distance."""

_BELT_M = 13_000.0
_MARGIN_M = 1300.0
_FAR_M = 2800.0
_FAR_FAULT_M2 = 70e6
_TRIES = 60


@dataclass(frozen=True)
class GeologyPlan:
    """What tells the geology of one district from another's.

    Attributes:
        belt_deg: bearing of the belts of plutons, from east over north.
        side: on which side of the district the first belt lies, 1 or -1.
        pluton_scale: size of the plutons.
        crossing_deg: bearings of the families of faults that cross a belt, from the belt.
        crossing_m: distance of such faults along the belt.
        has_parallel: faults also run along both margins of a belt.

    """

    belt_deg: float
    side: int
    pluton_scale: float
    crossing_deg: tuple[float, ...]
    crossing_m: float
    has_parallel: bool


@dataclass(frozen=True)
class MappedFault:
    """A fault trace."""

    name: str
    fault_type: str
    line: LineString


@dataclass(frozen=True)
class MappedPluton:
    """An intrusive body."""

    name: str
    lithology: str
    age: str
    outline: Polygon


@dataclass(frozen=True)
class ProspectGeology:
    """Faults, plutons and the points where faults cross; ``bearing`` of the belts in radians."""

    faults: list[MappedFault]
    plutons: list[MappedPluton]
    crossings: NDArray[np.object_]
    bearing: float


@dataclass(frozen=True)
class Distances:
    """Distances in m on a north-up grid of 30 m (rows, columns); within a pluton its distance is 0."""

    pluton_m: FloatMap
    fault_m: FloatMap
    crossing_m: FloatMap
    transform: Affine


@dataclass(frozen=True)
class _Belt:
    """A belt's own axes: u along, v across."""

    centre_m: tuple[float, float]
    bearing: float

    def on_map(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 2) of the map."""
        cos, sin = math.cos(self.bearing), math.sin(self.bearing)
        return np.column_stack([self.centre_m[0] + u * cos - v * sin, self.centre_m[1] + u * sin + v * cos])


def make_prospect_geology(
    rng: np.random.Generator, plan: GeologyPlan, footprint: Polygon, side_m: float
) -> ProspectGeology:
    """Plutons in belts along one side of the ground, and faults, most of them in the belts.

    Args:
        rng: random generator.
        plan: what tells the district from another.
        footprint: ground that the image shows, a square.
        side_m: its side.

    """
    bearing = math.radians(plan.belt_deg + float(rng.uniform(-10, 10)))
    belt = _Belt((footprint.centroid.x, footprint.centroid.y), bearing)
    count = max(1, round(side_m / _BELT_M))
    reach = float(np.clip(0.075 * side_m, 450, 1100)) * plan.pluton_scale
    plutons: list[Polygon] = []
    lines: list[LineString] = []
    for number in range(count):
        axis = plan.side * (-0.5 + (number + 0.24) / count) * side_m
        plutons += _plutons(rng, belt, axis, reach, side_m)
        lines += _belt_faults(rng, plan, belt, axis, reach, side_m)
    lines += _far_faults(rng, footprint, plutons, round(side_m**2 / _FAR_FAULT_M2))
    kinds = ("thrust", "strike_slip", "normal")
    rocks = ("two-mica granite", "muscovite granite", "biotite granite")
    crossings = [a.intersection(b) for a, b in combinations(lines, 2) if a.intersects(b)]
    points = shapely.get_parts(np.array(crossings, dtype=object)) if crossings else np.array([], dtype=object)
    return ProspectGeology(
        [MappedFault(f"F{n + 1}", kinds[n % 3], line) for n, line in enumerate(lines)],
        [
            MappedPluton(f"pluton {n + 1}", rocks[n % 3], "Triassic", outline)
            for n, outline in enumerate(plutons)
        ],
        points,
        bearing,
    )


def measure(geology: ProspectGeology, origin_m: tuple[float, float], side_m: float) -> Distances:
    """Distances to plutons, faults and crossings on a square grid with its upper left corner at a place."""
    cells = round(side_m / STEP_M)
    transform = Affine(STEP_M, 0.0, origin_m[0], 0.0, -STEP_M, origin_m[1])

    def distance(shapes: list[BaseGeometry]) -> FloatMap:
        if not shapes:
            return np.full((cells, cells), 2 * side_m, np.float32)
        burnt = rasterize(shapes, (cells, cells), transform=transform, all_touched=True)
        if not burnt.any():
            return np.full((cells, cells), 2 * side_m, np.float32)
        return np.asarray(STEP_M * ndimage.distance_transform_edt(burnt == 0), dtype=np.float32)

    return Distances(
        distance([each.outline for each in geology.plutons]),
        distance([each.line for each in geology.faults]),
        distance(list(geology.crossings)),
        transform,
    )


def _plutons(
    rng: np.random.Generator, belt: _Belt, axis_m: float, reach_m: float, side_m: float
) -> list[Polygon]:
    """Plutons with lobed outlines along a belt."""
    turn = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    step = 4.2 * reach_m
    found = []
    for u in np.arange(-0.6 * side_m + float(rng.uniform(0, 0.5)) * step, 0.6 * side_m, step):
        radius = np.full(120, reach_m * float(rng.uniform(0.75, 1.2)))
        for k in range(2, 9):
            wave = float(rng.normal(0, 0.11)) / k**0.5
            radius *= 1 + wave * np.cos(k * turn + float(rng.uniform(0, 2 * np.pi)))
        middle = u + 0.4 * reach_m * float(rng.uniform(-1, 1)), axis_m + 0.3 * reach_m * float(rng.normal())
        found.append(
            Polygon(belt.on_map(middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)))
        )
    return found


def _belt_faults(
    rng: np.random.Generator, plan: GeologyPlan, belt: _Belt, axis_m: float, reach_m: float, side_m: float
) -> list[LineString]:
    """Faults along a belt's margins and across it."""
    found = []
    if plan.has_parallel:
        for side in (-1, 1):
            margin = axis_m + side * reach_m * float(rng.uniform(1.1, 1.4))
            found.append(_fault(rng, belt, (0.0, margin), 0.0, 0.62 * side_m))
    for degrees in plan.crossing_deg:
        angle = math.radians(degrees)
        for u in np.arange(-0.6 * side_m, 0.6 * side_m, plan.crossing_m):
            middle = float(u + rng.uniform(0, 0.6) * plan.crossing_m), axis_m + 200 * float(rng.normal())
            half = (reach_m + _MARGIN_M) * float(rng.uniform(0.7, 1.0)) / abs(math.sin(angle))
            found.append(_fault(rng, belt, middle, angle + float(rng.normal(0, 0.1)), half))
    return found


def _far_faults(
    rng: np.random.Generator, footprint: Polygon, plutons: list[Polygon], count: int
) -> list[LineString]:
    """Short faults far from every pluton: a fault alone is no sign of ore."""
    west, south, east, north = footprint.bounds
    found: list[LineString] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        place = float(rng.uniform(west, east)), float(rng.uniform(south, north))
        bearing, half = float(rng.uniform(0, np.pi)), float(rng.uniform(600, 1000))
        point = shapely.Point(place)
        if footprint.contains(point) and min(point.distance(each) for each in plutons) > _FAR_M:
            found.append(_fault(rng, _Belt(place, 0.0), (0.0, 0.0), bearing, half))
    return found


def _fault(
    rng: np.random.Generator, belt: _Belt, middle: tuple[float, float], angle: float, half_m: float
) -> LineString:
    """A fault that winds by some 60 m."""
    along = np.linspace(-half_m, half_m, max(8, round(half_m / 50)))
    aside = 250 * ndimage.gaussian_filter1d(rng.standard_normal(len(along)), 5)
    cos, sin = math.cos(angle), math.sin(angle)
    return LineString(
        belt.on_map(middle[0] + along * cos - aside * sin, middle[1] + along * sin + aside * cos)
    )
