"""The table of an experiment, as Markdown for readers and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COLUMNS = {
    "mIoU": "mIoU",
    "mRecall": "mRecall",
    "mPrecision": "mPrecision",
    "mDice": "mDice",
    "mIoU_without_background": "mIoU, no background",
    "overall_accuracy": "accuracy",
    "boundary_f1": "boundary F1",
    "ece": "ECE",
}
"""Figures of the table and their headings."""
NOT_KNOWN = "–"
FOOTNOTE = (
    "Mean ± standard deviation over seeds, on labels that neither training nor the choice of the epoch saw. "
    "All rows have one split, one budget of shown windows and one schedule; nothing was tuned for a row. The "
    "figures are not comparable with those published for networks of these names: data, split and backbones "
    "are others."
)


def markdown(result: Mapping[str, Any]) -> str:
    """The whole report of an experiment.

    Args:
        result: what `results.assemble` makes.

    """
    parts = [
        f"# {result['experiment'].capitalize()}, preset {result['preset']}",
        " ".join(result["findings"]),
    ]
    if result["failures"]:
        parts.append(
            "\n".join(
                f"- {each['network']} seed {each['seed']} failed: {each['reason']}"
                for each in result["failures"]
            )
        )
    parts.append(_description(result))
    rows = [*result["rows"], *result["baselines"]]
    parts.append(_main_table(rows))
    parts.append("IoU by class:")
    parts.append(_class_table(rows))
    if result["differences"]:
        parts.append(
            f"Difference of mean IoU to {result['reference']}: by seed; with the pixels of all seeds "
            "together, and its 95 % interval when the test blocks are drawn anew:"
        )
        parts.append(_difference_table(result["differences"]))
    parts.append(FOOTNOTE)
    return "\n\n".join(parts) + "\n"


def csv_text(result: Mapping[str, Any]) -> str:
    """A line a network; columns ``<figure>_mean`` and ``<figure>_spread``, empty where not known."""
    rows = [*result["rows"], *result["baselines"]]
    classes = list(rows[0]["by_class"]) if rows else []
    figures: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in COLUMNS]
    figures += [(f"iou_{key}", ("by_class", key, "iou")) for key in classes]
    figures += [("seconds", ("seconds",))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["network", "architecture", "backbone", "parameters", "seeds"]
    writer.writerow([*head, *(f"{name}_{part}" for name, _ in figures for part in ("mean", "spread"))])
    for row in rows:
        cells = [row["network"], *(row.get(key, "") for key in head[1:4]), len(row["seeds"])]
        for _, path in figures:
            found = _at(row, path)
            cells += ["" if found.get(part) is None else found[part] for part in ("mean", "spread")]
        writer.writerow(cells)
    return text.getvalue()


def with_spread(figure: Mapping[str, Any]) -> str:
    """A figure as ``0.512 ± 0.010``."""
    if figure.get("mean") is None:
        return NOT_KNOWN
    if figure.get("spread") is None:
        return f"{figure['mean']:.3f}"
    return f"{figure['mean']:.3f} ± {figure['spread']:.3f}"


def _description(result: Mapping[str, Any]) -> str:
    settings, data = result["settings"], result["data"]
    what = "a simulated district" if result["simulated"] else f"{len(data['scenes'])} scenes"
    if data["sample_set"] is not None:
        what = f"the samples {data['sample_set']}"
    pixels = {part: sum(counts.values()) for part, counts in data["pixels"].items()}
    shown = sorted({number for row in result["rows"] for number in row["windows_shown"]})
    said = [
        f"Data: {what}, bands {', '.join(data['bands'])}, labelled pixels: "
        + ", ".join(f"{count:,} {part}" for part, count in pixels.items())
        + ".",
        f"Each network saw {' or '.join(f'{number:,}' for number in shown)} windows of "
        f"{settings['tile_px']} px in batches of {settings['batch_size']}; seed of the split: "
        f"{settings['split_seed']}. "
        f"Device: {', '.join(result['device'])}.",
    ]
    if result["simulated"]:
        said.append(
            "A made-up district says how the networks compare on it, not how good they are on real ground."
        )
    return " ".join(said)


def _main_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["network", "parameters", *COLUMNS.values(), "s a training"]
    body = [
        [
            row["network"],
            f"{row['parameters']:,}" if "parameters" in row else NOT_KNOWN,
            *(with_spread(row[name]) for name in COLUMNS),
            f"{row['seconds']['mean']:.0f}" if row.get("seconds", {}).get("mean") is not None else NOT_KNOWN,
        ]
        for row in rows
    ]
    return _grid(head, body)


def _class_table(rows: Sequence[Mapping[str, Any]]) -> str:
    classes = list(rows[0]["by_class"]) if rows else []
    body = [[row["network"], *(with_spread(row["by_class"][key]["iou"]) for key in classes)] for row in rows]
    return _grid(["network", *classes], body)


def _difference_table(differences: Iterable[Mapping[str, Any]]) -> str:
    body = []
    for each in differences:
        ends = (each["intervals"] or {}).get("mIoU", {})
        is_known = ends.get("low") is not None and ends.get("high") is not None
        interval = f"{ends['low']:+.3f} to {ends['high']:+.3f}" if is_known else NOT_KNOWN
        together = f"{ends['value']:+.3f}" if is_known else NOT_KNOWN
        values = ", ".join(
            NOT_KNOWN if value is None else f"{value:+.3f}" for value in each["mIoU"]["values"]
        )
        mean = each["mIoU"]["mean"]
        shown = NOT_KNOWN if mean is None else f"{mean:+.3f}"
        body.append([each["network"], shown, values, together, interval])
    return _grid(["network", "mean", "by seed", "all seeds together", "interval over blocks"], body)


def _grid(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _at(row: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    value: Any = row
    for key in path:
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return value if isinstance(value, Mapping) else {}
