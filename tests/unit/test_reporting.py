"""Parts of pages that need no database: numbers, words, drawings, views, charts, matrices."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from itertools import pairwise
from string import Formatter

import numpy as np
import pyproj
import pytest
import shapely
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from db.classes import LandClass
from db.errors import UsageError
from db.reports.report import Report, plain_value
from reporting import charts, svg
from reporting.heat import heat_table
from reporting.maps import Layer, Mark, draw_map
from reporting.numbers import area_cell, hectares, nice_step, per_cent
from reporting.phrases import PHRASES
from reporting.reasons import chinese
from reporting.rows import fingerprint
from reporting.view import LocalView
from reporting.words import Words

CLASSES = [
    LandClass(1, "vegetation", "vegetation", "植被", "none", "#5a9e4b", True, 400),
    LandClass(5, "dump", "dump", "堆放场", "occupied", "#8c6239", True, 400),
    LandClass(6, "open_pit", "open pit", "露天采场", "excavated", "#d7301f", True, 400),
]


def test_hectares_and_shares_as_people_read_them() -> None:
    assert [hectares(value) for value in (12_345_678.0, 0.0, -0.01, None)] == [
        "1,234.57",
        "0.00",
        "0.00",
        "–",
    ]
    assert [per_cent(value) for value in (1.0, 0.99999, 0.0, 0.0004, None)] == [
        "100.0 %", "99.9 %", "0.0 %", "<0.1 %", "–"
    ]  # fmt: skip


@given(st.floats(min_value=0, max_value=1e12))
def test_a_cell_keeps_the_full_value(area_m2: float) -> None:
    found = re.fullmatch(r'<data value="([^"]+)">[^<]+</data>', str(area_cell(area_m2)))
    assert found is not None
    assert float(found[1]) == area_m2


@given(st.floats(min_value=1e-6, max_value=1e9), st.integers(1, 6))
def test_steps_are_round_and_cover(largest: float, steps: int) -> None:
    step = nice_step(largest, steps)
    assert step * steps >= largest * 0.998
    assert any(
        math.isclose(step / 10 ** math.floor(math.log10(step) + 1e-9), each) for each in (1, 2, 2.5, 5)
    )


@pytest.mark.parametrize("key", sorted(PHRASES))
def test_both_languages_fill_in_the_same_values(key: str) -> None:
    english, chinese = (
        {name for _text, name, _spec, _how in Formatter().parse(phrase) if name} for phrase in PHRASES[key]
    )
    assert english == chinese
    assert not re.search("[一-鿿]", PHRASES[key][0])


def test_words_escape_values_and_mark_languages() -> None:
    both = Words("both").html("key_damaged", year="<b>")
    assert "<b>" not in both
    assert 'lang="zh-CN"' in both
    assert Words("zh").plain("mine") == "矿山"
    assert Words("en").pair("<i>", "甲") == Markup("<span>&lt;i&gt;</span>")


def test_svg_escapes_texts_and_attributes() -> None:
    made = svg.drawing(10, 10, "a<b", svg.text(1, 2, "\"'<&"), svg.element("g", id='x"y'), class_="map")
    root = fromstring(str(made))
    texts = [element.text for element in root.iter() if element.text]
    assert texts == ["a<b", "\"'<&"]
    assert root[2].attrib == {"id": 'x"y'}


def test_paths_keep_holes_and_leave_out_what_is_smaller_than_a_dot() -> None:
    ring = shapely.Polygon(
        [(0, 0), (10, 0), (10, 10), (0, 10)],
        [[(2, 2), (4, 2), (4, 4), (2, 4)], [(6, 6), (6.01, 6), (6.01, 6.01)]],
    )
    assert svg.path_data(ring).count("M") == 2
    assert svg.path(shapely.MultiPolygon()) == ""
    both = shapely.GeometryCollection(
        [shapely.MultiPolygon([ring]), shapely.MultiLineString([[(0, 0), (9, 9)], [(9, 0), (0, 9)]])]
    )
    assert svg.path_data(both).count("M") == 4


def test_a_view_is_true_to_scale() -> None:
    """A square of 1 km by geodesics is 1 km in the view's own pixels."""
    geod = pyproj.Geod(ellps="WGS84")
    east = geod.fwd(87.05, 43.9, 90, 1000)[:2]
    north = geod.fwd(87.05, 43.9, 0, 1000)[:2]
    view = LocalView.around(shapely.box(87.04, 43.89, 87.07, 43.92), longest_px=500)
    origin, right, up = (view.to_pixels(shapely.Point(*each)) for each in ((87.05, 43.9), east, north))
    assert (right.x - origin.x) * view.resolution_m == pytest.approx(1000, abs=0.5)
    assert (origin.y - up.y) * view.resolution_m == pytest.approx(1000, abs=0.5)
    assert max(view.width_px, view.height_px) == 500


def test_pixel_centres_go_there_and_back() -> None:
    view = LocalView.around(shapely.box(87.0, 43.9, 87.02, 43.91), longest_px=40)
    longitude, latitude = view.pixel_centres()
    assert longitude.shape == (view.height_px, view.width_px)
    point = view.to_pixels(shapely.Point(longitude[3, 7], latitude[3, 7]))
    assert (point.x, point.y) == (pytest.approx(7.5, abs=1e-6), pytest.approx(3.5, abs=1e-6))


def test_an_empty_ground_has_no_view() -> None:
    with pytest.raises(UsageError, match="empty geometry"):
        LocalView.around(shapely.MultiPolygon(), longest_px=100)


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    view = LocalView.around(shapely.box(87.0, 43.9, 87.02, 43.91), longest_px=500)
    root = fromstring(str(draw_map(view, [Layer(shapely.box(87, 43.9, 87.01, 43.905), fill="#ff0000")], "m")))
    texts = [each.text or "" for each in root.iter() if each.tag.endswith("text")]
    (shown,) = [text for text in texts if text.endswith("m")]
    amount, unit = shown.split()
    metres = float(amount) * (1000 if unit == "km" else 1)
    bars = [each for each in root.iter() if each.tag.endswith("rect") and each.get("height") == "4"]
    assert sum(float(each.get("width", 0)) for each in bars) * view.resolution_m == pytest.approx(
        metres, rel=0.01
    )
    assert "N" in texts


def test_a_mark_tells_what_it_is() -> None:
    view = LocalView.around(shapely.box(87.0, 43.9, 87.02, 43.91), longest_px=100)
    drawn = draw_map(view, [], "m", marks=[Mark(87.01, 43.905, "#000", "1", title="<b>")])
    assert "<title>&lt;b&gt;</title>" in drawn


def test_numbered_marks_do_not_hide_each_other() -> None:
    view = LocalView.around(shapely.box(87.0, 43.9, 87.02, 43.91), longest_px=300)
    marks = [Mark(87.01, 43.905, "#000", str(at)) for at in range(1, 4)]
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="8"', draw_map(view, [], "m", marks=marks))
    assert len({(round(float(x)), round(float(y))) for x, y in places}) == 3
    assert min(abs(float(a[0]) - float(b[0])) for a, b in pairwise(places)) >= 15


def bars_of(chart: Markup) -> list[tuple[float, float]]:
    """Top and height of every bar."""
    root = fromstring(str(chart))
    return [
        (float(each.get("y", 0)), float(each.get("height", 0)))
        for each in root.iter()
        if each.tag.endswith("rect")
    ]


def test_bars_are_as_high_as_their_values() -> None:
    series = [
        charts.Series("a", "#111111", [10_000.0, 30_000.0]),
        charts.Series("b", "#222222", [20_000.0, 0.0]),
    ]
    (_, ten), (top_twenty, twenty), (_, thirty) = bars_of(
        charts.stacked_bars(["2021", "2022"], series, "areas", notes=["", ""])
    )
    assert twenty == pytest.approx(2 * ten, abs=0.02)
    assert thirty == pytest.approx(3 * ten, abs=0.02)
    assert top_twenty < 280


def test_a_year_that_nobody_saw_has_words_and_no_bar() -> None:
    chart = charts.stacked_bars(
        ["2021"], [charts.Series("a", "#111111", [None])], "areas", notes=["not observed"]
    )
    assert bars_of(chart) == []
    assert "not observed" in chart


def test_new_goes_up_and_treated_goes_down() -> None:
    up, down = [charts.Series("new", "#111111", [10_000.0])], [charts.Series("treated", "#222222", [5_000.0])]
    (up_top, up_height), (down_top, down_height) = bars_of(charts.up_and_down(["21–22"], up, down, "change"))
    assert up_top + up_height == pytest.approx(down_top, abs=0.02)
    assert up_height == pytest.approx(2 * down_height, abs=0.02)


def test_a_line_is_broken_where_there_is_no_number() -> None:
    chart = charts.lines(["1", "2", "3"], [charts.Series("a", "#111111", [1e4, None, 2e4])], "series")
    (data,) = re.findall(r'<path d="([^"]+)"', chart)
    assert data.count("M") == 2
    assert chart.count("<circle") == 2


def test_a_matrix_sums_its_rows_and_columns() -> None:
    rows = [
        {"from_class": "vegetation", "to_class": "open_pit", "area_m2": 10_000.0},
        {"from_class": "dump", "to_class": "vegetation", "area_m2": 20_000.0},
        {"from_class": "dump", "to_class": "dump", "area_m2": 40_000.0},
    ]
    table = heat_table(rows, CLASSES, Words("en"))
    values = [float(value) for value in re.findall(r'<data value="([^"]+)"', table)]
    assert values == [1e4, 1e4, 2e4, 4e4, 6e4, 0.0, 2e4, 4e4, 1e4, 7e4]
    colours = dict(re.findall(r'rgba\((\d+,\d+,\d+),[\d.]+\)" data-from="(\w+" data-to="\w+)"', table))
    assert len(set(colours)) == 3, "what became damaged, what no longer is, what stayed"


def test_a_fingerprint_sees_ten_digits_and_no_key() -> None:
    def of(area: float, key: int) -> str:
        return fingerprint({"damage": Report(("ogc_fid", "area_m2"), [(key, area)])})

    assert of(1.5, 1) == of(1.5, 2)
    assert of(123456.7891, 1) != of(123456.7892, 1)
    assert of(0.1 + 0.2, 1) == of(0.3, 1)


def test_values_as_json_holds_them() -> None:
    given_values = [Decimal("3"), Decimal("3.5"), date(2023, 7, 1), (1, None), "甲"]
    assert [plain_value(each) for each in given_values] == [3, 3.5, "2023-07-01", [1, None], "甲"]
    assert np.isfinite(float(plain_value(Decimal("1e3"))))  # type: ignore[arg-type]


def test_reasons_with_names_and_numbers_have_their_chinese() -> None:
    """A changed sample, several thin strata, legal kinds, and least figures of restoration."""
    changed = (
        "the design, the strata or the points are no longer those that were drawn: their SHA-256 is ab12, at "
        "the draw it was cd34"
    )
    assert chinese(changed, {}) == "抽样设计、层或样点已不是抽样时的：现SHA-256为ab12，抽样时为cd34"
    thin = "fewer than two points with a reference class in stratum dump (0 of 50), excavated (1 of 40)"
    assert chinese(thin, {"dump": "堆放场"}) == (
        "有参考类别的样点不足两个的层：堆放场（50个中0个）、挖损（40个中1个）"
    )
    least = "at least; the rest is under cloud or outside the scenes"
    assert chinese(least, {}) == "至少；其余部分被云遮挡或在影像范围之外"
    assert chinese("something else", {}) is None
