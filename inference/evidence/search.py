"""`lode prospect apply` with a model of `lode train evidence`: scores of all cells, targets and reasons.

Everything of a search is published in one transaction, and equal searches are one, as with a network that
learned from deposits. Deposits only tell how far the targets lie from what is known: they are not even read
before all is scored.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.prospect_runs import (
    PROSPECTIVITY,
    SCORED_BAND_NAMES,
    NewProspectRun,
    NewReason,
    NewTarget,
    standing_search,
    standing_searches,
)
from db.registry import weights_sha256
from db.watch import require_current
from inference.device import choose_device, describe_device, device_faults
from inference.evidence.favourability import Favourability, favourability
from inference.evidence.reasons import Explained, cell_reasons, target_evidence
from inference.evidence.scores import Scores, score_area, threshold_of
from inference.evidence.trained import EvidenceModel, load_evidence_model, model_ground
from inference.evidence.types import EvidenceGround, Report
from inference.prospect.cells import Cells
from inference.prospect.nearby import Nearby, add_deposits, distances_to, read_nearby
from inference.prospect.publishing import (
    APPLICATION,
    Publication,
    SearchOutcome,
    as_it_stands,
    cell_rows,
    publish,
)
from inference.prospect.targets import Targets, find_targets

RULES = 1
"""Counts up whenever other scores, targets or reasons follow from the same model and ground."""
VERSIONS = ("lode", "torch", "numpy", "scipy", "scikit-learn", "shapely", "pyproj")
REASONED_SHARE = 0.1
"""Share of the scored ground, the best of it, whose cells are given reasons."""


@dataclass(frozen=True)
class EvidenceSearch:
    """What is to be searched, and how.

    Attributes:
        model_name: of `lode train evidence`.
        area: study area.
        top: share of the scored ground that belongs to targets, above 0 and below 1.
        least_cells: smaller targets are left out.
        most_targets: so many targets are stored at most.
        is_again: publish anew, and withdraw the earlier search in the same moment.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.

    """

    model_name: str
    area: str
    top: float = 0.05
    least_cells: int = 1
    most_targets: int = 500
    is_again: bool = False
    device_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no targets."""
        if not 0 < self.top < 1:
            raise UsageError(
                f"--top {self.top:g}: say which share of the scored ground belongs to targets, above 0 and "
                "below 1, e.g. 0.05"
            )
        if self.least_cells < 1 or self.most_targets < 1:
            raise UsageError(
                f"targets of {self.least_cells} cells at least and {self.most_targets} targets at most: "
                "both begin at 1"
            )


@dataclass(frozen=True)
class _Task:
    """What was read before anything was computed."""

    model: EvidenceModel
    model_sha256: str
    ground: EvidenceGround
    favoured: Favourability
    nearby: Nearby
    settings: dict[str, Any]
    earlier: tuple[int, ...]
    device: str

    @property
    def content_digest(self) -> str:
        """SHA-256 of model, ground, geology and settings: equal searches are one."""
        content = {
            "rules": RULES,
            "model": {"id": self.model.model_id, "weights": self.model_sha256},
            "system": self.model.system.digest,
            "area": self.ground.evidence_area_id,
            "layers": dict(self.ground.layer_ids),
            "geology": self.ground.geology_digest,
            "nearby": self.nearby.geology_digest,
            # rules may be about rocks and types of which the channels say nothing
            "favourability": hashlib.sha256(np.nan_to_num(self.favoured.value, nan=-1).tobytes()).hexdigest(),
            "settings": self.settings,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def search_evidence(url: str, request: EvidenceSearch, report: Report) -> SearchOutcome:
    """Score a study area and publish what was found, unless this was done before.

    Args:
        url: libpq URL of the database.
        request: what and how.
        report: takes lines about the progress, and warnings.

    Raises:
        UsageError: no such model or area, a model that was retired or is for something else, layers that it
            knows and the area lacks, a database of another version of Lode. Nothing is published then.

    """
    began = time.perf_counter()
    with device_faults():
        with connect(url, application_name=APPLICATION) as conn:
            require_current(conn)
            task = _read(conn, request, report)
            standing = standing_search(conn, task.content_digest)
        if standing is not None and not request.is_again:
            return as_it_stands(task.ground.area, standing)
        publication = _computed(url, task, time.perf_counter() - began, report)
    return publish(url, publication, is_again=request.is_again, report=report)


def _read(conn: Connection[Any], request: EvidenceSearch, report: Report) -> _Task:
    device = choose_device(request.device_name)
    model = load_evidence_model(conn, request.model_name, device)
    settings: dict[str, Any] = {
        "top": request.top,
        "least_cells": request.least_cells,
        "most_targets": request.most_targets,
    }
    ground = model_ground(conn, model, request.area, report)
    report(
        f"{ground.area}: {int(ground.is_scored.sum()):,} cells with {len(ground.channels)} channels; "
        f"{model.architecture} with {len(model.members)} members, system {model.system.name}"
    )
    favoured = favourability(conn, ground, model.system)
    for note in favoured.notes:
        report(note)
    nearby = read_nearby(conn, ground.grid, report, with_deposits=False)
    earlier = [
        other.prospect_run_id
        for other in standing_searches(conn, model.model_id, None, ground.evidence_area_id)
        if {key: other.parameters.get(key) for key in settings} == settings
    ]
    sha256 = weights_sha256(conn, model.model_id)
    return _Task(
        *(
            model,
            str(sha256),
            ground,
            favoured,
            nearby,
            settings,
            tuple(earlier),
            describe_device(device, is_half=False),
        )
    )


def _computed(url: str, task: _Task, read_s: float, report: Report) -> Publication:
    """Score the ground and make of it what is stored."""
    began = time.perf_counter()
    ground = task.ground
    scores = score_area(task.model, ground, task.favoured, report)
    scored = time.perf_counter()
    cells = Cells(ground.grid, 1, scores.prospectivity)
    threshold = threshold_of(scores.prospectivity, float(task.settings["top"]))
    targets = find_targets(
        cells,
        threshold,
        least_cells=int(task.settings["least_cells"]),
        most_targets=int(task.settings["most_targets"]),
    )
    if targets.found > len(targets.listed):
        report(
            f"{targets.found:,} targets were found, the first {len(targets.listed):,} are kept: lower --top, "
            "or raise --least-cells or --most-targets for others"
        )
    explained = Explained(
        *(ground, task.model.system, task.favoured, scores.excess, scores.above, scores.expected)
    )
    is_reasoned = (targets.rank_of_cell > 0) | (
        cells.is_scored & (scores.prospectivity >= threshold_of(scores.prospectivity, REASONED_SHARE))
    )
    is_known = ground.is_scored & np.isfinite(scores.prospectivity)
    figures: dict[str, Any] = {
        "cells": cells.count,
        "targets": len(targets.listed),
        "targets_found": targets.found,
        "target_area_m2": sum(target.area_m2 for target in targets.listed),
        "judged_share": round(float(is_known.mean()), 6),
        "members": len(task.model.members),
        "highest_prospectivity": float(np.nanmax(scores.prospectivity)),
        "mean_prospectivity": float(np.nanmean(scores.prospectivity, dtype=np.float64)),
        "note": scores.note,
        "notes": [*ground.notes, *task.favoured.notes],
        "seconds": {"read": round(read_s, 3), "score": round(scored - began, 3)},
    }
    with connect(url, application_name=APPLICATION) as conn:
        nearby = add_deposits(conn, task.nearby, ground.grid)
    new_targets = _new_targets(nearby, explained, targets)
    figures["seconds"] |= {"targets": round(time.perf_counter() - scored, 3)}

    def reasons() -> Iterator[NewReason]:
        return cell_reasons(explained, is_reasoned)

    return Publication(
        run=_new_run(task, threshold, figures),
        ground=ground.area,
        earlier=task.earlier,
        grid=ground.grid,
        bands=scores.bands,
        cells=lambda: cell_rows(cells, _more_scores(scores)),
        count=cells.count,
        targets=new_targets,
        comment="Prospectivity, anomaly, favourability and their spreads over seeds, of search",
        reasons=reasons,
    )


def _more_scores(scores: Scores) -> NDArray[np.float32]:
    """(5, height, width) as `db.prospect_cell_rows.SCORES` names them."""
    return np.stack(
        [
            *(scores.anomaly, scores.favourability),
            *(scores.prospectivity_spread, scores.anomaly_spread, scores.favourability_spread),
        ]
    )


def _new_run(task: _Task, threshold: float, figures: dict[str, Any]) -> NewProspectRun:
    return NewProspectRun(
        model_id=task.model.model_id,
        scene_id=None,
        evidence_area_id=task.ground.evidence_area_id,
        parameters={
            **task.settings,
            "system": task.model.system.as_json(),
            "channels": [channel.as_json() for channel in task.ground.channels],
            "layers": dict(task.ground.layer_ids),
            "geology_digest": task.ground.geology_digest,
            "nearby_digest": task.nearby.geology_digest,
        },
        content_digest=task.content_digest,
        threshold=threshold,
        cell_m=task.ground.grid.resolution_x,
        figures=figures,
        device=task.device,
        versions={name: version(name) for name in VERSIONS},
        band_names=SCORED_BAND_NAMES,
        score_kind=PROSPECTIVITY,
    )


def _new_targets(nearby: Nearby, explained: Explained, targets: Targets) -> list[NewTarget]:
    """The targets with what is near them and what speaks for them."""
    evidence = target_evidence(explained, targets.rank_of_cell, len(targets.listed))
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
            targets.listed, distances_to(targets.listed, nearby), evidence, strict=True
        )
    ]
