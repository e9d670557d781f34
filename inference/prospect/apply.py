"""`lode prospect apply`: a network over a scene or a study area becomes cells, a raster and ranked targets.

Everything of a search is published in one transaction: killed at any moment before its end, nothing of it is
there. Equal searches are one: same network, same version of the ground, same geology, same settings. Deposits
only tell how far the targets lie from what is known; a search is not repeated because one was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.prospect_runs import NewTarget, standing_search, standing_searches
from db.registry import model_by_name, weights_sha256
from db.watch import require_current
from inference.device import choose_device, describe_device, device_faults
from inference.prospect.cells import Cells, cells_of, check_stride, pixels_left_out
from inference.prospect.matched_ground import Origin, matched_area, matched_scene
from inference.prospect.nearby import distances_to, read_nearby
from inference.prospect.publishing import (
    APPLICATION,
    Findings,
    SearchOutcome,
    SearchTask,
    as_it_stands,
    publish_search,
)
from inference.prospect.shift import Shift, shift_of
from inference.prospect.targets import Targets, check_choice, find_targets
from inference.prospect.trained import load_prospect_model

TELL_EVERY_S = 10.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class SearchRequest:
    """What is to be searched, and how.

    Attributes:
        model_name: the network.
        product, area: the scene or the study area; exactly one of them.
        stride_px: step of the patches and edge of the cells, pixels.
        threshold: probability from which a cell belongs to a target; None: the network's own.
        least_cells: smaller targets are left out.
        most_targets: so many targets are stored at most.
        is_again: publish anew, and withdraw the earlier search in the same moment.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.

    """

    model_name: str
    product: str | None = None
    area: str | None = None
    stride_px: int = 5
    threshold: float | None = None
    least_cells: int = 1
    most_targets: int = 500
    is_again: bool = False
    device_name: str | None = None

    def __post_init__(self) -> None:
        if (self.product is None) == (self.area is None):
            raise UsageError("name either a scene (--scene) or a study area (--area) to search")


def search_ground(url: str, request: SearchRequest, report: Report = lambda _line: None) -> SearchOutcome:
    """Search a scene or a study area for ore and publish what was found, unless this was done before.

    Args:
        url: libpq URL of the database.
        request: what and how.
        report: takes lines about the progress, and warnings.

    Raises:
        UsageError: no such network or ground, a network that was retired or is for something else, ground
            that it cannot be fed with, nothing judged, a database of another version of Lode. Nothing is
            published then.

    """
    began = time.perf_counter()
    with device_faults():
        with connect(url, application_name=APPLICATION) as conn:
            require_current(conn)
            task = _read(conn, request, report)
            conn.commit()  # rasters of geology that were not there yet are kept: they are complete
            standing = standing_search(conn, task.content_digest)
        if standing is not None and not request.is_again:
            return as_it_stands(task.ground.name, standing)
        found = _compute(task, time.perf_counter() - began, report)
    return publish_search(url, task, found, is_again=request.is_again, report=report)


def _read(conn: Connection[Any], request: SearchRequest, report: Report) -> SearchTask:
    device = choose_device(request.device_name)
    model = load_prospect_model(conn, request.model_name, device)
    record = model_by_name(conn, request.model_name)
    settings = {
        "stride_px": request.stride_px,
        "threshold": model.threshold if request.threshold is None else request.threshold,
        "least_cells": request.least_cells,
        "most_targets": request.most_targets,
    }
    check_stride(request.stride_px, model.patch_px)
    check_choice(float(settings["threshold"]), request.least_cells, request.most_targets)
    origin = Origin.of(record.training)
    if request.product is not None:
        ground = matched_scene(conn, request.product, model, origin, report)
    else:
        ground = matched_area(conn, str(request.area), model, origin, report)
    between = sum(len(match.sources) > 1 for match in ground.matches)
    report(
        f"{ground.name}: {ground.is_valid.mean():.1%} of {ground.grid.width_px} x {ground.grid.height_px} px "
        f"can be judged by {len(ground.matches)} channels"
        + (f", {between} of them interpolated between bands" if between else "")
    )
    nearby = read_nearby(conn, ground.grid, report)
    earlier = [
        other.prospect_run_id
        for other in standing_searches(conn, model.model_id, ground.scene_id, ground.evidence_area_id)
        if {key: other.parameters.get(key) for key in settings} == settings
    ]
    sha256 = weights_sha256(conn, model.model_id)
    return SearchTask(model, str(sha256), ground, nearby, settings, tuple(earlier), describe_device(device))


def _compute(task: SearchTask, read_s: float, report: Report) -> Findings:
    """Score the ground and make of it what is stored."""
    ground, model, stride_px = task.ground, task.model, int(task.settings["stride_px"])
    began = time.perf_counter()
    standardised = model.standardise(ground.values)
    shift = shift_of(model.normalisation, standardised, ground.is_valid)
    _tell_shift(shift, report)
    scores = model.score(standardised, ground.is_valid, stride_px, _Progress(report))
    cells = cells_of(scores, ground.is_valid, ground.grid, patch_px=model.patch_px, stride_px=stride_px)
    if not cells.count:
        raise UsageError(
            f"no patch of {model.patch_px} x {model.patch_px} px on {ground.name} is judged: "
            f"{int(ground.is_valid.sum())} px have all values, and too few of them lie together; take a "
            "clearer scene, or ground with fewer gaps"
        )
    right_px, lower_px = pixels_left_out(cells, ground.grid)
    if right_px or lower_px:
        report(
            f"{right_px} px at the right and {lower_px} px at the lower edge lie in no cell: no patch of "
            f"{model.patch_px} px, {stride_px} px apart, holds a whole cell there"
        )
    scored = time.perf_counter()
    targets = find_targets(
        cells,
        float(task.settings["threshold"]),
        least_cells=int(task.settings["least_cells"]),
        most_targets=int(task.settings["most_targets"]),
    )
    if targets.found > len(targets.listed):
        report(
            f"{targets.found:,} targets were found, the first {len(targets.listed):,} are kept: raise "
            "--threshold, --least-cells or --most-targets for others"
        )
    figures = {
        "cells": cells.count,
        "targets": len(targets.listed),
        "targets_found": targets.found,
        "target_area_m2": sum(target.area_m2 for target in targets.listed),
        "patches": int(np.isfinite(scores).sum()),
        "judged_share": round(float(ground.is_valid.mean()), 6),
        "highest_probability": float(np.nanmax(cells.probability)),
        "mean_probability": float(np.nanmean(cells.probability, dtype=np.float64)),
        "shift": shift.as_json(),
    }
    stored = _new_targets(task, cells, targets)
    figures["seconds"] = {
        "read": round(read_s, 3),
        "score": round(scored - began, 3),
        "targets": round(time.perf_counter() - scored, 3),
    }
    return Findings(cells, stored, figures)


def _new_targets(task: SearchTask, cells: Cells, targets: Targets) -> list[NewTarget]:
    """The targets with what is near them and what speaks for them."""
    owner = np.zeros((task.ground.grid.height_px, task.ground.grid.width_px), np.int32)
    squares = targets.rank_of_cell.repeat(cells.stride_px, axis=0).repeat(cells.stride_px, axis=1)
    owner[: squares.shape[0], : squares.shape[1]] = squares
    evidence = task.ground.evidence(owner)
    return [
        NewTarget(
            rank=target.rank,
            geometry=target.geometry,
            area_m2=target.area_m2,
            cells=target.cells,
            mean_probability=target.mean_probability,
            highest_probability=target.highest_probability,
            fault_distance_m=far.fault_m,
            pluton_distance_m=far.pluton_m,
            deposit_distance_m=far.deposit_m,
            deposit_id=far.deposit_id,
            evidence=items,
        )
        for target, far, items in zip(
            targets.listed, distances_to(targets.listed, task.nearby), evidence, strict=True
        )
    ]


def _tell_shift(shift: Shift, report: Report) -> None:
    largest = int(np.abs(shift.differences).argmax())
    report(
        f"features lie {shift.distance:.2f} times as far off as those of training (1: alike); the mean that "
        f"moved most is {shift.names[largest]}, by {shift.differences[largest]:+.2f} standard deviations"
    )
    for line in shift.warnings:
        report(f"warning: unlike the ground of training, the answer is a guess there: {line}")


class _Progress:
    """Tells about once in `TELL_EVERY_S` how far the scoring is."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._next_at = time.monotonic() + TELL_EVERY_S

    def __call__(self, share: float) -> None:
        if time.monotonic() >= self._next_at and share < 1:
            self._report(f"scoring: {share:.0%}")
            self._next_at = time.monotonic() + TELL_EVERY_S
