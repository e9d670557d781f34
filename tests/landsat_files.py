"""Small Landsat 8/9 Collection 2 products: GeoTIFFs and metadata as USGS writes them, in its three forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from tests.ingest_files import write_tiff

Pixels = npt.NDArray[Any]
Groups = dict[str, dict[str, str]]

# South of the equator, where Landsat keeps to the northern zone and counts northings below 0.
EPSG, WEST, NORTH = 32619, 528_285.0, -1_482_285.0
HEIGHT, WIDTH = 20, 34
SUN_ELEVATION = 30.0
QA_CLEAR, QA_CLOUD = 21824, 22280


def stored(band: int) -> Pixels:
    """Stored values of a band (height, width); band 8 is twice as fine. Its upper left pixel has no data."""
    step = 2 if band == 8 else 1
    row, col = np.mgrid[: HEIGHT * step, : WIDTH * step]
    pixels = np.asarray(8000 + 1000 * band + 5 * row + col, np.uint16)
    pixels[0, 0] = 0
    return pixels


def write_landsat(
    folder: Path,
    level: str = "L1TP",
    *,
    craft: str = "9",
    forms: Sequence[str] = ("xml", "json", "txt"),
    change: Mapping[tuple[str, str], str | None] | None = None,
) -> str:
    """A product; the metadata of Level 2 repeat those of Level 1, as the real ones do.

    Args:
        folder: where its files go.
        level: processing level.
        craft: number of the satellite.
        forms: endings of the metadata files.
        change: values by (group, key) that differ; None takes one out.

    Returns:
        Name of the product.

    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"LC0{craft}_{level}_001070_20220114_20220830_02_T1"
    first = f"LC0{craft}_L1TP_001070_20220114_20220830_02_T1"
    is_surface = level.startswith("L2")
    bands = range(1, 8) if is_surface else range(1, 10)
    prefix = "SR_" if is_surface else ""
    contents = {
        "LANDSAT_PRODUCT_ID": name,
        "PROCESSING_LEVEL": level,
        "COLLECTION_NUMBER": "02",
        "COLLECTION_CATEGORY": "T1",
        **{f"FILE_NAME_BAND_{band}": f"{name}_{prefix}B{band}.TIF" for band in bands},
        "FILE_NAME_QUALITY_L1_PIXEL": f"{name}_QA_PIXEL.TIF",
    }
    groups: Groups = {
        "PRODUCT_CONTENTS": contents,
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f"LANDSAT_{craft}",
            "SENSOR_ID": "OLI_TIRS",
            "WRS_PATH": "1",
            "WRS_ROW": "70",
            "DATE_ACQUIRED": "2022-01-14",
            "SCENE_CENTER_TIME": "14:34:30.4390749Z",
            "CLOUD_COVER": "75.65",
            "ROLL_ANGLE": "-0.001",
            "SUN_AZIMUTH": "-107.5",
            "SUN_ELEVATION": str(SUN_ELEVATION),
        },
        "PROJECTION_ATTRIBUTES": {
            "UTM_ZONE": "19",
            "GRID_CELL_SIZE_REFLECTIVE": "30.00",
            "REFLECTIVE_LINES": str(HEIGHT),
            "REFLECTIVE_SAMPLES": str(WIDTH),
        },
    }
    if is_surface:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = _rescaling(range(1, 8), "2.75e-05", "-0.2")
    else:
        groups["PROJECTION_ATTRIBUTES"] |= {
            "GRID_CELL_SIZE_PANCHROMATIC": "15.00",
            "PANCHROMATIC_LINES": str(2 * HEIGHT),
            "PANCHROMATIC_SAMPLES": str(2 * WIDTH),
        }
    groups["LEVEL1_PROCESSING_RECORD"] = {
        "LANDSAT_SCENE_ID": "LC90010702022014LGN00",
        "LANDSAT_PRODUCT_ID": first,
        "PROCESSING_LEVEL": "L1TP",
        **{f"FILE_NAME_BAND_{band}": f"{first}_B{band}.TIF" for band in range(1, 12)},
    }
    groups["LEVEL1_RADIOMETRIC_RESCALING"] = _rescaling(range(1, 10), "2.0000E-05", "-0.100000")
    for (group, key), value in (change or {}).items():
        groups[group].pop(key, None)
        if value is not None:
            groups[group][key] = value
    for form in forms:
        (folder / f"{name}_MTL.{form}").write_text(_written(groups, form))
    for band in bands:
        size = 15.0 if band == 8 else 30.0
        place = Affine(size, 0.0, WEST, 0.0, -size, NORTH)
        path = folder / f"{name}_{prefix}B{band}.TIF"
        write_tiff(path, stored(band)[None], crs=f"EPSG:{EPSG}", transform=place, compress="deflate")
    quality = np.full((1, HEIGHT, WIDTH), QA_CLEAR, np.uint16)
    quality[0, 3:6, 10:14] = QA_CLOUD
    place = Affine(30.0, 0.0, WEST, 0.0, -30.0, NORTH)
    write_tiff(folder / f"{name}_QA_PIXEL.TIF", quality, crs=f"EPSG:{EPSG}", transform=place)
    return name


def _rescaling(bands: range, gain: str, added: str) -> dict[str, str]:
    return {
        **{f"REFLECTANCE_MULT_BAND_{band}": gain for band in bands},
        **{f"REFLECTANCE_ADD_BAND_{band}": added for band in bands},
    }


def _written(groups: Groups, form: str) -> str:
    if form == "json":
        return json.dumps({"LANDSAT_METADATA_FILE": groups})
    if form == "xml":
        inner = "".join(
            f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in values.items())}</{group}>"
            for group, values in groups.items()
        )
        return f'<?xml version="1.0"?>\n<LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, values in groups.items():
        is_number = {key: value.replace(".", "").lstrip("-").isdigit() for key, value in values.items()}
        lines += [f"  GROUP = {group}"]
        lines += [
            "    " + key + " = " + (value if is_number[key] else f'"{value}"')
            for key, value in values.items()
        ]
        lines += [f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])
