"""Raster WKB against bytes written by hand from the specification, and by property."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from db.errors import UsageError
from db.raster import Tile, check_pixel_type, decode_tile, encode_tile
from db.raster.pixels import nodata_per_band

CODES = {"uint8": 4, "int16": 5, "uint16": 6, "int32": 7, "uint32": 8, "float32": 10, "float64": 11}
FORMATS = {
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "float64": "d",
}
PLACE: dict[str, Any] = {
    "srid": 32645,
    "origin_x": 500000.5,
    "origin_y": 4860000.25,
    "resolution_x": 2.0,
    "resolution_y": 0.5,
}


def written_by_hand(
    bands: list[list[list[float]]], dtype: str, nodata: list[float | None], order: str = "<"
) -> bytes:
    """Raster WKB value by value, as the specification has it."""
    height, width = len(bands[0]), len(bands[0][0])
    wkb = struct.pack(order + "BHH", 1 if order == "<" else 0, 0, len(bands))
    wkb += struct.pack(order + "dddddd", 2.0, -0.5, 500000.5, 4860000.25, 0, 0)
    wkb += struct.pack(order + "iHH", 32645, width, height)
    for band, value in zip(bands, nodata, strict=True):
        flags = CODES[dtype]
        if value is not None:
            flags |= 0x40
            if all(pixel == value for row in band for pixel in row):
                flags |= 0x20
        wkb += struct.pack(order + "B" + FORMATS[dtype], flags, 0 if value is None else value)
        for row in band:
            wkb += struct.pack(order + FORMATS[dtype] * width, *row)
    return wkb


BANDS = [[[1, 2, 3], [4, 5, 6]], [[0, 0, 0], [0, 0, 0]], [[7, 0, 0], [0, 0, 9]]]


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("nodata", [[None, None, None], [0, 0, 0], [0, None, 7]])
def test_encodes_as_the_specification_says(dtype: str, nodata: list[float | None]) -> None:
    encoded = encode_tile(np.array(BANDS, dtype), nodata=nodata, **PLACE)
    assert encoded == written_by_hand(BANDS, dtype, nodata)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_decodes_both_byte_orders(dtype: str, order: str) -> None:
    tile = decode_tile(written_by_hand(BANDS, dtype, [0, None, 7], order))
    assert tile.pixels.dtype == np.dtype(dtype)
    assert tile.pixels.dtype.isnative
    np.testing.assert_array_equal(tile.pixels, np.array(BANDS, dtype))
    assert tile.nodata == (0, None, 7)
    assert (tile.srid, tile.origin_x, tile.origin_y) == (32645, 500000.5, 4860000.25)
    assert (tile.resolution_x, tile.resolution_y) == (2.0, 0.5)


pixel_arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
        elements=hnp.from_dtype(np.dtype(dtype)),
    )
)


@given(pixel_arrays, st.data())
def test_round_trip(pixels: np.ndarray[Any, Any], data: st.DataObject) -> None:
    values = hnp.from_dtype(pixels.dtype)
    nodata = data.draw(st.lists(st.none() | values, min_size=len(pixels), max_size=len(pixels)))
    plain = [None if value is None else float(value) for value in nodata]
    tile = decode_tile(encode_tile(pixels, nodata=plain, **PLACE))
    assert tile.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(tile.pixels, pixels)
    for read, written in zip(tile.nodata, plain, strict=True):
        assert read == written or (read is not None and written is not None and math.isnan(read * written))


@given(pixel_arrays, st.data())
def test_every_truncation_is_noticed(pixels: np.ndarray[Any, Any], data: st.DataObject) -> None:
    wkb = encode_tile(pixels, nodata=None, **PLACE)
    length = data.draw(st.integers(0, len(wkb) - 1))
    with pytest.raises(ValueError, match=r"truncated|endianness"):
        decode_tile(wkb[:length])
    with pytest.raises(ValueError, match="too long"):
        decode_tile(wkb + b"\0")


def test_many_bands_and_views_of_larger_arrays() -> None:
    whole = np.arange(166 * 20 * 30, dtype=np.uint16).reshape(166, 20, 30)
    part = whole[:, 3:11, 5:25]
    tile = decode_tile(encode_tile(part, nodata=0, **PLACE))
    np.testing.assert_array_equal(tile.pixels, part)
    assert tile.nodata == (0,) * 166


def test_foreign_byte_order_is_stored_as_our_own() -> None:
    pixels = np.array(BANDS, ">u2")
    assert encode_tile(pixels, nodata=0, **PLACE) == encode_tile(pixels.astype("<u2"), nodata=0, **PLACE)


def test_decoding_copies_nothing() -> None:
    wkb = bytearray(encode_tile(np.array(BANDS, np.uint8), **PLACE))
    tile = decode_tile(wkb)
    wkb[-1] = 250
    assert tile.pixels[2, 1, 2] == 250


def changed(offset: int, value: int) -> bytes:
    wkb = bytearray(written_by_hand(BANDS, "uint16", [0, 0, 0]))
    wkb[offset] = value
    return bytes(wkb)


SECOND_BAND = 61 + 1 + 2 + 12


@pytest.mark.parametrize(
    ("wkb", "reason"),
    [
        (b"", "truncated"),
        (changed(0, 7), "endianness 7"),
        (changed(1, 1), "version 1"),
        (changed(3, 0), "no bands"),
        (changed(61, 0x40 | 15), "code 15"),
        (changed(61, 0x40 | 9), "code 9"),
        (changed(61, 3), "8BSI"),
        (changed(61, 0), "1BB"),
        (changed(61, 0x80 | 6), "out-db"),
        (changed(SECOND_BAND, 5), "another pixel type"),
        (changed(SECOND_BAND, 0x80 | 6), "out-db"),
        (changed(12, 0xC0), "north-up"),
        (changed(20, 0x40), "north-up"),
        (changed(44, 0x40), "north-up"),
    ],
)
def test_malformed_bytes_are_refused(wkb: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_tile(wkb)


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("bool", "uint8"),
        ("int8", "int16"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("float16", "float32"),
        ("complex64", "one of"),
        ("U3", "one of"),
    ],
)
def test_other_pixel_types_are_refused_with_advice(dtype: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        encode_tile(np.zeros((1, 2, 2), dtype), **PLACE)
    with pytest.raises(UsageError, match=advice):
        check_pixel_type(dtype)


@pytest.mark.parametrize("shape", [(2, 2), (0, 2, 2), (1, 0, 2), (1, 2, 65536)])
def test_shapes_that_are_no_tile(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="tile"):
        encode_tile(np.zeros(shape, np.uint8), **PLACE)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 256),
        ("uint8", -9999),
        ("int16", 0.5),
        ("uint16", math.nan),
        ("float32", 1e39),
        ("int32", math.inf),
    ],
)
def test_nodata_that_no_pixel_can_have_is_refused(dtype: str, nodata: float) -> None:
    with pytest.raises(UsageError, match="nodata"):
        encode_tile(np.zeros((1, 2, 2), dtype), nodata=nodata, **PLACE)


def test_nodata_is_held_as_the_pixel_type_has_it() -> None:
    assert nodata_per_band(0.1, 2, np.dtype(np.float32)) == (float(np.float32(0.1)),) * 2
    assert nodata_per_band(-math.inf, 1, np.dtype(np.float32)) == (-math.inf,)
    with pytest.raises(UsageError, match="2 nodata values were given for 3 bands"):
        nodata_per_band([1, 2], 3, np.dtype(np.uint8))


def test_a_tile_says_which_bands_are_all_nodata() -> None:
    pixels = np.full((3, 4, 4), math.nan, np.float32)
    pixels[1, 3, 3] = 1
    wkb = encode_tile(pixels, nodata=math.nan, **PLACE)
    flags = [wkb[61 + band * (1 + 4 + 64)] for band in range(3)]
    assert [bool(flag & 0x20) for flag in flags] == [True, False, True]
    tile: Tile = decode_tile(wkb)
    assert all(value is not None and math.isnan(value) for value in tile.nodata)
