"""`lode train segmentation` and `lode model` on a database, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from db.connection import connect
from db.registry import model_by_name
from db.scenes import list_scenes
from inference.training.split import split_mask
from tests.conftest import RunLode
from tests.e2e.conftest import lode

QUICK = ("--backbone", "small", "--epochs", "1", "--windows", "16", "--tile-px", "64")


def test_a_model_tells_what_it_was_trained_on(prepared_url: str) -> None:
    listed = lode(prepared_url, "model", "list").stdout
    assert listed.startswith("net: segmentation, se_cot_deeplabv3plus, bands blue, green, red, nir, 2 m")
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
        masks = [split_mask(conn, model, scene) for scene in list_scenes(conn)]
    for part, name in enumerate(("train", "validation", "test")):
        found = sum(int((mask == part).sum()) for mask in masks)
        assert found == sum(model.training["pixels"][name].values())
        assert found > 0


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
        (("--name", "x", "--backbone", "huge"), "unknown backbone 'huge'"),
        (("--name", "x", "--block-m", "100000"), "no labels are left"),
        (("--name", "x", "--device", "tpu"), "device"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    prepared_url: str, arguments: tuple[str, ...], message: str
) -> None:
    done = lode(
        prepared_url, "train", "segmentation", "--epochs", "1", "--windows", "16", *arguments, check=False
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


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
