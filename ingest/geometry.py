"""The rules a shape must obey to be stored, and what ``--repair`` may do about one that does not.

All or nothing: one shape that cannot be stored refuses the file, with its row and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from db.errors import UsageError
from ingest.crs import WGS84_SRID, FileCrs
from ingest.vectors import FeatureTable

MAX_VERTICES = 5_000_000
"""Vertices of one shape; PostGIS checks a million in seconds."""

SHOWN_PROBLEMS = 5
MAX_EDGE_M = 1000.0
"""Longer edges of a projected CRS are divided before transforming: they then stay where they were drawn."""

AREA_OF_USE_MARGIN_DEGREES = 6.0
"""How far outside of its CRS's area of use a shape may lie: a UTM zone's width."""

_KINDS = {
    "polygons": ("Polygon", "MultiPolygon"),
    "lines": ("LineString", "MultiLineString"),
    "points": ("Point", "MultiPoint"),
}


@dataclass(frozen=True)
class Shapes:
    """Shapes ready to be stored.

    Attributes:
        geometries: MultiPolygon, MultiLineString or Point in EPSG:4326, valid, one a row.
        repaired: rows (from 0) that were repaired, with what was wrong.

    """

    geometries: npt.NDArray[np.object_]
    repaired: Mapping[int, str]


def storable_shapes(table: FeatureTable, crs: FileCrs, kind: str, *, repair: bool) -> Shapes:
    """Check, transform and where asked repair the shapes of a table.

    Args:
        table: features as read.
        crs: CRS of their coordinates.
        kind: ``polygons``, ``lines`` or ``points``.
        repair: whether invalid shapes may be made valid; Z and M values are then dropped.

    Raises:
        UsageError: rows that cannot be stored, each with its reason.

    """
    judge = _Judge(table, kind, repair)
    with np.errstate(invalid="ignore"):  # coordinates that are not numbers are refused below
        return _judged(judge, table, crs, kind)


def _judged(judge: _Judge, table: FeatureTable, crs: FileCrs, kind: str) -> Shapes:
    for row, reason in table.broken.items():
        judge.refuse(row, reason)
    for row, what in table.oddities.items():
        judge.doubt(row, what, is_repairable=what == "has M values")
    judge.check_as_drawn(crs)
    judge.stop_if_refused()
    judge.transform(crs)
    judge.check_transformed(crs)
    judge.stop_if_refused()
    return Shapes(_as_stored(judge.shapes, kind), judge.repaired)


class _Judge:
    """Goes through the rules, collecting what is refused and what was repaired."""

    def __init__(self, table: FeatureTable, kind: str, repair: bool) -> None:
        self.shapes = table.geometries.copy()
        self.repaired: dict[int, str] = {}
        self._table = table
        self._kind = kind
        self._repair = repair
        self._refused: dict[int, str] = {}

    def refuse(self, row: int, reason: str) -> None:
        self._refused.setdefault(row, reason)

    def doubt(self, row: int, reason: str, *, is_repairable: bool) -> bool:
        """Note something wrong with a row; returns whether it is to be repaired."""
        if row in self._refused:
            return False
        if not is_repairable:
            self.refuse(row, reason)
        elif not self._repair:
            self.refuse(row, f"{reason} (--repair mends it)")
        else:
            self.repaired.setdefault(row, reason)
            return True
        return False

    def stop_if_refused(self) -> None:
        if not self._refused:
            return
        rows = sorted(self._refused)
        shown = "; ".join(
            f"{self._table.row_name(row)}: {self._refused[row]}" for row in rows[:SHOWN_PROBLEMS]
        )
        more = f"; and {len(rows) - SHOWN_PROBLEMS} more" if len(rows) > SHOWN_PROBLEMS else ""
        raise UsageError(
            f"{self._table.name}: {len(rows)} of {len(self.shapes)} features cannot be stored, "
            f"so none was: {shown}{more}"
        )

    def check_as_drawn(self, crs: FileCrs) -> None:
        """Rules in the file's own coordinates."""
        shapes = self.shapes
        for row in np.flatnonzero(shapely.is_missing(shapes)):
            self.refuse(int(row), "has no geometry")
        for row in np.flatnonzero(shapely.is_empty(shapes)):
            self.refuse(int(row), "its geometry is empty")
        for row in np.flatnonzero(shapely.get_num_coordinates(shapes) > MAX_VERTICES):
            self.refuse(int(row), f"has more than {MAX_VERTICES} vertices; simplify or divide it")
        for odd in self._rows_with_odd_coordinates(crs):
            self.refuse(odd, f"has coordinates outside the range of {crs.name}: {_bounds_text(shapes[odd])}")
        for test, what in ((shapely.has_z, "has Z values"), (shapely.has_m, "has M values")):
            for row in np.flatnonzero(test(shapes)):
                if self.doubt(int(row), what, is_repairable=True):
                    shapes[row] = shapely.force_2d(shapes[row])
        self._check_types()
        self._check_validity("")

    def _rows_with_odd_coordinates(self, crs: FileCrs) -> list[int]:
        bounds = shapely.bounds(self.shapes)
        present = ~(shapely.is_missing(self.shapes) | shapely.is_empty(self.shapes))
        coordinates, rows = shapely.get_coordinates(self.shapes, return_index=True)
        odd = np.zeros(len(self.shapes), bool)
        odd[rows[~np.isfinite(coordinates).all(axis=1)]] = True
        if crs.crs.is_geographic and not crs.crs.is_bound:
            unit = crs.crs.axis_info[0].unit_conversion_factor
            half_turn = np.pi / unit * (1 + 1e-12)
            limits = np.array([-half_turn, -half_turn / 2, half_turn, half_turn / 2])
            with np.errstate(invalid="ignore"):
                odd |= (bounds[:, :2] < limits[:2]).any(axis=1) | (bounds[:, 2:] > limits[2:]).any(axis=1)
        return [int(row) for row in np.flatnonzero(odd & present)]

    def _check_types(self) -> None:
        for row, shape in enumerate(self.shapes.tolist()):
            if shape is None or row in self._refused or shape.geom_type in _KINDS[self._kind]:
                continue
            if shape.geom_type == "GeometryCollection" and _parts(shape, self._kind):
                if self.doubt(row, "is a GeometryCollection", is_repairable=True):
                    self.shapes[row] = _merged(shape, self._kind)
            else:
                self.refuse(row, f"is a {shape.geom_type}, where {self._kind} are expected")
        if self._kind == "points":
            counts = shapely.get_num_geometries(self.shapes)
            for several in np.flatnonzero(counts > 1):
                self.refuse(int(several), f"is a MultiPoint of {counts[several]} points")

    def _check_validity(self, when: str) -> None:
        if self._kind == "lines":
            for row in np.flatnonzero(shapely.length(self.shapes) == 0):
                self.refuse(int(row), "is a line of zero length")
        for row in np.flatnonzero(~shapely.is_valid(self.shapes) & ~shapely.is_missing(self.shapes)):
            reason = f"{shapely.is_valid_reason(self.shapes[row])}{when}"
            if self.doubt(int(row), reason, is_repairable=True):
                valid = _merged(_made_valid(self.shapes[row], self._kind), self._kind)
                if valid is None:
                    self.refuse(int(row), f"{reason}; nothing is left of it when repaired")
                else:
                    self.shapes[row] = valid

    def transform(self, crs: FileCrs) -> None:
        """To EPSG:4326, longitude first."""
        if crs.srid == WGS84_SRID:
            return
        shapes = self.shapes
        if crs.crs.is_projected:
            metres = crs.crs.axis_info[0].unit_conversion_factor
            shapes = shapely.segmentize(shapes, MAX_EDGE_M / metres)
        transformer = crs.to_wgs84()
        self.shapes = shapely.transform(
            shapes, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
        )

    def check_transformed(self, crs: FileCrs) -> None:
        """Rules in longitude and latitude."""
        bounds = shapely.bounds(self.shapes)
        coordinates, rows = shapely.get_coordinates(self.shapes, return_index=True)
        outside = np.zeros(len(self.shapes), bool)
        outside[rows[~np.isfinite(coordinates).all(axis=1)]] = True
        area = crs.crs.area_of_use
        if area is not None and not crs.crs.is_geographic and area.west < area.east:
            margin = AREA_OF_USE_MARGIN_DEGREES
            outside |= (bounds[:, 0] < area.west - margin) | (bounds[:, 2] > area.east + margin)
            outside |= (bounds[:, 1] < area.south - margin) | (bounds[:, 3] > area.north + margin)
        for row in np.flatnonzero(outside):
            self.refuse(
                int(row),
                f"lies far from where {crs.name} is used ({_bounds_text(self._table.geometries[row])}): "
                "are its coordinates swapped, or is its reference system wrong?",
            )
        for row in np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180):
            self.refuse(int(row), "reaches across the 180th meridian; divide it there")
        self._check_validity(f" (after the transformation from {crs.name})" if crs.srid != WGS84_SRID else "")


def _bounds_text(shape: shapely.Geometry) -> str:
    west, south, east, north = shapely.bounds(shape)
    return f"x {west:.10g} to {east:.10g}, y {south:.10g} to {north:.10g}"


def _made_valid(shape: shapely.Geometry, kind: str) -> shapely.Geometry:
    if kind == "polygons":
        return shapely.make_valid(shape, method="structure", keep_collapsed=False)
    return shapely.make_valid(shape)


def _parts(shape: shapely.Geometry, kind: str) -> list[shapely.Geometry]:
    """Single parts of the wanted kind, from within collections too."""
    found = []
    for part in shapely.get_parts(shape):
        if part.geom_type == "GeometryCollection" or part.geom_type.startswith("Multi"):
            found += _parts(part, kind)
        elif part.geom_type == _KINDS[kind][0] and not part.is_empty:
            found.append(part)
    return found


def _merged(shape: shapely.Geometry, kind: str) -> shapely.Geometry | None:
    """The parts of the wanted kind as one valid shape; None when there are none."""
    parts = _parts(shape, kind)
    if not parts:
        return None
    if kind == "lines":
        parts = [part for part in parts if part.length > 0] or parts[:1]
        return shapely.MultiLineString(parts)
    merged: shapely.Geometry = shapely.union_all(parts) if kind == "polygons" else parts[0]
    return merged


def _as_stored(shapes: npt.NDArray[np.object_], kind: str) -> npt.NDArray[np.object_]:
    """MultiPolygon, MultiLineString or Point, as the tables have them."""
    wrap = {"polygons": shapely.MultiPolygon, "lines": shapely.MultiLineString}.get(kind)
    stored = np.empty(len(shapes), dtype=object)
    for row, shape in enumerate(shapes):
        if wrap is None:
            stored[row] = shapely.get_geometry(shape, 0) if shape.geom_type == "MultiPoint" else shape
        else:
            stored[row] = shape if shape.geom_type.startswith("Multi") else wrap([shape])
    return stored
