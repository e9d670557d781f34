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
from reporting.overview_report import OverviewReport, gather_change, gather_damage
from tests.browser import Browser, browser
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.reported_mine import CODE, NAME, add_history

A4_TEXT_PX = round((210 - 2 * 14) / 25.4 * 96)
"""Width of the text on paper in CSS pixels: A4 less the margins of the page's style."""

PAGES = ("mine-both", "mine-en", "mine-zh", "long-both", "change-both", "damage-both")


@dataclass(frozen=True)
class Pages:
    folder: Path
    mine: MineReport
    change: OverviewReport
    damage: OverviewReport

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.html"


@pytest.fixture(scope="module")
def pages(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("pages")
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        _add_long_history(conn)
        long = gather_mine(conn, "long")
        made_long = mine_page(conn, long, "both")
        conn.rollback()
        add_history(conn)
        made = Pages(
            folder, gather_mine(conn, CODE), gather_change(conn, (), None), gather_damage(conn, (), ())
        )
        for language in ("both", "en", "zh"):
            made.path(f"mine-{language}").write_text(mine_page(conn, made.mine, language), "utf-8")  # type: ignore[arg-type]
        made.path("long-both").write_text(made_long, "utf-8")
        made.path("change-both").write_text(overview_page(made.change, "both"), "utf-8")
        made.path("damage-both").write_text(overview_page(made.damage, "both"), "utf-8")
        conn.rollback()
        yield made


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


@pytest.mark.parametrize(
    ("name", "absent"), [("mine-en", "[一-鿿]"), ("mine-zh", "Damaged|Observed|Licence")]
)
def test_one_language_is_one_language(pages: Pages, shown: Browser, name: str, absent: str) -> None:
    shown.open(pages.path(name))
    text = shown.evaluate("document.body.innerText").replace(NAME, "")
    assert re.findall(absent, text) == []


@pytest.mark.parametrize("name", ["mine-both", "change-both"])
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
