"""Area on the ellipsoid of WGS 84 of polygons as they are stored: EWKB in, m2 out.

Edges are geodesics, as in PostGIS's ``geography``. The area between an edge and the equator is the integral
of A(lat) over longitude, with A the area south of a latitude per radian of longitude. For a short edge that
is the trapezoid of both ends, and a term of third order for the bow of the geodesic:

    (A1 + A2) / 2 dlon + sin(lat) dlon (3 (M dlat)^2 + (N cos(lat) dlon)^2) / 12

with the radii of curvature M, N and sin(lat) of the middle. It follows from the geodesic's equations

    M dlat = cos(azimuth) ds,  N cos(lat) dlon = sin(azimuth) ds,  N dazimuth = tan(lat) sin(azimuth) ds

by expansion of A and the longitude about the middle. What is left out is of fifth order, for edges of 1 km
some 1e-8 of the last term. Rings with a longer edge (one across longitude 180 counts as such), or beyond 80
degrees of latitude, are left to GeographicLib (Karney 2013, doi 10.1007/s00190-012-0578-z), by which PostGIS
measures all rings. Its figures are rounded by up to 1e-5 m2 for each edge, which shows in a pixel; those made
here are not.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from db.errors import UsageError
from db.jit import compiled, read_only

LONGEST_EDGE_M = 1000.0
HIGHEST_LATITUDE = 80.0

SEMI_MAJOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
_ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
_SEMI_MINOR_SQUARED = SEMI_MAJOR_M**2 * (1 - _ECCENTRICITY_SQUARED)

# Gauss-Legendre nodes and weights on 0..1.
_NODE = 0.5 - math.sqrt(0.15)
_OUTER, _INNER = 5 / 18, 8 / 18

_MULTIPOLYGON_WITH_SRID = 0x20000006
_POLYGON = 3
_SRID = 4326
_MULTIPOLYGON_BYTES, _POLYGON_BYTES, _RING_BYTES, _POINT_BYTES = 13, 9, 4, 16


def areas_m2(ewkb: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Geodesic area of each geometry; shells count, holes are taken off, whichever way they run.

    Args:
        ewkb: bytes of the geometries one after the other: MultiPolygons in EPSG:4326, little-endian EWKB.
        offsets: ``(n + 1,)``; geometry i is ``ewkb[offsets[i]:offsets[i + 1]]``.

    Returns:
        ``(n,)`` float64, m2.

    Raises:
        UsageError: bytes that are anything else, or coordinates that are no longitude and latitude.

    """
    areas = np.empty(len(offsets) - 1)
    if len(offsets) and (offsets[0] < 0 or offsets[-1] > len(ewkb) or (np.diff(offsets) < 0).any()):
        raise UsageError(f"offsets of geometries do not ascend within the {len(ewkb)} bytes given")
    foreign = _measure(read_only(ewkb), read_only(offsets), areas)
    if foreign >= 0:
        begun = ewkb[offsets[foreign] : offsets[foreign + 1]][:13].tobytes().hex()
        raise UsageError(
            f"a polygon that begins with {begun} is no MultiPolygon of longitudes and latitudes as "
            "little-endian EWKB with SRID 4326: transform it to EPSG:4326 and encode it so"
        )
    for geometry in np.flatnonzero(np.isnan(areas)):
        areas[geometry] = _area_of_long_edges(ewkb[offsets[geometry] : offsets[geometry + 1]].tobytes())
    return areas


def _area_of_long_edges(ewkb: bytes) -> float:
    geod = pyproj.Geod(ellps="WGS84")
    area_m2 = 0.0
    for polygon in shapely.get_parts(shapely.from_wkb(ewkb)):
        for sign, rings in ((1, [polygon.exterior]), (-1, polygon.interiors)):
            for ring in rings:
                x, y = shapely.get_coordinates(ring).T
                area_m2 += sign * abs(geod.polygon_area_perimeter(x, y)[0])
    return area_m2


@compiled
def _uint32(ewkb: npt.NDArray[np.uint8], at: int) -> int:
    value = 0
    for byte in range(4):
        value |= int(ewkb[at + byte]) << (8 * byte)
    return value


@compiled
def _measure(
    ewkb: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], areas: npt.NDArray[np.float64]
) -> int:
    """Fill ``areas``, NaN where an edge is too long; index of the first foreign geometry, -1 without one."""
    for geometry in range(len(areas)):
        at, end = offsets[geometry], offsets[geometry + 1]
        if end - at < _MULTIPOLYGON_BYTES or ewkb[at] != 1:
            return geometry
        if _uint32(ewkb, at + 1) != _MULTIPOLYGON_WITH_SRID or _uint32(ewkb, at + 5) != _SRID:
            return geometry
        polygons = _uint32(ewkb, at + 9)
        at += _MULTIPOLYGON_BYTES
        area = 0.0
        for _ in range(polygons):
            if end - at < _POLYGON_BYTES or ewkb[at] != 1 or _uint32(ewkb, at + 1) != _POLYGON:
                return geometry
            rings = _uint32(ewkb, at + 5)
            at += _POLYGON_BYTES
            for ring in range(rings):
                if end - at < _RING_BYTES:
                    return geometry
                points = _uint32(ewkb, at)
                at += _RING_BYTES
                if (end - at) // _POINT_BYTES < points:
                    return geometry
                enclosed = _ring_area(ewkb, at, points)
                if enclosed == -1.0:
                    return geometry
                area += enclosed if ring == 0 else -enclosed
                at += points * _POINT_BYTES
        if at != end:
            return geometry
        areas[geometry] = area
    return -1


@compiled
def _ring_area(ewkb: npt.NDArray[np.uint8], at: int, points: int) -> float:
    """Area within a closed ring, m2; NaN when an edge is too long for it, -1 for impossible coordinates."""
    if points == 0:
        return 0.0
    word = np.empty(2, np.uint64)
    degrees = word.view(np.float64)
    to_radians = math.pi / 180
    # All is measured from the first vertex: differences of neighbouring degrees are exact, and areas below
    # a latitude, in full, are 1e13 times a pixel.
    first_lat = sin_first = cos_first = 0.0
    lon_before = lat_before = x_before = below_before = 0.0
    total = 0.0
    is_long = False
    for point in range(points):
        for axis in range(2):
            bits = np.uint64(0)
            for byte in range(8):
                bits |= np.uint64(ewkb[at + byte]) << np.uint64(8 * byte)
            word[axis] = bits
            at += 8
        lon, lat = degrees[0], degrees[1]
        if not (abs(lon) <= 180 and abs(lat) <= 90):
            return -1.0
        if abs(lat) > HIGHEST_LATITUDE:
            is_long = True
        if point == 0:
            first_lat = lat
            sin_first, cos_first = math.sin(lat * to_radians), math.cos(lat * to_radians)
        # x = sin(lat) - sin(first_lat), and the area between the two latitudes per radian of longitude.
        half = (lat - first_lat) * (to_radians / 2)
        sin_half = math.sin(half)
        x = 2 * sin_half * (cos_first * math.cos(half) - sin_first * sin_half)
        below = 0.0
        for node, weight in ((_NODE, _OUTER), (0.5, _INNER), (1 - _NODE, _OUTER)):
            sin_node = sin_first + node * x
            root = 1 - _ECCENTRICITY_SQUARED * sin_node * sin_node
            below += weight / (root * root)
        below *= _SEMI_MINOR_SQUARED * x
        if point > 0:
            east = (lon - lon_before) * to_radians
            sin_mid = sin_first + (x + x_before) / 2
            root = 1 - _ECCENTRICITY_SQUARED * sin_mid * sin_mid
            north_m = (
                (lat - lat_before)
                * to_radians
                * (SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED))
                / (root * math.sqrt(root))
            )
            north_squared = north_m * north_m
            east_squared = east * east * (SEMI_MAJOR_M**2 * (1 - sin_mid * sin_mid) / root)
            if north_squared + east_squared > LONGEST_EDGE_M**2:
                is_long = True
            total += east * ((below + below_before) / 2 + sin_mid * (3 * north_squared + east_squared) / 12)
        lon_before, lat_before, x_before, below_before = lon, lat, x, below
    return math.nan if is_long else abs(total)
