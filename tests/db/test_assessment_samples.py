"""The draw of an assessment: which ground, how even, how repeatable, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection
from scipy.stats import chisquare

from db.assessments.catalogue import list_assessments, points_of_assessment
from db.assessments.draw import Drawn, SampleDesign, draw_assessment
from db.errors import UsageError
from tests.assessed_ground import MAP, WHOLE, publish_map
from tests.grids import CELL_M2, cells

OVERLAPPING = {"M1": "xxxx..\nxxxx..\nxxxx..", "M2": "..xxxx\n..xxxx\n..xxxx", "M3": "......\n....xx\n......"}


def areas(drawn: Drawn) -> dict[str, float]:
    """Area of each stratum in cells."""
    return {each.stratum.class_key: round(each.stratum.area_m2 / CELL_M2, 4) for each in drawn.strata}


def places(drawn: Drawn, key: str) -> Any:
    """Points of a stratum, longitude and latitude."""
    return next(each.lonlat for each in drawn.strata if each.stratum.class_key == key)


def test_points_lie_in_their_class_and_are_even_over_its_ground(conn: Connection[Any]) -> None:
    """A pit of two patches of very different size and a cut through the larger: each cell gets its share."""
    drawing = "pppppb\npppppb\npppppb\nbbbbbp"
    publish_map(
        conn, drawing, {"M1": "xx....\nxx....\nxx....\nxx....", "M2": "..xxxx\n..xxxx\n..xxxx\n..xxxx"}
    )
    drawn = draw_assessment(
        conn, "a", SampleDesign(2021, allocation={"open_pit": 4000, "background": 2}, seed=7)
    )
    lonlat = places(drawn, "open_pit")
    counts = []
    for row, line in enumerate(drawing.splitlines()):
        for column, letter in enumerate(line):
            if letter == "p":
                alone = "\n".join(["." * 6] * row + ["." * column + "x" + "." * (5 - column)])
                counts.append(int(shapely.contains_xy(cells(alone, "x"), lonlat).sum()))
    assert len(counts) == 16
    assert 3998 <= sum(counts) <= 4000  # a point may fall on a line between two cells
    assert chisquare(counts, np.full(16, sum(counts) / 16)).pvalue > 0.001
    stored = {
        each.number: (each.longitude, each.latitude)
        for each in points_of_assessment(conn, drawn.assessment_id)
    }
    assert sorted(stored) == list(range(1, 4003))
    for each in drawn.strata:
        for number, place in zip(each.numbers.tolist(), each.lonlat.tolist(), strict=True):
            assert stored[number] == tuple(place)


def test_strata_are_what_the_map_shows_and_ground_counts_once(conn: Connection[Any]) -> None:
    """All mines: the union. One mine: all of it, also what another mine of smaller code counts."""
    publish_map(conn, MAP, OVERLAPPING)
    every = draw_assessment(conn, "all", SampleDesign(2021))
    assert areas(every) == {"background": 6, "water": 2, "dump": 4, "open_pit": 6}
    assert {each.stratum.class_key: len(each.numbers) for each in every.strata} == {
        "background": 131,
        "water": 50,
        "dump": 88,
        "open_pit": 131,
    }
    for mines, expected in {
        ("M1",): {"excavated": 8, "occupied": 4},
        ("M2",): {"excavated": 2, "occupied": 4, "undamaged": 6},
        ("M3",): {"undamaged": 2},
        ("M3", "M2"): {"excavated": 2, "occupied": 4, "undamaged": 6},
        ("M3", "M1"): {"excavated": 8, "occupied": 4, "undamaged": 2},
        ("M2", "M1", "M2"): {"excavated": 8, "occupied": 4, "undamaged": 6},
    }.items():
        name = "".join(mines)
        drawn = draw_assessment(conn, name, SampleDesign(2021, "kind", mines, per_stratum=3, seed=1))
        assert areas(drawn) == expected, mines
        inside = shapely.union_all([cells(OVERLAPPING[code], "x") for code in mines])
        lonlat = np.concatenate([each.lonlat for each in drawn.strata])
        assert np.all(shapely.distance(shapely.points(lonlat), inside) < 1e-9)
        flags = conn.execute(
            "select distinct is_outdated from lode_api.area_uncertainty where assessment = %s", (name,)
        ).fetchall()
        assert flags == [(False,)]
    assert [each.mine_codes for each in list_assessments(conn) if each.name == "M2M1M2"] == [["M1", "M2"]]


def test_treated_ground_is_undamaged_by_kind(conn: Connection[Any]) -> None:
    publish_map(conn, "pppp", {"M1": "xxxx"})
    conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on) values (9, %s::geometry, '2021-08-01')",
        (f"srid=4326;{cells('..xx', 'x').wkt}",),
    )
    by_class = draw_assessment(conn, "c", SampleDesign(2021, per_stratum=2))
    assert areas(by_class) == {"open_pit": 2, "treated_open_pit": 2}
    by_kind = draw_assessment(conn, "k", SampleDesign(2021, "kind", per_stratum=2))
    assert areas(by_kind) == {"excavated": 2, "undamaged": 2}


def test_the_same_seed_draws_the_same_points(conn: Connection[Any]) -> None:
    """Also after everything was derived again; another seed, or none, draws others."""
    publish_map(conn, MAP, OVERLAPPING)

    def drawn(name: str, seed: int | None) -> list[tuple[int, float, float]]:
        found = draw_assessment(conn, name, SampleDesign(2021, per_stratum=5, seed=seed))
        return [tuple(vars(each).values()) for each in points_of_assessment(conn, found.assessment_id)]

    first = drawn("first", 42)
    keys = conn.execute("select array_agg(mine_piece_id order by 1) from lode.mine_piece").fetchone()
    conn.execute("select lode_api.derive_all()")
    assert conn.execute("select array_agg(mine_piece_id order by 1) from lode.mine_piece").fetchone() != keys
    assert drawn("again", 42) == first
    others = [drawn("43", 43), drawn("none", None), drawn("none either", None)]
    assert all(other != first for other in others)
    assert others[1] != others[2]
    seeds = {each.name: each.seed for each in list_assessments(conn)}
    assert (seeds["first"], seeds["43"]) == (42, 43)
    assert drawn("repeated", seeds["none"]) == others[1]


def test_a_class_of_less_than_a_square_metre_is_no_stratum(conn: Connection[Any]) -> None:
    """A mine whose edge grazes the pond: nobody can look at points on a millimetre of water."""
    publish_map(conn, "ppww", {"M1": "xx.."})
    conn.execute("update lode.mine set boundary = st_multi(st_buffer(boundary, 2e-9, 'join=mitre'))")
    row = conn.execute("select area_m2 from lode.mine_area where land_class_code = 2").fetchone()
    assert row is not None
    assert 0 < row[0] < 1
    drawn = draw_assessment(conn, "a", SampleDesign(2021, per_stratum=2))
    assert areas(drawn) == {"open_pit": 2}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("taken", {}, "an assessment called 'taken' exists"),
    ("", {}, "name of an assessment ''"),
    ("-x", {}, "name of an assessment '-x'"),
    ("a", {"year": 2022}, "year 2022: no ground inside a mine is mapped; there are maps of 2021"),
    ("a", {"mine_codes": ("M9",)}, "no mine has the code M9; mines known: M1, M2"),
    ("a", {"mine_codes": ("M1", "M2")}, "mine 'M2': none of its ground is mapped in 2021"),
    ("a", {"total": 10}, "--total 10: 4 strata .* need 200"),
    ("a", {"per_stratum": 1}, "--per-stratum 1: at least 2"),
    (
        "a",
        {"allocation": {"open_pit": 9, "subsidence": 3}},
        "--allocation subsidence: the map of 2021 shows",
    ),
    ("a", {"allocation": {"open_pit": 9, "dump": 9}}, "how many points for background, water"),
    (
        "a",
        {"allocation": {"open_pit": 9, "dump": 9, "water": 1, "background": 2}},
        "--allocation water=1: at least 2 points",
    ),
    (
        "a",
        {"allocation": {"open_pit": 100_000, "dump": 9, "water": 2, "background": 2}},
        "100013 sample points: at most",
    ),
]


def test_what_cannot_be_sampled_is_refused(conn: Connection[Any]) -> None:
    publish_map(conn, MAP, {"M1": WHOLE, "M2": ".........x"})
    draw_assessment(conn, "taken", SampleDesign(2021, per_stratum=2))
    for name, options, said in REFUSED:
        design: dict[str, Any] = {"year": 2021, **options}
        with pytest.raises(UsageError, match=said):
            draw_assessment(conn, name, SampleDesign(**design))
    assert [each.name for each in list_assessments(conn)] == ["taken"]


def test_without_any_map_there_is_nothing_to_sample(conn: Connection[Any]) -> None:
    with pytest.raises(
        UsageError, match="year 2021: no ground inside a mine is mapped; there is none of any year"
    ):
        draw_assessment(conn, "a", SampleDesign(2021))
