"""The reliability diagram of a stored model."""

from __future__ import annotations

from pathlib import Path

from db.errors import UsageError
from db.registry import ModelRecord
from inference.evaluation.reliability_plot import draw_reliability
from inference.evaluation.stored import stored_calibration


def draw_stored_reliability(record: ModelRecord, path: Path) -> Path:
    """Draw the calibration of a model before and after temperature scaling, on its test ground.

    Args:
        record: the model.
        path: file to write; its ending says the format.

    Raises:
        UsageError: nothing is stored to draw, or the file cannot be written.

    """
    stored = record.metrics.get("calibration") or {}
    titles = {"before": "as trained", "after": f"divided by a temperature of {record.temperature:.2f}"}
    panels = [
        (title, stored_calibration(stored[key], f"model {record.name}"))
        for key, title in titles.items()
        if stored.get(key)
    ]
    if not panels:
        raise UsageError(f"model {record.name} stores no calibration: train it again with this version")
    try:
        return draw_reliability(panels, path)
    except (OSError, ValueError) as error:  # matplotlib: ValueError for an ending it does not know
        raise UsageError(f"the diagram cannot be written to {path}: {error}") from error
