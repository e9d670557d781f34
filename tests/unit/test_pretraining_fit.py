"""A pretraining: it learns, repeats itself to the bit, goes on after a kill, and its file fits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from db.errors import UsageError
from inference.networks import build_network
from inference.pretraining.backbone_file import require_free, write_backbone
from inference.pretraining.fitting import Round, fit_backbone
from inference.training.first_weights import start_from
from inference.weights import weights_to_bytes
from tests.unit.pretrained_ground import SETTINGS, drawn_ground, fitted, fresh


def test_it_learns_to_fill_in() -> None:
    settings = replace(SETTINGS, windows=320, rounds=2, learning_rate=4e-3)
    network, figures = fitted(drawn_ground(), settings)
    losses = [each.validation_loss for each in figures.rounds]
    assert len(losses) == 2
    assert figures.validation_loss == min(losses)
    assert figures.validation_loss < 0.6 * figures.plain_loss
    assert not network.training


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    ground = drawn_ground()
    one, other = (fitted(ground, SETTINGS)[0] for _ in range(2))
    assert weights_to_bytes(one) == weights_to_bytes(other)
    third = fitted(ground, replace(SETTINGS, seed=4))[0]
    assert weights_to_bytes(one) != weights_to_bytes(third)


def test_one_that_was_cut_off_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(figures: Round) -> None:
        if figures.number == 2:
            raise KilledError

    ground, checkpoint = drawn_ground(), tmp_path / "run"
    whole, figures = fitted(ground, SETTINGS)
    with pytest.raises(KilledError):
        fit_backbone(fresh(), ground, SETTINGS, torch.device("cpu"), kill, checkpoint=checkpoint)
    said: list[int] = []
    network = fresh()
    again = fit_backbone(
        network, ground, SETTINGS, torch.device("cpu"), lambda each: said.append(each.number),
        checkpoint=checkpoint,
    )  # fmt: skip
    assert said == [3]
    assert weights_to_bytes(network) == weights_to_bytes(whole)
    assert [(each.loss, each.validation_loss) for each in again.rounds] == [
        (each.loss, each.validation_loss) for each in figures.rounds
    ]
    with pytest.raises(UsageError, match=r"belongs to another training: settings\.learning_rate"):
        fitted(ground, replace(SETTINGS, learning_rate=2e-3), checkpoint=checkpoint)


def test_a_time_limit_cuts_the_steps_short() -> None:
    network, figures = fitted(drawn_ground(), replace(SETTINGS, rounds=6, time_limit_s=1e-6))
    assert (len(figures.rounds), figures.steps, figures.best_round) == (1, 1, 1)
    assert all(bool(torch.isfinite(each).all()) for each in network.state_dict().values())


def test_a_lost_loss_stops_it() -> None:
    with pytest.raises(UsageError, match=r"the loss became .* smaller --lr"):
        fitted(drawn_ground(), replace(SETTINGS, learning_rate=1e30))


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "fcn", "pspnet"])
def test_the_file_is_what_a_segmentation_starts_from(architecture: str, tmp_path: Path) -> None:
    path, pretrained = tmp_path / "backbone.safetensors", fresh(5)
    require_free(path)
    write_backbone(path, pretrained.backbone, {"bands": ["b1", "b2"]})
    with pytest.raises(UsageError, match="is there already"):
        require_free(path)
    with pytest.raises(UsageError, match=r"the folder .* is not there"):
        require_free(tmp_path / "no" / "x")
    with safe_open(str(path), "pt") as file:
        assert json.loads(file.metadata()["lode"])["format"] == "lode backbone 1"
    network = build_network(architecture, in_channels=2, backbone="small")
    before = network.state_dict()["backbone.stem.0.0.weight"].clone()
    told = start_from(network, path, ("b1", "b2"))
    after = network.state_dict()
    assert not torch.equal(after["backbone.stem.0.0.weight"], before)
    for name, tensor in pretrained.backbone.state_dict().items():
        assert torch.equal(after[f"backbone.{name}"], tensor)
    assert told.unexpected == told.reshaped == ()
    assert not any(name.startswith("backbone.") for name in told.missing)


def test_bands_in_another_order_are_refused_and_another_number_is_told(tmp_path: Path) -> None:
    path = tmp_path / "backbone.safetensors"
    write_backbone(path, fresh().backbone, {"bands": ["b1", "b2"]})
    network = build_network("fcn", in_channels=2, backbone="small")
    with pytest.raises(UsageError, match=r"learned from the bands b1, b2.*takes b2, b1: give --bands b1,b2"):
        start_from(network, path, ("b2", "b1"))
    wider = build_network("fcn", in_channels=3, backbone="small")
    assert start_from(wider, path, ("b1", "b2", "b3")).reshaped == ("backbone.stem.0.0.weight",)
