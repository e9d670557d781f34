"""Where mines and villages stand: apart from each other, off the rivers, off the district's edge."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ingest.simulate.fields import FloatMap, stream
from ingest.simulate.ground import Frame
from ingest.simulate.plans import PLANS, Element, MinePlan

_MINE_PX = 330_000
Position = TypeVar("Position", float, NDArray[np.float64])


@dataclass(frozen=True)
class Site:
    """A mine's place: centre (row, column) and radius in pixels, turn, mirrored or not."""

    code: str
    name: str
    plan: MinePlan
    centre: tuple[float, float]
    radius_px: float
    angle: float
    mirror: float
    others: tuple[tuple[float, float], ...]

    def place(self, at: tuple[Position, Position]) -> tuple[Position, Position]:
        """Pixel (row, column) of a position in the plan, or of many."""
        u, v = at[0] * self.radius_px, at[1] * self.radius_px * self.mirror
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.centre[0] + u * sin + v * cos, self.centre[1] + u * cos - v * sin

    def belongs(self, part: Frame) -> FloatMap:
        """Pixels of margin to the nearest other mine's ground; positive where this mine may build."""
        rows = np.arange(part.rows.start, part.rows.stop, dtype=np.float32)[:, None]
        columns = np.arange(part.columns.start, part.columns.stop, dtype=np.float32)[None, :]
        own = np.hypot(rows - self.centre[0], columns - self.centre[1])
        margin = np.full(own.shape, np.inf, np.float32)
        for row, column in self.others:
            np.minimum(margin, np.hypot(rows - row, columns - column) - own, out=margin)
        return margin


@dataclass(frozen=True)
class Village:
    """A settlement outside the mines."""

    centre: tuple[float, float]
    half_px: tuple[float, float]
    angle: float


def mine_count(shape: tuple[int, int]) -> int:
    """Mines in a district of `shape`: four at least, so that every class stands in more than one place."""
    return max(4, round(shape[0] * shape[1] / _MINE_PX))


def place_mines(seed: int, river_px: FloatMap) -> list[Site]:
    """Mines spread over the district by k-means over random ground that is far from rivers."""
    shape = river_px.shape[0], river_px.shape[1]
    rng = stream(seed, "sites")
    count = mine_count(shape)
    radius = 0.425 * float(np.sqrt(shape[0] * shape[1] / count))
    radius = min(radius, 0.36 * min(shape))
    edges = np.array([min(1.05 * radius + 0.02 * min(shape), 0.42 * length) for length in shape])
    spots = np.stack([rng.uniform(0.02 * length, 0.98 * length, 400 * count) for length in shape], axis=1)
    clearance = river_px[spots[:, 0].astype(int), spots[:, 1].astype(int)]
    dry = spots[rng.random(len(spots)) < 0.08 + np.clip(clearance / (0.8 * radius), 0, 1) ** 2]
    centres = _middles(dry, count)
    centres = centres[np.argsort(centres[:, 1], kind="stable")]
    centres = np.array([_nudged(rng, centre, radius, edges, river_px) for centre in centres])
    sites = []
    for index, (row, column) in enumerate(centres.tolist()):
        plan = PLANS[index % len(PLANS)]
        near = np.argsort(np.hypot(centres[:, 0] - row, centres[:, 1] - column), kind="stable")[1:9]
        cycle, again = divmod(index // len(PLANS), len(plan.names))
        name = plan.names[again] + (f" {cycle + 1}" if cycle else "")
        sites.append(
            Site(
                code=f"CJ-{plan.mineral[:2].upper()}-{index + 1:03d}",
                name=name,
                plan=plan,
                centre=(row, column),
                radius_px=radius * float(rng.uniform(0.95, 1.05)),
                angle=0.0,
                mirror=1.0,
                others=tuple((float(centres[i, 0]), float(centres[i, 1])) for i in near),
            )
        )
    return [_turned(rng, site, river_px) for site in sites]


def _nudged(
    rng: np.random.Generator, centre: np.ndarray, radius_px: float, edges: np.ndarray, river_px: FloatMap
) -> np.ndarray:
    """Centre moved by up to a third of the radius to where least river crosses the mine's circle."""
    shape = np.array(river_px.shape)
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    disc = np.concatenate(
        [r * radius_px * np.stack([np.sin(turn), np.cos(turn)], axis=1) for r in (0.3, 0.6, 0.9)]
    )
    best, most = centre, -np.inf
    for move in np.concatenate([np.zeros((1, 2)), rng.uniform(-0.33, 0.33, (40, 2)) * radius_px]):
        moved = np.clip(centre + move, edges, shape - edges)
        row, column = np.clip(moved + disc, 0, shape - 1).astype(int).T
        dry = (
            float((river_px[row, column] > 9).mean()) - 0.15 * float(np.hypot(*(moved - centre))) / radius_px
        )
        if dry > most:
            best, most = moved, dry
    return best


def _turned(rng: np.random.Generator, site: Site, river_px: FloatMap) -> Site:
    """Site turned and mirrored so that least of its plan lies in rivers, other mines or beyond the edge."""
    rim = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    u = np.concatenate(
        [e.at[0] + max(e.size) * r * np.cos(rim) for e in site.plan.elements for r in (0.55, 1.05)]
    )
    v = np.concatenate(
        [e.at[1] + max(e.size) * r * np.sin(rim) for e in site.plan.elements for r in (0.55, 1.05)]
    )
    others = np.array(site.others)
    best, least = site, np.inf
    for angle in rng.uniform(0, 2 * np.pi, 16).tolist():
        for mirror in (-1.0, 1.0):
            turned = replace(site, angle=angle, mirror=mirror)
            row, column = turned.place((u, v))
            inside = (
                (row > 8) & (row < river_px.shape[0] - 8) & (column > 8) & (column < river_px.shape[1] - 8)
            )
            river = river_px[
                np.clip(row, 0, river_px.shape[0] - 1).astype(int),
                np.clip(column, 0, river_px.shape[1] - 1).astype(int),
            ]
            own = np.hypot(row - site.centre[0], column - site.centre[1])
            foreign = np.hypot(row[:, None] - others[:, 0], column[:, None] - others[:, 1]).min(axis=1)
            bad = float((~inside * 1.5 + (river < 9) + (foreign - own < 8)).mean())
            if bad < least:
                best, least = turned, bad
    return best


def _middles(spots: np.ndarray, count: int) -> np.ndarray:
    """Centres (count, 2) of k-means over spots (n, 2)."""
    centres = spots[_spread(spots, count)]
    for _ in range(12):
        nearest = cKDTree(centres).query(spots)[1]
        size = np.bincount(nearest, minlength=count)
        sums = np.stack([np.bincount(nearest, axis, count) for axis in spots.T], axis=1)
        centres = np.where(size[:, None] > 0, sums / np.maximum(size, 1)[:, None], centres)
    return np.asarray(centres)


def _spread(spots: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` spots, each the farthest from those before it."""
    chosen = [0]
    distance = np.hypot(*(spots - spots[0]).T)
    while len(chosen) < count:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.hypot(*(spots - spots[chosen[-1]]).T))
    return np.asarray(chosen)


def place_villages(seed: int, sites: list[Site], river_px: FloatMap, slope: FloatMap) -> list[Village]:
    """Villages on gentle ground near a river and outside the mines; about one for two mines."""
    shape = river_px.shape[0], river_px.shape[1]
    rng = stream(seed, "villages")
    radius = sites[0].radius_px
    count = max(2, round(0.6 * len(sites)))
    spots = np.stack([rng.uniform(0.07 * n, 0.93 * n, 500 * count) for n in shape], axis=1)
    row, column = spots.astype(int).T
    from_mines = np.min([np.hypot(*(spots - site.centre).T) for site in sites], axis=0)
    score = (
        np.clip(from_mines / (1.25 * radius), 0, 1)
        - 0.5 * np.abs(river_px[row, column] - 0.3 * radius) / radius
        - 2.0 * slope[row, column]
        + 0.1 * rng.random(len(spots))
    )
    villages: list[Village] = []
    for index in np.argsort(-score, kind="stable").tolist():
        here = (float(spots[index, 0]), float(spots[index, 1]))
        if any(np.hypot(here[0] - v.centre[0], here[1] - v.centre[1]) < 1.3 * radius for v in villages):
            continue
        half = float(rng.uniform(0.24, 0.32)) * radius
        villages.append(
            Village(here, (half, half * float(rng.uniform(0.6, 0.8))), float(rng.uniform(0, np.pi)))
        )
        if len(villages) == count:
            break
    return villages


def jittered(rng: np.random.Generator, element: Element) -> Element:
    """Element moved and stretched a little, so that two mines of one plan differ."""
    at = (element.at[0] + float(rng.uniform(-0.04, 0.04)), element.at[1] + float(rng.uniform(-0.04, 0.04)))
    stretch = float(rng.uniform(0.93, 1.07))
    size = (element.size[0] * stretch, element.size[1] / stretch)
    return Element(element.kind, at, size, element.growth, element.treated, element.lake)
