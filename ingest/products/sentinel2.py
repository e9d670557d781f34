"""Sentinel-2 products as ESA delivers them: SAFE folders of Level-1C and Level-2A.

Source: ESA, Sentinel-2 Products Specification Document: reflectance is (stored + offset) / quantification
value, with an offset for each band from processing baseline 04.00 on, and stored 0 means no data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.package import Package
from ingest.products.product import Layer, Level, Mask, Part, Product
from ingest.products.sentinel2_bands import BANDS, NODATA, OFFSET_BASELINE, SENSOR, NativeBand
from ingest.products.sentinel2_granule import Granule, read_granule, stated, tag, utc
from ingest.products.side_files import number, optional_number, package_files, read_xml

_PRESENT = re.compile(r"MTD_MSIL(1C|2A)\.xml", re.IGNORECASE)
_OLD = re.compile(r"S2[A-D]_(OPER|USER)_MTD_(SAFL|L)(1C|2A).*\.xml", re.IGNORECASE)
_ROOT = re.compile(rb"<(?:\w+:)?Level-(1C|2A)_User_Product\b")
_LEVELS: dict[str, Level] = {"1C": "toa_reflectance", "2A": "surface_reflectance"}
GRANULES = "GRANULE"
"""Folder of a SAFE folder that its images lie in."""

_ADVICE = "fetch the product in its present format from the Copernicus Data Space"


@dataclass(frozen=True)
class _Images:
    """Images of the one granule: paths without ending as the side file lists them, and where they lie."""

    package: Package
    base: PurePosixPath
    listed: tuple[str, ...]
    side: str

    def path(self, ending: str) -> str:
        """Path in the package of the image whose name ends so.

        Raises:
            UsageError: it is not listed, missing or empty.

        """
        found = [name for name in self.listed if name.upper().endswith(ending.upper())]
        if len(found) != 1:
            raise UsageError(f"{self.side}: lists {len(found)} images of {ending}, not one; get it anew")
        return self.present(f"{found[0]}.jp2")

    def present(self, name: str) -> str:
        """Path in the package of a file that must be there and hold something.

        Raises:
            UsageError: it is missing or empty.

        """
        path = str(self.base / name)
        file = self.package.files.get(path)
        if file is None:
            raise UsageError(
                f"{self.side}: {name} is missing from {self.package.name}; the product is not complete; "
                "get it anew"
            )
        if file.size_bytes == 0:
            raise UsageError(f"{name}: the image is empty (0 bytes); get the product anew")
        return path


def is_metadata_name(name: str) -> bool:
    """Whether a file has the name of a product's metadata."""
    return bool(_PRESENT.fullmatch(name) or _OLD.fullmatch(name))


def find(package: Package) -> list[str]:
    """Products of this family in a package, as paths of their product metadata (MTD_MSIL1C.xml, ...)."""
    return [
        path
        for path, file in package.files.items()
        if _PRESENT.fullmatch(file.name) or (_OLD.fullmatch(file.name) and _ROOT.search(file.head(4096)))
    ]


def read(package: Package, path: str) -> Product:
    """Read a product.

    Args:
        package: the package.
        path: one of those that ``find`` lists.

    Raises:
        UsageError: a band is missing or empty, the metadata are wrong, or there is more than one granule.

    """
    file = package.files[path]
    root = read_xml(file)
    kind = re.fullmatch(r"Level-(1C|2A)_User_Product", tag(root))
    if kind is None:
        raise UsageError(f"{file.name}: is no product metadata of Sentinel-2, it holds {tag(root)}")
    level = kind.group(1)
    images = _images(package, path, root)
    granule_folder = PurePosixPath(*PurePosixPath(images.listed[0]).parts[:2])
    granule_path = images.present(f"{granule_folder}/MTD_TL.xml")
    started_at = utc(stated(root, "PRODUCT_START_TIME"), "PRODUCT_START_TIME", file.name)
    granule = read_granule(package.files[granule_path], level)
    if abs((granule.sensed_at - started_at).total_seconds()) > 3600:
        raise UsageError(
            f"{package.files[granule_path].name}: was sensed at {granule.sensed_at:%Y-%m-%d %H:%M}, "
            f"the product at {started_at:%Y-%m-%d %H:%M}: they do not belong together"
        )
    baseline = number(stated(root, "PROCESSING_BASELINE"), "PROCESSING_BASELINE", file.name)
    layers, used = _layers(package, root, images, level, baseline)
    masks, notes = _masks(package, images, granule, granule_folder, level)
    cloud = optional_number(stated(root, "Cloud_Coverage_Assessment"), "Cloud_Coverage_Assessment", file.name)
    part = Part(
        role="multispectral",
        sensor=SENSOR,
        camera="",
        level=_LEVELS[level],
        layers=layers,
        width_px=granule.width_px,
        height_px=granule.height_px,
        resolution_m=min(native.resolution_m for native in _bands(level)),
        nodata=NODATA,
    )
    return Product(
        family="sentinel2",
        name=_name(root, path, package),
        acquired_at=granule.sensed_at,
        parts=(part,),
        masks=tuple(mask for _, mask in masks),
        sun_azimuth_deg=granule.sun_azimuth_deg,
        sun_elevation_deg=granule.sun_elevation_deg,
        view_zenith_deg=granule.view_zenith_deg,
        view_azimuth_deg=granule.view_azimuth_deg,
        cloud_fraction=None if cloud is None or not 0 <= cloud <= 100 else cloud / 100,
        metadata=_metadata(root, granule, level),
        files=package_files(package, [path, granule_path, *used, *(place for place, _ in masks)]),
        notes=(*granule.notes, *notes),
    )


def _bands(level: str) -> tuple[NativeBand, ...]:
    """Bands of a level: the correction for the atmosphere uses B10 up."""
    return tuple(native for native in BANDS if level == "1C" or native.band.name != "B10")


def _images(package: Package, path: str, root: Element) -> _Images:
    """The images that the product metadata list, all of one granule."""
    name = PurePosixPath(path).name
    listed = [
        (element.text or "").strip()
        for element in root.iter()
        if tag(element) in ("IMAGE_FILE", "IMAGE_FILE_2A")
    ]
    granules = [element for element in root.iter() if tag(element) in ("Granule", "Granules")]
    if len({element.get("granuleIdentifier") for element in granules}) > 1:
        raise UsageError(
            f"{name}: holds {len(granules)} granules, as products before December 2016 do; {_ADVICE}, where "
            "each granule is a product"
        )
    if not listed:
        raise UsageError(f"{name}: lists no images (IMAGE_FILE); if it is of before December 2016, {_ADVICE}")
    folders = {PurePosixPath(item).parts[:2] for item in listed}
    if len(folders) > 1 or any(len(PurePosixPath(item).parts) < 3 for item in listed):
        raise UsageError(
            f"{name}: its images lie in {len(folders)} folders instead of one granule's; {_ADVICE}"
        )
    if any(".." in PurePosixPath(item).parts or item.startswith("/") for item in listed):
        raise UsageError(f"{name}: lists images outside the product; get it anew")
    return _Images(package, PurePosixPath(path).parent, tuple(listed), name)


def _layers(
    package: Package, root: Element, images: _Images, level: str, baseline: float
) -> tuple[tuple[Layer, ...], list[str]]:
    """Bands with their meaning, and the paths of their images."""
    quantification = _quantification(root, level, images.side)
    offsets = _offsets(root, level, baseline, images.side)
    centers = {
        element.get("bandId"): optional_number(stated(element, "CENTRAL"), "CENTRAL", images.side)
        for element in root.iter()
        if tag(element) == "Spectral_Information"
    }
    layers, used = [], []
    for native in _bands(level):
        size = f"_{native.resolution_m:.0f}m" if level == "2A" else ""
        path = images.path(f"_{native.band.name}{size}")
        center = centers.get(str(native.number))
        band = native.band if center is None else replace(native.band, center_nm=center)
        files: tuple[SourceFile, ...] = (package.files[path],)
        layers.append(Layer(band, files, 1, offsets.get(native.number, 0.0), 1.0 / quantification))
        used.append(path)
    return tuple(layers), used


def _quantification(root: Element, level: str, name: str) -> float:
    what = "QUANTIFICATION_VALUE" if level == "1C" else "BOA_QUANTIFICATION_VALUE"
    text = stated(root, what) or (stated(root, f"L2A_{what}") if level == "2A" else None)
    value = number(text, what, name)
    if not 1 <= value <= 1e6:
        raise UsageError(f"{name}: {what} is {value:g}, which cannot be")
    return value


def _offsets(root: Element, level: str, baseline: float, name: str) -> dict[int, float]:
    """Offsets by number of the band; none before baseline 04.00."""
    what = "RADIO_ADD_OFFSET" if level == "1C" else "BOA_ADD_OFFSET"
    found = {
        int(number(element.get("band_id"), f"band_id of {what}", name)): number(element.text, what, name)
        for element in root.iter()
        if tag(element) == what
    }
    if not found and baseline < OFFSET_BASELINE:
        return {}
    missing = [native.band.name for native in _bands(level) if native.number not in found]
    if missing:
        raise UsageError(
            f"{name}: does not state {what} of {', '.join(missing)}, which baseline {baseline:05.2f} "
            "must; get the file anew"
        )
    return found


def _masks(
    package: Package, images: _Images, granule: Granule, folder: PurePosixPath, level: str
) -> tuple[list[tuple[str, Mask]], list[str]]:
    """The product's own masks with their paths, and what to say where there is none."""
    if level == "2A":
        path = images.path("_SCL_20m")
        return [(path, Mask("sentinel2_scl", package.files[path]))], []
    rasters = [item for item in granule.mask_files if "MSK_CLASSI" in item]
    if not rasters:
        return [], ["its cloud mask is a vector file (GML) of before baseline 04.00, which is not used"]
    path = images.present(str(folder / "QI_DATA" / PurePosixPath(rasters[0]).name))
    return [(path, Mask("sentinel2_classification", package.files[path]))], []


def _name(root: Element, path: str, package: Package) -> str:
    uri = stated(root, "PRODUCT_URI") or stated(root, "PRODUCT_URI_2A") or PurePosixPath(path).parent.name
    return (uri or package.name).removesuffix(".SAFE")


def _metadata(root: Element, granule: Granule, level: str) -> dict[str, Any]:
    keys = {
        "PROCESSING_BASELINE": "processing_baseline",
        "PRODUCT_START_TIME": "product_start_time",
        "GENERATION_TIME": "generation_time",
        "SPACECRAFT_NAME": "spacecraft",
        "SENSING_ORBIT_NUMBER": "relative_orbit",
        "SENSING_ORBIT_DIRECTION": "orbit_direction",
        "PRODUCT_DOI": "doi",
    }
    found = {name: stated(root, key) for key, name in keys.items()}
    return {
        "processing_level": f"L{level}",
        **{key: value for key, value in found.items() if value},
        **granule.metadata,
    }
