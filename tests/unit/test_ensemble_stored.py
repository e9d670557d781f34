"""An ensemble is built from its options alone, and from no others."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from db.errors import UsageError
from inference.networks import build_network
from inference.networks.ensemble import build_ensemble, ensemble_options
from inference.networks.ensemble_member import Member, common_normalisation
from inference.training.settings import TrainingSettings
from inference.weights import load_weights, weights_to_bytes
from tests.unit.network_checks import shake
from tests.unit.test_ensemble_network import GREEN_RED_NIR, MAPPED, NIR_BLUE, THREE, answered, member


def stored_options() -> dict[str, Any]:
    members = [member("a", GREEN_RED_NIR, temperature=1.5, weight=0.25), member("b", NIR_BLUE, weight=0.75)]
    members[1] = replace(members[1], architecture="unet")
    common = common_normalisation([one.normalisation for one in members])
    options: dict[str, Any] = json.loads(json.dumps(ensemble_options(members, common, MAPPED)))
    return options


def test_it_is_built_from_what_was_stored_and_loads_its_weights() -> None:
    options = stored_options()
    torch.manual_seed(1)
    ensemble = build_network("ensemble", in_channels=4, classes=8, **options)
    for network, bands in zip(ensemble.networks, (3, 2), strict=True):  # type: ignore[arg-type]
        shake(network, torch.randn(4, bands, 64, 64))
    tiles = torch.randn(2, 4, 64, 64, generator=torch.Generator().manual_seed(3))
    expected = answered(ensemble.eval(), tiles)
    assert all(name.startswith("networks.") for name in ensemble.state_dict())

    again = build_network("ensemble", in_channels=4, classes=8, **options).eval()
    assert float((answered(again, tiles) - expected).abs().max()) > 1e-3
    load_weights(again, weights_to_bytes(ensemble), "model test")
    torch.testing.assert_close(answered(again, tiles), expected, atol=0, rtol=0)
    assert again.weights == (0.25, 0.75)

    other = build_network(
        "ensemble", in_channels=4, classes=8, **{**options, "members": options["members"][::-1]}
    )
    with pytest.raises(UsageError, match="another architecture"):
        load_weights(other, weights_to_bytes(ensemble), "model test")


def test_members_come_back_as_they_were() -> None:
    for one in THREE:
        assert Member.from_json(json.loads(json.dumps(one.as_json()))) == one


def changed(path: Sequence[str | int], value: Any) -> dict[str, Any]:
    options = stored_options()
    place: Any = options
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "built from the options .* got none: make it of trained networks"),
        (changed(["mapped_outputs"], None), "got band_names, members, normalisation"),
        ({**stored_options(), "backbone": "small"}, "got backbone, band_names"),
        (changed(["members"], stored_options()["members"][:1]), "at least two members, got 1"),
        (changed(["members", 0, "weight"], 0.5), "weights of the ensemble are 0.5, 0.75"),
        (changed(["members", 0, "weight"], -0.25), "member a has the weight -0.25"),
        (changed(["members", 0, "weight"], math.nan), "member a has the weight nan"),
        (changed(["members", 0, "weight"], "much"), "cannot be read"),
        (changed(["members", 1, "temperature"], 0.0), "member b has the temperature 0"),
        (changed(["members", 1, "temperature"], math.inf), "member b has the temperature inf"),
        (changed(["members", 1, "sha256"], None), "cannot be read .*sha256"),
        (changed(["members", 1, "architecture"], "ensemble"), "member b is an ensemble itself"),
        (changed(["members", 1, "architecture"], "vgg"), "unknown architecture 'vgg'"),
        (changed(["members", 1, "options"], {"width": 3}), "unknown option 'width'"),
        (changed(["members", 0, "normalisation", "red"], None), "stored normalisation lacks"),
        (changed(["normalisation", "red"], None), "stored normalisation lacks"),
        (changed(["band_names"], ["green", "red", "nir", "swir"]), "stored normalisation lacks"),
        (changed(["band_names"], ["green", "red", "nir"]), "takes the 3 bands green, red, nir, got 4"),
        (changed(["mapped_outputs"], [0, 0]), r"mapped outputs of the ensemble are \[0, 0\]"),
        (changed(["mapped_outputs"], [0, 8]), "different places among 8"),
        (changed(["mapped_outputs"], []), "different places among 8"),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_network("ensemble", in_channels=4, classes=8, **options)


def test_a_band_that_the_ensemble_lacks_is_named() -> None:
    options = changed(["band_names"], ["green", "red", "nir", "swir"])
    options["normalisation"]["swir"] = options["normalisation"]["blue"]
    with pytest.raises(UsageError, match="needs the bands blue, the ensemble has green, red, nir, swir"):
        build_ensemble(build_network, 4, 8, options)


def test_an_ensemble_is_made_not_trained() -> None:
    with pytest.raises(UsageError, match="unknown architecture 'ensemble'"):
        TrainingSettings(architecture="ensemble")
