"""A mining province of the size of the central Tianshan: ground of three years, and mines on it.

The ground is made up: fields of noise, sieved and outlined as an interpretation is, so that polygons have as
many vertices and holes as those of 2 m scenes have: damage in patches inside the mines; round them undamaged
ground of two classes, of which one prevails and hangs together through the scene, as bare ground does in the
Tianshan. One scene's ground is laid side by side as often as it takes; in each year some of the scenes have
clouds, under which nothing was observed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import gaussian_filter

from inference.polygonise import NOT_OBSERVED, Patches, Polygons, polygonise, sieve, to_wgs84

SRID = 32645
PIXEL_M = 2.0
SIDE_PX = 4096
CELLS = 12
"""Mines along each side of a scene; a mine lies in each cell and reaches a little over its edges."""
CELL_M = SIDE_PX * PIXEL_M / CELLS
YEARS = (2021, 2022, 2023)
CLASSES = 8
WEST_M, NORTH_M = 300_000.0, 4_860_000.0
SCENES_A_ROW = 6
MIN_PATCH_PX = 100
PATCH_SIGMA = 1.86
"""Of the noise that patches come from, in cells of 8 pixels; it decides how many polygons a scene has."""
ROUGHNESS = 0.15
REMOTENESS = 3.5
PREVALENCE = 0.6
"""What undamaged ground has in advance far from mines, and class 0 on top, in standard deviations."""
YEARLY_CHANGE = 0.25
CLOUDED_EVERY = 4
"""Of so many scenes of a year one has clouds."""
CLOUD_SHARE = 0.15
BOUNDARY_VERTICES = 40
"""Of a mine: one every 50 m or so, as boundaries are surveyed."""
MAX_SEGMENT_M = 50.0
"""Neighbouring scenes have other vertices along their common edge, which on the ellipsoid is not straight."""

Codes = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ground:
    """Polygons of a scene, or of some of its rows of mines, in EPSG:32645 as if the scene lay at 0, 0.

    Attributes:
        patches: polygons with class and confidence, and what was observed.
        rows: rows of mines it covers.
        cloud_fraction: share under clouds, 0..1.

    """

    patches: Patches
    rows: range
    cloud_fraction: float

    @property
    def polygon_count(self) -> int:
        """Polygons of all classes."""
        return len(self.patches)

    @property
    def vertex_count(self) -> int:
        """Vertices of their outlines; those that neighbours share count once."""
        return len(self.patches.polygons.vertices)

    def at(self, place: int) -> Patches:
        """The polygons in EPSG:4326, where the scene lies that has this place in the province."""
        x, y = corner_m(place)

        def moved(polygons: Polygons) -> Polygons:
            return polygons.with_vertices(polygons.vertices + np.array([x, y]))

        return replace(
            self.patches,
            polygons=moved(self.patches.polygons),
            observation=moved(self.patches.observation),
        ).to_wgs84(SRID)


@dataclass(frozen=True)
class Mine:
    """A mine with a ragged boundary, and the licence it has, EPSG:4326."""

    code: str
    boundary: shapely.MultiPolygon
    licence: shapely.MultiPolygon | None


class Scenery:
    """Class maps of a scene in every year, and the polygons of any of their rows of mines."""

    def __init__(self, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        self._maps = _class_maps(random)
        self._clouds = [_clouds(random) for _ in YEARS]
        self.ground = cache(self._ground)

    def _ground(self, year: int, rows: range, clouded: bool) -> Ground:
        """Polygons of a year.

        Args:
            year: one of ``YEARS``.
            rows: rows of mines, within 0..12.
            clouded: whether clouds hide a part.

        """
        index = YEARS.index(year)
        top, bottom = (round(row * SIDE_PX / CELLS) for row in (rows.start, rows.stop))
        codes = self._maps[index][top:bottom].copy()
        clouds = self._clouds[index][top:bottom]
        if clouded:
            codes[clouds] = NOT_OBSERVED
        patches = polygonise(
            codes,
            origin_x=0.0,
            origin_y=-top * PIXEL_M,
            resolution_x=PIXEL_M,
            resolution_y=PIXEL_M,
            max_segment_m=MAX_SEGMENT_M,
            confidence=np.where(codes % 2 == 0, 190, 150).astype(np.uint8),
        )
        return Ground(patches, rows, float(clouds.mean()) if clouded else 0.0)

    def of_place(self, year: int, place: int, mines: int) -> Ground:
        """What the scene of a place saw in a year; the last one is as long as the mines reach."""
        rows = -(-min(mines - place * CELLS**2, CELLS**2) // CELLS)
        return self.ground(year, range(rows), (place + YEARS.index(year)) % CLOUDED_EVERY == 2)


def _enlarged(coarse: Field, factor: int) -> Field:
    """The field with a value every pixel instead of every ``factor`` pixels, linear in between."""
    step = (np.arange(factor, dtype=np.float32) / factor)[None, :, None]
    for _ in range(2):
        following = np.concatenate([coarse[1:], coarse[-1:]])
        fine = coarse[:, None] * (1 - step) + following[:, None] * step
        coarse = np.ascontiguousarray(fine.reshape(-1, coarse.shape[1]).T)
    return coarse


def _noise(random: np.random.Generator, coarse_px: int, sigma: float) -> Field:
    side = SIDE_PX // coarse_px
    noise = gaussian_filter(random.standard_normal((side, side), np.float32), sigma)
    return np.asarray(noise / noise.std(), np.float32)


def _class_maps(random: np.random.Generator) -> list[Codes]:
    """Class maps (side, side) of the years: mines are islands of damage in undamaged ground."""
    remoteness = _remoteness()
    advance = {0: remoteness * np.float32(1 + PREVALENCE / REMOTENESS), 1: remoteness}
    scores = [_noise(random, 8, PATCH_SIGMA) for _ in range(CLASSES)]
    rough = [_enlarged(_noise(random, 2, 1.0), 2) * np.float32(ROUGHNESS) for _ in range(CLASSES)]
    maps = []
    for year in range(len(YEARS)):
        if year:
            scores = [score + np.float32(YEARLY_CHANGE) * _noise(random, 8, 3.0) for score in scores]
        best, codes = np.full((SIDE_PX, SIDE_PX), -np.inf, np.float32), np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        for code, score in enumerate(scores):
            value = _enlarged(score, 8) + rough[code] + advance.get(code, np.float32(0))
            codes[value > best] = code
            np.maximum(best, value, out=best)
        sieve(codes.copy(), dict.fromkeys(range(CLASSES), MIN_PATCH_PX), out=codes)
        maps.append(codes)
    return maps


def _remoteness() -> Field:
    """What undamaged ground has in advance (side, side): nothing inside a mine, much beyond its edge."""
    cell_px = SIDE_PX / CELLS
    offset = (np.arange(SIDE_PX) % cell_px) / cell_px - 0.5
    distance = np.hypot(offset[:, None], offset[None, :])
    return np.asarray(np.clip((distance - 0.30) / 0.10, 0.0, 1.0) * REMOTENESS, np.float32)


def _clouds(random: np.random.Generator) -> npt.NDArray[np.bool_]:
    cover = _enlarged(_noise(random, 16, 8.0), 16)
    return np.asarray(cover > np.quantile(cover[::16, ::16], 1 - CLOUD_SHARE))


def scene_count(mines: int) -> int:
    """Scenes that it takes to cover so many mines once."""
    return -(-mines // CELLS**2)


def corner_m(place: int) -> tuple[float, float]:
    """Upper left corner of a scene on the grid, m."""
    side_m = SIDE_PX * PIXEL_M
    return WEST_M + place % SCENES_A_ROW * side_m, NORTH_M - place // SCENES_A_ROW * side_m


def middle_m(mine: int) -> tuple[float, float]:
    """Middle of a mine on the grid, m."""
    place, cell = divmod(mine, CELLS**2)
    x, y = corner_m(place)
    return x + (cell % CELLS + 0.5) * CELL_M, y - (cell // CELLS + 0.5) * CELL_M


def blob(
    middle: tuple[float, float],
    radius_m: float,
    random: np.random.Generator,
    *,
    edges: int = BOUNDARY_VERTICES,
) -> shapely.MultiPolygon:
    """A ragged polygon round a point of the grid, in EPSG:4326."""
    angles = _round(random, edges)
    radius = radius_m * random.uniform(0.9, 1.1, edges)
    return in_degrees(
        np.column_stack([middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)])
    )


def _round(random: np.random.Generator, edges: int) -> npt.NDArray[np.float64]:
    """Directions (edges,) all the way round, at uneven steps."""
    return np.asarray((np.arange(edges) + random.uniform(0, 0.8, edges)) * 2 * np.pi / edges)


def in_degrees(ring: npt.NDArray[np.float64]) -> shapely.MultiPolygon:
    """The polygon inside a ring (n, 2) of the grid, in EPSG:4326."""
    return shapely.set_srid(shapely.MultiPolygon([shapely.Polygon(to_wgs84(ring, SRID))]), 4326)


def mines(count: int, *, seed: int = 2) -> Iterator[Mine]:
    """Mines with ragged boundaries, 144 a scene; neighbours overlap, most have a smaller licence."""
    random = np.random.default_rng(seed)
    for number in range(count):
        middle = np.array(middle_m(number))
        angles = _round(random, BOUNDARY_VERTICES)
        radius = CELL_M * random.uniform(0.42, 0.52) * random.uniform(0.9, 1.1, BOUNDARY_VERTICES)
        ring = np.column_stack([radius * np.cos(angles), radius * np.sin(angles)])
        share = random.uniform(0.85, 1.0) if random.random() < 0.8 else None
        yield Mine(
            f"T{number:05d}",
            in_degrees(ring + middle),
            None if share is None else in_degrees(ring * share + middle),
        )
