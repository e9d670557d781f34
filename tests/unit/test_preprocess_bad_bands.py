"""Bad bands of an image in which each fault was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ingest.preprocess.bad_bands import BandFigures, BandStatistics, find_bad_bands

RNG = np.random.default_rng(7)
HEIGHT, WIDTH = 120, 100


def figures_of(image: Any, strip_rows: int = 37) -> BandFigures:
    statistics = BandStatistics(len(image))
    for row in range(0, image.shape[1], strip_rows):
        statistics.update(image[:, row : row + strip_rows].astype(np.float32))
    return statistics.finish()


def ground(bands: int, noise: float = 3.0) -> Any:
    """Digital numbers: slopes in both directions, a field's edge, and noise of a known deviation."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    base = 400 + 0.8 * rows + 1.1 * columns + 60.0 * (columns > 50)
    rng = np.random.default_rng(11)
    return base + rng.normal(0, noise, (bands, HEIGHT, WIDTH))


def two_detectors() -> tuple[Any, Any]:
    center = np.concatenate([np.arange(900, 1041, 10.0), np.arange(1005, 2500, 17.0)])
    width = np.where(np.arange(len(center)) < 15, 10.0, 17.0)
    return center, width


def test_noise_and_moments_are_those_planted_whatever_the_strips() -> None:
    image = ground(3, noise=3.0)
    image[:, :10, :10] = np.nan
    whole, stripwise = figures_of(image, HEIGHT), figures_of(image, 17)
    np.testing.assert_allclose(whole.noise, 3.0, rtol=0.05)
    np.testing.assert_allclose(stripwise.noise, 3.0, rtol=0.05)
    np.testing.assert_allclose(stripwise.mean, np.nanmean(image, axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(stripwise.deviation, np.nanstd(image, axis=(1, 2)), rtol=1e-4)
    assert stripwise.pixels.tolist() == [HEIGHT * WIDTH - 100] * 3
    np.testing.assert_allclose(stripwise.valid, 1 - 100 / (HEIGHT * WIDTH))


def test_coarse_digital_numbers_have_noise_too() -> None:
    flat = 20 + RNG.normal(0, 0.4, (1, HEIGHT, WIDTH))
    noise = figures_of(np.round(flat)).noise[0]
    # Rounding adds 1/12 to the variance.
    assert noise == pytest.approx(np.sqrt(0.16 + 1 / 12), rel=0.3)


def test_every_planted_fault_is_found_and_nothing_else() -> None:
    center, width = two_detectors()
    image = ground(len(center))
    image[3] = np.nan
    image[5] = 7.0
    image[7, :, : WIDTH * 3 // 4] = 4095.0
    image[60] += RNG.normal(0, 60.0, image[60].shape)
    # The second detector is worse where both see the same wavelength.
    image[15:18] += RNG.normal(0, 4.0, image[15:18].shape)
    found = {bad.index: bad.reason for bad in find_bad_bands(center, width, figures_of(image))}
    vapour = {i for i, nm in enumerate(center) if 1350 <= nm <= 1430 or 1800 <= nm <= 1960}
    assert {i for i, reason in found.items() if reason == "water vapour"} == vapour
    assert {i for i, reason in found.items() if reason == "dead"} == {3, 5, 7}
    assert {i for i, reason in found.items() if reason == "noisy"} == {60}
    # 1005, 1022 and 1039 nm of the second detector lie within half a width of bands of the first.
    assert {i for i, reason in found.items() if reason == "overlap"} == {15, 16, 17}
    assert [bad.index for bad in find_bad_bands(center, width, figures_of(image))] == sorted(found)


def test_the_first_detector_gives_way_where_it_is_the_worse_one() -> None:
    center, width = two_detectors()
    image = ground(len(center))
    image[10:15] += RNG.normal(0, 5.0, image[10:15].shape)
    found = {bad.index for bad in find_bad_bands(center, width, figures_of(image)) if bad.reason == "overlap"}
    assert found == {10, 11, 12, 13, 14}


def test_a_single_detector_has_no_overlap_and_good_bands_stay() -> None:
    center = np.arange(500.0, 900.0, 10.0)
    image = ground(len(center), noise=1.0)
    # Five times noisier than its neighbours, but good all the same.
    image[20] += RNG.normal(0, 5.0, image[20].shape)
    assert find_bad_bands(center, np.full(len(center), 12.0), figures_of(image)) == []


def test_all_nodata_is_all_dead() -> None:
    figures = figures_of(np.full((4, 20, 20), np.nan))
    found = find_bad_bands(np.arange(4) * 10 + 500.0, np.full(4, 10.0), figures)
    assert [bad.reason for bad in found] == ["dead"] * 4
    assert figures.snr.tolist() == [0.0] * 4


def test_a_single_pixel_is_no_statistic() -> None:
    found = find_bad_bands(np.array([500.0]), np.array([10.0]), figures_of(np.full((1, 1, 1), 5.0)))
    assert [(bad.index, bad.reason) for bad in found] == [(0, "dead")]


def test_wrong_shapes_are_refused() -> None:
    statistics = BandStatistics(3)
    with pytest.raises(ValueError, match="3 bands"):
        statistics.update(np.zeros((2, 4, 4), np.float32))
    with pytest.raises(ValueError, match="2 centres"):
        find_bad_bands(np.zeros(2), np.zeros(3), statistics.finish())
