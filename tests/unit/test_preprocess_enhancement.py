"""The stretch for the eye, and the bands that make a picture."""

from __future__ import annotations

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.enhancement import choose_rgb, fit_stretch
from ingest.products.product import Band


def ramp(bands: int = 1) -> np.ndarray:
    """Values 0 to 0.999 in each band, the second band upside down."""
    values = np.arange(1000, dtype=np.float32).reshape(1, 20, 50) / 1000
    return np.concatenate([values if band % 2 == 0 else 0.999 - values for band in range(bands)])


def test_limits_are_the_percentiles_and_outliers_do_not_move_them() -> None:
    image = ramp(2)
    image[0, 0, :5] = 1000.0
    image[1, 0, :5] = -1000.0
    stretch = fit_stretch(image)
    assert stretch.low == pytest.approx((0.02, 0.02), abs=0.006)
    assert stretch.high == pytest.approx((0.98, 0.98), abs=0.006)


def test_values_between_the_limits_spread_over_1_to_255() -> None:
    stretch = fit_stretch(ramp(), low_percent=0, high_percent=100)
    picture = stretch.apply(np.array([[[0.0, 0.999 / 2, 0.999, -3.0, 3.0]]], np.float32))
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[1, 128, 255, 1, 255]]]


def test_gamma_brightens_the_middle_and_keeps_the_ends() -> None:
    stretch = fit_stretch(ramp(), low_percent=0, high_percent=100, gamma=2.0)
    picture = stretch.apply(np.array([[[0.0, 0.999 / 4, 0.999]]], np.float32))
    # A quarter of the range to the power one half is half of it.
    assert picture.tolist() == [[[1, 128, 255]]]


def test_a_pixel_without_data_in_any_band_is_0_in_all_and_data_never_is() -> None:
    image = ramp(3)
    image[0, 3, 4] = np.nan
    image[2, 5, 6] = np.inf
    picture = fit_stretch(image).apply(image)
    assert {tuple(place) for place in np.argwhere((picture == 0).any(axis=0)).tolist()} == {(3, 4), (5, 6)}
    assert (picture[:, 3, 4] == 0).all()
    assert (picture[:, 5, 6] == 0).all()


def test_strips_with_one_stretch_are_the_whole() -> None:
    image = np.random.default_rng(1).normal(0.3, 0.1, (3, 40, 30)).astype(np.float32)
    stretch = fit_stretch(image)
    strips = [stretch.apply(image[:, row : row + 7]) for row in range(0, 40, 7)]
    assert np.array_equal(np.concatenate(strips, axis=1), stretch.apply(image))


def test_a_constant_band_is_grey_and_a_mostly_constant_one_keeps_its_contrast() -> None:
    image = np.zeros((2, 20, 20), np.float32)
    image[0] = 0.25
    image[1, 0, 0] = 0.5
    picture = fit_stretch(image).apply(image)
    assert set(np.unique(picture[0])) == {128}
    assert picture[1, 0, 0] == 255
    assert picture[1, 1, 1] == 1


def test_one_pixel_is_a_picture() -> None:
    image = np.full((1, 1, 1), 0.3, np.float32)
    assert fit_stretch(image).apply(image).tolist() == [[[128]]]


def test_as_json_holds_plain_numbers() -> None:
    said = fit_stretch(ramp(), low_percent=0, high_percent=100, gamma=1.5).as_json()
    assert said["gamma"] == 1.5
    assert type(said["low"][0]) is float
    assert said["high"] == pytest.approx([0.999])


def test_what_cannot_be_stretched_is_refused() -> None:
    image = np.full((2, 3, 3), np.nan, np.float32)
    image[0] = 0.1
    with pytest.raises(UsageError, match="no pixel has data in all"):
        fit_stretch(image)
    with pytest.raises(UsageError, match="98 to 2 percent"):
        fit_stretch(ramp(), low_percent=98, high_percent=2)
    with pytest.raises(UsageError, match="gamma of 0"):
        fit_stretch(ramp(), gamma=0)
    with pytest.raises(ValueError, match="not \\(20, 50\\)"):
        fit_stretch(ramp()[0])
    with pytest.raises(ValueError, match="1 bands does not fit"):
        fit_stretch(ramp()).apply(ramp(2))


FOUR = [Band("blue", "blue"), Band("green", "green"), Band("red", "red"), Band("nir", "nir")]


def test_colours_are_found_by_name_in_any_order() -> None:
    assert choose_rgb(FOUR) == (2, 1, 0)
    assert choose_rgb(FOUR[::-1]) == (1, 2, 3)
    assert choose_rgb(FOUR, false_colour=True) == (3, 2, 1)


def test_colours_are_found_by_wavelength_and_faulty_bands_left_aside() -> None:
    many = [Band(f"B{place:03d}", None, 400.0 + 5 * place) for place in range(200)]
    assert [many[place].center_nm for place in choose_rgb(many)] == [660, 555, 485]
    assert [many[place].center_nm for place in choose_rgb(many, false_colour=True)] == [840, 660, 555]
    many[52] = Band("B052", None, 660.0, None, "dead")
    assert [many[place].center_nm for place in choose_rgb(many)] == [655, 555, 485]


def test_without_visible_bands_wavelengths_fall_from_red_to_blue() -> None:
    swir = [Band("S3", None, 2200.0), Band("S1", None, 1600.0), Band("S2", None, 1900.0)]
    assert choose_rgb(swir) == (0, 2, 1)
    with pytest.raises(UsageError, match="no nir band"):
        choose_rgb(swir, false_colour=True)


def test_few_or_unknown_bands() -> None:
    assert choose_rgb([Band("pan", "pan", 675.0)]) == (0, 0, 0)
    assert choose_rgb([Band("a"), Band("b"), Band("c"), Band("d")]) == (2, 1, 0)
    assert choose_rgb([Band("a"), Band("b")]) == (1, 0, 0)
    assert choose_rgb([Band("a", fault="dead"), Band("b")]) == (1, 1, 1)
    assert choose_rgb([Band("a", fault="dead")]) == (0, 0, 0)
    with pytest.raises(UsageError, match="no bands"):
        choose_rgb([])
