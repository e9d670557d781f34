"""What pages show of tables: totals under their years, how much is cut, figures that are rows of views."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterator
from datetime import date
from html import unescape
from typing import Any

import pytest
from psycopg import Connection

import lode
from db.connection import connect
from db.embedded import Cluster
from reporting import mine_page as mine_pages
from reporting import overview_page as overview_pages
from reporting import page as pages
from reporting.mine_page import mine_page
from reporting.mine_report import gather_mine
from reporting.overview_page import overview_page
from reporting.overview_report import gather_change, gather_damage, gather_ranking, gather_region
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.page_tables import Tables
from tests.regions import add_layer, add_region


@pytest.fixture(scope="module")
def years_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """Two mines over four years, with a licence, protected ground, alerts and an interpreter's label."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            fill(made)
        yield url


def fill(conn: Connection[Any]) -> None:
    for code, drawing in (("m 1", "xxxx"), ("-M2", "....xxxx")):
        add_mine(conn, code, cells(drawing, "x"))
    licence = ewkb(cells("x", "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry where code = 'm 1'", (licence,))
    conn.execute("update lode.alert_rule set threshold_m2 = 5000")
    add_layer(conn, "farmland", is_protected=True)
    add_region(conn, "farmland", "F1", cells("xx..xx", "x"))
    add_region(conn, "county", "C1", cells("xxxxxx", "x"))
    model_id = add_model(conn, "net")
    for year, drawing in ((2020, "vpvvvvvv"), (2021, "ppvvpvv."), (2022, "ppdvppv."), (2023, "ppddppp.")):
        scene_id = add_scene(conn, str(year), date(year, 6, 1), cells(drawing, "pdv"))
        publish_drawing(conn, scene_id, model_id, year, drawing)
    add_label(conn, 8, cells("...x", "x"), date(2022, 7, 1), interpreter="Li")
    conn.commit()


@pytest.fixture
def years(years_url: str) -> Iterator[Connection[Any]]:
    with connect(years_url) as made:
        yield made
        made.rollback()


def test_totals_stand_under_their_years(years: Connection[Any]) -> None:
    """A reviewed alert outlives the scene of its year: a column without a total, before the others."""
    years.execute(
        "update lode.alert set state = 'confirmed' where to_year = 2020 and kind = 'outside_licence'"
    )
    years.execute(
        "update lode.scene set superseded_by = (select scene_id from lode.scene where product = '2021')"
        " where product = '2020'"
    )
    report = gather_damage(years)
    series = {row["year"]: row for row in report.rows("series_by_year")}
    assert sorted(series) == [2021, 2022, 2023]
    assert min(row["year"] for row in report.rows("alerts")) == 2020
    tables = Tables(overview_page(report, "en"))
    assert tables.by_year("totals", "Total") == {
        2020: None, **{year: row["active_area_m2"] for year, row in series.items()}
    }  # fmt: skip
    assert tables.by_year("totals", "Observed") == {
        2020: None, **{year: row["observed_fraction"] for year, row in series.items()}
    }  # fmt: skip
    pits = {row["year"]: row["area_m2"] for row in report.rows("by_year") if row["land_class"] == "open_pit"}
    assert tables.by_year("totals", "Open pit") == {2020: None, **pits}


CUT = re.compile(r'<p class="note" data-cut="([^"]+)">(.*?)</p>', re.DOTALL)


def cuts_of(page: str) -> dict[str, tuple[list[int], str]]:
    """What a page says that it leaves out: the numbers, and the command that prints all."""
    found = {}
    for table, note in CUT.findall(page):
        text = re.sub(r"<code>.*?</code>|<[^>]+>", "", note, flags=re.DOTALL)
        commands = [unescape(each) for each in re.findall(r"<code>(.*?)</code>", note)]
        found[table] = ([int(each) for each in re.findall(r"\d+", text)], commands[0] if commands else "")
    return found


def test_a_page_says_how_much_it_shows_of_how_much_and_how_to_get_the_rest(
    years: Connection[Any],
    years_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every command that a page names is run: the table it prints has as many rows as the page says."""
    monkeypatch.setenv("LODE_DATABASE_URL", years_url)
    monkeypatch.setitem(pages.MOST_ROWS, "alerts", 1)
    monkeypatch.setitem(pages.MOST_ROWS, "sensitive", 1)
    monkeypatch.setattr(overview_pages, "ROWS_SHOWN", 1)
    reports = [gather_damage(years), gather_change(years), gather_region(years, "C1", None)]
    reports += [gather_ranking(years, (2021, 2022)), gather_change(years, ["-M2"], (2021, 2022))]
    made = [(report, overview_page(report, "en")) for report in reports]
    made += [(report, mine_page(years, report, "en")) for report in (gather_mine(years, "m 1"),)]
    years.rollback()
    seen, shown_as = set(), {"change": "changes", "mines": "region_mines"}
    for report, page in made:
        for table, (numbers, command) in cuts_of(page).items():
            if table in {"ranking-pairs"}:
                continue
            seen.add(table)
            program, *arguments = shlex.split(command)
            assert program == "lode"
            assert lode.run(arguments) == 0, command
            rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
            assert len(rows) == len(report.tables[table].rows), command
            if table != "series":  # the page has a row a mine
                assert numbers[0] == len(Tables(page).texts[shown_as.get(table, table)]) - 1
                if table == "ranking":  # the page has one pair of years
                    newest = tuple(map(str, report.newest_pair or ()))
                    rows = [row for row in rows if (row["from_year"], row["to_year"]) == newest]
                assert numbers[1] == len(rows), command
    assert seen >= {"series", "alerts", "ranking", "sensitive", "gaps", "mines"}


def test_years_pairs_and_pictures_left_out_are_told(
    years: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_YEARS", 3)
    monkeypatch.setattr(mine_pages, "MAX_MATRICES", 1)
    cuts = cuts_of(mine_page(years, gather_mine(years, "m 1"), "en"))
    assert cuts["damage"] == ([3, 4], "lode report mine --table damage --format csv 'm 1'")
    assert cuts["transition"] == ([1, 3], "lode report mine --table transition --format csv 'm 1'")
    cuts = cuts_of(mine_page(years, gather_mine(years, "-M2"), "en"))
    assert cuts["damage"][1] == "lode report mine --table damage --format csv -- -M2"
    cuts = cuts_of(overview_page(gather_damage(years), "en"))
    assert cuts["totals"] == ([3, 4], "lode report damage --table by_year --format csv")
    assert cuts["series"] == ([3, 4], "lode report damage --table series --format csv")
    cuts = cuts_of(overview_page(gather_ranking(years, None), "en"))
    assert cuts["ranking-pairs"] == ([3], "lode report ranking --table ranking --format csv")


def test_every_table_of_a_report_can_be_had_in_full(
    years_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", years_url)
    with connect(years_url) as conn:
        wanted = {
            ("mine", "m 1"): gather_mine(conn, "m 1").tables,
            ("damage",): gather_damage(conn).tables,
            ("change",): gather_change(conn).tables,
            ("region", "C1"): gather_region(conn, "C1", None).tables,
        }
    for words, tables in wanted.items():
        for name, table in tables.items():
            assert lode.run(["report", *words, "--table", name, "--format", "csv"]) == 0
            lines = list(csv.reader(io.StringIO(capfd.readouterr().out)))
            assert (tuple(lines[0]), len(lines) - 1) == (table.columns, len(table.rows)), (words, name)
    assert lode.run(["report", "damage", "--format", "csv"]) == 0
    assert len(capfd.readouterr().out.splitlines()) - 1 == len(wanted["damage",]["damage"].rows)


def test_the_terminal_names_the_columns_it_leaves_out(
    years_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", years_url)
    assert lode.run(["report", "damage"]) == 0
    printed = capfd.readouterr()
    assert "8 of 12 columns; not shown: land_class_name_zh" in printed.out
    assert "other tables of this report: --table by_year, series_by_year" in printed.err


def read(conn: Connection[Any], query: str) -> list[dict[str, Any]]:
    cursor = conn.execute(query)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_evidence_by_run_and_label_is_what_the_pieces_add_up_to(years: Connection[Any]) -> None:
    rows = read(
        years,
        "select e.mine_code, e.year, e.run_id, e.label_id is not null as is_drawn, e.interpreter, e.product,"
        " count(distinct coalesce(e.landcover_id, e.label_id)) as n, sum(e.area_m2) as area_m2"
        " from lode_api.evidence e group by 1, 2, 3, 4, 5, 6",
    )
    by_run = {(r["mine_code"], r["year"], r["run_id"]): r for r in rows if not r["is_drawn"]}
    found = read(years, "select * from lode_api.evidence_by_run")
    assert {(r["mine_code"], r["year"], r["run_id"]) for r in found} == set(by_run)
    for row in found:
        pieces = by_run[row["mine_code"], row["year"], row["run_id"]]
        assert row["area_m2"] == pytest.approx(pieces["area_m2"], rel=1e-12)
        assert (row["polygon_count"], row["product"]) == (pieces["n"], pieces["product"])
    (drawn,) = read(years, "select * from lode_api.evidence_by_label")
    (pieces,) = [row for row in rows if row["is_drawn"]]
    assert (drawn["mine_code"], drawn["year"], drawn["interpreter"]) == ("m 1", 2022, "Li")
    assert (drawn["land_class"], drawn["label_count"]) == ("subsidence", 1)
    assert drawn["area_m2"] == pytest.approx(pieces["area_m2"], rel=1e-12)
    assert len({row["ogc_fid"] for row in found}) == len(found)


def test_key_figures_are_those_of_the_views_they_are_named_after(years: Connection[Any]) -> None:
    for summary in read(years, "select * from lode_api.mine_summary"):
        code = summary["mine_code"].replace("'", "''")
        of_mine = f"where mine_code = '{code}'"
        (series,) = read(
            years,
            f"select * from lode_api.active_newly_cumulative {of_mine} and active_area_m2 is not null"
            " order by year desc limit 1",
        )
        (change,) = read(
            years,
            f"select * from lode_api.change_by_mine_year {of_mine} and kind = 'any'"
            " and (is_consecutive or is_bridging)"
            " order by to_year desc, is_bridging desc, from_year desc limit 1",
        )
        (outside,) = read(
            years,
            f"select * from lode_api.outside_licence_by_mine_year {of_mine} and year = {series['year']}",
        )
        alerts = read(years, f"select * from lode_api.damage_alert {of_mine} and is_to_review")
        assert summary["year"] == series["year"] == 2023
        assert summary["damaged_area_m2"] == pytest.approx(series["active_area_m2"], rel=1e-12)
        assert summary["observed_fraction"] == series["observed_fraction"]
        assert (summary["from_year"], summary["to_year"]) == (change["from_year"], change["to_year"])
        assert (summary["new_area_m2"], summary["treated_area_m2"]) == (
            change["new_area_m2"], change["treated_area_m2"]
        )  # fmt: skip
        assert summary["unlicensed_area_m2"] == outside["unlicensed_area_m2"]
        assert summary["open_alert_count"] == len(alerts)
        assert summary["severe_alert_count"] == sum(alert["level"] == "severe" for alert in alerts)
    assert {row["open_alert_count"] > 0 for row in read(years, "select * from lode_api.mine_summary")} == {
        True
    }
