"""What pages say: of mines with hard names, without scenes, without years to compare, with everything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from psycopg import Connection

from db import runs
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.reports.page_rows import uncertainty_rows
from db.reports.regions import find_region
from reporting.mine_page import mine_page
from reporting.mine_report import gather_mine
from reporting.overview_page import overview_page
from reporting.overview_report import gather_gaps, gather_region
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import CELL_M2, cells
from tests.reported_mine import CODE, MINE, NAME, add_history


@pytest.fixture(scope="module")
def history_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_history(made)
            made.execute("update lode.alert_rule set threshold_m2 = 5000 where kind = 'new_damage'")
        yield url


@pytest.fixture
def history(history_url: str) -> Iterator[Connection[Any]]:
    """The mine with its history; what a test changes is taken back after it."""
    with connect(history_url) as made:
        yield made
        made.rollback()


class Attributes(HTMLParser):
    """Every attribute of every element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]


def text_of(page: str) -> str:
    """What a page shows, without markup."""
    shown = re.sub(r"<style>.*?</style>|<svg .*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def test_numbers_are_what_was_drawn(history: Connection[Any]) -> None:
    """As ``tests.reported_mine.YEARS`` draws it."""
    report = gather_mine(history, CODE)
    damage = {(row["year"], row["land_class"]): row["area_m2"] / CELL_M2 for row in report.rows("damage")}
    assert damage[2021, "open_pit"] == pytest.approx(4, abs=1e-3)
    assert damage[2021, "dump"] == pytest.approx(4, abs=1e-3)
    assert damage[2022, "open_pit"] == pytest.approx(6, abs=1e-3)
    change = {(row["from_year"], row["kind"]): row for row in report.rows("change")}
    assert change[2021, "any"]["new_area_m2"] / CELL_M2 == pytest.approx(1, abs=1e-3)
    assert change[2021, "any"]["treated_area_m2"] / CELL_M2 == pytest.approx(2, abs=1e-3)
    assert change[2021, "any"]["unobserved_area_m2"] / CELL_M2 == pytest.approx(4, abs=1e-3)
    assert report.newest_pair == (2022, 2023)
    page = text_of(mine_page(history, report, "en"))
    assert "Mine damage report" in page
    assert f"{damage[2022, 'open_pit'] * CELL_M2 / 1e4:.2f}" in page


def test_hard_names_are_escaped_everywhere(history: Connection[Any]) -> None:
    page = mine_page(history, gather_mine(history, CODE), "both")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "net <b>" not in page
    assert "net &lt;b&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert NAME in text_of(page)
    attributes = Attributes(page).found
    assert {value[:5] for _tag, name, value in attributes if name in ("src", "href")} == {"data:"}
    assert not [name for _tag, name, _value in attributes if name.startswith("on")]
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page


def test_the_same_numbers_have_the_same_fingerprint(history: Connection[Any]) -> None:
    first = gather_mine(history, CODE).fingerprint
    assert gather_mine(history, CODE).fingerprint == first
    history.execute("update lode.mine set boundary = %s::geometry", (ewkb(cells("xxxxx\n" * 6, "x")).hex(),))
    assert gather_mine(history, CODE).fingerprint != first


def test_a_mine_nobody_saw_has_a_page_that_says_so(history: Connection[Any]) -> None:
    add_mine(history, "far", cells("." * 60 + "xx", "x"))
    page = text_of(mine_page(history, gather_mine(history, "far"), "en"))
    assert "no scene of this year covers it" in page
    assert "There is no picture" in page or "there is no picture to show" in page
    assert "No two years observed this mine" in page
    assert "The database holds no licence boundary of this mine" in page
    assert "No interpretation counts here" in page


def test_an_empty_database_has_pages_too(conn: Connection[Any]) -> None:
    add_mine(conn, "lonely", cells("x", "x"))
    page = text_of(mine_page(conn, gather_mine(conn, "lonely"), "both"))
    assert "no year with a scene" in page
    assert overview_page(gather_gaps(conn), "zh").startswith("<!doctype html>")


def test_one_year_gives_areas_and_no_change(conn: Connection[Any]) -> None:
    footprint = cells("xx\nxx", "x")
    scene_id = add_scene(conn, "only", date(2021, 6, 1), footprint)
    add_mine(conn, "one", footprint)
    publish_drawing(conn, scene_id, add_model(conn, "net"), 2021, "pp\nvv")
    page = text_of(mine_page(conn, gather_mine(conn, "one"), "en"))
    assert "no earlier year observed" in page
    assert "there is no change to show" in page
    assert "50.0 % of the mine's area" in page


def test_a_thin_year_hides_no_change(conn: Connection[Any]) -> None:
    """2022 saw a cell of six: the page compares 2021 with 2023, as the map of change does."""
    ground = cells("xxx\nxxx", "x")
    add_mine(conn, "thin", ground)
    model_id = add_model(conn, "net")
    for year, drawing in ((2021, "pvv\nvvv"), (2022, "p..\n..."), (2023, "ppv\nvvv")):
        scene_id = add_scene(conn, str(year), date(year, 6, 1), ground)
        publish_drawing(conn, scene_id, model_id, year, drawing)
    report = gather_mine(conn, "thin")
    assert report.newest_pair == (2021, 2023)
    assert report.summary["new_area_m2"] / CELL_M2 == pytest.approx(1, abs=1e-3)
    page = mine_page(conn, report, "en")
    change_map = page.split("<figcaption>")[2].split("</figure>")[0]
    assert "Change 2021–2023" in change_map
    assert 'fill="#d1311d"' in change_map
    assert "2021–2023*" in text_of(page)
    assert "* Steps over years that saw less than half of the mine." in text_of(page)


def test_ground_that_a_network_could_not_judge_is_hatched_and_counted(conn: Connection[Any]) -> None:
    """The network of 2022 knows no dumps: what was one and is no damage now is not compared, nor treated."""
    ground = cells("xxx\nxxx", "x")
    add_mine(conn, "M1", ground)
    for year, drawing, codes in ((2021, "dpv\nvvv", range(8)), (2022, "vpv\nvvv", (1, 6))):
        scene_id = add_scene(conn, str(year), date(year, 6, 1), ground)
        publish_drawing(conn, scene_id, add_model(conn, f"net {year}", tuple(codes)), year, drawing)
    report = gather_mine(conn, "M1")
    (change,) = [row for row in report.rows("change") if row["kind"] == "any"]
    assert change["unjudged_area_m2"] / CELL_M2 == pytest.approx(1, abs=1e-3)
    assert change["treated_area_m2"] == pytest.approx(0, abs=1e-3)
    page = mine_page(conn, report, "en")
    damage_map, change_map = (part.split("</figure>")[0] for part in page.split("<figcaption>")[1:3])
    assert ("url(#unseen)" in damage_map, "url(#unseen)" in change_map) == (False, True)
    assert "Not compared, ha" in page


def test_without_an_assessment_the_page_says_mapped_area(history: Connection[Any]) -> None:
    assert uncertainty_rows(history, CODE).rows == []
    assert "Mapped area; no sampled estimate" in text_of(mine_page(history, gather_mine(history, CODE), "en"))


def test_an_assessment_of_another_mine_is_not_shown(history: Connection[Any]) -> None:
    add_mine(history, "far", cells("." * 60 + "xx", "x"))
    _assess(history, "of far", "{far}")
    _assess(history, "of all", None)
    names = {row[0] for row in uncertainty_rows(history, CODE).rows}
    assert names == {"of all"}
    assert {row[0] for row in uncertainty_rows(history, "far").rows} == {"of far", "of all"}
    page = text_of(mine_page(history, gather_mine(history, CODE), "en"))
    assert "Assessment of all sampled the ground of all mines" in page


def _assess(conn: Connection[Any], name: str, mine_codes: str | None) -> None:
    row = conn.execute(
        "insert into lode.assessment (name, year, stratified_by, scope, mine_codes, total_area_m2, seed)"
        " values (%s, 2023, 'kind', 'drawn', %s, 20000, 1) returning assessment_id",
        (name, mine_codes),
    ).fetchone()
    assert row is not None
    conn.execute(
        "insert into lode.assessment_stratum (assessment_id, damage_kind, area_m2, sample_count)"
        " values (%s, 'excavated', 10000, 2), (%s, 'undamaged', 10000, 2)",
        (row[0], row[0]),
    )


def test_a_withdrawn_run_leaves_the_evidence(history: Connection[Any]) -> None:
    before = gather_mine(history, CODE).rows("runs")
    assert [row["year"] for row in before] == [2021, 2022, 2023]
    assert {row["polygon_count"] for row in before} <= set(range(1, 10))
    history.execute(
        "update lode.run set is_current = false, status = 'withdrawn' where run_id = %s",
        (before[-1]["run_id"],),
    )
    assert [row["year"] for row in gather_mine(history, CODE).rows("runs")] == [2021, 2022]


def test_a_region_is_found_by_name_or_code_and_has_a_page(history: Connection[Any]) -> None:
    history.execute(
        "insert into lode.region_layer (key, name) values ('county', 'County'), ('basin', 'Basin')"
    )
    outline = ewkb(cells(MINE, "x")).hex()
    history.execute(
        "insert into lode.region (region_layer_id, code, name, name_zh, geom)"
        " select region_layer_id, '65' || key, 'Qitai <i>', '奇台县', %s::geometry from lode.region_layer",
        (outline,),
    )
    with pytest.raises(UsageError, match=r"names 2 regions.*--layer"):
        find_region(history, "qitai <I>")
    assert find_region(history, "奇台县", "county").code == "65county"
    assert find_region(history, "65basin").mine_codes == (CODE,)
    report = gather_region(history, "65county", None)
    (open_pit,) = [
        row for row in report.rows("damage") if (row["year"], row["land_class"]) == (2023, "open_pit")
    ]
    assert open_pit["area_m2"] / CELL_M2 == pytest.approx(6, abs=1e-3)
    page = overview_page(report, "both")
    assert "Qitai <i>" not in page
    assert f'value="{open_pit["area_m2"]!r}"' in page
    assert json.dumps(NAME)[1:5] in json.dumps(text_of(page))


def test_alerts_stand_in_the_page_with_a_number_on_the_map(history: Connection[Any]) -> None:
    report = gather_mine(history, CODE)
    alerts = report.rows("alerts")
    assert alerts
    page = mine_page(history, report, "both")
    shown = text_of(page)
    for alert in alerts:
        assert alert["reason"] in shown
        assert alert["reason_zh"] in shown
    numbered = [each for each in alerts if each["is_current"] and each["year"] == 2023]
    assert page.count('class="number-mark') == len(numbered)


def test_an_unfinished_run_is_no_evidence(history: Connection[Any]) -> None:
    scene_id = add_scene(history, "late", date(2024, 6, 1), cells(MINE, "x"))
    runs.request_interpretation(history, scene_id, add_model(history, "other"))
    report = gather_mine(history, CODE)
    assert report.years == [2021, 2022, 2023, 2024]
    assert report.observed_years == [2021, 2022, 2023]
    assert "a scene of this year covers it, but no current run observed it" in {
        row["reason"] for row in report.rows("gaps")
    }
    assert "not observed" in mine_page(history, report, "en")
