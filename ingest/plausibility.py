"""Whether a scene's numbers can be what was declared: wrong offsets and scales show in the values.

Refused is only what cannot be; what is unlikely is a warning, printed and kept in the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from db.errors import UsageError
from ingest.declaration import REFLECTANCES, ValueMeaning
from ingest.figures import BandFigures

NEGATIVE = -0.05
"""Atmospheric correction errs below zero over shadow and water, by less than this."""

SURELY_WRONG_SHARE = 0.20
MAYBE_WRONG_SHARE = 0.02

FORGOTTEN_OFFSET = 0.09
"""An offset of +1000 at scale 0.0001 that was left in keeps every band above about this."""

DARK_PERCENTILE = 1.0
BRIGHTEST_MEDIAN = 5.0
DARKEST_BRIGHT = 0.002


def check_reflectance(
    bands: Sequence[BandFigures], meaning: ValueMeaning, name: str, *, sensor: str, nodata: float | None
) -> tuple[str, ...]:
    """Look at reflectances after offset and scale.

    Args:
        bands: figures of each band, in stored values.
        meaning: offset, scale and level; only reflectances are looked at.
        name: the file, for messages.
        sensor: key of the instrument; a forgotten offset is looked for in Sentinel-2 only.
        nodata: the scene's nodata value, or None.

    Returns:
        Warnings.

    Raises:
        UsageError: the values cannot be reflectance under this declaration.

    """
    if meaning.processing_level not in REFLECTANCES:
        return ()
    samples = [(band.sample + meaning.value_offset) * meaning.value_scale for band in bands]
    if any(sample.size == 0 for sample in samples):
        return ()
    said = f"offset {meaning.value_offset:g} and scale {meaning.value_scale:g}"
    _check_magnitude(samples, meaning, name, said)
    warnings = []
    if sensor.startswith("sentinel2") and nodata is None and min(band.minimum for band in bands) == 0:
        warnings.append("some values are 0, Sentinel-2's mark for no data; declare it with --nodata 0")
    shares = [float(np.mean(sample < NEGATIVE)) for sample in samples]
    worst = int(np.argmax(shares))
    if shares[worst] > MAYBE_WRONG_SHARE:
        found = (
            f"with {said}, {shares[worst]:.0%} of the pixels of band {bands[worst].name} have a reflectance "
            f"below {NEGATIVE}: the offset was probably taken out already (--offset 0)"
        )
        if shares[worst] > SURELY_WRONG_SHARE:
            raise UsageError(f"{name}: {found}")
        warnings.append(found)
    darkest = min(float(np.percentile(sample, DARK_PERCENTILE)) for sample in samples)
    if sensor.startswith("sentinel2") and darkest > FORGOTTEN_OFFSET:
        warnings.append(
            f"with {said}, even the darkest pixels of every band reflect {darkest:.2f}: "
            "perhaps the offset of 1000 is still in the values (--offset -1000)"
        )
    return tuple(warnings)


def _check_magnitude(
    samples: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    meaning: ValueMeaning,
    name: str,
    said: str,
) -> None:
    median = max(float(np.median(sample)) for sample in samples)
    brightest = max(float(np.percentile(sample, 99.9)) for sample in samples)
    if median > BRIGHTEST_MEDIAN:
        raise UsageError(
            f"{name}: with {said} the median reflectance is {median:.4g}, but reflectance lies near 0 to 1; "
            "state the right --scale (0.0001 for integers times 10,000), or --level digital_number"
        )
    if brightest < DARKEST_BRIGHT:
        raise UsageError(
            f"{name}: with {said} no reflectance is above {brightest:.2g}, but reflectance lies near 0 to 1; "
            f"state the right --scale instead of {meaning.value_scale:g}, or another --level"
        )
