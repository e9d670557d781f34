"""What `lode train segmentation` refuses on a database: a plain message, no row, no stray file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from db.connection import connect
from db.registry import model_by_name
from inference.networks import build_network
from tests.db.trials import CODES, SIDE_PX, Trial, add_label, cell, drawn_scene, ingest

OUTSIDE = "st_translate(geom, 1, 0)"  # a degree to the east


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("delete from lode.label", (), "none of the 1 scenes has labels: bring some with"),
        ("delete from lode.label", ("--scene", "a"), "no labels hold for a: bring some with"),
        (f"update lode.label set geom = {OUTSIDE}, scene_id = null", (), "none of the 1 scenes has labels"),
        (f"update lode.label set geom = {OUTSIDE}", (), "covers a pixel with data of a: check where"),
        ("update lode.label set valid_on = '2020-12-31', scene_id = null", (), "none of the 1 scenes has"),
        ("update lode.label set land_class_code = 8", (), "no label of a class that networks know"),
        ("update lode.label set land_class_code = 6", (), "at least two classes in its blocks, there are: 6"),
        ("delete from lode.label where label_id > 1", (), "at least two classes"),
    ],
)
def test_labels_that_do_not_suffice(
    trial: Trial, change: str, arguments: tuple[str, ...], message: str
) -> None:
    with trial.changing() as conn:
        conn.execute(change)
    assert message in trial.refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bands", "nir,swir"), "not every scene has the bands swir (a: blue, green, red, nir)"),
        (("--bands", "nir,nir"), "a band is named twice in --bands nir,nir"),
        (("--scene", "b"), "there is no scene 'b'"),
        (("--block-m", "20000"), "train with a smaller --block-m"),
        (("--tile-px", "40"), "tile_px is 40: it must be a multiple of 16"),
        (("--tile-px", "16"), "tile_px is 16: it must be at least 32"),
        (("--batch", "1"), "batch_size is 1: it must be at least 2"),
        (("--lr", "nan"), "learning_rate is nan: it must be positive"),
        (("--split-seed", "-1"), "split_seed is -1: it must be at least 0"),
        (("--samples", "s"), "no sample set is called 's': there is none yet"),
        (("--samples", "s", "--scene", "a"), "give either --samples or --scene"),
    ],
)
def test_what_was_asked_for_cannot_be(untouched: Trial, arguments: tuple[str, ...], message: str) -> None:
    assert message in untouched.refused(*arguments)


def test_labels_where_the_scene_has_no_data(trial: Trial, tmp_path: Path) -> None:
    pixels, _kinds = drawn_scene(2)
    pixels[:, :, : SIDE_PX // 2] = 0
    with trial.changing() as conn:
        scene_id = ingest(conn, tmp_path, "half", pixels)
        for number in range(6):
            add_label(conn, CODES[number % 3], cell(2 * number, 1), scene_id)
    assert "covers a pixel with data of half" in trial.refused("--scene", "half")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {
                "sensor": "sentinel2_msi",
                "bands": ("B02", "B03", "B04", "B08"),
                "processing_level": "digital_number",
            },
            "the scenes share no band (a: blue, green, red, nir; b: B02, B03, B04, B08)",
        ),
        ({"processing_level": "radiance"}, "scene a holds digital_number, scene b holds radiance"),
    ],
)
def test_scenes_that_do_not_go_together(
    trial: Trial, tmp_path: Path, stated: dict[str, Any], message: str
) -> None:
    with trial.changing() as conn:
        scene_id = ingest(conn, tmp_path, "b", drawn_scene(2)[0], **stated)
        add_label(conn, 6, cell(0, 0), scene_id)
    assert message in trial.refused()


def test_a_loss_that_is_no_number_names_the_sample(untouched: Trial) -> None:
    error = untouched.refused("--lr", "1e30", "--epochs", "3", left=("run.lock",))
    assert "loss became" in error
    assert "scene a, row " in error
    assert "smaller --lr" in error


def weights_of(name: str, bands: int = 4, backbone: str = "small") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return build_network(name, in_channels=bands, backbone=backbone).state_dict()


def of_torch(path: Path) -> None:
    torch.save(weights_of("deeplabv3plus"), path)


def of_unet(path: Path) -> None:
    save_file(weights_of("unet"), path)


def of_a_larger_backbone(path: Path) -> None:
    save_file(weights_of("se_cot_deeplabv3plus", backbone="mobilenet_v2"), path)


def with_nan(path: Path) -> None:
    state = weights_of("se_cot_deeplabv3plus")
    state["aspp.project.0.weight"][0, 0] = torch.nan
    save_file(state, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (of_torch, "is no safetensors file"),
        (of_unet, "holds the weights of another network than this DeepLabV3Plus"),
        (of_a_larger_backbone, "holds the weights of another network than this DeepLabV3Plus"),
        (with_nan, "aspp.project.0.weight: 1 of"),
        (None, "cannot be read: No such file"),
    ],
)
def test_weights_that_do_not_fit(
    untouched: Trial, tmp_path: Path, write: Callable[[Path], None] | None, message: str
) -> None:
    path = tmp_path / "weights.safetensors"
    if write is not None:
        write(path)
    assert message in untouched.refused("--weights", path)


def test_weights_of_other_bands_start_what_fits_and_say_so(trial: Trial, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = {**weights_of("se_cot_deeplabv3plus", bands=3), "fc.weight": torch.zeros(2)}
    save_file(state, path)
    code, said, error = trial.train("--weights", path, "--lr", "1e-30")
    assert code == 0, error
    assert f"first weights from {path.name}: {len(state) - 2} tensors match" in said
    assert "1 of another shape (backbone.stem.0.0.weight)" in said
    assert "1 not in the network (fc.weight)" in said
    with connect(trial.url) as conn:
        begun = model_by_name(conn, "x").training["first_weights"]
    assert (begun["file"], begun["reshaped"]) == (path.name, ["backbone.stem.0.0.weight"])
