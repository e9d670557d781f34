"""The tables of the experiment, as Markdown for readers and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.experiments.table import NOT_KNOWN, with_spread

COLUMNS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
}
FOOTNOTE = (
    "Mean ± standard deviation over seeds; in brackets the 95 % interval of the mean when "
    "blocks of test ground (simulated, implanted) or deposits (real) are drawn anew. "
    "Width, learning rate, epoch and threshold were chosen on validation patches, nothing on the test part. "
    "A simulated district says how the networks compare on it, not how good they are on real ground. "
    "Implanted: real pixels of an EnMAP scene with laboratory spectra of ore minerals mixed in at known "
    "places, and with made-up faults and plutons: real light and ground, no real ore."
)


def markdown(result: Mapping[str, Any]) -> str:
    """The whole report.

    Args:
        result: what `inference.prospect.experiment.results.write_results` is given.

    """
    parts = [
        f"# Geology-informed graph networks, preset {result['preset']}",
        "\n".join(f"- {sentence}" for sentence in result["findings"]),
    ]
    for data in ("simulated", "implanted"):
        if result[data]:
            parts += _planted_parts(data, result[data])
    real = result["real"]
    if real:
        parts += ["## Real: deposits against judged ground", _real_table(real["rows"])]
    parts += [f"- not run: {reason}" for reason in result["skipped"]]
    parts.append(FOOTNOTE)
    return "\n\n".join(parts) + "\n"


def _planted_parts(data: str, part: Mapping[str, Any]) -> list[str]:
    """Headings and tables of a part whose ore was planted."""
    title = data.capitalize()
    parts = [f"## {title}: test patches", _patch_table(part["rows"])]
    parts += [f"## {title}: decoys on test ground", _decoy_table(part["rows"])]
    if "transfer" in part:
        parts += [f"## {title}: another district searched", _transfer_table(part["transfer"])]
    return parts


def csv_text(result: Mapping[str, Any]) -> str:
    """A line a figure: data, part, network, figure, mean, spread, low, high."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data", "part", "network", "figure", "mean", "spread", "low", "high"])
    for data, part, network, figure, found in _figures(result):
        ends = [found.get(key) for key in ("mean", "spread", "low", "high")]
        if ends[0] is None:
            ends[0] = found.get("value")
        writer.writerow([data, part, network, figure, *("" if each is None else each for each in ends)])
    return text.getvalue()


def _figures(result: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    for data in ("simulated", "implanted"):
        if result[data]:
            yield from _planted_figures(result[data])
    real = result["real"]
    for row in real["rows"] if real else ():
        yield row["data"], f"{row['test']} judged", row["network"], "roc_auc", row["roc_auc"]


def _planted_figures(
    part: Mapping[str, Any],
) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Figures of a part whose ore was planted."""
    for row in part["rows"]:
        for name in COLUMNS:
            yield row["data"], "test patches", row["network"], name, row[name]
        for kind, said in row["decoys"].items():
            where = f"decoys {kind}" if kind != "ore" else kind
            for name in ("mean_probability", "called", "roc_auc"):
                if name in said:
                    yield row["data"], where, row["network"], name, said[name]
    for row in part.get("transfer", ()):
        for share, found in row.get("top", {}).items():
            yield row["data"], "other district", row["network"], f"found in {share}", found


def _patch_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [[row["data"], row["network"], *(_with_interval(row[name]) for name in COLUMNS)] for row in rows]
    return _grid(["data", "network", *COLUMNS.values()], body)


def _decoy_table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "data",
        "network",
        "probability of ore",
        "of A",
        "of B",
        "called ore: ore",
        "A",
        "B",
        "AUC ore vs A",
        "vs B",
    ]
    body = []
    for row in rows:
        kinds = [row["decoys"][kind] for kind in ("ore", "A", "B")]
        cells = [with_spread(each["mean_probability"]) for each in kinds]
        cells += [with_spread(each["called"]) for each in kinds]
        cells += [with_spread(each["roc_auc"]) for each in kinds[1:]]
        body.append([row["data"], row["network"], *cells])
    return (
        _grid(head, body)
        + "\n\nA: the spectrum of ore far from faults and plutons. B: favoured geology without "
        "an ore mineral (implanted: with muscovite)."
    )


def _transfer_table(rows: Sequence[Mapping[str, Any]]) -> str:
    shares = list(next((row["top"] for row in rows if "top" in row), {}))
    body = []
    for row in rows:
        if "top" not in row:
            body.append([row["network"], *[NOT_KNOWN] * len(shares)])
            continue
        body.append([row["network"], *(_with_interval({**row["top"][key], "mean": None}) for key in shares)])
    head = ["network", *(f"deposits in the best {float(share):.0%}" for share in shares)]
    return _grid(head, body)


def _real_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [
            row["test"],
            row["network"],
            str(row["deposits"]),
            _with_interval(row["roc_auc"]),
            row.get("note", ""),
        ]
        for row in rows
    ]
    return _grid(["side judged", "method", "deposits", "ROC-AUC", "note"], body)


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure.get("mean") is None:
        value = figure.get("value")
        said = NOT_KNOWN if value is None else f"{value:.3f}"
    else:
        said = with_spread(figure)
    low, high = figure.get("low"), figure.get("high")
    return said if low is None or high is None else f"{said} ({low:.3f} to {high:.3f})"


def _grid(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
