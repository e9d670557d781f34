"""The experiment's tables, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inference.evidence.experiment.findings import verdict_of
from inference.evidence.experiment.plan import LABELS

_CAPTURES = ("capture_1", "capture_5", "capture_10", "capture_20")
_ABOUT = (
    "ROC-AUC: mean over the seeds ± their deviation, and the 95 % interval when deposits are drawn anew, "
    "those beside each other together. All else is of the scores averaged over the seeds. Captures: share of "
    "the deposits in the best 1, 5, 10 and 20 % of the area; density: normalised density at the intersection "
    "of the prediction-area plot; p: share of toroidal shifts of the deposits that rank as high. S is "
    "prospectivity, A the anomaly alone. Deposits were used for nothing but these figures."
)


def as_markdown(result: Mapping[str, Any]) -> str:
    """The findings, and a table for each part."""
    lines = ["# Prospectivity without labels", ""]
    lines += [f"- {sentence}" for sentence in result["findings"]]
    lines += [f"- Left out: {sentence}" for sentence in result["skipped"]]
    lines += ["", _ABOUT, ""]
    for part, about in result["parts"].items():
        lines += [
            f"## {about['ground']} ({part})",
            "",
            f"{about['deposits']} deposits in {about['places']} places, {about['cells']:,} cells, "
            f"{about['channels']} channels, {about['seeds']} seeds.",
            "",
        ]
        rows = [row for row in result["rows"] if row["data"] == part]
        lines += [*_score_table(rows), ""]
        lines += [*_difference_table([each for each in result["differences"] if each["data"] == part]), ""]
        planted = [each for each in result["planted"] if each["data"] == part]
        if planted:
            lines += [*_planted_table(planted), ""]
    return "\n".join(lines)


def _score_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| data | method | score | ROC-AUC | 1 % | 5 % | 10 % | 20 % | density | p |"
    yield "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        captures = " | ".join(f"{row[name]['value']:.0%}" for name in _CAPTURES)
        yield (
            f"| {row['data']} | {row['label']} | {row['score'] or '-'} | {area_text(row['roc_auc'])} | "
            f"{captures} | {row['density']['value']:.2f} | {_number(row['null_p'])} |"
        )


def area_text(area: Mapping[str, Any]) -> str:
    """An area under the curve with spread and interval."""
    spread = "" if area["spread"] is None else f" ± {area['spread']:.3f}"
    ends = "" if area["low"] is None else f" ({area['low']:.3f}-{area['high']:.3f})"
    return f"{area['mean']:.3f}{spread}{ends}"


def _difference_table(differences: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "ROC-AUC of the full ViT minus that of the others, on the same deposits:"
    yield ""
    yield "| data | score | minus | difference | interval | the full model is |"
    yield "| --- | --- | --- | ---: | --- | --- |"
    for each in differences:
        ends = "-" if each["low"] is None else f"{each['low']:+.3f} to {each['high']:+.3f}"
        yield (
            f"| {each['data']} | {each['score']} | {each['minus_score']} of {LABELS[each['minus']]} | "
            f"{each['value']:+.3f} | {ends} | {verdict_of(each)} |"
        )


def _planted_table(planted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "How often ore ranks above barren places (favourable geology without a halo) and above decoys:"
    yield ""
    yield "| data | method | S, barren | S, decoys | A, barren | A, decoys |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    values = {(each["method"], each["score"], each["against"]): each["value"] for each in planted}
    for method, label in LABELS.items():
        told = (
            _number(values.get((method, score, against)))
            for score in "SA"
            for against in ("barren", "decoys")
        )
        yield f"| simulated | {label} | {' | '.join(told)} |"


def as_csv(result: Mapping[str, Any]) -> str:
    """A line for each method and score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = (*_CAPTURES, "density")
    writer.writerow(
        ["data", "method", "score", "roc_auc", "spread", "low", "high", *figures, "null_p", "seed_values"]
    )
    for row in result["rows"]:
        area = row["roc_auc"]
        writer.writerow(
            [
                *(row["data"], row["method"], row["score"]),
                *(_plain(area[key]) for key in ("mean", "spread", "low", "high")),
                *(_plain(row[name]["value"]) for name in figures),
                _plain(row["null_p"]),
                " ".join(f"{value:.4f}" for value in area["seeds"]),
            ]
        )
    return text.getvalue()


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
