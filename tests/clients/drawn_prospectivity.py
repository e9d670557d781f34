"""A search without deposits whose scores are drawn, published as `lode prospect apply` does.

Ground and cells are those of `tests.db.prospect_rows`: cells of 150 m in UTM zone 45 N, 6 down and 12 across.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.prospect_runs import PROSPECTIVITY, SCORED_BAND_NAMES, NewProspectRun, NewReason, NewTarget
from db.raster import Grid
from inference.prospect.cells import Cells
from inference.prospect.publishing import Publication, cell_rows, publish
from inference.prospect.targets import find_targets
from tests.db import prospect_rows as rows

REASONS = (
    NewReason(1, 1, 1, "element", "Cr", 2100.0, "ppm", 840.0, 4.2, 0.7),
    NewReason(1, 1, 2, "geology", "near pluton (peridotite), range 500 m", 0.0, "m", None, None, 1.0),
)
"""Of the first cell of the best target."""
ANOMALY = {0.95: 7.5, 0.8: 1.2, 0.1: 0.0}
"""Anomaly of the cells of each prospectivity; the highest lies in the class without an upper end."""


def drawn_bands() -> NDArray[np.float32]:
    """(6, 6, 12) in the order of ``SCORED_BAND_NAMES``, NaN in the four cells without a score."""
    prospectivity = rows.probabilities()
    anomaly = np.full(prospectivity.shape, np.nan)
    for score, value in ANOMALY.items():
        anomaly[prospectivity == np.float32(score)] = value
    scores: dict[str, NDArray[Any]] = {
        "prospectivity": prospectivity,
        "anomaly": anomaly,
        "favourability": prospectivity / 2,
        "prospectivity_spread": prospectivity / 16,
        "anomaly_spread": anomaly / 8,
        "favourability_spread": prospectivity * 0,
    }
    return np.stack([scores[name] for name in SCORED_BAND_NAMES]).astype(np.float32)


def add_drawn_prospectivity(url: str, conn: Connection[Any]) -> int:
    """Area, model, geology and the search, committed; returns the key of the search."""
    area_id = rows.add_area(conn)
    model_id = rows.add_prospect_model(conn, training={}, metrics={})
    conn.execute(
        "update lode.model set task = 'evidence', architecture = 'vit' where model_id = %s", (model_id,)
    )
    deposit_id = rows.add_geology(conn)
    conn.commit()
    bands = drawn_bands()
    down, across = bands.shape[1:]
    grid = Grid(rows.SRID, rows.WEST, rows.NORTH, rows.CELL_M, rows.CELL_M, across, down)
    cells = Cells(grid, 1, bands[0])
    targets = find_targets(cells, rows.THRESHOLD, least_cells=1, most_targets=500)
    figures = {
        "cells": cells.count,
        "targets": len(targets.listed),
        "targets_found": targets.found,
        "target_area_m2": sum(target.area_m2 for target in targets.listed),
    }
    run = NewProspectRun(
        *(model_id, None, area_id, {"top": 0.05}, "drawn", rows.THRESHOLD, rows.CELL_M, figures, "drawn", {}),
        band_names=SCORED_BAND_NAMES,
        score_kind=PROSPECTIVITY,
    )
    evidence: list[dict[str, Any]] = [{"name": "Cr", "value": 2100.0, "unit": "ppm", "deviations": 4.2}]
    publication = Publication(
        run=run,
        ground=rows.AREA,
        earlier=(),
        grid=grid,
        bands=bands,
        cells=lambda: cell_rows(cells, bands[1:]),
        count=cells.count,
        targets=[
            NewTarget(
                target.rank,
                target.geometry,
                target.area_m2,
                target.cells,
                target.mean_probability,
                target.highest_probability,
                120.5,
                None,
                0.0,
                deposit_id,
                evidence,
            )
            for target in targets.listed
        ],
        comment="Prospectivity, anomaly, favourability and their spreads, of search",
        reasons=lambda: iter(REASONS),
    )
    return publish(url, publication, is_again=False, report=lambda _line: None).run_id
