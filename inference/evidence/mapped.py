"""Mapped geology on a grid: distances to faults, plutons and rocks, and which rock lies where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from rasterio.features import rasterize

from db.geology_near import features_near, is_mapped_about, rocks_near
from db.raster import Grid
from inference.evidence.system_types import GeologyRule
from inference.geology.distances import distance_to_edges, edges_of, is_inside
from inference.prospect.grids import transform_of

FAR_M = 100_000.0
"""Features farther than this from the grid tell nothing of it: they are as good as not mapped."""

MOST_ROCKS = 12
"""So many of the commonest rocks have a channel of their own; the rest are ``other``."""

OTHER = "other"

_TABLES = {"fault": "faults", "pluton": "plutons", "lithology": "lithology"}


@dataclass(frozen=True)
class FeatureDistance:
    """Distances to mapped features.

    Attributes:
        name: what they are called, see `distance_name`.
        distance_m: (height, width) of each cell's centre to the nearest, 0 inside, float32, m.
        digests: SHA-256 of the features that matter.

    """

    name: str
    distance_m: NDArray[np.float32]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class RockMap:
    """Which rock lies where.

    Attributes:
        names: of the rocks; the last may be ``OTHER``.
        codes: (height, width) place among ``names``, -1 where none is mapped.
        digests: SHA-256 of the units and their rocks.

    """

    names: tuple[str, ...]
    codes: NDArray[np.int16]
    digests: tuple[str, ...]


def distance_name(feature: str, words: Sequence[str] = ()) -> str:
    """Name of the channel of distances: ``pluton_distance_m``, or ``pluton_distance_m (granit, aplit)``."""
    return f"{feature}_distance_m" + (f" ({', '.join(words)})" if words else "")


def rule_distance_name(rule: GeologyRule) -> str:
    """Name of the channel of distances that a rule is about."""
    return distance_name(rule.feature, rule.match)


def feature_distance(
    conn: Connection[Any], grid: Grid, feature: str, words: Sequence[str] = ()
) -> FeatureDistance | None:
    """Distances to the nearest fault, pluton or rock.

    They are measured to the outlines as they are mapped, in the plane of the grid, and features beyond its
    edge count too.

    Args:
        conn: connection.
        grid: in metres.
        feature: fault, pluton or lithology.
        words: only those whose description holds one of them; (): all.

    Returns:
        None where none is mapped within ``FAR_M`` of the grid.

    Raises:
        UsageError: a feature cannot be transformed to the CRS of the grid.

    """
    kind = _TABLES[feature]
    if not is_mapped_about(conn, kind, grid, within_m=FAR_M, words=words):
        return None
    near = features_near(conn, kind, grid, words=words)
    distance = distance_to_edges(grid, edges_of(near.shapes))
    if feature != "fault":
        distance[is_inside(grid, near.shapes)] = 0
    return FeatureDistance(distance_name(feature, words), distance.astype(np.float32), near.digests)


def rock_map(
    conn: Connection[Any], grid: Grid, is_judged: NDArray[np.bool_], most: int = MOST_ROCKS
) -> RockMap | None:
    """Which rock the geological map has at each cell's centre; the smaller unit where several overlap.

    Args:
        conn: connection.
        grid: in metres.
        is_judged: (height, width) cells by which the commonest rocks are chosen.
        most: rocks that are told apart.

    Returns:
        None where no rock is mapped on judged ground.

    Raises:
        UsageError: a unit cannot be transformed to the CRS of the grid.

    """
    units = [unit for unit in rocks_near(conn, grid) if unit.rock is not None and unit.rock.strip()]
    if not units:
        return None
    # Names differ in case from sheet to sheet of a map.
    keys = [(unit.rock or "").strip().casefold() for unit in units]
    found = sorted(set(keys))
    order = sorted(range(len(units)), key=lambda place: -units[place].shape.area)
    codes = rasterize(
        [(units[place].shape, found.index(keys[place])) for place in order],
        (grid.height_px, grid.width_px),
        fill=-1,
        transform=transform_of(grid),
        dtype=np.int32,
    )
    counts = np.bincount(codes[is_judged & (codes >= 0)], minlength=len(found))
    common = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]][:most]
    if not common:
        return None
    names = [found[code] for code in common]
    is_left = np.setdiff1d(np.flatnonzero(counts), common).size > 0
    if is_left and OTHER not in names:
        names.append(OTHER)
    short = np.full(len(found) + 1, names.index(OTHER) if is_left else -1, np.int16)
    short[common] = np.arange(len(common))
    short[-1] = -1  # what is not mapped
    return RockMap(tuple(names), short[codes], tuple(sorted(unit.digest for unit in units)))


def geology_digest(grid: Grid, digests: Mapping[str, Sequence[str]]) -> str | None:
    """SHA-256 of a grid and the features that channels were computed from; None: from none."""
    if not digests:
        return None
    place = (grid.srid, grid.origin_x, grid.origin_y, grid.resolution_x, grid.resolution_y)
    text = repr((place, grid.width_px, grid.height_px, sorted((k, tuple(v)) for k, v in digests.items())))
    return hashlib.sha256(text.encode()).hexdigest()
