"""Reports as GeoPackages: outlines as layers and tables beside them, for QGIS and other programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from db.errors import UsageError
from db.geopackage import descriptions
from db.reports.report import Report, plain_value

_MARK = "Lode report: "
"""What the description of every layer begins with."""


def write_geopackage(
    path: Path, layers: Mapping[str, Report], tables: Mapping[str, Report], *, about: str, name: str
) -> None:
    """Write layers and tables to a new file.

    Args:
        path: the file; what is there is not looked at.
        layers: by name; the last column, geom, is WKB of a MultiPolygon in EPSG:4326.
        tables: by name, without outlines.
        about: whose report it is; stands in the description of every layer.
        name: what the user calls the file.

    Raises:
        UsageError: GDAL cannot write it, e.g. because the disk is full; names the file.

    """
    try:
        for layer, report in layers.items():
            outlines = np.array([_multi_wkb(row[-1]) for row in report.rows], object)
            _append(path, layer, report, len(report.columns) - 1, outlines, about)
        for layer, report in tables.items():
            _append(path, layer, report, len(report.columns), None, about)
        for layer, report in {**layers, **tables}.items():
            # GDAL may only log what failed at the end.
            found = pyogrio.read_info(path, layer=layer)["features"]
            if found != len(report.rows):
                raise UsageError(f"{name}: cannot be written: {found} of {len(report.rows)} rows of {layer}")
    except (DataSourceError, DataLayerError) as error:
        raise UsageError(f"{name}: cannot be written: {error}") from None


def is_geopackage_of_ours(path: Path) -> bool:
    """Whether a file is a GeoPackage that holds a report and nothing else."""
    try:
        found = descriptions(path, path.name)
    except UsageError:
        return False
    return bool(found) and all(text.startswith(_MARK) for text in found)


def _append(
    path: Path, layer: str, report: Report, count: int, outlines: np.ndarray[Any, Any] | None, about: str
) -> None:
    """Add a layer of the first ``count`` columns, with outlines or without."""
    columns = [
        _column(name, [row[at] for row in report.rows]) for at, name in enumerate(report.columns[:count])
    ]
    pyogrio.raw.write(
        path,
        outlines,
        [values for values, _missing in columns],
        list(report.columns[:count]),
        field_mask=[missing for _values, missing in columns],
        layer=layer,
        driver="GPKG",
        geometry_type=None if outlines is None else "MultiPolygon",
        crs=None if outlines is None else "EPSG:4326",
        append=path.exists(),
        dataset_options=None if path.exists() else {"VERSION": "1.2"},  # what QGIS 3.22 knows whole
        layer_options={"DESCRIPTION": _MARK + about},
    )


def _multi_wkb(wkb: bytes) -> bytes:
    geometry = shapely.from_wkb(wkb)
    if isinstance(geometry, shapely.Polygon):
        geometry = shapely.MultiPolygon([geometry])
    return bytes(shapely.to_wkb(geometry))


def _column(name: str, values: list[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Values of the type they have, and where they are null."""
    missing = np.array([value is None for value in values], bool)
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return np.array([bool(value) for value in values], bool), missing
    if kinds == {int}:
        return np.array([value or 0 for value in values], np.int64), missing
    if (kinds and kinds <= {int, float, Decimal}) or (not kinds and name.endswith(_NUMBERS)):
        return np.array([float(value or 0) for value in values], np.float64), missing
    if kinds == {date}:
        return np.array(values, "datetime64[D]"), missing
    return np.array(["" if value is None else _text(value) for value in values], object), missing


_NUMBERS = ("_m2", "_km2", "_fraction", "share", "_rate", "confidence", "probability", "_accuracy")


def _text(value: object) -> str:
    plain = plain_value(value)
    return " ".join(map(str, plain)) if isinstance(plain, list) else str(plain)
