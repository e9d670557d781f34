"""Another simulated district searched: how much of its ore the best ground of a model holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from db.connection import connect
from db.errors import UsageError
from db.registry import ModelRecord
from inference.device import choose_device
from inference.prospect.cells import Cells, cells_of, ranks_of
from inference.prospect.experiment.planted import Planted, on_grid
from inference.prospect.experiment.rows import mean_interval
from inference.prospect.experiment.training import Bench
from inference.prospect.matched_ground import Origin, matched_scene
from inference.prospect.shift import shift_of
from inference.prospect.trained import load_prospect_model

TOP_SHARES = (0.01, 0.05, 0.1, 0.2)


def search_other(bench: Bench, record: ModelRecord, away: Planted) -> dict[str, Any]:
    """How many of the other district's dykes the best ground of a model holds.

    Args:
        bench: where and how.
        record: the model.
        away: the district; its geology is in the database.

    Returns:
        ``model``, ``cells``, what `shares_found` gives, and ``shift``: how far the district's features lie
        from those of training. Or ``refused``: why the model cannot search it.

    """
    with connect(bench.url, application_name="lode experiment") as conn:
        model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
        try:
            ground = matched_scene(conn, away.product, model, Origin.of(record.training), _unheard)
        except UsageError as error:
            return {"model": record.name, "refused": str(error)}
        conn.commit()
    stride_px = bench.preset.stride_px
    standardised = model.standardise(ground.values)
    scores = model.score(standardised, ground.is_valid, stride_px)
    cells = cells_of(scores, ground.is_valid, ground.grid, patch_px=model.patch_px, stride_px=stride_px)
    points = shapely.point_on_surface(on_grid(away.ore, away.srid, ground.grid))
    return {
        "model": record.name,
        "cells": cells.count,
        **shares_found(cells, shapely.get_x(points), shapely.get_y(points), away.clusters),
        "shift": shift_of(model.normalisation, standardised, ground.is_valid).as_json(),
    }


def shares_found(
    cells: Cells, x: NDArray[np.float64], y: NDArray[np.float64], clusters: NDArray[np.int64]
) -> dict[str, Any]:
    """Share of deposits in the cells of highest probability that make up 1, 5, 10 and 20 % of the area.

    Args:
        cells: probabilities.
        x: (n,) of the deposits, in the CRS of the cells.
        y: likewise.
        clusters: (n,) what is drawn together for the intervals.

    Returns:
        ``deposits``: all of them; ``unscored``: those where no cell has a probability, which count as not
        found; and ``top``: by share of the area value, low and high. Cells of equal probability count as the
        worst of them.

    """
    grid = cells.grid
    rows = np.floor((grid.origin_y - y) / grid.resolution_y).astype(np.int64)
    cols = np.floor((x - grid.origin_x) / grid.resolution_x).astype(np.int64)
    on_cells = (rows >= 0) & (rows < grid.height_px) & (cols >= 0) & (cols < grid.width_px)
    ranked = np.full(cells.probability.shape, np.inf)
    # of equals the last rank, so that a constant answer finds nothing
    ranked[cells.is_scored] = cells.count + 1 - ranks_of(-cells.probability[cells.is_scored])
    at = np.full(len(x), np.inf)
    at[on_cells] = ranked[rows[on_cells], cols[on_cells]] / max(cells.count, 1)
    return {
        "deposits": len(x),
        "unscored": int(np.isinf(at).sum()),
        "top": {
            f"{share:g}": mean_interval((at <= share).astype(np.float64), clusters) for share in TOP_SHARES
        },
    }


def _unheard(_line: str) -> None:
    """The same notes would come for every model."""
