"""Plans of experiments: rows, budgets, and when a later call may go on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import UsageError
from inference.experiments.experiment import Request
from inference.experiments.files import held, made_folder, write_text, write_whole
from inference.experiments.plan import open_plan
from inference.experiments.presets import PRESETS
from inference.experiments.rows import EXPERIMENTS, chosen_rows
from inference.experiments.time_left import TimeLeft, in_words
from inference.networks.registry import ARCHITECTURES
from tests.unit.experiment_models import GROUND, block, metrics_of, plan_of, record_of


def test_the_rows_are_those_of_the_study():
    names = {name: [row.network for row in rows] for name, rows in EXPERIMENTS.items()}
    assert names["ablation"] == ["DL", "COT-DL", "SE-DL", "SE-COT-DL"]
    assert names["comparison"] == ["FCN", "U-Net", "PSPNet", *names["ablation"]]
    assert {row.architecture for row in EXPERIMENTS["comparison"]} <= ARCHITECTURES.keys()
    assert [row.network for row in chosen_rows("comparison", ("SE-DL", "FCN"))] == ["FCN", "SE-DL"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_row_has_the_same_budget(preset: str):
    plan = plan_of(seeds=3, preset=preset, settings=PRESETS[preset].settings(5))
    assert len(plan.trainings) == 21
    assert [seed for _, seed in plan.trainings] == [1] * 7 + [2] * 7 + [3] * 7
    shared = set()
    for row, seed in plan.trainings:
        settings = plan.settings_of(row, seed)
        assert (settings.architecture, settings.seed, settings.split_seed) == (row.architecture, seed, 5)
        alike = replace(settings, architecture="deeplabv3plus", backbone="default", seed=0)
        shared.add(json.dumps(alike.as_json()))
    assert len(shared) == 1


def test_a_model_of_the_plan_is_told_from_others():
    plan = plan_of("DL", "SE-DL")
    row = plan.rows[0]
    record = record_of(plan, row, 1, metrics_of(block(1.0, 1.0)))
    assert plan.differences(record, row, 1) == []
    assert any("settings.seed" in line for line in plan.differences(record, row, 2))
    assert any("architecture" in line for line in plan.differences(record, plan.rows[1], 1))
    longer = replace(plan, settings=replace(plan.settings, epochs=9))
    assert longer.differences(record, row, 1) == [f"settings.epochs was {plan.settings.epochs}, is 9"]
    elsewhere = replace(plan, ground=replace(GROUND, split={**GROUND.split, "edge_m": 200.0}))
    assert elsewhere.differences(record, row, 1) == ["split.edge_m was 100.0, is 200.0"]
    bands = replace(plan, ground=replace(GROUND, bands=("nir",)))
    assert bands.differences(record, row, 1) == ['bands was ["red", "nir"], is ["nir"]']


def test_a_later_call_goes_on_with_more_seeds_and_rows_but_no_other_settings(tmp_path: Path):
    assert open_plan(tmp_path, plan_of("DL"), "comparison", [], is_fresh=False) == "comparison"
    more = plan_of("DL", "SE-DL", seeds=5)
    assert open_plan(tmp_path, more, "comparison", [], is_fresh=False) == "comparison"
    other = replace(more, settings=replace(more.settings, batch_size=16))
    with pytest.raises(UsageError, match=r"settings.batch_size was 8, is 16.*--fresh"):
        open_plan(tmp_path, other, "comparison", [], is_fresh=False)
    labels = replace(more, ground=replace(GROUND, labels="1" * 64))
    with pytest.raises(UsageError, match=r"data.labels was"):
        open_plan(tmp_path, labels, "comparison", [], is_fresh=False)
    with pytest.raises(UsageError, match="name was 'comparison', is 'mine'"):
        open_plan(tmp_path, more, "mine", [], is_fresh=False)


def test_a_fresh_experiment_takes_names_that_are_free_and_is_gone_on_with(tmp_path: Path):
    plan = plan_of("DL")
    (tmp_path / "DL seed 1.checkpoint").write_bytes(b"old")
    taken = ["comparison DL seed 1", "comparison 2 DL seed 2", "comparison 3 FCN seed 1"]
    assert open_plan(tmp_path, plan, "comparison", taken, is_fresh=True) == "comparison 3"
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert open_plan(tmp_path, plan, "comparison", taken, is_fresh=False) == "comparison 3"


def test_a_damaged_plan_is_refused(tmp_path: Path):
    (tmp_path / "plan.json").write_text('{"name": ')
    with pytest.raises(UsageError, match=r"plan.json cannot be read.*--fresh"):
        open_plan(tmp_path, plan_of("DL"), "comparison", [], is_fresh=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "huge"}, "unknown preset 'huge': choose one of small, full"),
        ({"seeds": 0}, "seeds is 0"),
        ({"networks": ("DeepLab",)}, "'DeepLab' is no row of the ablation: choose among DL, COT-DL"),
        ({"sample_set": "s", "products": ("P",)}, "either --samples or --scene"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"tile_px": 50}, "multiple of 16"),
        ({"split_seed": -1}, "split_seed is -1"),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        Request("ablation", **wrong)  # type: ignore[arg-type]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "table.md"
    write_text(path, "old")

    def half(part: Path) -> None:
        part.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match=r"table.md could not be written: No space left on device"):
        write_whole(path, half)
    assert [each.name for each in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text() == "old"
    write_text(path, "新")
    assert path.read_bytes() == "新".encode()


def test_a_disk_that_is_full_is_told(tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(UsageError, match=r"No space left on device.*What was trained is kept"):
        write_whole(tmp_path / "x.md", lambda _part: Path("/dev/full").write_text("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written to"):
        made_folder(tmp_path / "file" / "comparison")
    folder = made_folder(tmp_path / "a" / "b")
    assert list(folder.iterdir()) == []


def test_two_processes_do_not_share_a_folder(tmp_path: Path):
    with held(tmp_path), pytest.raises(UsageError, match="another process works"), held(tmp_path):
        pass
    with held(tmp_path):
        pass
    shutil.rmtree(tmp_path)


def test_the_time_left_is_learnt_row_by_row():
    left = TimeLeft()
    assert left.estimate(["DL"]) is None
    # a quarter of the first training took 10 s: 30 s are left of it, and the next takes 40 s
    assert left.estimate(["U-Net"], ("DL", 10.0, 0.25)) == pytest.approx(70.0)
    left.learn("DL", 40.0)
    left.learn("U-Net", 100.0)
    assert left.estimate(["DL", "U-Net", "FCN"]) == pytest.approx(40 + 100 + 70)
    assert in_words(None) == "time left unknown"
    assert in_words(45.0) == "about 45 s left"
    assert in_words(600.0) == "about 10 min left"
