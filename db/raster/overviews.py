"""Halving of pixels for overviews, each level made from the one before it.

``average`` is for imagery: the mean of the valid pixels among each four, rounded half up for integers; nodata
and NaN are left out, and a pixel without any valid one is nodata. ``mode`` is for class maps: the most
frequent valid value of the four, the first in reading order among equals. ``nearest`` takes the upper left
pixel. Overviews of factor 4 and more are halves of halves, as gdaladdo makes them: with nodata in a block
that is close to, but not the same as, the mean over the block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from db.errors import UsageError
from db.raster.pixels import Dtype, Nodata, Pixels, is_nodata

Resampling = Literal["average", "mode", "nearest"]

# Columns handled at a time: a block then stays in the processor's cache, and only blocks that hold nodata
# take the slower way.
_BLOCK_PX = 2048


def check_resampling(resampling: str) -> None:
    """Raise UsageError unless ``resampling`` is one of the three ways."""
    if resampling not in get_args(Resampling):
        raise UsageError(
            f"overviews by {resampling!r} are not known: use one of {', '.join(get_args(Resampling))}"
        )


def halve(pixels: Pixels, nodata: Sequence[Nodata], resampling: Resampling) -> Pixels:
    """Halve pixels in both directions.

    Args:
        pixels: array (bands, height, width); odd sides are allowed, the last pixel then stands for two.
        nodata: value of each band, or None.
        resampling: how four pixels become one.

    Returns:
        Array (bands, ceil(height / 2), ceil(width / 2)) of the same type.

    """
    if resampling == "nearest":
        return np.ascontiguousarray(pixels[:, ::2, ::2])
    odd_height, odd_width = pixels.shape[1] % 2, pixels.shape[2] % 2
    if odd_height or odd_width:
        pixels = np.pad(pixels, ((0, 0), (0, odd_height), (0, odd_width)), mode="edge")
    bands, height, width = pixels.shape
    halved = np.empty((bands, height // 2, width // 2), pixels.dtype)
    for band, value in enumerate(nodata):
        for left in range(0, width, _BLOCK_PX):
            block = pixels[band, :, left : left + _BLOCK_PX]
            target = halved[band, :, left // 2 : (left + _BLOCK_PX) // 2]
            if resampling == "mode":
                target[...] = _mode(block, value)
            else:
                _average_into(target, block, value)
    return halved


def _average_into(target: Pixels, block: Pixels, nodata: Nodata) -> None:
    low, high = block.min(), block.max()
    is_float = bool(np.issubdtype(block.dtype, np.floating))
    has_nan = is_float and math.isnan(float(low))
    # Where nodata lies outside the range of the block, none of it is there and no mean can become it.
    is_clean = not has_nan and (nodata is None or math.isnan(nodata) or not low <= nodata <= high)
    # Infinities among the pixels become infinite or NaN means, without a word.
    with np.errstate(invalid="ignore", over="ignore"):
        if is_clean:
            _mean_of_all(target, block, is_float=is_float)
        elif low == high:
            target[...] = low
        else:
            _mean_of_valid(target, block, nodata, is_float=is_float)


def _mean_of_all(target: Pixels, block: Pixels, *, is_float: bool) -> None:
    rows = np.add(block[0::2], block[1::2], dtype=_sum_dtype(block))
    total = rows[:, 0::2] + rows[:, 1::2]
    if is_float:
        total *= 0.25
    else:
        total += 2
        total >>= 2
    target[...] = total


def _mean_of_valid(target: Pixels, block: Pixels, nodata: Nodata, *, is_float: bool) -> None:
    invalid = np.zeros(block.shape, np.bool_) if nodata is None else is_nodata(block, nodata)
    if is_float:
        invalid |= np.isnan(block)
    valid = ~invalid
    filled = np.where(valid, block, 0).astype(_sum_dtype(block))
    total = _sum_of_four(filled)
    count = _sum_of_four(valid.astype(np.uint8))
    divisor = np.maximum(count, 1).astype(total.dtype)
    mean = total / divisor if is_float else (total + divisor // 2) // divisor
    empty = math.nan if nodata is None else nodata
    result = np.where(count > 0, mean, 0).astype(block.dtype)
    if nodata is not None and not math.isnan(nodata):
        result[result == block.dtype.type(nodata)] = _neighbour(nodata, block.dtype)
    result[count == 0] = empty
    target[...] = result


def _sum_of_four(values: Pixels) -> Pixels:
    rows = values[0::2] + values[1::2]
    total: Pixels = rows[:, 0::2] + rows[:, 1::2]
    return total


def _sum_dtype(block: Pixels) -> type[np.float64 | np.int32 | np.int64]:
    """A type that holds the sum of four pixels and half a divisor."""
    if np.issubdtype(block.dtype, np.floating):
        return np.float64
    return np.int32 if block.dtype.itemsize <= 2 else np.int64


def _neighbour(nodata: float, dtype: Dtype) -> float:
    """The nearest value that is not nodata: a mean of valid pixels must not read as missing."""
    if np.issubdtype(dtype, np.floating):
        held = np.array(nodata, dtype)
        return float(np.nextafter(held, np.array(0 if nodata else 1, dtype)))
    return nodata - 1 if nodata == np.iinfo(dtype).max else nodata + 1


def _mode(block: Pixels, nodata: Nodata) -> Pixels:
    corners = (block[0::2, 0::2], block[0::2, 1::2], block[1::2, 0::2], block[1::2, 1::2])
    best = corners[0].copy()
    best_votes = np.full(best.shape, -1, np.int8)
    for corner in corners:
        votes = np.zeros(best.shape, np.int8)
        for other in corners:
            votes += corner == other
        if nodata is not None:
            votes[is_nodata(corner, nodata)] = 0
        better = votes > best_votes
        best[better] = corner[better]
        best_votes[better] = votes[better]
    return best
