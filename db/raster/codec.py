"""PostGIS raster WKB, version 0, to and from numpy.

Layout (PostGIS ``raster/doc/RFC2-WellKnownBinaryFormat``): a header of 61 bytes

    endianness u8 (1 = little) | version u16 | band count u16 | scale x, y f64 | upper left x, y f64
    | skew x, y f64 | srid i32 | width u16 | height u16

then for every band a byte of flags and pixel type, the nodata value and the pixels row by row, both in the
band's pixel type. Nothing is aligned or padded. Tiles are written little-endian, in the database (never
"out-db"), north-up; both endiannesses are read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from db.raster.pixels import (
    Dtype,
    Nodata,
    Pixels,
    check_pixel_type,
    dtype_of_code,
    is_nodata,
    nodata_per_band,
    pixel_code,
)

HEADER_BYTES = 61
MAX_SIDE_PX = 65535
_HEADER_LITTLE = struct.Struct("<BHHddddddiHH")
_HEADER_BIG = struct.Struct(">BHHddddddiHH")
_OUT_DB = 0x80
_HAS_NODATA = 0x40
_ALL_NODATA = 0x20
_TYPE_BITS = 0x0F


@dataclass(frozen=True)
class Tile:
    """A decoded tile.

    Attributes:
        pixels: array (bands, height, width) of native byte order; read-only when it views the bytes.
        srid: EPSG code of the grid, 0 when unknown.
        origin_x, origin_y: upper left corner of the upper left pixel, in units of the CRS.
        resolution_x, resolution_y: pixel size in units of the CRS, both positive (north-up).
        nodata: nodata value of each band, None where the band has none.

    """

    pixels: Pixels
    srid: int
    origin_x: float
    origin_y: float
    resolution_x: float
    resolution_y: float
    nodata: tuple[Nodata, ...]


def tile_bytes(band_count: int, height: int, width: int, dtype: Dtype) -> int:
    """Length in bytes of the raster WKB of a tile."""
    return HEADER_BYTES + band_count * (1 + dtype.itemsize + height * width * dtype.itemsize)


def encode_header(
    *,
    band_count: int,
    height: int,
    width: int,
    srid: int,
    origin_x: float,
    origin_y: float,
    resolution_x: float,
    resolution_y: float,
) -> bytes:
    """The 61 bytes before the first band; with ``band_count`` 0 a whole raster without bands."""
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise UsageError(f"a tile of {height} x {width} px cannot be stored: sides are 1 to {MAX_SIDE_PX} px")
    return _HEADER_LITTLE.pack(
        1, 0, band_count, resolution_x, -resolution_y, origin_x, origin_y, 0.0, 0.0, srid, width, height
    )


def band_prefixes(
    nodata: Sequence[Nodata], all_nodata: Sequence[bool], dtype: Dtype
) -> npt.NDArray[np.uint8]:
    """Flags, pixel type and nodata value of each band: uint8 array (bands, 1 + bytes per pixel)."""
    prefixes = np.zeros((len(nodata), 1 + dtype.itemsize), dtype=np.uint8)
    prefixes[:, 0] = pixel_code(dtype)
    for band, (value, is_empty) in enumerate(zip(nodata, all_nodata, strict=True)):
        if value is not None:
            prefixes[band, 0] |= _HAS_NODATA | (_ALL_NODATA if is_empty else 0)
            prefixes[band, 1:] = np.array([value], dtype.newbyteorder("<")).view(np.uint8)
    return prefixes


def bands_all_nodata(pixels: Pixels, nodata: Sequence[Nodata]) -> tuple[bool, ...]:
    """For each band whether every pixel is nodata; pixels (bands, height, width)."""
    # The first pixel decides nearly always: comparing every tile would cost as much as encoding it.
    return tuple(
        value is not None
        and bool(is_nodata(band[:1, :1], value)[0, 0])
        and bool(is_nodata(band, value).all())
        for band, value in zip(pixels, nodata, strict=True)
    )


def encode_tile(
    pixels: Pixels,
    *,
    srid: int,
    origin_x: float,
    origin_y: float,
    resolution_x: float,
    resolution_y: float,
    nodata: Nodata | Sequence[Nodata] = None,
) -> bytes:
    """Encode a tile as PostGIS raster WKB, the argument of ``ST_RastFromWKB``.

    Args:
        pixels: array (bands, height, width), sides 1 to 65535 px.
        srid: EPSG code of the CRS.
        origin_x: x of the upper left corner, in units of the CRS.
        origin_y: y of the upper left corner, in units of the CRS.
        resolution_x: width of a pixel, positive, in units of the CRS.
        resolution_y: height of a pixel, positive, in units of the CRS.
        nodata: one value for all bands, one per band, or None.

    Raises:
        UsageError: a pixel type, size or nodata value that cannot be stored.

    """
    if pixels.ndim != 3 or pixels.shape[0] == 0:
        raise UsageError(
            f"a tile is an array (bands, height, width) with a band or more, got shape {pixels.shape}"
        )
    dtype = check_pixel_type(pixels.dtype)
    band_count, height, width = pixels.shape
    values = nodata_per_band(nodata, band_count, dtype)
    header = encode_header(
        band_count=band_count,
        height=height,
        width=width,
        srid=srid,
        origin_x=origin_x,
        origin_y=origin_y,
        resolution_x=resolution_x,
        resolution_y=resolution_y,
    )
    stored = np.empty(tile_bytes(band_count, height, width, dtype), dtype=np.uint8)
    stored[:HEADER_BYTES] = np.frombuffer(header, np.uint8)
    bands = stored[HEADER_BYTES:].reshape(band_count, -1)
    bands[:, : 1 + dtype.itemsize] = band_prefixes(values, bands_all_nodata(pixels, values), dtype)
    little = np.ascontiguousarray(pixels, dtype=dtype.newbyteorder("<"))
    bands[:, 1 + dtype.itemsize :] = little.view(np.uint8).reshape(band_count, -1)
    return stored.tobytes()


def decode_tile(wkb: bytes | bytearray | memoryview) -> Tile:
    """Decode PostGIS raster WKB, the result of ``ST_AsBinary(rast)``.

    Returns:
        The tile; its pixels view ``wkb`` without a copy where the byte order is the machine's own.

    Raises:
        ValueError: truncated or surplus bytes, an unknown version or pixel type, bands of different types,
            no bands, a band stored outside the database, a rotated or south-up grid.

    """
    header = _HEADER_LITTLE if len(wkb) > 0 and wkb[0] == 1 else _HEADER_BIG
    if len(wkb) < HEADER_BYTES:
        raise ValueError(f"raster WKB is truncated: {len(wkb)} bytes, the header alone has {HEADER_BYTES}")
    if wkb[0] not in (0, 1):
        raise ValueError(f"raster WKB begins with endianness {wkb[0]}, expected 0 or 1")
    order: Literal["<", ">"] = "<" if wkb[0] == 1 else ">"
    (_, version, band_count, scale_x, scale_y, origin_x, origin_y, skew_x, skew_y, srid, width, height) = (
        header.unpack_from(wkb)
    )
    if version != 0:
        raise ValueError(f"raster WKB has version {version}, only version 0 is known")
    if skew_x != 0 or skew_y != 0 or scale_x <= 0 or scale_y >= 0:
        raise ValueError(f"raster is not north-up: scale {scale_x}, {scale_y}, skew {skew_x}, {skew_y}")
    if band_count == 0:
        raise ValueError("raster has no bands")
    dtype, nodata = _read_bands(wkb, band_count, height, width, order)
    stored = np.frombuffer(wkb, np.uint8, offset=HEADER_BYTES).reshape(band_count, -1)
    values = stored[:, 1 + dtype.itemsize :]
    # Bands begin at odd offsets, so the view is unaligned; numpy copies from it at full speed all the same.
    pixels = np.ndarray(
        (band_count, height, width),
        dtype.newbyteorder(order),
        buffer=wkb,
        offset=HEADER_BYTES + 1 + dtype.itemsize,
        strides=(values.strides[0], width * dtype.itemsize, dtype.itemsize),
    )
    if not pixels.dtype.isnative:
        pixels = pixels.astype(dtype)
    return Tile(pixels, srid, origin_x, origin_y, scale_x, -scale_y, nodata)


def _read_bands(
    wkb: bytes | bytearray | memoryview, band_count: int, height: int, width: int, order: Literal["<", ">"]
) -> tuple[Dtype, tuple[Nodata, ...]]:
    """Pixel type and nodata values of all bands, after checking that every band is there and alike."""
    if len(wkb) == HEADER_BYTES:
        raise ValueError(f"raster WKB is truncated: {band_count} bands announced, none present")
    dtype = dtype_of_code(wkb[HEADER_BYTES] & _TYPE_BITS)
    band_bytes = 1 + dtype.itemsize * (1 + height * width)
    nodata: list[Nodata] = []
    for band in range(band_count):
        start = HEADER_BYTES + band * band_bytes
        if start + 1 + dtype.itemsize > len(wkb):
            raise ValueError(f"raster WKB is truncated: band {band + 1} of {band_count} is missing")
        flags = wkb[start]
        if flags & _OUT_DB:
            raise ValueError(
                f"band {band + 1} is stored outside the database (out-db), which is not supported"
            )
        if dtype_of_code(flags & _TYPE_BITS) != dtype:
            raise ValueError(
                f"band {band + 1} has another pixel type than band 1: one array cannot hold both"
            )
        value = np.frombuffer(wkb, dtype.newbyteorder(order), 1, start + 1)[0]
        nodata.append(float(value) if flags & _HAS_NODATA else None)
    expected = HEADER_BYTES + band_count * band_bytes
    if len(wkb) != expected:
        what = "truncated" if len(wkb) < expected else "too long"
        raise ValueError(f"raster WKB is {what}: {len(wkb)} bytes, expected {expected}")
    return dtype, tuple(nodata)
