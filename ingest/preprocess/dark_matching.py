"""Relative normalisation by the darkest ground: water, conifers and shade look alike in every season.

What the air adds, or an offset that nobody declared, differs between dates by a constant in each band. It is
the difference of the two dates over ground that is dark on both (Chavez 1988,
doi:10.1016/0034-4257(88)90019-3, between dates). Only the offset is fitted: unlike
``ingest.preprocess.irmad`` this needs no ground that kept its brightness, so it also works between summer
and winter; it cannot mend a different gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

DARK_SHARES = (0.01, 0.02, 0.05)
"""Ground counts as dark when its brightest band is among so many of the darkest on both dates; the first
share that gives FEWEST_PX is taken. Plants are bright in the near infrared, and so are left out."""

FEWEST_PX = 100
LARGEST_SPREAD = 0.03
"""The differences over dark ground may spread (median absolute deviation) by so much reflectance."""

LARGEST_SAMPLE = 1_000_000
"""Of four bands; of more bands fewer pixels are looked at, but FEWEST_SAMPLED."""

FEWEST_SAMPLED = 100_000


@dataclass(frozen=True)
class DarkMatching:
    """fitted = value + offset, by band; bands without data keep an offset of 0.

    Attributes:
        offset: reflectance, by band.
        spread: median absolute deviation of the differences over dark ground, by band.
        dark_px: pixels that are dark on both dates.

    """

    offset: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    dark_px: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Fit the values of a strip (bands, height, width); NaN stays."""
        fitted: FloatArray = strip + self.offset[:, None, None].astype(np.float32)
        return fitted

    def as_json(self) -> dict[str, Any]:
        """Parameters and figures for the catalogue."""
        return {
            "offset": [float(value) for value in self.offset],
            "spread": [float(value) for value in self.spread],
            "dark_px": self.dark_px,
        }


def match_dark_ground(target: FloatArray, reference: FloatArray, valid: BoolArray) -> DarkMatching:
    """Fit the darkest ground of one date to that of another.

    Args:
        target: reflectance to be fitted (bands, height, width), NaN without data.
        reference: the other date on the same pixels.
        valid: clear pixels that both have (height, width).

    Raises:
        UsageError: the dates have no dark ground in common.
        ValueError: the shapes differ.

    """
    if target.shape != reference.shape or target.shape[1:] != valid.shape:
        raise ValueError(f"images of {target.shape} and {reference.shape}, valid pixels of {valid.shape}")
    places = np.flatnonzero(valid)
    most = max(FEWEST_SAMPLED, 4 * LARGEST_SAMPLE // max(4, len(target)))
    if len(places) > most:
        places = np.sort(np.random.default_rng(0).choice(places, most, replace=False))
    flat = [image.reshape(len(image), -1)[:, places] for image in (target, reference)]
    usable = (
        [band for band in range(len(target)) if all(np.isfinite(image[band]).mean() > 0.5 for image in flat)]
        if len(places)
        else []
    )
    if not usable:
        raise UsageError(
            f"the scene and its reference have {len(places)} clear pixels with data in common: name another "
            "--reference or say --normalise none"
        )
    # The brightest band's rank: what is dark in red may be a forest, whose near infrared follows the season.
    ranks = [_brightest_rank(image, usable) for image in flat]
    dark, dark_px = np.zeros(len(places), np.bool_), 0
    for share in DARK_SHARES:
        if dark_px < FEWEST_PX:
            dark = np.logical_and(*(rank <= np.nanquantile(rank, share) for rank in ranks))
            dark_px = int(np.count_nonzero(dark))
    if dark_px < FEWEST_PX:
        raise UsageError(
            f"only {dark_px} pixels are dark both in the scene and in its reference, at least {FEWEST_PX} "
            "are "
            "needed: name another --reference or say --normalise none"
        )
    offset, spread = np.zeros(len(target)), np.zeros(len(target))
    for band in usable:
        difference = (flat[1][band] - flat[0][band])[dark].astype(np.float64)
        difference = difference[np.isfinite(difference)]
        if len(difference) < FEWEST_PX // 2:
            continue
        offset[band] = np.median(difference)
        spread[band] = np.median(np.abs(difference - offset[band]))
    if np.median(spread[usable]) > LARGEST_SPREAD:
        raise UsageError(
            f"the dark ground of the scene and of its reference differs from pixel to pixel (by "
            f"{np.median(spread[usable]):.3f}): do both show the same ground? Name another --reference"
        )
    return DarkMatching(offset, spread, dark_px)


def _brightest_rank(image: FloatArray, bands: list[int]) -> npt.NDArray[np.float64]:
    """Of each pixel the highest of its ranks in the bands."""
    highest = _rank(image[bands[0]])
    for band in bands[1:]:
        np.fmax(highest, _rank(image[band]), out=highest)
    return highest


def _rank(values: FloatArray) -> npt.NDArray[np.float64]:
    """Share of pixels that are darker, 0..1; NaN stays."""
    seen = np.isfinite(values)
    ranks = np.full(len(values), np.nan)
    ordered = np.sort(values[seen])
    ranks[seen] = np.searchsorted(ordered, values[seen]) / max(1, len(ordered))
    return ranks
