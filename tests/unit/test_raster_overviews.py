"""Halving for overviews, against values computed by hand and against a plain loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from db.errors import UsageError
from db.raster.overviews import Resampling, check_resampling, halve


def halved(
    rows: list[list[float]], dtype: str, nodata: float | None, resampling: Resampling
) -> list[list[float]]:
    result: list[list[float]] = halve(np.array([rows], dtype), [nodata], resampling)[0].tolist()
    return result


def test_average_rounds_half_up() -> None:
    assert halved([[1, 2, 0, 0], [3, 4, 1, 1]], "uint8", None, "average") == [[3, 1]]
    assert halved([[-1, -2], [-3, -4]], "int16", None, "average") == [[-2]]
    assert halved([[255, 255], [255, 255]], "uint8", None, "average") == [[255]]
    assert halved([[2**32 - 1] * 2] * 2, "uint32", None, "average") == [[2**32 - 1]]
    assert halved([[1, 2], [3, 4]], "float32", None, "average") == [[2.5]]


def test_average_leaves_nodata_out() -> None:
    assert halved([[0, 8, 0, 0], [0, 4, 0, 0]], "uint16", 0, "average") == [[6, 0]]
    assert halved([[-9999, 1.5], [-9999, -9999]], "float64", -9999, "average") == [[1.5]]


def test_average_leaves_nan_out() -> None:
    nan = math.nan
    assert halved([[nan, 1], [3, nan]], "float32", None, "average") == [[2]]
    assert halved([[nan, 1], [3, -1]], "float32", -1, "average") == [[2]]
    assert halved([[nan, nan], [nan, nan]], "float32", -1, "average") == [[-1]]
    [[value]] = halved([[nan, nan], [nan, nan]], "float32", None, "average")
    assert math.isnan(value)


def test_infinities_pass_without_a_warning() -> None:
    inf = math.inf
    [[value, other]] = halved([[inf, 1, inf, 1], [1, 1, -inf, 1]], "float32", 0, "average")
    assert value == inf
    assert math.isnan(other)


def test_a_mean_of_valid_pixels_never_reads_as_nodata() -> None:
    assert halved([[99, 101], [99, 101]], "uint8", 100, "average") == [[101]]
    assert halved([[254, 255], [254, 254]], "uint8", 254, "average") == [[255]]
    assert halved([[65534, 65535], [65535, 65534]], "uint16", 65535, "average") == [[65534]]
    [[value]] = halved([[-1, 1], [-1, 1]], "float32", 0, "average")
    assert 0 < abs(value) < 1e-30


def test_the_last_pixel_of_an_odd_side_stands_for_two() -> None:
    assert halved([[1, 3, 10]], "uint8", None, "average") == [[2, 10]]
    assert halved([[5]], "uint8", 0, "mode") == [[5]]
    assert halved([[1, 3, 10], [1, 1, 1], [7, 7, 7]], "uint8", None, "nearest") == [[1, 10], [7, 7]]


def test_mode_takes_the_most_frequent_valid_class() -> None:
    assert halved([[1, 2], [2, 3]], "uint8", None, "mode") == [[2]]
    assert halved([[4, 3], [3, 4]], "uint8", None, "mode") == [[4]]
    assert halved([[255, 255], [255, 6]], "uint8", 255, "mode") == [[6]]
    assert halved([[255, 255], [255, 255]], "uint8", 255, "mode") == [[255]]


def plain_mean(pixels: np.ndarray[Any, Any], nodata: int | None) -> list[list[int]]:
    rows = []
    for row in range(0, pixels.shape[0], 2):
        line = []
        for col in range(0, pixels.shape[1], 2):
            four = [
                int(pixels[min(row + down, pixels.shape[0] - 1), min(col + right, pixels.shape[1] - 1)])
                for down in (0, 1)
                for right in (0, 1)
            ]
            valid = [value for value in four if value != nodata]
            mean = math.floor((sum(valid) + len(valid) // 2) / len(valid)) if valid else 0
            if valid and mean == nodata:
                mean = nodata - 1 if nodata == 255 else nodata + 1
            line.append(mean if valid or nodata is None else nodata)
        rows.append(line)
    return rows


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(248, 255)),
    st.none() | st.integers(247, 255),
)
def test_average_equals_a_plain_loop(pixels: np.ndarray[Any, Any], nodata: int | None) -> None:
    assert halve(pixels[None], [nodata], "average")[0].tolist() == plain_mean(pixels, nodata)


def test_wide_strips_are_halved_in_blocks_without_seams() -> None:
    pixels = np.random.default_rng(1).integers(0, 3, (1, 4, 5001), dtype=np.uint8)
    for nodata in (None, 0):
        assert halve(pixels, [nodata], "average")[0].tolist() == plain_mean(pixels[0], nodata)
    parts = [halve(pixels[:, :, left : left + 1000], [0], "mode") for left in range(0, 5001, 1000)]
    np.testing.assert_array_equal(halve(pixels, [0], "mode"), np.concatenate(parts, axis=2))


def test_each_band_has_its_own_nodata() -> None:
    pixels = np.array([[[1, 3], [1, 3]], [[1, 3], [1, 3]]], np.uint8)
    assert halve(pixels, [1, 3], "average").tolist() == [[[3]], [[1]]]


def test_other_ways_are_refused() -> None:
    with pytest.raises(UsageError, match="cubic"):
        check_resampling("cubic")
