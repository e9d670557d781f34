"""Pegmatite dykes: those with ore where geology favours it, and two kinds of decoys.

Favoured ground lies within 1.5 km outside a pluton's margin and within 600 m of a fault, the more so near
crossings of faults. Ore and barren dykes both lie there and are of one size; dykes with the spectrum of ore
but without its geology lie more than 3 km from plutons and 1.5 km from faults.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from ingest.simulate.fields import Mask
from ingest.simulate.prospect_geology import STEP_M, Distances, ProspectGeology

PLUTON_REACH_M, FAULT_REACH_M = 1500.0, 600.0
PLUTON_FREE_M, FAULT_FREE_M = 3000.0, 1500.0

DykeKind = Literal["ore", "spectrum_without_geology", "geology_without_spectrum"]
CLUSTERS: dict[DykeKind, float] = {
    "ore": 22 / 144,
    "spectrum_without_geology": 14.7 / 144,
    "geology_without_spectrum": 14.7 / 144,
}
"""Clusters of dykes per km2 of the ground they may lie in; a cluster has two to four dykes."""

COMMODITIES = {"spodumene": "lithium", "beryl": "beryllium"}

_TRIES = 40


@dataclass(frozen=True)
class DykeRules:
    """Where dykes lie; the default is that of a district of some 10 to 30 km.

    Attributes:
        pluton_reach_m, fault_reach_m: ore and barren dykes lie so near to both.
        pluton_free_m, fault_free_m: dykes with the spectrum of ore but without its geology lie beyond both.
        clusters_per_km2: clusters of each kind, per km2 of the ground they may lie in.
        minerals: of ore; clusters take turns.
        barren: mineral of dykes without ore.
        spacing_m: least distance of two clusters' middles.
        room_m: of a cluster's middle: least and largest distance to a pluton, largest to a fault.
        fall_m: the favour of ground falls to 1/e at such distances from a pluton, a fault and a crossing.
        slack_m: middles of clusters keep so much more than the free distances.
        margin_m: and so far from the ground's edge.
        reach_m: dykes lie so far from their cluster's middle, along its bearing and aside.
        length_m: least and largest.

    """

    pluton_reach_m: float = PLUTON_REACH_M
    fault_reach_m: float = FAULT_REACH_M
    pluton_free_m: float = PLUTON_FREE_M
    fault_free_m: float = FAULT_FREE_M
    clusters_per_km2: Mapping[DykeKind, float] = field(default_factory=lambda: CLUSTERS)
    minerals: tuple[str, ...] = tuple(COMMODITIES)
    barren: str = "barren"
    spacing_m: float = 620.0
    room_m: tuple[float, float, float] = (150.0, 1250.0, 420.0)
    fall_m: tuple[float, float, float] = (800.0, 250.0, 400.0)
    slack_m: float = 150.0
    margin_m: float = 250.0
    reach_m: tuple[float, float] = (140.0, 240.0)
    length_m: tuple[float, float] = (100.0, 400.0)


DISTRICT_RULES = DykeRules()


@dataclass(frozen=True)
class Dyke:
    """A dyke.

    Attributes:
        name: as maps call it.
        kind: ore, or which decoy.
        mineral: one of the rules' minerals, or their barren one.
        cluster: number of its cluster, from 1 over all kinds.
        outline: polygon, in the CRS of the ground.
        cover: share of its ground that soil and plants hide, 0.40..0.85.

    """

    name: str
    kind: DykeKind
    mineral: str
    cluster: int
    outline: Polygon
    cover: float


def place_dykes(
    rng: np.random.Generator,
    geology: ProspectGeology,
    distances: Distances,
    inner: BaseGeometry,
    dry: Mask,
    rules: DykeRules = DISTRICT_RULES,
) -> list[Dyke]:
    """Place clusters of dykes of all kinds.

    Args:
        rng: random generator.
        geology: faults and plutons.
        distances: distances from them.
        inner: ground that all dykes lie in.
        dry: ground without water, on the grid of the distances.
        rules: where they may lie.

    Returns:
        As many as there is room for; ``wanted_clusters`` says how many there should be.

    """
    room = _Room(geology, inner, rules)
    open_cells = dry & _inside(distances, inner.buffer(-rules.margin_m))
    order = [kind for kind, count in wanted_clusters(inner, rules).items() for _ in range(count)]
    minerals: dict[DykeKind, int] = dict.fromkeys(CLUSTERS, 0)
    found: list[Dyke] = []
    for cluster, place in enumerate(rng.permutation(len(order)), 1):
        kind = order[place]
        weights = (
            _disfavour(distances, rules) if kind == "spectrum_without_geology" else _favour(distances, rules)
        )
        weights = weights * open_cells
        if not weights.any():
            continue
        cell = int(rng.choice(weights.size, p=(weights / weights.sum()).ravel()))
        row, column = divmod(cell, weights.shape[1])
        middle = distances.transform @ (column + 0.5, row + 0.5)
        # Minerals take turns, so that a small district has both.
        ore = rules.minerals[minerals[kind] % len(rules.minerals)]
        mineral = rules.barren if kind == "geology_without_spectrum" else ore
        minerals[kind] += 1
        found += _cluster(rng, room, kind, mineral, cluster, middle)
        rows, columns = (np.arange(n, dtype=np.float32) for n in weights.shape)
        near = np.hypot((rows - row)[:, None], (columns - column)[None, :]) * STEP_M < rules.spacing_m
        open_cells = open_cells & ~near
    return found


def wanted_clusters(inner: BaseGeometry, rules: DykeRules = DISTRICT_RULES) -> dict[DykeKind, int]:
    """How many clusters of each kind belong on so much ground."""
    densities = rules.clusters_per_km2
    return {kind: max(3, round(density * inner.area / 1e6)) for kind, density in densities.items()}


class _Room:
    """Which outlines may hold a dyke of a kind."""

    def __init__(self, geology: ProspectGeology, inner: BaseGeometry, rules: DykeRules) -> None:
        self.bearing, self.rules = geology.bearing, rules
        self._inner = inner
        self._plutons = shapely.union_all([each.outline for each in geology.plutons])
        self._faults = shapely.union_all([each.line for each in geology.faults])
        for shape in (self._inner, self._plutons, self._faults):
            shapely.prepare(shape)

    def has(self, kind: DykeKind, outline: Polygon) -> bool:
        if not self._inner.contains(outline):
            return False
        pluton, fault = outline.distance(self._plutons), outline.distance(self._faults)
        if kind == "spectrum_without_geology":
            return bool(pluton > self.rules.pluton_free_m and fault > self.rules.fault_free_m)
        return bool(30.0 < pluton < self.rules.pluton_reach_m and fault < self.rules.fault_reach_m)


def _cluster(
    rng: np.random.Generator,
    room: _Room,
    kind: DykeKind,
    mineral: str,
    cluster: int,
    middle: tuple[float, float],
) -> list[Dyke]:
    """Two to four dykes side by side."""
    bearing = room.bearing + float(rng.normal(0, 0.4))
    count = int(rng.integers(2, 5))
    cover = float(rng.uniform(0.45, 0.80))
    found: list[Dyke] = []
    for _ in range(_TRIES):
        if len(found) == count:
            break
        along, aside = (float(rng.uniform(-reach, reach)) for reach in room.rules.reach_m)
        turn = bearing + float(rng.normal(0, 0.15))
        place = (
            middle[0] + along * math.cos(bearing) - aside * math.sin(bearing),
            middle[1] + along * math.sin(bearing) + aside * math.cos(bearing),
        )
        outline = _outline(
            rng, place, turn, float(rng.uniform(*room.rules.length_m)), float(rng.uniform(30, 90))
        )
        if room.has(kind, outline) and all(outline.distance(other.outline) > 20 for other in found):
            own = float(np.clip(cover + rng.normal(0, 0.05), 0.40, 0.85))
            found.append(Dyke(f"dyke {cluster}-{len(found) + 1}", kind, mineral, cluster, outline, own))
    return found


def _outline(
    rng: np.random.Generator, middle: tuple[float, float], bearing: float, length_m: float, width_m: float
) -> Polygon:
    """A bent lens with uneven walls."""
    t = np.linspace(-1, 1, 21)
    half = 0.5 * width_m * (1 - np.abs(t) ** 3) ** 0.5
    bend = 0.06 * length_m * float(rng.normal()) * (1 - t**2)
    walls = [bend + side * half * (1 + 0.12 * rng.standard_normal(21)) for side in (1, -1)]
    u = np.concatenate([t, t[-2:0:-1]]) * length_m / 2
    v = np.concatenate([walls[0], walls[1][-2:0:-1]])
    cos, sin = math.cos(bearing), math.sin(bearing)
    ring = np.column_stack([middle[0] + u * cos - v * sin, middle[1] + u * sin + v * cos])
    outline = Polygon(ring)
    return outline if outline.is_valid else outline.buffer(0)


def _favour(distances: Distances, rules: DykeRules) -> NDArray[np.float64]:
    """How likely a cluster in favoured ground lies in a cell, not normalised."""
    pluton, fault = distances.pluton_m.astype(np.float64), distances.fault_m.astype(np.float64)
    least, largest, from_fault = rules.room_m
    by_pluton, by_fault, by_crossing = rules.fall_m
    weights = (
        np.exp(-pluton / by_pluton)
        * np.exp(-fault / by_fault)
        * (1 + 2 * np.exp(-distances.crossing_m / by_crossing))
    )
    return np.asarray(weights * ((pluton > least) & (pluton < largest) & (fault < from_fault)))


def _disfavour(distances: Distances, rules: DykeRules) -> NDArray[np.float64]:
    """1 where a cluster may lie far from plutons and faults, else 0."""
    far = (distances.pluton_m > rules.pluton_free_m + rules.slack_m) & (
        distances.fault_m > rules.fault_free_m + rules.slack_m
    )
    return far.astype(np.float64)


def _inside(distances: Distances, area: BaseGeometry) -> Mask:
    """Cells whose middle lies in a polygon."""
    rows, columns = distances.pluton_m.shape
    x = distances.transform.c + STEP_M * (np.arange(columns) + 0.5)
    y = distances.transform.f - STEP_M * (np.arange(rows) + 0.5)
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, x[None, :], y[:, None]))
