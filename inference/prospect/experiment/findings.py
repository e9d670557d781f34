"""What came out, in sentences that follow from the figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.prospect.experiment.plan import BARE, MAIN

Row = Mapping[str, Any]
PLAIN = ("best single layer", "mahalanobis")
"""Answers that a network has to beat; neither needs one."""


def findings(result: Mapping[str, Any]) -> list[str]:
    """Sentences about all parts that were run.

    Args:
        result: with ``simulated``, ``implanted`` and ``real``, as `compare_simulated`, `compare_implanted`
            and `compare_survey` give them; None for a part that was not run.

    """
    said: list[str] = []
    for data in ("simulated", "implanted"):
        if result.get(data):
            said += _planted(data, result[data])
    if result.get("real"):
        said += _real(result["real"])
    return said


def _planted(data: str, part: Mapping[str, Any]) -> list[str]:
    """Sentences about a part whose ore was planted; each says what the data are."""
    rows: Sequence[Row] = part["rows"]
    by_name = {row["network"]: row for row in rows}
    best = max(rows, key=lambda row: _mean(row["balanced_accuracy"]))
    main = by_name[MAIN]
    said = [
        f"On {data} test ground {best['network']} has the highest balanced accuracy, "
        f"{_figure(best['balanced_accuracy'])}; {MAIN} has {_figure(main['balanced_accuracy'])} and an area "
        f"under the ROC curve of {_figure(main['roc_auc'])}."
    ]
    said += [
        _difference(f"{MAIN} against {each['minus']}, {data}, area under ROC", each["roc_auc"])
        for each in part["differences"]
    ]
    said += _decoys(data, main, by_name[BARE])
    strongest = sorted(part["importance"]["channels"], key=lambda each: -each["roc_auc_drop"])[:3]
    if strongest:
        named = ", ".join(f"{each['name']} ({each['roc_auc_drop']:+.3f})" for each in strongest)
        where = f" on {data} test ground"
        said.append(f"Shuffled{where}, these channels cost {MAIN} most of its area under ROC: {named}.")
    for each in part.get("transfer", ()):
        if each["network"] not in (MAIN, BARE):
            continue
        if "refused" in each:
            said.append(f"{each['network']} could not search the second district: {each['refused']}.")
            continue
        top = each["top"]
        shares = ", ".join(
            f"{100 * (top[key]['value'] or 0):.0f} % in the best {float(key):.0%}" for key in top
        )
        said.append(
            f"{each['network']} on the second simulated district, never learned from: of {each['deposits']} "
            f"dykes {shares} of the area."
        )
    return said


def _decoys(data: str, main: Row, bare: Row) -> list[str]:
    with_it, without = (row["decoys"].get("A", {}).get("roc_auc", {}).get("mean") for row in (main, bare))
    if with_it is None or without is None:
        return [
            f"No decoy with the spectrum of ore lies on the {data} test ground: what geology tells is not "
            "known."
        ]
    patches = main["decoys"]["A"]["patches"]
    called = [row["decoys"]["A"]["called"]["mean"] for row in (main, bare)]
    spread = max(row["decoys"]["A"]["roc_auc"]["spread"] or 0.0 for row in (main, bare))
    if with_it - without > max(2 * spread, 0.05):
        verdict = "without geology it is clearly worse on the decoys"
    elif with_it > without:
        verdict = "without geology it is worse on the decoys, but not clearly"
    else:
        verdict = "the target is missed: without geology it is no worse on the decoys"
    return [
        f"{data.capitalize()} dykes of ore against {patches:.0f} patches of {data} decoys that have the "
        f"spectrum of ore but not its geology: area under ROC {with_it:.3f} with geology, {without:.3f} "
        f"without; called ore {called[0]:.0%} and {called[1]:.0%} of the decoys: {verdict}."
    ]


def _real(part: Mapping[str, Any]) -> list[str]:
    said = []
    for test in dict.fromkeys(row["test"] for row in part["rows"]):
        rows = [row for row in part["rows"] if row["test"] == test]
        # a layer known from the deposits that are judged is no method
        fair = [row for row in rows if not row.get("is_hindsight", False)]
        ranked = sorted(fair, key=lambda row: -_mean(row["roc_auc"]))
        main = next(row for row in rows if row["network"] == MAIN)
        said.append(
            f"Real survey, {test} judged ({main['deposits']} deposits; learned from "
            f"{main['deposits_of_training']}): {ranked[0]['network']} wins with "
            f"{_figure(ranked[0]['roc_auc'])}; {MAIN} is number {ranked.index(main) + 1} of "
            f"{len(ranked)} with {_figure(main['roc_auc'])}."
        )
        said += [
            _difference(f"{MAIN} against {each['minus']}, real, {test} judged", each["roc_auc"])
            for each in part["differences"]
            if each["test"] == test and each["minus"] in PLAIN
        ]
        plain = [row for row in rows if row["network"] in PLAIN]
        if all(_mean(main["roc_auc"]) > _mean(row["roc_auc"]) for row in plain):
            said.append(f"Target met, {test} judged: {MAIN} ranks deposits above both plain answers.")
        else:
            said.append(f"Target missed, {test} judged: a plain answer ranks the deposits as well or better.")
    return said


def _difference(what: str, ends: Mapping[str, float | None]) -> str:
    value, low, high = ends["value"], ends["low"], ends["high"]
    if value is None:
        return f"{what}: not known."
    if low is None or high is None:
        return f"{what}: {value:+.3f}, without an interval."
    verdict = "beyond chance" if low > 0 or high < 0 else "within chance"
    return f"{what}: {value:+.3f} ({low:+.3f} to {high:+.3f}), {verdict}."


def _mean(figure: Mapping[str, Any]) -> float:
    mean = figure.get("mean")
    return -1.0 if mean is None else float(mean)


def _figure(figure: Mapping[str, Any]) -> str:
    if figure.get("mean") is None:
        return "no value"
    said = f"{figure['mean']:.3f}"
    if figure.get("low") is not None and figure.get("high") is not None:
        said += f" (interval {figure['low']:.3f} to {figure['high']:.3f})"
    return said
