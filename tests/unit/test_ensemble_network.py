"""An ensemble answers with the mean of its members, each fed as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks import build_network
from inference.networks.ensemble import LEAST_PROBABILITY, Ensemble
from inference.networks.ensemble_member import Member, MemberInput, common_normalisation
from inference.normalisation import Normalisation
from inference.scene_source import SceneSource
from inference.segmentation_model import CLASS_CODES
from tests.support import test_data
from tests.unit.network_checks import shake
from tests.unit.segmentation_models import source_of_pixels

MAPPED = [0, 1, 3, 6]
SMALL = {"backbone": "small"}


def statistics(band_names: Sequence[str], means: Sequence[float], stds: Sequence[float]) -> Normalisation:
    around = tuple((mean - 1, mean + 1) for mean in means)
    return Normalisation(
        tuple(band_names), tuple(means), tuple(stds), around, tuple(mean - 2 for mean in means)
    )


GREEN_RED_NIR = statistics(("green", "red", "nir"), (310.0, 290.5, 1800.0), (40.0, 62.5, 400.0))
NIR_BLUE = statistics(("nir", "blue"), (1650.0, 250.0), (333.3, 31.0))
RED = statistics(("red",), (301.0,), (70.0,))


def member(name: str, normalisation: Normalisation, **changes: Any) -> Member:
    values: dict[str, Any] = {
        "name": name,
        "sha256": name * 64,
        "architecture": "deeplabv3plus",
        "options": SMALL,
        "band_names": normalisation.band_names,
        "normalisation": normalisation,
        "temperature": 1.0,
        "weight": 0.5,
    }
    return Member(**{**values, **changes})


def pixelwise(bands: int, seed: int, gain: float = 1.0) -> nn.Module:
    """A network that looks at one pixel at a time, so that it can be restated on paper."""
    torch.manual_seed(seed)
    network = nn.Conv2d(bands, len(CLASS_CODES), 1)
    with torch.no_grad():
        network.weight.mul_(gain)
    return network.eval()


THREE = [
    member("a", GREEN_RED_NIR, temperature=0.7, weight=0.2),
    member("b", NIR_BLUE, temperature=2.5, weight=0.5),
    member("c", RED, weight=0.3),
]


def three(order: Sequence[int] = (0, 1, 2)) -> Ensemble:
    members = [THREE[place] for place in order]
    networks = [pixelwise(len(one.band_names), seed=ord(one.name)) for one in members]
    common = common_normalisation([one.normalisation for one in members])
    return Ensemble(members, networks, common, MAPPED, len(CLASS_CODES)).eval()


def bands_of(order: Sequence[int] = (0, 1, 2)) -> Normalisation:
    return common_normalisation([THREE[place].normalisation for place in order])


def scene_values(height: int = 9, width: int = 7) -> dict[str, NDArray[np.float64]]:
    """Values of each band, as float32 holds them."""
    rng = np.random.default_rng(5)
    around = {"blue": 250.0, "green": 310.0, "red": 300.0, "nir": 1700.0}
    return {
        name: (level * rng.uniform(0.5, 1.6, (height, width))).astype(np.float32).astype(np.float64)
        for name, level in around.items()
    }


def tiles_of(values: dict[str, NDArray[np.float64]], normalisation: Normalisation) -> Tensor:
    """(1, bands, h, w) normalised as `SceneSource` does."""
    pixels = np.stack([values[name] for name in normalisation.band_names]).astype(np.float32)
    source = source_of_pixels(pixels)
    normalised, _ = source.read_normalised(0, 0, *pixels.shape[1:], normalisation)
    return torch.from_numpy(normalised)[None]


def softmax64(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def restated(values: dict[str, NDArray[np.float64]], members: Sequence[Member]) -> NDArray[np.float64]:
    """(mapped, h, w): the mean of the members' probabilities, plainly and in float64."""
    total = np.zeros((len(MAPPED), *values["red"].shape))
    for one in members:
        convolution = pixelwise(len(one.band_names), seed=ord(one.name))
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        kernel = convolution.weight.detach().double().numpy()[:, :, 0, 0]
        bias = convolution.bias.detach().double().numpy()
        own = np.stack(
            [
                (values[name] - mean) / std
                for name, mean, std in zip(
                    one.band_names, one.normalisation.means, one.normalisation.stds, strict=True
                )
            ]
        )
        logits = np.einsum("kb,bhw->khw", kernel, own) + bias[:, None, None]
        total += one.weight * softmax64(logits[MAPPED] / one.temperature)
    return total


def answered(network: nn.Module, tiles: Tensor) -> Tensor:
    """Probabilities of the mapped classes, as `SegmentationModel` takes them from any network."""
    with torch.inference_mode():
        logits = network(tiles)
    return torch.softmax(logits[:, MAPPED].float(), dim=1)


def test_the_softmax_of_the_answer_is_the_mean_of_the_members() -> None:
    values = scene_values()
    expected = restated(values, THREE)
    found = answered(three(), tiles_of(values, bands_of()))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.ptp(expected[0]) > 0.2  # ground that differs


def test_outputs_without_labels_stay_the_least_and_all_is_finite() -> None:
    with torch.inference_mode():
        logits = three()(tiles_of(scene_values(), bands_of()))
    assert logits.shape == (1, len(CLASS_CODES), 9, 7)
    assert logits.dtype == torch.float32
    others = [place for place in range(len(CLASS_CODES)) if place not in MAPPED]
    assert bool((logits[:, others] == math.log(LEAST_PROBABILITY)).all())
    torch.testing.assert_close(logits[:, MAPPED].exp().sum(dim=1), torch.ones(1, 9, 7))


def test_members_sure_of_nothing_or_of_everything_leave_numbers() -> None:
    """A class that all rule out has a probability too small for float32; its logarithm is a number."""
    members = [member("x", RED), member("y", RED)]
    networks = [pixelwise(1, seed=2, gain=1e5), pixelwise(1, seed=2, gain=1e5)]
    ensemble = Ensemble(members, networks, common_normalisation([RED, RED]), MAPPED, 8)
    with torch.inference_mode():
        logits = ensemble(torch.linspace(-25, 25, 50).reshape(1, 1, 5, 10))
    assert bool(torch.isfinite(logits).all())
    assert float(logits.min()) == pytest.approx(math.log(LEAST_PROBABILITY))
    assert float(logits.max()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_with_all_weight_on_one_it_answers_like_that_one(chosen: int) -> None:
    values, ensemble, one = scene_values(), three(), THREE[chosen]
    ensemble.weigh([float(place == chosen) for place in range(3)])
    logits = pixelwise(len(one.band_names), seed=ord(one.name))(tiles_of(values, one.normalisation))
    alone = torch.softmax(logits[:, MAPPED] / one.temperature, dim=1)
    torch.testing.assert_close(answered(ensemble, tiles_of(values, bands_of())), alone, atol=2e-6, rtol=0)


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_the_order_of_members_changes_nothing(order: tuple[int, ...]) -> None:
    """Other members first bring another order of bands, too."""
    values = scene_values()
    assert bands_of(order).band_names != bands_of().band_names or order == (0, 2, 1)
    found = answered(three(order), tiles_of(values, bands_of(order)))
    torch.testing.assert_close(found, answered(three(), tiles_of(values, bands_of())), atol=2e-6, rtol=0)


def test_bands_go_by_name() -> None:
    assert bands_of().band_names == ("green", "red", "nir", "blue")
    values = scene_values()
    ensemble, tiles = three(), tiles_of(values, bands_of())
    ensemble.weigh([0.0, 1.0, 0.0])
    before = answered(ensemble, tiles)
    disturbed = tiles.clone()
    disturbed[:, :2] += 3.0  # green and red, which b does not take
    torch.testing.assert_close(answered(ensemble, disturbed), before, atol=0, rtol=0)
    disturbed[:, 3] += 3.0
    assert float((answered(ensemble, disturbed) - before).abs().max()) > 0.01


def test_each_member_alone_is_told_too() -> None:
    tiles, ensemble = tiles_of(scene_values(), bands_of()), three()
    with torch.inference_mode():
        each = ensemble.member_probabilities(tiles)
    assert each.shape == (1, 3, len(MAPPED), 9, 7)
    mean = sum(one.weight * each[:, place] for place, one in enumerate(THREE))
    torch.testing.assert_close(answered(ensemble, tiles), mean, atol=1e-6, rtol=0)


class _Counting(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, tiles: Tensor) -> Tensor:
        self.calls += 1
        result: Tensor = self.network(tiles)
        return result


def test_a_member_without_weight_does_not_run() -> None:
    networks = [_Counting(pixelwise(len(one.band_names), seed=1)) for one in THREE]
    ensemble = Ensemble(THREE, networks, bands_of(), MAPPED, 8).eval()
    ensemble.weigh([0.25, 0.0, 0.75])
    answered(ensemble, tiles_of(scene_values(), bands_of()))
    assert [network.calls for network in networks] == [1, 0, 1]


def test_half_precision_changes_little_and_adds_up_in_full() -> None:
    ensemble, tiles = three(), tiles_of(scene_values(), bands_of())
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        logits = ensemble(tiles)
        assert ensemble.networks[0](tiles[:, :3]).dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits[:, MAPPED].exp().sum(dim=1), torch.ones(1, 9, 7), atol=1e-6, rtol=0)
    half = torch.softmax(logits[:, MAPPED], dim=1)
    torch.testing.assert_close(half, answered(ensemble, tiles), atol=0.03, rtol=0)


# ---- the members' input


def own_input(source: SceneSource, common: Normalisation, own: Normalisation) -> Tensor:
    """A member's input by way of the ensemble's."""
    grid = source.grid
    tiles, _ = source.read_normalised(0, 0, grid.height_px, grid.width_px, common)
    given = torch.from_numpy(tiles)[None]
    made: Tensor = MemberInput(common, own)(given, (given == 0).all(dim=1, keepdim=True))[0]
    return made


def real_source(bands: Sequence[str], changed: bool = True) -> SceneSource:
    """The quarries of Strzegom, with a collar without data and a few broken pixels."""
    with rasterio.open(test_data("strzegom") / "scenes" / "strzegom_20210619_33u.tif") as file:
        pixels = file.read(list(range(1, len(bands) + 1)), window=((200, 328), (150, 310)))
    if changed:
        pixels[:, :20] = 0
        pixels[:, :, 140:] = 0
        pixels[0, 50, 50:53] = np.iinfo(pixels.dtype).max  # brighter than any limit
        pixels[1, 60, 60] = 1
    return source_of_pixels(pixels, nodata=0, scale=1e-4)


def real_statistics(source: SceneSource, names: Sequence[str], moved: float) -> Normalisation:
    grid = source.grid
    values, valid = source.read(0, 0, grid.height_px, grid.width_px)
    means = values[:, valid].mean(axis=1, dtype=np.float64) * (1 + moved)
    stds = values[:, valid].std(axis=1, dtype=np.float64) * (1 - moved)
    return statistics(names, means.tolist(), stds.tolist())


@pytest.mark.parametrize("moved", [0.0, 0.01, 0.6])
def test_on_real_pixels_every_member_gets_what_it_gets_alone(moved: float) -> None:
    names = ("b1", "b2", "b3", "b4")
    clean, source = real_source(names, changed=False), real_source(names)
    members = [real_statistics(clean, names, 0.0), real_statistics(clean, names, moved)]
    common = common_normalisation(members)
    grid = source.grid
    for own in members:
        expected, valid = source.read_normalised(0, 0, grid.height_px, grid.width_px, own)
        assert (~valid).mean() > 0.2
        assert np.abs(expected).max() == 30.0  # broken pixels reach the limit
        found = own_input(source, common, own).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_array_equal(found[:, ~valid], 0)


def test_a_pixel_at_the_mean_of_some_bands_holds_data() -> None:
    """Only what is at the mean of all bands was filled."""
    values = scene_values()
    common = bands_of()
    for name in ("red", "nir"):
        values[name][2, 3] = np.float32(common.means[common.band_names.index(name)])
    tiles = tiles_of(values, common)
    assert tiles[0, 1:3, 2, 3].tolist() == [0.0, 0.0]
    found = answered(three(), tiles)[0].numpy()
    np.testing.assert_allclose(found, restated(values, THREE), atol=2e-6)


def test_real_networks_answer_as_they_do_alone_on_real_pixels() -> None:
    names = ("b1", "b2", "b3", "b4")
    source = real_source(names)
    first = real_statistics(real_source(names, changed=False), names, 0.0)
    second = real_statistics(real_source(names, changed=False), names, 0.2)
    common = common_normalisation([first, second])
    members = [member("a", first), member("b", second, architecture="unet")]
    networks = []
    for seed, one in enumerate(members):
        torch.manual_seed(seed)
        network = build_network(one.architecture, in_channels=4, backbone="small")
        shake(network, torch.randn(4, 4, 64, 64))
        networks.append(network)
    ensemble = Ensemble(members, networks, common, MAPPED, 8).eval()
    window = (10, 90, 64, 64)  # collar, broken pixels and ground
    given = torch.from_numpy(source.read_normalised(*window, common)[0])[None]
    alone = [
        answered(network, torch.from_numpy(source.read_normalised(*window, one.normalisation)[0])[None])
        for network, one in zip(networks, members, strict=True)
    ]
    with torch.inference_mode():
        each = ensemble.member_probabilities(given)[0]
    for found, expected in zip(each, alone, strict=True):
        torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(answered(ensemble, given), (alone[0] + alone[1]) / 2, atol=1e-5, rtol=0)


def test_members_of_one_normalisation_share_it_to_the_last_bit() -> None:
    again = common_normalisation([GREEN_RED_NIR] * 3)
    assert again == GREEN_RED_NIR
    made = MemberInput(again, GREEN_RED_NIR)
    assert made.scale.unique().tolist() == [1.0]
    assert made.shift.unique().tolist() == [0.0]


def test_what_a_scene_must_look_like_is_what_any_member_knows() -> None:
    low, high = statistics(("b1",), (10.0,), (2.0,)), statistics(("b1",), (16.0,), (4.0,))
    common = common_normalisation([low, high])
    assert common.means == (13.0,)
    assert common.stds == (4.0 + 3.0 / 30,)
    assert common.medians == ((9.0, 17.0),)
    assert common.darkest == (8.0,)


def test_tiles_of_other_bands_are_refused() -> None:
    with pytest.raises(UsageError, match="built for 4 bands"):
        three()(torch.zeros(1, 3, 8, 8))


def test_weights_are_one_for_each_member() -> None:
    with pytest.raises(ValueError, match="2 weights for 3 members"):
        three().weigh([0.5, 0.5])
