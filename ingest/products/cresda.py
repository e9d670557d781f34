"""Products of the Gaofen and Ziyuan satellites: images in sensor geometry with an XML and an RPB each.

The XML is the data centre's ``ProductMetaData`` in its old and its new layout (from 2023 on, with more
digits,
more elements, and a file for the package as a whole). What its elements mean was found out from real files:
see ``ingest.products.cresda_times`` for times and angles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from rasterio.rpc import RPC

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.preprocess.rpc_model import locate
from ingest.products.ahsi import hyperspectral_layers
from ingest.products.cresda_times import Geometry, geometry_of
from ingest.products.instruments import KNOWN, Image, image_of
from ingest.products.package import Package
from ingest.products.product import ROLES, Layer, Part, Product
from ingest.products.rpb import read_rpb
from ingest.products.side_files import number, optional_number, package_files, read_xml

ROOT = "ProductMetaData"
_IMAGES = (".tiff", ".tif", ".geotiff")
_POLYNOMIALS = (".rpb", "_rpc.txt", ".rpc")
_SUFFIX = re.compile(
    r"[-_](MSS\d?|PAN\d?|MUX|NAD|FWD|BWD|BWDMUX|BWDPAN|FWDPAN|VN|VNIR|SW|SWIR)$", re.IGNORECASE
)
_ELEMENT = re.compile(rb"<[A-Za-z]")
_CORNERS = ("TopLeft", "TopRight", "BottomRight", "BottomLeft")

LARGEST_MISFIT = 0.04
"""How far the corners that an XML states may lie beside where the RPB puts them, as a share of the image's
diagonal: real products differ by up to 0.016 (their lower corners lie beyond the image), simulated ones by
0.01."""

LARGEST_PIXEL_RATIO = 2.0
"""ImageGSD and the spacing of the corners may differ by this factor; slanted views stretch pixels."""

PARTS_APART_S = 120.0
"""Parts of one product are acquired within so many seconds."""

_EMPTY_BYTES = 8


@dataclass(frozen=True)
class _Side:
    """An XML side file: its path in the package, the part's ending, and its elements."""

    path: str
    base: str
    suffix: str
    values: Mapping[str, str]


def split_stem(stem: str) -> tuple[str, str]:
    """A file's name without its ending as the product's name and the part's; the part may be empty."""
    suffix = _SUFFIX.search(stem)
    return (stem[: suffix.start()], suffix.group(1)) if suffix else (stem, "")


def find(package: Package) -> list[str]:
    """Products of this family in a package, as paths that end in ``.xml``, which need not be there.

    One with a damaged XML is among them, for ``read`` to refuse.
    """
    found = set()
    for path in _xmls(package):
        try:
            is_ours = _side(package, path) is not None
        except UsageError:
            is_ours = True
        if is_ours:
            found.add(_base(path) + ".xml")
    return sorted(found)


def read(package: Package, path: str) -> Product:
    """Read a product.

    Args:
        package: the package.
        path: one of those that ``find`` lists.

    Raises:
        UsageError: a part is missing, empty, wrong or of another scene.

    """
    base = path.removesuffix(".xml")
    of_product = [each for each in _xmls(package) if _base(each) == base]
    sides = [side for each in of_product if (side := _side(package, each)) is not None]
    _check_whole(package, base, sides)
    parts = []
    used: list[str] = []
    # The new layout has an XML for the package as a whole beside those of its parts.
    with_suffix = [side for side in sides if side.suffix]
    for side in with_suffix or sides:
        part, files = _part(package, side)
        parts.append(part)
        used += files
    _check_together(with_suffix or sides, PurePosixPath(path).name)
    roles = {part.role for part in parts}
    if len(roles & {"vnir", "swir"}) == 1:
        missing = "SWIR" if "vnir" in roles else "VNIR"
        raise UsageError(
            f"{PurePosixPath(base).name}: the {missing} image with its XML and RPB is missing; the "
            "package is not "
            "complete, get it anew"
        )
    parts.sort(key=lambda part: (ROLES.index(part.role), part.layers[0].files[0].name))
    first = next(side for side in (with_suffix or sides) if used)
    geometry = geometry_of(first.values, PurePosixPath(first.path).name)
    return Product(
        family="cresda",
        name=PurePosixPath(base).name,
        acquired_at=geometry.acquired_at,
        parts=tuple(parts),
        sun_azimuth_deg=geometry.sun_azimuth_deg,
        sun_elevation_deg=geometry.sun_elevation_deg,
        view_zenith_deg=geometry.view_zenith_deg,
        view_azimuth_deg=geometry.view_azimuth_deg,
        cloud_fraction=_cloud_fraction(first),
        metadata=_metadata(with_suffix or sides, geometry),
        files=package_files(package, [*used, *(side.path for side in sides)]),
    )


def _xmls(package: Package) -> list[str]:
    return [path for path in package.files if path.lower().endswith(".xml")]


def _base(path: str) -> str:
    return split_stem(path[: -len(".xml")])[0]


def _side(package: Package, path: str) -> _Side | None:
    """An XML of the package; None when it is not one of this family's.

    Raises:
        UsageError: it is, or what lies beside it says that it should be, and is damaged or empty.

    """
    file = package.files[path]
    if file.size_bytes < _EMPTY_BYTES and _has_sibling(package, path, _IMAGES):
        raise UsageError(f"{file.name}: the XML is empty ({file.size_bytes} bytes); get the package anew")
    head = file.head(4096)
    # A copy that broke off early has no element, or zeros in place of them.
    is_cut = _ELEMENT.search(head) is None and all(
        _has_sibling(package, path, endings) for endings in (_IMAGES, _POLYNOMIALS)
    )
    if not is_cut and f"<{ROOT}".encode() not in head:
        return None
    root = read_xml(file)
    if root.tag != ROOT:
        return None
    base, suffix = split_stem(path[: -len(".xml")])
    values = {element.tag: (element.text or "").strip() for element in root.iter() if len(element) == 0}
    return _Side(path, base, suffix, values)


def _has_sibling(package: Package, path: str, endings: tuple[str, ...]) -> bool:
    stem = path[: -len(".xml")].lower()
    return any(each.lower() in {stem + ending for ending in endings} for each in package.files)


def _check_whole(package: Package, base: str, sides: list[_Side]) -> None:
    """Refuse a package that holds an image of the product without its XML.

    Raises:
        UsageError: which image.

    """
    described = {side.path[: -len(".xml")].lower() for side in sides}
    for path in package.files:
        stem, dot, ending = path.rpartition(".")
        suffix = _SUFFIX.search(stem)
        if dot + ending.lower() not in _IMAGES or suffix is None or stem[: suffix.start()] != base:
            continue
        if stem.lower() not in described:
            raise UsageError(
                f"{PurePosixPath(path).name}: the XML of the same name is missing from the package; the "
                "package "
                "is not complete, get it anew"
            )


def _check_together(sides: list[_Side], name: str) -> None:
    """Refuse parts of two satellites or two acquisitions.

    Raises:
        UsageError: what differs.

    """
    names = [PurePosixPath(side.path).name for side in sides]
    moments = [geometry_of(side.values, each).acquired_at for side, each in zip(sides, names, strict=True)]
    if (max(moments) - min(moments)).total_seconds() > PARTS_APART_S:
        raise UsageError(
            f"{name}: its parts were acquired at {min(moments):%Y-%m-%d %H:%M:%S} and "
            f"{max(moments):%Y-%m-%d %H:%M:%S}: they are of two scenes"
        )
    for key in ("SatelliteID", "SensorID"):
        if len({side.values.get(key) for side in sides}) > 1:
            raise UsageError(f"{name}: the XMLs of its parts name different {key}: they are of two scenes")


def _part(package: Package, side: _Side) -> tuple[Part, list[str]]:
    name = PurePosixPath(side.path).name
    satellite, sensor = side.values.get("SatelliteID", ""), side.values.get("SensorID", "")
    image = image_of(satellite, sensor, side.suffix)
    if image is None:
        raise UsageError(
            f"{name}: the instrument {satellite or '?'} {sensor or '?'} {side.suffix} is not known; "
            f"there are: {KNOWN}"
        )
    raster = _sibling(package, side, _IMAGES, "the image (.tiff)")
    if package.files[raster].size_bytes < _EMPTY_BYTES:
        raise UsageError(
            f"{package.files[raster].name}: the image is empty ({package.files[raster].size_bytes} "
            "bytes): the "
            "package holds side files only; get it anew"
        )
    polynomials = _sibling(package, side, _POLYNOMIALS, "the rational polynomials (.rpb)")
    rpc = read_rpb(package.files[polynomials])
    width, height = (_count(side.values.get(key), key, name) for key in ("WidthInPixels", "HeightInPixels"))
    corners = _corners(side.values, name)
    _check_polynomials(rpc, width, height, corners, package.files[polynomials].name, name)
    used = [raster, polynomials]
    if image.bands:
        layers = _layers(image, side, package.files[raster], name)
    else:
        layers, more = hyperspectral_layers(package, side.path, image.role, package.files[raster])
        used += more
    part = Part(
        role=image.role,
        sensor=image.sensor,
        camera=image.camera,
        level="digital_number" if image.bands else "radiance",
        layers=layers,
        width_px=width,
        height_px=height,
        resolution_m=number(side.values.get("ImageGSD"), "ImageGSD", name),
        rpc=rpc,
        corners=corners,
        nodata=0.0,
    )
    _check_pixel(part, name)
    return part, used


def _check_pixel(part: Part, name: str) -> None:
    """Refuse a pixel size that cannot be, or that the corners contradict."""
    stated = part.resolution_m
    if not 0.1 <= stated <= 1000:
        raise UsageError(f"{name}: ImageGSD is {stated:g} m, which cannot be")
    if part.corners is None or part.width_px is None or part.height_px is None:
        return
    (x0, y0), _, (x2, y2), _ = part.corners
    east_m = ((x2 - x0 + 180.0) % 360.0 - 180.0) * math.cos(math.radians(y0)) * 111_320.0
    spacing = math.hypot(east_m, (y2 - y0) * 110_574.0) / math.hypot(part.width_px, part.height_px)
    if not 1 / LARGEST_PIXEL_RATIO <= spacing / stated <= LARGEST_PIXEL_RATIO:
        raise UsageError(
            f"{name}: ImageGSD is {stated:g} m, and its corners lie so far apart that pixels are "
            f"{spacing:.3g} m"
        )


def _sibling(package: Package, side: _Side, endings: tuple[str, ...], what: str) -> str:
    """The file that belongs to an XML: the same name with another ending, whatever its case."""
    stem = side.path[: -len(".xml")].lower()
    for path in package.files:
        if any(path.lower() == stem + ending for ending in endings):
            return path
    name = PurePosixPath(side.path)
    raise UsageError(
        f"{name.name}: {what} of the same name is missing from the package; the package is not complete, "
        "get it anew"
    )


def _layers(image: Image, side: _Side, file: SourceFile, name: str) -> tuple[Layer, ...]:
    listed = [item for item in side.values.get("Bands", "").split(",") if item.strip()]
    if listed and len(listed) != len(image.bands):
        raise UsageError(
            f"{name}: lists the bands {', '.join(listed)}; {image.sensor} {image.camera} has "
            f"{len(image.bands)}: {', '.join(band.name for band in image.bands)}"
        )
    if listed and [item.strip() for item in listed] != sorted(item.strip() for item in listed):
        raise UsageError(f"{name}: lists the bands as {', '.join(listed)}; they are expected in order")
    return tuple(Layer(band, (file,), place) for place, band in enumerate(image.bands, 1))


def _count(text: str | None, what: str, name: str) -> int:
    value = number(text, what, name)
    if value < 1 or value != int(value) or value > 1_000_000:
        raise UsageError(f"{name}: {what} is {value:g}, which cannot be")
    return int(value)


def _corners(values: Mapping[str, str], name: str) -> tuple[tuple[float, float], ...] | None:
    stated = [
        (
            optional_number(values.get(f"{corner}Longitude"), f"{corner}Longitude", name),
            optional_number(values.get(f"{corner}Latitude"), f"{corner}Latitude", name),
        )
        for corner in _CORNERS
    ]
    corners = [(lon, lat) for lon, lat in stated if lon is not None and lat is not None]
    if len(corners) < len(_CORNERS):
        return None
    if any(abs(lon) > 360 or abs(lat) > 90 for lon, lat in corners):
        raise UsageError(f"{name}: its corners are no longitudes and latitudes: {corners}")
    return tuple(corners)


def _check_polynomials(
    rpc: RPC,
    width: int,
    height: int,
    corners: tuple[tuple[float, float], ...] | None,
    polynomials: str,
    name: str,
) -> None:
    """Refuse polynomials that put the image elsewhere than its XML does."""
    middle = (rpc.line_off, rpc.samp_off)
    if not (-0.5 * height < middle[0] < 1.5 * height and -0.5 * width < middle[1] < 1.5 * width):
        raise UsageError(
            f"{polynomials}: is centred on line {middle[0]:.0f}, sample {middle[1]:.0f}, outside the "
            "image of "
            f"{width} x {height} pixels that {name} describes: it belongs to another image"
        )
    if corners is None:
        return
    lines, samples = np.array([0, 0, height - 1, height - 1.0]), np.array([0, width - 1, width - 1, 0.0])
    stated = np.array(corners)
    beside = []
    # Files differ in the height for which they state corners.
    for height_m in (0.0, rpc.height_off):
        lon, lat = locate(rpc, lines, samples, np.full(4, height_m))
        east = ((lon - stated[:, 0] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(stated[:, 1])) * 111_320.0
        north = (lat - stated[:, 1]) * 110_574.0
        beside.append(float(np.median(np.hypot(east, north))))
    across = stated[2] - stated[0]
    diagonal_m = math.hypot(
        across[0] * math.cos(math.radians(stated[0, 1])) * 111_320.0, across[1] * 110_574.0
    )
    beside_m = min(beside)
    if not beside_m <= LARGEST_MISFIT * diagonal_m:
        raise UsageError(
            f"{polynomials}: puts the image {beside_m / 1000:.1f} km beside the corners that {name} states: "
            "it belongs to another scene"
        )


def _cloud_fraction(side: _Side) -> float | None:
    """The share of cloud; 101 and the like mean that nobody looked."""
    stated = optional_number(side.values.get("CloudPercent"), "CloudPercent", side.path)
    return None if stated is None or not 0 <= stated <= 100 else stated / 100


def _metadata(sides: list[_Side], geometry: Geometry) -> dict[str, Any]:
    """What the XMLs say beside what has a place of its own: common elements once, others by part."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for side in sides for key in side.values):
        stated = {side.suffix or "image": side.values[key] for side in sides if side.values.get(key)}
        if stated:
            distinct = set(stated.values())
            merged[key] = distinct.pop() if len(distinct) == 1 and len(stated) == len(sides) else stated
    return {**merged, "times_in": geometry.times_in}
