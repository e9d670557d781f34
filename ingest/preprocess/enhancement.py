"""Enhancement for the eye: a linear stretch between robust percentiles, and which bands make a picture.

Source: Richards, Remote Sensing Digital Image Analysis, contrast enhancement by linear stretch with
saturation. What comes out is a picture; nothing is ever measured in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from ingest.products.product import Band

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

NODATA, DARKEST, BRIGHTEST, MIDDLE = 0, 1, 255, 128
_NEAR_NM = 50.0
"""A band farther from a colour's wavelength than this does not show that colour."""

_COLOURS: dict[str, tuple[tuple[str, ...], float]] = {
    "red": (("red",), 660.0),
    "green": (("green",), 555.0),
    "blue": (("blue",), 485.0),
    "nir": (("nir", "nir08"), 842.0),
}
_NATURAL, _FALSE = ("red", "green", "blue"), ("nir", "red", "green")


@dataclass(frozen=True)
class Stretch:
    """Limits between which values of each band are spread over a picture's brightness.

    Attributes:
        low, high: by band; what is below becomes the darkest value, what is above the brightest. A band
            whose limits coincide is constant and becomes a middle grey.
        gamma: above 1 makes the middle brighter: brightness is the share of the range to the power 1 / gamma.

    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    gamma: float = 1.0

    def apply(self, bands: FloatArray) -> ByteArray:
        """Make a strip a picture.

        Args:
            bands: values (bands, height, width), NaN without data.

        Returns:
            Brightness (bands, height, width): 1 to 255, and 0 in every band of a pixel that lacks any of
            them, so that no false colour shows there.

        Raises:
            ValueError: there are not as many bands as limits.

        """
        if bands.ndim != 3 or len(bands) != len(self.low):
            raise ValueError(f"a stretch of {len(self.low)} bands does not fit an array of {bands.shape}")
        has_data = np.isfinite(bands).all(axis=0)
        picture = np.zeros(bands.shape, np.uint8)
        for band, values in enumerate(bands):
            low, high = self.low[band], self.high[band]
            if high <= low:
                picture[band, has_data] = MIDDLE
                continue
            share = np.clip((values[has_data].astype(np.float64) - low) / (high - low), 0.0, 1.0)
            if self.gamma != 1.0:
                share **= 1.0 / self.gamma
            picture[band, has_data] = DARKEST + np.rint(share * (BRIGHTEST - DARKEST)).astype(np.uint8)
        return picture

    def as_json(self) -> dict[str, Any]:
        """Limits and gamma for the catalogue."""
        return {"low": list(self.low), "high": list(self.high), "gamma": self.gamma}


def fit_stretch(
    bands: FloatArray, *, low_percent: float = 2.0, high_percent: float = 98.0, gamma: float = 1.0
) -> Stretch:
    """Find the limits of a stretch, on the image or a reduced one.

    Args:
        bands: values (bands, height, width), NaN without data. Only pixels with data in every band count.
        low_percent: percentile that becomes the darkest value.
        high_percent: percentile that becomes the brightest one. Where both coincide because most of a band is
            one value, minimum and maximum stand in.
        gamma: see ``Stretch``.

    Raises:
        UsageError: no pixel has data in every band, or percentiles or gamma cannot be.
        ValueError: the array has not three dimensions.

    """
    if bands.ndim != 3 or not len(bands):
        raise ValueError(f"an image has (bands, height, width), not {bands.shape}")
    if not 0 <= low_percent < high_percent <= 100:
        raise UsageError(f"a stretch from {low_percent:g} to {high_percent:g} percent cannot be")
    if not 0.1 <= gamma <= 10:
        raise UsageError(f"a gamma of {gamma:g} is not between 0.1 and 10")
    has_data = np.isfinite(bands).all(axis=0)
    if not has_data.any():
        raise UsageError("there is no picture: no pixel has data in all of its bands; choose other bands")
    lows, highs = [], []
    for values in bands:
        seen = values[has_data].astype(np.float64)
        low, high = np.percentile(seen, (low_percent, high_percent))
        if high <= low:
            low, high = seen.min(), seen.max()
        lows.append(float(low))
        highs.append(float(high))
    return Stretch(tuple(lows), tuple(highs), float(gamma))


def choose_rgb(bands: Sequence[Band], *, false_colour: bool = False) -> tuple[int, int, int]:
    """Which bands are shown as red, green and blue.

    Colours are found by common name, else by wavelength (660, 555 and 485 nm, near infrared 842 nm). Bands
    with a fault are left aside while there are others. Without visible bands the longest, the middle and the
    shortest wavelength are shown; without names and wavelengths the third, second and first band, as most
    instruments count from blue to red. One band is grey.

    Args:
        bands: bands of the scene.
        false_colour: near infrared, red and green instead: vegetation is red.

    Returns:
        Places in ``bands``, from 0.

    Raises:
        UsageError: there are no bands, or no near infrared, red and green for false colour.

    """
    if not bands:
        raise UsageError("there are no bands to show")
    usable = [place for place, band in enumerate(bands) if band.fault is None] or list(range(len(bands)))
    wanted = _FALSE if false_colour else _NATURAL
    found = [_of_colour(bands, usable, colour) for colour in wanted]
    first, second, third = found
    if first is not None and second is not None and third is not None:
        return first, second, third
    if false_colour:
        missing = [colour for colour, place in zip(wanted, found, strict=True) if place is None]
        raise UsageError(f"false colour needs near infrared, red and green; there is no {missing[0]} band")
    if all(bands[place].center_nm is not None for place in usable):
        ordered = sorted(usable, key=lambda place: (bands[place].center_nm or 0.0, place))
        return ordered[-1], ordered[(len(ordered) - 1) // 2], ordered[0]
    ordered = usable[:3]
    return ordered[-1], ordered[(len(ordered) - 1) // 2], ordered[0]


def _of_colour(bands: Sequence[Band], usable: Sequence[int], colour: str) -> int | None:
    """The band that shows a colour: the one of that name, else the nearest in wavelength."""
    names, center_nm = _COLOURS[colour]
    for name in names:
        for place in usable:
            if bands[place].common_name == name:
                return place
    near = [
        (abs(stated - center_nm), place) for place in usable if (stated := bands[place].center_nm) is not None
    ]
    distance, place = min(near, default=(np.inf, -1))
    return place if distance <= _NEAR_NM else None
