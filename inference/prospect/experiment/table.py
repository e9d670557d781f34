"""The tables of the experiment, as Markdown for readers and CSV for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.experiments.table import NOT_KNOWN, with_spread
from inference.prospect.experiment.plan import MAIN

COLUMNS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "macro_f1": "macro-F1",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
}
CONFUSION = {
    "tp": "ore found",
    "fn": "ore missed",
    "fp": "barren called ore",
    "tn": "barren told",
}
"""Patches of a confusion matrix, and their headings."""
MOST_CHANNELS = 8
FOOTNOTE = (
    "Mean ± standard deviation over seeds; where a figure is of some seeds only, it says of how many. In "
    "brackets the 95 % interval of the mean when blocks of test ground (test patches), places (decoys), "
    "clusters of dykes (another district) or groups of deposits whose patches overlap (real deposits) are "
    "drawn anew; with fewer than five of them there is none. "
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
        trained = [
            {**row["test_patches"], "data": f"real, {row['test']} judged"}
            for row in real["rows"]
            if "test_patches" in row
        ]
        parts += ["## Real: test patches", _patch_table(trained), _confusion_table(trained)]
        parts += [
            f"Channels shuffled, real, {each['test']} judged:\n\n{_importance_table(each['channels'])}"
            for each in real["importance"]
        ]
    parts += [f"- not run: {reason}" for reason in result["skipped"]]
    parts.append(FOOTNOTE)
    return "\n\n".join(parts) + "\n"


def _planted_parts(data: str, part: Mapping[str, Any]) -> list[str]:
    """Headings and tables of a part whose ore was planted."""
    title = data.capitalize()
    parts = [f"## {title}: test patches", _patch_table(part["rows"]), _confusion_table(part["rows"])]
    parts += [f"## {title}: decoys on test ground", _decoy_table(part["rows"])]
    parts.append(_decoy_difference_table(part["decoy_differences"]))
    if "transfer" in part:
        parts += [f"## {title}: another district searched", _transfer_table(part["transfer"])]
    parts += [f"## {title}: channels shuffled", _importance_table(part["importance"]["channels"])]
    return parts


def csv_text(result: Mapping[str, Any]) -> str:
    """A line a figure: data, part, network, figure, mean, spread, low, high, known (seeds with a value)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data", "part", "network", "figure", "mean", "spread", "low", "high", "known"])
    for data, part, network, figure, found in _figures(result):
        ends = [found.get(key) for key in ("mean", "spread", "low", "high", "known")]
        if ends[0] is None:
            ends[0] = found.get("value")
        writer.writerow([data, part, network, figure, *("" if each is None else each for each in ends)])
    return text.getvalue()


def _figures(result: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    for data in ("simulated", "implanted"):
        if result[data]:
            yield from _planted_figures(result[data])
    if result["real"]:
        yield from _real_figures(result["real"])


def _planted_figures(
    part: Mapping[str, Any],
) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Figures of a part whose ore was planted."""
    for row in part["rows"]:
        for name, found in _patch_figures(row):
            yield row["data"], "test patches", row["network"], name, found
        for kind, said in row["decoys"].items():
            where = f"decoys {kind}" if kind != "ore" else kind
            for name in ("patches", "places"):
                yield row["data"], where, row["network"], name, {"value": said[name]}
            for name in ("mean_probability", "called", "roc_auc"):
                if name in said:
                    yield row["data"], where, row["network"], name, said[name]
    for each in part["differences"]:
        for name in COLUMNS:
            yield each["data"], "test patches", MAIN, f"{name} minus {each['minus']}", each[name]
    for each in part["decoy_differences"]:
        figure = f"roc_auc minus {each['minus']}"
        yield each["data"], f"decoys {each['decoys']}", MAIN, figure, each["roc_auc"]
    for row in part.get("transfer", ()):
        if "top" not in row:
            continue
        for share, found in row["top"].items():
            yield row["data"], "other district", row["network"], f"found in {share}", found
        for name, value in (
            ("deposits", row["deposits"]),
            ("unscored", row["unscored"]),
            ("feature distance", row["shift"]["distance"]),
        ):
            yield row["data"], "other district", row["network"], name, {"value": value}
    yield from _importance_figures(part["importance"], "test patches")


def _real_figures(real: Mapping[str, Any]) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Figures of the survey."""
    for row in real["rows"]:
        yield row["data"], f"{row['test']} judged", row["network"], "roc_auc", row["roc_auc"]
    for each in real["differences"]:
        figure = f"roc_auc minus {each['minus']}"
        yield each["data"], f"{each['test']} judged", MAIN, figure, each["roc_auc"]
    for row in real["rows"]:
        for name, found in _patch_figures(row["test_patches"]) if "test_patches" in row else ():
            yield row["data"], f"{row['test']} judged, test patches", row["network"], name, found
    for each in real["importance"]:
        yield from _importance_figures(each, f"{each['test']} judged, test patches")


def _patch_figures(row: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Figures of a network on test patches, and what belongs to them."""
    for name in COLUMNS:
        yield name, row[name]
    for name in CONFUSION:
        yield name, row["confusion"][name]
    for name in ("threshold", "seconds"):
        yield name, row[name]
    for name in ("patches", "positives", "blocks", "blocks_with_ore"):
        yield name, {"value": row[name]}


def _importance_figures(
    importance: Mapping[str, Any], where: str
) -> Iterable[tuple[str, str, str, str, Mapping[str, Any]]]:
    for each in importance["channels"]:
        for name in ("roc_auc", "balanced_accuracy"):
            found = {"mean": each[f"{name}_drop"], "spread": each[f"{name}_spread"]}
            yield importance["data"], where, MAIN, f"{name} lost without {each['name']}", found


def _patch_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [[row["data"], row["network"], *(_with_interval(row[name]) for name in COLUMNS)] for row in rows]
    notes = dict.fromkeys(f"{row['data']}: {row['few_blocks']}." for row in rows if row["few_blocks"])
    table = _grid(["data", "network", *COLUMNS.values()], body)
    return "\n\n".join([table, *(note[0].upper() + note[1:] for note in notes)])


def _confusion_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Patches called right and wrong, and what a training was like."""
    head = ["data", "network", *CONFUSION.values(), "threshold", "test patches", "with ore"]
    head += ["test blocks", "with ore", "seeds", "width", "learning rate", "trials", "seconds"]
    body = []
    for row in rows:
        settings = [row["settings"].get(key) for key in ("width", "learning_rate")]
        body.append(
            [
                row["data"],
                row["network"],
                *(_count(row["confusion"][name]) for name in CONFUSION),
                with_spread(row["threshold"]),
                *(str(row[key]) for key in ("patches", "positives", "blocks", "blocks_with_ore")),
                str(len(row["seeds"])),
                *(NOT_KNOWN if each is None else f"{each:g}" for each in settings),
                str(len(row["trials"])),
                _count(row["seconds"]),
            ]
        )
    return _grid(head, body)


def _importance_table(channels: Sequence[Mapping[str, Any]]) -> str:
    """Groups of channels, and the single ones that cost most."""
    ranked = sorted(channels, key=lambda each: -each["roc_auc_drop"])
    groups = [each for each in ranked if len(each["channels"]) > 1]
    single = [each for each in ranked if len(each["channels"]) == 1][:MOST_CHANNELS]
    body = [
        [each["name"], *(f"{each[key]:+.3f}" for key in ("roc_auc_drop", "balanced_accuracy_drop"))]
        for each in (*groups, *single)
    ]
    return _grid([f"shuffled, {MAIN}", "ROC-AUC lost", "balanced accuracy lost"], body)


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
        cells += [_with_interval(each["roc_auc"]) for each in kinds[1:]]
        body.append([row["data"], row["network"], *cells])
    counts = "; ".join(
        f"{kind}: {said['patches']} patches at {said['places']} places"
        for kind, said in (rows[0]["decoys"].items() if rows else ())
    )
    return (
        _grid(head, body)
        + f"\n\n{counts}. A: the spectrum of ore far from faults and plutons. B: favoured geology without "
        "an ore mineral (implanted: with muscovite)."
    )


def _decoy_difference_table(differences: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [
            each["data"],
            each["minus"],
            each["decoys"],
            _with_interval(each["roc_auc"]),
            str(each["ore_places"]),
            str(each["places"]),
        ]
        for each in differences
    ]
    head = ["data", f"{MAIN} minus", "decoys", "AUC ore vs decoys", "places of ore", "places of decoys"]
    return _grid(head, body)


def _transfer_table(rows: Sequence[Mapping[str, Any]]) -> str:
    shares = list(next((row["top"] for row in rows if "top" in row), {}))
    body = []
    for row in rows:
        if "top" not in row:
            body.append([row["network"], *[NOT_KNOWN] * (len(shares) + 3)])
            continue
        found = (_with_interval({**row["top"][key], "mean": None}) for key in shares)
        counts = (str(row[key]) for key in ("deposits", "unscored"))
        body.append([row["network"], *found, *counts, f"{row['shift']['distance']:.2f}"])
    head = ["network", *(f"deposits in the best {float(share):.0%}" for share in shares)]
    head += ["deposits", "without a score", "distance of the features"]
    return (
        _grid(head, body)
        + "\n\nDeposits without a score count as not found. Distance of the features: mean Mahalanobis "
        "distance per channel to the ground of training, 1 at home."
    )


def _real_table(rows: Sequence[Mapping[str, Any]]) -> str:
    body = [
        [
            row["test"],
            row["network"],
            str(row["deposits"]),
            str(row["groups"]),
            _with_interval(row["roc_auc"]),
            row.get("note", ""),
        ]
        for row in rows
    ]
    return _grid(["side judged", "method", "deposits", "groups", "ROC-AUC", "note"], body)


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure.get("mean") is None:
        value = figure.get("value")
        said = NOT_KNOWN if value is None else f"{value:.3f}"
    else:
        said = with_spread(figure)
        if figure.get("known", 0) < len(figure.get("values", ())):
            said += f" in {figure['known']} of {len(figure['values'])} seeds"
    low, high = figure.get("low"), figure.get("high")
    return said if low is None or high is None else f"{said} ({low:.3f} to {high:.3f})"


def _count(figure: Mapping[str, Any]) -> str:
    """Patches, or seconds: the mean over the seeds, with one digit where it is no whole number."""
    mean = figure.get("mean")
    return NOT_KNOWN if mean is None else f"{mean:.1f}".removesuffix(".0")


def _grid(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
