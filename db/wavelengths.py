"""Bands by wavelength, so that one rule chooses the same part of the spectrum of any instrument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from db.errors import UsageError

PEGMATITE_WINDOWS_NM = ((782.0, 902.0), (2014.0, 2400.0))
"""Iron, beryl's 830 nm, and the hydroxyl and carbonate absorptions: 37 bands of AHSI, 61 of EnMAP."""


class HasWavelength(Protocol):
    """Anything with a centre wavelength in nm, or None."""

    @property
    def center_nm(self) -> float | None:
        """Centre wavelength, nm."""
        ...


def bands_in_windows(
    bands: Sequence[HasWavelength], windows_nm: Sequence[tuple[float, float]] = PEGMATITE_WINDOWS_NM
) -> tuple[int, ...]:
    """Places (from 0) of the bands whose centre lies in one of the windows, in order of wavelength.

    Args:
        bands: bands of any instrument; those without a wavelength are never chosen.
        windows_nm: lower and upper limit of each window, nm, both included.

    Raises:
        ValueError: a window ends before it begins.

    """
    if any(low > high for low, high in windows_nm):
        raise ValueError(f"a window ends before it begins: {windows_nm}")
    found = [
        (band.center_nm, place)
        for place, band in enumerate(bands)
        if band.center_nm is not None and any(low <= band.center_nm <= high for low, high in windows_nm)
    ]
    return tuple(place for _, place in sorted(found))


def window_from_text(text: str, option: str) -> tuple[float, float]:
    """Lower and upper limit of a window, nm, written like ``782-902``.

    Args:
        text: what the user wrote.
        option: where, for the message.

    Raises:
        UsageError: it is not that, or ends before it begins.

    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*", text, re.ASCII)
    if found is None or float(found.group(1)) > float(found.group(2)):
        raise UsageError(f"{option} {text}: write the lower and upper limit in nm, e.g. 782-902")
    return float(found.group(1)), float(found.group(2))
