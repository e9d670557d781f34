"""Targets: connected cells, ranked and outlined, with exact distances to what lies near them."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely

from db.errors import UsageError
from db.raster import Grid
from inference.prospect.cells import Cells
from inference.prospect.targets import Targets, find_targets, nearest

EDGE_M = 150.0
WEST, NORTH = 500_000.0, 3_980_000.0


def drawn(text: str, edge_m: float = EDGE_M) -> Cells:
    """Digits are tenths of probability; a dot was not scored."""
    rows = text.split()
    probability = np.array(
        [[np.nan if sign == "." else int(sign) / 10 for sign in row] for row in rows], np.float32
    )
    grid = Grid(32644, WEST, NORTH, edge_m, edge_m, len(rows[0]), len(rows))
    return Cells(grid, 5, probability)


def found(text: str, threshold: float = 0.5, least_cells: int = 1, most_targets: int = 100) -> Targets:
    return find_targets(drawn(text), threshold, least_cells=least_cells, most_targets=most_targets)


def box(col: float, row: float, cols: float = 1, rows: float = 1) -> shapely.Polygon:
    west, north = WEST + col * EDGE_M, NORTH - row * EDGE_M
    return shapely.box(west, north - rows * EDGE_M, west + cols * EDGE_M, north)


def test_cells_that_touch_by_side_or_corner_are_one_target() -> None:
    targets = found("70000 06000 00..8 00008")
    assert [(target.cells, target.rank) for target in targets.listed] == [(2, 1), (2, 2)]
    first, second = targets.listed
    assert (first.mean_probability, first.highest_probability) == pytest.approx((0.8, 0.8))
    assert (second.mean_probability, second.highest_probability) == pytest.approx((0.65, 0.7))
    assert second.plane.equals(shapely.union_all([box(0, 0), box(1, 1)]))
    assert len(second.plane.geoms) == 2  # two squares that touch at a corner
    assert targets.rank_of_cell.tolist() == [
        [2, 0, 0, 0, 0],
        [0, 2, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]


def test_the_threshold_itself_belongs_to_a_target_and_gaps_do_not() -> None:
    assert found("5.5", 0.5).found == 2
    assert found("444", 0.5).listed == ()
    assert found("...", 0.5).found == 0
    # As doubles: 0.1 rounded to float32 is above 0.1, 0.7 rounded to float32 below 0.7.
    assert found("101", 0.1).found == 2
    assert found("707", 0.7).found == 0


def test_ranks_follow_the_mean_then_the_size_then_the_place() -> None:
    targets = found("7077 0000 9060 0000 7007")
    order = [(round(target.mean_probability, 2), target.cells) for target in targets.listed]
    assert order == [(0.9, 1), (0.7, 2), (0.7, 1), (0.7, 1), (0.7, 1), (0.6, 1)]
    assert targets.rank_of_cell.tolist()[0] == [3, 0, 2, 2]
    assert targets.rank_of_cell.tolist()[4] == [4, 0, 0, 5]


def test_small_targets_are_left_out_and_long_lists_cut() -> None:
    text = "90880 00000 70700 70700"
    assert [target.cells for target in found(text, least_cells=2).listed] == [2, 2, 2]
    cut = found(text, most_targets=2)
    assert (cut.found, len(cut.listed)) == (4, 2)
    assert [target.rank for target in cut.listed] == [1, 2]
    assert set(np.unique(cut.rank_of_cell)) == {0, 1, 2}
    assert cut.rank_of_cell.sum() == 1 + 2 + 2


def test_outlines_have_holes_are_valid_and_have_the_geodesic_area() -> None:
    targets = found("888 808 888")
    (target,) = targets.listed
    assert len(target.plane.geoms[0].interiors) == 1
    assert shapely.is_valid(target.geometry)
    assert target.geometry.geom_type == "MultiPolygon"
    area_m2, _length = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(target.geometry)
    assert target.area_m2 == pytest.approx(abs(area_m2), rel=1e-9)
    # On the central meridian of UTM lengths are 0.9996 of those on the ground.
    assert target.area_m2 == pytest.approx(8 * EDGE_M**2 / 0.9996**2, rel=1e-5)


def test_long_edges_get_vertices_so_that_they_lie_where_the_cells_do() -> None:
    targets = find_targets(drawn("99999999 99999999", 2000.0), 0.5, least_cells=1, most_targets=5)
    (target,) = targets.listed
    xy = shapely.get_coordinates(target.plane)
    assert np.hypot(*np.diff(xy, axis=0).T).max() <= 1000.0
    assert target.plane.area == pytest.approx(16 * 2000.0**2)


def test_nonsense_is_refused() -> None:
    for threshold in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="makes no targets"):
            found("9", threshold)
    with pytest.raises(UsageError, match="both begin at 1"):
        found("9", least_cells=0)
    with pytest.raises(UsageError, match="both begin at 1"):
        found("9", most_targets=0)


def test_distances_are_exact_and_zero_where_they_touch() -> None:
    targets = found("9000000 0000000 0000008").listed
    corner = (WEST + EDGE_M, NORTH)
    features = [
        shapely.Point(corner[0] + 300, NORTH + 400),  # beyond the edge of the grid: 500 m from the corner
        shapely.LineString(
            [(WEST + 6 * EDGE_M, NORTH - 5 * EDGE_M), (WEST + 9 * EDGE_M, NORTH - 5 * EDGE_M)]
        ),
    ]
    assert nearest(targets, features) == [(pytest.approx(500.0), 0), (pytest.approx(2 * EDGE_M), 1)]
    around = box(-1, -1, 4, 4)
    assert nearest(targets[:1], [around]) == [(0.0, 0)]
    # within a hole of a pluton the distance is that to its edge
    ring = around.difference(box(-0.5, -0.5, 2, 2))
    assert nearest(targets[:1], [ring]) == [(pytest.approx(EDGE_M / 2), 0)]
    assert nearest(targets, []) == [None, None]
    assert nearest((), features) == []


def test_of_equally_near_features_the_first_is_named() -> None:
    targets = found("9").listed
    left, right = shapely.Point(WEST - 100, NORTH), shapely.Point(WEST + EDGE_M + 100, NORTH)
    assert nearest(targets, [left, right]) == [(pytest.approx(100.0), 0)]
    assert nearest(targets, [right, left]) == [(pytest.approx(100.0), 0)]


def test_outlines_of_any_shape_are_valid_and_cover_their_cells() -> None:
    """Random ground: many parts that touch at corners, holes that touch their shell."""
    probability = np.random.default_rng(4).random((40, 40)).astype(np.float32)
    cells = Cells(Grid(32644, WEST, NORTH, EDGE_M, EDGE_M, 40, 40), 5, probability)
    targets = find_targets(cells, 0.65, least_cells=1, most_targets=1000)
    assert targets.found > 10
    for target in targets.listed:
        assert shapely.is_valid(target.plane)
        assert shapely.is_valid(target.geometry)
        assert target.plane.area == pytest.approx(target.cells * EDGE_M**2)
        rows, cols = np.nonzero(targets.rank_of_cell == target.rank)
        centres = shapely.points(WEST + (cols + 0.5) * EDGE_M, NORTH - (rows + 0.5) * EDGE_M)
        assert len(centres) == target.cells
        assert shapely.contains_properly(target.plane, centres).all()
