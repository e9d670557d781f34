"""What the experiment found, in sentences: what was missed comes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inference.evidence.evaluation.judging import ABOVE, NOT_ABOVE, NOT_SHOWN
from inference.evidence.experiment.plan import ABLATIONS, LABELS, MAIN, PLAIN, REAL, SIMULATED

_SAID = {"A": "anomaly", "S": "prospectivity"}
_WORST_FIRST = (NOT_ABOVE, NOT_SHOWN, ABOVE)


def verdict_of(difference: Mapping[str, Any]) -> str:
    """Whether a difference shows that the full model is better."""
    if difference["value"] <= 0:
        return NOT_ABOVE
    return ABOVE if difference["low"] is not None and difference["low"] > 0 else NOT_SHOWN


def findings_of(result: Mapping[str, Any]) -> list[str]:
    """Sentences: plain answers on real ground first, then the ablations on simulated ground, then the rest.

    Args:
        result: of the experiment, see `results`.

    """
    told: list[str] = []
    if REAL in result["parts"]:
        told += _plain_on(result, REAL)
    if SIMULATED in result["parts"]:
        told += _ablations(result)
        told += _plain_on(result, SIMULATED)
        told += _planted(result)
    return told


def _plain_on(result: Mapping[str, Any], part: str) -> list[str]:
    """The ViT against plain answers, Mahalanobis distance first, and of each what the ViT does worst in."""
    ground = result["parts"][part]["ground"]
    sentences = []
    for method in PLAIN:
        found = [
            (verdict_of(each), each)
            for each in result["differences"]
            if each["data"] == part and each["minus"] == method
        ]
        found.sort(key=lambda pair: _WORST_FIRST.index(pair[0]))
        for verdict, each in found:
            own = _area(result, part, MAIN, each["score"])
            other = _area(result, part, method, each["minus_score"])
            sentences.append(
                f"{ground} ({part}): the {_SAID[each['score']]} of the ViT is {verdict} the "
                f"{_SAID[each['minus_score']]} by {LABELS[method]} in ranking the deposits: ROC-AUC "
                f"{own:.3f} and {other:.3f}, difference {_difference(each)}."
            )
    return sentences


def _ablations(result: Mapping[str, Any]) -> Iterator[str]:
    for method in ABLATIONS:
        for each in result["differences"]:
            if (each["data"], each["minus"], each["score"]) == (SIMULATED, method, "S"):
                own, other = (_area(result, SIMULATED, name, "S") for name in (MAIN, method))
                count = result["parts"][SIMULATED]["seeds"]
                yield (
                    f"Simulated province, mean of {count} seeds: the full model is {verdict_of(each)} the "
                    f"{LABELS[method]}: ROC-AUC {own:.3f} and {other:.3f}, difference {_difference(each)}."
                )


def _planted(result: Mapping[str, Any]) -> Iterator[str]:
    for against, said in (
        ("barren", "favourable geology without a halo"),
        ("decoys", "decoys, halos off favourable geology"),
    ):
        areas = {
            each["method"]: each["value"]
            for each in result["planted"]
            if each["against"] == against and each["score"] == "S" and each["value"] is not None
        }
        if MAIN in areas:
            yield (
                f"Simulated province: the ViT ranks ore above {said} with ROC-AUC {areas[MAIN]:.3f}, "
                f"Mahalanobis distance with {areas['mahalanobis']:.3f}."
            )


def _area(result: Mapping[str, Any], part: str, method: str, score: str) -> float:
    [row] = [
        each
        for each in result["rows"]
        if (each["data"], each["method"], each["score"]) == (part, method, score)
    ]
    return float(row["roc_auc"]["mean"])


def _difference(each: Mapping[str, Any]) -> str:
    ends = "" if each["low"] is None else f" ({each['low']:+.3f} to {each['high']:+.3f})"
    return f"{each['value']:+.3f}{ends}"
