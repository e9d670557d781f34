"""`lode report prospect` of a search that was made without deposits: verdicts, figures, reasons, words."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from psycopg import Connection
from psycopg.types.json import Jsonb

import lode
from db.connection import connect
from db.embedded import Cluster
from db.prospect_evaluations import NewEvaluation, NewFigure, insert_evaluation
from db.prospect_runs import withdraw_search
from db.raster import Grid, RasterWriter
from reporting.prospect_page import prospect_page
from reporting.prospect_report import gather_search
from reporting.prospectivity_report import ProspectivityReport
from reporting.words import Language
from tests.conftest import copied_database
from tests.db import prospect_rows as rows
from tests.page_tables import Tables

Run = Callable[..., tuple[int, str, str]]

BANDS = (
    *("anomaly", "prospectivity", "favourability"),
    *("prospectivity_spread", "anomaly_spread", "favourability_spread"),
)
"""Not in the order of a search's own raster, so that a page that takes the first band is found out."""
SYSTEM = {
    "name": "chromite_podiform",
    "title": "Podiform <chromite>",
    "elements": {"Cr": 1.0, "Ni": 0.5},
    "geology": [
        {"feature": "pluton", "name": None, "match": ["peridotite"], "range_m": 500.0, "weight": 1.0},
        {"feature": "fault", "name": None, "match": [], "range_m": 2000.0, "weight": 0.5},
    ],
    "anomaly_share": 0.4,
}
TRAINING = {
    "area": rows.AREA,
    "system": SYSTEM,
    "seeds": [1, 2],
    "layers": {"Cr <ppm>": 1, "gravity": 2},
    "settings": {"method": "vit", "window_px": 32, "width": 64, "options": {}},
    "channels": [
        {"name": "Cr <ppm>", "kind": "geochemistry", "element": "Cr", "unit": "ppm", "transform": "clr"},
        {"name": "gravity", "kind": "geophysics", "element": None, "unit": "mGal", "transform": "none"},
    ],
    "notes": [],
}
METRICS = {"validation_loss": {"mean": 0.52, "spread": 0.01, "by_seed": {"1": 0.5125, "2": 0.5275}}}
REASONS = (
    (1, "element", "Cr <ppm>", 2100.0, "ppm", 840.0, 4.2, 0.7),
    (2, "geology", "pluton (peridotite)", 0.0, "m", None, None, 0.66),
)


def add_search(conn: Connection[Any], *, with_raster: bool = True) -> int:
    """The drawn search of `prospect_rows` as one that was made without deposits."""
    area_id = rows.add_area(conn)
    model_id = rows.add_prospect_model(conn, metrics=METRICS, training={})
    conn.execute(
        "update lode.model set task = 'evidence', architecture = 'vit', training = %s where model_id = %s",
        (Jsonb(TRAINING), model_id),
    )
    run_id = rows.add_search(conn, model_id, area_id, deposit_id=rows.add_geology(conn), with_raster=False)
    conn.execute(
        "update lode.prospect_run set score_kind = 'prospectivity', band_names = %s,"
        " figures = figures - 'shift', parameters = '{}' where prospect_run_id = %s",
        (list(BANDS), run_id),
    )
    conn.execute(
        "update lode.prospect set anomaly = 10 * probability, favourability = probability / 2,"
        " prospectivity_spread = 0.01, anomaly_spread = 0.2, favourability_spread = 0"
        " where prospect_run_id = %s",
        (run_id,),
    )
    # the reasons of one of the four best cells, the first by row and column
    for row_px, col_px in ((1, 1), (0, 0)):
        for place, *reason in REASONS:
            conn.execute(
                "insert into lode.prospect_reason (prospect_run_id, row_px, col_px, place, kind, name, value,"
                " unit, expected, deviations, share) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (run_id, row_px, col_px, place, *reason),
            )
    if with_raster:
        drawn = rows.probabilities()
        down, across = drawn.shape
        grid = Grid(rows.SRID, rows.WEST, rows.NORTH, rows.CELL_M, rows.CELL_M, across, down)
        writer = RasterWriter(
            conn, parent="prospect_score", owner_id=run_id, table=f"prospect_score_{run_id}", grid=grid,
            dtype=np.float32, band_count=6, nodata=float("nan"), storage="lz4",
        )  # fmt: skip
        writer.write_rows(np.stack([10 * drawn, drawn, drawn / 2, *(0 * drawn for _ in range(3))]))
        writer.finish()
    return run_id


def add_evaluation(
    conn: Connection[Any],
    run_id: int,
    differences: Mapping[str, tuple[float, float | None, float | None, str]],
    *,
    null_p: float = 0.004,
    has_ends: bool = True,
) -> int:
    """An evaluation with figures made up, and differences to rivals with their verdicts."""
    figures = []
    for place, score in enumerate(("prospectivity", "anomaly", "favourability", *differences)):
        value = 0.8 - 0.05 * place
        ends = (value - 0.1, value + 0.1) if has_ends else (None, None)
        figures.append(NewFigure(score, "roc_auc", value, ends[0], ends[1], null_p))
        captures = ("capture_1", "capture_5", "capture_10", "capture_20")
        figures += [NewFigure(score, key, 0.25, None, None, 0.2) for key in captures]
        figures.append(NewFigure(score, "pa_capture", 0.75, None, None, 0.01))
        figures.append(NewFigure(score, "density", 3.0, None, None, 0.01))
    for rival, (value, low, high, _verdict) in differences.items():
        figures.append(NewFigure("prospectivity", f"roc_auc_minus_{rival}", value, low, high, None))
        figures.append(NewFigure("prospectivity", f"density_minus_{rival}", 0.5, None, None, None))
    curves = {
        score: {"area": [0, 0.2, 0.6, 1], "captured": [0, 0.7, 0.9, 1], "score": [1, 0.6, 0.4, 0],
                "false": [0, 0, 0.5, 0.5, 1], "true": [0, 0.5, 0.5, 1, 1]}
        for score in ("prospectivity", "anomaly", "favourability", *differences)
    }  # fmt: skip
    methods = {
        "mahalanobis": {"note": "distance", "layer": None, "is_hindsight": False},
        "single_layer": {"note": "Cr", "layer": "Cr <ppm>", "is_hindsight": False},
        "best_layer": {"note": "Ni", "layer": "Ni", "is_hindsight": True},
        "search 7": {"run": 7, "model": "other <b>", "architecture": "pca"},
    }
    new = NewEvaluation(
        run_id,
        "commodity=Cr",
        list(range(12)),
        3,
        {
            "places": 9, "cells": 68, "off_grid": 5, "level": 0.95, "group_distance_m": 750.0, "shifted": 999,
            "methods": {name: each for name, each in methods.items() if name in differences},
            "verdicts": {name: each[3] for name, each in differences.items()},
        },
        curves,
        figures,
    )  # fmt: skip
    return insert_evaluation(conn, new)


BEATEN = {
    "mahalanobis": (0.12, 0.05, 0.2, "above"),
    "single_layer": (0.1, 0.02, 0.19, "above"),
    "best_layer": (-0.03, -0.1, 0.04, "NOT above"),
}


@pytest.fixture(scope="module")
def searched_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A database with the drawn search, not evaluated."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_search(made)
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


def gathered(conn: Connection[Any]) -> ProspectivityReport:
    found = gather_search(conn, None, 20)
    assert isinstance(found, ProspectivityReport)
    return found


def run_of(conn: Connection[Any]) -> int:
    [(run_id,)] = conn.execute("select prospect_run_id from lode.prospect_run")
    return int(run_id)


def page_of(conn: Connection[Any], language: Language = "en") -> str:
    return prospect_page(conn, gathered(conn), language)


def text_of(page: str) -> str:
    """What a page shows, without markup and drawings."""
    shown = re.sub(r"<style>.*?</style>|<svg .*?</svg>", " ", page, flags=re.DOTALL)
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", shown)).split())
    return re.sub(r" ([,)])", r"\1", text.replace("( ", "("))


def verdicts_of(page: str) -> list[tuple[str, str]]:
    """Key and tone of what is said of the search's worth, from above."""
    found = re.findall(r'<p class="told (\w+)" data-verdict="([^"]+)">', page)
    return [(key, tone) for tone, key in found]


def test_without_an_evaluation_the_page_says_so_first_and_how_to_make_one(searched: Connection[Any]) -> None:
    page = page_of(searched)
    assert verdicts_of(page) == [("none", "bad")]
    assert page.index('id="verdict"') < page.index("<dl") < page.index('id="map"')
    text = text_of(page)
    assert "NOT EVALUATED" in text
    assert f"lode prospect evaluate --run {run_of(searched)}" in text
    assert 'data-table="figures"' not in page
    assert gathered(searched).tables["figures"].rows == []


@pytest.mark.parametrize(
    ("changed", "null_p", "expected"),
    [
        ({}, 0.004, [("above", "good"), ("above", "good")]),
        (
            {"single_layer": (-0.02, -0.1, 0.06, "NOT above")},
            0.004,
            [("NOT above", "bad"), ("above", "good")],
        ),
        (
            {
                "mahalanobis": (0.04, -0.02, 0.1, "not shown to be above"),
                "single_layer": (-0.02, -0.1, 0.06, "NOT above"),
            },
            0.004,
            [("NOT above", "bad"), ("not shown to be above", "bad")],
        ),
        ({}, 0.31, [("chance", "bad"), ("above", "good"), ("above", "good")]),
    ],
)
def test_a_plain_answer_that_is_not_beaten_is_said_first(
    searched: Connection[Any],
    changed: dict[str, tuple[float, float, float, str]],
    null_p: float,
    expected: list[tuple[str, str]],
) -> None:
    add_evaluation(searched, run_of(searched), {**BEATEN, **changed}, null_p=null_p)
    page = page_of(searched)
    assert verdicts_of(page) == expected
    assert page.index('id="verdict"') < page.index("<dl")
    text = text_of(page)
    assert ("A PLAIN ANSWER IS NOT BEATEN. Single layer Cr <ppm> ranks" in text) == (
        ("NOT above", "bad") in expected
    )
    if changed:
        assert "is −0.020 (interval −0.100 to +0.060)" in text


def test_few_places_and_a_missing_plain_answer_are_named(searched: Connection[Any]) -> None:
    single = {"single_layer": (0.1, None, None, "not shown to be above")}
    add_evaluation(searched, run_of(searched), single, has_ends=False)
    page = page_of(searched)
    assert [key for key, _tone in verdicts_of(page)] == ["not shown to be above", "few", "lacking"]
    assert "too few places for an interval" in text_of(page)
    assert "Mahalanobis distance could not be held beside it" in text_of(page)


def test_figures_stand_with_interval_and_null(searched: Connection[Any]) -> None:
    rival = {"search 7": (0.02, -0.1, 0.1, "not shown to be above")}
    add_evaluation(searched, run_of(searched), {**BEATEN, **rival})
    tables = Tables(page_of(searched))
    head, *lines = tables.texts["figures"]
    assert head[:4] == ["Score", "Area under ROC curve", "95 % interval", "Null p"]
    assert lines[0] == [
        "Prospectivity S", "0.800", "0.700–0.900", "0.004", "25.0 %", "25.0 %", "25.0 %", "25.0 %", "3.00"
    ]  # fmt: skip
    assert [line[0] for line in lines[3:]] == [
        "Mahalanobis distance", "Single layer Cr <ppm>", "Best layer in hindsight, Ni",
        "Search 7, other <b>",
    ]  # fmt: skip
    # of what was chosen by the deposits themselves there is no null
    assert lines[5][3] == "–"
    differences = tables.texts["differences"][1:]
    assert differences[0][1:] == ["+0.120", "+0.050 – +0.200", "above"]
    assert differences[2][1:] == ["−0.030", "−0.100 – +0.040", "NOT above"]
    text = text_of(page_of(searched))
    assert "12 deposits (commodity=Cr) in 9 places, on 68 cells; 3 more lie on this grid" in text
    assert "nobody could have chosen it before" in text
    assert "With deposits in 9 places only, the intervals are narrower" in text


def test_the_last_evaluation_counts(searched: Connection[Any]) -> None:
    add_evaluation(searched, run_of(searched), {"mahalanobis": (-0.1, -0.2, 0.0, "NOT above")})
    add_evaluation(searched, run_of(searched), BEATEN)
    assert gathered(searched).unbeaten == []
    assert verdicts_of(page_of(searched))[0] == ("above", "good")


def test_curves_are_drawn_where_they_are(searched: Connection[Any]) -> None:
    add_evaluation(searched, run_of(searched), BEATEN)
    page = page_of(searched)
    assert re.findall(r'data-chart="(\w+)"', page) == ["roc_chart", "capture_chart", "pa_chart"]
    roc = page.split('data-chart="roc_chart"')[1].split("</figure>")[0]
    # the drawing runs from 48 to 326 and from 256 up to 10; the line that counts is drawn last
    paths = re.findall(r'<path d="([^"]+)"[^>]*stroke="([^"]+)"', roc)
    assert len(paths) == 7
    assert paths[-1] == ("M48.0 256.0L48.0 133.0L187.0 133.0L187.0 10.0L326.0 10.0", "#12305c")
    capture = page.split('data-chart="capture_chart"')[1].split("</figure>")[0]
    # cut at four tenths of the ground, half way between 0.7 at 0.2 and 0.9 at 0.6
    assert f"L326.0 {256 - 0.8 * 246:.1f}" in capture
    crossing = page.split('data-chart="pa_chart"')[1].split("</figure>")[0]
    [(x, y)] = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', crossing)
    # at a quarter of the area the score is 0.575
    assert float(x) == pytest.approx(48 + 0.575 * (326 - 34 - 48), abs=0.1)
    assert float(y) == pytest.approx(256 - 0.75 * 246, abs=0.1)


def test_targets_tell_why_their_best_cell_scores(searched: Connection[Any]) -> None:
    found = gathered(searched)
    assert [(row["rank"], row["name"], row["expected"]) for row in found.rows("reasons")] == [
        (1, "Cr <ppm>", 840.0),
        (1, "pluton (peridotite)", None),
    ]
    text = text_of(page_of(searched))
    assert "Cr <ppm> 2,100 ppm (expected 840 ppm, +4.2 σ, 70.0 % of its part)" in text
    assert "pluton (peridotite) 0 m (66.0 % of its part)" in text
    first = found.rows("targets")[0]
    assert first["mean_prospectivity"] == pytest.approx(0.95, abs=1e-6)
    assert first["nearest_deposit"] == rows.DEPOSIT


def test_system_seeds_and_losses_are_told(searched: Connection[Any]) -> None:
    tables = Tables(page_of(searched))
    assert tables.texts["training"][1:] == [["1", "0.5125"], ["2", "0.5275"]]
    assert tables.texts["system"][1:] == [
        ["element", "Cr", "1", "–", "–"],
        ["element", "Ni", "0.5", "–", "–"],
        ["geology", "pluton", "1", "500", "peridotite"],
        ["geology", "fault", "0.5", "2,000", "–"],
    ]
    text = text_of(page_of(searched))
    assert "rank(A) to the power 0.4 times rank(F) to the power 0.6" in text
    assert "masked Transformer" in text
    assert "1 of geochemistry, 1 of geophysics" in text
    assert "window_px=32" in text


@pytest.mark.parametrize("language", ["en", "zh", "both"])
def test_prospectivity_is_never_called_a_probability(searched: Connection[Any], language: Language) -> None:
    add_evaluation(searched, run_of(searched), BEATEN)
    page = page_of(searched, language).lower()
    for word in ("probab", "概率"):
        assert word not in page
    for name, table in gathered(searched).tables.items():
        assert not [column for column in table.columns if "probab" in column], name


@pytest.mark.parametrize(
    ("language", "absent"), [("en", "[一-鿿]"), ("zh", "Target|ground|deposit|Mean|layer|seed")]
)
def test_one_language_is_one_language(searched: Connection[Any], language: Language, absent: str) -> None:
    add_evaluation(searched, run_of(searched), {**BEATEN, "single_layer": (0.1, None, None, "NOT above")})
    page = page_of(searched, language)
    drawn = " ".join(re.findall(r"<text[^>]*>([^<]*)<", page))
    for text in (text_of(page), unescape(drawn)):
        for name in (
            rows.AREA,
            rows.MODEL,
            rows.DEPOSIT,
            "prospect_target",
            "Podiform <chromite>",
            "505号脉",
        ):
            text = text.replace(name, "")
        assert re.findall(absent, text) == []


def test_hard_names_are_escaped_everywhere(searched: Connection[Any]) -> None:
    both = {**BEATEN, "single_layer": (-0.1, -0.2, 0.1, "NOT above"), "search 7": (0.1, 0.01, 0.2, "above")}
    add_evaluation(searched, run_of(searched), both)
    page = page_of(searched, "both")
    for raw in ("<script", "<b>O'Brien", "net <i>", "Cr <ppm>", "other <b>", "Podiform <chromite>"):
        assert raw not in page
    for name in (rows.AREA, rows.MODEL, rows.DEPOSIT, "Podiform <chromite>", "other <b>"):
        assert name in text_of(page)
    assert {each[:5] for each in re.findall(r'(?:src|href)="([^"]*)"', page)} == {"data:"}


def test_the_map_shows_the_band_of_prospectivity(searched: Connection[Any]) -> None:
    page = page_of(searched)
    assert "<image" in page
    assert re.findall(r"<title>(\d): ([\d.]+)</title>", page) == [("1", "0.95"), ("2", "0.80")]
    assert "Prospectivity, a rank" in page
    # were it the anomaly, 0.1 would be drawn as 1, of the darkest colour
    [picture] = re.findall(r'<image href="data:image/png;base64,([^"]+)"', page)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")).reshape(-1, 3)
    light = (pixels.astype(int).sum(axis=1) > 600).mean()
    assert light > 0.5


def test_without_raster_targets_and_cells_there_is_a_page(conn: Connection[Any]) -> None:
    run_id = add_search(conn, with_raster=False)
    conn.execute("delete from lode.prospect_target")
    conn.execute("delete from lode.prospect_reason")
    conn.execute("update lode.model set training = '{}', metrics = '{}'")
    conn.execute("update lode.prospect_run set figures = '{}'")
    text = text_of(page_of(conn))
    assert "The raster of scores is not in this database" in text
    assert "No cell reaches the threshold" in text
    assert "the method is fitted at once" in text
    withdraw_search(conn, run_id, "wrong layers")
    found = gather_search(conn, run_id, 20)
    assert "WITHDRAWN on" in text_of(prospect_page(conn, found, "en"))


def test_formats(report: Run, searched_url: str, tmp_path: Path) -> None:
    with connect(searched_url) as conn:
        add_evaluation(conn, run_of(conn), BEATEN)
        conn.commit()
    try:
        tables = json.loads(report("--format", "json")[1])
        assert list(tables) == [
            "targets", "search", "figures", "differences", "reasons", "system", "training", "channels",
            "warnings",
        ]  # fmt: skip
        assert tables["search"][0]["mineral_system"] == "chromite_podiform"
        assert tables["search"][0]["deposits_evaluated"] == 12
        read = csv.DictReader(io.StringIO(report("--format", "csv", "--table", "figures")[1]))
        assert next(read) == {
            "score": "prospectivity", "figure": "roc_auc", "value": "0.8", "low": "0.7000000000000001",
            "high": "0.9", "null_p": "0.004",
        }  # fmt: skip
        assert "mean_prospectivity" in report("--table", "search")[1]
        out = tmp_path / "found.gpkg"
        assert report("--out", out)[0] == 0
        with closing(sqlite3.connect(out)) as package:
            columns = [row[1] for row in package.execute("pragma table_info(cells)")]
            assert {"prospectivity", "anomaly", "favourability", "anomaly_spread"} <= set(columns)
            assert "probability" not in columns
            [(count,)] = package.execute("select count(*) from cells")
            assert count == 68
            [(prospectivity, anomaly)] = package.execute(
                "select prospectivity, anomaly from cells order by rank limit 1"
            )
            assert anomaly == pytest.approx(10 * prospectivity)
            [(reasons,)] = package.execute("select count(*) from table_reasons")
            assert reasons == 2
        code, _out, err = report("--table", "confusion")
        assert code != 0
        assert "choose from targets, search, figures, differences" in err
        page = tmp_path / "page.html"
        assert report("--out", page, "--lang", "zh")[0] == 0
        assert "未胜过" in page.read_text("utf-8")
    finally:
        with connect(searched_url) as conn:
            conn.execute("delete from lode.prospect_evaluation")
            conn.commit()
