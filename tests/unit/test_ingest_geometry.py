"""Rules for shapes: what is refused with which reason, and what ``--repair`` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from db.errors import UsageError
from ingest.crs import file_crs
from ingest.geometry import Shapes, storable_shapes
from ingest.vectors import FeatureTable

BOW_TIE = "POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))"
GEOD = Geod(ellps="WGS84")


def table(shapes: Sequence[Any], ids: Sequence[int] | None = None) -> FeatureTable:
    held = np.empty(len(shapes), object)
    with np.errstate(invalid="ignore"):
        held[:] = [shapely.from_wkt(shape) if isinstance(shape, str) else shape for shape in shapes]
    numbers = np.arange(1, len(shapes) + 1)
    return FeatureTable("pits.gpkg", "0", None, np.array(ids or numbers), numbers, held, {}, {}, {})


def stored(
    shapes: Sequence[Any], kind: str = "polygons", crs: str = "EPSG:4326", *, repair: bool = False
) -> Shapes:
    return storable_shapes(table(shapes), file_crs(crs, "x"), kind, repair=repair)


GOOD = "POLYGON ((10 10, 11 10, 11 11, 10 10))"


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (None, "has no geometry"),
        ("POLYGON EMPTY", "is empty"),
        (BOW_TIE, r"Self-intersection\[0\.5 0\.5\] \(--repair mends it\)"),
        ("POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (5 5, 6 5, 6 6, 5 5))", "Hole lies outside shell"),
        ("MULTIPOLYGON (((0 0, 2 0, 2 2, 0 0)), ((1 0, 3 0, 3 2, 1 0)))", "Self-intersection"),
        ("POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 0 5))", "has Z values"),
        ("POLYGON M ((0 0 5, 1 0 5, 1 1 5, 0 0 5))", "has M values"),
        ("POINT (1 2)", "is a Point, where polygons are expected"),
        ("LINESTRING (0 0, 1 1)", "is a LineString, where polygons are expected"),
        (f"GEOMETRYCOLLECTION ({GOOD}, POINT (1 1))", "is a GeometryCollection"),
        ("GEOMETRYCOLLECTION (POINT (1 1))", "is a GeometryCollection, where polygons are expected"),
        ("POLYGON ((100 91, 101 91, 101 92, 100 91))", "outside the range of EPSG:4326"),
        ("POLYGON ((500000 4860000, 500100 4860000, 500000 4860100, 500000 4860000))", "outside the range"),
        ("POLYGON ((0 0, 1 0, nan 1, 0 0))", r"outside the range"),
        ("POLYGON ((0 0, 1 0, inf 1, 0 0))", r"outside the range"),
        ("POLYGON ((-179 0, 179 0, 179 1, -179 0))", "180th meridian"),
    ],
)
def test_a_bad_shape_is_refused_with_row_and_reason(shape: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refusal:
        storable_shapes(
            table([GOOD, shape, GOOD], ids=[7, 12, 13]), file_crs("EPSG:4326", "x"), "polygons", repair=False
        )
    assert "pits.gpkg: 1 of 3 features cannot be stored, so none was: row 2 (feature id 12): " in str(
        refusal.value
    )


def test_many_bad_shapes_are_counted_and_some_named() -> None:
    with pytest.raises(UsageError) as refusal:
        stored([GOOD, *[BOW_TIE] * 9])
    assert "9 of 10" in str(refusal.value)
    assert "row 6" in str(refusal.value)
    assert "row 7" not in str(refusal.value)
    assert "and 4 more" in str(refusal.value)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (BOW_TIE, 0.5),
        ("MULTIPOLYGON (((0 0, 2 0, 2 2, 0 2, 0 0)), ((1 0, 3 0, 3 2, 1 2, 1 0)))", 6.0),
        ("POLYGON ((0 0, 4 0, 4 4, 0 4, 0 0), (5 5, 6 5, 6 6, 5 6, 5 5))", 17.0),
        ("POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 1 5, 0 0 5))", 1.0),
        ("POLYGON ZM ((0 0 5 1, 1 0 5 1, 1 1 5 1, 0 1 5 1, 0 0 5 1))", 1.0),
        ("GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0)), POINT (9 9))", 1.0),
        (
            "GEOMETRYCOLLECTION (GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))),"
            " POLYGON ((0 0, 2 0, 2 1, 0 1, 0 0)))",
            2.0,
        ),
    ],
)
def test_repair_keeps_the_polygons_and_counts(shape: str, area: float) -> None:
    result = stored([GOOD, shape], repair=True)
    assert list(result.repaired) == [1]
    mended = result.geometries[1]
    assert mended.geom_type == "MultiPolygon"
    assert mended.is_valid
    assert not mended.has_z
    assert not mended.has_m
    assert mended.area == pytest.approx(area)
    assert result.geometries[0].equals(shapely.from_wkt(GOOD))


@pytest.mark.parametrize(
    ("shape", "kind", "reason"),
    [
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "polygons", "nothing is left"),
        (None, "polygons", "has no geometry"),
        ("POLYGON EMPTY", "polygons", "is empty"),
        ("POINT (1 2)", "polygons", "is a Point"),
        ("LINESTRING (1 1, 1 1)", "lines", "zero length"),
        ("MULTIPOINT (1 1, 2 2)", "points", "MultiPoint of 2 points"),
    ],
)
def test_what_cannot_be_repaired_is_refused_in_any_case(shape: Any, kind: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        stored([shape], kind, repair=True)


def test_curves_are_refused_and_measures_repaired() -> None:
    odd = FeatureTable(
        "x",
        "0",
        None,
        np.array([1]),
        np.array([1]),
        table([GOOD]).geometries,
        {},
        {0: "CurvePolygon (curves and surfaces are not stored)"},
        {},
    )
    for repair in (False, True):
        with pytest.raises(UsageError, match="CurvePolygon"):
            storable_shapes(odd, file_crs("EPSG:4326", "x"), "polygons", repair=repair)


def test_lines_and_points() -> None:
    lines = stored(["LINESTRING (0 0, 1 1)", "MULTILINESTRING ((0 0, 1 0), (2 2, 3 3))"], "lines")
    assert [shape.geom_type for shape in lines.geometries] == ["MultiLineString"] * 2
    for bad in ("LINESTRING (1 1, 1 1)", "MULTILINESTRING ((1 1, 1 1))"):
        with pytest.raises(UsageError, match=r"zero length|Too few points"):
            stored([bad], "lines")
    partly = stored(["MULTILINESTRING ((0 0, 3 4), (1 1, 1 1))"], "lines", repair=True)
    assert partly.geometries[0].length == 5
    points = stored(["POINT (1 2)", "MULTIPOINT (3 4)"], "points")
    assert [shape.geom_type for shape in points.geometries] == ["Point", "Point"]


def test_other_reference_systems_are_transformed_east_first() -> None:
    to_swiss = Transformer.from_crs(4326, 2056, always_xy=True)
    corners = [(7.0, 46.5), (7.1, 46.5), (7.1, 46.6), (7.0, 46.6)]
    drawn = shapely.Polygon([to_swiss.transform(*corner) for corner in corners])
    shape = stored([drawn], crs="EPSG:2056").geometries[0]
    assert shape.bounds == pytest.approx((7.0, 46.5, 7.1, 46.6), abs=2e-4)
    swapped = shapely.transform(drawn, lambda xy: xy[:, ::-1])
    with pytest.raises(UsageError, match="swapped"):
        stored([swapped], crs="EPSG:2056")
    # The same ground in a system whose official order is north first (EPSG:4490).
    chinese = shapely.box(86.0, 43.9, 86.1, 44.0)
    assert stored([chinese], crs="EPSG:4490").geometries[0].bounds == pytest.approx((86.0, 43.9, 86.1, 44.0))


def test_long_edges_stay_where_they_were_drawn() -> None:
    """A licence area of 60 km: without vertices in between its northern edge would sag by tens of metres."""
    box = shapely.box(300000, 5000000, 360000, 5060000)
    shape = stored([box], crs="EPSG:32645").geometries[0]
    to_utm = Transformer.from_crs(4326, 32645, always_xy=True)
    back = shapely.transform(shape.segmentize(0.002), lambda xy: np.column_stack(to_utm.transform(*xy.T)))
    assert back.hausdorff_distance(box) < 0.05
    area, _ = GEOD.geometry_area_perimeter(shape)
    # Area in the plane over the square of its scale, at the middle of the box.
    assert abs(area) == pytest.approx(box.area / 0.9998**2, rel=2e-3)


def test_a_million_vertices_are_stored() -> None:
    angle = np.linspace(0, 2 * np.pi, 1_000_001)[:-1]
    ring = np.column_stack([86 + np.cos(angle), 44 + np.sin(angle)])
    shape = stored([shapely.Polygon(ring)]).geometries[0]
    assert shapely.get_num_coordinates(shape) == 1_000_001


def test_too_many_vertices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.geometry.MAX_VERTICES", 100)
    with pytest.raises(UsageError, match="more than 100 vertices"):
        stored([shapely.Point(0, 0).buffer(1, quad_segs=50)])


coordinate = st.floats(-2, 2, allow_nan=False).map(lambda value: round(value, 3))


@settings(max_examples=300, deadline=None)
@given(
    ring=st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12),
    crs=st.sampled_from(["EPSG:4326", "EPSG:32631"]),
)
def test_any_ring_is_stored_valid_or_refused(ring: list[tuple[float, float]], crs: str) -> None:
    scale = 1.0 if crs == "EPSG:4326" else 3000.0
    shift = 0.0 if crs == "EPSG:4326" else 500000.0
    drawn = shapely.Polygon([(x * scale + shift, y * scale + shift) for x, y in ring])
    for repair in (False, True):
        try:
            result = stored([drawn], crs=crs, repair=repair)
        except UsageError:
            assert repair is False or shapely.make_valid(drawn).area < 1e-3 * scale * scale
            continue
        shape = result.geometries[0]
        assert shape.is_valid
        assert shape.geom_type == "MultiPolygon"
        assert shape.area > 0
        assert drawn.is_valid or repair
        assert bool(result.repaired) == (not drawn.is_valid) or crs != "EPSG:4326"
