"""Landsat 8 and 9, Collection 2: Level 1 (L1TP, L1GT, L1GS) and Level 2 surface reflectance (L2SP, L2SR).

Sources: USGS, Landsat 8-9 Collection 2 Level 1 and Level 2 Data Format Control Books; USGS, Using the USGS
Landsat Level-1 Data Product: reflectance at the top of the atmosphere is (REFLECTANCE_MULT * stored +
REFLECTANCE_ADD) / sin(SUN_ELEVATION). Stored 0 means no data.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import Any

from db.errors import UsageError
from ingest.products.landsat_metadata import Metadata, is_metadata, read_metadata
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Level, Mask, Part, Product, Role
from ingest.products.sentinel2_granule import utc
from ingest.products.side_files import package_files

NODATA = 0.0
OLI_BANDS = (
    Band("B1", "coastal", 443.0, 16.0),
    Band("B2", "blue", 482.0, 60.0),
    Band("B3", "green", 561.4, 57.3),
    Band("B4", "red", 654.6, 37.5),
    Band("B5", "nir08", 864.7, 28.3),
    Band("B6", "swir16", 1608.9, 84.7),
    Band("B7", "swir22", 2200.7, 186.7),
    Band("B9", "cirrus", 1373.4, 20.4),
)
_PAN = Band("B8", "pan", 589.5, 172.4)
_CRAFTS = {"LANDSAT_8": "landsat8", "LANDSAT_9": "landsat9"}
_FORMS = ("xml", "json", "txt")
_SIDE_FILE = re.compile(r"(.*)_MTL\.(xml|json|txt)", re.IGNORECASE)
_OWN_NAME = re.compile(r"L[CO]0[89]_L[12]", re.IGNORECASE)
_ORBIT_M, _EARTH_M = 705_000.0, 6_371_000.0
_STRAIGHT_DEG = 0.5

_CONTENTS, _IMAGE, _GRID = "PRODUCT_CONTENTS", "IMAGE_ATTRIBUTES", "PROJECTION_ATTRIBUTES"
_SURFACE, _RESCALING = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "LEVEL1_RADIOMETRIC_RESCALING"


def find(package: Package) -> list[str]:
    """Products of this family, each as the path of one of its MTL files.

    It is the one that the user named, else XML before JSON before text.
    """
    found: dict[str, tuple[tuple[bool, bool, int], str]] = {}
    for path, file in package.files.items():
        match = _SIDE_FILE.fullmatch(path)
        if match is None or not (is_metadata(file) or _OWN_NAME.match(file.name)):
            continue
        # An empty or damaged form only counts where there is no other, for ``read`` to refuse.
        rank = (path != package.named, not is_metadata(file), _FORMS.index(match.group(2).lower()))
        found[match.group(1)] = min(found.get(match.group(1), (rank, path)), (rank, path))
    return [path for _, path in found.values()]


def read(package: Package, path: str) -> Product:
    """Read a product.

    Args:
        package: the package.
        path: one of those that ``find`` lists.

    Raises:
        UsageError: it is of another satellite or collection, at night, or a band or value is missing or
            wrong.

    """
    stated = read_metadata(package.files[path])
    sensor, processing, level = _kind(stated)
    elevation = stated.number(_IMAGE, "SUN_ELEVATION")
    azimuth = stated.number(_IMAGE, "SUN_AZIMUTH")
    if not -90 <= elevation <= 90 or abs(azimuth) > 360:
        raise UsageError(f"{stated.name}: a sun at elevation {elevation:g}, azimuth {azimuth:g} cannot be")
    if level == "toa_reflectance" and elevation <= 0:
        raise UsageError(
            f"{stated.name}: the sun stood {elevation:g} degrees high; at night there is no reflectance"
        )
    names: list[str] = []
    bands = [band for band in OLI_BANDS if level == "toa_reflectance" or band.name != "B9"]
    layers = tuple(_layer(package, path, stated, band, level, elevation, names) for band in bands)
    parts = [_part("multispectral", f"{sensor}_oli", level, layers, stated, "REFLECTIVE", 30.0)]
    if level == "toa_reflectance":
        pan = _layer(package, path, stated, _PAN, level, elevation, names)
        parts.append(_part("panchromatic", f"{sensor}_pan", level, (pan,), stated, "PANCHROMATIC", 15.0))
    quality = _beside(package, path, stated, "FILE_NAME_QUALITY_L1_PIXEL")
    zenith, notes = _view(stated, processing)
    cloud = stated.optional_number(_IMAGE, "CLOUD_COVER")
    time = f"{stated.required(_IMAGE, 'DATE_ACQUIRED')}T{stated.required(_IMAGE, 'SCENE_CENTER_TIME')}"
    return Product(
        family="landsat",
        name=stated.required(_CONTENTS, "LANDSAT_PRODUCT_ID"),
        acquired_at=utc(time, "DATE_ACQUIRED and SCENE_CENTER_TIME", stated.name),
        parts=tuple(parts),
        masks=(Mask("landsat_qa_pixel", package.files[quality]),),
        sun_azimuth_deg=azimuth % 360.0,
        sun_elevation_deg=elevation,
        view_zenith_deg=zenith,
        cloud_fraction=None if cloud is None or not 0 <= cloud <= 100 else cloud / 100,
        metadata=_metadata(stated, processing),
        files=package_files(package, [path, *names, quality]),
        notes=notes,
    )


def _kind(stated: Metadata) -> tuple[str, str, Level]:
    """Key of the satellite, processing level as stated, and what the values are."""
    craft = stated.required(_IMAGE, "SPACECRAFT_ID")
    if craft not in _CRAFTS:
        raise UsageError(f"{stated.name}: is of {craft}; Landsat 8 and 9 are read")
    if "OLI" not in stated.required(_IMAGE, "SENSOR_ID"):
        raise UsageError(f"{stated.name}: holds thermal bands only; fetch a scene of OLI")
    collection = stated.required(_CONTENTS, "COLLECTION_NUMBER")
    if collection.lstrip("0") != "2":
        raise UsageError(f"{stated.name}: is of Collection {collection}; Collection 2 is read")
    processing = stated.required(_CONTENTS, "PROCESSING_LEVEL")
    if processing in ("L2SP", "L2SR"):
        return _CRAFTS[craft], processing, "surface_reflectance"
    if processing in ("L1TP", "L1GT", "L1GS"):
        return _CRAFTS[craft], processing, "toa_reflectance"
    raise UsageError(
        f"{stated.name}: its level {processing} is not read; L1TP, L1GT, L1GS, L2SP and L2SR are"
    )


def _beside(package: Package, path: str, stated: Metadata, key: str) -> str:
    """Path in the package of a file that the metadata name; it lies beside them.

    Raises:
        UsageError: it is missing or empty.

    """
    name = stated.required(_CONTENTS, key)
    place = str(PurePosixPath(path).parent / name)
    file = package.files.get(place)
    if file is None or "/" in name:
        raise UsageError(
            f"{stated.name}: {name} is missing from {package.name}; the product is not complete, get it anew"
        )
    if file.size_bytes == 0:
        raise UsageError(f"{name}: the image is empty (0 bytes); get the product anew")
    return place


def _layer(
    package: Package,
    path: str,
    stated: Metadata,
    band: Band,
    level: Level,
    sun_elevation_deg: float,
    names: list[str],
) -> Layer:
    """A band with its meaning; the path of its image is added to the names."""
    group = _SURFACE if level == "surface_reflectance" else _RESCALING
    number = band.name[1:]
    place = _beside(package, path, stated, f"FILE_NAME_BAND_{number}")
    gain = stated.number(group, f"REFLECTANCE_MULT_BAND_{number}")
    added = stated.number(group, f"REFLECTANCE_ADD_BAND_{number}")
    if not 0 < gain < 1:
        raise UsageError(f"{stated.name}: REFLECTANCE_MULT_BAND_{number} is {gain:g}, which cannot be")
    names.append(place)
    # The sun's share goes into the scale: (stored + added / gain) * gain / sin(elevation).
    light = 1.0 if level == "surface_reflectance" else math.sin(math.radians(sun_elevation_deg))
    return Layer(band, (package.files[place],), 1, added / gain, gain / light)


def _part(
    role: Role,
    sensor: str,
    level: Level,
    layers: tuple[Layer, ...],
    stated: Metadata,
    kind: str,
    nominal_m: float,
) -> Part:
    width, height = (stated.optional_number(_GRID, f"{kind}_{what}") for what in ("SAMPLES", "LINES"))
    return Part(
        role=role,
        sensor=sensor,
        camera="",
        level=level,
        layers=layers,
        width_px=None if width is None else int(width),
        height_px=None if height is None else int(height),
        resolution_m=stated.optional_number(_GRID, f"GRID_CELL_SIZE_{kind}") or nominal_m,
        nodata=NODATA,
    )


def _view(stated: Metadata, processing: str) -> tuple[float | None, tuple[str, ...]]:
    """Zenith of the sensor at the scene's centre, from the roll of the satellite, and what to tell.

    The roll is an angle at the satellite; on the ground it is wider by the curvature of the Earth.
    """
    notes = ["the thermal bands are left out"]
    if processing in ("L1GT", "L1GS"):
        notes.append(
            f"{processing}: placed without ground control points; may lie tens of metres beside other dates"
        )
    roll = stated.optional_number(_IMAGE, "ROLL_ANGLE")
    if roll is None or abs(roll) > 60:
        return None, tuple(notes)
    if abs(roll) > _STRAIGHT_DEG:
        notes.append(f"taken with the satellite rolled by {roll:g} degrees; to which side is not used")
    sine = min(1.0, (1.0 + _ORBIT_M / _EARTH_M) * math.sin(math.radians(abs(roll))))
    return math.degrees(math.asin(sine)), tuple(notes)


def _metadata(stated: Metadata, processing: str) -> dict[str, Any]:
    keys = {
        "spacecraft": (_IMAGE, "SPACECRAFT_ID"),
        "wrs_path": (_IMAGE, "WRS_PATH"),
        "wrs_row": (_IMAGE, "WRS_ROW"),
        "collection_category": (_CONTENTS, "COLLECTION_CATEGORY"),
        "scene_id": ("LEVEL1_PROCESSING_RECORD", "LANDSAT_SCENE_ID"),
        "roll_angle_deg": (_IMAGE, "ROLL_ANGLE"),
        "earth_sun_distance": (_IMAGE, "EARTH_SUN_DISTANCE"),
        "utm_zone": (_GRID, "UTM_ZONE"),
        "geometric_rmse_m": ("LEVEL1_PROCESSING_RECORD", "GEOMETRIC_RMSE_MODEL"),
    }
    found = {key: stated.text(*place) for key, place in keys.items()}
    return {"processing_level": processing, **{key: value for key, value in found.items() if value}}
