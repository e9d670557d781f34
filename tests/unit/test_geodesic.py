"""Area on the ellipsoid, against GeographicLib and against sums of parts."""

from __future__ import annotations

import math
import struct

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from db.errors import UsageError
from db.geodesic import LONGEST_EDGE_M, areas_m2
from inference.polygonise import polygonise

GEOD = pyproj.Geod(ellps="WGS84")

GEOGRAPHICLIB_EDGE_M2 = 1e-5
"""What GeographicLib's rounding may come to, for each edge; it works with areas down to the equator."""

INTEGRATED = [
    ([(10, 0), (10.00002, -0.00001), (10.00001, 0.00001), (10, 0)], 1.84636081182435),
    ([(86.5, 43.85), (86.51, 43.8525), (86.505, 43.852), (86.5, 43.85)], 33496.037347429665),
    ([(25, 70), (25.012, 70.007), (25.003, 70.0035), (25, 70)], 44707.32072972727),
    ([(-70, -33), (-69.992, -32.996), (-69.9955, -32.998), (-70, -33)], 10360.109593777941),
]
"""Triangles with edges of 2 to 900 m and their areas in m2, integrated along their edges with 30 digits: the
equations of the geodesic by Runge-Kutta in 20 steps for each edge, whose azimuth and length Newton found."""


def ewkb(geometry: shapely.Geometry, srid: int = 4326) -> bytes:
    return shapely.to_wkb(shapely.set_srid(geometry, srid), include_srid=True, byte_order=1)


def areas(*geometries: bytes) -> list[float]:
    joined = np.frombuffer(b"".join(geometries), np.uint8)
    return areas_m2(joined, np.cumsum([0, *map(len, geometries)])).tolist()


def area(*polygons: Polygon) -> float:
    return areas(ewkb(MultiPolygon(polygons)))[0]


def enclosed(ring: list[tuple[float, float]]) -> float:
    """Area within a ring, by GeographicLib."""
    x, y = zip(*ring, strict=True)
    return abs(GEOD.polygon_area_perimeter(x, y)[0])


def star(lon: float, lat: float, radii_m: list[float]) -> list[tuple[float, float]]:
    """A ring around a point, one vertex in each direction."""
    azimuths = np.arange(len(radii_m)) * 360 / len(radii_m)
    n = np.ones(len(radii_m))
    x, y, _ = GEOD.fwd(lon * n, lat * n, azimuths, radii_m)
    return [*zip(x.tolist(), y.tolist(), strict=True), (float(x[0]), float(y[0]))]


centres = st.tuples(st.floats(-180, 180), st.floats(-79.9, 79.9))
scales = st.sampled_from([5.0, 50.0, 490.0])
shares = st.lists(st.floats(0.1, 1.0), min_size=3, max_size=30)


@pytest.mark.parametrize(("ring", "integrated_m2"), INTEGRATED)
def test_against_integrated_geodesics(ring, integrated_m2):
    assert area(Polygon(ring)) == pytest.approx(integrated_m2, rel=1e-11)
    assert enclosed(ring) == pytest.approx(integrated_m2, abs=3 * GEOGRAPHICLIB_EDGE_M2)


@given(centres, scales, shares)
def test_short_edges(centre, scale, shares):
    ring = star(*centre, [share * scale for share in shares])
    expected = enclosed(ring)
    assert area(Polygon(ring)) == pytest.approx(expected, rel=1e-9, abs=GEOGRAPHICLIB_EDGE_M2 * len(ring))


@given(centres, shares, shares)
def test_a_hole_is_taken_off_and_parts_add_up(centre, outer, inner):
    lon, lat = centre
    shell = star(lon, lat, [400 + 90 * share for share in outer])
    # The inscribed triangle of the shell's least circle has a radius of 200 m.
    hole = star(lon, lat, [190 * share for share in inner])
    aside = star(lon, lat + 0.02 if lat < 0 else lat - 0.02, [100 * share for share in outer])
    whole = area(Polygon(shell, [hole[::-1]]), Polygon(aside))
    edges = len(shell) + len(hole) + len(aside)
    expected = enclosed(shell) - enclosed(hole) + enclosed(aside)
    assert whole == pytest.approx(expected, rel=1e-9, abs=GEOGRAPHICLIB_EDGE_M2 * edges)
    assert area(Polygon(shell[::-1], [hole]), Polygon(aside)) == pytest.approx(whole, rel=1e-12)


@given(st.floats(-79, 79), st.floats(0, 90), st.floats(0.5, 0.99))
def test_the_bow_of_an_edge_counts(lat, azimuth, share):
    # A sliver between an edge and ten pieces of the straight line of longitude and latitude between its ends:
    # nothing but the bow.
    lon, end, _ = GEOD.fwd(10, lat, azimuth, share * LONGEST_EDGE_M)
    steps = np.linspace(0, 1, 11)
    line = [(10 + (lon - 10) * t, lat + (end - lat) * t) for t in steps.tolist()]
    edges_m2 = GEOGRAPHICLIB_EDGE_M2 * 12
    assert area(Polygon([*line, line[0]])) == pytest.approx(
        enclosed([*line, line[0]]), rel=1e-6, abs=edges_m2
    )


def test_long_edges_poles_and_the_antimeridian():
    boxes = [box(80, 40, 90, 45), box(-0.02, -0.02, 0.02, 0.02), box(10, 84.999, 10.01, 85)]
    for found, geometry in zip(areas(*(ewkb(MultiPolygon([b])) for b in boxes)), boxes, strict=True):
        assert found == enclosed(list(geometry.exterior.coords))
    around_the_pole = [(lon, 89.999) for lon in (0.0, 90.0, 180.0, -90.0, 0.0)]
    assert area(Polygon(around_the_pole)) == enclosed(around_the_pole)
    across = [(179.998, 43.0), (-179.998, 43.0), (-179.998, 43.001), (179.998, 43.001), (179.998, 43.0)]
    assert area(Polygon(across)) == pytest.approx(area(box(86.998, 43.0, 87.002, 43.001)), rel=1e-9)
    assert area(Polygon(across)) == pytest.approx(enclosed(across), rel=1e-9)


def test_pixels_add_up_to_what_they_cover():
    # Eight classes of single pixels of 2 m: rounding that GeographicLib puts into each would show.
    noise = np.random.default_rng(3).integers(0, 8, (200, 200)).astype(np.uint8)
    patches = polygonise(
        noise, origin_x=600_000.0, origin_y=4_860_000.0, resolution_x=2.0, resolution_y=2.0
    ).to_wgs84(32645)
    parts = patches.polygons.to_ewkb(4326)
    whole = patches.observation.to_ewkb(4326)
    found = areas_m2(parts.buffer, parts.offsets)
    assert len(found) > 20_000
    assert math.fsum(found) == pytest.approx(areas_m2(whole.buffer, whole.offsets)[0], rel=1e-11)
    per_pixel = found / patches.pixel_count
    # The scale of the projection changes by 1e-6 over 400 m.
    assert per_pixel == pytest.approx(np.full(len(found), per_pixel.mean()), rel=5e-6)


def test_nothing_has_no_area():
    assert area() == 0.0
    assert areas() == []


SQUARE = MultiPolygon([box(0, 0, 1, 1)])


def square_with(ordinate: float) -> bytes:
    """The square's bytes with another ordinate: latitude of the second point."""
    return ewkb(SQUARE)[:50] + struct.pack("<d", ordinate) + ewkb(SQUARE)[58:]


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        ewkb(SQUARE, srid=32645),
        ewkb(box(0, 0, 1, 1)),
        shapely.to_wkb(SQUARE, byte_order=1),
        shapely.to_wkb(shapely.set_srid(SQUARE, 4326), include_srid=True, byte_order=0),
        ewkb(shapely.force_3d(SQUARE)),
        ewkb(SQUARE) + b"\0",
        *(ewkb(SQUARE)[:end] for end in (12, 13, 21, 24, 25, 26, 57, 105)),
        ewkb(MultiPolygon([box(500_000, 4_860_000, 500_002, 4_860_002)])),
        square_with(91.0),
        square_with(math.nan),
        square_with(-math.inf),
    ],
)
def test_anything_else_is_refused(foreign):
    begun = foreign[:13].hex()
    with pytest.raises(UsageError, match=f"begins with {begun} is no MultiPolygon of longitudes and"):
        areas(ewkb(SQUARE), foreign)


def test_an_ordinate_can_be_changed():
    assert shapely.get_coordinates(shapely.from_wkb(square_with(7.5)))[1].tolist() == [1.0, 7.5]
    assert areas(square_with(7.5))[0] > areas(ewkb(SQUARE))[0]


def test_offsets_stay_within_the_bytes():
    whole = np.frombuffer(ewkb(SQUARE), np.uint8)
    for offsets in ([0, len(whole) + 1], [-1, len(whole)], [0, len(whole), 0]):
        with pytest.raises(UsageError, match="offsets of geometries"):
            areas_m2(whole, np.array(offsets))
