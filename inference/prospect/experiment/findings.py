"""What came out, in sentences that follow from the figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.prospect.experiment.plan import BARE, MAIN
from inference.prospect.experiment.targets import bare_difference, decoy_verdict, target_sentences
from inference.prospect.experiment.words import difference_text, figure_text, mean_of
from inference.prospect.ore_blocks import LEAST_BLOCKS

Row = Mapping[str, Any]
PLAIN = ("best single layer", "mahalanobis")
"""Answers that a network has to beat; neither needs one."""
COMPARED = {"balanced_accuracy": "balanced accuracy", "roc_auc": "area under ROC"}
"""Figures that rows are compared by."""


def findings(result: Mapping[str, Any]) -> list[str]:
    """Sentences about all parts that were run; those on simulated ground begin with the targets.

    Args:
        result: with ``simulated``, ``implanted`` and ``real``, as `compare_simulated`, `compare_implanted`
            and `compare_survey` give them; None for a part that was not run.

    """
    said: list[str] = []
    if result.get("simulated"):
        said += target_sentences(result["simulated"])
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
    best = max(rows, key=lambda row: _ranked(row["balanced_accuracy"]))
    main = by_name[MAIN]
    said = [
        f"On {data} test ground {best['network']} has the highest balanced accuracy, "
        f"{figure_text(best['balanced_accuracy'])}; {MAIN} has {figure_text(main['balanced_accuracy'])} and "
        f"an area under the ROC curve of {figure_text(main['roc_auc'])}. Ore lies in "
        f"{main['blocks_with_ore']} of {main['blocks']} blocks."
    ]
    said += [
        difference_text(f"{MAIN} against {each['minus']}, {data}, {title}", each[figure], each["few_blocks"])
        for each in part["differences"]
        for figure, title in COMPARED.items()
    ]
    said += _decoys(data, part, main, by_name.get(BARE))
    said += _importance(f"{data} test ground", part["importance"])
    return said + [_searched(each) for each in part.get("transfer", ()) if each["network"] in (MAIN, BARE)]


def _searched(row: Row) -> str:
    """What a row found in the second district."""
    if "refused" in row:
        return f"{row['network']} could not search the second simulated district: {row['refused']}."
    top, shift = row["top"], row["shift"]
    shares = ", ".join(f"{100 * (top[key]['value'] or 0):.0f} % in the best {float(key):.0%}" for key in top)
    warned = f", and {'; '.join(shift['warnings'])}" if shift["warnings"] else ""
    return (
        f"{row['network']} on the second simulated district, never learned from: of {row['deposits']} dykes "
        f"{shares} of the area; {row['unscored']} lie on ground without a score and count as not found. Its "
        f"features lie {shift['distance']:.1f} times as far off as those of training{warned}."
    )


def _decoys(data: str, part: Mapping[str, Any], main: Row, bare: Row | None) -> list[str]:
    difference = bare_difference(part)
    if bare is None or difference is None or difference["roc_auc"]["value"] is None:
        return [
            f"No decoy with the spectrum of ore lies on the {data} test ground apart from what was learned "
            "from: what geology tells is not known."
        ]
    areas = [figure_text(row["decoys"]["A"]["roc_auc"]) for row in (main, bare)]
    called = [row["decoys"]["A"]["called"]["mean"] for row in (main, bare)]
    return [
        f"{data.capitalize()} dykes of ore against {main['decoys']['A']['patches']} patches of {data} decoys "
        f"that have the spectrum of ore but not its geology: area under ROC {areas[0]} with geology, "
        f"{areas[1]} without; called ore {called[0]:.0%} and {called[1]:.0%} of the decoys: "
        f"{decoy_verdict(difference)[1]}."
    ]


def _importance(where: str, importance: Mapping[str, Any]) -> list[str]:
    """Which channels, and which groups of them, the residual network goes by."""
    every = sorted(importance["channels"], key=lambda each: -each["roc_auc_drop"])
    single = [each for each in every if len(each["channels"]) == 1][:3]
    groups = [each for each in every if len(each["channels"]) > 1]
    said = []
    if single:
        said.append(f"Shuffled alone on {where}, these channels cost {MAIN} most of its {_costs(single)}.")
    if groups:
        said.append(f"Shuffled together on {where}, these groups cost {MAIN} of its {_costs(groups)}.")
    return said


def _costs(every: Sequence[Mapping[str, Any]]) -> str:
    named = ", ".join(f"{each['name']} ({each['roc_auc_drop']:+.3f})" for each in every)
    return f"area under ROC: {named}"


def _real(part: Mapping[str, Any]) -> list[str]:
    said = []
    for test in dict.fromkeys(row["test"] for row in part["rows"]):
        rows = [row for row in part["rows"] if row["test"] == test]
        # a layer known from the deposits that are judged is no method
        fair = [row for row in rows if not row.get("is_hindsight", False)]
        ranked = sorted(fair, key=lambda row: -_ranked(row["roc_auc"]))
        main = next(row for row in rows if row["network"] == MAIN)
        said.append(
            f"Real survey, {test} judged ({main['deposits']} deposits in {main['groups']} groups of "
            f"overlapping patches; learned from {main['deposits_of_training']}): "
            f"{ranked[0]['network']} wins with {figure_text(ranked[0]['roc_auc'])}; {MAIN} is number "
            f"{ranked.index(main) + 1} of {len(ranked)} with {figure_text(main['roc_auc'])}."
        )
        said += [
            difference_text(
                f"{MAIN} against {each['minus']}, real, {test} judged", each["roc_auc"], _few(each["groups"])
            )
            for each in part["differences"]
            if each["test"] == test and each["minus"] in PLAIN
        ]
        plain = [row for row in rows if row["network"] in PLAIN]
        if all(_ranked(main["roc_auc"]) > _ranked(row["roc_auc"]) for row in plain):
            said.append(f"Target met, {test} judged: {MAIN} ranks deposits above both plain answers.")
        else:
            said.append(f"Target missed, {test} judged: a plain answer ranks the deposits as well or better.")
        for each in part["importance"]:
            if each["test"] == test:
                said += _importance(f"real test patches, {test} judged", each)
    return said


def _few(groups: int) -> str | None:
    """Why there is no interval over groups of deposits; None: there are enough."""
    what = "one group" if groups == 1 else f"{groups} groups"
    return f"too few for an interval ({what} of deposits)" if groups < LEAST_BLOCKS else None


def _ranked(figure: Mapping[str, Any]) -> float:
    """For sorting: what has no value comes last."""
    mean = mean_of(figure)
    return -1.0 if mean is None else mean
