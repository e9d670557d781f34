"""A report is the same on every machine: rows come in the order of their bytes, not in that of a language."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.reports.ground import GROUND_LAYERS, ground_layer
from db.reports.regions import find_region
from db.upgrade import upgrade
from reporting.mine_report import gather_mine
from reporting.overview_report import gather_change, gather_damage, gather_gaps, gather_region
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.regions import add_layer, add_region

CODES = ("b-1", "B2", "a_3", "a2")
"""In the order of their bytes: B2, a2, a_3, b-1; in English: a_3, a2, b-1, B2."""


@pytest.fixture(scope="module")
def english_url(cluster: Cluster) -> Iterator[str]:
    """A database that sorts as English does."""
    name = "lode_test_english"
    with connect(cluster.url("postgres"), autocommit=True) as admin:
        admin.execute(
            f"create database {name} template template0 encoding 'UTF8' locale 'C.UTF-8'"
            " locale_provider icu icu_locale 'en-US'"
        )
    try:
        with connect(cluster.url(name), autocommit=True) as made:
            made.execute("create extension postgis")
            made.execute("create extension postgis_raster")
        upgrade(cluster.url(name), lambda _line: None)
        yield cluster.url(name)
    finally:
        cluster.drop_database(name)


def fill(conn: Connection[Any]) -> None:
    for at, code in enumerate(CODES):
        add_mine(conn, code, cells("." * 3 * at + "xxx\n" + "." * 3 * at + "xxx", "x"))
    licence = ewkb(cells("...\n...\nxxx", "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry", (licence,))
    conn.execute("update lode.alert_rule set threshold_m2 = 5000")
    add_layer(conn, "farmland", is_protected=True)
    for code in ("f-1", "F2", "f_3"):
        add_region(conn, "farmland", code, cells("x" * 12, "x"))
    add_region(conn, "county", "C1", cells("x" * 12 + "\n" + "x" * 12, "x"))
    model_id = add_model(conn, "net")
    for year, top, below in ((2021, "pvvpvvpvvpvv", "dl.dl.dl.dl."), (2022, "ppvppvppvppv", "il.il.il.il.")):
        drawing = f"{top}\n{below}"
        scene_id = add_scene(conn, str(year), date(year, 6, 1), cells(drawing, "pvdli"))
        publish_drawing(conn, scene_id, model_id, year, drawing)
    for at, who in enumerate(("li", "Li", "l i")):
        ground = cells("." * 9 + "." * at + "x", "x")
        add_label(conn, 6, ground, date(2022, 7, 1), is_counted=True, interpreter=who)


KEYS = {"ogc_fid", "run_id", "landcover_id", "label_id", "run_finished_at", "is_current"}
"""Columns that may differ between two databases."""


def everything(conn: Connection[Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table of the reports and of every layer, without keys."""
    reports = {
        "damage": gather_damage(conn),
        "change": gather_change(conn),
        "gaps": gather_gaps(conn),
        "region": gather_region(conn, "C1", None),
        **{f"mine {code}": gather_mine(conn, code) for code in ("B2", "a2")},
    }
    tables = {f"{of} {name}": t for of, each in reports.items() for name, t in each.tables.items()}
    tables |= {f"layer {name}": ground_layer(conn, name) for name in GROUND_LAYERS}
    found = {
        name: [{key: value for key, value in row.items() if key not in KEYS} for row in table.dicts()]
        for name, table in tables.items()
    }
    found["heads"] = [{"codes": [head.code for head in gather_damage(conn).mines]}]
    found["region's mines"] = [{"codes": find_region(conn, "C1").mine_codes}]
    return found


def test_another_collation_gives_the_same_rows_in_the_same_order(
    english_url: str, cluster: Cluster, template_database: str
) -> None:
    with connect(english_url) as english:
        (first,) = english.execute(
            "select array_agg(c order by c) from unnest(%s::text[]) c", (list(CODES),)
        ).fetchone() or ([],)
        assert first != sorted(CODES), "this database sorts by bytes: nothing is shown"
        fill(english)
        found = everything(english)
    with copied_database(cluster, template_database) as url, connect(url) as plain:
        fill(plain)
        expected = everything(plain)
    for name, rows in expected.items():
        assert found[name] == rows, name
    assert [row["mine_code"] for row in expected["layer mine"]] == sorted(CODES)
    assert [row["interpreter"] for row in expected["mine a2 labels"]] == ["Li", "l i", "li"]
    assert list(dict.fromkeys(row["region_code"] for row in expected["mine B2 sensitive"])) == [
        "F2",
        "f-1",
        "f_3",
    ]
    assert len(expected["damage alerts"]) > len(CODES)
