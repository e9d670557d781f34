"""`lode train pretrain`: scenes of a database become a backbone, and no label plays a part in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import lode
from db.connection import connect
from db.registry import load_model
from db.samples import sample_set_by_name, samples_of_set
from db.scenes import scene_by_product
from inference.pretraining.blocks import without_ground
from inference.pretraining.left_out import ground_of_test
from inference.scene_checks import source_of
from tests.db.trials import Trial

QUICK = (
    "--backbone", "small", "--tile-px", "32", "--patch-px", "8", "--windows", "16", "--rounds", "2",
    "--batch", "4", "--device", "cpu",
)  # fmt: skip


def pretrain(trial: Trial, out: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and error."""
    trial.capsys.readouterr()
    code = lode.run(["train", "pretrain", "--out", str(out), *QUICK, *map(str, arguments)])
    return code, *trial.capsys.readouterr()


def header(path: Path) -> dict[str, Any]:
    with safe_open(str(path), "pt") as file:
        said: dict[str, Any] = json.loads(file.metadata()["lode"])
    return said


def test_no_label_plays_a_part_and_a_segmentation_starts_from_the_file(trial: Trial) -> None:
    labelled, bare = trial.folder / "labelled.safetensors", trial.folder / "bare.safetensors"
    code, said, error = pretrain(trial, labelled, "--checkpoint", trial.folder / "run")
    assert code == 0, error
    assert "1 scenes, bands" in said
    assert "round 2/2: loss" in said
    assert "mean of the visible pixels" in said
    told = header(labelled)
    assert (told["format"], told["backbone"]) == ("lode backbone 1", "small")
    assert [scene["product"] for scene in told["scenes"]] == ["a"]
    assert len(told["scenes"][0]["sha256"]) == 64
    assert set(told["normalisation"]) == set(told["bands"])
    assert len(told["bands"]) == 4
    assert told["steps"] == 4
    assert len(told["ground"]["held_out"]) >= 1

    with trial.changing() as conn:
        conn.execute("delete from lode.label")
    code, _said, error = pretrain(trial, bare)
    assert code == 0, error
    assert bare.read_bytes() == labelled.read_bytes()
    assert {path.name for path in trial.folder.iterdir()} == {labelled.name, bare.name}


def test_a_segmentation_starts_from_the_file(trial: Trial) -> None:
    path = trial.folder / "backbone.safetensors"
    code, _said, error = pretrain(trial, path)
    assert code == 0, error
    still = ("--architecture", "deeplabv3plus", "--lr", "1e-9")  # so that the first weights can be told
    code, said, error = trial.train("--weights", path, *still)
    assert code == 0, error
    assert "first weights from backbone.safetensors: " in said
    assert "not in the network" not in said
    with connect(trial.url) as conn:
        stored = load_model(conn, "x")
    assert stored.record.training["first_weights"]["unexpected"] == []
    trained = trial.folder / "trained.safetensors"
    trained.write_bytes(stored.weights)
    network, backbone = load_file(trained), load_file(path)
    assert all(
        torch.allclose(network[f"backbone.{name}"], tensor, atol=1e-5)
        for name, tensor in backbone.items()
        if name.endswith("weight")
    )


def test_a_segmentation_of_other_bands_does_not_start_from_the_file(untouched: Trial) -> None:
    path = untouched.folder / "backbone.safetensors"
    code, _said, error = pretrain(untouched, path)
    assert code == 0, error
    bands = header(path)["bands"]
    code, _said, error = untouched.train("--weights", path, "--bands", ",".join(reversed(bands)))
    assert code == 1
    assert f"give --bands {','.join(bands)}, or leave --weights out" in error


def test_the_test_ground_of_a_model_is_left_out(trial: Trial) -> None:
    code, _said, error = trial.train("--block-m", "120")
    assert code == 0, error
    path, whole = trial.folder / "blind.safetensors", trial.folder / "whole.safetensors"
    code, said, error = pretrain(trial, path, "--leave-out-test", "x", "--bands", "red,nir")
    assert code == 0, error
    assert "without the test ground of x" in said
    told = header(path)
    assert told["left_out"] == ["x"]
    with connect(trial.url) as conn:
        split = load_model(conn, "x").record.training["split"]
    blocks = sum(part == "test" for *_place, part in split["blocks"])
    assert told["left_out_m2"] == pytest.approx(blocks * split["edge_m"] ** 2)
    assert blocks > 0
    assert pretrain(trial, whole, "--bands", "red,nir")[0] == 0
    assert header(whole)["normalisation"] != told["normalisation"]


def test_the_test_ground_of_a_sample_set_is_left_out(trial: Trial) -> None:
    # the drawn labels cover all ground, and windows of two parts keep their distance
    build = ("samples", "build", "--name", "s", "--split", "block", "--tile-px", "32", "--gap-m", "0")
    assert lode.run([*build, "--fewest-px", "1"]) == 0, trial.capsys.readouterr().err
    with connect(trial.url) as conn:
        [outline] = ground_of_test(conn, "s")
        scene = scene_by_product(conn, "a")
        found = sample_set_by_name(conn, "s")
        samples = [each for each in samples_of_set(conn, found.sample_set_id) if each.split == "test"]
        source = without_ground(source_of(conn, scene, ("red", "nir")), [outline])
        _, valid = source.read(0, 0, scene.grid.height_px, scene.grid.width_px)
    expected = np.ones_like(valid)
    for each in samples:
        rows = slice(each.row_px, each.row_px + each.height_px)
        expected[rows, each.col_px : each.col_px + each.width_px] = False
    assert 0 < expected.mean() < 1
    assert (valid == expected).all()
    path = trial.folder / "blind.safetensors"
    code, _said, error = pretrain(trial, path, "--leave-out-test", "s", "--block-m", "60")
    assert code == 0, error
    assert header(path)["left_out_m2"] == pytest.approx((~expected).sum() * scene.grid.resolution_x**2)


def test_what_is_refused(untouched: Trial) -> None:
    out = untouched.folder / "x.safetensors"
    for arguments, said in (
        (("--scene", "nowhere"), "nowhere"),
        (("--leave-out-test", "nothing"), "there is no model and no sample set called 'nothing'"),
        (("--bands", "B99"), "not every scene has the bands B99"),
        (("--block-m", "1e6"), "one must be held out"),
        (("--tile-px", "40"), "multiple of 16"),
    ):
        code, _said, error = pretrain(untouched, out, *arguments)
        assert code == 1
        assert error.startswith("lode: error: ")
        assert said in error
        assert not out.exists()
    out.write_bytes(b"mine")
    assert "is there already" in pretrain(untouched, out)[2]
    assert out.read_bytes() == b"mine"
