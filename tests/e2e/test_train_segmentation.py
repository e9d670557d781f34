"""`lode train segmentation` and `lode model` on a database, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load

from db.connection import connect
from db.errors import UsageError
from db.registry import load_model, model_by_name
from db.samples import sample_set_by_name, samples_of_set
from db.scenes import list_scenes, scene_by_id
from inference.training.blocks import TRAIN
from inference.training.material import material_of_model, material_of_samples
from lode import cli
from tests.conftest import RunLode
from tests.e2e.conftest import lode

QUICK = ("--backbone", "small", "--epochs", "1", "--windows", "16", "--tile-px", "64")


def test_a_model_tells_what_it_was_trained_on(prepared_url: str) -> None:
    _head, row, *_ = lode(prepared_url, "model", "list").stdout.splitlines()
    assert row.startswith("net ")
    assert "blue, green, red, nir" in row
    shown = json.loads(lode(prepared_url, "model", "show", "net", "--format", "json").stdout)
    assert shown["class_codes"] == list(range(8))
    assert shown["mapped_codes"] == [code for code, pixels in enumerate(by_code(shown, "train")) if pixels]
    assert {epoch["epoch"] for epoch in shown["history"]} == {1, 2}
    metrics = shown["metrics"]
    assert metrics["pixels"] == sum(by_code(shown, "test")) == np.sum(metrics["confusion"])
    assert set(metrics["baselines"]) == {"majority_class", "pixel_regression"}
    assert all(baseline["pixels"] == metrics["pixels"] for baseline in metrics["baselines"].values())
    text = lode(prepared_url, "model", "show", "net").stdout
    assert "labelled pixels of test blocks" in text


def by_code(shown: dict[str, dict[str, dict[str, dict[str, int]]]], part: str) -> list[int]:
    """Labelled pixels of each class in a part."""
    codes = {key: figures["code"] for key, figures in shown["metrics"]["by_class"].items()}
    pixels = shown["training"]["pixels"][part]
    return [pixels[key] for key in sorted(codes, key=lambda key: codes[key])]


def test_the_split_is_reproduced_from_what_is_stored(prepared_url: str) -> None:
    with connect(prepared_url) as conn:
        model = model_by_name(conn, "net")
        with connect(prepared_url, autocommit=True) as reading:
            scenes = material_of_model(conn, reading, model, model.band_names).scenes
    for part, name in enumerate(("train", "validation", "test")):
        found = sum(int((scene.parts == part).sum()) for scene in scenes)
        assert found == sum(model.training["pixels"][name].values())
        assert found > 0


def test_a_sample_set_is_trained_on_with_its_own_split(prepared_url: str) -> None:
    lode(prepared_url, "samples", "build", "--name", "set", "--tile-px", "64")
    chosen = ("--backbone", "small", "--epochs", "1", "--windows", "16", "--samples", "set")
    said = lode(prepared_url, "train", "segmentation", "--name", "of set", *chosen).stdout
    assert "samples of set: " in said
    with connect(prepared_url) as conn, connect(prepared_url, autocommit=True) as reading:
        model = model_by_name(conn, "of set")
        found = sample_set_by_name(conn, "set")
        stored = samples_of_set(conn, found.sample_set_id)
        material = material_of_samples(conn, reading, "set", model.band_names)
        for part, name in enumerate(("train", "validation", "test")):
            held = sum(int((scene.parts == part).sum()) for scene in material.scenes)
            counted = sum(sum(each.own_class_pixels) for each in stored if each.split == name)
            assert held == counted == sum(model.training["pixels"][name].values()) > 0
        assert model.training["split"] == material.ground.as_json()
        again = material_of_model(conn, reading, model, model.band_names)
        assert again.ground.as_json() == material.ground.as_json()
        # no window that is drawn reaches over ground of another part
        for number, scene in enumerate(again.scenes):
            for top, left, bottom, right in again.ground.training_boxes()[number]:
                held = scene.parts[
                    (scene.labelled.rows >= top) & (scene.labelled.rows < bottom)
                    & (scene.labelled.cols >= left) & (scene.labelled.cols < right)
                ]  # fmt: skip
                assert set(held.tolist()) <= {TRAIN, 255}
                grid = scene_by_id(conn, found.scene_ids[number]).grid
                assert bottom <= grid.height_px
                assert right <= grid.width_px
    lode(prepared_url, "samples", "remove", "set")
    lode(prepared_url, "samples", "build", "--name", "set", "--tile-px", "64", "--seed", "5")
    with (
        connect(prepared_url) as conn,
        connect(prepared_url, autocommit=True) as reading,
        pytest.raises(UsageError, match="made anew"),
    ):
        material_of_model(conn, reading, model, model.band_names)


def test_options_of_the_network_are_stored_with_it(prepared_url: str) -> None:
    chosen = ("--option", "cot_position=backbone_out", "--option", "atrous_rates=[1,2,3]")
    lode(prepared_url, "train", "segmentation", "--name", "placed", *chosen, *QUICK)
    with connect(prepared_url) as conn:
        options = model_by_name(conn, "placed").options
    assert options == {"backbone": "small", "cot_position": "backbone_out", "atrous_rates": [1, 2, 3]}


def test_seeds_can_share_a_split(prepared_url: str) -> None:
    for seed in ("4", "5"):
        shared = ("--split-seed", "1", "--seed", seed)
        lode(prepared_url, "train", "segmentation", "--name", f"seed {seed}", *shared, *QUICK)
    with connect(prepared_url) as conn:
        net, four, five = (model_by_name(conn, name) for name in ("net", "seed 4", "seed 5"))
    assert net.training["split"] == four.training["split"] == five.training["split"]
    assert four.history[0]["loss"] != five.history[0]["loss"]


def test_a_training_starts_from_a_file(prepared_url: str, tmp_path: Path) -> None:
    with connect(prepared_url) as conn:
        stored = load_model(conn, "net")
    file = tmp_path / "net.safetensors"
    file.write_bytes(stored.weights)
    still = ("--lr", "1e-12", "--weights", str(file), "--split-seed", "1")
    said = lode(prepared_url, "train", "segmentation", "--name", "like net", *still, *QUICK).stdout
    assert "first weights from net.safetensors: " in said
    with connect(prepared_url) as conn:
        like = load_model(conn, "like net")
    first, second = load(stored.weights), load(like.weights)
    assert like.record.training["first_weights"]["sha256"] == stored.sha256
    assert all(
        torch.allclose(first[name], second[name], atol=1e-6) for name in first if name.endswith("weight")
    )
    other = ("--architecture", "unet", "--weights", str(file))
    done = lode(prepared_url, "train", "segmentation", "--name", "x", *other, *QUICK, check=False)
    assert done.returncode == 1
    assert "another network" in done.stderr


def test_the_same_seed_trains_the_same_network(prepared_url: str) -> None:
    for name in ("first", "second"):
        lode(prepared_url, "train", "segmentation", "--name", name, *QUICK)
    with connect(prepared_url) as conn:
        digests = conn.execute(
            "select count(distinct sha256) from lode.model_weights join lode.model using (model_id)"
            " where name in ('first', 'second')"
        ).fetchone()
    assert digests == (1,)


def test_a_killed_training_goes_on_to_the_same_network(prepared_url: str, tmp_path: Path) -> None:
    chosen = ("--architecture", "deeplabv3plus", "--backbone", "small", "--epochs", "3", "--windows", "16")
    chosen += ("--tile-px", "64", "--loss", "focal", "--adversarial", "0.05", "--repeats", "2")
    lode(prepared_url, "train", "segmentation", "--name", "through", *chosen)
    checkpoint = tmp_path / "run"
    arguments = ("train", "segmentation", "--name", "killed", "--checkpoint", str(checkpoint), *chosen)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lode", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LODE_DATABASE_URL": prepared_url},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.kill()
    process.communicate()
    assert process.returncode == -9
    said = lode(prepared_url, *arguments).stdout
    assert f"going on from {checkpoint}" in said
    assert "epoch 1/" not in said
    assert "epoch 3/" in said
    assert list(tmp_path.iterdir()) == []
    with connect(prepared_url) as conn:
        through, killed = (model_by_name(conn, name) for name in ("through", "killed"))
        digests = conn.execute(
            "select count(distinct sha256) from lode.model_weights join lode.model using (model_id)"
            " where name in ('through', 'killed')"
        ).fetchone()
    assert digests == (1,)
    assert [epoch["loss"] for epoch in killed.history] == [epoch["loss"] for epoch in through.history]
    assert killed.metrics == through.metrics
    assert killed.options == {"backbone": "small"}


def test_bands_and_scenes_can_be_chosen(prepared_url: str) -> None:
    with connect(prepared_url) as conn:
        product = list_scenes(conn)[0].product
    chosen = ("--bands", "nir,red", "--scene", product)
    lode(prepared_url, "train", "segmentation", "--name", "two", *chosen, *QUICK)
    with connect(prepared_url) as conn:
        model = model_by_name(conn, "two")
    assert model.band_names == ["nir", "red"]
    assert [scene["product"] for scene in model.training["scenes"]] == [product]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "net"), "'net' exists"),
        (("--name", "x", "--bands", "blue,swir"), "not every scene has the bands swir"),
        (("--name", "x", "--scene", "nowhere"), "there is no scene 'nowhere'"),
        (("--name", "x", "--tile-px", "50"), "multiple of 16"),
        (("--name", "x", "--samples", "none"), "no sample set is called 'none'"),
        (("--name", "x", "--samples", "none", "--scene", "a"), "either --samples or --scene"),
        (("--name", "x", "--samples", "none", "--block-m", "9"), "either --samples or --block-m"),
        (("--name", "x", "--weights", "nowhere.safetensors"), "cannot be read"),
        (("--name", "x", "--option", "cot_position=nowhere"), "unknown cot_position 'nowhere'"),
        (("--name", "x", "--option", "colour=red"), "unknown option 'colour'"),
        (("--name", "x", "--option", "backbone=small"), "--backbone small"),
        (("--name", "x", "--option", "cot_position"), "give NAME=VALUE"),
        (("--name", "x", "--backbone", "huge"), "unknown backbone 'huge'"),
        (("--name", "x", "--block-m", "100000"), "no labels are left"),
        (("--name", "x", "--device", "tpu"), "device"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    prepared_url: str, arguments: tuple[str, ...], message: str
) -> None:
    # in this process: a new one takes longer to start than to refuse
    given = ("train", "segmentation", "--epochs", "1", "--windows", "16", *arguments)
    done = CliRunner().invoke(cli, given, env={"LODE_DATABASE_URL": prepared_url})
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)


def test_labels_of_one_class_do_not_train(prepared_url: str) -> None:
    with connect(prepared_url) as conn:
        conn.execute("delete from lode.label where land_class_code <> 1")
    done = lode(prepared_url, "train", "segmentation", "--name", "x", *QUICK, check=False)
    assert done.returncode == 1
    assert "at least two classes in its blocks, there are: 1" in done.stderr


def test_without_scenes_or_labels_it_says_what_to_bring(prepared_url: str, run_lode: RunLode) -> None:
    nothing = run_lode("train", "segmentation", "--name", "x")
    assert nothing.returncode == 1
    assert "lode ingest scene" in nothing.stderr
    with connect(prepared_url) as conn:
        conn.execute("delete from lode.label")
    bare = lode(prepared_url, "train", "segmentation", "--name", "x", check=False)
    assert bare.returncode == 1
    assert "lode ingest labels" in bare.stderr
