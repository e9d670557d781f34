"""What the networks were to reach on simulated ground, and whether they do, in sentences with the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.prospect.experiment.plan import BARE, MAIN
from inference.prospect.experiment.words import figure_text, interval_text, mean_of

Row = Mapping[str, Any]
LEAST_ACCURACY = 0.90
"""Balanced accuracy of the residual network on test ground, mean of the seeds, at least."""
RIVALS = ("gcn", "cnn", "svm")
"""Rows that it is to be above."""
LEAST_FOUND, BEST_GROUND = 0.80, "0.1"
"""Share of the other district's dykes that its best tenth is to hold, at least."""


def target_sentences(part: Mapping[str, Any]) -> list[str]:
    """Whether each target is met on simulated ground, and the figures that tell why not.

    Args:
        part: as `inference.prospect.experiment.simulated.compare_simulated` gives it.

    """
    by_name = {row["network"]: row for row in part["rows"]}
    main = by_name[MAIN]
    accuracy = mean_of(main["balanced_accuracy"])
    said = [
        _verdict(
            accuracy is not None and accuracy >= LEAST_ACCURACY,
            f"{MAIN} has a balanced accuracy of {figure_text(main['balanced_accuracy'])} on simulated test "
            f"ground, mean of {len(main['balanced_accuracy']['values'])} seeds; at least "
            f"{LEAST_ACCURACY:.2f} is asked for",
            _why_missed(part, main),
        )
    ]
    said += [_against(main, by_name[name], part) for name in RIVALS if name in by_name]
    said.append(_on_decoys(part))
    return [*said, _found(part.get("transfer", ()))]


def decoy_verdict(difference: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the row without geology is clearly worse on decoys with the spectrum of ore, and in words.

    Args:
        difference: that to it, of `inference.prospect.experiment.decoys.decoy_differences`.

    """
    area, count = difference["roc_auc"], f"{difference['ore_places']} places of ore"
    count += f" and {difference['places']} of decoys"
    if area["value"] is None:
        return False, "how much worse it is on the decoys without geology is not known"
    apart = f"difference {area['value']:+.3f}{interval_text(area)}, {count} drawn anew"
    if area["low"] is not None and area["low"] > 0:
        return True, f"without geology it is clearly worse on the decoys ({apart})"
    if area["value"] > 0:
        why = "too few places for an interval" if area["low"] is None else "the interval holds 0"
        return False, f"without geology it is worse on the decoys, but not clearly: {why} ({apart})"
    return False, f"without geology it is no worse on the decoys ({apart})"


def bare_difference(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The line of ``decoy_differences`` that tells what geology does on decoys with the spectrum of ore."""
    lines = (each for each in part["decoy_differences"] if each["minus"] == BARE and each["decoys"] == "A")
    return next(lines, None)


def _why_missed(part: Mapping[str, Any], main: Row) -> str:
    """Figures that tell what a low balanced accuracy comes from."""
    validation = part["set"]["parts"]["validation"]["positives"]
    best = max(part["rows"], key=lambda row: mean_of(row["balanced_accuracy"]) or 0.0)
    wins = (
        "no row has a higher one"
        if best["network"] == MAIN
        else f"{best['network']} has the highest, {figure_text(best['balanced_accuracy'])}"
    )
    return (
        f"it ranks with an area under the ROC curve of {figure_text(main['roc_auc'])}, and calls ore from a "
        f"probability of {figure_text(main['threshold'])} on, chosen on {validation} validation patches with "
        f"ore; ore lies in {main['blocks_with_ore']} of {main['blocks']} test blocks; {wins}"
    )


def _against(main: Row, other: Row, part: Mapping[str, Any]) -> str:
    """Whether the residual network is above another row in balanced accuracy."""
    name = other["network"]
    line = next(each for each in part["differences"] if each["minus"] == name)
    apart = line["balanced_accuracy"]
    both = f"{figure_text(main['balanced_accuracy'])} against {figure_text(other['balanced_accuracy'])}"
    if apart["value"] is None:
        return f"Target missed: {MAIN} above {name}: balanced accuracy not known."
    certain = ", beyond chance" if apart["low"] is not None and apart["low"] > 0 else ", within chance"
    if apart["low"] is None:
        certain = f", {line['few_blocks'] or 'without an interval'}"
    return _verdict(
        apart["value"] > 0,
        f"{MAIN} above {name} on simulated test ground, balanced accuracy {both}, difference "
        f"{apart['value']:+.3f}{interval_text(apart)}{certain if apart['value'] > 0 else ''}",
        f"area under the ROC curve {figure_text(main['roc_auc'])} against {figure_text(other['roc_auc'])}",
    )


def _on_decoys(part: Mapping[str, Any]) -> str:
    difference = bare_difference(part)
    if difference is None:
        return f"Target missed: there is no row {BARE} to tell what geology does on simulated decoys."
    is_met, said = decoy_verdict(difference)
    return _verdict(is_met, f"on simulated decoys with the spectrum of ore, {said}", "")


def _found(transfer: Sequence[Row]) -> str:
    """Whether the best ground of the other district holds its ore."""
    main = next((row for row in transfer if row["network"] == MAIN), None)
    if main is None or "refused" in main:
        why = "it was not searched" if main is None else main["refused"]
        return f"Target missed: the second simulated district's dykes were not looked for: {why}."
    top = main["top"][BEST_GROUND]
    share = top["value"] or 0.0
    rivals = [row for row in transfer if row["network"] != MAIN and "top" in row]
    best = max(rivals, key=lambda row: row["top"][BEST_GROUND]["value"] or 0.0, default=None)
    said = f"the features lie {main['shift']['distance']:.1f} times as far off as those of training"
    if best is not None:
        said += f"; of the others {best['network']} finds most, {best['top'][BEST_GROUND]['value'] or 0:.0%}"
    return _verdict(
        share >= LEAST_FOUND,
        f"the best {float(BEST_GROUND):.0%} of the second simulated district holds {share:.0%} of its "
        f"{main['deposits']} dykes by {MAIN}{interval_text(top)}, {main['unscored']} of them on ground "
        f"without a score; at least {LEAST_FOUND:.0%} is asked for",
        said,
    )


def _verdict(is_met: bool, said: str, reason: str) -> str:
    """A sentence; the reason is told where the target is missed."""
    if is_met:
        return f"Target met: {said}."
    return f"Target missed: {said}{'; ' if reason else ''}{reason}."
