"""Estimates against other ways to the same figures, and the samples that have none."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from db.assessments.draw import SampleDesign, draw_assessment
from db.assessments.report import assessment_report
from db.errors import UsageError
from tests.assessed_ground import answer_from, planted_assessment, publish_map, rows_of
from tests.grids import cells

BACKGROUND, VEGETATION, WATER, DUMP, PIT, SUBSIDENCE = 0, 1, 2, 5, 6, 8
KEYS = {0: "background", 1: "vegetation", 2: "water", 5: "dump", 6: "open_pit", 8: "subsidence"}
Indicator = Callable[[int, int], bool]


def test_the_papers_table_in_exact_fractions(conn: Connection[Any]) -> None:
    """Olofsson et al. 2014, tables 8 and 9, equations 5 to 11 in whole numbers of pixels, without rounding.

    The half interval of the producer's accuracy of forest gain comes to 0.254, where the paper prints 0.23.
    """
    mapped_px = [200_000, 150_000, 3_200_000, 6_450_000]
    counts = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    codes = [PIT, WATER, VEGETATION, BACKGROUND]
    planted_assessment(
        conn,
        "paper",
        {code: size * 900.0 for code, size in zip(codes, mapped_px, strict=True)},
        {code: dict(zip(codes, row, strict=True)) for code, row in zip(codes, counts, strict=True)},
    )
    rows = rows_of(conn, "paper")
    size = [Fraction(pixels) for pixels in mapped_px]
    drawn = [sum(row) for row in counts]
    share = [[Fraction(count, n) for count in row] for row, n in zip(counts, drawn, strict=True)]

    def variance_px2(i: int, j: int) -> Fraction:
        return size[i] ** 2 * share[i][j] * (1 - share[i][j]) / (drawn[i] - 1)

    halves = []
    for j, code in enumerate(codes):
        row = rows[KEYS[code]]
        area_px = sum(size[i] * share[i][j] for i in range(4))
        producers = size[j] * share[j][j] / area_px
        others = sum(variance_px2(i, j) for i in range(4) if i != j)
        spread = ((1 - producers) ** 2 * variance_px2(j, j) + producers**2 * others) / area_px**2
        expected = {
            "estimated_area_m2": area_px * 900,
            "standard_error_m2": sqrt(others + variance_px2(j, j)) * 900,
            "users_accuracy": share[j][j],
            "users_accuracy_se": sqrt(share[j][j] * (1 - share[j][j]) / (drawn[j] - 1)),
            "producers_accuracy": producers,
            "producers_accuracy_se": sqrt(spread),
            "overall_accuracy": sum(size[i] * share[i][i] for i in range(4)) / sum(size),
            "overall_accuracy_se": sqrt(sum(variance_px2(i, i) for i in range(4))) / sum(mapped_px),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(float(value), rel=1e-12), (code, name)
        halves.append(round(1.96 * row["producers_accuracy_se"], 3))
    assert round(rows["open_pit"]["estimated_area_m2"] / 900) == 235_086
    assert halves == [0.213, 0.254, 0.034, 0.018]


def test_estimates_equal_those_by_indicators_of_single_points(conn: Connection[Any]) -> None:
    """Stehman 2014 (International Journal of Remote Sensing 35:4923-4939), which knows no error matrix.

    Every figure is a mean or a ratio of two means of 0 and 1 over points, in strata that need not be classes.
    """
    generator = np.random.default_rng(7)
    mapped, seen = [BACKGROUND, WATER, DUMP, PIT], [BACKGROUND, WATER, DUMP, PIT, SUBSIDENCE]
    table = generator.integers(0, 9, (4, 5)) + np.eye(4, 5, dtype=int) * 12
    areas = dict(zip(mapped, generator.uniform(1e3, 1e7, 4), strict=True))
    matrix = {i: dict(zip(seen, map(int, table[row]), strict=True)) for row, i in enumerate(mapped)}
    planted_assessment(conn, "points", areas, matrix)
    points = np.array([(i, j) for i in mapped for j, count in matrix[i].items() for _ in range(count)])
    strata = {h: points[points[:, 0] == h] for h in mapped}
    total = sum(areas.values())

    def values(h: int, indicator: Indicator) -> Any:
        return np.array([indicator(int(i), int(j)) for i, j in strata[h]], float)

    def mean(indicator: Indicator) -> float:
        return sum(areas[h] * values(h, indicator).mean() for h in mapped) / total

    def ratio(y: Indicator, x: Indicator) -> tuple[float, float]:
        """Ratio of two means, and its standard error by the residuals within strata."""
        found = mean(y) / mean(x)
        variance = sum(
            areas[h] ** 2 * (values(h, y) - found * values(h, x)).var(ddof=1) / len(strata[h]) for h in mapped
        )
        return found, sqrt(variance) / (mean(x) * total)

    def everywhere(_i: int, _j: int) -> bool:
        return True

    rows = rows_of(conn, "points")
    for k in seen:
        row = rows[KEYS[k]]
        share, share_se = ratio(lambda _i, j, k=k: j == k, everywhere)
        assert row["estimated_area_m2"] == pytest.approx(total * share)
        assert row["standard_error_m2"] == pytest.approx(total * share_se)
        producers = ratio(lambda i, j, k=k: i == j == k, lambda _i, j, k=k: j == k)
        assert (row["producers_accuracy"], row["producers_accuracy_se"]) == pytest.approx(producers)
        if k in mapped:
            users = ratio(lambda i, j, k=k: i == j == k, lambda i, _j, k=k: i == k)
            assert (row["users_accuracy"], row["users_accuracy_se"]) == pytest.approx(users)
        overall = ratio(lambda i, j: i == j, everywhere)
        assert (row["overall_accuracy"], row["overall_accuracy_se"]) == pytest.approx(overall)


def test_no_figure_without_two_answers_in_every_stratum(conn: Connection[Any]) -> None:
    """None at all, all but one taken back, all `cannot tell`: null with the reason, and no report."""
    publish_map(conn)
    drawn = draw_assessment(conn, "a", SampleDesign(2021, per_stratum=5, seed=5))
    total = sum(len(each.numbers) for each in drawn.strata)
    nobody = rows_of(conn, "a")
    assert {row["unanswered_count"] for row in nobody.values()} == {total}
    assert all(
        "water (0 of 5)" in row["reason"] and "open_pit (0 of" in row["reason"] for row in nobody.values()
    )
    answer_from(conn, drawn, "ppddbb\nppddbb\nppwwbb")
    conn.commit()
    water = next(each for each in drawn.strata if each.stratum.class_key == "water").numbers.tolist()
    of_water = (
        " where sample_point_id in (select sample_point_id from lode.sample_point where number = any(%s))"
    )
    for edit, numbers, counted, waiting in (
        ("delete from lode.sample_answer", water[1:], 1, 4),
        ("delete from lode.sample_answer", water, 0, 5),
        ("update lode.sample_answer set land_class_code = null", water, 0, 0),
    ):
        conn.execute(edit + of_water, (numbers,))  # type: ignore[arg-type]  # pieces of this test
        for row in rows_of(conn, "a").values():
            assert row["reason"] == (
                f"fewer than two points with a reference class in stratum water ({counted} of 5)"
            )
            assert row["unanswered_count"] == waiting
            assert row["estimated_area_m2"] is row["upper_m2"] is row["overall_accuracy"] is None
        with pytest.raises(
            UsageError, match=rf"stratum water \({counted} of 5\)\. A stratum with one answer"
        ):
            assessment_report(conn, "a")
        conn.rollback()
    conn.execute("delete from lode.sample_answer" + of_water, (water[2:],))
    report = assessment_report(conn, "a")
    assert report.answers.unanswered == 3
    assert any("points without an answer yet: 3;" in line for line in report.warnings)
    assert {row["unanswered_count"] for row in rows_of(conn, "a").values()} == {3}


def test_classes_that_change_places_make_another_map(conn: Connection[Any]) -> None:
    """Subsided ground that moves to the next cell: areas stay, and yet it is not the map that was sampled."""
    publish_map(conn)

    def subside(ground: str) -> None:
        conn.execute("delete from lode.label")
        conn.execute(
            "insert into lode.label (land_class_code, geom, valid_on) values (8, %s::geometry, '2021-08-01')",
            (f"srid=4326;{cells(ground, 'x').wkt}",),
        )

    subside("x.....")
    designs = {
        "class": SampleDesign(2021, "class", seed=1),
        "kind": SampleDesign(2021, "kind", ("M1",), seed=1),
    }
    for name, design in designs.items():
        answer_from(conn, draw_assessment(conn, name, design), "ppddbb\nppddbb\nppwwbb")

    def state() -> dict[str, tuple[set[bool], list[float]]]:
        """Whether each assessment is outdated, and its estimates."""
        found = {name: rows_of(conn, name).values() for name in designs}
        return {
            name: ({row["is_outdated"] for row in rows}, [row["estimated_area_m2"] for row in rows])
            for name, rows in found.items()
        }

    def areas() -> dict[int, float]:
        rows = conn.execute("select land_class_code, sum(area_m2) from lode.mine_area group by 1")
        return dict(rows.fetchall())

    before, mapped = state(), areas()
    assert [flags for flags, _estimates in before.values()] == [{False}, {False}]
    subside(".x....")
    assert areas() == pytest.approx(mapped, abs=0.01)
    after = state()
    assert [flags for flags, _estimates in after.values()] == [{True}, {True}]
    assert [each for _flags, each in after.values()] == [each for _flags, each in before.values()]
    assert any("the map has changed" in line for line in assessment_report(conn, "kind").warnings)
    subside("x.....")
    assert state() == before
    conn.execute("select lode_api.derive_all()")
    assert state() == before
