"""Laboratory spectra: which record is taken, what is deleted, and what an instrument's bands see of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from ingest.simulate.spectral_library import LibrarySpectrum, at_bands, library_spectrum
from tests.unit.spectral_libraries import DELETED, write_library

NM = np.arange(1000.0, 2600.0, 10.0)


def rising(nm: np.ndarray) -> np.ndarray:
    """A spectrum that tells where it was read."""
    return nm / 10_000


def write(folder: Path, spectra: Mapping[str, np.ndarray], **how: object) -> Path:
    return write_library(folder / "fine.sli", NM, spectra, **how)  # type: ignore[arg-type]


def test_a_band_sees_an_absorption_as_wide_as_both_together() -> None:
    nm = np.arange(2000.0, 2400.0, 1.0)
    center, deviation, depth = 2207.0, 12.0, 0.3
    curve = 0.8 - depth * np.exp(-0.5 * ((nm - center) / deviation) ** 2)
    centers, width = [2180.0, 2207.0, 2230.0], 8.0
    seen = at_bands(LibrarySpectrum("x", nm, curve), centers, [width] * 3)
    band = width / (2 * math.sqrt(2 * math.log(2)))
    both = math.hypot(deviation, band)
    expected = [
        0.8 - depth * deviation / both * math.exp(-0.5 * ((at - center) / both) ** 2) for at in centers
    ]
    assert seen == pytest.approx(expected, abs=3e-4)
    # a band three times as wide sees less of it
    assert at_bands(LibrarySpectrum("x", nm, curve), [center], [24.0])[0] > seen[1] + 0.02
    assert at_bands(LibrarySpectrum("x", nm, rising(nm)), [2100.0], [9.0])[0] == pytest.approx(0.21)


def test_a_band_beyond_the_spectrum_is_refused() -> None:
    spectrum = LibrarySpectrum("Mica 1", NM, rising(NM))
    with pytest.raises(UsageError, match="Mica 1: reaches from 1000 to 2590 nm, a band lies at 990 nm"):
        at_bands(spectrum, [990.0], [8.0])


@pytest.mark.parametrize("width", [0.0, -5.0, math.nan, math.inf])
def test_a_band_without_a_width_is_refused(width: float) -> None:
    with pytest.raises(UsageError, match=r"the band at 1500 nm has a width of .* nm, and what it sees"):
        at_bands(LibrarySpectrum("Mica 1", NM, rising(NM)), [1500.0], [width])


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_record_that_begins_first_counts_without_its_deleted_channels(tmp_path: Path, order: str) -> None:
    whole, late, other = rising(NM), 0.5 * rising(NM), 0.1 * rising(NM)
    whole = np.where((NM > 2500), DELETED, whole)
    late[:60] = DELETED
    write(tmp_path, {"Mica 10": other, "Mica 1 late": late, "Mica 1 =a": whole}, order=order)
    found = library_spectrum(tmp_path, "Mica 1 ")
    assert found.name == "Mica 1 =a"
    assert found.wavelength_nm == pytest.approx(NM[NM <= 2500], rel=1e-6)
    assert found.reflectance == pytest.approx(rising(NM[NM <= 2500]), rel=1e-6)


def test_a_coarse_library_counts_only_where_the_fine_one_ends(tmp_path: Path) -> None:
    write(tmp_path, {"Mica 1": rising(NM)})
    # two detectors overlap: the channels of the second begin before those of the first end
    coarse = np.array([400.0, 600.0, 1050.0, 900.0, 2000.0, 2700.0])
    write_library(tmp_path / "coarse.sli", coarse, {"Mica 1": 10 * rising(coarse)})
    found = library_spectrum(tmp_path, "Mica 1")
    assert found.wavelength_nm == pytest.approx(np.concatenate([[400, 600, 900], NM, [2700]]), rel=1e-6)
    assert found.reflectance[:3] == pytest.approx([0.4, 0.6, 0.9])
    assert found.reflectance[3:-1] == pytest.approx(rising(NM), rel=1e-6)


def test_wavelengths_may_stand_in_the_header(tmp_path: Path) -> None:
    write(tmp_path, {"Mica 1": rising(NM)}, in_header=True)
    assert library_spectrum(tmp_path, "Mica 1").wavelength_nm == pytest.approx(NM)


def test_what_is_no_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no spectral library"):
        library_spectrum(tmp_path, "Mica 1")
    path = write(tmp_path, {"Mica 1": rising(NM)})
    with pytest.raises(UsageError, match="holds 'Beryl'"):
        library_spectrum(tmp_path, "Beryl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(UsageError, match=r"holds 319 values for 2 names; its header says 2 records of 160"):
        library_spectrum(tmp_path, "Mica 1")
    path.write_bytes(whole)
    header = path.with_suffix(".hdr")
    text = header.read_text()
    header.write_text(text.replace("data type = 4", "data type = 5"))
    with pytest.raises(UsageError, match="has data type 5"):
        library_spectrum(tmp_path, "Mica 1")
    header.write_text(text.replace("samples", "columns"))
    with pytest.raises(UsageError, match="it lacks samples"):
        library_spectrum(tmp_path, "Mica 1")
    header.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        library_spectrum(tmp_path, "Mica 1")
