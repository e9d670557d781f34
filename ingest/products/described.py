"""Any GeoTIFF with a small TOML file of the same name beside it, which says what the file cannot.

Two ways to say what stored values mean, as data centres have two: ``scale`` and ``offset`` for value =
(stored + offset) * scale, ``gain`` and ``bias`` for value = gain * stored + bias. They are not mixed.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath
from typing import Any, get_args

from rasterio.rpc import RPC

from db.errors import UsageError
from ingest.declaration import SENTINEL2_OFFSET_SINCE, SENTINEL2_SCALE
from ingest.files import SourceFile
from ingest.opening import open_raster, reading
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Level, Mask, Part, Product
from ingest.products.rpb import read_rpb
from ingest.products.side_files import package_files, read_text

LARGEST_WHOLE, LONGEST_TEXT = 10**15, 200
_IMAGES = (".tif", ".tiff", ".TIF", ".TIFF", ".jp2")
LEVELS: tuple[Level, ...] = get_args(Level)

_KEYS: dict[str, tuple[type, ...]] = {
    "sensor": (str,),
    "camera": (str,),
    "acquired": (datetime, date),
    "product": (str,),
    "level": (str,),
    "offset": (int, float),
    "scale": (int, float),
    "gain": (int, float),
    "bias": (int, float),
    "nodata": (int, float),
    "resolution_m": (int, float),
    "sun_azimuth_deg": (int, float),
    "sun_elevation_deg": (int, float),
    "view_zenith_deg": (int, float),
    "view_azimuth_deg": (int, float),
    "cloud_percent": (int, float),
    "cloud_mask": (str,),
    "rpb": (str,),
    "bands": (list,),
}
_BAND_KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "common_name": (str,),
    "center_nm": (int, float),
    "width_nm": (int, float),
    "offset": (int, float),
    "scale": (int, float),
    "gain": (int, float),
    "bias": (int, float),
    "esun": (int, float),
    "fault": (str,),
}


_WORDS: dict[type, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    datetime: "date with time",
    date: "date",
    list: "list",
}
_ABOVE_0 = ("scale", "gain", "resolution_m", "center_nm", "width_nm", "esun")
_SENTINEL2 = "sentinel2_msi"


def find(package: Package) -> list[str]:
    """TOML files with an image of the same name beside them."""
    return [path for path in package.files if path.endswith(".toml") and _image(package, path) is not None]


def read(package: Package, path: str) -> Product:
    """Read a description.

    Args:
        package: the package.
        path: the TOML file.

    Raises:
        UsageError: a key is not known or missing, or a value cannot be right.

    """
    name = PurePosixPath(path).name
    said = _parsed(package.files[path])
    _check(said, _KEYS, name)
    image = _image(package, path)
    if image is None:
        raise UsageError(f"{name}: there is no GeoTIFF of the same name beside it")
    file = package.files[image]
    if file.size_bytes == 0:
        raise UsageError(f"{file.name}: the image is empty (0 bytes); get it anew")
    sensor = _needed(said, "sensor", name)
    acquired_at = _moment(said, name)
    level = _level(said, name)
    used = [path, image]
    rpc, polynomials = _polynomials(package, said, path)
    used += polynomials
    with open_raster(file) as dataset, reading(file):
        count, size = dataset.count, (dataset.width, dataset.height)
        is_placed = dataset.crs is not None and not dataset.transform.is_identity
        own_pixel_m = abs(float(dataset.transform.a))
        own_rpc = dataset.rpcs
        is_float = dataset.dtypes[0].startswith("float")
    if rpc is None and not is_placed:
        rpc = own_rpc  # those of an orthorectified image are left over, and wrong
    if rpc is None and not is_placed:
        raise UsageError(
            f"{file.name}: is neither georeferenced nor has it rational polynomials; name "
            f"them with rpb in {name}"
        )
    layers = _layers(said, file, count, _usual(said, acquired_at, name, is_float=is_float), name)
    masks: tuple[Mask, ...] = ()
    if "cloud_mask" in said:
        mask = _beside(package, path, str(said["cloud_mask"]))
        if package.files[mask].size_bytes == 0:
            raise UsageError(f"{mask}: the mask is empty (0 bytes); get it anew")
        masks = (Mask("cloud_mask", package.files[mask]),)
        used.append(mask)
    cloud = said.get("cloud_percent")
    if cloud is not None and not 0 <= cloud <= 100:
        raise UsageError(f"{name}: cloud_percent is {cloud}, not 0 to 100")
    part = Part(
        role="multispectral",
        sensor=sensor,
        camera=str(said.get("camera", "")),
        level=level,
        layers=layers,
        width_px=size[0],
        height_px=size[1],
        resolution_m=_resolution(said, None if rpc is not None else own_pixel_m, name),
        rpc=rpc,
        nodata=None if "nodata" not in said else float(said["nodata"]),
    )
    return Product(
        family="described",
        name=str(said.get("product", PurePosixPath(image).stem)),
        acquired_at=acquired_at,
        parts=(part,),
        masks=masks,
        sun_azimuth_deg=_angle(said, "sun_azimuth_deg", 360.0, name),
        sun_elevation_deg=_angle(said, "sun_elevation_deg", 90.0, name),
        view_zenith_deg=_angle(said, "view_zenith_deg", 90.0, name),
        view_azimuth_deg=_angle(said, "view_azimuth_deg", 360.0, name),
        cloud_fraction=None if cloud is None else float(cloud) / 100,
        files=package_files(package, used),
        notes=_notes(said, level),
    )


def _parsed(file: SourceFile) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file.name}: is no TOML: {error}") from None


def _check(said: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], name: str) -> None:
    for key, value in said.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
            raise UsageError(f"{name}: {key} is not known{hint}")
        if not isinstance(value, known[key]) or (isinstance(value, bool) and bool not in known[key]):
            raise UsageError(
                f"{name}: {key} is {value!r}, not a {' or '.join(_WORDS[kind] for kind in known[key])}"
            )
        if isinstance(value, float) and not math.isfinite(value) and key != "nodata":
            raise UsageError(f"{name}: {key} is {value}, not a finite number")
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise UsageError(f"{name}: {key} has too many digits")
        if isinstance(value, str) and (not value.isprintable() or len(value) > LONGEST_TEXT):
            raise UsageError(f"{name}: {key} holds characters that cannot be printed, or too many")
        if isinstance(value, str) and not value.strip() and key != "camera":
            raise UsageError(f"{name}: {key} is empty")
        if key in _ABOVE_0 and isinstance(value, int | float) and not value > 0:
            raise UsageError(f"{name}: {key} is {value:g}; it must be above 0")


def _needed(said: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in said:
        raise UsageError(f"{name}: {key} is missing; a description needs sensor, acquired and level")
    return said[key]


def _image(package: Package, path: str) -> str | None:
    stem = path[: -len(".toml")]
    return next((stem + ending for ending in _IMAGES if stem + ending in package.files), None)


def _beside(package: Package, path: str, named: str) -> str:
    place = str(PurePosixPath(path).parent / named)
    if place not in package.files or ".." in PurePosixPath(named).parts:
        raise UsageError(f"{PurePosixPath(path).name}: the file {named!r} does not lie beside it")
    return place


def _polynomials(package: Package, said: Mapping[str, Any], path: str) -> tuple[RPC | None, list[str]]:
    if "rpb" not in said:
        return None, []
    place = _beside(package, path, str(said["rpb"]))
    return read_rpb(package.files[place]), [place]


def _layers(
    said: Mapping[str, Any], file: SourceFile, count: int, usual: tuple[float, float], name: str
) -> tuple[Layer, ...]:
    whole = _meaning(said, usual, name)
    listed = said.get("bands")
    if listed is None:
        raise UsageError(f"{name}: bands is missing: list the names of the file's {count} bands in order")
    if len(listed) != count:
        raise UsageError(f"{name}: lists {len(listed)} bands, the image has {count}")
    layers = []
    for place, each in enumerate(listed, 1):
        fields = {"name": each} if isinstance(each, str) else each
        if not isinstance(fields, Mapping) or "name" not in fields:
            raise UsageError(f"{name}: band {place} is {each!r}, not a name or a table with a name")
        _check(fields, _BAND_KEYS, f"{name}, band {place}")
        band = Band(
            str(fields["name"]),
            fields.get("common_name"),
            _float(fields.get("center_nm")),
            _float(fields.get("width_nm")),
            fields.get("fault"),
        )
        offset, scale = _meaning(fields, whole, f"{name}, band {place}")
        layers.append(Layer(band, (file,), place, offset, scale, _float(fields.get("esun"))))
    names = [layer.band.name for layer in layers]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise UsageError(f"{name}: has two bands of the name {twice}")
    return tuple(layers)


def _meaning(fields: Mapping[str, Any], otherwise: tuple[float, float], name: str) -> tuple[float, float]:
    """Offset and scale of (stored + offset) * scale; what a band leaves out holds as for the whole file."""
    offset, scale = otherwise
    if "gain" in fields or "bias" in fields:
        if "scale" in fields or "offset" in fields or "gain" not in fields:
            raise UsageError(
                f"{name}: state gain with bias (value = gain * stored + bias) or scale with offset (value = "
                "(stored + offset) * scale), not parts of both"
            )
        return float(fields.get("bias", 0.0)) / float(fields["gain"]), float(fields["gain"])
    return float(fields.get("offset", offset)), float(fields.get("scale", scale))


def _usual(
    said: Mapping[str, Any], acquired_at: datetime, name: str, *, is_float: bool
) -> tuple[float, float]:
    """Offset and scale where none are stated: values as stored, and reflectance * 10,000 for Sentinel-2.

    Raises:
        UsageError: whether a Sentinel-2 image carries an offset is not stated, and it may.

    """
    if said["sensor"] != _SENTINEL2 or is_float:
        return 0.0, 1.0
    fields = [said, *(band for band in said.get("bands", ()) if isinstance(band, Mapping))]
    if acquired_at.date() >= SENTINEL2_OFFSET_SINCE and not any(
        key in each for each in fields for key in ("offset", "bias")
    ):
        raise UsageError(
            f"{name}: offset is missing: Sentinel-2 values are shifted since {SENTINEL2_OFFSET_SINCE}; state "
            "offset = -1000, or offset = 0 when it was taken out"
        )
    return 0.0, SENTINEL2_SCALE


def _level(said: Mapping[str, Any], name: str) -> Level:
    if "level" not in said and said["sensor"] == _SENTINEL2:
        return "surface_reflectance"
    stated = _needed(said, "level", name)
    for level in LEVELS:
        if stated == level:
            return level
    raise UsageError(f"{name}: level {stated!r} is not known; there are: {', '.join(LEVELS)}")


def _resolution(said: Mapping[str, Any], own_pixel_m: float | None, name: str) -> float:
    """Pixel size: the file's own where it is georeferenced, else the stated one."""
    stated = said.get("resolution_m")
    if own_pixel_m is None:
        if stated is None:
            raise UsageError(f"{name}: an image in sensor geometry needs its pixel size: state resolution_m")
        return float(stated)
    if stated is not None and abs(stated - own_pixel_m) > 1e-3 * own_pixel_m:
        raise UsageError(
            f"{name}: resolution_m is {stated:g}, and the image's own pixels have {own_pixel_m:g}"
        )
    return own_pixel_m


def _notes(said: Mapping[str, Any], level: Level) -> tuple[str, ...]:
    notes = []
    if not isinstance(said["acquired"], datetime):
        notes.append("the time of acquisition is not stated: noon UTC stands for it")
    if "level" not in said:
        notes.append(f"the level is not stated: taken as {level}")
    return tuple(notes)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _angle(said: Mapping[str, Any], key: str, most: float, name: str) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if not 0 <= value <= most:
        raise UsageError(f"{name}: {key} is {value}, not 0 to {most:g}")
    return float(value)


def _moment(said: Mapping[str, Any], name: str) -> datetime:
    stated = _needed(said, "acquired", name)
    if isinstance(stated, datetime):
        if stated.tzinfo is None:
            raise UsageError(f"{name}: acquired needs a time zone: write {stated.isoformat()}Z for UTC")
        try:
            return stated.astimezone(UTC)
        except OverflowError:
            raise UsageError(f"{name}: acquired is {stated.isoformat()}, which cannot be") from None
    return datetime.combine(stated, time(12), tzinfo=UTC)
