"""Laboratory spectra from ENVI spectral libraries, as the bands of an instrument see them.

GDAL's ENVI driver refuses files of this type ("ENVI Spectral Library"), so they are read here: a header in
text and records of float32. USGS libraries that were converted from SPECPR (splib06, DS-231) hold their
wavelengths as a record; others name them in the header.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError

_LARGEST = 10.0
"""Reflectance beyond this, either way, marks channels that were deleted (-1.23e34 in the USGS libraries)."""
_STEP_NM = 0.5
_REACH_DEVIATIONS = 4.0
_FWHM_DEVIATIONS = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class LibrarySpectrum:
    """A spectrum of a library, without its deleted channels.

    Attributes:
        name: of the record that holds most channels.
        wavelength_nm: (channels,), rising.
        reflectance: (channels,), 0..1.

    """

    name: str
    wavelength_nm: NDArray[np.float64]
    reflectance: NDArray[np.float64]


def library_spectrum(folder: Path, sample: str) -> LibrarySpectrum:
    """A sample's spectrum from all libraries of a folder.

    Of the records whose names begin with the sample's, each library gives the one that begins at the shortest
    wavelength. The library of most channels counts where it reaches, the others beyond its ends.

    Args:
        folder: holds ``.sli`` files, each with its ``.hdr``.
        sample: how its records' names begin, e.g. ``Spodumene HS210.3B``.

    Raises:
        UsageError: no library is there, one is damaged, or none holds the sample.

    """
    libraries = sorted(folder.glob("*.sli"))
    if not libraries:
        raise UsageError(f"{folder}: holds no spectral library (.sli): name the folder that does")
    found = [each for path in libraries for each in _records(path, sample)]
    if not found:
        raise UsageError(
            f"no library in {folder} holds {sample!r}: take the USGS library splib06, whose samples have "
            "such names"
        )
    found.sort(key=lambda each: -len(each.wavelength_nm))
    name, nm, values = found[0].name, found[0].wavelength_nm, found[0].reflectance
    for other in found[1:]:
        is_beyond = (other.wavelength_nm < nm[0]) | (other.wavelength_nm > nm[-1])
        nm = np.concatenate([nm, other.wavelength_nm[is_beyond]])
        values = np.concatenate([values, other.reflectance[is_beyond]])
        order = np.argsort(nm)
        nm, values = nm[order], values[order]
    return LibrarySpectrum(name, nm, values)


def at_bands(
    spectrum: LibrarySpectrum, center_nm: Sequence[float], width_nm: Sequence[float]
) -> NDArray[np.float64]:
    """What bands with a Gaussian response see of a spectrum, (bands,).

    The spectrum runs straight between its channels. Their own width stays in it: absorptions come out a
    little wider than the instrument would show them.

    Args:
        spectrum: of the library.
        center_nm: (bands,) centres, nm.
        width_nm: (bands,) full widths at half maximum, nm.

    Raises:
        UsageError: the spectrum does not reach a band's centre, or a width is not above 0.

    """
    seen = np.empty(len(center_nm))
    low, high = spectrum.wavelength_nm[0], spectrum.wavelength_nm[-1]
    for place, (center, width) in enumerate(zip(center_nm, width_nm, strict=True)):
        if not low <= center <= high:
            raise UsageError(
                f"{spectrum.name}: reaches from {low:.0f} to {high:.0f} nm, a band lies at {center:.0f} nm: "
                "add a library that reaches it"
            )
        if not 0 < width < math.inf:
            raise UsageError(
                f"the band at {center:g} nm has a width of {width:g} nm, and what it sees of a spectrum is "
                "not known: take a scene whose bands have their widths (full width at half maximum)"
            )
        deviation = width / _FWHM_DEVIATIONS
        steps = math.ceil(_REACH_DEVIATIONS * deviation / _STEP_NM)
        nm = center + _STEP_NM * np.arange(-steps, steps + 1)
        response = np.exp(-0.5 * ((nm - center) / deviation) ** 2)
        seen[place] = response @ np.interp(nm, spectrum.wavelength_nm, spectrum.reflectance) / response.sum()
    return seen


def _records(path: Path, sample: str) -> list[LibrarySpectrum]:
    """The library's record of a sample that begins at the shortest wavelength; none where there is none."""
    header = _header(path)
    names = header["spectra names"].split(",")
    names = [name.strip() for name in names]
    chosen = [place for place, name in enumerate(names) if name.startswith(sample)]
    if not chosen:
        return []
    records = _values(path, header, len(names))
    nm = _wavelengths(path, header, records, names)
    found = []
    for place in chosen:
        is_known = np.isfinite(records[place]) & (np.abs(records[place]) < _LARGEST) & (nm > 0)
        if is_known.any():
            # channels of two detectors that overlap do not come in order
            order = np.flatnonzero(is_known)[np.argsort(nm[is_known], kind="stable")]
            found.append(LibrarySpectrum(names[place], nm[order], records[place][order]))
    return sorted(found, key=lambda each: each.wavelength_nm[0])[:1]


def _header(path: Path) -> dict[str, str]:
    """Fields of the header beside a library; those in braces without them."""
    header = path.with_suffix(".hdr")
    try:
        text = header.read_text(encoding="latin-1")
    except OSError as error:
        raise UsageError(f"{header}: cannot be read: {error.strerror or error}") from None
    fields = {
        key.strip().lower(): (braced or plain).strip()
        for key, braced, plain in re.findall(r"^([\w ]+?)\s*=\s*(?:\{([^}]*)\}|([^\n]*))", text, re.MULTILINE)
    }
    missing = [key for key in ("samples", "lines", "data type", "spectra names") if key not in fields]
    if missing:
        raise UsageError(f"{header}: is no header of a spectral library: it lacks {', '.join(missing)}")
    return fields


def _values(path: Path, header: dict[str, str], names: int) -> NDArray[np.float64]:
    """(records, channels)."""
    if header["data type"] != "4":
        raise UsageError(f"{path}: has data type {header['data type']}; libraries of float32 (4) are read")
    lines, samples = int(header["lines"]), int(header["samples"])
    kind = ">f4" if header.get("byte order", "0") == "1" else "<f4"
    values = np.fromfile(path, kind, offset=int(header.get("header offset", "0")))
    if values.size != lines * samples or lines != names:
        raise UsageError(
            f"{path}: holds {values.size} values for {names} names; its header says {lines} records of "
            f"{samples} channels: get it anew"
        )
    return values.reshape(lines, samples).astype(np.float64)


def _wavelengths(
    path: Path, header: dict[str, str], records: NDArray[np.float64], names: Sequence[str]
) -> NDArray[np.float64]:
    """Wavelengths (channels,) in nm."""
    if "wavelength" in header:
        nm = np.array([float(text) for text in header["wavelength"].split(",")])
    elif "waves" in names[0].lower():
        nm = records[0]
    else:
        raise UsageError(f"{path}: neither its header nor its first record tells wavelengths")
    unit = header.get("wavelength units", "").lower()
    nm = nm * (1000.0 if unit.startswith("micro") else 1.0)
    if nm.shape != records.shape[1:]:
        raise UsageError(f"{path}: tells {nm.size} wavelengths for {records.shape[1]} channels: get it anew")
    return nm
