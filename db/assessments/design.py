"""How many points each stratum of a sample gets, and where in it they fall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer

from db.errors import UsageError

FEWEST_POINTS = 2
"""With one point in a stratum nothing is known about how its points differ."""

MOST_POINTS = 100_000
MOST_TRIES = 100_000
"""Points tried at once; a batch of this size takes tens of milliseconds."""

THINNEST = 1e-8
"""Polygons that fill less of their box are slivers that rounding left; one place stands for them."""

LONGEST_EDGE_DEGREES = 0.01
"""Edges are straight in longitude and latitude; cut so finely they are as good as straight when projected."""

_EQUAL_AREA = Transformer.from_crs("EPSG:4326", "+proj=cea +ellps=WGS84 +units=m +type=crs", always_xy=True)


def allocate(
    areas_m2: Mapping[str, float], *, per_stratum: int = 50, total: int | None = None
) -> dict[str, int]:
    """Deal points to strata in proportion to their area, but to none fewer than ``per_stratum``.

    Small strata are raised to the least number; what is left is dealt to the others by area (Olofsson et al.
    2014, Remote Sensing of Environment 148:42-57, section 5.1).

    Args:
        areas_m2: area of each stratum, m2, above 0.
        per_stratum: fewest points of a stratum.
        total: points of all strata; None: twice what the least number takes.

    Raises:
        UsageError: the numbers are too small or too large, or do not fit each other.

    """
    least = per_stratum * len(areas_m2)
    if per_stratum < FEWEST_POINTS:
        raise UsageError(
            f"--per-stratum {per_stratum}: at least {FEWEST_POINTS} points a stratum are needed for a "
            "standard error; 50 to 100 are usual"
        )
    wanted = 2 * least if total is None else total
    if wanted < least:
        raise UsageError(
            f"--total {wanted}: {len(areas_m2)} strata ({', '.join(areas_m2)}) with at least {per_stratum} "
            f"points each need {least}; raise it, or lower --per-stratum"
        )
    check_total(wanted)
    counts = dict.fromkeys(areas_m2, per_stratum)
    free = dict(areas_m2)
    while free:
        rest = wanted - sum(counts[key] for key in counts if key not in free)
        shares = {key: rest * area / math.fsum(free.values()) for key, area in free.items()}
        small = [key for key, share in shares.items() if share < per_stratum]
        if not small:
            counts |= _whole(shares, rest)
            break
        for key in small:
            del free[key]
    return counts


def check_total(total: int) -> None:
    """Refuse more points than anybody will ever look at.

    Raises:
        UsageError: more than ``MOST_POINTS``.

    """
    if total > MOST_POINTS:
        raise UsageError(f"{total} sample points: at most {MOST_POINTS} are drawn")


def _whole(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that add up to the total, by the largest remainder."""
    counts = {key: math.floor(share) for key, share in shares.items()}
    by_remainder = sorted(shares, key=lambda key: (counts[key] - shares[key], key))
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def choose_pieces(
    areas_m2: npt.NDArray[np.float64], count: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Choose pieces of ground at random, each as often as its area says.

    Args:
        areas_m2: area of each piece ``(pieces,)``, m2.
        count: points to place.
        generator: source of chance.

    Returns:
        Points that fall into each piece ``(pieces,)``; their sum is ``count``.

    """
    ends = np.cumsum(areas_m2)
    chosen = np.searchsorted(ends, generator.random(count) * ends[-1], side="right")
    return np.bincount(np.minimum(chosen, len(areas_m2) - 1), minlength=len(areas_m2))


def points_in(
    ground: shapely.Polygon | shapely.MultiPolygon, count: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Points spread evenly over the area of a piece of ground.

    They are drawn on the cylindrical equal-area projection of the WGS 84 ellipsoid: every m2 of the Earth has
    the same chance, at any latitude.

    Args:
        ground: polygon or polygons, EPSG:4326.
        count: points to draw.
        generator: source of chance.

    Returns:
        Longitude and latitude ``(count, 2)``, degrees.

    """
    parts = shapely.get_parts(ground)
    areas = shapely.area(shapely.transform(shapely.segmentize(parts, LONGEST_EDGE_DEGREES), _flattened))
    counts = choose_pieces(areas if areas.any() else np.ones(len(parts)), count, generator)
    drawn = [
        _in_polygon(part, area, int(number), generator)
        for part, area, number in zip(parts, areas, counts, strict=True)
        if number
    ]
    return np.concatenate([np.empty((0, 2)), *drawn])


def _flattened(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack(_EQUAL_AREA.transform(lonlat[:, 0], lonlat[:, 1]))


def _in_polygon(
    polygon: shapely.Polygon, area_m2: float, count: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Points of a polygon ``(count, 2)``: those drawn in its box that fall inside."""
    corners = np.array(shapely.bounds(polygon)).reshape(2, 2)
    (west, south), (east, north) = _flattened(corners)
    box_m2 = (east - west) * (north - south)
    rate = area_m2 / box_m2 if box_m2 > 0 else 0.0
    if rate < THINNEST:
        return np.repeat(shapely.get_coordinates(shapely.point_on_surface(polygon)), count, axis=0)
    shapely.prepare(polygon)
    found: list[npt.NDArray[np.float64]] = []
    missing = count
    while missing > 0:
        tries = min(math.ceil(1.2 * missing / rate) + 16, MOST_TRIES)
        xy = np.array([west, south]) + generator.random((tries, 2)) * [east - west, north - south]
        lonlat = np.column_stack(_EQUAL_AREA.transform(xy[:, 0], xy[:, 1], direction="INVERSE"))
        inside = lonlat[shapely.contains_xy(polygon, lonlat)][:missing]
        found.append(inside)
        missing -= len(inside)
    return np.concatenate(found)


def deal_numbers(counts: Sequence[int], generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Numbers from 1 for the points of each stratum, dealt at random so that they tell nothing of it."""
    numbers = generator.permutation(sum(counts)) + 1
    return np.split(numbers, np.cumsum(counts)[:-1])
