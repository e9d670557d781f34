"""Files of a simulated district: GeoTIFF for pixels, GeoPackage for features."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from ingest.simulate.fields import ByteMap
from ingest.simulate.optics import BANDS

SRID = 32645
RESOLUTION_M = 2.0
_CENTRE_M = (508_000.0, 4_860_800.0)
# GeoPackage stores when it was written; a fixed date makes the same district the same file.
_WRITTEN_AT = "2024-01-01T00:00:00.000Z"


Column = Sequence[object] | NDArray[Any]


@dataclass(frozen=True)
class Placement:
    """Grid of the district in EPSG:32645: upper left corner in metres, 2 m pixels, north up."""

    origin_x_m: float
    origin_y_m: float

    def transform(self, row: int = 0, column: int = 0) -> Affine:
        """Pixel to map transform of a window that begins at a row and column."""
        x, y = self.origin_x_m + column * RESOLUTION_M, self.origin_y_m - row * RESOLUTION_M
        return Affine(RESOLUTION_M, 0.0, x, 0.0, -RESOLUTION_M, y)

    def on_map(self, geometry: BaseGeometry) -> BaseGeometry:
        """Geometry in metres from one in pixels (column, row)."""
        return shapely.transform(
            geometry,
            lambda xy: np.column_stack(
                [self.origin_x_m + xy[:, 0] * RESOLUTION_M, self.origin_y_m - xy[:, 1] * RESOLUTION_M]
            ),
        )


def place_district(shape: tuple[int, int]) -> Placement:
    """Grid centred near 87.1 E, 43.9 N, its origin a multiple of the resolution."""
    x, y = _CENTRE_M[0] - shape[1] * RESOLUTION_M / 2, _CENTRE_M[1] + shape[0] * RESOLUTION_M / 2
    return Placement(RESOLUTION_M * round(x / RESOLUTION_M), RESOLUTION_M * round(y / RESOLUTION_M))


def write_scene(
    path: Path,
    strips: Iterable[tuple[int, NDArray[np.uint16]]],
    shape: tuple[int, int],
    transform: Affine,
    tags: Mapping[str, str],
) -> None:
    """Write a four-band uint16 scene with nodata 0 from strips of rows (4, rows, width)."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=shape[0],
        width=shape[1],
        count=len(BANDS),
        dtype="uint16",
        crs=f"EPSG:{SRID}",
        transform=transform,
        nodata=0,
        compress="deflate",
        predictor=2,
        zlevel=1,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        BIGTIFF="IF_SAFER",
    ) as file:
        # GDAL takes the first three bands of four for red, green, blue unless told otherwise.
        file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
        for number, band in enumerate(BANDS, start=1):
            file.set_band_description(number, band)
        file.update_tags(**tags)
        for top, pixels in strips:
            file.write(pixels, window=Window(0, top, pixels.shape[2], pixels.shape[1]))


def write_class_map(path: Path, class_map: ByteMap, transform: Affine) -> None:
    """Write a class map (height, width) of class codes, uint8, 255 for not observed."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=class_map.shape[0],
        width=class_map.shape[1],
        count=1,
        dtype="uint8",
        crs=f"EPSG:{SRID}",
        transform=transform,
        nodata=255,
        compress="deflate",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as file:
        file.write(class_map, 1)


@contextmanager
def _fixed_date() -> Iterator[None]:
    """Have GeoPackages written with a fixed date."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _WRITTEN_AT})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def write_features(
    path: Path,
    layer: str,
    geometry_type: str,
    geometries: Sequence[BaseGeometry],
    columns: Mapping[str, Column],
) -> None:
    """Write one layer of features in EPSG:32645; dates go in as numpy datetime64[D] columns."""
    path.unlink(missing_ok=True)
    data = []
    for values in columns.values():
        array = np.asarray(values)
        data.append(array if array.dtype.kind in "iufM" else np.asarray(values, dtype=object))
    with _fixed_date():
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(np.asarray(geometries, dtype=object)),
            field_data=data,
            fields=list(columns),
            layer=layer,
            driver="GPKG",
            geometry_type=geometry_type,
            crs=f"EPSG:{SRID}",
        )
