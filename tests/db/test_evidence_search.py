"""`lode prospect apply` with a model that learned without labels: scores, raster, targets and reasons."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.prospect_runs import SCORED_BAND_NAMES
from db.raster import RasterReader
from inference.evidence import search
from inference.evidence.recording import EvidenceRequest, train_evidence
from inference.evidence.scores import score_area, threshold_of
from inference.evidence.search import EvidenceSearch, search_evidence
from inference.evidence.types import EvidenceSettings
from inference.prospect import publishing
from tests.conftest import copied_database
from tests.evidence_area import FAST, HOLE, SIDE, SYSTEM, UNJUDGED_COLS, fill, is_ore
from tests.support import REPOSITORY, lode_here

MODELS = {"vit": 2, "pca": 1, "isolation_forest": 2, "single_layer": 1}
"""Methods that models of the shared database were trained with, and their members."""


@pytest.fixture(scope="session")
def trained(cluster: Cluster, template_database: str) -> str:
    """Name of a database with a study area and a model of each of ``MODELS``, called like its method."""
    name = "lode_test_trained_evidence"
    cluster.create_database(name, template=template_database)
    url = cluster.url(name)
    with connect(url) as conn:
        fill(conn)
    for method, seeds in MODELS.items():
        settings = EvidenceSettings(method=method, **FAST)
        train_evidence(url, method, EvidenceRequest("area", SYSTEM, settings, seeds=seeds))
    return name


@pytest.fixture
def url(cluster: Cluster, trained: str) -> Iterator[str]:
    with copied_database(cluster, trained) as found:
        yield found


def _search(url: str, model: str = "vit", **options: Any) -> publishing.SearchOutcome:
    return search_evidence(url, EvidenceSearch(model, "area", **options), lambda _line: None)


def _rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with connect(url) as conn:
        return conn.execute(query.encode()).fetchall()


def test_a_search_publishes_cells_raster_targets_and_reasons(url: str) -> None:
    outcome = _search(url)
    judged = SIDE * (SIDE - UNJUDGED_COLS)
    assert (outcome.run_id, outcome.was_there, outcome.figures["cells"]) == (1, False, judged)
    ((kind, bands, threshold),) = _rows(
        url, "select score_kind, band_names, threshold from lode.prospect_run"
    )
    assert (kind, tuple(bands)) == ("prospectivity", SCORED_BAND_NAMES)
    cells = _rows(
        url,
        "select row_px, col_px, probability, anomaly, favourability, prospectivity_spread, anomaly_spread,"
        " favourability_spread from lode.prospect order by row_px, col_px",
    )
    assert len(cells) == judged
    rows, cols, *scores = (np.array(column) for column in zip(*cells, strict=True))
    assert cols.max() == SIDE - UNJUDGED_COLS - 1
    assert (scores[0] >= 0).all()
    assert (scores[0] <= 1).all()
    assert (scores[1] >= 0).all()
    assert min(scores[3].max(), scores[4].max()) > 0, "two seeds do not learn the same"
    assert not scores[5].any(), "favourability knows no seed"
    with connect(url) as conn:
        reader = RasterReader(conn, "prospect_score_1")
        raster = reader.read(0, 0, SIDE, SIDE)
    for band, column in enumerate((0, 1, 2, 3, 4, 5)):
        np.testing.assert_array_equal(raster[band][rows.astype(int), cols.astype(int)], scores[column])
    assert np.isnan(raster[:, :, SIDE - UNJUDGED_COLS :]).all()
    is_target = scores[0] >= threshold
    assert 0.05 * judged <= is_target.sum() <= 0.06 * judged
    ((of_targets,),) = _rows(
        url, "select sum(cells) from lode_api.prospect_target where score_kind = 'prospectivity'"
    )
    assert of_targets == is_target.sum()
    ((shown,),) = _rows(url, "select count(*) from lode_api.prospectivity_map where is_target")
    assert shown == is_target.sum()
    assert _rows(url, "select count(*) from lode_api.prospect_map") == [(0,)], "it is no probability"


def test_ore_that_no_deposit_told_of_ranks_high(url: str) -> None:
    _search(url, "pca")
    cells = _rows(url, "select row_px, col_px, anomaly, probability from lode.prospect")
    ore = is_ore()
    on_ore = [score for row, col, _anomaly, score in cells if ore[row, col]]
    off_ore = [score for row, col, _anomaly, score in cells if not ore[row, col]]
    above = np.mean([np.mean(np.array(off_ore) < score) for score in on_ore])
    assert above > 0.85


def test_reasons_name_what_was_found_and_what_was_expected(url: str) -> None:
    _search(url, "pca")
    reasons = _rows(
        url,
        "select prospect_id, place, kind, name, value, unit, expected, deviations, share"
        " from lode_api.prospect_reason order by prospect_id, place",
    )
    assert {kind for _, _, kind, *_ in reasons} == {"element", "geology"}
    elements = [reason for reason in reasons if reason[2] == "element"]
    assert {name for _, _, _, name, *_ in elements} <= {"Cr", "Ni", "Co", "Cu"}
    for *_, value, unit, expected, deviations, share in elements:
        assert unit == "ppm"
        assert deviations > 0
        assert 0 < share <= 1
        assert expected > 0
        assert (value > expected) == (deviations > 0)
    sums: dict[tuple[int, str], float] = {}
    for key, _place, kind, *_told, share in reasons:
        sums[key, kind] = sums.get((key, kind), 0) + share
    assert max(sums.values()) <= 1.001, "shares are of one score"
    assert min(share for (_key, kind), share in sums.items() if kind == "element") > 0.5
    ((best,),) = _rows(url, "select min(rank) from lode_api.prospect_reason")
    assert best == 1
    ((places,),) = _rows(url, "select count(distinct (row_px, col_px)) from lode.prospect_reason")
    assert places >= 0.1 * SIDE * (SIDE - UNJUDGED_COLS)
    distances = _rows(url, "select value from lode.prospect_reason where kind = 'geology' and unit = 'm'")
    assert distances
    assert all(value >= 0 for (value,) in distances)


def test_a_method_without_expectations_tells_how_high_the_elements_lie(url: str) -> None:
    _search(url, "isolation_forest")
    found = _rows(url, "select expected, share from lode.prospect_reason where kind = 'element'")
    assert found
    assert all(each == (None, None) for each in found)


def test_the_same_search_is_published_once_and_again_when_told(url: str) -> None:
    first = _search(url)
    assert _search(url).was_there
    again = _search(url, is_again=True)
    assert (again.run_id > first.run_id, again.withdrew) == (True, (first.run_id,))
    other = _search(url, top=0.1)
    assert not other.was_there
    assert other.beside == (again.run_id,)
    same = _rows(
        url,
        "select count(*) from lode.prospect a join lode.prospect b using (row_px, col_px)"
        f" where a.prospect_run_id = {first.run_id} and b.prospect_run_id = {again.run_id}"
        " and (a.probability, a.anomaly, a.anomaly_spread) = (b.probability, b.anomaly, b.anomaly_spread)",
    )
    assert same == [(SIDE * (SIDE - UNJUDGED_COLS),)], "the same seeds give the same scores, bit by bit"


NOTHING = [(0, 0, 0, 0, 0)]


def _left(url: str) -> list[tuple[Any, ...]]:
    """Rows and rasters of searches."""
    return _rows(
        url,
        "select (select count(*) from lode.prospect_run), (select count(*) from lode.prospect),"
        " (select count(*) from lode.prospect_target), (select count(*) from lode.prospect_reason),"
        " (select count(*) from pg_class where relname ~ 'prospect_score_[0-9]' and relkind = 'r')",
    )


@pytest.mark.parametrize("function", ["insert_cells", "insert_targets", "insert_reasons", "_write_raster"])
def test_a_search_that_dies_while_publishing_leaves_nothing(
    url: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, function, die)
    with pytest.raises(KeyboardInterrupt):
        _search(url, "pca")
    assert _left(url) == NOTHING


def test_deposits_change_nothing_but_the_distance_to_them(url: str) -> None:
    _search(url, "pca")
    with connect(url) as conn:
        conn.execute("delete from lode.deposit")
        conn.commit()
    assert _search(url, "pca").was_there


def test_geology_that_rules_go_by_makes_another_search(url: str) -> None:
    first = _search(url, "pca")
    with connect(url) as conn:
        conn.execute("update lode.fault set geom = st_translate(geom, 0.005, 0)")
        conn.commit()
    second = _search(url, "pca")
    assert not second.was_there
    assert second.run_id != first.run_id


def test_options_that_mean_nothing_to_the_model_are_refused(url: str) -> None:
    for option, value in (("--stride", "3"), ("--threshold", "0.5"), ("--scene", "s")):
        done = lode_here(url, "prospect", "apply", "--model", "pca", "--area", "area", option, value)
        assert (done.returncode, option in done.stderr) == (1, True)
    done = lode_here(url, "prospect", "apply", "--model", "pca")
    assert done.returncode == 1
    assert "--area" in done.stderr
    done = lode_here(url, "prospect", "apply", "--model", "pca", "--area", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert _rows(url, "select count(*) from lode.prospect_run") == [(0,)]


def test_the_command_line_searches_lists_and_tells_targets(url: str) -> None:
    done = lode_here(url, "prospect", "apply", "--model", "single_layer", "--area", "area", "--top", "0.1")
    assert done.returncode == 0, done.stderr
    assert "area: search 1 published" in done.stdout
    listed = lode_here(url, "prospect", "list").stdout
    assert "prospectivity" in listed
    targets = lode_here(url, "prospect", "targets").stdout
    assert "mean_score" in targets
    assert "probability" not in targets
    assert "Cr" in targets


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top": 0.0}, "--top 0"),
        ({"top": 1.0}, "--top 1"),
        ({"least_cells": 0}, "0 cells at least"),
        ({"most_targets": 0}, "0 targets at most"),
    ],
)
def test_choices_that_make_no_targets_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        EvidenceSearch("m", "a", **options)


def test_the_threshold_takes_the_best_share() -> None:
    scores = np.arange(100, dtype=np.float32).reshape(10, 10) / np.float32(100)
    scores[0, 0] = np.nan
    assert threshold_of(scores, 0.05) == pytest.approx(0.95)
    assert threshold_of(np.zeros((2, 2), np.float32), 0.5) > 0, "a score of 0 is no target"


def test_cells_with_gaps_are_scored_from_what_is_known(url: str) -> None:
    _search(url, "pca")
    rows, cols = HOLE
    ((count,),) = _rows(
        url,
        f"select count(*) from lode.prospect where row_px between {rows.start} and {rows.stop - 1}"
        f" and col_px between {cols.start} and {cols.stop - 1}",
    )
    assert count == (rows.stop - rows.start) * (cols.stop - cols.start)


def test_deposits_are_read_when_all_is_scored(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = score_area

    def forget_deposits(*arguments: Any) -> Any:
        scores = real(*arguments)
        with connect(url) as conn:
            conn.execute("delete from lode.deposit")
            conn.commit()
        return scores

    monkeypatch.setattr(search, "score_area", forget_deposits)
    _search(url, "pca")
    ((targets, near),) = _rows(url, "select count(*), count(deposit_distance_m) from lode.prospect_target")
    assert (targets > 0, near) == (True, 0)


@pytest.mark.parametrize("point", ["prospect.publishing", "prospect.before_commit"])
def test_a_killed_search_leaves_nothing(url: str, tmp_path: Path, point: str) -> None:
    words = ("prospect", "apply", "--model", "pca", "--area", "area", "--device", "cpu")
    hold = {"LODE_HOLD_AT": point, "LODE_HOLD_FOLDER": str(tmp_path), "LODE_DATABASE_URL": url}
    process = subprocess.Popen(
        [sys.executable, "-m", "lode", *words],
        env=os.environ | hold,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        deadline = time.monotonic() + 240
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    while _rows(url, "select 1 from pg_stat_activity where application_name = 'lode prospect apply'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert _left(url) == NOTHING
    assert not _search(url, "pca").was_there
    assert _rows(url, "select count(*) from lode.prospect_run") == [(1,)]
