"""Polygons of land cover as rows of a binary COPY, with their area."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from db.geodesic import areas_m2
from db.jit import compiled, read_only

COLUMNS = "run_id, land_class_code, geom, start_date, end_date, area_m2, mean_probability"
"""Columns of ``lode.landcover`` in the order of the rows."""

# Of the binary COPY format (PostgreSQL documentation, COPY): signature, flags and length of an extension.
# Each row begins with the count of its fields, each field with its length in bytes, -1 for null; big-endian.
HEADER = struct.pack(">11sii", b"PGCOPY\n\xff\r\n\0", 0, 0)
TRAILER = struct.pack(">h", -1)

_BEFORE_GEOMETRY = np.dtype(
    [
        ("fields", ">i2"),
        ("run_id_bytes", ">i4"),
        ("run_id", ">i4"),
        ("land_class_code_bytes", ">i4"),
        ("land_class_code", ">i4"),
        ("geom_bytes", ">i4"),
    ]
)
_AFTER_GEOMETRY = np.dtype(
    [
        ("start_date_bytes", ">i4"),
        ("start_date", ">i4"),
        ("end_date_bytes", ">i4"),
        ("end_date", ">i4"),
        ("area_m2_bytes", ">i4"),
        ("area_m2", ">f8"),
        ("mean_probability_bytes", ">i4"),
        ("mean_probability", ">f8"),
    ]
)
_DAY_0 = date(2000, 1, 1)


@dataclass(frozen=True)
class LandcoverRows:
    """Polygons in the order in which they are stored.

    Attributes:
        class_code: ``(n,)`` integers.
        ewkb: the geometries' bytes one after the other, uint8; MultiPolygons in EPSG:4326.
        offsets: ``(n + 1,)`` int64; geometry i is ``ewkb[offsets[i]:offsets[i + 1]]``.
        mean_probability: ``(n,)`` float64 0..1, NaN where there is none.

    """

    class_code: npt.NDArray[np.integer]
    ewkb: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    mean_probability: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        lengths = (len(self.class_code), len(self.offsets) - 1, len(self.mean_probability))
        if len(set(lengths)) > 1:
            raise UsageError(f"classes, geometries and probabilities differ in number: {lengths}")

    def __len__(self) -> int:
        return len(self.class_code)

    @classmethod
    def of(cls, polygons: Iterable[tuple[int, bytes, float | None]]) -> LandcoverRows:
        """Take class code, EWKB and mean probability (None: there is none) of each polygon."""
        listed = list(polygons)
        geometries = [ewkb for _, ewkb, _ in listed]
        return cls(
            np.array([code for code, _, _ in listed], np.int32),
            np.frombuffer(b"".join(geometries), np.uint8),
            np.cumsum([0, *map(len, geometries)], dtype=np.int64),
            np.array([np.nan if mean is None else mean for _, _, mean in listed], np.float64),
        )

    def encode(self, run_id: int, year: int) -> memoryview:
        """Encode the rows for a COPY of ``COLUMNS``, between ``HEADER`` and ``TRAILER``.

        Raises:
            UsageError: a geometry is no MultiPolygon in EPSG:4326.

        """
        area_m2 = areas_m2(self.ewkb, self.offsets)
        before = np.zeros(len(self), _BEFORE_GEOMETRY)
        before["fields"] = 7
        before["run_id_bytes"] = before["land_class_code_bytes"] = 4
        before["run_id"], before["land_class_code"] = run_id, self.class_code
        before["geom_bytes"] = np.diff(self.offsets)
        after = np.zeros(len(self), _AFTER_GEOMETRY)
        after["start_date_bytes"] = after["end_date_bytes"] = 4
        after["start_date"] = (date(year, 1, 1) - _DAY_0).days
        after["end_date"] = (date(year + 1, 1, 1) - _DAY_0).days
        after["area_m2_bytes"], after["area_m2"] = 8, area_m2
        has_probability = ~np.isnan(self.mean_probability)
        after["mean_probability_bytes"] = np.where(has_probability, 8, -1)
        after["mean_probability"] = self.mean_probability
        # A null has no bytes after its length: what follows the geometry is shorter by them.
        after_bytes = np.where(has_probability, _AFTER_GEOMETRY.itemsize, _AFTER_GEOMETRY.itemsize - 8)
        ewkb_bytes = int(self.offsets[-1] - self.offsets[0])
        stream = np.empty(before.nbytes + ewkb_bytes + int(after_bytes.sum()), np.uint8)
        _interleave(
            before.view(np.uint8).reshape(-1, _BEFORE_GEOMETRY.itemsize),
            read_only(self.ewkb),
            read_only(self.offsets),
            after.view(np.uint8).reshape(-1, _AFTER_GEOMETRY.itemsize),
            after_bytes,
            stream,
        )
        return stream.data


@compiled
def _interleave(
    before: npt.NDArray[np.uint8],
    ewkb: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    after: npt.NDArray[np.uint8],
    after_bytes: npt.NDArray[np.int64],
    stream: npt.NDArray[np.uint8],
) -> None:
    """Write of each row what stands before the geometry, the geometry, and what stands after it."""
    at = 0
    for row in range(len(before)):
        for byte in range(before.shape[1]):
            stream[at + byte] = before[row, byte]
        at += before.shape[1]
        size = offsets[row + 1] - offsets[row]
        stream[at : at + size] = ewkb[offsets[row] : offsets[row + 1]]
        at += size
        for byte in range(after_bytes[row]):
            stream[at + byte] = after[row, byte]
        at += after_bytes[row]
