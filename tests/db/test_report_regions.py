"""The report of a region: its own share, and only mines that lie in it, which are named as whole mines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

import lode
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.reports import page_rows, views
from db.reports.ground import ground_layer
from db.reports.regions import find_region
from reporting.overview_page import overview_page
from reporting.overview_report import OverviewReport, gather_region
from tests.conftest import copied_database
from tests.grids import CELL_M2, cells
from tests.page_tables import Tables
from tests.regions import add_region
from tests.reported_region import add_regions

MINE_TABLES = ("mines", "ranking", "sensitive", "sensitive_years", "alerts", "gaps")
WHOLE = "Mines that lie in the region, wholly or in part; figures are of the whole mine."


@pytest.fixture(scope="module")
def regions_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_regions(made)
        yield url


@pytest.fixture
def regions(regions_url: str) -> Iterator[Connection[Any]]:
    with connect(regions_url) as made:
        yield made
        made.rollback()


def mines_of(report: OverviewReport) -> dict[str, set[str]]:
    return {name: {row["mine_code"] for row in report.rows(name)} for name in MINE_TABLES}


def test_only_mines_that_lie_in_a_region_stand_in_its_report(regions: Connection[Any]) -> None:
    """The mine across the edge is in both; the one beyond it, which has most protected ground, in one."""
    assert mines_of(gather_region(regions, "west", None)) == {
        "mines": {"inside", "edge"},
        "ranking": {"inside", "edge"},
        "sensitive": {"edge"},
        "sensitive_years": {"inside", "edge"},
        "alerts": {"inside", "edge"},
        "gaps": {"edge"},
    }
    east = mines_of(gather_region(regions, "east", None))
    assert (east["mines"], east["sensitive"]) == ({"edge", "outside"}, {"edge", "outside"})
    assert "inside" not in set().union(*east.values())


def test_an_empty_region_shows_no_mine(regions: Connection[Any]) -> None:
    report = gather_region(regions, "desert", None)
    assert report.mines == []
    assert [name for name in MINE_TABLES if report.rows(name)] == []
    page = overview_page(report, "en")
    assert "No mine has ground in this region." in page
    assert [code for code in ("inside", "edge", "outside") if f"mine {code}" in page] == []
    assert Tables(page).texts.keys() == {"totals", "series"}


def test_no_mines_are_not_all_mines(regions: Connection[Any]) -> None:
    """Whatever reads rows of mines takes an empty list for none."""
    assert page_rows.mine_heads(regions, []) == []
    assert page_rows.alert_rows(regions, []).rows == []
    assert page_rows.sensitive_rows(regions, []).rows == []
    assert views.damage_report(regions, []).rows == []
    assert views.change_report(regions, []).rows == []
    assert views.ranking_report(regions, mine_codes=[]).rows == []
    assert ground_layer(regions, "damage", []).rows == []
    assert len(page_rows.mine_heads(regions)) == 3


def test_a_wrong_name_is_told_how_many_regions_there_are(regions: Connection[Any]) -> None:
    for number in range(10):
        add_region(regions, "basin", f"B{number}", cells("x", "x"))
    with pytest.raises(UsageError, match=r"regions known: region B0 \(basin\), .* and 4 more"):
        find_region(regions, "B")


def test_the_totals_are_the_region_s_share(regions: Connection[Any]) -> None:
    """Of three cells of the mine across the edge two lie in the west in 2022."""
    report = gather_region(regions, "west", None)
    active = {row["year"]: row["active_area_m2"] / CELL_M2 for row in report.rows("series")}
    assert active == pytest.approx({2021: 2, 2022: 4}, abs=1e-3)
    tables = Tables(overview_page(report, "en"))
    assert tables.by_year("totals", "Open pit") == {
        row["year"]: row["area_m2"] for row in report.rows("damage") if row["land_class"] == "open_pit"
    }
    assert tables.by_year("totals", "Total") == {
        row["year"]: row["active_area_m2"] for row in report.rows("series")
    }
    assert "Figures are of the region: ground of mines inside it, and damage outside mines." in overview_page(
        report, "en"
    )


def test_figures_of_mines_are_said_to_be_of_the_whole_mine(regions: Connection[Any]) -> None:
    report = gather_region(regions, "west", None)
    sections = overview_page(report, "en").split("<section")
    told = {
        section.split('id="')[1].split('"')[0]: WHOLE in section for section in sections if 'id="' in section
    }
    assert {name for name, is_told in told.items() if is_told} == {
        "map", "ranking", "sensitive", "alerts", "gaps"
    }  # fmt: skip
    ranked = {row["mine_code"]: row["damaged_area_m2"] / CELL_M2 for row in report.rows("ranking")}
    assert ranked == pytest.approx({"inside": 2, "edge": 3}, abs=1e-3)
    inside = {row["mine_code"]: (row["is_whole"], row["inside_share"]) for row in report.rows("mines")}
    assert inside["inside"] == (True, 1)
    assert inside["edge"] == (False, pytest.approx(0.5, abs=1e-6))
    lines = {row[0]: row for row in Tables(overview_page(report, "en")).texts["region_mines"]}
    assert lines["mine edgeedge"][1] == "in part"
    assert lines["mine insideinside"][1] == "wholly"


def test_the_region_page_says_which_mines_nobody_looked_at(regions: Connection[Any]) -> None:
    """East of the edge, 2022: damage of one mine on protected land, the other mine was not observed."""
    tables = Tables(overview_page(gather_region(regions, "east", None), "en"))
    head, *rows = tables.texts["sensitive_years"]
    assert head == [
        "Year",
        "Mines: found",
        "None found, wholly observed",
        "None found, partly observed",
        "Not observed",
        "Apart from protected ground",
    ]
    assert rows == [["2021", "2", "0", "0", "0", "0"], ["2022", "1", "0", "0", "1", "0"]]


def test_the_geopackage_holds_the_region_and_says_whose_ground_it_is(
    regions_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", regions_url)
    for name, count in (("west", 2), ("desert", 0)):
        out = tmp_path / f"{name}.gpkg"
        assert lode.run(["report", "region", name, "--out", str(out)]) == 0
        with closing(sqlite3.connect(out)) as file:
            assert file.execute("select region_code from region").fetchall() == [(name,)]
            assert file.execute("select count(*) from mine").fetchone() == (count,)
            (about,) = file.execute(
                "select description from gpkg_contents where table_name = 'damage'"
            ).fetchone()
        assert about == f"Lode report: Region {name}; mines that lie in it, wholly or in part"
