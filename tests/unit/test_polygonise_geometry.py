"""Patches on their way to the database: WGS 84 and EWKB."""

import numpy as np
import pyproj
import pytest
import shapely
from scipy import ndimage

from db.errors import UsageError
from inference.polygonise import NOT_OBSERVED, Patches, polygonise, to_wgs84

UTM_45N = 32645


def scene(max_segment_m: float = 500.0) -> Patches:
    """6 x 5 km of eight smooth classes at 10 m with a collar and a cloud, at the edge of its UTM zone."""
    rng = np.random.default_rng(5)
    fields = [ndimage.gaussian_filter(rng.standard_normal((600, 500)), 6) for _ in range(8)]
    class_map = np.argmax(fields, axis=0).astype(np.uint8)
    class_map[ndimage.rotate(np.ones((520, 420)), 20, order=0)[:600, :500] == 0] = NOT_OBSERVED
    class_map[200:230, 250:330] = NOT_OBSERVED
    return polygonise(
        class_map,
        origin_x=730_000.0,
        origin_y=4_860_000.0,
        resolution_x=10.0,
        resolution_y=10.0,
        max_segment_m=max_segment_m,
    )


@pytest.fixture(scope="module")
def patches() -> Patches:
    return scene()


def geodesic_area_m2(shapes) -> float:
    geod = pyproj.Geod(ellps="WGS84")
    return sum(geod.geometry_area_perimeter(shape)[0] for shape in shapes)


def test_patches_still_fit_after_the_transformation(patches):
    moved = patches.to_wgs84(UTM_45N)
    shapes, observed = moved.polygons.to_shapely(), moved.observation.to_shapely()
    assert len(shapes) > 300
    assert shapely.is_valid(shapes).all()
    assert shapely.is_valid(observed).all()
    assert shapely.coverage_is_valid(shapes)
    assert geodesic_area_m2(shapes) == pytest.approx(geodesic_area_m2(observed), rel=1e-9)
    union = shapely.coverage_union_all(shapes)
    assert shapely.equals(shapely.normalize(union), shapely.normalize(shapely.union_all(observed)))


def test_segments_are_short_enough_for_the_area_on_the_ellipsoid(patches):
    coarse = geodesic_area_m2(patches.to_wgs84(UTM_45N).observation.to_shapely())
    fine = geodesic_area_m2(scene(max_segment_m=10.0).to_wgs84(UTM_45N).observation.to_shapely())
    assert coarse == pytest.approx(fine, rel=1e-6)
    # The scale factor of UTM 2.8 degrees from its meridian, squared, is about 1.0005.
    planar = shapely.area(patches.observation.to_shapely()).sum()
    assert planar / coarse == pytest.approx(1.0005, abs=2e-4)


def test_transformation_is_that_of_pyproj():
    vertices = np.array([[730_000.0, 4_860_000.0], [500_000.0, 0.0]])
    transformer = pyproj.Transformer.from_crs(UTM_45N, 4326, always_xy=True)
    moved = to_wgs84(vertices, UTM_45N)
    assert moved.tolist() == [list(transformer.transform(x, y)) for x, y in vertices]
    assert moved[1] == pytest.approx([87.0, 0.0], abs=1e-12)  # the zone's meridian and the equator
    assert to_wgs84(vertices, 4326) is vertices


def test_transformation_in_threads_is_that_of_one():
    rng = np.random.default_rng(2)
    vertices = np.column_stack((rng.uniform(4e5, 6e5, 450_001), rng.uniform(4.8e6, 4.9e6, 450_001)))
    transformer = pyproj.Transformer.from_crs(UTM_45N, 4326, always_xy=True)
    expected = np.column_stack(transformer.transform(vertices[:, 0], vertices[:, 1]))
    assert np.array_equal(to_wgs84(vertices, UTM_45N), expected)


def test_what_cannot_be_transformed_is_refused():
    with pytest.raises(UsageError, match=r"EPSG:32645 \(1e\+30, 0.0\)"):
        to_wgs84(np.array([[500_000.0, 0.0], [1e30, 0.0]]), UTM_45N)


def test_ewkb_is_that_of_shapely(patches):
    moved = patches.to_wgs84(UTM_45N).polygons
    ours = moved.to_ewkb(4326)
    multi = shapely.set_srid(shapely.multipolygons(moved.to_shapely()[:, None]), 4326)
    expected = shapely.to_wkb(multi, include_srid=True, byte_order=1).tolist()
    assert len(ours) == len(patches)
    assert ours.to_list() == expected


@pytest.mark.parametrize("part", [slice(0, 7), slice(7, 100), slice(100, None), slice(3, 3), slice(9, 2)])
def test_part_of_the_polygons(patches, part):
    some = patches.polygons[part]
    assert some.to_ewkb(UTM_45N).to_list() == patches.polygons.to_ewkb(UTM_45N).to_list()[part]
    assert shapely.equals(some.to_shapely(), patches.polygons.to_shapely()[part]).all()


def test_every_other_polygon_is_refused(patches):
    with pytest.raises(ValueError, match="a step of 2"):
        patches.polygons[::2]


def test_observation_as_one_geometry(patches):
    (ours,) = patches.observation.to_ewkb(UTM_45N, as_one=True).to_list()
    multi = shapely.set_srid(shapely.multipolygons(patches.observation.to_shapely()), UTM_45N)
    assert ours == shapely.to_wkb(multi, include_srid=True, byte_order=1)
    assert shapely.from_wkb(ours).is_valid


def test_nothing_is_an_empty_multipolygon():
    nothing = polygonise(
        np.full((3, 3), NOT_OBSERVED, np.uint8),
        origin_x=0.0,
        origin_y=0.0,
        resolution_x=1.0,
        resolution_y=1.0,
    ).to_wgs84(UTM_45N)
    assert nothing.polygons.to_ewkb(4326).to_list() == []
    (empty,) = nothing.observation.to_ewkb(4326, as_one=True).to_list()
    assert shapely.to_wkt(shapely.from_wkb(empty)) == "MULTIPOLYGON EMPTY"
    assert shapely.get_srid(shapely.from_wkb(empty)) == 4326
