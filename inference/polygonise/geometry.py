"""Polygons that share one table of vertices, and their way to WGS 84, EWKB and shapely."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer

from db.errors import UsageError
from db.jit import compiled, read_only

WGS84_SRID = 4326

_SRID_FLAG = 0x20000000
_POLYGON = 3
_MULTIPOLYGON = 6
_LITTLE_ENDIAN = 1

# Making a transformer takes as long as transforming some 10,000 vertices.
_VERTICES_AT_A_TIME = 200_000


@dataclass(frozen=True)
class Ewkb:
    """Geometries as PostGIS reads them, one after the other: i is ``buffer[offsets[i]:offsets[i + 1]]``."""

    buffer: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to_list(self) -> list[bytes]:
        """Return one ``bytes`` per geometry."""
        whole, ends = self.buffer.data, self.offsets.tolist()
        return [bytes(whole[begin:end]) for begin, end in pairwise(ends)]


@dataclass(frozen=True)
class Polygons:
    """Polygons with holes as ragged arrays over shared vertices.

    ``vertices (v, 2)`` float64: x, y, each once for all polygons that pass there. ``vertex (m,)`` int32:
    indices into ``vertices``; rings are closed. ``ring_offsets (rings + 1,)`` into ``vertex``,
    ``polygon_offsets (n + 1,)`` into the rings; the first ring of a polygon is its shell. Shells run
    counter-clockwise, holes clockwise.
    """

    vertices: npt.NDArray[np.float64]
    vertex: npt.NDArray[np.int32]
    ring_offsets: npt.NDArray[np.int64]
    polygon_offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.polygon_offsets) - 1

    def __getitem__(self, part: slice) -> "Polygons":
        """Return consecutive polygons, over the same table of vertices."""
        begin, end, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"polygons are taken one after the other, got a step of {step}")
        rings = self.polygon_offsets[begin : max(begin, end) + 1]
        points = self.ring_offsets[rings[0] : rings[-1] + 1]
        return Polygons(
            self.vertices, self.vertex[points[0] : points[-1]], points - points[0], rings - rings[0]
        )

    @property
    def coords(self) -> npt.NDArray[np.float64]:
        """Coordinates ``(m, 2)`` of all rings in order."""
        return self.vertices[self.vertex]

    def with_vertices(self, vertices: npt.NDArray[np.float64]) -> "Polygons":
        """Return the same polygons over moved vertices ``(v, 2)``."""
        return replace(self, vertices=vertices)

    def to_shapely(self) -> npt.NDArray[Any]:
        """Return an object array ``(n,)`` of ``shapely.Polygon``."""
        offsets = (self.ring_offsets, self.polygon_offsets)
        polygons: npt.NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, self.coords, offsets
        )
        return polygons

    def to_ewkb(self, srid: int, *, as_one: bool = False) -> Ewkb:
        """Encode each polygon as a MultiPolygon of one part with its SRID, or all as one MultiPolygon.

        Layout: OGC 06-103r4 section 8.2 (WKB), with the SRID flag of PostGIS's EWKB; little-endian. No
        polygons ``as_one`` are ``MULTIPOLYGON EMPTY``.
        """
        parts = np.array([0, len(self)]) if as_one else np.arange(len(self) + 1)
        rings = self.polygon_offsets[parts]
        points = self.ring_offsets[rings]
        # Head of 13 bytes; per polygon 9; per ring 4; per point 16.
        offsets = 13 * np.arange(len(parts)) + 9 * parts + 4 * rings + 16 * points
        buffer = np.empty(offsets[-1], np.uint8)
        # Bytes are in the order that the head announces on machines of either order.
        vertex_bytes = read_only(self.vertices.astype("<f8", copy=False)).view(np.uint8)
        _write_ewkb(
            vertex_bytes, self.vertex, self.ring_offsets, self.polygon_offsets, parts, offsets, srid, buffer
        )
        return Ewkb(buffer, offsets)


def to_wgs84(vertices: npt.NDArray[np.float64], source_srid: int) -> npt.NDArray[np.float64]:
    """Transform x, y ``(v, 2)`` of an EPSG code to longitude, latitude in degrees of WGS 84 (EPSG:4326).

    Raises ``UsageError`` when PROJ cannot transform a point, thus for a grid outside its projection.
    """
    if source_srid == WGS84_SRID:
        return vertices
    moved = np.empty((len(vertices), 2))

    def transform(first: int) -> None:
        # A transformer belongs to one thread; PROJ works outside the interpreter's lock.
        part = slice(first, first + _VERTICES_AT_A_TIME)
        transformer = Transformer.from_crs(source_srid, WGS84_SRID, always_xy=True)
        moved[part, 0], moved[part, 1] = transformer.transform(vertices[part, 0], vertices[part, 1])

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        list(threads.map(transform, range(0, len(vertices), _VERTICES_AT_A_TIME)))
    if not np.isfinite(moved).all():
        x, y = vertices[~np.isfinite(moved).all(axis=1)][0]
        raise UsageError(
            f"EPSG:{source_srid} ({x}, {y}) has no longitude and latitude: check the scene's CRS and origin"
        )
    return moved


@compiled
def _write_uint32(buffer: npt.NDArray[np.uint8], at: int, value: int) -> int:
    for byte in range(4):
        buffer[at + byte] = (value >> (8 * byte)) & 0xFF
    return at + 4


@compiled
def _write_ewkb(
    vertex_bytes: npt.NDArray[np.uint8],
    vertex: npt.NDArray[np.int32],
    ring_offsets: npt.NDArray[np.int64],
    polygon_offsets: npt.NDArray[np.int64],
    parts: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    srid: int,
    buffer: npt.NDArray[np.uint8],
) -> None:
    for geometry in range(len(parts) - 1):
        at = offsets[geometry]
        buffer[at] = _LITTLE_ENDIAN
        at = _write_uint32(buffer, at + 1, _MULTIPOLYGON | _SRID_FLAG)
        at = _write_uint32(buffer, at, srid)
        at = _write_uint32(buffer, at, parts[geometry + 1] - parts[geometry])
        for polygon in range(parts[geometry], parts[geometry + 1]):
            buffer[at] = _LITTLE_ENDIAN
            at = _write_uint32(buffer, at + 1, _POLYGON)
            at = _write_uint32(buffer, at, polygon_offsets[polygon + 1] - polygon_offsets[polygon])
            for ring in range(polygon_offsets[polygon], polygon_offsets[polygon + 1]):
                at = _write_uint32(buffer, at, ring_offsets[ring + 1] - ring_offsets[ring])
                for point in range(ring_offsets[ring], ring_offsets[ring + 1]):
                    for byte in range(16):
                        buffer[at + byte] = vertex_bytes[vertex[point], byte]
                    at += 16
