"""`lode samples build`: windows round labels, with the part each plays, written into the database."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyproj
from psycopg import Connection
from psycopg.rows import TupleRow

from db.classes import list_classes
from db.errors import UsageError
from db.labels import Label, labels_of_scene
from db.samples import (
    SPLITS,
    NewSampleSet,
    SampleSet,
    mines_of_labels,
    require_free_set_name,
    sample_set_by_name,
    store_sample_set,
)
from db.scenes import Scene
from inference.samples.balance import balance_warnings, balanced_windows, check_counts
from inference.samples.counts import count_samples
from inference.samples.leaks import outlines
from inference.samples.pieces import (
    Pieces,
    grouped,
    grouped_by_scene,
    joined_mines,
    pieces_of_scene,
)
from inference.samples.scenes import scene_groups
from inference.samples.settings import BLOCK, MINE, SCENE, SampleSettings
from inference.scene_checks import source_of
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import BlockGrid, default_edge_m
from inference.training.label_maps import LABEL_SRID, UNLABELLED, LabelMap, label_map
from inference.training.scenes import Chosen, choose_scenes
from inference.training.statistics import observed_labels

BLOCKS_WANTED = 20
"""Where the labelled ground has no room for so many blocks of two windows, they are smaller."""


def build_sample_set(
    conn: Connection[TupleRow],
    name: str,
    settings: SampleSettings,
    *,
    products: Sequence[str] = (),
    report: Callable[[str], None] = lambda _line: None,
) -> SampleSet:
    """Make a sample set of labelled scenes and store it in the caller's transaction.

    Args:
        conn: connection inside a transaction; also reads the pixels, to leave out labels on none.
        name: of the set; must be free.
        settings: how.
        products: scenes; none: all current ones with labels.
        report: hears of the progress.

    Raises:
        UsageError: the name is taken, scenes or labels do not suffice. Nothing is stored then.

    """
    require_free_set_name(conn, name)
    chosen = choose_scenes(conn, products, ())
    labels = [labels_of_scene(conn, scene.scene_id) for scene in chosen.scenes]
    block_grid = _block_grid(chosen, labels, settings)
    is_by_scene = settings.split_rule == SCENE
    held_out = "whole scenes" if is_by_scene else f"blocks of {block_grid.edge_m:g} m"
    report(f"{len(chosen.scenes)} scenes, windows of {settings.tile_px} px, {held_out}")

    def drawn(number: int) -> LabelMap:
        return _drawn(conn, chosen.scenes[number], labels[number], chosen.band_names)

    pieces = _pieces(conn, chosen, labels, drawn, block_grid, settings)
    grids = [scene.grid for scene in chosen.scenes]
    parts, placed = balanced_windows(pieces, grids, settings)
    counted = count_samples(placed, pieces, parts, chosen, labels, drawn, settings.fewest_px)
    counts = counted.by_split()
    check_counts(counts, settings, None if is_by_scene else block_grid.edge_m)
    names = {each.code: each.key for each in list_classes(conn)}
    warnings = balance_warnings(pieces, counts, names, is_fold=settings.fold is not None)
    used = {label for sample in counted.samples for label in sample.label_ids}
    groups = np.unique(pieces.groups)
    parameters: dict[str, Any] = {
        "products": [scene.product for scene in chosen.scenes],
        "block_m": None if is_by_scene else block_grid.edge_m,
        "block_srid": None if is_by_scene else block_grid.srid,
        "fold": None if settings.fold is None else str(settings.fold),
        "fewest_px": settings.fewest_px,
        "groups": {split: int((parts[groups] == part).sum()) for part, split in enumerate(SPLITS)},
        "left_out": {
            "windows_near_another_part": placed.left_out,
            "windows_with_few_labelled_pixels": counted.few,
            "polygons": len(set(pieces.labels.tolist()) - used),
            "pixels": {
                names[code]: int(counted.labelled[place] - counts[:, place].sum())
                for place, code in enumerate(CLASS_CODES)
                if counted.labelled[place]
            },
        },
        "warnings": warnings,
    }
    by_rule = SCENE if is_by_scene else MINE if pieces.is_by_mine else BLOCK
    new = NewSampleSet(
        name=name,
        tile_px=settings.tile_px,
        resolution_m=chosen.resolution_m,
        class_codes=CLASS_CODES,
        split_rule=by_rule,
        seed=settings.seed,
        gap_m=settings.gap_m,
        scene_ids=tuple(scene.scene_id for scene in chosen.scenes),
        parameters=parameters,
    )
    shapes = outlines(placed.windows.chosen(counted.places), grids)
    store_sample_set(conn, new, counted.samples, shapes)
    return sample_set_by_name(conn, name)


def _pieces(
    conn: Connection[TupleRow],
    chosen: Chosen,
    labels: Sequence[Sequence[Label]],
    drawn: Callable[[int], LabelMap],
    block_grid: BlockGrid,
    settings: SampleSettings,
) -> Pieces:
    """The labels of all scenes in what is held out as a whole: mines, blocks or groups of scenes."""
    tile_m = settings.tile_px * chosen.resolution_m
    keys = {label.label_id for each in labels for label in each}
    mines: dict[int, tuple[str, bool]] = {}
    if settings.split_rule in (None, MINE):
        # a label this near to a mine would share its windows
        mines = mines_of_labels(conn, sorted(keys), tile_m / 2)
        if settings.split_rule == MINE and not mines:
            raise UsageError(
                "no label lies in a mine or near one: bring mines with `lode ingest mines`, or split by block"
            )
    held = frozenset(label for label, (_code, is_held) in mines.items() if is_held)
    if settings.split_rule == SCENE:
        held = frozenset(keys)
    scene_pieces = []
    for number, scene in enumerate(chosen.scenes):
        margin_m = settings.gap_m / 2 + max(scene.grid.resolution_x, scene.grid.resolution_y)
        keys_here = np.array([label.label_id for label in labels[number]], np.int64)
        scene_pieces.append(
            pieces_of_scene(
                drawn(number), keys_here, scene.grid, block_grid, settings.tile_px, margin_m, held
            )
        )
    if settings.split_rule == SCENE:
        pieces = grouped_by_scene(scene_pieces, scene_groups(conn, chosen.scenes, settings.gap_m))
        _check_labels(pieces, chosen)
        return pieces
    pieces = grouped(scene_pieces, mines)
    _check_labels(pieces, chosen)
    leaders = joined_mines(pieces, CLASS_CODES, tile_m / 2)
    return replace(pieces, groups=leaders[pieces.groups])


def _drawn(
    conn: Connection[TupleRow], scene: Scene, labels: Sequence[Label], band_names: tuple[str, ...]
) -> LabelMap:
    """Labels on the scene's grid, without those on pixels that hold no data."""
    polygons = [label.geometry for label in labels]
    drawn = label_map([label.land_class_code for label in labels], polygons, scene.grid)
    if not (drawn.polygons != UNLABELLED).any():
        return drawn
    return observed_labels(source_of(conn, scene, band_names), drawn)


def _block_grid(chosen: Chosen, labels: Sequence[Sequence[Label]], settings: SampleSettings) -> BlockGrid:
    """Blocks in the CRS of the first scene; by default two windows wide, or one where room is short."""
    grid = chosen.scenes[0].grid
    if settings.block_m is not None:
        return BlockGrid(grid.srid, settings.block_m)
    tile_m = settings.tile_px * chosen.resolution_m
    extent_m2 = max(_extent_m2(scene, each) for scene, each in zip(chosen.scenes, labels, strict=True))
    edge_m = max(default_edge_m(max(extent_m2, 1.0), chosen.resolution_m), 2 * tile_m + settings.gap_m)
    smallest_m = tile_m + settings.gap_m + 2 * chosen.resolution_m
    if extent_m2 < BLOCKS_WANTED * edge_m**2:
        edge_m = max(smallest_m, math.sqrt(extent_m2 / BLOCKS_WANTED))
    return BlockGrid(grid.srid, edge_m)


def _extent_m2(scene: Scene, labels: Sequence[Label]) -> float:
    """Area of the box round a scene's labels, as far as it lies in the scene, m2."""
    grid = scene.grid
    to_grid = pyproj.Transformer.from_crs(LABEL_SRID, grid.srid, always_xy=True)
    bounds = np.array([to_grid.transform_bounds(*label.geometry.bounds) for label in labels])
    east, south = grid.x_of_col(grid.width_px), grid.y_of_row(grid.height_px)
    west, low = np.maximum(bounds[:, :2].min(axis=0), [grid.origin_x, south])
    right, north = np.minimum(bounds[:, 2:].max(axis=0), [east, grid.origin_y])
    return float(max(right - west, 0) * max(north - low, 0))


def _check_labels(pieces: Pieces, chosen: Chosen) -> None:
    found = np.unique(pieces.codes)
    if found.size == 0:
        raise UsageError(
            "no label of a class that networks know (codes 0 to 7) covers a pixel with data of "
            f"{', '.join(scene.product for scene in chosen.scenes)}: check where the labels lie"
        )
    if found.size == 1:
        raise UsageError(
            f"all labels are of class {found[0]}: nothing can be told apart. Draw labels of other classes "
            "too (background counts as one)"
        )
