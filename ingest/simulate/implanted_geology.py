"""Made-up geology for a real scene that has none: small plutons, faults round them, and dykes.

A real scene may be a few kilometres wide and have gaps, so that the belts of a simulated district do not fit.
Here plutons are stocks of some 300 m radius, 1.5 km apart or more, each with a fault along its margin and two
across. Ore and barren dykes lie within 600 m of a pluton and 250 m of a fault, dykes with the spectrum of ore
alone more than 700 m from every pluton and 350 m from every fault.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import shapely
from shapely import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from ingest.simulate.fields import Mask, stream
from ingest.simulate.prospect_dykes import Dyke, DykeRules, place_dykes, wanted_clusters
from ingest.simulate.prospect_geology import MappedFault, MappedPluton, ProspectGeology, measure

COMMODITIES = {"spodumene": "lithium", "lepidolite": "lithium"}
"""What the implanted minerals are mined for."""
BARREN = "muscovite"
RULES = DykeRules(
    pluton_reach_m=600.0,
    fault_reach_m=250.0,
    pluton_free_m=700.0,
    fault_free_m=350.0,
    clusters_per_km2={"ore": 0.85, "spectrum_without_geology": 0.42, "geology_without_spectrum": 0.42},
    minerals=tuple(COMMODITIES),
    barren=BARREN,
    spacing_m=480.0,
    room_m=(60.0, 550.0, 180.0),
    fall_m=(400.0, 100.0, 200.0),
    slack_m=60.0,
    margin_m=60.0,
    reach_m=(40.0, 80.0),
    length_m=(80.0, 180.0),
)
"""Shorter than a district's, and clusters closer: each part of a small scene is to hold some of each kind."""

_KM2_A_PLUTON = 4.0
_PLUTON_M = (240.0, 340.0)
_APART_M = 1500.0
_FAULT_M = 750.0
_ATTEMPTS, _TRIES = 40, 400


def lay_out(
    seed: int, inner: BaseGeometry, dry: Mask, origin_m: tuple[float, float], side_m: float
) -> tuple[ProspectGeology, list[Dyke]]:
    """The first geology that has room for all clusters of dykes; of some without, that with most room.

    Args:
        seed: of all drawing.
        inner: ground that dykes may lie in, m.
        dry: (side, side) cells of 30 m that a cluster's middle may lie in.
        origin_m: upper left corner of these cells.
        side_m: side of their square.

    """
    wanted = sum(wanted_clusters(inner, RULES).values())
    tried: list[tuple[int, ProspectGeology, list[Dyke]]] = []
    for attempt in range(_ATTEMPTS):
        rng = stream(seed, "implanted", "geology", attempt)
        geology = _geology(rng, inner)
        dykes = place_dykes(rng, geology, measure(geology, origin_m, side_m), inner, dry, RULES)
        tried.append((len({dyke.cluster for dyke in dykes}), geology, dykes))
        if tried[-1][0] == wanted:
            break
    _found, geology, dykes = max(tried, key=lambda each: each[0])
    return geology, [replace(dyke, name=f"implanted {dyke.name}") for dyke in dykes]


def _geology(rng: np.random.Generator, inner: BaseGeometry) -> ProspectGeology:
    """Plutons on the ground, and faults along and across each."""
    bearing = float(rng.uniform(0, math.pi))
    middles = _middles(rng, inner, max(1, round(inner.area / 1e6 / _KM2_A_PLUTON)))
    plutons, lines = [], []
    for middle in middles:
        radius = float(rng.uniform(*_PLUTON_M))
        plutons.append(_pluton(rng, middle, radius))
        for turn, offset in ((0.0, 1.25), (1.1, 0.0), (-1.1, 0.5)):
            lines.append(_fault(rng, middle, bearing + turn + float(rng.normal(0, 0.15)), offset * radius))
    crossings = [a.intersection(b) for a, b in combinations(lines, 2) if a.intersects(b)]
    points = shapely.get_parts(np.array(crossings, dtype=object)) if crossings else np.array([], dtype=object)
    kinds = ("thrust", "strike_slip", "normal")
    return ProspectGeology(
        [MappedFault(f"implanted F{n + 1}", kinds[n % 3], line) for n, line in enumerate(lines)],
        [
            MappedPluton(f"implanted pluton {n + 1}", "implanted granite", "implanted", outline)
            for n, outline in enumerate(plutons)
        ],
        points,
        bearing,
    )


def _middles(rng: np.random.Generator, inner: BaseGeometry, count: int) -> list[tuple[float, float]]:
    """Places on the ground that keep their distance, as many as are wanted where there is room."""
    west, south, east, north = inner.bounds
    found: list[tuple[float, float]] = []
    for _ in range(_TRIES):
        place = float(rng.uniform(west, east)), float(rng.uniform(south, north))
        if inner.contains(shapely.Point(place)) and all(math.dist(place, each) > _APART_M for each in found):
            found.append(place)
        if len(found) == count:
            break
    return found


def _pluton(rng: np.random.Generator, middle: tuple[float, float], radius_m: float) -> Polygon:
    """A stock with a lobed outline."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = np.full(90, radius_m)
    for k in range(2, 7):
        radius *= 1 + float(rng.normal(0, 0.08)) / k**0.5 * np.cos(
            k * turn + float(rng.uniform(0, 2 * np.pi))
        )
    return Polygon(np.column_stack([middle[0] + radius * np.cos(turn), middle[1] + radius * np.sin(turn)]))


def _fault(
    rng: np.random.Generator, middle: tuple[float, float], bearing: float, offset_m: float
) -> LineString:
    """A trace that bends, and passes a place at a distance."""
    along = np.linspace(-1, 1, 25) * _FAULT_M * float(rng.uniform(0.8, 1.1))
    aside = offset_m + 60 * float(rng.normal()) * (along / _FAULT_M) ** 2
    cos, sin = math.cos(bearing), math.sin(bearing)
    return LineString(
        np.column_stack([middle[0] + along * cos - aside * sin, middle[1] + along * sin + aside * cos])
    )
