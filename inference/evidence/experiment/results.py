"""The experiment from its parts to its files: evidence.json, .md, .csv, and a figure for each part."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.connection import connect
from inference.evidence.combine import prospectivity
from inference.evidence.evaluation.drawing import draw_comparison
from inference.evidence.evaluation.judging import Evaluation
from inference.evidence.evaluation.placed import place_deposits
from inference.evidence.evaluation.plain import plain_answers
from inference.evidence.experiment.findings import findings_of
from inference.evidence.experiment.judged import JudgedPart, PlantedPlaces, judge
from inference.evidence.experiment.plan import LABELS
from inference.evidence.experiment.running import Bench, MethodScores, read_ground, run_methods
from inference.evidence.experiment.table import as_csv, as_markdown
from inference.evidence.favourability import favourability
from inference.evidence.mineral_system import find_system
from inference.evidence.types import EvidenceGround
from inference.experiments.files import write_text, write_whole

STEM = "evidence"


@dataclass(frozen=True)
class Part:
    """A part of the experiment with its ground in a database.

    Attributes:
        bench: where and how.
        ground: what it is called.
        x, y: (n,) deposits in the CRS of the area's grid.
        planted: of simulated ground.

    """

    bench: Bench
    ground: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    planted: PlantedPlaces | None = None


def run_parts(
    parts: Sequence[Part], out: Path, *, preset_name: str, skipped: Sequence[str] = ()
) -> dict[str, Any]:
    """Run all parts, judge them, and write what was found.

    Args:
        parts: with their grounds.
        out: folder of the files.
        preset_name: for the record.
        skipped: parts that were left out, and why.

    Returns:
        What ``evidence.json`` holds: ``rows``, ``differences``, ``planted``, ``findings``, ``parts``.

    """
    result: dict[str, Any] = {
        "experiment": "prospectivity",
        "preset": preset_name,
        "skipped": list(skipped),
        "parts": {},
        "rows": [],
        "differences": [],
        "planted": [],
    }
    for part in parts:
        begun = time.monotonic()
        bench = part.bench
        ground = read_ground(bench)
        methods = run_methods(bench, ground)
        judged = judge(
            bench.part, ground.grid, methods, (part.x, part.y), _others(part, ground), part.planted
        )
        result["rows"] += judged.rows
        result["differences"] += judged.differences
        result["planted"] += judged.planted
        result["parts"][bench.part] = {
            "ground": part.ground,
            **judged.counts,
            "channels": len(ground.channels),
            "seeds": bench.seeds,
            "system": bench.system,
            "settings": {method: bench.preset.settings_of(method).as_json() for method in LABELS},
            "models": {method: _about(each) for method, each in methods.items()},
            "seconds": round(time.monotonic() - begun),
        }
        _draw(out, part, ground, judged)
    result["findings"] = findings_of(result)
    write_text(out / f"{STEM}.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    write_text(out / f"{STEM}.md", as_markdown(result))
    write_text(out / f"{STEM}.csv", as_csv(result))
    return result


def figure_path(out: Path, part: str) -> Path:
    """Where the figure of a part is written."""
    return out / f"{STEM}_{part}.png"


def _about(method: MethodScores) -> dict[str, Any]:
    return {
        "model": method.model,
        "search": method.run_id,
        "seconds": method.seconds,
        "validation_loss": method.validation_loss,
    }


def _others(part: Part, ground: EvidenceGround) -> dict[str, NDArray[np.float64]]:
    """What else is ranked: geology alone, the best layer in hindsight, and where known the planted truth."""
    with connect(part.bench.url, application_name="lode experiment") as conn:
        system = find_system(conn, part.bench.system)
        favoured = favourability(conn, ground, system)
    deposits = place_deposits(ground.grid, part.x, part.y)
    is_judged = ground.is_scored & np.isfinite(favoured.value)
    found = {"favourability alone": favoured.value.astype(np.float64)}
    for answer in plain_answers(ground, system, is_judged, deposits, part.bench.report):
        if answer.key == "best_layer":
            found[f"best layer in hindsight: {answer.note}"] = answer.scores
    if part.planted is not None:
        truth = prospectivity(part.planted.halo, favoured.value, system.anomaly_share, ground.is_judged)
        found["planted halos, S"] = truth.astype(np.float64)
    return found


def _draw(out: Path, part: Part, ground: EvidenceGround, judged: JudgedPart) -> None:
    """The figure of a part: curves and maps of the prospectivity of all methods."""
    kept = {f"S {method}": scores for method, scores in judged.scores.items()}
    shown = Evaluation(
        **{
            **vars(judged.evaluation),
            "methods": {key: judged.evaluation.methods[key] for key in kept},
        }
    )
    labels = {f"S {method}": LABELS[method] for method in judged.scores}
    write_whole(
        figure_path(out, part.bench.part),
        lambda path: draw_comparison(
            path,
            ground.grid,
            kept,
            shown,
            labels=labels,
            title=f"{part.ground} ({part.bench.part}): prospectivity without labels, mean over seeds",
        ),
    )
