"""The map of a search for ore: all of every target and fault is drawn, and names hide nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection
from psycopg.types.json import Jsonb

from db.labels import ewkb_hex
from db.qgis.prospects import TARGET_COLOUR
from reporting.prospect_map import RANK_PX
from reporting.prospect_page import prospect_page
from reporting.prospect_report import ProspectReport, gather_search
from tests.db import prospect_rows as rows

APART = """
llllllllllll
lhllllllllll
llhlllllllll
llllllllllll
lllllllllhhh
lllllllllllh
"""
"""Target 1 has the place of its mark far right; one of the two is two cells that touch at a corner."""


@pytest.fixture
def searched(conn: Connection[Any]) -> Iterator[Connection[Any]]:
    rows.add_whole_search(conn, probability=rows.probabilities(APART))
    yield conn
    conn.rollback()


def drawing(conn: Connection[Any]) -> str:
    page = prospect_page(conn, gather_search(conn, None, 20), "en")
    return page.split('<svg class="map"')[1].split("</svg>")[0]


def paths(drawn: str, stroke: str) -> list[np.ndarray[Any, Any]]:
    """Corners of every ring or line that is drawn in a colour, pixels."""
    found = re.findall(rf'<path d="([^"]*)"[^>]* stroke="{stroke}"', drawn)
    pieces = [piece for data in found for piece in data.split("M") if piece]
    return [
        np.array([each.split() for each in piece.rstrip("Z").split("L")], float)
        for piece in pieces
        if "v" not in piece
    ]


def add_deposit(conn: Connection[Any], name: str, x: float, y: float) -> None:
    place = shapely.Point(*(float(each[0]) for each in rows.degrees_at(np.array([x]), np.array([y]))))
    conn.execute("insert into lode.deposit (name, geom) values (%s, %s::geometry)", (name, ewkb_hex(place)))


def test_a_target_whose_cells_touch_at_a_corner_is_outlined_whole(searched: Connection[Any]) -> None:
    cells = searched.execute("select cells, st_numgeometries(geom) from lode.prospect_target").fetchall()
    assert sorted(cells) == [(2, 2), (4, 1)]
    rings = paths(drawing(searched), TARGET_COLOUR)
    assert sorted(len(ring) for ring in rings) == [4, 4, 6]


def test_a_rank_stands_at_its_target(searched: Connection[Any]) -> None:
    drawn = drawing(searched)
    rings = [shapely.Polygon(ring) for ring in paths(drawn, TARGET_COLOUR)]
    circles = re.findall(
        rf'<circle cx="([\d.]+)" cy="([\d.]+)" r="{RANK_PX:g}" fill="{TARGET_COLOUR}"', drawn
    )
    assert len(circles) == 2
    for x, y in circles:
        assert min(ring.distance(shapely.Point(float(x), float(y))) for ring in rings) < 2 * RANK_PX


def test_all_parts_of_a_fault_are_drawn(searched: Connection[Any]) -> None:
    before = len(paths(drawing(searched), "#2f3735"))
    x, y = rows.degrees_at(np.array([150.0, 300.0, 900.0, 1200.0]), np.array([150.0, 150.0, 600.0, 600.0]))
    parts = np.column_stack([x, y]).reshape(2, 2, 2)
    searched.execute(
        "insert into lode.fault (name, geom) values ('two', %s::geometry)",
        (ewkb_hex(shapely.MultiLineString(list(parts))),),
    )
    assert len(paths(drawing(searched), "#2f3735")) == before + 2


def test_names_hide_neither_each_other_nor_a_deposit(searched: Connection[Any]) -> None:
    for name, x in (("A near", 1400.0), ("B near", 1405.0), ("C far", 300.0)):
        add_deposit(searched, name, x, 200.0)
    drawn = drawing(searched)
    named = set(re.findall(r">([ABC] \w+)</text>", drawn))
    assert "C far" in named
    assert len(named & {"A near", "B near"}) <= 1
    assert {"A near", "B near", "C far"} <= set(re.findall(r"<title>([ABC] \w+)</title>", drawn))


def change(found: Connection[Any], training: dict[str, Any], metrics: dict[str, Any]) -> ProspectReport:
    found.execute(
        "update lode.model set training = training || %s, metrics = metrics || %s",
        (Jsonb(training), Jsonb(metrics)),
    )
    return gather_search(found, None, 20)


def test_a_network_that_ranks_the_wrong_way_is_said_to(searched: Connection[Any]) -> None:
    report = change(searched, {}, rows.figures_json(0.2))
    assert report.verdict == "worse"
    page = prospect_page(searched, report, "en")
    assert "ranks barren ground above ore" in page
    assert "reaches 0.5" not in page
    assert change(searched, {}, rows.figures_json(0.45)).verdict == "guessing"


@pytest.mark.parametrize(
    ("searched_with", "trained_with", "is_told"),
    [("a" * 64, "b" * 64, True), ("a" * 64, "a" * 64, False), (None, "b" * 64, False)],
)
def test_other_geology_than_that_of_the_training_is_told(
    searched: Connection[Any], searched_with: str | None, trained_with: str, is_told: bool
) -> None:
    searched.execute(
        "update lode.prospect_run set parameters = parameters || %s",
        (Jsonb({"geology_digest": searched_with}),),
    )
    report = change(searched, {"geology_digest": trained_with}, {})
    assert report.search["geology_digest"] == searched_with
    assert ('id="other-geology"' in prospect_page(searched, report, "en")) == is_told
    elsewhere = change(searched, {"ground": "elsewhere"}, {})
    assert not elsewhere.is_other_geology


def test_evidence_reads_as_numbers_with_a_minus(searched: Connection[Any]) -> None:
    evidence = [
        {"name": "beryl 830 nm", "value": -0.0283, "deviations": -0.04},
        {"name": "Li", "value": 1234.5, "unit": "ppm", "deviations": -2.26},
    ]
    searched.execute("update lode.prospect_target set evidence = %s", (Jsonb(evidence),))
    page = re.sub(r"<[^>]+>", "", prospect_page(searched, gather_search(searched, None, 20), "en"))
    assert "beryl 830 nm: −0.0283 (0.0 σ)" in page
    assert "Li: 1,234 ppm (−2.3 σ)" in page
