"""`lode model list`: every model in a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord
from inference.evidence.types import EVIDENCE
from inference.models.figures import backbone_of, number, split_text, table
from inference.prospect.settings import PROSPECT

COLUMNS = (
    "name",
    "architecture",
    "backbone",
    "bands",
    "resolution_m",
    "split",
    "mean_iou",
    "balanced_accuracy",
    "trained_at",
    "published_runs",
    "retired_at",
    "retired_reason",
)


def listing(records: Sequence[ModelRecord], runs: Mapping[int, int]) -> list[dict[str, Any]]:
    """What is listed of each model, keys as in `COLUMNS`.

    Args:
        records: the models.
        runs: runs published with each, by model_id.

    """
    return [
        {
            "name": record.name,
            "architecture": record.architecture,
            "backbone": record.options.get("backbone"),
            "bands": list(record.band_names),
            "resolution_m": record.resolution_m,
            "split": split_text(record, is_short=True),
            "mean_iou": record.metrics.get("mean_iou"),
            "balanced_accuracy": record.metrics.get("balanced_accuracy"),
            "trained_at": record.trained_at.isoformat(),
            "published_runs": runs.get(record.model_id, 0),
            "retired_at": None if record.retired_at is None else record.retired_at.isoformat(),
            "retired_reason": record.retired_reason,
        }
        for record in records
    ]


def listing_json(records: Sequence[ModelRecord], runs: Mapping[int, int]) -> str:
    """As JSON: a list of objects."""
    return json.dumps(listing(records, runs), ensure_ascii=False, indent=1)


def listing_csv(records: Sequence[ModelRecord], runs: Mapping[int, int]) -> str:
    """As CSV with a head, bands separated by spaces, what is not known empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in listing(records, runs):
        writer.writerow(row | {"bands": " ".join(row["bands"])})
    return text.getvalue().rstrip("\n")


def listing_text(records: Sequence[ModelRecord], runs: Mapping[int, int], hidden: int) -> list[str]:
    """As a table.

    Args:
        records: the models.
        runs: runs published with each, by model_id.
        hidden: retired models that are left out.

    """
    hint = f"{hidden} retired, see them with --all"
    if not records:
        return [
            f"no model is in service: {hint}"
            if hidden
            else "there is no model yet: lode train segmentation --help"
        ]
    head = (
        "name",
        "architecture",
        "backbone",
        "bands",
        "pixel",
        "held out",
        "on test ground",
        "trained",
        "runs",
    )
    rows: list[tuple[str, ...]] = [(*head, "")]
    for record in records:
        gone = "" if record.retired_at is None else f"retired {record.retired_at:%Y-%m-%d}"
        rows.append(
            (
                record.name,
                record.architecture,
                backbone_of(record),
                _bands(record.band_names),
                f"{record.resolution_m:g} m",
                split_text(record, is_short=True),
                _figure(record),
                f"{record.trained_at:%Y-%m-%d}",
                f"{runs.get(record.model_id, 0)}",
                gone,
            )
        )
    lines = table(rows, left=4, indent="")
    if hidden:
        lines.append(hint)
    return lines


def _figure(record: ModelRecord) -> str:
    """The figure that models of a task are first compared by, with its name."""
    if record.task == EVIDENCE:
        losses = record.metrics.get("validation_loss") or {}
        return f"validation loss {number(losses.get('mean'))}" if losses else "-"
    if record.task == PROSPECT:
        return f"balanced accuracy {number(record.metrics.get('balanced_accuracy'))}"
    return f"mean IoU {number(record.metrics.get('mean_iou'))}"


def _bands(names: Sequence[str]) -> str:
    """The names, or the first and the last of many."""
    return ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]} ({len(names)})"
