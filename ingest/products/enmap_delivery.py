"""EnMAP Level 2A as the data centre delivers it: METADATA.XML, SPECTRAL_IMAGE.TIF and quality layers.

Sources: DLR, EnMAP HSI Level 1 / Level 2 Product Specification; where values stand in the XML as GFZ's EnPT
and the EnMAP-Box read it. The image is sorted by wavelength across both spectrometers, while bands are
numbered spectrometer by spectrometer (91 of the VNIR, 133 of the SWIR): ``expectedChannelsList`` says which
is which.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from db.errors import UsageError
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Mask, Part, Product
from ingest.products.side_files import number, optional_number, package_files, read_xml
from ingest.tiff_header import read_tiff_header

VNIR_BANDS, SWIR_BANDS = 91, 133
SCALE = 1e-4
NODATA = -32768.0
_RESOLUTION_M = 30.0
_FILE = re.compile(
    r"(ENMAP\d\d-.{4}(L\d\w)-.+)-(METADATA\.XML|SPECTRAL_IMAGE(?:_COG)?\.TIFF?)", re.IGNORECASE
)
_EMPTY_MEAN = -1e6
"""Mean that the statistics of a band without any data state, with a standard deviation of 0."""


def is_delivered(path: str) -> bool:
    """Whether a file has the name of a delivery's metadata or image."""
    return delivery_of(path) is not None


def delivery_of(path: str) -> str | None:
    """What the names of all files of a delivery begin with, from its metadata or image; None for others."""
    found = _FILE.fullmatch(PurePosixPath(path).name)
    return None if found is None else found.group(1)


def find_deliveries(package: Package) -> list[str]:
    """The metadata of each delivery; the image where it was named or comes alone."""
    if package.named is not None and package.named in package.files and is_delivered(package.named):
        return [package.named]
    stems: dict[str, str] = {}
    for path in package.files:
        found = _FILE.fullmatch(PurePosixPath(path).name)
        if found:
            stem = f"{PurePosixPath(path).parent}/{found.group(1)}"
            if found.group(3).upper() == "METADATA.XML" or stem not in stems:
                stems[stem] = path
    return list(stems.values())


def read_delivery(package: Package, path: str) -> Product:
    """Read a delivery.

    Args:
        package: the package.
        path: its metadata or its image.

    Raises:
        UsageError: it is not Level 2A, a file is missing, or the metadata are damaged or do not fit.

    """
    found = _FILE.fullmatch(PurePosixPath(path).name)
    if found is None:
        raise UsageError(f"{path}: is no file of an EnMAP delivery")
    stem, level = found.group(1), found.group(2).upper()
    if level != "L2A":
        raise UsageError(
            f"{PurePosixPath(path).name}: is EnMAP {level}; Level 2A (surface reflectance) is read"
        )
    folder = PurePosixPath(path).parent
    metadata = _beside(package, folder, (f"{stem}-METADATA.XML",), stem)
    image = _beside(package, folder, (f"{stem}-SPECTRAL_IMAGE.TIF", f"{stem}-SPECTRAL_IMAGE_COG.TIF"), stem)
    name = PurePosixPath(metadata).name
    root = read_xml(package.files[metadata])
    file = package.files[image]
    if file.size_bytes == 0:
        raise UsageError(f"{file.name}: the image is empty (0 bytes); get it anew")
    header = read_tiff_header(file)
    bands = _bands(root, name)
    if header.samples != len(bands):
        raise UsageError(
            f"{file.name}: has {header.samples} bands, {name} describes {len(bands)}: they do not belong "
            "together"
        )
    masks = []
    for layer in ("QL_QUALITY_CLOUD", "QL_QUALITY_CLOUDSHADOW"):
        place = _optional(package, folder, (f"{stem}-{layer}.TIF", f"{stem}-{layer}_COG.TIF"))
        if place is not None and package.files[place].size_bytes:
            masks.append(place)
    part = Part(
        role="multispectral",
        sensor="enmap_hsi",
        camera="",
        level="surface_reflectance",
        layers=tuple(Layer(band, (file,), index, 0.0, SCALE) for index, band in bands),
        width_px=header.width_px,
        height_px=header.height_px,
        resolution_m=_RESOLUTION_M,
        nodata=NODATA,
    )
    cloud = optional_number(_text(root, "specific/qualityFlag/cloudCover"), "cloudCover", name)
    off_nadir = optional_number(
        _text(root, "specific/acrossOffNadirAngle/center"), "acrossOffNadirAngle", name
    )
    return Product(
        family="enmap",
        name=stem,
        acquired_at=_moment(root, name),
        parts=(part,),
        masks=tuple(Mask("cloud_mask", package.files[place]) for place in masks),
        sun_azimuth_deg=_angle(root, "sunAzimuthAngle", 360.0, name),
        sun_elevation_deg=_angle(root, "sunElevationAngle", 90.0, name),
        cloud_fraction=None if cloud is None or not 0 <= cloud <= 100 else cloud / 100,
        metadata={} if off_nadir is None else {"across_off_nadir_deg": off_nadir},
        files=package_files(package, [metadata, image, *masks]),
        notes=("its cloud shadow counts as cloud",) if len(masks) == 2 else (),
    )


def _bands(root: Element, name: str) -> list[tuple[int, Band]]:
    """Band number in the image, and the band, in the order in which bands are numbered."""
    described = root.findall(_path("specific/bandCharacterisation/bandID"))
    vnir, swir = (_channels(root, each, name) for each in ("vnir", "swir"))
    if (len(vnir), len(swir)) != (VNIR_BANDS, SWIR_BANDS) or sorted(vnir + swir) != list(
        range(1, len(described) + 1)
    ):
        raise UsageError(
            f"{name}: describes {len(described)} bands and lists {len(vnir)} of the VNIR and {len(swir)} "
            f"of the SWIR; {VNIR_BANDS} and {SWIR_BANDS} are expected"
        )
    empty = _empty_bands(root, len(described), name)
    bands = []
    for place, index in enumerate(vnir + swir, 1):
        fields = described[index - 1]
        gain = number(_text(fields, "GainOfBand"), f"the gain of band {index}", name)
        offset = number(_text(fields, "OffsetOfBand"), f"the offset of band {index}", name)
        if abs(gain - SCALE) > 1e-9 or offset != 0:
            raise UsageError(
                f"{name}: gain {gain:g} and offset {offset:g} of band {index} are not those of surface "
                f"reflectance ({SCALE:g} and 0); describe the image in a TOML file"
            )
        center = number(_text(fields, "wavelengthCenterOfBand"), f"the wavelength of band {index}", name)
        width = number(_text(fields, "FWHMOfBand"), f"the width of band {index}", name)
        fault = "empty, as the product's statistics say" if index in empty else None
        bands.append((index, Band(f"B{place:03d}", None, center, width, fault)))
    for spectrometer in (bands[:VNIR_BANDS], bands[VNIR_BANDS:]):
        centers = [band.center_nm or 0.0 for _, band in spectrometer]
        if centers != sorted(set(centers)) or not 350 <= centers[0] <= centers[-1] <= 2600:
            raise UsageError(f"{name}: the wavelengths of a spectrometer do not rise from 350 to 2600 nm")
    return bands


def _channels(root: Element, spectrometer: str, name: str) -> list[int]:
    stated = _text(root, f"specific/{spectrometer}ProductQuality/expectedChannelsList") or ""
    numbers = [each.strip() for each in stated.split(",")]
    if not all(each.isdecimal() for each in numbers):
        raise UsageError(
            f"{name}: the expectedChannelsList of {spectrometer} is {stated[:40]!r}, not numbers"
        )
    return [int(each) for each in numbers]


def _empty_bands(root: Element, count: int, name: str) -> set[int]:
    statistics = root.findall(_path("product/bandStatistics/bandID"))
    if len(statistics) != count:
        return set()
    empty = set()
    for index, fields in enumerate(statistics, 1):
        mean = optional_number(_text(fields, "mean"), f"the mean of band {index}", name)
        deviation = optional_number(_text(fields, "stdDeviation"), f"the deviation of band {index}", name)
        if deviation == 0 and mean is not None and mean <= _EMPTY_MEAN:
            empty.add(index)
    return empty


def _path(path: str) -> str:
    """The path in any namespace or none."""
    return "/".join(f"{{*}}{part}" for part in path.split("/"))


def _text(element: Element, path: str) -> str | None:
    return element.findtext(_path(path))


def _angle(root: Element, tag: str, most: float, name: str) -> float | None:
    value = optional_number(_text(root, f"specific/{tag}/center"), tag, name)
    if value is not None and not 0 <= value <= most:
        raise UsageError(f"{name}: {tag} is {value:g}, not 0 to {most:g} degrees")
    return value


def _moment(root: Element, name: str) -> datetime:
    stated = (_text(root, "base/temporalCoverage/startTime") or "").strip()
    try:
        moment = datetime.fromisoformat(stated)
    except ValueError:
        raise UsageError(f"{name}: startTime is {stated!r}, not a moment; get the file anew") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _optional(package: Package, folder: PurePosixPath, names: tuple[str, ...]) -> str | None:
    """The file of the first of these names, in any case, as deliveries differ in it."""
    beside = {path.lower(): path for path in package.files if PurePosixPath(path).parent == folder}
    return next((beside[key] for name in names if (key := str(folder / name).lower()) in beside), None)


def _beside(package: Package, folder: PurePosixPath, names: tuple[str, ...], stem: str) -> str:
    found = _optional(package, folder, names)
    if found is None:
        raise UsageError(f"{stem}: the package has no {names[0]}; get it complete")
    return found
