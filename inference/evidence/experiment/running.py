"""All methods trained on one study area, searched with as a user would, and scored seed by seed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.connection import connect
from db.errors import UsageError
from db.registry import list_models
from inference.device import choose_device
from inference.evidence.combine import prospectivity
from inference.evidence.experiment.plan import LABELS, Preset
from inference.evidence.favourability import favourability
from inference.evidence.ground import evidence_ground
from inference.evidence.mineral_system import find_system
from inference.evidence.recording import EvidenceRequest, train_evidence
from inference.evidence.search import EvidenceSearch, search_evidence
from inference.evidence.trained import load_evidence_model, model_ground
from inference.evidence.types import EvidenceGround, EvidenceSettings
from inference.prospect.experiment.processes import tell, trainings_in

Floats = NDArray[np.float32]
RULES = 2
"""Counts up whenever a method learns otherwise from the same evidence: older models are then left alone."""


@dataclass(frozen=True)
class Bench:
    """Where and how one part of the experiment is done.

    Attributes:
        url: libpq URL of its database.
        part: ``simulated`` or ``real``.
        area, system: study area and mineral system there.
        preset: the budget.
        seeds: members of methods that know chance.
        device_name: see `inference.device.choose_device`.
        jobs: methods at a time.
        report: takes lines of progress.

    """

    url: str
    part: str
    area: str
    system: str
    preset: Preset
    seeds: int
    device_name: str | None
    jobs: int
    report: Callable[[str], None]


@dataclass(frozen=True)
class MethodScores:
    """What a method says of the area.

    Attributes:
        model: its name in the registry.
        run_id: its search.
        seconds: of its training and scoring, as far as they were done now.
        anomaly, prospectivity: (seeds, height, width) float32, NaN where nothing was scored.
        validation_loss: of each seed on held-out blocks; None: it has none.

    """

    model: str
    run_id: int
    seconds: float
    anomaly: Floats
    prospectivity: Floats
    validation_loss: list[float | None]

    @property
    def mean_anomaly(self) -> Floats:
        """Mean over the seeds (height, width)."""
        return np.asarray(self.anomaly.mean(axis=0), np.float32)

    @property
    def mean_prospectivity(self) -> Floats:
        """Mean over the seeds (height, width)."""
        return np.asarray(self.prospectivity.mean(axis=0), np.float32)


def read_ground(bench: Bench) -> EvidenceGround:
    """The evidence that all methods are given."""
    with connect(bench.url, application_name="lode experiment") as conn:
        system = find_system(conn, bench.system)
        return evidence_ground(conn, bench.area, system, report=bench.report)


def run_methods(bench: Bench, ground: EvidenceGround) -> dict[str, MethodScores]:
    """Train and search with every method; what an earlier call trained is taken as it is.

    Raises:
        UsageError: as `train_evidence` and `search_evidence`.

    """
    found: dict[str, MethodScores] = {}
    begun = time.monotonic()
    with trainings_in(bench.jobs, bench.report) as pool:
        waiting = {
            pool.submit(
                _run_method,
                bench.url,
                _model_name(bench, method, ground),
                _request(bench, method),
                f"{bench.part}, {LABELS[method]}",
            ): method
            for method in LABELS
        }
        for done in as_completed(waiting):
            try:
                found[waiting[done]] = done.result()
            except BrokenProcessPool as error:
                raise UsageError(
                    f"{LABELS[waiting[done]]} died, for want of memory or because somebody killed it: the "
                    "same command goes on; with --jobs 1 it needs less memory"
                ) from error
            bench.report(
                f"{bench.part}: {len(found)} of {len(LABELS)} methods after {time.monotonic() - begun:.0f} s"
            )
    return {method: found[method] for method in LABELS}


def _request(bench: Bench, method: str) -> EvidenceRequest:
    return EvidenceRequest(
        area=bench.area,
        system=bench.system,
        settings=bench.preset.settings_of(method),
        seeds=bench.seeds,
        data=bench.part,
        device_name=bench.device_name,
    )


def _model_name(bench: Bench, method: str, ground: EvidenceGround) -> str:
    """Name that is the same where the evidence, its scale and the settings are."""
    digest = hashlib.sha256(ground.values.tobytes())
    digest.update(ground.is_known.tobytes())
    settings: EvidenceSettings = bench.preset.settings_of(method)
    about = [
        RULES,
        bench.system,
        bench.seeds,
        settings.as_json(),
        [each.as_json() for each in ground.channels],
    ]
    digest.update(json.dumps(about, sort_keys=True).encode())
    return f"prospectivity {bench.part} {LABELS[method]} {digest.hexdigest()[:10]}"


def _run_method(url: str, name: str, request: EvidenceRequest, head: str) -> MethodScores:
    """Train, publish and score; runs in a process of its own."""
    begun = time.monotonic()

    def said(line: str) -> None:
        tell(f"{head}: {line}")

    with connect(url, application_name="lode experiment") as conn:
        is_there = any(record.name == name for record in list_models(conn))
    if is_there:
        said("was trained before")
    else:
        train_evidence(url, name, request, said)
    outcome = search_evidence(
        url, EvidenceSearch(name, request.area, device_name=request.device_name), lambda _line: None
    )
    with connect(url, application_name="lode experiment") as conn:
        model = load_evidence_model(conn, name, choose_device(request.device_name))
        ground = model_ground(conn, model, request.area)
        favoured = favourability(conn, ground, model.system)
    anomalies, scores = [], []
    for _seed, member in model.members:
        anomaly = member.anomaly(ground, model.system).anomaly
        score = prospectivity(anomaly, favoured.value, model.system.anomaly_share, ground.is_judged)
        anomalies.append(np.where(np.isfinite(score), anomaly, np.float32(np.nan)))
        scores.append(score)
    losses = [member.validation_loss for _seed, member in model.members]
    seconds = round(time.monotonic() - begun, 1)
    said(f"done in {seconds:.0f} s")
    return MethodScores(name, outcome.run_id, seconds, np.stack(anomalies), np.stack(scores), losses)
