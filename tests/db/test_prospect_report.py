"""`lode report prospect`: what it says of targets, cells, ground and model, and what it refuses."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image
from psycopg import Connection
from psycopg.types.json import Jsonb

import lode
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.prospect_runs import withdraw_search
from db.qgis.prospects import ramp_colour
from db.reports.prospects import cell_facts, find_search
from reporting.prospect_map import MAP_PX, PICTURE_SCALE
from reporting.prospect_page import prospect_page
from reporting.prospect_report import ProspectReport, gather_search
from reporting.view import LocalView
from reporting.words import Language
from tests.conftest import copied_database
from tests.db import prospect_rows as rows
from tests.page_tables import Tables

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def searched_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A database with the drawn search."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            rows.add_whole_search(made)
        yield url


@pytest.fixture
def searched(searched_url: str) -> Iterator[Connection[Any]]:
    """The drawn search; what a test changes is taken back after it."""
    with connect(searched_url) as made:
        yield made
        made.rollback()


@pytest.fixture
def report(searched_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``lode report prospect``; gives exit code, output and messages."""
    monkeypatch.setenv("LODE_DATABASE_URL", searched_url)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = lode.run(["report", "prospect", *map(str, arguments)])
        said = capfd.readouterr()
        return code, said.out, said.err

    return run


def page_of(conn: Connection[Any], found: ProspectReport, language: Language = "en") -> str:
    return prospect_page(conn, found, language)


def text_of(page: str) -> str:
    """What a page shows, without markup and drawings."""
    shown = re.sub(r"<style>.*?</style>|<svg .*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def said(conn: Connection[Any], language: Language = "en") -> str:
    return text_of(page_of(conn, gather_search(conn, None, 20), language))


def change_model(conn: Connection[Any], **given: dict[str, Any]) -> None:
    """Put other training or metrics in the place of what is stored with the network."""
    for column, value in given.items():
        conn.execute(f"update lode.model set {column} = {column} || %s", (Jsonb(value),))


def test_targets_and_cells_are_what_was_drawn(searched: Connection[Any]) -> None:
    found = gather_search(searched, None, 20)
    first, second = found.rows("targets")
    assert (first["rank"], first["cells"], second["rank"], second["cells"]) == (1, 4, 2, 2)
    # UTM enlarges by 0.9996 in the middle of its zone
    assert first["area_m2"] == pytest.approx(4 * rows.CELL_M**2 / 0.9996**2, rel=1e-4)
    assert first["mean_probability"] == pytest.approx(0.95, abs=1e-6)
    assert (first["nearest_deposit"], first["deposit_distance_m"]) == (rows.DEPOSIT, 0)
    assert (first["pluton_distance_m"], second["fault_distance_m"]) == (None, 241.0)
    assert (found.cells.cells, found.cells.above) == (68, 6)
    assert found.search["above_threshold_share"] == pytest.approx(6 / 68)
    assert found.search["feature_distance"] == 1.1


def test_a_target_that_the_network_was_shown_is_told_from_one_of_the_test(searched: Connection[Any]) -> None:
    """The training patch lies on target 1, the test patch on target 2."""
    found = gather_search(searched, None, 20).rows("targets")
    assert [row["is_learned_from"] for row in found] == [True, False]
    searched.execute("update lode.prospect_patch set split = 'validation' where split = 'test'")
    assert [row["is_learned_from"] for row in gather_search(searched, None, 20).rows("targets")] == [True] * 2
    searched.execute("delete from lode.prospect_set")
    report = gather_search(searched, None, 20)
    assert [row["is_learned_from"] for row in report.rows("targets")] == [None, None]
    assert "nobody can tell" in text_of(page_of(searched, report))


def test_a_set_of_the_same_name_made_anew_is_not_that_of_the_training(searched: Connection[Any]) -> None:
    searched.execute("delete from lode.prospect_set")
    area_id = searched.execute("select evidence_area_id from lode.evidence_area").fetchone()
    assert area_id is not None
    rows.add_set(searched, area_id[0])
    assert gather_search(searched, None, 20).head.set_id is None


def test_evidence_reads_as_in_the_view(searched: Connection[Any]) -> None:
    expected = searched.execute("select evidence from lode_api.prospect_target order by rank").fetchall()
    found = [(row["evidence"],) for row in gather_search(searched, None, 20).rows("targets")]
    assert found == expected
    assert found[0] == ("beryl, spodumene 2205 nm 0.031 (2.4); Li <ppm> 412.0 ppm (-1.5)",)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_a_cell_at_the_threshold_counts_as_its_target_does(
    searched: Connection[Any], monkeypatch: pytest.MonkeyPatch, threshold: float
) -> None:
    """Rounded to float32, 0.1 lies above 0.1 as a double, 0.5 on it, and 0.7 below it."""
    at = np.float32(threshold)
    drawn = np.full((1, 7), np.nan, np.float32)
    drawn[0, ::2] = np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(1)), 1
    monkeypatch.setattr(rows, "THRESHOLD", threshold)
    [(model_id, area_id)] = searched.execute("select model_id, evidence_area_id from lode.prospect_run")
    run_id = rows.add_search(searched, model_id, area_id, probability=drawn, digest="edge", with_raster=False)
    found = searched.execute(
        "select (select sum(cells) from lode_api.prospect_target where prospect_run_id = %(run)s),"
        " (select count(*) from lode_api.prospect_map where prospect_run_id = %(run)s and is_target)",
        {"run": run_id},
    ).fetchone()
    expected = 2 if threshold == 0.7 else 3
    assert found == (expected, expected)
    assert cell_facts(searched, run_id).above == expected


def test_figures_stand_beside_those_of_plain_answers(searched: Connection[Any]) -> None:
    svm = {"baselines": {"majority": rows.figures_json(0.5, half=None), "svm": rows.figures_json(0.66)}}
    change_model(searched, metrics=svm)
    found = gather_search(searched, None, 20)
    assert found.figure("roc_auc") == {
        "answer": "model", "figure": "roc_auc", "value": 0.85, "low": 0.77, "high": 0.93
    }  # fmt: skip
    tables = Tables(page_of(searched, found))
    head, first = tables.texts["figures"][:2]
    assert head[:3] == ["Figure", "This model", "95 % interval"]
    assert sorted(head[3:]) == ["Commonest answer", "support vector machine on mean spectra"]
    assert first[:3] == ["Balanced accuracy", "0.850", "0.770–0.930"]
    assert sorted(first[3:]) == ["0.500", "0.660"]
    assert tables.texts["confusion"][1:] == [["With ore", "8", "2"], ["Without", "3", "27"]]
    assert tables.texts["patches"][1] == ["Training", "60", "180", "30"]


def test_the_map_shows_each_probability_where_it_lies(searched: Connection[Any]) -> None:
    found = gather_search(searched, None, 20)
    [picture] = re.findall(r'<image href="data:image/png;base64,([^"]+)"', page_of(searched, found))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA"))
    view = LocalView.around(found.head.outline, longest_px=MAP_PX)
    assert pixels.shape[:2] == (view.height_px * PICTURE_SCALE, view.width_px * PICTURE_SCALE)
    cells = searched.execute("select probability, st_asbinary(geom) from lode.prospect").fetchall()
    for probability, wkb in cells:
        for share in (0.1, 0.5, 0.9):
            west, south, east, north = shapely.from_wkb(wkb).bounds
            place = shapely.Point(west + share * (east - west), south + share * (north - south))
            at = view.to_pixels(place)
            seen = pixels[int(at.y * PICTURE_SCALE), int(at.x * PICTURE_SCALE)]
            wanted = [int(ramp_colour(probability)[first : first + 2], 16) for first in (1, 3, 5)]
            assert seen[3] == 255
            assert np.abs(seen[:3].astype(int) - wanted).max() <= 3
    assert (pixels[..., 3] > 0).mean() == pytest.approx(
        68 * rows.CELL_M**2 / (view.width_px * view.height_px * view.resolution_m**2), rel=0.01
    )


def test_without_the_raster_the_map_shows_targets_and_says_so(conn: Connection[Any]) -> None:
    rows.add_whole_search(conn, with_raster=False)
    page = page_of(conn, gather_search(conn, None, 20))
    assert "<image" not in page
    assert "The raster of scores is not in this database" in page
    assert '<span class="number-mark target">2</span>' in page


def test_ranks_and_what_is_mapped_stand_on_the_map(searched: Connection[Any]) -> None:
    page = page_of(searched, gather_search(searched, None, 20))
    drawing = page.split('<svg class="map"')[1].split("</svg>")[0]
    assert re.findall(r"<title>(\d): ([\d.]+)</title>", drawing) == [("1", "0.95"), ("2", "0.80")]
    assert "505号脉 &lt;script&gt;" in drawing
    for label in ("Fault", "Pluton", "Known deposit", "Not scored", "Target, with its rank"):
        assert f"<span>{label}</span>" in page
    searched.execute("delete from lode.fault")
    assert "<span>Fault</span>" not in page_of(searched, gather_search(searched, None, 20))


@pytest.mark.parametrize(
    ("training", "parameters", "told"),
    [
        ({"data": "simulated"}, {}, "SIMULATED DATA"),
        ({}, {"data": "implanted"}, "IMPLANTED DATA"),
        ({"data": "real"}, {"data": "simulated"}, "SIMULATED DATA"),
        ({"data": "real"}, {}, None),
        ({}, {}, None),
    ],
)
def test_made_up_data_are_called_so(
    searched: Connection[Any], training: dict[str, Any], parameters: dict[str, Any], told: str | None
) -> None:
    change_model(searched, training=training)
    searched.execute("update lode.prospect_set set parameters = %s", (Jsonb(parameters),))
    text = said(searched)
    assert [each for each in ("SIMULATED DATA", "IMPLANTED DATA") if each in text] == ([told] if told else [])
    assert ("origin not recorded" in text) == (not training and not parameters)


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        (rows.figures_json(0.85), None),
        (rows.figures_json(0.55), "cannot be told from guessing"),
        (rows.figures_json(0.85, half=None), "cannot be told from guessing"),
        ({**rows.figures_json(0.85), "roc_auc": None}, "all of one class"),
    ],
)
def test_figures_that_say_nothing_are_called_so(
    searched: Connection[Any], metrics: dict[str, Any], told: str | None
) -> None:
    change_model(searched, metrics=metrics)
    text = said(searched)
    for verdict in ("cannot be told from guessing", "all of one class"):
        assert (verdict in text) == (verdict == told)


@pytest.mark.parametrize(
    ("ore", "barren", "is_old"),
    [(2, 11, False), (11, 2, False), (2, 6, True), (5, 9, False), (12, 12, False)],
)
def test_ore_or_barren_ground_in_few_test_blocks_has_no_interval(
    searched: Connection[Any], ore: int, barren: int, is_old: bool
) -> None:
    """Also where intervals are stored, as older versions did, which kept no count of the blocks of ore."""
    metrics = rows.figures_json(0.85)
    if is_old:
        blocks = [*range(ore), *range(ore + barren)]
        metrics["test"] = {"blocks": blocks, "is_positive": [1] * ore + [0] * ore + [0] * barren}
        barren += ore
    else:
        metrics["intervals"] |= {"blocks_with_ore": ore, "blocks_with_barren": barren}
    change_model(searched, metrics=metrics)
    text = said(searched)
    is_few = min(ore, barren) < 5
    told = (
        f"Ore lies in {ore} of the test blocks and barren ground in {barren}: too few places for an interval."
    )
    assert (told in text) == is_few
    assert ("95 % interval 0.77–0.93; guessing" in text) != is_few
    assert ("Intervals (95 %)" in text) != is_few
    warning = f"With ore in {ore} test blocks and barren ground in {barren} the intervals are narrower"
    assert (warning in text) == (5 <= min(ore, barren) < 10)
    if is_few:
        assert "guessing: 0.5" not in text
        assert all(row["low"] is None for row in gather_search(searched, None, 20).rows("figures"))


def test_figures_of_other_ground_are_called_so(searched: Connection[Any]) -> None:
    assert "This is the ground that the network was trained on" in said(searched)
    change_model(searched, training={"ground": "Jiulong <九龙>"})
    text = said(searched)
    assert "The network was trained on Jiulong <九龙>. Its figures are of that ground" in text
    assert "This is the ground that the network was trained on" not in text


def test_a_network_of_which_little_is_stored_has_a_page(searched: Connection[Any]) -> None:
    searched.execute("update lode.model set training = '{}', metrics = '{}'")
    searched.execute("update lode.prospect_run set parameters = '{}', figures = '{}'")
    searched.execute("update lode.prospect_target set evidence = '[]', deposit_id = null")
    searched.execute("delete from lode.deposit")
    text = said(searched)
    assert "No figures of a test part are stored with this model" in text
    assert "How far the features lie from those of training is not stored" in text


def test_a_search_without_targets_has_a_page(searched: Connection[Any]) -> None:
    searched.execute("delete from lode.prospect_target")
    assert "No cell reaches the threshold" in said(searched)


def test_what_the_network_goes_by_is_drawn_where_it_is_stored(searched: Connection[Any]) -> None:
    assert "What it goes by" not in said(searched)
    stored = [
        {"name": name, "channels": [name], "balanced_accuracy_drop": drop, "balanced_accuracy_spread": 0.01,
         "roc_auc_drop": drop, "roc_auc_spread": 0.01}
        for name, drop in (("Li <ppm>", -0.02), ("all geology", 0.2))
    ]  # fmt: skip
    change_model(searched, metrics={"importance": stored})
    found = gather_search(searched, None, 20)
    assert [row["channel"] for row in found.rows("importance")] == ["all geology", "Li <ppm>"]
    page = page_of(searched, found, "both")
    assert "What it goes by" in page
    assert "−0.020" in page
    assert "全部地质" in page


def test_hard_names_are_escaped_everywhere(searched: Connection[Any]) -> None:
    page = page_of(searched, gather_search(searched, None, 20), "both")
    assert "<script" not in page
    assert "<b>O'Brien" not in page
    assert "net <i>" not in page
    assert "Li <ppm>" not in page
    for name in (rows.AREA, rows.MODEL, rows.DEPOSIT):
        assert name in text_of(page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {each[:5] for each in sources} == {"data:"}
    assert re.findall(r"url\((?!#)", page) == []


@pytest.mark.parametrize(
    ("language", "absent"), [("en", "[一-鿿]"), ("zh", "Target|ground|Shown|Mean|patch")]
)
def test_one_language_is_one_language(searched: Connection[Any], language: Language, absent: str) -> None:
    found = gather_search(searched, None, 20)
    text = text_of(page_of(searched, found, language))
    for name in (rows.AREA, rows.MODEL, rows.DEPOSIT, "patches", "prospect_target"):
        text = text.replace(name, "")
    assert re.findall(absent, text) == []


def test_the_last_search_that_stands_is_shown_and_a_withdrawn_one_when_it_is_named(
    searched: Connection[Any],
) -> None:
    earlier = find_search(searched, None).search
    model_id, area_id = searched.execute(
        "select model_id, evidence_area_id from lode.prospect_run"
    ).fetchone() or (0, 0)
    later = rows.add_search(searched, model_id, area_id, digest="two")
    assert find_search(searched, None).search == later
    withdraw_search(searched, later, "wrong <geology>")
    assert find_search(searched, None).search == earlier
    withdrawn = gather_search(searched, later, 20)
    assert withdrawn.rows("targets")
    assert "WITHDRAWN on" in text_of(page_of(searched, withdrawn))
    assert "wrong <geology>" in text_of(page_of(searched, withdrawn))
    assert "WITHDRAWN" not in said(searched)
    withdraw_search(searched, earlier, "wrong too")
    with pytest.raises(UsageError, match=r"all 2 were withdrawn.*lode prospect apply.*--run"):
        find_search(searched, None)


def test_no_search_says_how_to_make_one(conn: Connection[Any]) -> None:
    with pytest.raises(UsageError, match="lode prospect apply"):
        gather_search(conn, None, 20)
    with pytest.raises(UsageError, match=r"no search 7; `lode prospect list --all`"):
        gather_search(conn, 7, 20)


def test_the_same_numbers_have_the_same_fingerprint(searched: Connection[Any]) -> None:
    first = gather_search(searched, None, 20).fingerprint
    assert gather_search(searched, None, 20).fingerprint == first
    searched.execute("update lode.prospect_target set mean_probability = 0.94 where rank = 1")
    assert gather_search(searched, None, 20).fingerprint != first


def test_formats(report: Run, tmp_path: Path) -> None:
    code, out, _err = report("--format", "csv")
    assert code == 0
    assert [row["rank"] for row in csv.DictReader(io.StringIO(out))] == ["1", "2"]
    assert len(list(csv.DictReader(io.StringIO(report("--format", "csv", "--targets", "1")[1])))) == 1
    tables = json.loads(report("--format", "json")[1])
    assert list(tables) == [
        "targets", "search", "figures", "confusion", "patches", "importance", "channels", "warnings"
    ]  # fmt: skip
    assert tables["search"][0]["ground"] == rows.AREA
    assert tables["channels"][1]["outside_share"] == 0.04
    assert tables["warnings"][0]["about"] == "patches"
    code, out, _err = report("--table", "figures")
    assert "0.850" in out
    assert "0.770" in out
    assert "above_threshold_share" in report("--table", "search")[1]
    out_file = tmp_path / "page.html"
    assert report("--out", out_file, "--lang", "zh")[0] == 0
    assert out_file.read_text("utf-8").startswith("<!doctype html>")


def test_a_geopackage_holds_targets_and_cells(report: Run, tmp_path: Path) -> None:
    out = tmp_path / "search.gpkg"
    assert report("--out", out, "--targets", "1")[0] == 0
    done = subprocess.run(["ogrinfo", "-ro", "-q", str(out)], check=True, capture_output=True, text=True)
    assert "targets (Multi Polygon)" in done.stdout
    assert "cells (Multi Polygon)" in done.stdout
    with closing(sqlite3.connect(out)) as file:
        assert file.execute("select rank, nearest_deposit, is_learned_from from targets").fetchall() == [
            (1, rows.DEPOSIT, 1)
        ]
        assert file.execute("select count(*), round(max(probability), 4) from cells").fetchone() == (68, 0.95)
        assert file.execute("select ground from table_search").fetchone() == (rows.AREA,)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run", "99"], "there is no search 99"),
        (["--table", "nonsense"], "choose from targets, search"),
        (["--format", "gpkg"], "--out FILE.gpkg"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(report: Run, arguments: list[str], told: str) -> None:
    code, _out, err = report(*arguments)
    assert code == 1
    assert told in err


def test_the_terminal_marks_a_withdrawn_search(
    report: Run, searched_url: str, searched: Connection[Any]
) -> None:
    number = find_search(searched, None).search
    with connect(searched_url) as other:
        withdraw_search(other, number, "for the terminal")
    try:
        code, out, err = report("--run", str(number))
        assert code == 0
        assert "(WITHDRAWN)" in " ".join(out.split())
        assert "for the terminal" in err
        assert "lode prospect apply" in report()[2]
    finally:
        with connect(searched_url) as other:
            other.execute(
                "update lode.prospect_run"
                " set withdrawn_at = null, withdrawn_by = null, withdrawn_reason = null"
            )
