"""Pegmatite dykes: those with ore where geology favours it, and two kinds of decoys.

Favoured ground lies within 1.5 km outside a pluton's margin and within 600 m of a fault, the more so near
crossings of faults. Ore and barren dykes both lie there and are of one size; dykes with the spectrum of ore
but without its geology lie more than 3 km from plutons and 1.5 km from faults.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

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

_SPACING_M = 620.0
_ROOM_M = (150.0, 1250.0, 420.0)
"""Of a cluster's middle: least and largest distance to a pluton, largest to a fault."""
_TRIES = 40


@dataclass(frozen=True)
class Dyke:
    """A dyke.

    Attributes:
        name: as maps call it.
        kind: ore, or which decoy.
        mineral: spodumene, beryl or barren.
        cluster: number of its cluster, from 1 over all kinds.
        outline: polygon, EPSG:32645.
        cover: share of its ground that soil and plants hide, 0.40..0.85.

    """

    name: str
    kind: DykeKind
    mineral: str
    cluster: int
    outline: Polygon
    cover: float


def place_dykes(
    rng: np.random.Generator, geology: ProspectGeology, distances: Distances, inner: Polygon, dry: Mask
) -> list[Dyke]:
    """Place clusters of dykes of all kinds.

    Args:
        rng: random generator.
        geology: faults and plutons.
        distances: distances from them.
        inner: polygon that all dykes lie in.
        dry: ground without water, on the grid of the distances.

    Returns:
        As many as there is room for; ``wanted_clusters`` says how many there should be.

    """
    room = _Room(geology, inner)
    open_cells = dry & _inside(distances, inner.buffer(-250))
    order = [kind for kind, count in wanted_clusters(inner).items() for _ in range(count)]
    minerals: dict[DykeKind, int] = dict.fromkeys(CLUSTERS, 0)
    found: list[Dyke] = []
    for cluster, place in enumerate(rng.permutation(len(order)), 1):
        kind = order[place]
        weights = _favour(distances) if kind != "spectrum_without_geology" else _disfavour(distances)
        weights = weights * open_cells
        if not weights.any():
            continue
        cell = int(rng.choice(weights.size, p=(weights / weights.sum()).ravel()))
        row, column = divmod(cell, weights.shape[1])
        middle = distances.transform @ (column + 0.5, row + 0.5)
        # Minerals take turns, so that a small district has both.
        mineral = "barren" if kind == "geology_without_spectrum" else tuple(COMMODITIES)[minerals[kind] % 2]
        minerals[kind] += 1
        found += _cluster(rng, room, kind, mineral, cluster, middle)
        rows, columns = (np.arange(n, dtype=np.float32) for n in weights.shape)
        near = np.hypot((rows - row)[:, None], (columns - column)[None, :]) * STEP_M < _SPACING_M
        open_cells = open_cells & ~near
    return found


def wanted_clusters(inner: Polygon) -> dict[DykeKind, int]:
    """How many clusters of each kind belong on so much ground."""
    return {kind: max(3, round(density * inner.area / 1e6)) for kind, density in CLUSTERS.items()}


class _Room:
    """Which outlines may hold a dyke of a kind."""

    def __init__(self, geology: ProspectGeology, inner: Polygon) -> None:
        self.bearing = geology.bearing
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
            return bool(pluton > PLUTON_FREE_M and fault > FAULT_FREE_M)
        return bool(30.0 < pluton < PLUTON_REACH_M and fault < FAULT_REACH_M)


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
        along, aside = float(rng.uniform(-140, 140)), float(rng.uniform(-240, 240))
        turn = bearing + float(rng.normal(0, 0.15))
        place = (
            middle[0] + along * math.cos(bearing) - aside * math.sin(bearing),
            middle[1] + along * math.sin(bearing) + aside * math.cos(bearing),
        )
        outline = _outline(rng, place, turn, float(rng.uniform(100, 400)), float(rng.uniform(30, 90)))
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


def _favour(distances: Distances) -> NDArray[np.float64]:
    """How likely a cluster in favoured ground lies in a cell, not normalised."""
    pluton, fault = distances.pluton_m.astype(np.float64), distances.fault_m.astype(np.float64)
    least, largest, from_fault = _ROOM_M
    weights = np.exp(-pluton / 800) * np.exp(-fault / 250) * (1 + 2 * np.exp(-distances.crossing_m / 400))
    return np.asarray(weights * ((pluton > least) & (pluton < largest) & (fault < from_fault)))


def _disfavour(distances: Distances) -> NDArray[np.float64]:
    """1 where a cluster may lie far from plutons and faults, else 0."""
    far = (distances.pluton_m > PLUTON_FREE_M + 150) & (distances.fault_m > FAULT_FREE_M + 150)
    return far.astype(np.float64)


def _inside(distances: Distances, area: Polygon) -> Mask:
    """Cells whose middle lies in a polygon."""
    rows, columns = distances.pluton_m.shape
    x = distances.transform.c + STEP_M * (np.arange(columns) + 0.5)
    y = distances.transform.f - STEP_M * (np.arange(rows) + 0.5)
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, x[None, :], y[:, None]))
