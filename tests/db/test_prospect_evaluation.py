"""`lode prospect evaluate`: searches held against deposits, what is stored, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from psycopg import Connection

import lode
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.prospect_evaluations import latest_evaluation
from db.prospect_runs import withdraw_search
from db.raster import RasterReader
from inference.evidence.evaluation.figures import FIGURES
from inference.evidence.evaluation.judging import EvaluationSettings, evaluate
from inference.evidence.evaluation.placed import place_deposits
from inference.evidence.evaluation.searches import EvaluationRequest, evaluate_search, evaluation_lines
from inference.evidence.recording import EvidenceRequest, train_evidence
from inference.evidence.search import EvidenceSearch, search_evidence
from inference.evidence.types import EvidenceSettings, silent
from tests.conftest import copied_database
from tests.db import prospect_rows
from tests.evidence_area import FAST, GRID, ORE, SIDE, SYSTEM, UNJUDGED_COLS, add_deposits, at, fill

Run = Callable[..., tuple[int, str, str]]

FIRST, OTHER = 1, 2
"""Searches by principal components, and by the single layer."""


@pytest.fixture(scope="module")
def evaluated_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A study area searched with two models; each method is fitted at once."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            fill(conn)
        for method in ("pca", "single_layer"):
            settings = EvidenceSettings(method=method, **FAST)
            train_evidence(url, method, EvidenceRequest("area", SYSTEM, settings, seeds=1))
            search_evidence(url, EvidenceSearch(method, "area"), silent)
        yield url


@pytest.fixture
def searched(evaluated_url: str) -> Iterator[Connection[Any]]:
    """The two searches; what a test changes is taken back after it."""
    with connect(evaluated_url) as made:
        yield made
        made.rollback()


@pytest.fixture
def command(
    evaluated_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs ``lode prospect evaluate``; what it stored is removed after the test."""
    monkeypatch.setenv("LODE_DATABASE_URL", evaluated_url)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = lode.run(["prospect", "evaluate", *map(str, arguments)])
        said = capfd.readouterr()
        return code, said.out, said.err

    yield run
    with connect(evaluated_url) as conn:
        conn.execute("delete from lode.prospect_evaluation")
        conn.commit()


def test_figures_are_those_of_the_raster_and_the_deposits(searched: Connection[Any]) -> None:
    found = evaluate_search(searched, EvaluationRequest(FIRST))
    scores = RasterReader(searched, f"prospect_score_{FIRST}").read(0, 0, SIDE, SIDE, bands=[1])[0]
    rows, cols = np.array(ORE, float).T
    deposits = place_deposits(GRID, GRID.origin_x + (cols + 0.5) * 100, GRID.origin_y - (rows + 0.5) * 100)
    settings = EvaluationSettings(500.0, resamples=10, shifts=5)
    expected = evaluate({"it": scores}, np.isfinite(scores), deposits, settings).methods["it"]
    for key in FIGURES:
        value = found.evaluation.methods["prospectivity"].figures[key].value
        assert value == pytest.approx(expected.figures[key].value, rel=1e-6)
    # deposits of the area lie in the middle of what was planted, which principal components find
    assert found.evaluation.methods["prospectivity"].figures["roc_auc"].value > 0.85
    assert (len(found.evaluation.deposits), found.evaluation.unjudged, found.off_grid) == (len(ORE), 0, 0)


def test_what_is_stored_is_what_was_found(searched: Connection[Any]) -> None:
    found = evaluate_search(searched, EvaluationRequest(FIRST, (("commodity", "Cr"),), (OTHER,), seed=3))
    stored = latest_evaluation(searched, FIRST)
    assert stored is not None
    assert stored.prospect_evaluation_id == found.evaluation_id
    assert stored.deposit_rule == "commodity=Cr"
    assert len(stored.deposit_ids) == len(ORE)
    assert (stored.parameters["seed"], stored.parameters["group_distance_m"]) == (3, 500.0)
    methods = {
        "prospectivity", "anomaly", "favourability", "mahalanobis", "single_layer", "best_layer", "search 2"
    }  # fmt: skip
    assert set(stored.curves) == {each.score for each in stored.figures} == methods
    rivals = methods - {"prospectivity", "anomaly", "favourability"}
    assert set(stored.parameters["verdicts"]) == rivals
    assert stored.parameters["methods"]["search 2"]["model"] == "single_layer"
    assert stored.parameters["methods"]["single_layer"]["layer"] == "Cr"
    assert stored.parameters["methods"]["best_layer"]["is_hindsight"] is True
    by_name = {(each.score, each.figure): each for each in stored.figures}
    assert len(by_name) == len(FIGURES) * (len(methods) + len(rivals))
    apart = by_name["prospectivity", "roc_auc_minus_mahalanobis"].value
    areas = [by_name[name, "roc_auc"].value for name in ("prospectivity", "mahalanobis")]
    assert None not in (apart, *areas)
    assert apart == pytest.approx((areas[0] or 0) - (areas[1] or 0))
    shown = searched.execute(
        "select deposits, outside, null_p from lode_api.prospect_evaluation"
        " where score = 'prospectivity' and figure = 'roc_auc'"
    ).fetchall()
    assert [row[:2] for row in shown] == [(len(ORE), 0)]
    assert 0 < shown[0][2] < 0.1
    # a search is above itself by nothing, and a layer never above the best of all layers
    itself = evaluate_search(searched, EvaluationRequest(OTHER))
    assert itself.evaluation.verdict("anomaly", "single_layer") == "NOT above"
    assert itself.evaluation.verdict("single_layer", "best_layer") == "NOT above"


def test_deposits_beside_the_judged_ground_and_beside_the_grid_are_told_apart(
    searched: Connection[Any],
) -> None:
    add_deposits(searched, [(3, SIDE - 1), (20, SIDE - UNJUDGED_COLS), (-3, 5), (5, 500)])
    found = evaluate_search(searched, EvaluationRequest(FIRST))
    assert (len(found.evaluation.deposits), found.evaluation.unjudged, found.off_grid) == (len(ORE), 2, 2)
    stored = latest_evaluation(searched, FIRST)
    assert stored is not None
    assert (stored.outside, stored.parameters["off_grid"]) == (2, 2)
    assert "2 more lie within the grid on ground without a score, 2 outside of the grid" in "\n".join(
        evaluation_lines(found)
    )
    searched.execute("delete from lode.deposit where name in (select name from lode.deposit limit 6)")
    with pytest.raises(UsageError, match=r"none of the 4 .*: 2 lie outside of its grid and 2 within it"):
        evaluate_search(searched, EvaluationRequest(FIRST))


def test_a_deposit_half_a_cell_off_counts_in_four_cells(searched: Connection[Any]) -> None:
    searched.execute("delete from lode.deposit")
    lon, lat = at(10, 10)
    searched.execute(
        "insert into lode.deposit (name, geom) values ('corner', st_setsrid(st_makepoint(%s, %s), 4326))",
        (lon, lat),
    )
    found = evaluate_search(searched, EvaluationRequest(FIRST)).evaluation
    assert found.deposits.shares == pytest.approx(np.full((1, 4), 0.25), abs=1e-4)
    assert sorted(zip(found.deposits.rows[0], found.deposits.cols[0], strict=True)) == [
        (9, 9), (9, 10), (10, 9), (10, 10)
    ]  # fmt: skip
    assert found.methods["prospectivity"].figures["roc_auc"].low is None


def test_what_cannot_be_evaluated_is_said(searched: Connection[Any]) -> None:
    with pytest.raises(UsageError, match=r"no search 99; `lode prospect list --all`"):
        evaluate_search(searched, EvaluationRequest(99))
    with pytest.raises(UsageError, match=r"no deposit has commodity=Au; .* are: Cr"):
        evaluate_search(searched, EvaluationRequest(FIRST, (("commodity", "Au"),)))
    with pytest.raises(UsageError, match="--compare 1: that is the search which is evaluated"):
        evaluate_search(searched, EvaluationRequest(FIRST, compare=(FIRST,)))
    area_id = prospect_rows.add_area(searched)
    learned = prospect_rows.add_search(searched, prospect_rows.add_prospect_model(searched), area_id)
    with pytest.raises(UsageError, match=r"learned from deposits.*lode train evidence"):
        evaluate_search(searched, EvaluationRequest(learned))
    with pytest.raises(UsageError, match="learned from deposits"):
        evaluate_search(searched, EvaluationRequest(FIRST, compare=(learned,)))
    searched.execute("drop table lode_raster.prospect_score_2")
    with pytest.raises(UsageError, match="raster of search 2 is not in this database"):
        evaluate_search(searched, EvaluationRequest(OTHER))
    searched.execute("delete from lode.deposit")
    with pytest.raises(UsageError, match="lode ingest deposits"):
        evaluate_search(searched, EvaluationRequest(FIRST))


def test_the_last_search_that_stands_is_evaluated(searched: Connection[Any]) -> None:
    searched.execute(
        "update lode.prospect_run set published_at = published_at + interval '1 s' where prospect_run_id = 2"
    )
    assert evaluate_search(searched, EvaluationRequest()).search.prospect_run_id == OTHER
    withdraw_search(searched, OTHER, "wrong")
    assert evaluate_search(searched, EvaluationRequest()).search.prospect_run_id == FIRST
    assert evaluate_search(searched, EvaluationRequest(OTHER)).search.status == "withdrawn"
    withdraw_search(searched, FIRST, "wrong too")
    with pytest.raises(UsageError, match="no search without deposits stands"):
        evaluate_search(searched, EvaluationRequest())


def test_the_command_tells_stores_and_draws(command: Run, evaluated_url: str, tmp_path: Path) -> None:
    picture = tmp_path / "found.png"
    code, out, err = command(
        "--run", FIRST, "--deposits", "commodity=Cr", "--compare", OTHER, "--draw", picture
    )
    assert code == 0, err
    lines = out.splitlines()
    # the verdicts come first
    assert re.fullmatch(
        r"prospectivity is (above|NOT above|not shown to be above) Mahalanobis distance \([+-]0\.\d{3},"
        r" interval [+-]0\.\d{3} to [+-]0\.\d{3}\)",
        lines[0],
    )
    assert "the single layer [Cr:" in lines[1]
    assert "the best layer in hindsight" in lines[2]
    assert "search 2" in lines[3]
    assert "6 deposits in 6 places on 1,520 cells" in lines[4]
    with connect(evaluated_url) as conn:
        assert conn.execute("select count(*) from lode.prospect_evaluation").fetchone() == (1,)
    drawn = np.asarray(Image.open(picture).convert("L"))
    assert min(drawn.shape) > 800
    assert drawn.std() > 20


def test_a_refused_command_stores_nothing(command: Run, evaluated_url: str, tmp_path: Path) -> None:
    for arguments in (("--deposits", "depth=3"), ("--run", "77"), ("--run", "1", "--compare", "1")):
        code, _out, err = command(*arguments)
        assert code != 0
        assert "Traceback" not in err
    code, _out, err = command("--run", FIRST, "--draw", tmp_path / "missing" / "found.png")
    assert code != 0
    assert "Traceback" not in err
    with connect(evaluated_url) as conn:
        assert conn.execute("select count(*) from lode.prospect_evaluation").fetchone() == (0,)
