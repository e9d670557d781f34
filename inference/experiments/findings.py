"""What came out, in plain sentences: who is best, whether by chance, where a plain answer is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
Contrast = Callable[[str, str], Mapping[str, Any] | None]


def findings(
    rows: Sequence[Figures],
    baselines: Sequence[Figures],
    reference: str,
    contrast: Contrast,
    failures: Sequence[str] = (),
) -> list[str]:
    """Sentences about an experiment.

    Args:
        rows: from `summary.summarise`.
        baselines: from `summary.summarise_baselines`.
        reference: network that the best is held against, beside the second best.
        contrast: one network minus another, see `contrasts.difference`.
        failures: ``network seed n`` of trainings that failed.

    """
    told = [f"Not everything was trained: {', '.join(failures)} failed."] if failures else []
    ranked = sorted((row for row in rows if row["mIoU"]["mean"] is not None), key=_mean, reverse=True)
    if not ranked:
        return [*told, "No network was trained and tested, so nothing can be said."]
    best = ranked[0]
    told.append(f"{best['network']} has the highest mean IoU on the test ground, {_shown(best['mIoU'])}.")
    others = [row["network"] for row in ranked[1:]]
    rivals = dict.fromkeys([*others[:1], *[each for each in others if each == reference]])
    told += [_against(best["network"], other, contrast(best["network"], other)) for other in rivals]
    if best["network"] == reference and len(ranked) > 1:
        told.append(f"So none of the other networks improves on {reference} here.")
    return told + [_plain_answer(baseline, rows, best) for baseline in baselines]


def is_beyond_spread(difference: Figures) -> bool | None:
    """Whether a difference over seeds is more than chance in training would give.

    That is taken to be so when the mean of the paired differences is more than twice its standard error; None
    with fewer than two seeds. Three seeds are few: it is a rule of thumb, not a test.
    """
    if difference["mean"] is None or difference["spread"] is None:
        return None
    error = float(difference["spread"]) / math.sqrt(len(difference["values"]))
    return abs(float(difference["mean"])) > 2 * error


def _mean(row: Figures) -> float:
    return float(row["mIoU"]["mean"])


def _shown(figure: Figures) -> str:
    if figure["spread"] is None:
        return f"{figure['mean']:.3f} (one seed)"
    return f"{figure['mean']:.3f} ± {figure['spread']:.3f} over {len(figure['values'])} seeds"


def _against(best: str, other: str, found: Figures | None) -> str:
    if found is None:
        return f"{best} and {other} share no seed, so they cannot be compared."
    difference = found["mIoU"]
    sentence = f"Its lead over {other} is {difference['mean']:+.3f}"
    is_beyond = is_beyond_spread(difference)
    if is_beyond is None:
        sentence += "; with one seed nothing is known of chance in training"
    elif is_beyond:
        sentence += ", beyond what the spread over seeds explains"
    else:
        sentence += ", within the spread over seeds: another seed may turn it"
    intervals = found["intervals"] or {}
    ends = intervals.get("mIoU", {})
    if ends.get("low") is None or ends.get("high") is None:
        return sentence + "."
    sentence += (
        f"; with the pixels of all seeds together it is {ends['value']:+.3f}, and drawing the "
        f"{intervals['blocks']} test blocks anew gives {ends['low']:+.3f} to {ends['high']:+.3f}"
    )
    if ends["low"] <= 0 <= ends["high"]:
        return sentence + ", which holds 0: other test ground may turn it."
    return sentence + ", which does not hold 0."


def _plain_answer(baseline: Figures, rows: Sequence[Figures], best: Figures) -> str:
    name, mean = baseline["network"], baseline["mIoU"]["mean"]
    if mean is None:
        return f"The {name} has no mean IoU on this test ground."
    beaten = [row["network"] for row in rows if row["mIoU"]["mean"] is not None and mean > _mean(row)]
    sentence = f"The {name} has a mean IoU of {mean:.3f}"
    sentence += f", more than {', '.join(beaten)}" if beaten else ", less than every network"
    classes = [
        key
        for key, values in baseline["by_class"].items()
        if _iou(values) > _iou(best["by_class"].get(key)) >= 0
    ]
    if classes:
        return f"{sentence}; it is better than {best['network']} at {', '.join(classes)}."
    return f"{sentence}; at no class is it better than {best['network']}."


def _iou(values: Figures | None) -> float:
    """Mean IoU of a class over seeds, -1 where it is not known."""
    mean = None if values is None else values["iou"]["mean"]
    return -1.0 if mean is None else float(mean)
