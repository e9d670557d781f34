"""Relative reflectance: bands divided by the mean of their window."""

from __future__ import annotations

import numpy as np
import pytest

from db.errors import UsageError
from inference.prospect.channels import Channel, treatment
from inference.prospect.matching import Match, matched_values
from inference.prospect.relative import divide_by_window_means, relative_channels

WINDOWS = ((782.0, 902.0), (2014.0, 2400.0))
CENTERS_NM = (790.0, 850.0, 2100.0, 2200.0, 2300.0)
BANDS = tuple(Channel(f"b{place}", "spectral", nm, 8.0) for place, nm in enumerate(CENTERS_NM))
GEOLOGY = Channel("fault_distance_m", "geology")
CHANNELS = relative_channels((*BANDS, GEOLOGY), WINDOWS, "scene")


def cells() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(channels, 2, 3): reflectance, and metres behind it."""
    values = np.random.default_rng(5).uniform(0.05, 0.6, (len(CHANNELS), 2, 3)).astype(np.float32)
    values[-1] *= 1000
    return values


def test_each_band_is_relative_to_its_own_window() -> None:
    assert [channel.relative_to_nm for channel in CHANNELS] == [WINDOWS[0]] * 2 + [WINDOWS[1]] * 3 + [None]
    before, values = cells(), cells()
    divide_by_window_means(CHANNELS, values)
    np.testing.assert_allclose(values[:2], before[:2] / before[:2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(values[2:5], before[2:5] / before[2:5].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(values[5], before[5])


def test_light_and_slope_change_nothing() -> None:
    plain, lit = cells(), cells()
    lit[:2] *= np.float32(0.4)
    lit[2:5] *= np.linspace(0.5, 2.0, 6, dtype=np.float32).reshape(2, 3)
    for values in (plain, lit):
        divide_by_window_means(CHANNELS, values)
    np.testing.assert_allclose(lit, plain, rtol=1e-6)


def test_a_cell_without_a_band_or_without_light_has_no_value_in_that_window_alone() -> None:
    values = cells()
    values[3, 0, 0] = np.nan
    values[2:5, 1, 1] = 0.0
    values[2:5, 1, 2] *= -1
    divide_by_window_means(CHANNELS, values)
    is_missing = np.isnan(values)
    assert is_missing[2:5, [0, 1, 1], [0, 1, 2]].all()
    assert is_missing.sum() == 9


def test_a_window_of_one_band_is_refused() -> None:
    with pytest.raises(UsageError, match=r"scene dull has one usable band in 782-902 nm, .* leave"):
        relative_channels((BANDS[0], *BANDS[2:]), WINDOWS, "dull")


def test_of_windows_that_overlap_the_first_counts() -> None:
    made = relative_channels(BANDS[2:], ((2014.0, 2400.0), (2150.0, 2400.0)), "scene")
    assert {channel.relative_to_nm for channel in made} == {(2014.0, 2400.0)}


def test_matched_bands_are_relative_as_those_of_training() -> None:
    """Of other bands in another order, one of them interpolated, and beside bands that only tell of rocks."""
    theirs = tuple(
        Channel(f"t{nm:g}", "spectral", nm, 8.0) for nm in (2300, 2195, 2205, 2100, 850, 790, 1400)
    )
    values = np.random.default_rng(6).uniform(0.05, 0.6, (len(theirs) + 1, 2, 2)).astype(np.float32)
    sources = (("t790",), ("t850",), ("t2100",), ("t2195", "t2205"), ("t2300",))
    matches = [
        Match(channel, names, (0.5, 0.5) if len(names) == 2 else (1.0,))
        for channel, names in zip(CHANNELS, sources, strict=False)
    ]
    made = matched_values([*matches, Match(GEOLOGY, (GEOLOGY.name,))], (*theirs, GEOLOGY), values)
    long = np.stack([values[3], (values[1] + values[2]) / 2, values[0]])
    np.testing.assert_allclose(made[2:5], long / long.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(made[5], values[7])


def test_words_tell_what_was_done_to_the_values() -> None:
    stored = [channel.as_json() for channel in CHANNELS]
    assert treatment(stored) == ", 5 relative to the mean of their window"
    assert treatment([Channel("Li", "evidence", is_log=True).as_json()]) == ", log10 of 1"
    assert treatment([GEOLOGY.as_json()]) == ""
