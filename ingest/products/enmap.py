"""EnMAP Level 2A: surface reflectance of 224 bands, as tiles of one scene that carry its tags.

Tiles are GeoTIFFs whose tags name wavelengths (nm), widths and bad bands by band, and the start of the
acquisition; tiles of one acquisition share a pixel grid and become one scene. Values are reflectance *
10,000.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np
from affine import Affine

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.opening import open_raster, reading
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Part, Product
from ingest.products.side_files import number, package_files
from ingest.tiff_header import read_tiff_header

BAND_COUNT = 224
SCALE = 1e-4
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
    """The first tile of the package's scene; a folder of tiles is one product."""
    tiles = [path for path, file in package.files.items() if _is_tile(path, file)]
    return tiles[:1]


def read(package: Package, path: str) -> Product:
    """Read the scene that all tiles of the package make up.

    Args:
        package: the package.
        path: its first tile.

    Raises:
        UsageError: tiles differ in time, bands or pixel grid, or tags are missing.

    """
    paths = [each for each, file in package.files.items() if _is_tile(each, file)]
    if package.named is not None and package.named in paths:
        paths = [package.named]
    tiles = [_tile(each, package.files[each]) for each in paths]
    first = tiles[0]
    for tile in tiles[1:]:
        _check_alike(first, tile)
    _check_bands(first)
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
        nodata=first.nodata,
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


def _is_tile(path: str, file: SourceFile) -> bool:
    """Whether a file is named for EnMAP and has as many bands; nothing is decoded."""
    name = PurePosixPath(path).name
    if not _NAMED.search(name) or not name.lower().endswith((".tif", ".tiff")) or file.size_bytes < 16:
        return False
    if not file.head(4).startswith(_TIFF):
        return False
    try:
        return read_tiff_header(file).samples == BAND_COUNT
    except UsageError:
        return False


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
            f"{file.name}: its tag start_time is {stated!r}, not the moment of acquisition; describe the "
            "file in "
            "a TOML beside it"
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return _Tile(path, file, moment, bands, place, nodata)


def _band(tags: Mapping[str, str], place: int, name: str) -> Band:
    unit = tags.get("wavelength_units", "").lower()
    times = 1000.0 if unit.startswith("micro") else 1.0
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
    if one.acquired_at != other.acquired_at:
        raise UsageError(
            f"{pair}: acquired at {one.acquired_at:%Y-%m-%d %H:%M:%S} and "
            f"{other.acquired_at:%Y-%m-%d %H:%M:%S}: "
            "tiles of two scenes; put each scene into a folder of its own"
        )
    if one.bands != other.bands or one.nodata != other.nodata:
        raise UsageError(f"{pair}: their bands or nodata values differ: they are not of one scene")
    (crs, place), (other_crs, other_place) = one.place, other.place
    if crs != other_crs:
        raise UsageError(f"{pair}: lie in {crs} and {other_crs}; tiles of one scene share a grid")
    if not np.allclose(
        (place.a, place.b, place.d, place.e), (other_place.a, other_place.b, other_place.d, other_place.e)
    ):
        raise UsageError(f"{pair}: have different pixels; tiles of one scene share a grid")


def _check_bands(tile: _Tile) -> None:
    if any(not 350 <= (band.center_nm or math.nan) <= 2600 for band in tile.bands):
        raise UsageError(f"{tile.file.name}: wavelengths outside 350 to 2600 nm; are their units right?")


def _name(paths: list[str], first: _Tile) -> str:
    """What the tiles' names begin with in common, with the moment."""
    names = [PurePosixPath(path).stem for path in paths]
    common = os.path.commonprefix(names) if len(names) > 1 else names[0]
    common = re.sub(r"[_\-]*(tile)?[_\-]*\d*[_\-]*$", "", common) or "enmap"
    return f"{common}_{first.acquired_at:%Y%m%dT%H%M%S}"
