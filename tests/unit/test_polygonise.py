"""Polygons of a class map: valid, exact, and fitting each other vertex by vertex."""

import subprocess
import sys
import textwrap
from collections import Counter

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inference.polygonise import NOT_OBSERVED, Patches, Polygons, label_components, polygonise

ORIGIN_X, ORIGIN_Y = 500_000.0, 5_600_000.0
RESOLUTION_X, RESOLUTION_Y = 10.0, 5.0
MAX_SEGMENT_M = 30.0

small_maps = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=11),
    elements=st.sampled_from([0, 1, 2, NOT_OBSERVED]),
)
# Two classes only: many corners where a region meets itself.
checkered_maps = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([3, NOT_OBSERVED])
)
maps = st.one_of(small_maps, checkered_maps)


def draw(drawing: str) -> np.ndarray:
    """A class map drawn as text: a digit is a class, a point was not observed."""
    lines = textwrap.dedent(drawing).strip("\n").splitlines()
    return np.array(
        [[NOT_OBSERVED if cell == "." else int(cell) for cell in line] for line in lines], np.uint8
    )


def patches_of(class_map: np.ndarray, *, max_segment_m: float = MAX_SEGMENT_M, **options) -> Patches:
    return polygonise(
        class_map,
        origin_x=ORIGIN_X,
        origin_y=ORIGIN_Y,
        resolution_x=RESOLUTION_X,
        resolution_y=RESOLUTION_Y,
        max_segment_m=max_segment_m,
        **options,
    )


def grid_corners(polygons: Polygons) -> list[list[list[tuple[int, int]]]]:
    """Rings of each polygon as (row, col) of pixel corners."""
    rows = np.rint((ORIGIN_Y - polygons.coords[:, 1]) / RESOLUTION_Y).astype(int)
    cols = np.rint((polygons.coords[:, 0] - ORIGIN_X) / RESOLUTION_X).astype(int)
    corners = list(zip(rows.tolist(), cols.tolist(), strict=True))
    ends, rings = polygons.ring_offsets, polygons.polygon_offsets
    return [
        [corners[ends[ring] : ends[ring + 1]] for ring in range(rings[i], rings[i + 1])]
        for i in range(len(polygons))
    ]


def segments(polygons: Polygons) -> Counter:
    """Directed segments of all rings, as pairs of vertex indices."""
    begins = np.delete(polygons.vertex, polygons.ring_offsets[1:] - 1)
    ends = np.delete(polygons.vertex, polygons.ring_offsets[:-1])
    return Counter(zip(begins.tolist(), ends.tolist(), strict=True))


def check_everything(class_map: np.ndarray) -> None:
    patches = patches_of(class_map)
    shapes, observed = patches.polygons.to_shapely(), patches.observation.to_shapely()
    assert shapely.is_valid(shapes).all()
    assert shapely.is_valid(observed).all()
    np.testing.assert_array_equal(shapely.area(shapes), patches.pixel_count * RESOLUTION_X * RESOLUTION_Y)
    check_orientation(patches.polygons)
    check_orientation(patches.observation)

    # Painted back they give the map, patch by patch and as a whole.
    transform = Affine(RESOLUTION_X, 0.0, ORIGIN_X, 0.0, -RESOLUTION_Y, ORIGIN_Y)
    labels = label_components(class_map).labels
    if len(patches):
        options = {"out_shape": class_map.shape, "transform": transform, "dtype": "int32"}
        painted = rasterio.features.rasterize(zip(shapes, range(1, len(patches) + 1), strict=True), **options)
        np.testing.assert_array_equal(painted, labels)
        painted = rasterio.features.rasterize(observed, **options)
        np.testing.assert_array_equal(painted, class_map != NOT_OBSERVED)
    codes = np.concatenate(([NOT_OBSERVED], patches.class_code))
    np.testing.assert_array_equal(codes[labels], class_map)

    # No overlap: the union is as large as the sum, and is what was observed.
    union = shapely.union_all(shapes)
    observed_area = (class_map != NOT_OBSERVED).sum() * RESOLUTION_X * RESOLUTION_Y
    assert union.area == pytest.approx(observed_area)
    assert shapely.area(observed).sum() == pytest.approx(observed_area)

    # Each segment has the same segment backwards in one neighbour, or is the observation's own outline.
    ours, outline = segments(patches.polygons), segments(patches.observation)
    assert all(times == 1 for times in (ours | outline).values())
    assert {pair for pair in ours if pair[::-1] not in ours} == set(outline)

    # Vertices: exactly those the rule asks for, and no segment is too long.
    used = {corner for rings in grid_corners(patches.polygons) for ring in rings for corner in ring}
    assert used == expected_vertices(labels)
    assert len(patches.polygons.vertices) == len(used)
    for begin, end in ours:
        reach = np.abs(patches.polygons.vertices[begin] - patches.polygons.vertices[end])
        assert reach.min() == 0
        assert 0 < reach.max() <= MAX_SEGMENT_M


def check_orientation(polygons: Polygons) -> None:
    """Shells counter-clockwise, holes clockwise, and no ring passes a vertex twice."""
    for polygon, corners in zip(polygons.to_shapely(), grid_corners(polygons), strict=True):
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
        assert len(polygon.interiors) == len(corners) - 1
        for ring in corners:
            assert len(set(ring)) == len(ring) - 1


def expected_vertices(labels: np.ndarray) -> set[tuple[int, int]]:
    """Corners of pixels that must be vertices, from the four pixels around each."""
    split_rows, split_cols = int(MAX_SEGMENT_M / RESOLUTION_Y), int(MAX_SEGMENT_M / RESOLUTION_X)
    padded = np.pad(labels, 1)
    expected = set()
    for row, col in np.ndindex(labels.shape[0] + 1, labels.shape[1] + 1):
        around = padded[row : row + 2, col : col + 2]
        across, along = (around[0] != around[1]).all(), (around[:, 0] != around[:, 1]).all()
        straight_east = across and around[0, 0] == around[0, 1] and around[1, 0] == around[1, 1]
        straight_south = along and around[0, 0] == around[1, 0] and around[0, 1] == around[1, 1]
        if straight_east:
            is_vertex = col % split_cols == 0
        elif straight_south:
            is_vertex = row % split_rows == 0
        else:
            is_vertex = len(np.unique(around)) > 1
        if is_vertex:
            expected.add((row, col))
    return expected


@settings(deadline=None, max_examples=300)
@given(maps)
def test_polygons_of_any_map_fit_and_cover_it(class_map):
    check_everything(class_map)


def spiral(side: int) -> np.ndarray:
    """One class winding inwards, its gap the other; both are one patch."""
    path = np.zeros((side, side), np.uint8)
    row, col, step = 0, 0, (0, 1)
    path[0, 0] = 1
    for length in [side - 1, *(n for pair in range(side - 1, 0, -2) for n in (pair, pair))]:
        for _ in range(length):
            row, col = row + step[0], col + step[1]
            path[row, col] = 1
        step = (step[1], -step[0])
    return path


@pytest.mark.parametrize(
    "class_map",
    [
        np.indices((8, 9)).sum(axis=0).astype(np.uint8) % 2,
        np.where(np.indices((8, 9)).sum(axis=0) % 2, 4, NOT_OBSERVED).astype(np.uint8),
        spiral(17),
        np.minimum.reduce([*np.indices((13, 13)), *(12 - np.indices((13, 13)))]).astype(np.uint8),
        np.full((1, 1), 7, np.uint8),
        np.full((23, 19), 6, np.uint8),
        np.array([[0, 1, 1, 255, 2, 0, 0, 0, 0, 0]], np.uint8),
        np.array([[0, 1, 1, 255, 2, 0, 0, 0, 0, 0]], np.uint8).T,
        np.arange(255, dtype=np.uint8).reshape(15, 17),
    ],
    ids=["checkers", "gaps", "spiral", "nested", "pixel", "one class", "row", "column", "all codes"],
)
def test_awkward_maps(class_map):
    check_everything(class_map)


def test_nothing_observed_gives_nothing():
    patches = patches_of(np.full((5, 7), NOT_OBSERVED, np.uint8))
    assert len(patches) == 0
    assert len(patches.observation) == 0
    assert patches.polygons.to_shapely().tolist() == []


def test_rings_of_a_drawn_map():
    patches = patches_of(
        draw("""
            1112
            1012
            111.
        """),
        max_segment_m=1000.0,
    )
    assert patches.class_code.tolist() == [1, 2, 0]
    assert patches.pixel_count.tolist() == [8, 2, 1]
    assert grid_corners(patches.polygons) == [
        [[(0, 0), (3, 0), (3, 3), (2, 3), (0, 3), (0, 0)], [(1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]],
        [[(0, 3), (2, 3), (2, 4), (0, 4), (0, 3)]],
        [[(1, 1), (2, 1), (2, 2), (1, 2), (1, 1)]],
    ]
    # The observation turns at (2, 3) and passes the corner where the patches meet on its outline.
    assert grid_corners(patches.observation) == [
        [[(0, 0), (3, 0), (3, 3), (2, 3), (2, 4), (0, 4), (0, 3), (0, 0)]]
    ]


def test_long_outlines_are_split_at_fixed_rows_and_columns():
    patches = patches_of(np.zeros((9, 4), np.uint8), max_segment_m=20.0)
    (ring,) = grid_corners(patches.polygons)[0]
    # 20 m are two columns of 10 m and four rows of 5 m.
    assert ring == [(0, 0), (4, 0), (8, 0), (9, 0), (9, 2), (9, 4), (8, 4), (4, 4), (0, 4), (0, 2), (0, 0)]


def test_region_touching_itself_at_a_corner_has_a_hole_of_its_own():
    patches = patches_of(
        draw("""
            .111
            1.11
            1111
        """)
    )
    (shape,) = patches.polygons.to_shapely()
    assert shape.is_valid
    assert [len(hole.coords) for hole in shape.interiors] == [5]
    assert shape.interiors[0].intersection(shape.exterior) == shapely.Point(ORIGIN_X + 10, ORIGIN_Y - 5)


def test_patches_of_a_class_that_meet_at_a_corner_stay_two():
    patches = patches_of(
        draw("""
            12
            21
        """)
    )
    assert patches.class_code.tolist() == [1, 2, 2, 1]
    assert len(patches.observation) == 1


def test_confidence_is_averaged_over_each_patch():
    class_map = draw("""
        11.
        122
    """)
    confidence = np.array([[10, 20, 250], [60, 7, 8]], np.uint8)
    assert patches_of(class_map, confidence=confidence).mean_confidence.tolist() == [30.0, 7.5]
    scaled = (confidence / np.float32(256)).astype(np.float32)
    assert patches_of(class_map, confidence=scaled).mean_confidence.tolist() == [30 / 256, 7.5 / 256]
    assert np.isnan(patches_of(class_map).mean_confidence).all()


def test_same_map_gives_the_same_bytes_however_it_is_stored(tmp_path):
    class_map = np.random.default_rng(3).integers(0, 4, (60, 50)).astype(np.uint8)
    stored = np.memmap(tmp_path / "classes", np.uint8, "w+", shape=class_map.shape)
    stored[:] = class_map
    first = patches_of(class_map).polygons.to_ewkb(32633).buffer.tobytes()
    for same in (class_map.copy(), np.asfortranarray(class_map), stored):
        assert patches_of(same).polygons.to_ewkb(32633).buffer.tobytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_map": np.zeros((2, 2), np.int16)}, "uint8, got int16"),
        ({"class_map": np.zeros((2, 2, 1), np.uint8)}, r"\(2, 2, 1\)"),
        ({"class_map": np.zeros((0, 2), np.uint8)}, "non-empty"),
        ({"resolution_y": -10.0}, "positive"),
        ({"max_segment_m": 9.0}, "shorter than a pixel"),
        ({"max_segment_m": float("nan")}, "shorter than a pixel"),
        ({"confidence": np.zeros((3, 2), np.uint8)}, r"got uint8 of \(3, 2\)"),
        ({"confidence": np.zeros((2, 2), np.float64)}, "got float64"),
    ],
)
def test_wrong_input_is_refused(change, message):
    arguments = {
        "class_map": np.zeros((2, 2), np.uint8),
        "origin_x": 0.0,
        "origin_y": 0.0,
        "resolution_x": 10.0,
        "resolution_y": 10.0,
    }
    with pytest.raises(ValueError, match=message):
        polygonise(**(arguments | change))


def test_too_many_patches_to_number_are_refused(monkeypatch):
    monkeypatch.setattr("inference.polygonise.runs.MAX_INDEX", 3)
    with pytest.raises(ValueError, match="4 runs"):
        patches_of(draw("0101"))
    monkeypatch.undo()
    monkeypatch.setattr("inference.polygonise.graph.MAX_INDEX", 9)
    with pytest.raises(ValueError, match="10 vertices"):
        patches_of(draw("0101"))


def test_runs_where_numba_can_keep_no_cache():
    code = (
        "import numpy as np; from inference.polygonise import label_components; "
        "print(label_components(np.zeros((1, 2), np.uint8)).labels.tolist())"
    )
    # The locator named takes NUMBA_CACHE_DIR only, which is not set: numba then finds no place.
    environment = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "[[1, 1]]\n", done.stderr
