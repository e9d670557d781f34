"""`lode report`: formats, files, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

import lode
from db.connection import connect
from db.embedded import Cluster
from db.reports.views import change_report, damage_report, evidence_report, ranking_report
from tests.catalogue_rows import add_mine
from tests.conftest import copied_database
from tests.grids import cells
from tests.reported_mine import CODE, NAME, add_history

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def history_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A database with the mine and its history, and a mine that no scene shows."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_mine(made, "far", cells("." * 40 + "x", "x"))
            add_history(made, with_pixels=False)
        yield url


@pytest.fixture
def history(history_url: str) -> Iterator[Connection[Any]]:
    with connect(history_url) as made:
        yield made


@pytest.fixture
def report(history_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``lode report``; gives exit code, output and messages."""
    monkeypatch.setenv("LODE_DATABASE_URL", history_url)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = lode.run(["report", *map(str, arguments)])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


def test_csv_holds_every_digit_of_the_view(report: Run, history: Connection[Any]) -> None:
    code, out, _err = report("change", "--format", "csv")
    assert code == 0
    found = list(csv.DictReader(io.StringIO(out)))
    expected = change_report(history)
    assert tuple(found[0]) == expected.columns
    column = expected.columns.index("new_area_m2")
    assert [float(row["new_area_m2"]) for row in found] == [row[column] for row in expected.rows]
    assert found[0]["mine_name"] == NAME


def test_json_is_the_rows_of_the_view(report: Run, history: Connection[Any]) -> None:
    code, out, _err = report("ranking", "--format", "json")
    expected = ranking_report(history)
    assert code == 0
    assert json.loads(out) == [dict(zip(expected.columns, row, strict=True)) for row in expected.rows]


def test_a_mine_as_json_holds_every_table_and_csv_the_one_that_is_named(report: Run) -> None:
    tables = json.loads(report("mine", CODE, "--format", "json")[1])
    assert {"damage", "change", "transition", "series", "gaps", "runs", "uncertainty"} <= set(tables)
    assert [row["year"] for row in tables["gaps"]] == [2022]
    rows = list(csv.DictReader(io.StringIO(report("mine", CODE, "--format", "csv", "--table", "gaps")[1])))
    assert float(rows[0]["unobserved_area_m2"]) == tables["gaps"][0]["unobserved_area_m2"]
    code, _out, err = report("mine", CODE, "--format", "csv", "--table", "nonsense")
    assert code == 1
    assert "choose from damage, change" in err


def test_evidence_adds_up_to_the_damage(report: Run, history: Connection[Any]) -> None:
    rows = json.loads(report("evidence", CODE, "2023", "--class", "open_pit", "--format", "json")[1])
    assert len(rows) == len(evidence_report(history, CODE, 2023, "open_pit").rows) > 0
    damage = damage_report(history, [CODE], [2023])
    area = {
        row[damage.columns.index("land_class")]: row[damage.columns.index("area_m2")] for row in damage.rows
    }
    assert sum(row["area_m2"] for row in rows) == pytest.approx(area["open_pit"], rel=1e-12)


def test_a_file_says_its_format_and_is_replaced_whole(report: Run, tmp_path: Path) -> None:
    out = tmp_path / "change.csv"
    code, printed, err = report("change", "--out", out)
    assert (code, printed) == (0, "")
    assert f"wrote {out}" in err
    assert f"replaced {out}" in report("change", "--out", out)[2]
    assert out.read_text("utf-8").startswith("mine_code,mine_name,from_year")
    assert [path.name for path in tmp_path.iterdir()] == ["change.csv"]


def test_licence_tells_mines_without_a_boundary_from_mines_without_damage(report: Run) -> None:
    """The mine far has neither a licence boundary nor a scene; of the other nothing lay outside in 2021."""
    rows = json.loads(report("licence", "--format", "json")[1])
    found = {(row["mine_code"], row["year"]): (row["finding"], row["unlicensed_area_m2"]) for row in rows}
    assert found["far", 2021] == ("no licence boundary", None)
    assert found[CODE, 2021] == ("none found", 0)
    assert found[CODE, 2023][0] == "found"
    by_class = json.loads(report("licence", "--format", "json", "--table", "outside_licence")[1])
    assert {row["mine_code"] for row in by_class} == {CODE}
    of_year = {row["land_class"]: row["unlicensed_area_m2"] for row in by_class if row["year"] == 2023}
    assert sum(of_year.values()) == pytest.approx(found[CODE, 2023][1], rel=1e-12)


@pytest.mark.parametrize(
    "command",
    [
        ["mine", CODE],
        ["damage"],
        ["damage", "--mine", CODE, "--year", "2022"],
        ["change"],
        ["change", "--years", "2021-2022"],
        ["ranking"],
        ["gaps"],
        ["gaps", "--year", "2023"],
    ],
)
def test_every_report_is_a_page(report: Run, tmp_path: Path, command: list[str]) -> None:
    out = tmp_path / "page.html"
    code, _printed, err = report(*command, "--out", out)
    assert code == 0, err
    page = out.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "onerror=alert(1)>" not in page.replace("&lt;img src=x onerror=alert(1)&gt;", "")


def test_a_geopackage_holds_ground_and_tables(report: Run, history: Connection[Any], tmp_path: Path) -> None:
    out = tmp_path / "mine.gpkg"
    assert report("mine", CODE, "--out", out)[0] == 0
    done = subprocess.run(["ogrinfo", "-ro", "-q", str(out)], check=True, capture_output=True, text=True)
    assert "Warning" not in done.stderr
    for layer in ("mine", "licence", "damage", "change"):
        assert f"{layer} (Multi Polygon)" in done.stdout
    with closing(sqlite3.connect(out)) as file:
        assert file.execute("select mine_code, mine_name from mine").fetchall() == [(CODE, NAME)]
        area = dict(
            file.execute(
                "select land_class, sum(area_m2) from damage where year = 2023 group by 1"
            ).fetchall()
        )
        rows = file.execute("select area_m2, reason from table_damage where year = 2022").fetchall()
        gaps = file.execute("select year, typeof(year) from table_gaps").fetchall()
    damage = damage_report(history, [CODE], [2023])
    at = damage.columns.index
    expected = {row[at("land_class")]: row[at("area_m2")] for row in damage.rows if row[at("area_m2")]}
    assert area == pytest.approx(expected, rel=1e-12)
    assert all(reason is None for _area, reason in rows)
    assert gaps == [(2022, "integer")]


def test_what_was_not_observed_is_null_in_a_geopackage(report: Run, tmp_path: Path) -> None:
    out = tmp_path / "far.gpkg"
    assert report("mine", "far", "--out", out)[0] == 0
    with closing(sqlite3.connect(out)) as file:
        areas = file.execute("select distinct area_m2 from table_damage").fetchall()
        series = file.execute(
            "select distinct active_area_m2, observed_fraction from table_series"
        ).fetchall()
    assert areas == [(None,)]
    assert series == [(None, 0.0)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine", "X9"], "no mine has the code X9"),
        (["damage", "--mine", "X9"], "no mine has the code X9"),
        (["damage", "--year", "1999"], "1999"),
        (["change", "--years", "2021"], "2022-2023"),
        (["change", "--years", "2023-2021"], "the earlier year comes first"),
        (["change", "--years", "1999-2000"], "1999"),
        (["region", "Nowhere"], "no region is called Nowhere"),
        (["damage", "--format", "gpkg"], "--out FILE.gpkg"),
        (["damage", "--format", "csv", "--out", "x.html"], "change one of them"),
        (["damage", "--out", "/nowhere/at/all.csv"], "cannot be written"),
        (["damage", "--format", "csv", "--out", "/usr"], "is a folder"),
        (["evidence", CODE, "2023", "--format", "csv", "--class", "moon"], "moon"),
        (["evidence", CODE, "2023", "--out", "x.html"], "no page"),
        (["gaps", "--out", "x.txt", "--format", "table"], "for the terminal"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(report: Run, arguments: list[str], said: str) -> None:
    code, _out, err = report(*arguments)
    assert code == 1
    assert err.startswith("lode: error: ")
    assert said in err


def test_a_failure_leaves_the_old_file(report: Run, tmp_path: Path) -> None:
    out = tmp_path / "mine.html"
    out.write_text("signed last year")
    assert report("mine", "X9", "--out", out)[0] == 1
    assert out.read_text() == "signed last year"
