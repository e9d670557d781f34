"""Cells of a search as rows of a binary COPY."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from db.landcover_rows import HEADER as HEADER
from db.landcover_rows import TRAILER as TRAILER

COLUMNS = "prospect_run_id, row_px, col_px, probability, rank, geom"
"""Columns of ``lode.prospect`` in the order of the rows."""

SCORES = ("anomaly", "favourability", "prospectivity_spread", "anomaly_spread", "favourability_spread")
"""Columns that follow where cells have more scores than one."""

_POLYGON_WITH_SRID = 0x20000003
_SRID = 4326

# Polygon of one ring of five vertices: OGC 06-103r4 section 8.2 (WKB), with the SRID flag of PostGIS's EWKB.
_POLYGON = np.dtype(
    [
        ("order", "u1"),
        ("type", "<u4"),
        ("srid", "<u4"),
        ("rings", "<u4"),
        ("points", "<u4"),
        ("vertices", "<f8", (5, 2)),
    ]
)
# Every row is as long as the next, so that all are one array: no field of it is ever null.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("run_id_bytes", ">i4"),
        ("run_id", ">i4"),
        ("row_px_bytes", ">i4"),
        ("row_px", ">i4"),
        ("col_px_bytes", ">i4"),
        ("col_px", ">i4"),
        ("probability_bytes", ">i4"),
        ("probability", ">f8"),
        ("rank_bytes", ">i4"),
        ("rank", ">i4"),
        ("geom_bytes", ">i4"),
        ("geom", _POLYGON),
    ]
)
_SCORED_ROW = np.dtype(
    [
        *((name, _ROW[name]) for name in _ROW.names or ()),
        *(field for name in SCORES for field in ((f"{name}_bytes", ">i4"), (name, ">f8"))),
    ]
)


def columns_of(*, are_scored: bool) -> str:
    """Columns of ``lode.prospect`` in the order of the rows, of cells with one score or with all."""
    return ", ".join((COLUMNS, *SCORES)) if are_scored else COLUMNS


@dataclass(frozen=True)
class CellRows:
    """Cells in the order in which they are stored.

    Attributes:
        row_px, col_px: ``(n,)`` places among the cells of the search, from 0.
        probability: ``(n,)`` 0..1.
        rank: ``(n,)`` from 1.
        rings: ``(n, 5, 2)`` longitude and latitude of the closed outlines, degrees, EPSG:4326.
        scores: ``(n, 5)`` finite, see ``SCORES``; None: the cells have a probability alone.

    """

    row_px: npt.NDArray[np.integer]
    col_px: npt.NDArray[np.integer]
    probability: npt.NDArray[np.floating]
    rank: npt.NDArray[np.integer]
    rings: npt.NDArray[np.float64]
    scores: npt.NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        lengths = {len(each) for each in vars(self).values() if each is not None}
        if len(lengths) > 1 or self.rings.shape[1:] != (5, 2):
            raise UsageError(
                f"cells need as many places, probabilities, ranks and rings of 5 vertices, got {lengths} and "
                f"rings of {self.rings.shape}"
            )
        if self.scores is not None and (
            self.scores.shape[1:] != (len(SCORES),) or not np.isfinite(self.scores).all()
        ):
            raise UsageError(f"cells need {len(SCORES)} finite scores each, got {self.scores.shape}")

    def __len__(self) -> int:
        return len(self.rank)

    def encode(self, run_id: int) -> memoryview:
        """Encode the rows for a COPY of ``columns_of``, between ``HEADER`` and ``TRAILER``."""
        rows = np.zeros(len(self), _ROW if self.scores is None else _SCORED_ROW)
        rows["fields"] = 6 if self.scores is None else 6 + len(SCORES)
        for name in ("run_id", "row_px", "col_px", "rank"):
            rows[f"{name}_bytes"] = 4
        rows["probability_bytes"], rows["geom_bytes"] = 8, _POLYGON.itemsize
        rows["run_id"], rows["row_px"], rows["col_px"] = run_id, self.row_px, self.col_px
        rows["probability"], rows["rank"] = self.probability, self.rank
        outline = rows["geom"]
        outline["order"], outline["type"], outline["srid"] = 1, _POLYGON_WITH_SRID, _SRID
        outline["rings"], outline["points"] = 1, 5
        outline["vertices"] = self.rings
        if self.scores is not None:
            for place, name in enumerate(SCORES):
                rows[f"{name}_bytes"], rows[name] = 8, self.scores[:, place]
        return rows.view(np.uint8).data
