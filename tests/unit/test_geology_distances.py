"""Distances, lengths and counts at the cells of a grid, against shapely and sums over all edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from db.raster import Grid
from inference.geology.distances import (
    count_within,
    distance_to_edges,
    edges_of,
    intersections,
    is_inside,
    length_within,
)


def grid_of(width: int, height: int, *, step_x: float = 30.0, step_y: float = 20.0) -> Grid:
    """Oblong cells, so that mixed-up axes show."""
    return Grid(32645, 500_000.0, 4_860_000.0, step_x, step_y, width, height)


def centres(grid: Grid) -> tuple[Any, Any]:
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    return np.meshgrid(x, y)


def walk(random: np.random.Generator, grid: Grid, vertices: int, step: float) -> shapely.Geometry:
    """A random line that begins in the grid or up to half of its size beside it."""
    size = np.array([grid.width_px * grid.resolution_x, -grid.height_px * grid.resolution_y])
    start = np.array([grid.origin_x, grid.origin_y]) + random.uniform(-0.5, 1.5, 2) * size
    return shapely.LineString(start + np.cumsum(random.normal(0, step, (vertices, 2)), axis=0))


def lengths_by_quadratics(grid: Grid, edges: Any, radius: float) -> Any:
    """Sum over all edges of what a circle around each centre cuts out: roots of |a + t d - c|2 = r2."""
    x, y = centres(grid)
    total = np.zeros(x.shape)
    for ax, ay, bx, by in edges:
        dx, dy = bx - ax, by - ay
        a = dx * dx + dy * dy
        b = 2 * (dx * (ax - x) + dy * (ay - y))
        c = (ax - x) ** 2 + (ay - y) ** 2 - radius**2
        root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
        first, last = np.clip((-b - root) / (2 * a), 0, 1), np.clip((-b + root) / (2 * a), 0, 1)
        total += np.where(b * b > 4 * a * c, (last - first) * np.sqrt(a), 0)
    return total


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 1), (1, 7), (61, 47), (130, 20)])
@pytest.mark.parametrize("lines", [1, 12])
def test_the_distance_is_that_of_shapely(width: int, height: int, lines: int) -> None:
    random = np.random.default_rng(width + lines)
    grid = grid_of(width, height)
    drawn = [walk(random, grid, 15, 80) for _ in range(lines)]
    expected = shapely.distance(shapely.union_all(drawn), shapely.points(*centres(grid)))
    np.testing.assert_allclose(distance_to_edges(grid, edges_of(drawn)), expected, rtol=0, atol=1e-7)


coordinate = st.one_of(
    st.integers(-8, 40).map(lambda n: 10.0 * n), st.floats(-200, 500).map(lambda number: round(number, 9))
)
corners = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=6)


@given(drawn=st.lists(corners, min_size=1, max_size=5), width=st.integers(1, 20), height=st.integers(1, 20))
@settings(max_examples=150)
def test_the_distance_is_exact_for_any_lines(drawn: list[Any], width: int, height: int) -> None:
    """Edges on the centres, beyond the grid, on top of each other, of no length, of a nanometre."""
    grid = Grid(32645, 0.0, 300.0, 20.0, 20.0, width, height)
    edges = edges_of([shapely.LineString(line) for line in drawn])
    if not len(edges):
        return
    segments = shapely.linestrings(edges.reshape(-1, 2, 2))
    expected = shapely.distance(segments[:, None, None], shapely.points(*centres(grid))).min(axis=0)
    np.testing.assert_allclose(distance_to_edges(grid, edges), expected, rtol=0, atol=1e-9)


@given(
    drawn=st.lists(corners, min_size=1, max_size=4),
    radius=st.floats(5, 400),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
)
@settings(max_examples=150)
def test_the_length_within_is_exact_for_any_lines(
    drawn: list[Any], radius: float, width: int, height: int
) -> None:
    grid = Grid(32645, 0.0, 300.0, 20.0, 20.0, width, height)
    edges = edges_of([shapely.LineString(line) for line in drawn])
    edges = edges[
        np.hypot(edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1]) > 1e-6
    ]  # the sum's own limits
    expected = lengths_by_quadratics(grid, edges, radius)
    # A chord near the circle's edge has the root of its sagitta: half the digits.
    np.testing.assert_allclose(length_within(grid, edges, radius), expected, rtol=0, atol=2e-3)
    assert np.abs(length_within(grid, edges, radius) - expected).mean() < 1e-4


def test_the_length_within_of_a_whole_network() -> None:
    random = np.random.default_rng(5)
    grid = grid_of(60, 70)
    edges = edges_of([walk(random, grid, 40, 40) for _ in range(8)])
    got = length_within(grid, edges, 350)
    np.testing.assert_allclose(got, lengths_by_quadratics(grid, edges, 350), rtol=0, atol=1e-5)
    assert (got == 0).any()
    assert got.max() > 1000


def test_a_straight_fault_beyond_the_edge_is_a_chord() -> None:
    """By hand: a line 300 m east of the last column's centres, circles of 500 m: a chord of 800 m."""
    grid = grid_of(4, 1, step_x=100, step_y=100)
    x = grid.origin_x + 350 + 300
    edges = edges_of([shapely.LineString([(x, grid.origin_y - 5000), (x, grid.origin_y + 5000)])])
    assert length_within(grid, edges, 500).tolist() == [[0.0, 0.0, 600.0, 800.0]]
    assert distance_to_edges(grid, edges).tolist() == [[600.0, 500.0, 400.0, 300.0]]


def test_edges_are_those_of_all_rings_and_parts_once() -> None:
    left = shapely.Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (2, 1), (1, 2)]])
    right = shapely.MultiPolygon([shapely.box(4, 0, 8, 4), shapely.box(20, 0, 21, 1)])
    assert len(edges_of([left])) == 7
    assert len(edges_of([left, right])) == 7 + 4 + 4 - 1  # the border is one
    line = shapely.LineString([(0, 0), (1, 0), (1, 0), (1, 1)])
    assert len(edges_of([line, shapely.reverse(line)])) == 2


def test_inside_is_inside_and_holes_are_not() -> None:
    random = np.random.default_rng(3)
    grid = grid_of(60, 50)
    drawn = []
    for _ in range(12):
        angle = np.sort(random.uniform(0, 2 * np.pi, 30))
        ring = random.uniform(100, 500, (30, 1)) * np.column_stack([np.cos(angle), np.sin(angle)])
        centre = random.uniform((499_800, 4_858_800), (502_000, 4_860_200))
        drawn.append(shapely.make_valid(shapely.Polygon(centre + ring, [centre + 0.4 * ring])))
    x, y = centres(grid)
    expected = np.any([shapely.contains_xy(polygon, x, y) for polygon in drawn], axis=0)
    assert 0.2 < expected.mean() < 0.9
    np.testing.assert_array_equal(is_inside(grid, drawn), expected)


def test_crossings_and_ends_on_other_lines_are_intersections() -> None:
    cross = [shapely.LineString([(0, 0), (100, 100)]), shapely.LineString([(0, 100), (100, 0)])]
    assert intersections(cross).tolist() == [[50, 50]]
    end_on = [shapely.LineString([(0, 0), (100, 0)]), shapely.LineString([(40, 0), (40, 70)])]
    assert intersections(end_on).tolist() == [[40, 0]]
    short_by_a_hand = [end_on[0], shapely.LineString([(40, 0.3), (40, 70)])]
    assert intersections(short_by_a_hand).tolist() == [[40, 0]]
    short_by_metres = [end_on[0], shapely.LineString([(40, 5), (40, 70)])]
    assert len(intersections(short_by_metres)) == 0
    three_ends = [shapely.LineString([(0, 0), end]) for end in ((50, 0), (-50, 10), (0, 90))]
    assert intersections(three_ends).tolist() == [[0, 0]]


def test_into_how_many_pieces_a_fault_was_divided_does_not_count() -> None:
    pieces = [shapely.LineString([(x, 0), (x + 50, 20), (x + 100, 0)]) for x in range(0, 1000, 100)]
    assert len(intersections(pieces)) == 0
    assert len(intersections([shapely.MultiLineString(pieces)])) == 0
    assert len(intersections([*pieces, *pieces])) == 0
    across = shapely.LineString([(-10, 10), (1010, 10)])
    assert len(intersections([*pieces, across])) == len(intersections([shapely.line_merge(
        shapely.MultiLineString(pieces)), across])) == 20  # fmt: skip


def test_points_are_counted_within_the_radius() -> None:
    random = np.random.default_rng(8)
    grid = grid_of(50, 40)
    points = random.uniform((499_000, 4_858_500), (502_500, 4_861_000), (200, 2))
    x, y = centres(grid)
    near = np.hypot(points[:, 0, None, None] - x, points[:, 1, None, None] - y) <= 400
    np.testing.assert_array_equal(count_within(grid, points, 400), near.sum(axis=0))
    assert count_within(grid, np.empty((0, 2)), 400).max() == 0


def test_an_edge_too_short_for_its_square_is_a_point() -> None:
    grid = Grid(32645, 0.0, 20.0, 20.0, 20.0, 1, 1)
    edges = edges_of([shapely.LineString([(0, 0), (0, 3e-298)])])
    assert distance_to_edges(grid, edges).tolist() == [[np.hypot(10, 10)]]
    assert length_within(grid, edges, 50).tolist() == [[0.0]]


def test_nothing_to_measure_to_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no edge"):
        distance_to_edges(grid_of(3, 3), np.empty((0, 4)))
