"""The page of a search for ore in a real browser without a network, on a screen, a phone and paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.connection import connect
from db.embedded import Cluster
from reporting.prospect_page import prospect_page
from reporting.prospect_report import gather_search
from tests.browser import Browser, browser
from tests.conftest import copied_database
from tests.db import prospect_rows as rows

A4_TEXT_PX = round((210 - 2 * 14) / 25.4 * 96)
"""Width of the text on paper in CSS pixels: A4 less the margins of the page's style."""
PHONE_PX = 390


@pytest.fixture(scope="module")
def page(cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "search.html"
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        rows.add_whole_search(conn)
        path.write_text(prospect_page(conn, gather_search(conn, None, 20), "both"), "utf-8")
    return path


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as made:
        yield made


def test_it_opens_offline_and_asks_for_nothing(page: Path, shown: Browser) -> None:
    shown.requests.clear()
    shown.complaints.clear()
    shown.open(page)
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith("data:")] == [page.as_uri()]
    assert shown.evaluate("document.scripts.length") == 0
    assert shown.evaluate("document.getElementById('ground-name').textContent") == rows.AREA
    assert shown.evaluate("document.getElementById('model-name').textContent") == rows.MODEL
    box = "document.querySelector('svg.map image').getBoundingClientRect()"
    drawing = "document.querySelector('svg.map').getBoundingClientRect()"
    assert shown.evaluate(f"{box}.width / {drawing}.width") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("width_px", [1280, PHONE_PX, A4_TEXT_PX])
def test_nothing_is_wider_than_the_page(page: Path, shown: Browser, width_px: int) -> None:
    """What is wide moves within a frame of its own on a phone."""
    shown.open(page, width_px=width_px)
    if width_px == A4_TEXT_PX:
        shown.as_printed(width_px)
    frame = ".scroll" if width_px == PHONE_PX else "none"
    wide = shown.evaluate(
        "[...document.querySelectorAll('main, main *')].filter(each => {"
        " const edge = each.getBoundingClientRect().right;"
        " return edge > document.querySelector('main').getBoundingClientRect().right + 1"
        f"  && !each.closest('svg *') && !each.parentElement.closest({frame!r}) }})"
        ".map(each => each.outerHTML.slice(0, 90))"
    )
    assert wide == []
    assert shown.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_it_prints(page: Path, shown: Browser) -> None:
    shown.open(page)
    assert shown.pdf().startswith(b"%PDF-")
