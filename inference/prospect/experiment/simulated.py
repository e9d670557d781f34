"""The simulated part: figures of the test ground, decoys there, and another district searched.

What the simulator planted is known, so decoys can be asked for: those with the spectrum of ore far from
faults and plutons, and those in favoured geology without an ore mineral. No network was told of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from sklearn.metrics import roc_auc_score

from db.connection import connect
from db.errors import UsageError
from db.prospect_sets import SPLITS, prospect_set_by_name
from db.raster import Grid
from db.registry import ModelRecord
from inference.device import choose_device
from inference.prospect.cells import Cells, cells_of, ranks_of
from inference.prospect.dataset import PatchSet, SetRequest, cut
from inference.prospect.experiment.plan import MAIN, SIMULATED_ROWS
from inference.prospect.experiment.rows import differences_to, mean_interval, over_seeds, patch_row
from inference.prospect.experiment.sets import kept_set
from inference.prospect.experiment.training import Bench, chosen_seed, train_rows
from inference.prospect.ground import transform_of
from inference.prospect.matched_ground import Origin, matched_scene
from inference.prospect.patches import LEAST_VALID, positions, window_counts
from inference.prospect.trained import ProspectModel, load_prospect_model
from inference.training.blocks import TEST, BlockGrid

DECOYS = {"A": "spectrum_without_geology", "B": "geology_without_spectrum"}
"""Decoys by the letter they have in tables, and what the simulator calls them."""
TOP_SHARES = (0.01, 0.05, 0.1, 0.2)
SHARE = 0.2
"""Of a patch's cells that lie near a decoy, at least; what makes a patch positive too."""


@dataclass(frozen=True)
class Planted:
    """What the simulator planted in a district, or implanted in a real scene.

    Attributes:
        product: the district's scene in the database.
        srid: EPSG code of the shapes.
        ore, clusters: outlines of the true dykes, and the cluster (n,) each belongs to.
        decoys: outlines by letter, see `DECOYS`.

    """

    product: str
    srid: int
    ore: NDArray[np.object_]
    clusters: NDArray[np.int64]
    decoys: Mapping[str, NDArray[np.object_]]

    @classmethod
    def read(cls, product: str, srid: int, ore: Path, decoys: Path) -> Planted:
        """What the files of a simulated district say.

        Args:
            product: of the district's scene.
            srid: of the files.
            ore: GeoJSON, outlines of the dykes with their ``cluster``.
            decoys: GeoJSON, outlines of decoys with their ``kind``.

        """
        true, about = _features(ore)
        false, kinds = _features(decoys)
        return cls(
            product,
            srid,
            true,
            np.array([each["cluster"] for each in about], np.int64),
            {
                letter: false[np.array([each["kind"] == kind for each in kinds], bool)]
                for letter, kind in DECOYS.items()
            },
        )


def compare_simulated(bench: Bench, home: Planted, away: Planted, seeds: int) -> dict[str, Any]:
    """Train every row on one district, judge it on test ground and decoys, and search the other district.

    Args:
        bench: where and how.
        home: the district that is learned from; its geology and deposits are in the database.
        away: the district that is searched; its geology is in the database.
        seeds: trainings of each network.

    Returns:
        ``rows``, ``differences``, ``importance``, ``transfer`` and ``set``.

    """
    request = SetRequest(
        f"geology {home.product}",
        product=home.product,
        deposits=(("deposit_type", "pegmatite"),),
        seed=1,
        data="simulated",
    )
    models, found = judge_planted(bench, request, home, seeds)
    transfer = []
    for name, records in models.items():
        if name == "majority":
            continue
        bench.report(f"searching the second district: {name}")
        transfer.append(
            {"data": "simulated", "network": name, **_transfer(bench, chosen_seed(records), away)}
        )
    return {**found, "transfer": transfer}


def judge_planted(
    bench: Bench, request: SetRequest, home: Planted, seeds: int
) -> tuple[dict[str, list[ModelRecord]], dict[str, Any]]:
    """Train every row where ore was planted, and judge it on test ground and decoys.

    Args:
        bench: where and how.
        request: the set of patches, if it is not there yet; its ``data`` is the part of the experiment, too.
        home: what was planted; its geology and deposits are in the database.
        seeds: trainings of each network.

    Returns:
        The models by row; and ``rows``, ``differences``, ``importance`` and ``set``.

    """
    data = request.data or ""
    patches = kept_set(bench.url, request, bench.report)
    models = train_rows(bench, data, patches, SIMULATED_ROWS, seeds)
    rows = [patch_row(data, name, records) for name, records in models.items()]
    with connect(bench.url, application_name="lode experiment") as conn:
        edge_m = float(prospect_set_by_name(conn, patches.name).parameters["block_m"])
    places = decoy_patches(patches, home, edge_m)
    bench.report(
        f"{data} decoys on test ground: "
        + ", ".join(f"{kind} {len(at[0])} patches" for kind, at in places.items())
    )
    for row in rows:
        row["decoys"] = _over_seeds_of_decoys(
            [_on_decoys(bench, record, patches, places) for record in models[row["network"]]]
        )
    others = {name: records for name, records in models.items() if name not in (MAIN, "majority")}
    chosen = chosen_seed(models[MAIN])
    return models, {
        "set": _about(data, patches),
        "rows": rows,
        "differences": [{"data": data, **each} for each in differences_to(models[MAIN], others)],
        "importance": {
            "data": data,
            "model": chosen.name,
            "channels": chosen.metrics.get("importance", []),
        },
    }


def decoy_patches(
    patches: PatchSet, home: Planted, edge_m: float
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """First rows and columns of patches over decoys on test ground, by letter.

    They lie as the set's patches do, hold as much ground near a decoy as a positive patch holds near a
    deposit, and none near a true dyke. Their middle lies in a block all of whose patches are of the test.

    Args:
        patches: the set.
        home: the district.
        edge_m: edge of the blocks, m.

    """
    ground, patch_px = patches.ground, patches.patch_px
    height, width = ground.is_judged.shape
    rows, cols = positions(height, width, patch_px, max(1, patch_px // 2))
    blocks = BlockGrid(ground.grid.srid, edge_m).keys_of_pixels(
        ground.grid, rows + patch_px // 2, cols + patch_px // 2
    )
    is_test = np.isin(blocks, patches.blocks[patches.parts == TEST])
    is_test &= ~np.isin(blocks, patches.blocks[patches.parts != TEST])
    is_full = window_counts(ground.is_valid, rows, cols, patch_px) >= LEAST_VALID * patch_px**2
    near_ore = window_counts(near(home.ore, home.srid, ground.grid), rows, cols, patch_px) > 0
    found = {}
    for letter, shapes in home.decoys.items():
        count = window_counts(near(shapes, home.srid, ground.grid), rows, cols, patch_px)
        chosen = is_test & is_full & ~near_ore & (count >= SHARE * patch_px**2)
        found[letter] = rows[chosen], cols[chosen]
    return found


def near(shapes: NDArray[np.object_], srid: int, grid: Grid, buffer_m: float = 100.0) -> NDArray[np.bool_]:
    """(height, width): cells whose centre lies within ``buffer_m`` of one of some shapes."""
    empty = np.zeros((grid.height_px, grid.width_px), bool)
    if len(shapes) == 0:
        return empty
    around = shapely.buffer(_on_grid(shapes, srid, grid), buffer_m)
    mask: NDArray[np.bool_] = geometry_mask(list(around), empty.shape, transform_of(grid), invert=True)
    return mask


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
        ``deposits``, ``unscored`` and ``top``: by share of the area value, low and high. Cells of equal
        probability count as the worst of them.

    """
    grid = cells.grid
    rows = np.floor((grid.origin_y - y) / grid.resolution_y).astype(np.int64)
    cols = np.floor((x - grid.origin_x) / grid.resolution_x).astype(np.int64)
    on_grid = (rows >= 0) & (rows < grid.height_px) & (cols >= 0) & (cols < grid.width_px)
    ranked = np.full(cells.probability.shape, np.nan)
    # of equals the last rank, so that a constant answer finds nothing
    ranked[cells.is_scored] = cells.count + 1 - ranks_of(-cells.probability[cells.is_scored])
    at = np.full(len(x), np.nan)
    at[on_grid] = ranked[rows[on_grid], cols[on_grid]] / cells.count
    known = np.isfinite(at)
    return {
        "deposits": int(known.sum()),
        "unscored": int((~known).sum()),
        "top": {
            f"{share:g}": mean_interval((at[known] <= share).astype(np.float64), clusters[known])
            for share in TOP_SHARES
        },
    }


def _about(data: str, patches: PatchSet) -> dict[str, Any]:
    return {
        "data": data,
        "name": patches.name,
        "ground": patches.ground.name,
        "channels": [channel.name for channel in patches.ground.channels],
        "patch_px": patches.patch_px,
        "patches": len(patches.rows),
        "positives": int(patches.is_positive.sum()),
        "parts": {
            label: {
                "patches": int((patches.parts == part).sum()),
                "positives": int((patches.is_positive & (patches.parts == part)).sum()),
            }
            for part, label in enumerate(SPLITS)
        },
    }


def _on_decoys(
    bench: Bench,
    record: ModelRecord,
    patches: PatchSet,
    places: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> dict[str, dict[str, float | None]]:
    """What one model says of the decoys: mean probability, share called ore, area under ROC against ore."""
    with connect(bench.url, application_name="lode experiment") as conn:
        model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
    is_ore = (patches.parts == TEST) & patches.is_positive
    ore = _probabilities(model, patches, patches.rows[is_ore], patches.cols[is_ore])
    found: dict[str, dict[str, float | None]] = {"ore": _spoken(ore, model.threshold)}
    for letter, (rows, cols) in places.items():
        said = _probabilities(model, patches, rows, cols)
        found[letter] = _spoken(said, model.threshold)
        is_true = np.arange(len(ore) + len(said)) < len(ore)
        has_both = len(ore) > 0 and len(said) > 0
        found[letter]["roc_auc"] = (
            float(roc_auc_score(is_true, np.concatenate([ore, said]))) if has_both else None
        )
    return found


def _probabilities(
    model: ProspectModel, patches: PatchSet, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float64]:
    if len(rows) == 0:
        return np.zeros(0)
    names = [channel.name for channel in patches.ground.channels]
    values = patches.ground.values[[names.index(channel.name) for channel in model.channels]]
    cells = model.normalisation.standardise(cut(values, rows, cols, patches.patch_px), axis=-1)
    return model.patch_probabilities(cells).astype(np.float64)


def _spoken(probabilities: NDArray[np.float64], threshold: float) -> dict[str, float | None]:
    if len(probabilities) == 0:
        return {"patches": 0.0, "mean_probability": None, "called": None}
    return {
        "patches": float(len(probabilities)),
        "mean_probability": float(probabilities.mean()),
        "called": float((probabilities >= threshold).mean()),
    }


def _over_seeds_of_decoys(every: Sequence[Mapping[str, Mapping[str, float | None]]]) -> dict[str, Any]:
    return {
        kind: {
            figure: over_seeds([each[kind][figure] for each in every])
            for figure in figures
            if figure != "patches"
        }
        | {"patches": figures["patches"]}
        for kind, figures in every[0].items()
    }


def _transfer(bench: Bench, record: ModelRecord, away: Planted) -> dict[str, Any]:
    """How many of the other district's dykes the best ground of a model holds."""
    with connect(bench.url, application_name="lode experiment") as conn:
        model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
        try:
            ground = matched_scene(conn, away.product, model, Origin.of(record.training), _unheard)
        except UsageError as error:
            return {"model": record.name, "refused": str(error)}
        conn.commit()
    stride_px = bench.preset.stride_px
    scores = model.score(model.standardise(ground.values), ground.is_valid, stride_px)
    cells = cells_of(scores, ground.is_valid, ground.grid, patch_px=model.patch_px, stride_px=stride_px)
    points = shapely.point_on_surface(_on_grid(away.ore, away.srid, ground.grid))
    found = shares_found(cells, shapely.get_x(points), shapely.get_y(points), away.clusters)
    return {"model": record.name, "cells": cells.count, **found}


def _unheard(_line: str) -> None:
    """The same notes would come for every model."""


def _on_grid(shapes: NDArray[np.object_], srid: int, grid: Grid) -> NDArray[np.object_]:
    """Shapes in the CRS of a grid."""
    if srid == grid.srid:
        return shapes
    to_grid = pyproj.Transformer.from_crs(srid, grid.srid, always_xy=True)
    moved: NDArray[np.object_] = shapely.transform(
        shapes, lambda xy: np.column_stack(to_grid.transform(*xy.T))
    )
    return moved


def _features(path: Path) -> tuple[NDArray[np.object_], list[dict[str, Any]]]:
    """Geometries and properties of a GeoJSON file."""
    every = json.loads(path.read_text(encoding="utf-8"))["features"]
    shapes = np.array([shapely.from_geojson(json.dumps(each["geometry"])) for each in every], object)
    return shapes, [each["properties"] for each in every]
