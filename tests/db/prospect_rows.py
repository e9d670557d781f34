"""A search for ore, stored as `lode prospect apply` stores it, over ground whose probabilities are drawn.

Cells are 150 m, 5 x 5 pixels of 30 m, on a grid in UTM zone 45 N (EPSG:32645). Letters of a drawing: h 0.95,
m 0.80, l 0.10, . nothing scored. The threshold is 0.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from psycopg import Connection
from psycopg.types.json import Jsonb

from db.labels import ewkb_hex
from db.prospect_cell_rows import CellRows
from db.prospect_runs import NewProspectRun, NewTarget, insert_cells, insert_search, insert_targets
from db.prospect_sets import NewProspectSet, Patch, store_prospect_set
from db.raster import Grid, RasterWriter
from inference.prospect.cells import Cells, corners_of, ranks_of, rings_of
from inference.prospect.targets import find_targets

SRID = 32645
WEST, NORTH = 500_000.0, 3_960_000.0
PIXEL_M, STRIDE_PX = 30.0, 5
CELL_M = PIXEL_M * STRIDE_PX
THRESHOLD = 0.7
LETTERS = {"h": 0.95, "m": 0.8, "l": 0.1, ".": np.nan}

DRAWING = """
llllllllllll
lhhlllllllll
lhhllllmmlll
llllllllllll
llllllllll..
llllllllll..
"""
"""Target 1: four cells of 0.95; target 2: two of 0.80; four cells not scored."""

AREA = '大红柳滩 "<b>O\'Brien</b>" & {{ 7 * 7 }}'
MODEL = "net <i>'1'</i>"
DEPOSIT = "505号脉 <script>alert(1)</script>"

FIGURES = (
    "accuracy", "balanced_accuracy", "precision", "recall", "f1", "macro_f1", "roc_auc", "pr_auc"
)  # fmt: skip
CHANNELS = (
    {"name": "band 2207", "kind": "spectral", "center_nm": 2207.0, "width_nm": 16.8},
    {"name": "Li <ppm>", "kind": "evidence"},
    {"name": "fault_distance_m", "kind": "geology"},
    {"name": "pluton_distance_m", "kind": "geology"},
)


def probabilities(drawing: str = DRAWING) -> npt.NDArray[np.float32]:
    """Probabilities ``(rows, columns)`` of a drawing, NaN where nothing was scored."""
    return np.array([[LETTERS[letter] for letter in line] for line in drawing.split()], np.float32)


def figures_json(value: float, *, half: float | None = 0.08) -> dict[str, Any]:
    """Figures of a test part as they are stored with a model: all of one value, or nearly so."""
    ends = {"value": value, "low": None, "high": None, "known": 1.0}
    if half is not None:
        ends |= {"low": round(value - half, 6), "high": round(value + half, 6)}
    return {
        "patches": 40,
        "positives": 10,
        "threshold": THRESHOLD,
        "confusion": [[27, 3], [2, 8]],
        **dict.fromkeys(FIGURES, value),
        "intervals": {"blocks": 12, "resamples": 2000, "level": 0.95, **dict.fromkeys(FIGURES, ends)},
    }


def add_area(
    conn: Connection[Any], name: str = AREA, shape: tuple[int, int] = (6, 12), *, margin_m: float = 0.0
) -> int:
    """A study area of so many cells down and across; returns its key."""
    down, across = shape
    ground = _box(-margin_m, -margin_m, across * CELL_M + margin_m, down * CELL_M + margin_m)
    row = conn.execute(
        "insert into lode.evidence_area (name, srid, origin_x, origin_y, resolution_m, resolution_y_m,"
        " width_px, height_px, geom) values (%s, %s, %s, %s, %s, %s, %s, %s, %s::geometry)"
        " returning evidence_area_id",
        (
            *(name, SRID, WEST, NORTH, PIXEL_M, PIXEL_M, across * STRIDE_PX, down * STRIDE_PX),
            ewkb_hex(shapely.MultiPolygon([ground])),
        ),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_set(conn: Connection[Any], area_id: int, *, name: str = "patches", data: str | None = None) -> int:
    """A set with one ore-bearing training patch, two cells wide, on the upper left of the ground."""
    new = NewProspectSet(
        name, None, area_id, 10, PIXEL_M, CHANNELS, (), 100.0, 0.2, "block", 0, None,
        {} if data is None else {"data": data},
    )  # fmt: skip
    patches = [Patch(5, 5, True, 0.4, "train", "0,0"), Patch(10, 35, True, 0.4, "test", "1,0")]
    outlines = [
        _box(*(PIXEL_M * each for each in (p.col_px, p.row_px, p.col_px + 10, p.row_px + 10)))
        for p in patches
    ]
    return store_prospect_set(conn, new, patches, outlines)


def add_prospect_model(
    conn: Connection[Any],
    set_id: int | None = None,
    *,
    name: str = MODEL,
    trained_on: str = AREA,
    training: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> int:
    """A registry row of a network that tells where ore lies, without weights; returns its key."""
    told: dict[str, Any] = {
        "set": "patches",
        "prospect_set_id": set_id,
        "ground": trained_on,
        "channels": list(CHANNELS),
        "labels": {"buffer_m": 100.0, "positive_share": 0.2, "deposits": 7},
        "split_rule": "block",
        "threshold": THRESHOLD,
        "threshold_rule": "the highest balanced accuracy on the validation patches",
        "patches": {
            "train": {"ore": 60, "barren": 180, "blocks": 30},
            "validation": {"ore": 12, "barren": 36, "blocks": 9},
            "test": {"ore": 10, "barren": 30, "blocks": 12},
        },
        "warnings": ["test has 2 places of positive ground: its figures hang on very few deposits"],
        **(training or {}),
    }
    judged = {**figures_json(0.85), "baselines": {"majority": figures_json(0.5, half=None)}}
    row = conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values (%s, 'prospect',"
        " 'gcn_residual', '{}', '{0,1}', '{0,1}', %s, %s, 10, '{}', %s, '[]', %s, '{}') returning model_id",
        (
            *(name, [each["name"] for each in CHANNELS], PIXEL_M),
            *(Jsonb(told), Jsonb(judged if metrics is None else dict(metrics))),
        ),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_geology(conn: Connection[Any]) -> int:
    """A fault, a pluton and a deposit on the ground; returns the key of the deposit."""
    x, y = degrees_at(np.array([0.0, 1800.0]), np.array([750.0, 150.0]))
    line = shapely.MultiLineString([shapely.LineString(np.column_stack([x, y]))])
    conn.execute("insert into lode.fault (name, geom) values ('F', %s::geometry)", (ewkb_hex(line),))
    pluton = shapely.MultiPolygon([_box(900, 450, 1500, 850)])
    conn.execute("insert into lode.pluton (name, geom) values ('P', %s::geometry)", (ewkb_hex(pluton),))
    x, y = degrees_at(np.array([600.0]), np.array([300.0]))
    row = conn.execute(
        "insert into lode.deposit (name, commodity, geom) values (%s, 'Li', %s::geometry)"
        " returning deposit_id",
        (DEPOSIT, ewkb_hex(shapely.Point(x[0], y[0]))),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_search(
    conn: Connection[Any],
    model_id: int,
    area_id: int,
    *,
    probability: npt.NDArray[np.float32] | None = None,
    deposit_id: int | None = None,
    digest: str = "one",
    shift: Mapping[str, Any] | None = None,
    with_raster: bool = True,
) -> int:
    """Publish a search over a study area in the caller's transaction; returns its key."""
    drawn = probabilities() if probability is None else probability
    down, across = drawn.shape
    grid = Grid(SRID, WEST, NORTH, CELL_M, CELL_M, across, down)
    cells = Cells(grid, STRIDE_PX, drawn)
    targets = find_targets(cells, THRESHOLD, least_cells=1, most_targets=500)
    figures = {
        "cells": cells.count,
        "targets": len(targets.listed),
        "targets_found": targets.found,
        "target_area_m2": sum(target.area_m2 for target in targets.listed),
        "judged_share": 0.9,
        "shift": shift_json() if shift is None else dict(shift),
    }
    new = NewProspectRun(
        model_id, None, area_id, {"stride_px": STRIDE_PX, "channels": list(_matched())}, digest, THRESHOLD,
        CELL_M, figures, "drawn", {"lode": "0"},
    )  # fmt: skip
    stored = insert_search(conn, new)
    assert stored is not None
    run_id, table = stored
    rows, cols = np.nonzero(cells.is_scored)
    found = drawn[rows, cols]
    part = CellRows(rows, cols, found, ranks_of(found), rings_of(corners_of(grid), rows, cols))
    insert_cells(conn, run_id, [part])
    insert_targets(
        conn,
        run_id,
        [
            NewTarget(
                target.rank, target.geometry, target.area_m2, target.cells, target.mean_probability,
                target.highest_probability, 120.5 * target.rank, None, 0.0 if target.rank == 1 else 1500.25,
                deposit_id, _evidence(target.rank),
            )
            for target in targets.listed
        ],
    )  # fmt: skip
    if with_raster:
        writer = RasterWriter(
            conn, parent="prospect_score", owner_id=run_id, table=table, grid=grid, dtype=np.float32,
            band_count=1, nodata=float("nan"), storage="lz4",
        )  # fmt: skip
        writer.write_rows(drawn[np.newaxis])
        writer.finish()
    return run_id


def shift_json(distance: float = 1.1, *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """How far the features lie from those of training, as a search stores it."""
    return {
        "distance": distance,
        "cells": 68,
        "channels": [
            {"name": each["name"], "mean_difference": 0.25 * (place - 1), "outside_share": 0.02 * (place + 1)}
            for place, each in enumerate(CHANNELS)
        ],
        "warnings": list(warnings),
    }


def add_whole_search(conn: Connection[Any], **given: Any) -> int:
    """Area, set, model, geology and search in one; what is ``given`` goes to `add_search`."""
    area_id = add_area(conn)
    model_id = add_prospect_model(conn, add_set(conn, area_id))
    return add_search(conn, model_id, area_id, deposit_id=add_geology(conn), **given)


def _evidence(rank: int) -> list[dict[str, Any]]:
    return [
        {"name": "beryl, spodumene 2205 nm", "value": 0.031, "unit": None, "deviations": 2.4 / rank},
        {"name": "Li <ppm>", "value": 412.0, "unit": "ppm", "deviations": -1.5},
    ]


def _matched() -> list[dict[str, Any]]:
    return [{**each, "sources": [each["name"]]} for each in CHANNELS]


def degrees_at(
    right_m: npt.NDArray[np.float64], down_m: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude and latitude of places so far right and down of the ground's upper left corner."""
    to_degrees = pyproj.Transformer.from_crs(SRID, 4326, always_xy=True)
    x, y = to_degrees.transform(WEST + right_m, NORTH - down_m)
    return np.asarray(x), np.asarray(y)


def _box(left_m: float, upper_m: float, right_m: float, lower_m: float) -> shapely.Polygon:
    box = shapely.box(left_m, upper_m, right_m, lower_m)
    return shapely.transform(box, lambda xy: np.column_stack(degrees_at(xy[:, 0], xy[:, 1])))
