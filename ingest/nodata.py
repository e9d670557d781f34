"""Which value marks pixels without data, and how one is found when it is needed and the file has none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from db.errors import UsageError

STRIP_ROWS = 256


@dataclass(frozen=True)
class Nodata:
    """The nodata value of a scene.

    Attributes:
        value: the value; None when every pixel is valid.
        in_source: the file's pixels have it too; otherwise it was chosen here for pixels that are masked,
            not finite, or outside of the file on a warped grid.
        has_mask: the file marks some pixels as invalid by a mask of its own.
        notes: what was decided, for the user.

    """

    value: float | None
    in_source: bool
    has_mask: bool
    notes: tuple[str, ...]


def decide_nodata(
    dataset: Any, dtype: np.dtype[Any], stated: float | None, name: str, *, is_warped: bool
) -> Nodata:
    """Decide the nodata value of a scene.

    Args:
        dataset: rasterio dataset of the file.
        dtype: type the pixels are stored in.
        stated: value from the user; it goes before the file's own.
        name: the file, for messages.
        is_warped: the scene's grid has pixels that the file does not cover.

    Raises:
        UsageError: the stated value cannot occur, is that of valid pixels, or no value is free.

    """
    flags = dataset.mask_flag_enums[0]
    has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags and _masks_pixels(dataset)
    own = dataset.nodatavals[0]
    if stated is not None:
        value = _as_stored(stated, dtype)
        if value is None:
            raise UsageError(f"{name}: --nodata {stated:g} cannot occur in pixels of type {dtype.name}")
        if has_mask and _is_valid_value(dataset, value):
            raise UsageError(f"{name}: --nodata {stated:g} is the value of valid pixels; choose another")
        return Nodata(value, True, has_mask, ())
    notes: tuple[str, ...] = ()
    if own is not None:
        value = _as_stored(own, dtype)
        if value is not None:
            return Nodata(value, True, has_mask, ())
        notes = (f"the file's nodata value {own:g} cannot occur in pixels of type {dtype.name}: ignored",)
    if dtype.kind == "f":
        return Nodata(math.nan, False, has_mask, notes)
    if not has_mask and not is_warped:
        return Nodata(None, False, False, notes)
    chosen = _free_value(dataset, dtype, name)
    notes += (f"pixels without data get the value {chosen}, which no pixel of the file has",)
    return Nodata(float(chosen), False, has_mask, notes)


def _as_stored(value: float, dtype: np.dtype[Any]) -> float | None:
    """Round a nodata value as pixels hold it; None when they cannot."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value))
    limits = np.iinfo(dtype)
    if math.isfinite(value) and float(value).is_integer() and limits.min <= value <= limits.max:
        return float(value)
    return None


def _free_value(dataset: Any, dtype: np.dtype[Any], name: str) -> int:
    """Find a value that no pixel has: 0, else the type's largest, smallest, or for 16 bits any."""
    limits = np.iinfo(dtype)
    candidates = [0, int(limits.max), int(limits.min)]
    if dtype.itemsize <= 2:
        used = np.zeros(1 << (8 * dtype.itemsize), dtype=bool)
        for pixels, _mask in _strips(dataset):
            used[np.unique(pixels).astype(np.int64) - limits.min] = True
        candidates += [int(place) + int(limits.min) for place in np.flatnonzero(~used)[::-1][:1]]
        free = [value for value in candidates if not used[value - limits.min]]
    else:
        found: set[int] = set()
        for pixels, _mask in _strips(dataset):
            found |= {value for value in candidates if np.any(pixels == value)}
        free = [value for value in candidates if value not in found]
    if not free:
        raise UsageError(
            f"{name}: needs a value for pixels without data, but its pixels use every value of {dtype.name}; "
            "convert it to a wider type, or give up one value with --nodata"
        )
    return free[0]


def _masks_pixels(dataset: Any) -> bool:
    return any(not mask.all() for _pixels, mask in _strips(dataset))


def _is_valid_value(dataset: Any, nodata: float) -> bool:
    return any(np.any((pixels == nodata) & (mask != 0)) for pixels, mask in _strips(dataset))


def _strips(dataset: Any) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]]:
    """Pixels (bands, rows, width) and mask (rows, width; 0 is invalid) of the file, from the top."""
    for row in range(0, dataset.height, STRIP_ROWS):
        window = Window(0, row, dataset.width, min(STRIP_ROWS, dataset.height - row))
        yield dataset.read(window=window), dataset.dataset_mask(window=window)
