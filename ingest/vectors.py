"""Read features from GeoPackage, GeoJSON, Shapefile and zipped Shapefile: what the file holds, as it is."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from db.errors import UsageError
from db.geopackage import layers_with_geometry
from ingest.archives import gather_loose, gather_zipped, has_measures
from ingest.containers import (
    check_geojson,
    check_geopackage,
    geopackage_oddities,
)
from ingest.files import SourceFile, describe_start

MAX_FEATURES = 2_000_000
READABLE = "GeoPackage, GeoJSON, Shapefile and zipped Shapefile are read"

GDAL_OPTIONS = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "OGR_GEOJSON_MAX_OBJ_SIZE": "1024",
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
    "OGR_SQLITE_LIST_VIRTUAL_OGR": "NO",
    "SHAPE_RESTORE_SHX": "NO",
}


@dataclass(frozen=True)
class FeatureTable:
    """Features of one layer, as the file has them.

    Attributes:
        name: file name, with the layer where the file has several.
        sha256: SHA-256 of the file (of all parts of a shapefile).
        crs: definition of the CRS; None when the file states none.
        ids: feature ids as GIS programs show them, one a row.
        numbers: place of each row in the file, from 1.
        geometries: shapely geometries or None, one a row.
        broken: rows (from 0) whose geometry could not even be read, with the reason.
        oddities: rows with curves or measures, which reading would have dropped, with what it is.
        columns: values by column name.

    """

    name: str
    sha256: str
    crs: str | None
    ids: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    geometries: npt.NDArray[np.object_]
    broken: Mapping[int, str]
    oddities: Mapping[int, str]
    columns: Mapping[str, Sequence[Any]]

    def row_name(self, row: int) -> str:
        """Name a row (from 0) in a message."""
        return f"row {self.numbers[row]} (feature id {self.ids[row]})"


def read_features(
    file: SourceFile, roots: Sequence[Path] = (), *, layer: str | None = None, encoding: str | None = None
) -> FeatureTable:
    """Read one layer of a vector file.

    Args:
        file: the file.
        roots: folders that parts of a shapefile must lie in; empty: any.
        layer: the layer; needed when there are several.
        encoding: encoding of a shapefile's texts where its ``.cpg`` does not say it.

    Raises:
        UsageError: the file is of another format, damaged, suspicious, or has no (or no single) layer.

    """
    with tempfile.TemporaryDirectory(prefix="lode-read-") as folder:
        path, sha256, gdal_layer, name = _gather(file, roots, layer, Path(folder))
        oddities: dict[int, str] = {}
        if path.suffix == ".gpkg" and gdal_layer is not None:
            oddities = geopackage_oddities(file.path, gdal_layer, file.name)
        pyogrio.set_gdal_config_options(GDAL_OPTIONS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what matters is checked here, with the row's name
                count = pyogrio.read_info(path, layer=gdal_layer, encoding=encoding)["features"]
                if count > MAX_FEATURES:
                    raise UsageError(f"{file.name}: has {count} features; at most {MAX_FEATURES} are read")
                meta, ids, wkb, values = pyogrio.raw.read(
                    path, layer=gdal_layer, encoding=encoding, return_fids=True
                )
        except (DataSourceError, DataLayerError, UnicodeDecodeError, LookupError, ValueError) as error:
            raise UsageError(f"{file.name}: cannot be read: {error}") from error
        if path.suffix == ".shp" and has_measures(path):
            oddities = dict.fromkeys(range(len(ids)), "has M values")
        file.check_unchanged()
    if wkb is None:
        raise UsageError(f"{name}: has no geometry")
    geometries, broken = _shapes(wkb)
    columns = {
        field: [_python_value(value) for value in column]
        for field, column in zip(meta["fields"], values, strict=True)
    }
    numbers = np.arange(1, len(wkb) + 1)
    return FeatureTable(
        name, sha256, meta["crs"] or None, np.asarray(ids), numbers, geometries, broken, oddities, columns
    )


def _gather(
    file: SourceFile, roots: Sequence[Path], layer: str | None, folder: Path
) -> tuple[Path, str, str | None, str]:
    """Check a file and put it under a plain name: path, SHA-256, layer for GDAL, name for the catalogue."""
    head = file.head(256)
    suffix = file.path.suffix.lower()
    if head.startswith(b"PK\x03\x04") and suffix == ".zip":
        sha256 = file.sha256()
        return gather_zipped(file, layer, folder), sha256, None, _source_name(file, layer)
    if head.startswith(b"\x00\x00\x27\x0a") and suffix == ".shp":
        _no_layer(file, layer, file.path.stem)
        path, sha256 = gather_loose(file, roots, folder)
        return path, sha256, None, file.name
    if head.startswith(b"SQLite format 3\0") and suffix == ".gpkg":
        check_geopackage(file.path, file.name)
        chosen, is_only = _geopackage_layer(file, layer)
        target = folder / "source.gpkg"
        target.symlink_to(file.path)
        return target, file.sha256(), chosen, _source_name(file, None if is_only else chosen)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and suffix in (".geojson", ".json"):
        _no_layer(file, layer, None)
        check_geojson(file.path, file.size_bytes, file.name)
        target = folder / "source.geojson"
        target.symlink_to(file.path)
        return target, file.sha256(), None, file.name
    raise UsageError(
        f"{file.name}: begins as {describe_start(head)} and is named {suffix or 'without ending'}: "
        f"{READABLE}, under their usual endings"
    )


def _no_layer(file: SourceFile, layer: str | None, only: str | None) -> None:
    if layer is not None and layer != only:
        raise UsageError(f"{file.name}: has one layer only; leave --layer out")


def _geopackage_layer(file: SourceFile, layer: str | None) -> tuple[str, bool]:
    layers = layers_with_geometry(file.path, file.name)
    listed = ", ".join(layers)
    if not layers:
        raise UsageError(f"{file.name}: has no layer with geometry")
    if layer is None and len(layers) > 1:
        raise UsageError(f"{file.name}: has several layers, choose one with --layer: {listed}")
    if layer is not None and layer not in layers:
        raise UsageError(f"{file.name}: has no layer {layer!r}; there are: {listed}")
    return layer if layer is not None else layers[0], len(layers) == 1


def _source_name(file: SourceFile, layer: str | None) -> str:
    return file.name if layer is None else f"{file.name} {layer}"


def _shapes(wkb: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Geometries of well-known binary; what GEOS cannot take is None, with the reason."""
    try:
        with np.errstate(invalid="ignore"):  # coordinates that are not numbers are refused later, by row
            return np.asarray(shapely.from_wkb(wkb), dtype=object), {}
    except shapely.errors.GEOSException:
        pass
    geometries = np.empty(len(wkb), dtype=object)
    broken = {}
    for row, data in enumerate(wkb):
        try:
            with np.errstate(invalid="ignore"):
                geometries[row] = shapely.from_wkb(data)
        except shapely.errors.GEOSException as error:
            broken[row] = (
                str(error).removeprefix("IllegalArgumentException: ").removeprefix("ParseException: ")
            )
    return geometries, broken


def _python_value(value: Any) -> Any:
    """A column's value without numpy: None for every kind of null, whole numbers as int."""
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return None
        moment = value.astype("datetime64[us]").item()
        return moment if isinstance(moment, datetime | date) else str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else value
    return value
