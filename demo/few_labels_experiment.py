"""What `lode experiment few-labels` learns from: a simulated district of which most labels are put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from demo.district import kept_district
from inference.pretraining.few_labels import run_few_labels
from inference.pretraining.few_labels_plan import SPLIT_SEED, preset_by_name

DATABASE = "lode_experiment_few_labels_{size_px}"
"""In the private cluster; one for each size of the district."""


def run_experiment(
    out: Path, *, preset_name: str, seeds: int | None, device_name: str | None
) -> dict[str, Any]:
    """Simulate the district where it is missing, then train and judge.

    Args:
        out: folder of the results.
        preset_name: see `inference.pretraining.few_labels_plan.PRESETS`.
        seeds: trainings of each share and start, instead of the preset's.
        device_name: see `inference.device.choose_device`.

    Raises:
        UsageError: an unknown preset, a database in use for something else, a training that failed.

    """
    size_px = preset_by_name(preset_name).size_px
    url = kept_district(
        DATABASE.format(size_px=size_px), seed=SPLIT_SEED, width_px=size_px, height_px=size_px
    )
    return run_few_labels(
        url, out, preset_name=preset_name, seeds=seeds, device_name=device_name, report=click.echo
    )
