"""Any GeoTIFF with a small TOML file of the same name beside it, which says what the file cannot."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import PurePosixPath
from typing import Any, get_args

from rasterio.rpc import RPC

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.opening import open_raster, reading
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Level, Mask, Part, Product
from ingest.products.rpb import read_rpb
from ingest.products.side_files import package_files, read_text

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
    "esun": (int, float),
    "fault": (str,),
}


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
    level = _needed(said, "level", name)
    if level not in LEVELS:
        raise UsageError(f"{name}: level {level!r} is not known; there are: {', '.join(LEVELS)}")
    used = [path, image]
    rpc, polynomials = _polynomials(package, said, path)
    used += polynomials
    with open_raster(file) as dataset, reading(file):
        count, size = dataset.count, (dataset.width, dataset.height)
        resolution = abs(float(dataset.transform.a))
        own_rpc = dataset.rpcs
    layers = _layers(said, file, count, name)
    masks = ()
    if "cloud_mask" in said:
        mask = _beside(package, path, str(said["cloud_mask"]))
        masks = (Mask("cloud_mask", package.files[mask]),)
        used.append(mask)
    cloud = said.get("cloud_percent")
    if cloud is not None and not 0 <= cloud <= 100:
        raise UsageError(f"{name}: cloud_percent is {cloud}, not 0 to 100")
    rpc = rpc if rpc is not None else own_rpc
    if rpc is not None and "resolution_m" not in said:
        raise UsageError(f"{name}: an image in sensor geometry needs its pixel size: state resolution_m")
    part = Part(
        role="multispectral",
        sensor=sensor,
        camera=str(said.get("camera", "")),
        level=level,
        layers=layers,
        width_px=size[0],
        height_px=size[1],
        resolution_m=float(said.get("resolution_m", resolution)),
        rpc=rpc,
        nodata=None if "nodata" not in said else float(said["nodata"]),
    )
    return Product(
        family="described",
        name=str(said.get("product", PurePosixPath(image).stem)),
        acquired_at=_moment(said, name),
        parts=(part,),
        masks=masks,
        sun_azimuth_deg=_angle(said, "sun_azimuth_deg", 360.0, name),
        sun_elevation_deg=_angle(said, "sun_elevation_deg", 90.0, name),
        view_zenith_deg=_angle(said, "view_zenith_deg", 90.0, name),
        view_azimuth_deg=_angle(said, "view_azimuth_deg", 360.0, name),
        cloud_fraction=None if cloud is None else float(cloud) / 100,
        files=package_files(package, used),
    )


def _parsed(file: SourceFile) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file.name}: is no TOML: {error}") from None


def _check(said: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], name: str) -> None:
    for key, value in said.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}"
            raise UsageError(f"{name}: {key} is not known{hint}")
        if not isinstance(value, known[key]) or (isinstance(value, bool) and bool not in known[key]):
            raise UsageError(
                f"{name}: {key} is {value!r}, not a {' or '.join(t.__name__ for t in known[key])}"
            )


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


def _layers(said: Mapping[str, Any], file: SourceFile, count: int, name: str) -> tuple[Layer, ...]:
    offset, scale = float(said.get("offset", 0.0)), float(said.get("scale", 1.0))
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
        own_scale = float(fields.get("scale", scale))
        if not own_scale > 0:
            raise UsageError(f"{name}: the scale of band {band.name} is {own_scale:g}; it must be above 0")
        layers.append(
            Layer(
                band,
                (file,),
                place,
                float(fields.get("offset", offset)),
                own_scale,
                _float(fields.get("esun")),
            )
        )
    return tuple(layers)


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
        return stated.astimezone(UTC)
    return datetime.combine(stated, time(12), tzinfo=UTC)
