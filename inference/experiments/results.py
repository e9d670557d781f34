"""The result of an experiment: one JSON object, from which the tables are made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inference.experiments.contrasts import difference, differences_to
from inference.experiments.files import write_text
from inference.experiments.findings import findings
from inference.experiments.plan import Plan
from inference.experiments.rows import REFERENCE
from inference.experiments.runner import Outcome
from inference.experiments.summary import summarise, summarise_baselines
from inference.experiments.table import csv_text, markdown


def assemble(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Everything an experiment has to say, as JSON knows it."""
    rows, baselines = summarise(plan, outcome), summarise_baselines(plan, outcome)
    networks = [row["network"] for row in rows]
    said = findings(
        rows,
        baselines,
        REFERENCE,
        lambda network, other: difference(outcome, network, other),
        [f"{each.network} seed {each.seed}" for each in outcome.failures],
    )
    known = plan.as_json()
    return {
        "experiment": plan.experiment,
        "preset": plan.preset,
        "findings": said,
        "simulated": plan.is_simulated,
        "data": known["data"],
        "split": plan.ground.split,
        "settings": known["settings"],
        "seeds": list(plan.seeds),
        "device": sorted({device for row in rows for device in row["device"]}),
        "rows": rows,
        "baselines": baselines,
        "reference": REFERENCE,
        "differences": differences_to(outcome, networks, REFERENCE),
        "failures": [vars(each) for each in outcome.failures],
    }


def write_results(result: dict[str, Any], out: Path) -> list[Path]:
    """Write ``<experiment>.json``, ``.md`` and ``.csv``; returns their paths.

    Raises:
        UsageError: the disk is full or the folder cannot be written to.

    """
    name = result["experiment"]
    return [
        write_text(
            out / f"{name}.json", json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        ),
        write_text(out / f"{name}.md", markdown(result)),
        write_text(out / f"{name}.csv", csv_text(result)),
    ]
