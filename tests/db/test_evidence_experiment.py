"""`lode experiment prospectivity` from a simulated province to its files; a second call trains nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from db.connection import connect
from db.errors import UsageError
from db.registry import EVIDENCE, list_models
from demo import evidence_experiment
from inference.evidence.experiment.plan import LABELS, PRESETS, Preset

NETWORK = {
    "window_px": 16,
    "width": 8,
    "depth": 1,
    "heads": 2,
    "stem": 4,
    "decoder_width": 8,
    "decoder_depth": 1,
    "windows": 16,
    "evaluations": 1,
}


def run(out: Path) -> tuple[dict[str, Any], list[str]]:
    """The result, and lines of progress."""
    said: list[str] = []
    result = evidence_experiment.run_experiment(
        out, preset_name="tiny", parts=["simulated"], device_name="cpu", jobs=1, report=said.append
    )
    return result, said


@pytest.mark.timeout(600)
def test_all_methods_are_judged_and_a_second_call_trains_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    monkeypatch.setitem(PRESETS, "tiny", Preset(size_px=96, seeds=2, real_seeds=1, network=NETWORK))
    result, said = run(tmp_path)

    rows = {(row["method"], row["score"]): row for row in result["rows"]}
    assert {key for key in rows if key[1]} == {(method, score) for method in LABELS for score in "SA"}
    assert len(rows["vit", "S"]["roc_auc"]["seeds"]) == 2
    assert len(rows["pca", "S"]["roc_auc"]["seeds"]) == 1
    # the halos themselves on favourable geology: what could be known at best
    assert rows["planted halos, S", ""]["roc_auc"]["mean"] > 0.9
    about = result["parts"]["simulated"]
    # six are planted; one may lie where a layer has a gap, which single layers do not rank
    assert about["deposits"] >= 5
    assert {each["data"] for each in (*result["rows"], *result["differences"], *result["planted"])} == {
        "simulated"
    }
    with connect(database_url) as conn:
        models = [model for model in list_models(conn) if model.task == EVIDENCE]
        published = conn.execute(
            "select count(distinct prospect_run_id) from lode_api.prospectivity_map"
        ).fetchone()
    assert {model.name for model in models} == {each["model"] for each in about["models"].values()}
    assert {model.training["data"] for model in models} == {"simulated"}
    assert published == (len(LABELS),)

    assert json.loads((tmp_path / "evidence.json").read_text("utf-8"))["rows"] == result["rows"]
    lines = (tmp_path / "evidence.md").read_text("utf-8").splitlines()
    assert lines[2] == f"- {result['findings'][0]}"
    assert (tmp_path / "evidence.csv").read_text("utf-8").startswith("data,method,score,roc_auc,")
    assert (tmp_path / "evidence_simulated.png").read_bytes().startswith(b"\x89PNG")

    again, repeated = run(tmp_path)
    assert not any("was trained before" in line for line in said)
    assert sum("was trained before" in line for line in repeated) == len(LABELS)
    assert again["rows"] == result["rows"]
    with connect(database_url) as conn:
        assert len(list_models(conn)) == len(models)

    with pytest.raises(UsageError, match="name one --part"):
        evidence_experiment.run_experiment(
            tmp_path, preset_name="tiny", parts=["simulated", "real"], device_name="cpu"
        )
