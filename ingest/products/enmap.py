"""EnMAP Level 2A: surface reflectance of 224 bands, as delivered or as tiles that carry tags.

Tiles, as the EnMAP-Box writes them, are GeoTIFFs whose tags name wavelengths, widths and bad bands by band,
and the start of the acquisition; tiles of one acquisition share a pixel grid and become one scene, with gaps
where there is no tile. Values are reflectance * 10,000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from affine import Affine

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.opening import open_raster, reading
from ingest.products.enmap_delivery import (
    NODATA,
    SCALE,
    SWIR_BANDS,
    VNIR_BANDS,
    find_deliveries,
    is_delivered,
    read_delivery,
)
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Part, Product
from ingest.products.side_files import number, optional_number, package_files
from ingest.tiff_header import read_tiff_header

BAND_COUNT = VNIR_BANDS + SWIR_BANDS
_FEWEST_BANDS = 100
"""With fewer, a file named for EnMAP is a map, a mask or a quicklook that lies beside the tiles."""

_ALIGNED_PX = 1e-3
"""Origins of tiles may miss the common grid by this share of a pixel."""

_OFF_NM = 15.0
"""Wavelengths may be this far from the instrument's nominal ones: calibrations differ by less."""

_ENDS_NM = ((0, 418.2), (VNIR_BANDS - 1, 993.1), (VNIR_BANDS, 902.3), (BAND_COUNT - 1, 2445.5))
_NAMED = re.compile(r"enmap", re.IGNORECASE)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class _Tile:
    """What a tile's tags say; bands are alike when their tags are."""

    path: str
    file: SourceFile
    acquired_at: datetime
    bands: tuple[Band, ...]
    place: tuple[str, Affine]
    nodata: float | None


def find(package: Package) -> list[str]:
    """What stands for a product: the metadata of each delivery, and one tile for all tiles."""
    tiles = [path for path, file in package.files.items() if is_tile(path, file)]
    if package.named is not None and package.named in tiles:
        return [package.named]
    return find_deliveries(package) + tiles[:1]


def read(package: Package, path: str) -> Product:
    """Read a delivery, or the scene that all tiles of the package make up; a named tile stands alone.

    Args:
        package: the package.
        path: metadata of a delivery, or a tile.

    Raises:
        UsageError: tiles differ in time, bands or pixel grid, tags are missing, or a delivery is not whole.

    """
    if is_delivered(path):
        return read_delivery(package, path)
    paths = [each for each, file in package.files.items() if is_tile(each, file)]
    if package.named is not None and package.named in paths:
        paths = [package.named]
    tiles = [_tile(each, package.files[each]) for each in paths]
    first = tiles[0]
    _check_bands(first)
    for tile in tiles[1:]:
        _check_alike(first, tile)
    files = tuple(tile.file for tile in tiles)
    layers = tuple(Layer(band, files, place, 0.0, SCALE) for place, band in enumerate(first.bands, 1))
    part = Part(
        role="multispectral",
        sensor="enmap_hsi",
        camera="",
        level="surface_reflectance",
        layers=layers,
        width_px=None,
        height_px=None,
        resolution_m=abs(float(first.place[1].a)),
        nodata=NODATA if first.nodata is None else first.nodata,
    )
    notes = (f"{len(tiles)} tiles make one scene",) if len(tiles) > 1 else ()
    return Product(
        family="enmap",
        name=_name(paths, first),
        acquired_at=first.acquired_at,
        parts=(part,),
        metadata={"tiles": len(tiles)},
        files=package_files(package, paths),
        notes=notes,
    )


def is_tile(path: str, file: SourceFile) -> bool:
    """Whether a TIFF has a hyperspectral image's bands, and is named for EnMAP or has EnMAP's wavelengths."""
    name = PurePosixPath(path).name
    if not name.lower().endswith((".tif", ".tiff")) or file.size_bytes < 16 or is_delivered(path):
        return False
    if not file.head(4).startswith(_TIFF):
        return False
    try:
        count = read_tiff_header(file).samples
        if count < _FEWEST_BANDS:
            return False
        return bool(_NAMED.search(name)) or (count == BAND_COUNT and _has_wavelengths(file))
    except UsageError:
        return False


def _has_wavelengths(file: SourceFile) -> bool:
    """Whether the ends of both spectrometers stand in the tags."""
    with open_raster(file) as dataset, reading(file):
        for place, wanted in _ENDS_NM:
            tags = dataset.tags(place + 1)
            stated = optional_number(tags.get("wavelength"), "wavelength", file.name)
            if stated is None or abs(stated * _unit(tags) - wanted) > _OFF_NM:
                return False
    return True


def _unit(tags: Mapping[str, str]) -> float:
    """Nanometres in a tag's unit."""
    unit = tags.get("wavelength_units", "").strip().lower()
    return 1000.0 if unit.startswith("micro") or unit in ("um", "µm") else 1.0


def _tile(path: str, file: SourceFile) -> _Tile:
    with open_raster(file) as dataset, reading(file):
        tags: Mapping[str, str] = dataset.tags()
        bands = tuple(_band(dataset.tags(place), place, file.name) for place in range(1, dataset.count + 1))
        place = str(dataset.crs), dataset.transform
        nodata = None if dataset.nodata is None else float(dataset.nodata)
    stated = tags.get("start_time", "")
    try:
        moment = datetime.fromisoformat(stated.replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(
            f"{file.name}: its tag start_time is {stated!r}, not the moment of acquisition; describe "
            "the file in a TOML file beside it"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return _Tile(path, file, moment, bands, place, nodata)


def _band(tags: Mapping[str, str], place: int, name: str) -> Band:
    times = _unit(tags)
    fault = "marked as bad by the product (bbl 0)" if tags.get("bbl", "1").strip() == "0" else None
    return Band(
        f"B{place:03d}",
        None,
        number(tags.get("wavelength"), f"the wavelength of band {place}", name) * times,
        number(tags.get("fwhm"), f"the width of band {place}", name) * times,
        fault,
    )


def _check_alike(one: _Tile, other: _Tile) -> None:
    """Refuse tiles of two scenes."""
    pair = f"{one.file.name} and {other.file.name}"
    if len(one.bands) != len(other.bands):
        raise UsageError(
            f"{pair}: have {len(one.bands)} and {len(other.bands)} bands: not tiles of one scene"
        )
    if one.acquired_at != other.acquired_at:
        raise UsageError(
            f"{pair}: acquired at {one.acquired_at:%Y-%m-%d %H:%M:%S} and "
            f"{other.acquired_at:%Y-%m-%d %H:%M:%S}: tiles of two scenes; put each into a "
            "folder of its own"
        )
    if one.bands != other.bands or repr(one.nodata) != repr(other.nodata):
        raise UsageError(f"{pair}: their wavelengths, bad bands or nodata values differ: not of one scene")
    (crs, place), (other_crs, other_place) = one.place, other.place
    if crs != other_crs:
        raise UsageError(f"{pair}: lie in {crs} and {other_crs}; tiles of one scene share a grid")
    pixels, other_pixels = ((each.a, each.b, each.d, each.e) for each in (place, other_place))
    if any(abs(a - b) > 1e-6 * abs(place.a) for a, b in zip(pixels, other_pixels, strict=True)):
        raise UsageError(f"{pair}: have different pixels; tiles of one scene share a grid")
    across, down = (other_place.c - place.c) / place.a, (place.f - other_place.f) / -place.e
    if max(abs(across - round(across)), abs(down - round(down))) > _ALIGNED_PX:
        raise UsageError(
            f"{pair}: their pixels do not lie on one grid (they are {across:.3f} columns and {down:.3f} rows "
            "apart); tiles of one scene do"
        )


def _check_bands(tile: _Tile) -> None:
    if len(tile.bands) != BAND_COUNT:
        raise UsageError(f"{tile.file.name}: has {len(tile.bands)} bands; an EnMAP tile has {BAND_COUNT}")
    for place, wanted in _ENDS_NM:
        stated = tile.bands[place].center_nm or 0.0
        if abs(stated - wanted) > _OFF_NM:
            raise UsageError(
                f"{tile.file.name}: band {place + 1} lies at {stated:g} nm, EnMAP's at "
                f"{wanted:g} nm: bands of the VNIR come first, then those of the SWIR; describe other "
                "files in a TOML file"
            )


def _name(paths: list[str], first: _Tile) -> str:
    """What the tiles are called without their place, with the moment."""
    name = PurePosixPath(paths[0]).stem
    if len(paths) > 1:
        name = re.sub(r"(?:[_-]*tile)?(?:[_-]\d+)+$", "", name) or "enmap"
    return f"{name}_{first.acquired_at:%Y%m%dT%H%M%S}"
