"""Stripes that were planted are taken out; gradients and textures of the ground stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ingest.preprocess.destriping import Destriping, StripeStatistics

HEIGHT, WIDTH = 300, 160


def ground() -> Any:
    """Two bands: a gradient across the track of half the mean, and ground as smooth as a landscape is."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = 30 * np.sin(rows / 9.0) + 20 * np.sin((rows + columns) / 13.0)
    base = 400 + 1.25 * columns + waves + rng.normal(0, 4, (HEIGHT, WIDTH))
    return np.stack([base, 0.5 * base + 40])


def stripes() -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    return 1 + rng.normal(0, 0.05, (2, WIDTH)), rng.normal(0, 15, (2, WIDTH))


def fit(image: Any, strip_rows: int = 64) -> Destriping:
    statistics = StripeStatistics(len(image), image.shape[2])
    for row in range(0, image.shape[1], strip_rows):
        statistics.update(image[:, row : row + strip_rows].astype(np.float32))
    return statistics.finish()


def rms(values: Any) -> float:
    return float(np.sqrt(np.nanmean(np.asarray(values, float) ** 2)))


def test_stripes_go_and_the_gradient_stays() -> None:
    truth = ground()
    gain, offset = stripes()
    striped = truth * gain[:, None, :] + offset[:, None, :]
    destriping = fit(striped)
    cleaned = destriping.apply(striped.astype(np.float32))
    for band in range(2):
        before = (striped[band] - truth[band]).mean(axis=0)
        after = (cleaned[band] - truth[band]).mean(axis=0)
        # Steps from column to column are what a stripe is; a smooth remainder is not seen as one.
        assert rms(np.diff(after)) < 0.1 * rms(np.diff(before))
        slope = np.polyfit(np.arange(WIDTH), cleaned[band].mean(axis=0), 1)[0]
        assert slope == pytest.approx(np.polyfit(np.arange(WIDTH), truth[band].mean(axis=0), 1)[0], rel=0.08)
        assert cleaned[band].mean() == pytest.approx(truth[band].mean(), rel=0.01)
    assert rms(cleaned - truth) < 0.35 * rms(striped - truth)
    assert destriping.as_json()["removed_median"] == pytest.approx(rms(before) / truth[1].mean(), rel=0.6)


def test_an_image_without_stripes_stays_as_it_is() -> None:
    truth = ground()
    cleaned = fit(truth).apply(truth.astype(np.float32))
    assert rms(cleaned - truth) < 0.01 * truth.mean()


def test_strips_give_the_same_as_the_whole() -> None:
    truth = ground()
    whole, stripwise = fit(truth, HEIGHT), fit(truth, 7)
    np.testing.assert_allclose(whole.gain, stripwise.gain, rtol=1e-6)
    np.testing.assert_allclose(whole.offset, stripwise.offset, rtol=1e-4, atol=1e-4)


def test_missing_pixels_stay_missing_and_count_for_nothing() -> None:
    truth = ground()
    gain, offset = stripes()
    striped = truth * gain[:, None, :] + offset[:, None, :]
    striped[:, :, 40] = np.nan
    striped[:, 250:, :] = np.nan
    cleaned = fit(striped).apply(striped.astype(np.float32))
    assert (np.isnan(cleaned) == np.isnan(striped)).all()
    others = np.arange(WIDTH) != 40
    before, after = ((each - truth)[:, :250, others].mean(axis=1) for each in (striped, cleaned))
    assert rms(np.diff(after)) < 0.1 * rms(np.diff(before))


def test_a_dead_column_and_a_constant_band_stay_untouched() -> None:
    image = ground()
    image[0, :, 70] = 12.0
    image[1] = 5.0
    cleaned = fit(image).apply(image.astype(np.float32))
    assert (cleaned[0, :, 70] == 12.0).all()
    assert (cleaned[1] == 5.0).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 300, 10), (1, 5, 160)])
def test_images_too_small_to_tell_stay_untouched(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(fit(image).apply(image), image)


def test_all_nodata_stays_all_nodata() -> None:
    image = np.full((2, 40, 40), np.nan, np.float32)
    assert np.isnan(fit(image).apply(image)).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="a strip of shape"):
        StripeStatistics(2, 10).update(np.zeros((2, 4, 9), np.float32))
    with pytest.raises(ValueError, match="a strip of shape"):
        fit(ground()).apply(np.zeros((1, 4, WIDTH), np.float32))
