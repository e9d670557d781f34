"""The real part: a survey with few known deposits, one side of a parallel learned from, the other judged.

All methods rank the same cells of the side that was not learned from. The figure is the area under the ROC
curve of the deposits against the rest of the judged cells there: the mean over the deposits of the share of
those cells that have a lower score (Hanley and McNeil 1982). Deposits whose patches overlap share ground and
are nearly one observation: intervals come from drawing such groups of deposits anew. Beside it stand the
figures of the trained models on the test patches, which are few and overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyproj
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from db.connection import connect
from db.raster import Grid
from db.registry import ModelRecord
from inference.device import choose_device
from inference.prospect.cells import cells_of
from inference.prospect.channels import GeologyChoice
from inference.prospect.contents import from_log10
from inference.prospect.dataset import PatchSet, SetRequest
from inference.prospect.experiment.plan import MAIN, REAL_ROWS
from inference.prospect.experiment.rows import mean_interval, over_seeds, patch_row
from inference.prospect.experiment.sets import kept_set
from inference.prospect.experiment.training import Bench, chosen_seed, importance_of, train_rows
from inference.prospect.ground import Ground
from inference.prospect.split import Parallel
from inference.prospect.trained import load_prospect_model
from inference.training.metrics import or_null

BUFFER_M = 3000.0
"""Three cells: deposits of a survey of this grain are known to a few kilometres."""
SCORE_STRIDE_PX = 2
_LEAST = 1e-6


@dataclass(frozen=True)
class Survey:
    """A study area of the database with its deposits.

    Attributes:
        area: its name.
        layers: layers of evidence to learn from.
        elements: those of them that are contents of elements: positive, with long tails.
        x, y: (n,) deposits, in the CRS of the area's grid.
        deposit_type: of these deposits in the database.
        latitude: of the parallel between the two sides, degrees.
        known_best: layers that are known to be best from all deposits.

    """

    area: str
    layers: tuple[str, ...]
    elements: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    deposit_type: str
    latitude: float
    known_best: tuple[str, ...] = ()


def compare_survey(bench: Bench, survey: Survey, seeds: int) -> dict[str, Any]:
    """Learn from one side of the parallel and judge on the other, then the reverse.

    Args:
        bench: where and how.
        survey: what is learned from.
        seeds: trainings of each network.

    Returns:
        ``rows``, a line for each method and side; ``differences`` of the residual network to the others; and
        ``importance`` of the channels to it, for each side.

    """
    found: dict[str, list[dict[str, Any]]] = {"rows": [], "differences": [], "importance": []}
    for number in range(2):
        for key, lines in _one_side(bench, survey, "north" if number else "south", seeds).items():
            found[key] += lines
    return {**found, "area": survey.area, "layers": list(survey.layers)}


def placements(
    scores: NDArray[np.float64], is_rest: NDArray[np.bool_], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the rest of the ground (n,) that scores lower than each deposit; equals count half.

    Args:
        scores: (height, width).
        is_rest: (height, width) cells that deposits are held against.
        at: (n,) scores of the deposits.

    """
    rest = np.sort(scores[is_rest])
    low, high = np.searchsorted(rest, at, "left"), np.searchsorted(rest, at, "right")
    shares: NDArray[np.float64] = (low + high) / (2 * len(rest))
    return shares


def corner_cells(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns (n, 4) of the cells whose centres lie round each point.

    The labels of a survey may lie half a cell off its layers, so that a deposit falls on the corner of four
    cells; its score is their mean.
    """
    row = np.floor((grid.origin_y - y) / grid.resolution_y - 0.5).astype(np.int64)
    col = np.floor((x - grid.origin_x) / grid.resolution_x - 0.5).astype(np.int64)
    rows = np.clip(row[:, None] + np.array([0, 0, 1, 1]), 0, grid.height_px - 1)
    cols = np.clip(col[:, None] + np.array([0, 1, 0, 1]), 0, grid.width_px - 1)
    return rows, cols


def overlap_groups(x: NDArray[np.float64], y: NDArray[np.float64], edge_m: float) -> NDArray[np.int64]:
    """Number (n,) of the group of each deposit; those whose patches of an edge, m, overlap are of one.

    Single linkage: a chain of overlapping patches is one group.
    """
    if len(x) < 2:
        return np.arange(len(x))
    # patches round two points overlap where both differences are smaller than the edge
    tree = linkage(np.column_stack([x, y]), "single", metric="chebyshev")
    return np.asarray(fcluster(tree, np.nextafter(edge_m, 0), "distance"), np.int64)


def mahalanobis(values: NDArray[np.float64], is_fitted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared Mahalanobis distance (height, width) of values (layers, height, width) to their mean.

    Mean and covariance are those of the cells of ``is_fitted``, where all values are finite; which of them
    hold deposits is not asked.
    """
    known = values[:, is_fitted]
    middle = known.mean(axis=1)
    precision = np.linalg.pinv(np.cov(known))
    apart = np.nan_to_num(values.reshape(len(values), -1) - middle[:, None])
    squared: NDArray[np.float64] = np.einsum("ij,ij->j", apart, precision @ apart)
    return squared.reshape(values.shape[1:])


@dataclass(frozen=True)
class _Side:
    """The ground of one side and the deposits on it.

    Attributes:
        is_used: (height, width) cells that all methods rank.
        rows, cols: (deposits, 4) cells round each deposit.
        groups: (deposits,) what is drawn together for intervals, see `overlap_groups`.

    """

    is_used: NDArray[np.bool_]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    groups: NDArray[np.int64]

    @classmethod
    def of(cls, grid: Grid, survey: Survey, is_used: NDArray[np.bool_], patch_px: int) -> _Side:
        rows, cols = corner_cells(grid, survey.x, survey.y)
        is_here = is_used[rows, cols].any(axis=1)
        edge_m = patch_px * max(grid.resolution_x, grid.resolution_y)
        groups = overlap_groups(survey.x[is_here], survey.y[is_here], edge_m)
        return cls(is_used, rows[is_here], cols[is_here], groups)

    @property
    def is_rest(self) -> NDArray[np.bool_]:
        """Cells that are used and round no deposit."""
        rest = self.is_used.copy()
        rest[self.rows, self.cols] = False
        return rest

    def placed(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Placements (deposits,) of the deposits, see `placements`."""
        held = self.is_used[self.rows, self.cols]
        sums = np.where(held, scores[self.rows, self.cols], 0).sum(axis=1)
        return placements(scores, self.is_rest, sums / held.sum(axis=1))


def _one_side(
    bench: Bench, survey: Survey, test: Literal["south", "north"], seeds: int
) -> dict[str, list[dict[str, Any]]]:
    """Rows, differences and importance with one side as the test."""
    patches = _patch_set(bench, survey, test)
    models = train_rows(bench, f"real, {test} judged,", patches, REAL_ROWS, seeds)
    ground = patches.ground
    is_test = _is_side(ground.grid, survey.latitude, test)
    scored = {
        name: [_pixel_scores(bench, record, ground) for record in records] for name, records in models.items()
    }
    is_used = ground.is_valid & is_test
    for every in scored.values():
        for scores in every:
            is_used &= np.isfinite(scores)
    judged = _Side.of(ground.grid, survey, is_used, patches.patch_px)
    learned = _Side.of(ground.grid, survey, ground.is_valid & ~is_test, patches.patch_px)
    common: dict[str, Any] = {
        "data": "real",
        "test": test,
        "deposits": len(judged.rows),
        "groups": len(np.unique(judged.groups)),
        "deposits_of_training": len(learned.rows),
        "cells": int(judged.is_used.sum()),
    }
    placed: dict[str, NDArray[np.float64]] = {}
    rows = []
    for name, every in scored.items():
        of_seeds = [judged.placed(scores) for scores in every]
        placed[name] = np.mean(of_seeds, axis=0)
        spread = over_seeds([or_null(float(each.mean())) for each in of_seeds])
        figure = {**spread, **mean_interval(placed[name], judged.groups)}
        on_patches = patch_row("real", name, models[name])
        how = {"kind": "trained", "settings": on_patches["settings"], "test_patches": on_patches}
        rows.append({**common, "network": name, **how, "roc_auc": figure})
    for name, scores, note in _plain(ground, survey, learned, judged):
        placed[name] = judged.placed(scores)
        figure = mean_interval(placed[name], judged.groups)
        figure |= {"mean": figure["value"], "spread": None}
        rows.append(
            {
                **common,
                "network": name,
                "kind": "plain",
                "note": note,
                "is_hindsight": name.startswith("layer "),
                "roc_auc": figure,
            }
        )
    apart = [
        {
            "data": "real",
            "test": test,
            "minus": name,
            "groups": common["groups"],
            "roc_auc": mean_interval(placed[MAIN] - each, judged.groups),
        }
        for name, each in placed.items()
        if name != MAIN
    ]
    chosen = chosen_seed(models[MAIN])
    importance = {
        "data": "real",
        "test": test,
        "model": chosen.name,
        "channels": importance_of(bench, chosen, patches),
    }
    return {"rows": rows, "differences": apart, "importance": [importance]}


def _plain(
    ground: Ground, survey: Survey, learned: _Side, judged: _Side
) -> list[tuple[str, NDArray[np.float64], str]]:
    """Plain answers: name, scores (height, width) and how they came about."""
    # contents, also where networks learn from their logarithms
    layers = {
        channel.name: from_log10(values) if channel.is_log else values.astype(np.float64)
        for channel, values in zip(ground.channels, ground.values, strict=True)
    }
    areas = {name: float(learned.placed(values).mean()) for name, values in layers.items()}
    best = max(areas, key=lambda name: abs(areas[name] - 0.5))
    sign = 1.0 if areas[best] >= 0.5 else -1.0
    found = [
        (
            "best single layer",
            sign * layers[best],
            f"{best}{'' if sign > 0 else ', low values'}: chosen by the deposits of the training side, where "
            f"it has {max(areas[best], 1 - areas[best]):.3f}",
        )
    ]
    found += [
        (f"layer {name}", layers[name], "known to be among the best from all deposits, those judged included")
        for name in survey.known_best
        if name in layers
    ]
    contents = np.stack([layers[name] for name in survey.elements if name in layers])
    logs = np.log(np.maximum(contents, _LEAST))
    note = "log contents; mean and covariance of all judged cells of this side; no label is used"
    found.append(("mahalanobis", mahalanobis(logs, judged.is_used), note))
    return found


def _patch_set(bench: Bench, survey: Survey, test: Literal["south", "north"]) -> PatchSet:
    request = SetRequest(
        f"geology {survey.area} {test} of {survey.latitude:g} judged",
        area=survey.area,
        layers=survey.layers,
        geology=GeologyChoice(()),
        deposits=(("deposit_type", survey.deposit_type),),
        buffer_m=BUFFER_M,
        stride_px=bench.preset.real_stride_px,
        parallel=Parallel(test, survey.latitude),
        seed=1,
        data="real",
    )
    return kept_set(bench.url, request, bench.report)


def _pixel_scores(bench: Bench, record: ModelRecord, ground: Ground) -> NDArray[np.float64]:
    """Probabilities of a model (height, width), NaN where no patch was judged."""
    with connect(bench.url, application_name="lode experiment") as conn:
        model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
    stride_px = SCORE_STRIDE_PX
    values = ground.values_of(model.channels)
    scores = model.score(model.standardise(values), ground.is_valid, stride_px)
    cells = cells_of(scores, ground.is_valid, ground.grid, patch_px=model.patch_px, stride_px=stride_px)
    found = np.full(ground.is_valid.shape, np.nan)
    spread = cells.probability.repeat(stride_px, axis=0).repeat(stride_px, axis=1)
    found[: spread.shape[0], : spread.shape[1]] = spread
    return found


def _is_side(grid: Grid, latitude: float, test: Literal["south", "north"]) -> NDArray[np.bool_]:
    """(height, width): cells whose centre lies on the side that is judged."""
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    to_lonlat = pyproj.Transformer.from_crs(grid.srid, 4326, always_xy=True)
    latitudes = np.asarray(to_lonlat.transform(*np.meshgrid(x, y))[1])
    side: NDArray[np.bool_] = latitudes > latitude if test == "north" else latitudes < latitude
    return side
