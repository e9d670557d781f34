"""`lode experiment`, as typed: it trains, is killed, goes on, and says what came out."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import lode
from db.connection import connect
from db.registry import list_models

TINY = (
    "experiment", "comparison", "--network", "DL", "--network", "SE-COT-DL", "--seeds", "2", "--epochs", "2",
    "--windows", "16", "--tile-px", "64", "--size-px", "384", "--seed", "3", "--device", "cpu",
)  # fmt: skip


@pytest.fixture
def here(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process, which has torch loaded, on a database of the test's own."""
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)


@pytest.mark.timeout(600)
def test_an_experiment_goes_on_after_a_kill(
    database_url: str, here: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "results"
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lode", *TINY, "--out", str(out)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("2/4") and "epoch 1/2" in line:
            break
    process.kill()
    process.communicate()
    assert process.returncode == -9, "".join(lines)
    assert not list(out.glob("comparison.*"))
    with connect(database_url) as conn:
        before = {record.name: record.trained_at for record in list_models(conn)}
    assert list(before) == ["comparison DL seed 1"]
    assert (out / "comparison" / "SE-COT-DL seed 1.checkpoint").exists()

    # one training that cannot be gone on with does not keep the others from being done
    spoilt = out / "comparison" / "DL seed 2.checkpoint"
    spoilt.write_bytes(b"spoilt")
    assert lode.run([*TINY, "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "1 of 4 trainings are done already" in said.out
    assert "2/4 SE-COT-DL (row 2 of 2, seed 1): going on from" in said.out
    assert "3/4 DL (row 1 of 2, seed 2) failed" in said.out
    assert "4/4 SE-COT-DL (row 2 of 2, seed 2) done" in said.out
    assert "DL seed 2 failed, see above" in said.err
    (failure,) = json.loads((out / "comparison.json").read_text("utf-8"))["failures"]
    assert (failure["network"], failure["seed"]) == ("DL", 2)
    assert "is no checkpoint of a training" in failure["reason"]

    spoilt.unlink()
    assert lode.run([*TINY, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "3 of 4 trainings are done already" in said.out
    assert "4/4 DL (row 1 of 2, seed 2) done" in said.out
    assert {path.name for path in out.iterdir()} == {
        "comparison", "comparison.json", "comparison.md", "comparison.csv", "comparison.png",
    }  # fmt: skip
    assert not list((out / "comparison").glob("*.checkpoint*"))

    result = json.loads((out / "comparison.json").read_text("utf-8"))
    with connect(database_url) as conn:
        models = {record.name: record for record in list_models(conn)}
    assert models["comparison DL seed 1"].trained_at == before["comparison DL seed 1"]
    assert [row["network"] for row in result["rows"]] == ["DL", "SE-COT-DL"]
    for row in result["rows"]:
        assert row["seeds"] == [1, 2]
        for figure, key in (("mIoU", "mean_iou"), ("mRecall", "mean_recall"), ("mDice", "mean_dice")):
            values = [models[f"comparison {row['network']} seed {seed}"].metrics[key] for seed in (1, 2)]
            assert row[figure]["values"] == pytest.approx(values)
            assert row[figure]["mean"] == pytest.approx(sum(values) / 2)
            assert row[figure]["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
        assert set(row["mPrecision"]) == {"mean", "spread", "values"}
        assert row["boundary_f1"]["mean"] is not None
        assert 0 <= row["ece"]["mean"] <= 1
    assert all(model.training["split"] == result["split"] for model in models.values())
    assert len({json.dumps(model.history[0]["windows"]) for model in models.values()}) == 1
    assert result["simulated"] is True
    assert [row["key"] for row in result["baselines"]] == ["majority_class", "pixel_regression"]
    (found,) = result["differences"]
    assert (found["network"], found["to"], found["seeds"]) == ("SE-COT-DL", "DL", [1, 2])
    assert found["intervals"]["mIoU"]["low"] <= found["intervals"]["mIoU"]["high"]
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    lines_of_table = list(csv.DictReader((out / "comparison.csv").read_text("utf-8").splitlines()))
    assert float(lines_of_table[1]["mIoU_mean"]) == result["rows"][1]["mIoU"]["mean"]
    assert result["findings"][0] in (out / "comparison.md").read_text("utf-8")

    assert lode.run([*TINY, "--out", str(tmp_path / "elsewhere"), "--batch", "4"]) == 1
    refused = capsys.readouterr().err
    assert (
        "model 'comparison DL seed 1' exists and was trained otherwise: settings.batch_size was 8" in refused
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "huge"), "unknown preset 'huge'"),
        (("--seeds", "0"), "seeds is 0"),
        (("--samples", "s", "--scene", "p"), "give either --samples or --scene"),
        (("--scene", "p", "--out", "/proc/nowhere"), "folder /proc/nowhere/ablation cannot be written to"),
        (("--scene", "p"), "there is no scene 'p'"),
        (("--samples", "s"), "no sample set is called 's'"),
    ],
)
def test_what_cannot_be_done_is_refused(
    here: None, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
):
    out = () if "--out" in arguments else ("--out", str(tmp_path))
    assert lode.run(["experiment", "ablation", *arguments, *out]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))
