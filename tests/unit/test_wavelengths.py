"""Bands by wavelength: EnMAP's published table and nominal spacings of AHSI."""

from __future__ import annotations

import csv
from importlib.resources import files

import numpy as np
import pytest

from db.errors import UsageError
from db.wavelengths import PEGMATITE_WINDOWS_NM, bands_in_windows, window_from_text
from ingest.products.product import Band


def enmap() -> list[Band]:
    table = files("db.migrations").joinpath("reference/enmap_bands.csv").read_text()
    return [
        Band(row["band"], center_nm=float(row["center_nm"]), width_nm=float(row["width_nm"]))
        for row in csv.DictReader(table.splitlines())
    ]


def test_enmap_has_15_and_46_bands_in_the_windows() -> None:
    bands = enmap()
    chosen = bands_in_windows(bands, PEGMATITE_WINDOWS_NM)
    centers = [bands[place].center_nm or 0.0 for place in chosen]
    assert len(chosen) == 61
    assert sum(center < 1000 for center in centers) == 15
    assert all(782 <= center <= 902 or 2014 <= center <= 2400 for center in centers)
    assert centers == sorted(centers)


def test_nominal_ahsi_has_about_37_bands_in_the_windows() -> None:
    # 76 bands of the first spectrometer over 395-1040 nm, 90 of the second over 1005-2501 nm, evenly
    # spaced: the true centres differ by some nm, which may move one band over a limit of a window.
    centers = [*np.linspace(395, 1040, 76), *np.linspace(1005, 2501, 90)]
    chosen = bands_in_windows([Band(str(i), center_nm=float(nm)) for i, nm in enumerate(centers)])
    assert sum(place < 76 for place in chosen) == 14
    assert sum(place >= 76 for place in chosen) in (22, 23)


def test_limits_count_in_and_order_is_that_of_wavelengths() -> None:
    bands = [Band("a", center_nm=900.0), Band("b"), Band("c", center_nm=800.0), Band("d", center_nm=899.9)]
    assert bands_in_windows(bands, [(800.0, 900.0)]) == (2, 3, 0)
    assert bands_in_windows(bands, [(100.0, 200.0)]) == ()
    assert bands_in_windows([]) == ()
    # A band in two windows is chosen once.
    assert bands_in_windows(bands, [(790.0, 810.0), (795.0, 805.0)]) == (2,)


def test_a_window_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        bands_in_windows(enmap(), [(902.0, 782.0)])


@pytest.mark.parametrize("text", ["782-902", " 782 - 902 ", "782.0-902.00"])
def test_a_window_is_read(text: str) -> None:
    assert window_from_text(text, "--window") == (782.0, 902.0)


@pytest.mark.parametrize("text", ["", "902-782", "782", "782-", "-5-10", "782-902-1000", "a-b", "nan-nan"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--window .*e\.g\. 782-902"):
        window_from_text(text, "--window")
