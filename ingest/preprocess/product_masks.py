"""Masks that come with products, in one code.

Sources: ESA, Sentinel-2 Products Specification Document (scene classification, MSK_CLASSI); USGS, Landsat 8-9
Collection 2 Level 2 Science Product Guide (QA_PIXEL).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.products.product import MaskKind

CLEAR, CLOUD, SHADOW, SNOW, NODATA = range(5)

_SCL_NODATA, _SCL_SHADOW, _SCL_SNOW = 0, 3, 11
_SCL_CLOUD = (8, 9, 10)
"""Medium and high probability, and cirrus."""

_QA_FILL, _QA_DILATED, _QA_CIRRUS, _QA_CLOUD, _QA_SHADOW, _QA_SNOW = range(6)

Codes = npt.NDArray[np.uint8]


def decode_mask(kind: MaskKind, values: npt.NDArray[Any]) -> Codes:
    """Decode a product's own mask.

    Args:
        kind: what the values mean.
        values: the mask (height, width); for "sentinel2_classification" three bands of it (opaque cloud,
            cirrus, snow).

    Returns:
        CLEAR, CLOUD, SHADOW, SNOW or NODATA (height, width).

    Raises:
        ValueError: the array has not the shape of its kind, holds no whole numbers, or the kind is not known.

    """
    wanted = 3 if kind == "sentinel2_classification" else 2
    if values.ndim != wanted or (wanted == 3 and len(values) != 3):
        raise ValueError(f"a mask of kind {kind} does not have the shape {values.shape}")
    if values.dtype.kind not in "ui":
        raise ValueError(f"a mask holds whole numbers, not {values.dtype}")
    codes = np.full(values.shape[-2:], CLEAR, np.uint8)
    if kind == "sentinel2_scl":
        codes[values == _SCL_SNOW] = SNOW
        codes[values == _SCL_SHADOW] = SHADOW
        codes[np.isin(values, _SCL_CLOUD)] = CLOUD
        codes[values == _SCL_NODATA] = NODATA
    elif kind == "sentinel2_classification":
        codes[values[2] > 0] = SNOW
        codes[(values[0] > 0) | (values[1] > 0)] = CLOUD
    elif kind == "landsat_qa_pixel":

        def has(bit: int) -> npt.NDArray[np.bool_]:
            return np.asarray((values >> bit) & 1, dtype=np.bool_)

        codes[has(_QA_SNOW)] = SNOW
        codes[has(_QA_SHADOW)] = SHADOW
        codes[has(_QA_CLOUD) | has(_QA_DILATED) | has(_QA_CIRRUS)] = CLOUD
        codes[has(_QA_FILL)] = NODATA
    elif kind == "cloud_mask":
        codes[values != 0] = CLOUD
    else:
        raise ValueError(f"masks of kind {kind} are not known")
    return codes
