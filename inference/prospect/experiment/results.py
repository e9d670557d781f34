"""The whole experiment: its parts one after the other, and the files at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from db.errors import UsageError
from inference.device import choose_device, describe_device
from inference.experiments.files import held, made_folder, write_text, write_whole
from inference.prospect.experiment.figure import experiment_figure
from inference.prospect.experiment.findings import findings
from inference.prospect.experiment.implanted import compare_implanted
from inference.prospect.experiment.planted import Planted
from inference.prospect.experiment.simulated import compare_simulated
from inference.prospect.experiment.survey import Survey, compare_survey
from inference.prospect.experiment.table import csv_text, markdown
from inference.prospect.experiment.training import Bench

NAME = "gcn"
"""Of the files."""


def run_geology_experiment(
    bench: Bench,
    out: Path,
    *,
    preset_name: str,
    districts: tuple[Planted, Planted] | None,
    survey: Survey | None,
    implanted: tuple[Planted, str] | None = None,
    skipped: Sequence[str],
    seeds: int | None = None,
) -> dict[str, Any]:
    """Train and judge everything, and write gcn.json, .md, .csv and .png.

    Trainings are in the registry of the database; the same call goes on where one was cut off.

    Args:
        bench: where and how.
        out: folder of the files; made if missing.
        preset_name: of the bench's preset.
        districts: the district that is learned from and the one that is searched; None: left out.
        survey: the real one; None: left out.
        implanted: what was implanted in a real scene, and its deposit type; None: left out.
        skipped: why parts are left out.
        seeds: trainings of each network, instead of the preset's.

    Raises:
        UsageError: no part is left, a training failed, the folder cannot be written to.

    """
    if districts is None and survey is None and implanted is None:
        raise UsageError("there is nothing to compare: " + "; ".join(skipped))
    preset = bench.preset
    with held(made_folder(out)):
        simulated = mixed = real = None
        if districts is not None:
            simulated = compare_simulated(bench, *districts, preset.seeds if seeds is None else seeds)
        if implanted is not None:
            mixed = compare_implanted(bench, *implanted, preset.implanted_seeds if seeds is None else seeds)
        if survey is not None:
            real = compare_survey(bench, survey, preset.real_seeds if seeds is None else seeds)
        result: dict[str, Any] = {
            "experiment": "geology",
            "preset": preset_name,
            "device": describe_device(choose_device(bench.device_name)),
            "rows": [row for part in (simulated, mixed, real) if part is not None for row in part["rows"]],
            "simulated": simulated,
            "implanted": mixed,
            "real": real,
            "skipped": list(skipped),
        }
        result["findings"] = findings(result)
        write_text(out / f"{NAME}.md", markdown(result))
        write_text(out / f"{NAME}.csv", csv_text(result))
        write_whole(out / f"{NAME}.png", lambda path: experiment_figure(result).savefig(path, dpi=150))
        # the last one, so that where it is the others are too
        write_text(out / f"{NAME}.json", json.dumps(result, indent=1, allow_nan=False))
    return result
