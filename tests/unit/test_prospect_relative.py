"""Relative reflectance: bands divided by the mean of their window, and by their median over the scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from db.errors import UsageError
from inference.prospect.channels import Channel, treatment
from inference.prospect.relative import DARKEST, make_relative, relative_channels

Values = npt.NDArray[np.float32]
WINDOWS = ((782.0, 902.0), (2014.0, 2400.0))
CENTERS_NM = (790.0, 850.0, 2100.0, 2200.0, 2300.0)
BANDS = tuple(Channel(f"b{place}", "spectral", nm, 8.0) for place, nm in enumerate(CENTERS_NM))
GEOLOGY = Channel("fault_distance_m", "geology")
CHANNELS = relative_channels((*BANDS, GEOLOGY), WINDOWS, "scene")
SHAPE = (6, 7)


def cells() -> Values:
    """(channels, 6, 7): reflectance, and metres behind it."""
    values = np.random.default_rng(5).uniform(0.2, 0.6, (len(CHANNELS), *SHAPE)).astype(np.float32)
    values[-1] *= 1000
    return values


def relative(values: Values, is_judged: npt.NDArray[np.bool_] | None = None) -> Values:
    made = values.copy()
    make_relative(CHANNELS, made, np.ones(SHAPE, bool) if is_judged is None else is_judged)
    return made


def test_bands_are_relative_to_their_window_and_then_to_the_scene() -> None:
    assert [channel.relative_to_nm for channel in CHANNELS] == [WINDOWS[0]] * 2 + [WINDOWS[1]] * 3 + [None]
    before, made = cells(), relative(cells())
    for window in (slice(0, 2), slice(2, 5)):
        ratio = before[window] / before[window].mean(axis=0)
        np.testing.assert_allclose(
            made[window], ratio / np.median(ratio, axis=(1, 2), keepdims=True), rtol=1e-5
        )
    np.testing.assert_array_equal(made[5], before[5])
    assert np.median(made[:5], axis=(1, 2)) == pytest.approx(1)


def test_light_slope_and_the_gains_of_bands_change_little() -> None:
    plain, seen = cells(), cells()
    seen[:2] *= np.float32(0.4)
    seen[2:5] *= np.linspace(0.5, 2.0, 42, dtype=np.float32).reshape(SHAPE)
    np.testing.assert_allclose(relative(seen), relative(plain), rtol=1e-5)
    # of a gain of 20 % little is left: the mean of a window weighs bands by their gain
    seen[3] *= np.float32(1.2)
    apart = np.abs(relative(seen)[:5] / relative(plain)[:5] - 1)
    assert apart.max() < 0.05


def test_medians_are_those_of_judged_ground() -> None:
    is_judged = np.zeros(SHAPE, bool)
    is_judged[2:4, 2:5] = True
    made = relative(cells(), is_judged)
    assert np.median(made[:5, is_judged], axis=1) == pytest.approx(1)
    assert not np.allclose(made[:5], relative(cells())[:5], rtol=1e-3)


def test_a_cell_without_a_band_or_light_has_no_value_in_that_window_alone() -> None:
    values = cells()
    values[3, 0, 0] = np.nan
    values[2:5, 1, 1] *= np.float32(DARKEST / 2)
    values[2:5, 1, 2] *= -1
    values[0:2, 2, 2] *= np.float32(3 * DARKEST)
    is_missing = np.isnan(relative(values))
    assert is_missing[2:5, [0, 1, 1], [0, 1, 2]].all()
    assert is_missing.sum() == 9


def test_a_scene_without_light_has_no_values_and_raises_no_warning() -> None:
    values = cells()
    values[:2] *= -1
    values[2:5] = np.nan
    assert np.isnan(relative(values)[:5]).all()


def test_a_window_of_one_band_is_refused() -> None:
    with pytest.raises(UsageError, match=r"scene dull has one usable band in 782-902 nm, .* leave"):
        relative_channels((BANDS[0], *BANDS[2:]), WINDOWS, "dull")


def test_of_windows_that_overlap_the_first_counts() -> None:
    made = relative_channels(BANDS[2:], ((2014.0, 2400.0), (2150.0, 2400.0)), "scene")
    assert {channel.relative_to_nm for channel in made} == {(2014.0, 2400.0)}


def test_words_tell_what_was_done_to_the_values() -> None:
    stored = [channel.as_json() for channel in CHANNELS]
    assert treatment(stored) == ", 5 relative to pixel and scene"
    assert treatment([Channel("Li", "evidence", is_log=True).as_json()]) == ", log10 of 1"
    assert treatment([GEOLOGY.as_json()]) == ""
