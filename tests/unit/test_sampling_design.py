"""Points dealt to strata, and places drawn in them."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from db.assessments.design import MOST_POINTS, allocate, choose_pieces, deal_numbers, points_in
from db.errors import UsageError
from tests.grids import cells, geodesic_area_m2


def test_small_strata_get_the_least_number_and_the_rest_goes_by_area() -> None:
    """The paper's example: 2, 1.5, 32 and 64.5 per cent of the area."""
    areas = {"loss": 2.0, "gain": 1.5, "forest": 32.0, "other": 64.5}
    assert allocate(areas, per_stratum=75, total=641) == {"loss": 75, "gain": 75, "forest": 163, "other": 328}
    assert allocate(areas) == {"loss": 50, "gain": 50, "forest": 99, "other": 201}
    assert allocate({"only": 3.0}, per_stratum=2, total=7) == {"only": 7}


@given(
    st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=9),
    st.integers(2, 60),
    st.integers(0, 2000),
)
def test_an_allocation_adds_up_and_keeps_the_order_of_areas(
    areas: list[float], least: int, more: int
) -> None:
    named = {str(index): area for index, area in enumerate(areas)}
    total = least * len(areas) + more
    counts = allocate(named, per_stratum=least, total=total)
    assert sum(counts.values()) == total
    assert min(counts.values()) >= least
    for key, area in named.items():
        assert all(counts[key] >= counts[other] - 1 for other in named if named[other] <= area)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_stratum": 1}, "--per-stratum 1: at least 2 points"),
        ({"total": 99}, r"--total 99: 2 strata \(a, b\) with at least 50 points each need 100"),
        ({"total": MOST_POINTS + 1}, "at most 100000"),
    ],
)
def test_numbers_of_points_that_cannot_be(options: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        allocate({"a": 1.0, "b": 2.0}, **options)


def test_pieces_are_chosen_by_their_area() -> None:
    areas = np.array([1.0, 0.0, 10.0, 4.0, 0.5])
    counts = choose_pieces(areas, 31_000, np.random.default_rng(1))
    assert counts.sum() == 31_000
    assert counts[1] == 0
    assert chisquare(counts[[0, 2, 3, 4]], 2000 * areas[[0, 2, 3, 4]]).pvalue > 0.001


def test_points_are_spread_evenly_over_the_ellipsoid() -> None:
    """A strip from the equator to 80 degrees: as many points a km2 in the far north as in the south."""
    strip = shapely.segmentize(shapely.box(86.0, 0.0, 88.0, 80.0), 0.05)
    lonlat = points_in(strip, 40_000, np.random.default_rng(2))
    edges = np.arange(0.0, 81.0, 10.0)
    counts, _edges = np.histogram(lonlat[:, 1], edges)
    bands = [
        geodesic_area_m2(shapely.segmentize(shapely.box(86.0, low, 88.0, low + 10), 0.05))
        for low in edges[:-1]
    ]
    expected = np.array(bands) / np.sum(bands) * 40_000
    assert expected[-1] < expected[0] / 3
    assert chisquare(counts, expected).pvalue > 0.001
    east, _edges = np.histogram(lonlat[:, 0], 4, (86.0, 88.0))
    assert chisquare(east).pvalue > 0.001


def test_points_fall_into_all_parts_and_into_no_hole() -> None:
    """A ring of eight cells and a cell apart: each cell gets a ninth."""
    drawing = "xxx..\nx.x..\nxxx.x"
    lonlat = points_in(cells(drawing, "x"), 9000, np.random.default_rng(3))
    counts = []
    for row, line in enumerate(drawing.splitlines()):
        for column, letter in enumerate(line):
            only = ["." * 5] * 3
            only[row] = "." * column + "x" + "." * (4 - column)
            inside = shapely.contains_xy(cells("\n".join(only), "x"), lonlat)
            if letter == "x":
                counts.append(int(inside.sum()))
            else:
                assert not inside.any()
    assert len(counts) == 9
    assert sum(counts) == 9000
    assert chisquare(counts).pvalue > 0.001


def test_slivers_do_not_hold_the_draw_up() -> None:
    """A cut of a few nanometres, as intersections leave them, and a diagonal one of a few centimetres."""
    nothing = shapely.Polygon([(87.0, 43.9), (87.1, 44.0), (87.1, 44.0 + 1e-13)])
    thin = shapely.Polygon([(87.0, 43.9), (87.1, 44.0), (87.1, 44.0 + 2e-7)])
    for shape in (nothing, thin):
        lonlat = points_in(shape, 5, np.random.default_rng(4))
        assert lonlat.shape == (5, 2)
        assert np.all(shapely.distance(shapely.points(lonlat), shape) < 1e-9)


def test_numbers_say_nothing_of_the_stratum() -> None:
    """Every number is dealt once, and each stratum's are spread over the whole range."""
    dealt = deal_numbers([300, 600, 100], np.random.default_rng(5))
    assert [len(each) for each in dealt] == [300, 600, 100]
    assert sorted(np.concatenate(dealt)) == list(range(1, 1001))
    for each in dealt:
        assert abs(each.mean() - 500.5) < 4 * 1000 / np.sqrt(12 * len(each))
