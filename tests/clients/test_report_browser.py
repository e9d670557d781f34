"""Reports in a real browser without a network: what people see, print and sign."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from reporting.mine_page import mine_page
from reporting.mine_report import MineReport, gather_mine
from reporting.overview_page import overview_page
from reporting.overview_report import OverviewReport, gather_change, gather_damage, gather_region
from reporting.words import Language
from tests.assessed_ground import planted_assessment
from tests.browser import Browser, browser
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.reported_mine import CODE, NAME, add_history
from tests.reported_region import add_regions

A4_TEXT_PX = round((210 - 2 * 14) / 25.4 * 96)
"""Width of the text on paper in CSS pixels: A4 less the margins of the page's style."""

PAGES = (
    "mine-both", "mine-en", "mine-zh", "long-both", "edge-both", "change-both", "damage-both", "region-both",
    "region-en", "region-zh", "desert-both",
)  # fmt: skip


LANGUAGES: tuple[Language, ...] = ("both", "en", "zh")


@dataclass(frozen=True)
class Pages:
    folder: Path
    mine: MineReport
    change: OverviewReport
    damage: OverviewReport
    edge: MineReport
    region: OverviewReport

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.html"


@pytest.fixture(scope="module")
def pages(cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = tmp_path_factory.mktemp("pages")
    texts: dict[str, str] = {}
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        _add_long_history(conn)
        texts["long-both"] = mine_page(conn, gather_mine(conn, "long"), "both")
        conn.rollback()
        add_history(conn)
        conn.execute("update lode.alert_rule set threshold_m2 = 5000 where kind = 'new_damage'")
        planted_assessment(conn, "spring", {0: 2e5, 6: 4e4}, {0: {0: 8, 6: 2, 1: 1}, 6: {6: 9, 0: 1}})
        planted_assessment(conn, "thin", {0: 2e5, 6: 4e4}, {0: {0: 3}, 6: {6: 1, None: 1}})  # type: ignore[dict-item]
        mine = gather_mine(conn, CODE)
        change, damage = gather_change(conn), gather_damage(conn)
        for language in LANGUAGES:
            texts[f"mine-{language}"] = mine_page(conn, mine, language)
        texts["change-both"] = overview_page(change, "both")
        texts["damage-both"] = overview_page(damage, "both")
        conn.rollback()
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        add_regions(conn)
        region, edge = gather_region(conn, "west", None), gather_mine(conn, "edge")
        for language in LANGUAGES:
            texts[f"region-{language}"] = overview_page(region, language)
        texts["desert-both"] = overview_page(gather_region(conn, "desert", None), "both")
        texts["edge-both"] = mine_page(conn, edge, "both")
        conn.rollback()
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return Pages(folder, mine, change, damage, edge, region)


def _add_long_history(conn: Connection[Any]) -> None:
    """Fourteen years of a mine that grows and is treated."""
    ground = cells("xxxx\nxxxx", "x")
    add_mine(conn, "long", ground)
    model_id = add_model(conn, "long net")
    for year in range(2010, 2024):
        scene_id = add_scene(conn, f"long {year}", date(year, 7, 1), ground)
        publish_drawing(conn, scene_id, model_id, year, ("ppdd\nvvdd", "pppd\nvvvv")[year % 2])


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as page:
        yield page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_offline_and_asks_for_nothing(pages: Pages, shown: Browser, name: str) -> None:
    shown.requests.clear()
    shown.complaints.clear()
    shown.open(pages.path(name))
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith("data:")] == [pages.path(name).as_uri()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("media", ["screen", "print"])
def test_nothing_is_wider_than_the_page(pages: Pages, shown: Browser, name: str, media: str) -> None:
    shown.open(pages.path(name))
    if media == "print":
        shown.as_printed(A4_TEXT_PX)
    wide = shown.evaluate(
        "[...document.querySelectorAll('main, main *')].filter(each => {"
        " const edge = each.getBoundingClientRect().right;"
        " return edge > document.querySelector('main').getBoundingClientRect().right + 1"
        "  && !each.closest('svg *') }).map(each => each.outerHTML.slice(0, 90))"
    )
    assert wide == []
    assert shown.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_every_picture_is_decoded(pages: Pages, shown: Browser) -> None:
    shown.open(pages.path("mine-both"))
    widths = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 3
    assert min(widths) > 0
    assert shown.evaluate("[...document.querySelectorAll('.chip')].map(chip => chip.dataset.year)") == [
        "2021", "2022", "2023"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["mine-both", "mine-en", "mine-zh"])
def test_a_hard_name_stands_there_verbatim_and_does_nothing(pages: Pages, shown: Browser, name: str) -> None:
    shown.open(pages.path(name))
    assert shown.evaluate("document.getElementById('mine-name').textContent") == NAME
    assert shown.evaluate("document.getElementById('mine-code').textContent") == CODE
    assert NAME in shown.evaluate("document.title")
    assert shown.evaluate("document.scripts.length") == 0
    assert CODE.replace("'", "''") in shown.evaluate("document.getElementById('evidence-sql').textContent")


def _values(page: Browser, selector: str) -> list[float]:
    return [
        float(value)
        for value in page.evaluate(f"[...document.querySelectorAll({selector!r})].map(each => each.value)")
    ]


def _of_pair(row: dict[str, Any]) -> str:
    return f'[data-years="{row["from_year"]}-{row["to_year"]}"][data-kind="{row["kind"]}"]'


def test_numbers_on_the_page_are_the_rows_of_the_views(pages: Pages, shown: Browser) -> None:
    shown.open(pages.path("mine-both"))
    for row in pages.mine.rows("damage"):
        cell = f'[data-table="damage"] [data-class="{row["land_class"]}"][data-year="{row["year"]}"] data'
        assert _values(shown, cell) == [row["area_m2"]]
    for row in pages.mine.rows("change"):
        cells = f'[data-table="change"] {_of_pair(row)}'
        columns = ("new_area_m2", "treated_area_m2", "persisting_area_m2", "unobserved_area_m2")
        assert _values(shown, f"{cells} data") == [row[column] for column in columns]
    for row in pages.mine.rows("transition"):
        cell = f'[data-from="{row["from_class"]}"][data-to="{row["to_class"]}"] data'
        assert row["area_m2"] in _values(shown, cell)
    for row in pages.mine.rows("series"):
        columns = ("active_area_m2", "newly_area_m2", "cumulative_area_m2", "observed_fraction")
        found = _values(shown, f'[data-table="series"] [data-year="{row["year"]}"] data')
        assert found == [row[column] for column in columns]
    for row in pages.mine.rows("restoration"):
        columns = ("cumulative_damage_area_m2", "treated_area_m2", "restoration_rate")
        found = _values(shown, f'[data-table="restoration"] [data-year="{row["year"]}"] data')
        assert found[:3] == [row[column] for column in columns]


def _known(row: dict[str, Any], *columns: str) -> list[float]:
    """What a row holds in these columns, without nulls: a page has no number there."""
    return [float(row[column]) for column in columns if row[column] is not None]


def _rows_shown(page: Browser, table: str) -> int:
    return int(page.evaluate(f"document.querySelectorAll('[data-table=\"{table}\"] tbody tr').length"))


def _check_totals(page: Browser, table: str, series: list[dict[str, Any]]) -> None:
    assert series
    for row in series:
        of_year = f'[data-table="{table}"] .total [data-year="{row["year"]}"] data'
        assert _values(page, of_year) == _known(row, "active_area_m2")
        observed = f'[data-table="{table}"] [data-series="observed"][data-year="{row["year"]}"] data'
        assert _values(page, observed) == _known(row, "observed_fraction")


def _check_alerts(page: Browser, rows: list[dict[str, Any]]) -> None:
    assert rows
    assert _rows_shown(page, "alerts") == len(rows)
    for row in rows:
        code = row["mine_code"].replace("\\", "\\\\").replace('"', '\\"')
        which = f'[data-mine="{code}"][data-kind="{row["kind"]}"][data-year="{row["year"]}"]'
        line = f'[data-table="alerts"] {which}'
        assert _values(page, f"{line} data") == _known(row, "area_m2", "confidence")
        text = page.evaluate(f"document.querySelector({line!r}).innerText")
        assert row["reason"] in text
        assert row["reason_zh"] in text


def _check_sensitive(page: Browser, rows: list[dict[str, Any]]) -> None:
    assert rows
    assert _rows_shown(page, "sensitive") == len(rows)
    for row in rows:
        line = (
            f'[data-table="sensitive"] [data-mine="{row["mine_code"]}"][data-year="{row["year"]}"]'
            f'[data-class="{row["land_class"]}"][data-region="{row["region_code"]}"] data'
        )
        assert _values(page, line) == _known(row, "area_m2", "share_of_mine_damage")


def _check_gaps(page: Browser, rows: list[dict[str, Any]]) -> None:
    assert rows
    assert _rows_shown(page, "gaps") == len(rows)
    for row in rows:
        line = f'[data-table="gaps"] [data-year="{row["year"]}"]'
        assert _values(page, f"{line} data") == _known(row, "observed_fraction", "unobserved_area_m2")


KEY_COLUMNS = {
    "key_damaged": "damaged_area_m2",
    "key_new": "new_area_m2",
    "key_treated": "treated_area_m2",
    "key_observed": "observed_fraction",
    "key_outside": "unlicensed_area_m2",
}


@pytest.mark.parametrize("name", ["mine", "edge"])
def test_every_other_number_of_a_mine_is_a_row_of_a_view(pages: Pages, shown: Browser, name: str) -> None:
    """Key figures, totals, damage outside the licence, alerts, gaps, evidence."""
    report: MineReport = getattr(pages, name)
    shown.open(pages.path(f"{name}-both"))
    for key, column in KEY_COLUMNS.items():
        assert _values(shown, f'[data-key="{key}"] data') == [report.summary[column]]
    alerts = shown.evaluate("document.querySelector('[data-key=key_alerts] .number').textContent.trim()")
    assert int(alerts) == report.summary["open_alert_count"]
    _check_totals(shown, "damage", report.rows("series"))
    for row in report.rows("outside_licence_years"):
        line = f'[data-table="outside_licence_years"] [data-year="{row["year"]}"]'
        columns = ("damaged_area_m2", "unlicensed_area_m2", "share_of_damage", "observed_fraction")
        assert _values(shown, f"{line} data") == _known(row, *columns)
    for row in report.rows("outside_licence"):
        cell = f'[data-class="{row["land_class"]}"][data-year="{row["year"]}"] data'
        assert _values(shown, f'[data-table="outside_licence"] {cell}') == _known(row, "unlicensed_area_m2")
    _check_alerts(shown, report.rows("alerts"))
    _check_gaps(shown, report.rows("gaps"))
    for row in report.rows("runs"):
        assert _values(shown, f'[data-table="runs"] [data-run="{row["run_id"]}"] data') == [row["area_m2"]]
    if name == "edge":
        _check_sensitive(shown, report.rows("sensitive"))


def test_estimates_on_the_page_are_the_rows_of_the_view(pages: Pages, shown: Browser) -> None:
    """Those that are known; where nothing is, no number stands there but the mapped area, and the reason."""
    shown.open(pages.path("mine-both"))
    rows = pages.mine.rows("uncertainty")
    assert {row["assessment"] for row in rows} == {"spring", "thin"}
    columns = (
        "mapped_area_m2", "estimated_area_m2", "lower_m2", "upper_m2", "users_accuracy", "producers_accuracy"
    )  # fmt: skip
    for row in rows:
        line = f'[data-assessment="{row["assessment"]}"] [data-class="{row["land_class"]}"]'
        assert _values(shown, f"{line} data") == _known(row, *columns)
        text = shown.evaluate(f"document.querySelector({line!r}).lastElementChild.innerText")
        assert text == f"{row['answered_count']} / {row['sample_count']}"
        why = shown.evaluate(f"[...document.querySelectorAll('{line}.why')].map(each => each.innerText)")
        assert len(why) == (row["reason"] is not None)
        assert all(row["reason"] in text for text in why)
    assert all(row["reason"] for row in rows if row["estimated_area_m2"] is None)
    warned = shown.evaluate("[...document.querySelectorAll('[data-warning]')].map(each => each.innerText)")
    warnings = [row["warning"] for row in pages.mine.rows("uncertainty_warnings")]
    assert warnings
    assert [text.splitlines()[0] for text in warned] == warnings


def test_a_region_shows_its_own_share_and_whole_mines(pages: Pages, shown: Browser) -> None:
    report = pages.region
    shown.open(pages.path("region-both"))
    assert shown.evaluate("document.getElementById('region-name').innerText") == "region west"
    for row in report.rows("damage"):
        cell = f'[data-table="totals"] [data-class="{row["land_class"]}"][data-year="{row["year"]}"] data'
        assert _values(shown, cell) == _known(row, "area_m2")
    _check_totals(shown, "totals", report.rows("series"))
    columns = ("active_area_m2", "newly_area_m2", "cumulative_area_m2", "observed_fraction")
    for row in report.rows("series"):
        found = _values(shown, f'[data-table="series"] [data-year="{row["year"]}"] data')
        assert found == _known(row, *columns)
    newest = report.rows("series")[-1]
    assert _values(shown, '[data-key="key_damaged"] data') == [newest["active_area_m2"]]
    assert _values(shown, '[data-key="key_newly"] data') == [newest["newly_area_m2"]]
    for table, columns in (
        ("region_mines", ("mine_area_m2", "inside_area_m2", "inside_share")),
        ("ranking", ("new_area_m2", "share", "damaged_area_m2", "confidence", "observed_fraction")),
    ):
        rows = report.rows({"region_mines": "mines"}.get(table, table))
        assert {row["mine_code"] for row in rows} == {"inside", "edge"}
        assert _rows_shown(shown, table) == 2
        for row in rows:
            found = _values(shown, f'[data-table="{table}"] [data-mine="{row["mine_code"]}"] data')
            assert found == _known(row, *columns)
    _check_sensitive(shown, report.rows("sensitive"))
    _check_alerts(shown, report.rows("alerts"))
    _check_gaps(shown, report.rows("gaps"))
    assert "mine outside" not in shown.evaluate("document.body.innerText")
    told = shown.evaluate(
        "[...document.querySelectorAll('.whole-mines')].map(each => each.closest('section').id)"
    )
    assert told == ["map", "ranking", "sensitive", "alerts", "gaps"]


def test_the_map_of_a_region_shows_its_mines_where_they_lie(pages: Pages, shown: Browser) -> None:
    """The name of the mine inside stands left of that of the mine on the edge, both within the drawing."""
    shown.open(pages.path("region-both"))
    places = shown.evaluate(
        "[...document.querySelectorAll('#map svg.map text')]"
        ".filter(each => each.textContent.startsWith('mine ')).map(each => {"
        " const box = each.getBoundingClientRect(), map = each.closest('svg').getBoundingClientRect();"
        " return [each.textContent, (box.left + box.right) / 2, box.left >= map.left"
        "  && box.right <= map.right && box.top >= map.top && box.bottom <= map.bottom] })"
    )
    found = {name: (x, is_within) for name, x, is_within in places}
    assert found.keys() == {"mine inside", "mine edge"}
    assert all(is_within for _x, is_within in found.values())
    assert found["mine inside"][0] < found["mine edge"][0]


def test_an_overview_shows_the_rows_of_the_views(pages: Pages, shown: Browser) -> None:
    shown.open(pages.path("change-both"))
    for row in pages.change.rows("by_year"):
        cells = f'[data-table="by_year"] {_of_pair(row)}'
        columns = ("new_area_m2", "new_share", "treated_area_m2", "treated_share")
        known = [row[column] for column in columns if row[column] is not None]
        assert _values(shown, f"{cells} data") == known
    shown.open(pages.path("damage-both"))
    for row in pages.damage.rows("by_year"):
        cell = f'[data-table="totals"] [data-class="{row["land_class"]}"][data-year="{row["year"]}"] data'
        assert _values(shown, cell) == [row["area_m2"]]
    _check_totals(shown, "totals", pages.damage.rows("series_by_year"))
    _check_alerts(shown, pages.damage.rows("alerts"))
    _check_gaps(shown, pages.damage.rows("gaps"))
    for row in pages.damage.rows("series"):
        cells = f'[data-table="mines"] [data-mine] [data-year="{row["year"]}"] data'
        assert _values(shown, cells) == _known(row, "active_area_m2")


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("mine-en", "[一-鿿]"),
        ("region-en", "[一-鿿]"),
        ("mine-zh", "Damaged|Observed|Licence"),
        ("region-zh", "Damaged|Observed|Licence|Mines|whole|figures"),
    ],
)
def test_one_language_is_one_language(pages: Pages, shown: Browser, name: str, absent: str) -> None:
    shown.open(pages.path(name))
    text = shown.evaluate("document.body.innerText").replace(NAME, "")
    assert re.findall(absent, text) == []


@pytest.mark.parametrize("name", ["mine-both", "change-both", "region-both"])
def test_a_page_prints(pages: Pages, shown: Browser, name: str) -> None:
    shown.open(pages.path(name))
    printed = shown.pdf()
    assert printed.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) <= 12
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed)}
    assert {(round(box[2] / 72 * 25.4), round(box[3] / 72 * 25.4)) for box in boxes} == {(210, 297)}


def test_a_mine_is_not_mistaken_for_treated_where_nobody_looked(pages: Pages, shown: Browser) -> None:
    """Four cells of 2022 were not seen: they stand as a gap, in words and in hatching."""
    shown.open(pages.path("mine-both"))
    rows: list[dict[str, Any]] = pages.mine.rows("gaps")
    assert [row["year"] for row in rows] == [2022]
    assert _values(shown, '[data-table="gaps"] data')[1] == rows[0]["unobserved_area_m2"]
    assert shown.evaluate("document.querySelectorAll('#maps svg.map [fill=\"url(#unseen)\"]').length") == 1
