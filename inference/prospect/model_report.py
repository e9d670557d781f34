"""`lode model show` for a model that tells where ore may lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord
from inference.models.figures import SPLITS, number, range_text, split_text, table
from inference.models.report import sparkline
from inference.prospect.channels import treatment
from inference.prospect.ore_blocks import OreBlocks, ore_interval

FIGURES = {
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "area under ROC curve",
    "pr_auc": "average precision",
    "precision": "precision of ore",
    "recall": "recall of ore",
    "f1": "F1 of ore",
    "macro_f1": "mean F1",
    "accuracy": "accuracy",
}
"""Those of `inference.prospect.figures.FIGURES`, the telling ones first."""
_SPARKS = 60
_NAMED = 8
_MOST_CHANNELS = 8
"""So many channels are listed by what is lost without them."""


def prospect_lines(record: ModelRecord, published_runs: int | None = None) -> list[str]:
    """The whole report.

    Args:
        record: the model.
        published_runs: searches published with it; None: not said.

    """
    parts = (
        _heading(record, published_runs),
        _patches(record),
        _quality(record),
        _importance(record),
        _choices(record),
    )
    lines: list[str] = []
    for part in parts:
        if part:
            lines += ["", *part] if lines else part
    return lines


def _heading(record: ModelRecord, published_runs: int | None) -> list[str]:
    training = record.training
    took = training.get("seconds")
    device = f" on {training['device']}" if training.get("device") else ""
    rows = [
        ("model", _with_options(record)),
        ("ground", str(training.get("ground", "-"))),
        ("channels", _channels(training.get("channels") or [])),
        ("patches", f"{record.tile_px} x {record.tile_px} cells of {record.resolution_m:g} m"),
        ("ore is", _labels(training.get("labels") or {})),
        (
            "trained",
            f"{record.trained_at:%Y-%m-%d %H:%M}{device}{'' if took is None else f', {took:,.0f} s'}",
        ),
        ("held out", split_text(record)),
        ("calls ore", _threshold(training)),
    ]
    imported = training.get("imported")
    if imported:
        rows.append(("imported", f"{imported.get('at')} as {imported.get('name')}: trained elsewhere"))
    settings = {key: value for key, value in (training.get("settings") or {}).items() if value is not None}
    told = [f"{key} {_short(value)}" for key, value in settings.items() if key not in ("network", "options")]
    if told:
        rows.append(("settings", ", ".join(told)))
    rows.append(("licence", record.licence or "not stated: do not pass the weights on"))
    if published_runs is not None:
        rows.append(("searches", f"{published_runs:,} published with it"))
    if record.retired_at is not None:
        why = record.retired_reason or "no reason was recorded"
        rows.append(("RETIRED", f"{record.retired_at:%Y-%m-%d %H:%M}: {why}; it searches no ground"))
    rows.append(("software", ", ".join(f"{name} {value}" for name, value in record.versions.items())))
    return [record.name, *table(rows, left=2)]


def _with_options(record: ModelRecord) -> str:
    options = ", ".join(f"{key} {_short(value)}" for key, value in sorted(record.options.items()))
    return f"{record.architecture}{', ' if options else ''}{options}"


def _channels(channels: Sequence[Mapping[str, Any]]) -> str:
    """How many of each kind, and their names where they are few."""
    said = []
    for kind in ("spectral", "evidence", "geology"):
        every = [each for each in channels if each.get("kind") == kind]
        names = [str(each.get("name")) for each in every]
        if names:
            listed = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]}"
            said.append(f"{len(names)} {kind} ({listed}{treatment(every)})")
    maps = [str(each.get("name")) for each in channels if each.get("is_geology")]
    if maps:
        said.append(f"geology among them: {', '.join(maps)}")
    elif not any(each.get("kind") == "geology" for each in channels):
        said.append("no geology")
    return "; ".join(said)


def _labels(labels: Mapping[str, Any]) -> str:
    if not labels:
        return "-"
    return (
        f"{100 * labels['positive_share']:g} % of a patch within {labels['buffer_m']:g} m of one of "
        f"{labels['deposits']} deposits"
    )


def _threshold(training: Mapping[str, Any]) -> str:
    if "threshold" not in training:
        return "-"
    rule = training.get("threshold_rule")
    return f"from a probability of {training['threshold']:.3f}" + (f": {rule}" if rule else "")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _patches(record: ModelRecord) -> list[str]:
    counts = record.training.get("patches") or {}
    rows: list[tuple[str, ...]] = [("part", "with ore", "without", "blocks")]
    rows += [
        (part, *(f"{counts[part].get(key, 0):,}" for key in ("ore", "barren", "blocks")))
        for part in SPLITS
        if part in counts
    ]
    warnings = [f"  Warning: {warning}." for warning in record.training.get("warnings") or []]
    return ["patches", *table(rows), *warnings] if counts else warnings


def _quality(record: ModelRecord) -> list[str]:
    metrics = record.metrics
    if "balanced_accuracy" not in metrics:
        return ["figures on test patches are not stored"]
    intervals = metrics.get("intervals") or {}
    blocks = OreBlocks.from_metrics(metrics)
    level = f"{100 * intervals.get('level', 0.95):g} % interval"
    plain = (metrics.get("baselines") or {}).get("majority") or {}
    rows = [("", "the model", level, "the commonest answer")]
    ends = {figure: ore_interval(metrics, figure) for figure in FIGURES}
    rows += [
        (name, number(metrics.get(figure)), range_text(ends[figure]), number(plain.get(figure)))
        for figure, name in FIGURES.items()
    ]
    where = f"{intervals.get('blocks', 0)} blocks"
    if blocks is not None:
        where += f" (ore in {blocks.with_ore}, barren ground in {blocks.with_barren})"
    lines = [
        f"on {metrics.get('patches', 0):,} test patches in {where}, looked at once, at the end",
        *table(rows),
    ]
    (right_no, false_ore), (missed, right_ore) = metrics["confusion"]
    lines.append(
        f"  Of {right_ore + missed:,} patches with ore {right_ore:,} are found; of {right_no + false_ore:,} "
        f"without {false_ore:,} are taken for ore."
    )
    if any(ends.values()):
        lines.append(
            f"  Intervals: what the figures would have been on other blocks of this ground "
            f"({intervals.get('resamples', 0):,} draws)."
        )
    if blocks is not None and blocks.warning:
        lines.append(f"  {blocks.warning}")
    return [*lines, *_verdict(metrics)]


def _importance(record: ModelRecord) -> list[str]:
    """What is lost where channels are shuffled: the channels that count most, then all of a kind together."""
    stored = record.metrics.get("importance") or []
    groups = [each for each in stored if len(each["channels"]) > 1]
    single = [each for each in stored if len(each["channels"]) == 1]
    single.sort(key=lambda each: -float(each["roc_auc_drop"]))
    if not single:
        return []
    rows: list[tuple[str, ...]] = [("loses", "ROC area", "balanced accuracy")]
    rows += [
        (
            each["name"],
            f"{each['roc_auc_drop']:.3f} ± {each['roc_auc_spread']:.3f}",
            f"{each['balanced_accuracy_drop']:.3f} ± {each['balanced_accuracy_spread']:.3f}",
        )
        for each in [*single[:_MOST_CHANNELS], *groups]
    ]
    repeats = stored[0].get("repeats")
    lines = [
        "what it goes by: what it loses where a channel is shuffled among the test patches"
        + ("" if repeats is None else f", mean of {repeats} times"),
        *table(rows),
    ]
    if len(single) > _MOST_CHANNELS:
        lines.append(f"  {len(single) - _MOST_CHANNELS} more channels lose less.")
    lines.append("  Channels that say the same share their loss; ± is the spread of the shuffling alone.")
    return lines


def _verdict(metrics: Mapping[str, Any]) -> list[str]:
    """Whether the model can be told from guessing, whose balanced accuracy and area are 0.5."""
    value, ends = metrics.get("roc_auc"), ore_interval(metrics, "roc_auc")
    if value is None:
        return ["  The test patches are of one class: nothing can be said about the model."]
    if ends is not None and ends[1] < 0.5:
        return [
            "  On this ground it is worse than guessing: the interval of the ROC area lies below 0.5. Look "
            "for what differs between the ground of training and of test."
        ]
    if ends is None:
        blocks = OreBlocks.from_metrics(metrics)
        why = "it has no interval" if blocks is None or blocks.too_few is None else blocks.too_few
        return [f"  On this ground it cannot be told from guessing: {why}."]
    if ends[0] <= 0.5:
        return ["  On this ground it cannot be told from guessing: the interval of the ROC area reaches 0.5."]
    accuracy = metrics.get("accuracy")
    plain = ((metrics.get("baselines") or {}).get("majority") or {}).get("accuracy")
    if accuracy is not None and plain is not None and accuracy <= plain:
        return [
            f"  By accuracy the commonest answer is as good or better ({plain:.3f} against {accuracy:.3f}), "
            "for most patches are alike: it finds none."
        ]
    return []


def _choices(record: ModelRecord) -> list[str]:
    """What was tried on the validation patches, and how the training went."""
    trials = record.training.get("trials") or []
    lines: list[str] = []
    if len(trials) > 1:
        keys = [key for key in trials[0] if key not in ("epochs", "best_epoch")]
        rows = [tuple(key.replace("_", " ") for key in keys)]
        rows += [tuple(_cell(key, trial.get(key)) for key in keys) for trial in trials]
        lines += ["tried, and judged on the validation patches", *table(rows)]
    history, best = record.history, record.training.get("best_epoch")
    if history:
        lines += [""] if lines else []
        lines.append(f"training: the least validation loss in epoch {best} of {len(history)}")
        step = -(-len(history) // _SPARKS)
        drawn = history[::-1][::step][::-1]
        rows = []
        for key in ("loss", "validation_loss", "validation_balanced_accuracy"):
            ends = f"{history[0][key]:.3f}", f"{history[-1][key]:.3f}"
            bars = sparkline([epoch.get(key) for epoch in drawn])
            rows.append((key.replace("_", " "), ends[0], bars, ends[1]))
        lines += table(rows)
    return lines


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if key.startswith("validation") else _short(value)
