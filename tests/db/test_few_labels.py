"""The few-labels comparison on a drawn scene: both starts get the same, and nothing is trained twice."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import lode
from db.connection import connect
from inference.experiments.ground import opened_material
from inference.pretraining.few_labels_plan import PRESETS
from inference.pretraining.label_shares import PIECE_PX, pieces_of, share_of
from inference.training.blocks import TRAIN
from tests.db.trials import Trial


def test_a_share_of_the_labels_is_whole_pieces_of_every_class(untouched: Trial) -> None:
    training = PRESETS["tiny"].training
    with opened_material(untouched.url, training, (), None, ()) as (conn, material):
        pieces = pieces_of(conn, material)
        [scene], [numbers] = material.scenes, pieces.pieces
        for number in np.unique(numbers):
            inside = numbers == number
            assert np.ptp(scene.labelled.rows[inside]) < PIECE_PX
            assert np.ptp(scene.labelled.cols[inside]) < PIECE_PX
            assert np.unique(scene.labelled.classes[inside]).size == 1
        shares = [share_of(material, pieces, share, 1) for share in (0.01, 0.05, 0.2, 1.0)]
        others = share_of(material, pieces, 0.2, 2)
    kept = [each.scenes[0].parts == TRAIN for each in shares]
    for fewer, more in pairwise(kept):
        assert not (fewer & ~more).any()
    for each, is_kept in zip(shares, kept, strict=True):
        assert set(np.flatnonzero(each.pixels)) == set(np.flatnonzero(material.counts[TRAIN]))
        assert each.pixels.sum() == is_kept.sum()
        assert each.share == pytest.approx(is_kept.sum() / kept[-1].sum())
        whole = np.isin(numbers, numbers[is_kept]) & (scene.parts == TRAIN)
        assert (whole == is_kept).all()
        for part in (1, 2):
            assert ((each.scenes[0].parts == part) == (scene.parts == part)).all()
    assert (kept[-1] == (scene.parts == TRAIN)).all()
    assert shares[2].share == pytest.approx(0.2, abs=0.03)
    assert (others.scenes[0].parts != shares[2].scenes[0].parts).any()


def test_the_comparison_as_typed(untouched: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.few_labels_experiment.kept_district", lambda _database, **_size: untouched.url)
    command = ["experiment", "few-labels", "--preset", "tiny", "--out", str(tmp_path), "--device", "cpu"]
    assert lode.run(command) == 0
    said = capsys_text(untouched)
    assert "6/6 20% of the labels, seed 1, pretrained: mean IoU" in said
    result = json.loads((tmp_path / "few_labels.json").read_text())
    assert result["simulated"] is True
    assert [row["share"] for row in result["rows"]] == [0.01, 0.05, 0.2]
    for row in result["rows"]:
        [random], [pretrained] = row["random"]["values"], row["pretrained"]["values"]
        assert row["difference"]["values"] == [pretrained - random]
        assert 0 <= row["majority_class"]["mean"] < row["pixel_regression"]["mean"] <= 1
        assert row["difference"]["interval"]["blocks"] > 1
    text = (tmp_path / "few_labels.md").read_text()
    assert "(simulated)" in text
    assert all(sentence in text for sentence in result["findings"])
    assert sum("per-pixel regression" in sentence for sentence in result["findings"]) == sum(
        min(row["random"]["mean"], row["pretrained"]["mean"]) <= row["pixel_regression"]["mean"]
        for row in result["rows"]
    )
    lines = list(csv.DictReader((tmp_path / "few_labels.csv").read_text().splitlines()))
    assert {(line["answer"], line["share"]) for line in lines} == {
        (answer, share)
        for answer in ("random", "pretrained", "pixel_regression", "majority_class")
        for share in ("0.01", "0.05", "0.2")
    }
    assert (tmp_path / "few_labels.png").read_bytes().startswith(b"\x89PNG")
    # the pretraining was kept from the test ground
    assert result["pretraining"]["left_out_m2"] > 0

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "few_labels").glob("*.json")}
    assert len(kept) == 6
    assert lode.run(command) == 0
    assert "the backbone is pretrained already" in capsys_text(untouched)
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "few_labels").glob("*.json")}
    assert json.loads((tmp_path / "few_labels.json").read_text()) == result
    with connect(untouched.url) as conn:
        assert conn.execute("select count(*) from lode.model").fetchone() == (0,)


def capsys_text(trial: Trial) -> str:
    """What was said since the last call."""
    return trial.capsys.readouterr().out


def test_an_unknown_preset_is_refused(untouched: Trial, tmp_path: Path) -> None:
    assert lode.run(["experiment", "few-labels", "--preset", "huge", "--out", str(tmp_path)]) == 1
    assert "unknown preset 'huge': choose one of tiny, small" in untouched.capsys.readouterr().err
