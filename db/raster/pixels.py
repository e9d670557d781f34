"""Pixel types of PostGIS raster and the numpy types they correspond to.

Only the types that QGIS can show are written and read (8BUI, 16BUI, 16BSI, 32BUI, 32BSI, 32BF, 64BF);
1BB, 2BUI, 4BUI and 8BSI exist in PostGIS but QGIS refuses them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

Dtype = np.dtype[Any]
Pixels = npt.NDArray[Any]
Nodata = float | None

# Codes of the low four bits of a band's first byte (PostGIS RFC 2, raster WKB version 0).
_CODES: dict[str, int] = {
    "uint8": 4,
    "int16": 5,
    "uint16": 6,
    "int32": 7,
    "uint32": 8,
    "float32": 10,
    "float64": 11,
}
_DTYPES: dict[int, Dtype] = {code: np.dtype(name) for name, code in _CODES.items()}
_POSTGIS_NAMES: dict[str, str] = {
    "8BUI": "uint8",
    "16BSI": "int16",
    "16BUI": "uint16",
    "32BSI": "int32",
    "32BUI": "uint32",
    "32BF": "float32",
    "64BF": "float64",
}
_UNSHOWABLE: dict[int, str] = {0: "1BB", 1: "2BUI", 2: "4BUI", 3: "8BSI"}
_WIDER: dict[str, str] = {
    "bool": "uint8",
    "int8": "int16",
    "int64": "int32 (or float64 for values beyond it)",
    "uint64": "uint32 (or float64 for values beyond it)",
    "float16": "float32",
}


def check_pixel_type(dtype: npt.DTypeLike) -> Dtype:
    """Return the native numpy dtype of a pixel type that can be stored.

    Raises:
        UsageError: the type has no counterpart that QGIS can show; the message names the type to convert to.

    """
    native = np.dtype(dtype).newbyteorder("=")
    if native.name in _CODES:
        return native
    advice = _WIDER.get(native.name, "one of " + ", ".join(_CODES))
    raise UsageError(f"pixels of type {native.name} cannot be stored: convert them to {advice}")


def pixel_code(dtype: Dtype) -> int:
    """Code of a pixel type in raster WKB; UsageError as ``check_pixel_type``."""
    return _CODES[check_pixel_type(dtype).name]


def dtype_of_code(code: int) -> Dtype:
    """Numpy type of a pixel code found in raster WKB; ValueError when it is unknown or not supported."""
    if code in _DTYPES:
        return _DTYPES[code]
    if code in _UNSHOWABLE:
        raise ValueError(f"raster WKB has pixel type {_UNSHOWABLE[code]}, which is not supported")
    raise ValueError(f"raster WKB has unknown pixel type code {code}")


def dtype_of_postgis_name(name: str) -> Dtype:
    """Numpy type of a PostGIS pixel type name such as ``16BUI``; UsageError when it is not supported."""
    if name not in _POSTGIS_NAMES:
        raise UsageError(f"pixel type {name} is not supported: only {', '.join(_POSTGIS_NAMES)} are")
    return np.dtype(_POSTGIS_NAMES[name])


def nodata_per_band(nodata: Nodata | Sequence[Nodata], band_count: int, dtype: Dtype) -> tuple[Nodata, ...]:
    """One nodata value, or None, for each band, as the pixel type holds it.

    Args:
        nodata: one value for all bands, None for no nodata, or one entry per band.
        band_count: number of bands.
        dtype: pixel type.

    Raises:
        UsageError: a wrong number of values, or a value that no pixel of this type can have.

    """
    values = (nodata,) * band_count if nodata is None or isinstance(nodata, (int, float)) else tuple(nodata)
    if len(values) != band_count:
        raise UsageError(
            f"{len(values)} nodata values were given for {band_count} bands: give one or {band_count}"
        )
    return tuple(None if value is None else _nodata_of_type(float(value), dtype) for value in values)


def _nodata_of_type(value: float, dtype: Dtype) -> float:
    if np.issubdtype(dtype, np.floating):
        with np.errstate(over="ignore"):
            held = float(dtype.type(value))
        if math.isinf(held) and not math.isinf(value):
            raise UsageError(f"nodata {value} does not fit {dtype.name}: choose a value in its range")
        return held
    limits = np.iinfo(dtype)
    if not (value.is_integer() and limits.min <= value <= limits.max):
        raise UsageError(
            f"nodata {value} cannot occur in {dtype.name} pixels ({limits.min} to {limits.max}): "
            "choose a value in that range, or none"
        )
    return value


def is_nodata(pixels: Pixels, nodata: float) -> npt.NDArray[np.bool_]:
    """Where pixels equal nodata; a NaN nodata matches NaN."""
    if math.isnan(nodata):
        return np.isnan(pixels)
    result: npt.NDArray[np.bool_] = pixels == pixels.dtype.type(nodata)
    return result
