"""Small scene and feature files for tests of ingest."""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

NORTH_UP = Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4860000.0)

Pixels = npt.NDArray[Any]


def some_pixels(
    bands: int = 4, height: int = 40, width: int = 50, dtype: str = "uint16", seed: int = 1
) -> Pixels:
    """Pixels of which none is 0 and no band is constant."""
    generator = np.random.default_rng(seed)
    return generator.integers(1, 120 if dtype == "int8" else 250, (bands, height, width)).astype(dtype)


def write_tiff(
    path: Path,
    pixels: Pixels,
    *,
    crs: str | None = "EPSG:32645",
    transform: Affine | None = NORTH_UP,
    descriptions: Sequence[str] = (),
    mask: npt.NDArray[np.bool_] | None = None,
    **profile: Any,
) -> Path:
    """A GeoTIFF of (bands, height, width)."""
    options = {"photometric": "MINISBLACK", "alpha": "NO"} | profile
    if transform is not None:
        options["transform"] = transform
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        _write(path, pixels, crs, descriptions, mask, options)
    return path


def _write(
    path: Path,
    pixels: Pixels,
    crs: str | None,
    descriptions: Sequence[str],
    mask: npt.NDArray[np.bool_] | None,
    options: Mapping[str, Any],
) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype,
            crs=None if crs is None else CRS.from_user_input(crs),
            **options,
        ) as file,
    ):
        file.write(pixels)
        for band, description in enumerate(descriptions, 1):
            file.set_band_description(band, description)
        if mask is not None:
            file.write_mask(mask)


def bare_tiff(path: Path, *, width: int, height: int, samples: int = 1, bits: int = 8) -> Path:
    """A TIFF of a few hundred bytes that claims any size: header and directory, no pixels."""
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 300),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, 20),
        (284, 3, 1, 2),
    ]
    directory = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack("<HHI", tag, kind, count)
        directory += struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
    path.write_bytes((struct.pack("<2sHI", b"II", 42, 8) + directory + b"\0" * 4).ljust(320, b"\0"))
    return path


def square(x: float, y: float, side: float = 0.01) -> shapely.Polygon:
    return shapely.box(x, y, x + side, y + side)


def write_geojson(
    path: Path, shapes: Sequence[Any], properties: Sequence[Mapping[str, Any]] | None = None, **extra: Any
) -> Path:
    """GeoJSON of shapely geometries (or ready geometry dictionaries, or None)."""
    features = []
    for index, shape in enumerate(shapes):
        geometry = json.loads(shapely.to_geojson(shape)) if isinstance(shape, shapely.Geometry) else shape
        held = dict(properties[index]) if properties is not None else {}
        features.append({"type": "Feature", "properties": held, "geometry": geometry})
    document = {"type": "FeatureCollection", "features": features, **extra}
    path.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    return path


def write_vector(
    path: Path,
    shapes: Sequence[shapely.Geometry | None],
    fields: Mapping[str, Sequence[Any]] | None = None,
    *,
    geometry_type: str = "Polygon",
    crs: str | None = "EPSG:4326",
    driver: str = "GPKG",
    layer: str | None = None,
    append: bool = False,
    **options: Any,
) -> Path:
    """GeoPackage or Shapefile of shapely geometries."""
    columns = fields or {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        pyogrio.raw.write(
            path,
            geometry=np.array([None if shape is None else shapely.to_wkb(shape) for shape in shapes], object),
            field_data=[_column(values) for values in columns.values()],
            fields=list(columns),
            geometry_type=geometry_type,
            crs=crs,
            driver=driver,
            layer=layer,
            append=append,
            **options,
        )
    return path


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    return np.array(values, int if all(isinstance(value, int) for value in values) else object)
