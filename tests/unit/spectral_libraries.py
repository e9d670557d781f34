"""Spectral libraries made up for tests, in the form of the USGS libraries that were converted to ENVI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DELETED = -1.23e34


def write_library(
    path: Path,
    wavelength_nm: NDArray[np.float64],
    spectra: Mapping[str, NDArray[np.float64]],
    *,
    order: str = "<",
    in_header: bool = False,
) -> Path:
    """A library of named spectra (channels,); its first record or its header tells wavelengths."""
    records = dict(spectra) if in_header else {"Crism Waves (um)": wavelength_nm / 1000, **spectra}
    np.stack(list(records.values())).astype(f"{order}f4").tofile(path)
    lines = [
        "ENVI",
        f"description = {{\n  a library, made up: {path.name}}}",
        f"samples = {len(wavelength_nm)}",
        f"lines   = {len(records)}",
        "file type = ENVI Spectral Library",
        "data type = 4",
        f"byte order = {0 if order == '<' else 1}",
        f"wavelength units = {'Nanometers' if in_header else 'Micrometers'}",
        "spectra names = {\n " + ",\n ".join(name.ljust(40) for name in records) + "}",
    ]
    if in_header:
        lines.append("wavelength = {" + ", ".join(f"{nm:g}" for nm in wavelength_nm) + "}")
    path.with_suffix(".hdr").write_text("\n".join(lines) + "\n")
    return path
