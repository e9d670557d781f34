"""Evidence of a target: depths of absorptions below a continuum drawn by hand, and layers that stand out."""

from __future__ import annotations

import numpy as np
import pytest

from inference.prospect.channels import Channel
from inference.prospect.spectral import (
    absorption_depths,
    absorption_evidence,
    channels_of_absorptions,
    layer_evidence,
)

CENTERS_NM = (785.0, 830.0, 900.0, 2165.0, 2205.0, 2245.0)
CHANNELS = [Channel(f"b{center:g}", "spectral", center, 10.0) for center in CENTERS_NM]
BERYL, SPODUMENE = "beryl 830 nm", "beryl, spodumene 2205 nm"


def flat(*spectra: tuple[float, ...]) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """Pixels in one row, (bands, 1, pixels)."""
    return np.array(spectra, np.float32).T[:, np.newaxis, :]


def test_the_depth_is_that_below_the_line_between_the_shoulders() -> None:
    # The continuum at 830 nm is 0.2 + (0.43 - 0.2) * 45 / 115 = 0.29; half of it is left.
    values = flat((0.2, 0.145, 0.43, 0.3, 0.27, 0.3), (0.2, 0.29, 0.43, 0.3, 0.3, 0.3))
    depths = absorption_depths(CHANNELS, values, np.ones((1, 2), bool))
    assert set(depths) == {BERYL, SPODUMENE}  # no bands for those at 2055 and 2155 nm
    assert depths[BERYL][0].tolist() == pytest.approx([0.5, 0.0], abs=1e-6)
    assert depths[SPODUMENE][0].tolist() == pytest.approx([0.1, 0.0], abs=1e-6)


def test_pixels_that_are_unjudged_unknown_or_dark_have_no_depth() -> None:
    one = (0.2, 0.145, 0.43, 0.3, 0.27, 0.3)
    values = flat(one, one, (np.nan, *one[1:]), (0.0, 0.1, 0.0, *one[3:]))
    depths = absorption_depths(CHANNELS, values, np.array([[True, False, True, True]]))
    assert np.isfinite(depths[BERYL]).tolist() == [[True, False, False, False]]
    assert np.isfinite(depths[SPODUMENE]).tolist() == [[True, False, True, True]]


def test_absorptions_need_a_band_on_both_sides() -> None:
    assert channels_of_absorptions(CHANNELS) == {channel.name for channel in CHANNELS}
    assert channels_of_absorptions(CHANNELS[1:3]) == set()
    without_shoulder = [*CHANNELS[1:3], Channel("far", "spectral", 772.0)]
    assert channels_of_absorptions(without_shoulder) == set()
    near = [*CHANNELS[1:3], Channel("near", "spectral", 774.0)]
    assert channels_of_absorptions(near) == {"b830", "b900", "near"}
    named = [Channel(channel.name, "evidence", channel.center_nm) for channel in CHANNELS]
    assert channels_of_absorptions(named) == set()


def test_deviations_are_those_from_the_judged_ground_and_the_largest_comes_first() -> None:
    depths = {
        BERYL: np.array([[0.0, 0.2, 0.0, 0.2, np.nan]], np.float32),  # mean 0.1, deviation 0.1
        SPODUMENE: np.array([[0.1, 0.1, 0.1, 0.5, 0.9]], np.float32),
        "flat": np.full((1, 5), 0.3, np.float32),
    }
    owner = np.array([[2, 1, 0, 1, 1]], np.int32)
    first, second = absorption_evidence(depths, owner)
    assert [item["name"] for item in first] == [BERYL, SPODUMENE]
    assert first[0] == {"name": BERYL, "value": 0.2, "unit": None, "deviations": 1.0}
    assert first[1]["value"] == 0.5  # of three pixels
    mean, std = 0.34, np.std([0.1, 0.1, 0.1, 0.5, 0.9])
    assert first[1]["deviations"] == pytest.approx((0.5 - mean) / std, abs=0.006)
    assert [item["deviations"] for item in second] == pytest.approx([-1.0, (0.1 - mean) / std], abs=0.006)
    assert absorption_evidence(depths, np.zeros((1, 5), np.int32)) == []


def test_layers_are_named_by_robust_deviation_the_five_largest() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(100, 10, (7, 40, 40)).astype(np.float32)
    owner = np.zeros((40, 40), np.int32)
    owner[:2, :2] = 1
    for layer, value in enumerate((200, 120, 160, 100, 10, 180, 140)):
        values[layer, :2, :2] = value
    values[0, 20, 20] = 1e9  # one wild value does not move a median
    is_judged = np.ones((40, 40), bool)
    is_judged[30:] = False
    values[:, 30:] = -1e6  # unjudged ground counts for nothing
    names, units = [f"layer{place}" for place in range(7)], ["ppm"] * 6 + [None]
    (items,) = layer_evidence(names, units, values, is_judged, owner)
    assert [item["name"] for item in items] == ["layer0", "layer4", "layer5", "layer2", "layer6"]
    assert items[0]["value"] == 200
    assert (items[0]["unit"], items[4]["unit"]) == ("ppm", None)
    assert items[0]["deviations"] == pytest.approx(10, rel=0.1)
    assert items[1]["deviations"] == pytest.approx(-9, rel=0.1)


def test_layers_without_values_or_spread_say_nothing() -> None:
    values = np.stack([np.full((3, 3), np.nan), np.full((3, 3), 4.0), np.eye(3) + np.arange(3)])
    owner = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 2]], np.int32)
    found = layer_evidence("abc", [None] * 3, values.astype(np.float32), np.ones((3, 3), bool), owner)
    assert [[item["name"] for item in items] for items in found] == [["c"], ["c"]]


def test_of_logarithms_the_content_is_told_and_the_deviations_are_those_of_the_logarithms() -> None:
    rng = np.random.default_rng(1)
    logs = rng.normal(1, 0.1, (20, 20)).astype(np.float32)
    owner = np.zeros((20, 20), np.int32)
    owner[:2, :2] = 1
    logs[:2, :2] = [[2, 3], [2, 3]]
    is_judged = np.ones((20, 20), bool)
    [[item]] = layer_evidence(["Li"], ["ppm"], [logs], is_judged, owner, [True])
    assert (item["value"], item["unit"]) == (550, "ppm")  # mean of 100 and 1000
    [[plain]] = layer_evidence(["Li"], ["ppm"], [logs], is_judged, owner)
    assert plain["value"] == 2.5
    assert item["deviations"] == plain["deviations"] == pytest.approx(15, rel=0.2)
