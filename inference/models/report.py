"""`lode model show`: what a model was trained on and how it did, for those who must rely on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord
from inference.evidence.types import EVIDENCE
from inference.models.figures import (
    BASELINES,
    FEW_BLOCKS,
    MEANS,
    SPLITS,
    backbone_of,
    baseline_sentences,
    class_names,
    classes_of,
    interval,
    is_calibration_worse,
    joined,
    judged_classes,
    number,
    percent,
    range_text,
    split_text,
    table,
)
from inference.prospect.settings import PROSPECT

SCENES_NAMED = 8
_BARS = "▁▂▃▄▅▆▇█"
_SPARKS = 60
"""Epochs drawn at most, one character each."""


def report_lines(record: ModelRecord, published_runs: int | None = None) -> list[str]:
    """The whole report; keys that an older version did not store are left out.

    Args:
        record: the model.
        published_runs: runs published with it; None: not said.

    """
    if record.task == EVIDENCE:
        from inference.evidence.model_report import evidence_lines

        return evidence_lines(record, published_runs)
    if record.task == PROSPECT:
        from inference.prospect.model_report import prospect_lines

        return prospect_lines(record, published_runs)
    parts = (
        _heading(record, published_runs),
        _labels(record),
        _quality(record),
        _plain_answers(record.metrics),
        _calibration(record),
        _history(record),
    )
    lines: list[str] = []
    for part in parts:
        if part:
            lines += ["", *part] if lines else part
    return lines


def report_json(record: ModelRecord, published_runs: int | None = None) -> str:
    """Every column of the registry, and the runs published with it, as JSON."""
    content = {**vars(record), "published_runs": published_runs}
    for name in ("trained_at", "retired_at"):
        content[name] = None if content[name] is None else content[name].isoformat()
    return json.dumps(content, ensure_ascii=False, indent=1)


def sparkline(values: Sequence[float | None]) -> str:
    """Values as a row of bars from the lowest to the highest; a blank where one is not known."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, spread = min(known), max(known) - min(known)
    steps = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round((value - low) / spread * steps) if spread else steps // 2]
        for value in values
    )


def _heading(record: ModelRecord, published_runs: int | None) -> list[str]:
    training = record.training
    unanswered = [code for code in record.class_codes if code not in record.mapped_codes]
    answers = ", ".join(class_names(record.metrics, record.mapped_codes)) or "-"
    rows = [
        ("network", f"{record.architecture}, backbone {backbone_of(record)}"),
        ("bands", ", ".join(record.band_names)),
        ("windows", f"{record.tile_px} px at {record.resolution_m:g} m"),
        ("pixels hold", str(training.get("processing_level", "-"))),
        ("answers", answers),
    ]
    if unanswered:
        rows.append(("never answers", f"{', '.join(class_names(record.metrics, unanswered))} (no labels)"))
    took = training.get("seconds")
    spent = "" if took is None else f", {took:,.0f} s"
    device = f" on {training['device']}" if training.get("device") else ""
    members = training.get("members")
    if members:
        counted = (f"{each.get('name')} ({number(each.get('weight'))})" for each in members)
        rows.append(("mean of", ", ".join(counted)))
    rows += [
        ("trained", f"{record.trained_at:%Y-%m-%d %H:%M}{device}{spent}"),
        ("scenes", _scenes(training.get("scenes") or [])),
        ("held out", split_text(record)),
    ]
    settings = training.get("settings")
    if settings:
        rows.append(("settings", _settings(settings)))
    # plain values alone: members of an ensemble and their bands would fill pages
    own = {
        key: value
        for key, value in record.options.items()
        if key != "backbone" and not isinstance(value, (dict, list))
    }
    if own:
        rows.append(("options", _pairs(own)))
    imported = training.get("imported")
    if imported:
        rows.append(("imported", f"{imported.get('at')} as {imported.get('name')}: trained elsewhere"))
    rows.append(("licence", _one_line(record.licence) or "not stated: do not pass the weights on"))
    if published_runs is not None:
        rows.append(("runs", f"{published_runs:,} published with it"))
    if record.retired_at is not None:
        why = record.retired_reason or "no reason was recorded"
        rows.append(("RETIRED", f"{record.retired_at:%Y-%m-%d %H:%M}: {why}; it interprets no scene"))
    if record.versions:
        rows.append(("software", ", ".join(f"{name} {value}" for name, value in record.versions.items())))
    return [record.name, *table(rows, left=2)]


def _scenes(scenes: Sequence[Mapping[str, Any]]) -> str:
    if not scenes:
        return "not stored"
    names = [str(scene.get("product", "?")) for scene in scenes]
    more = f" and {len(names) - SCENES_NAMED} more" if len(names) > SCENES_NAMED else ""
    return f"{len(names)}: {', '.join(names[:SCENES_NAMED])}{more}"


def _settings(settings: Mapping[str, Any]) -> str:
    """Settings that are set, without those that stand elsewhere."""
    elsewhere = ("architecture", "backbone", "options", "tile_px", "augmentation")
    told = {key: value for key, value in settings.items() if key not in elsewhere and value is not None}
    if not settings.get("adversarial_epsilon"):
        told = {key: value for key, value in told.items() if not key.startswith("adversarial")}
    if settings.get("loss") != "focal":
        told.pop("focal_gamma", None)
    augmentation = settings.get("augmentation")
    if isinstance(augmentation, dict):
        # sizes of 1 and shares of 0 change nothing
        is_changed = any(value for key, value in augmentation.items() if key != "scale")
        told["augmentation"] = "yes" if is_changed or augmentation.get("scale", 1) > 1 else "no"
    return _pairs(told)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in sorted(values.items())
    )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _labels(record: ModelRecord) -> list[str]:
    pixels: Mapping[str, Mapping[str, int]] = record.training.get("pixels") or {}
    if not pixels:
        return []
    keys = [key for key, _ in classes_of(record.metrics)]
    keys += [key for key in pixels.get("train", {}) if key not in keys]
    rows: list[tuple[str, ...]] = [("class", *SPLITS)]
    totals = [0, 0, 0]
    for key in keys:
        counts = [int(pixels.get(part, {}).get(key, 0)) for part in SPLITS]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        if any(counts):
            rows.append((key, *(f"{count:,}" for count in counts)))
    rows.append(("total", *(f"{total:,}" for total in totals)))
    lines = ["labelled pixels by part of the ground", *table(rows)]
    untested = [
        key for key in keys if pixels.get("train", {}).get(key) and not pixels.get("test", {}).get(key)
    ]
    if untested:
        lines.append(f"  Not judged, for no test ground holds it: {joined(untested)}.")
    return lines


def _quality(record: ModelRecord) -> list[str]:
    metrics = record.metrics
    if "mean_iou" not in metrics:
        return ["figures on test ground are not stored"]
    intervals = metrics.get("intervals") or {}
    level = f"{100 * intervals.get('level', 0.95):g} % interval"
    blocks = f" ({intervals.get('blocks', 0)} of them)" if intervals else ""
    lines = [f"on {metrics.get('pixels', 0):,} labelled pixels of test blocks{blocks}, never trained on"]
    head = ["", "all classes", *([level] if intervals else []), "without background"]
    rows = [(*head, level) if intervals else tuple(head)]
    for figure, name in MEANS.items():
        if figure not in metrics:
            continue
        bare = f"{figure}_without_background"
        values = [name, number(metrics[figure])]
        if intervals:
            values.append(range_text(interval(metrics, figure)))
        values.append(number(metrics[bare]) if bare in metrics else "")
        if intervals:
            values.append(range_text(interval(metrics, bare)) if bare in metrics else "")
        rows.append(tuple(values))
    lines += table(rows)
    lines += ["", *_by_class(metrics, level if intervals else None)]
    if intervals:
        lines.append(
            f"  Intervals: what the figures would have been on other blocks of this ground "
            f"({intervals.get('resamples', 0):,} draws)."
        )
        if intervals.get("blocks", 0) < FEW_BLOCKS:
            lines.append(
                f"  With only {intervals.get('blocks', 0)} test blocks they are narrower than the truth."
            )
    return lines + _boundary_sentences(metrics)


def _by_class(metrics: Mapping[str, Any], level: str | None) -> list[str]:
    boundary = metrics.get("boundary") or {}
    outlines = boundary.get("by_class") or {}
    head = ["class", "pixels", "precision", "recall", "IoU", *([level] if level else []), "Dice"]
    if boundary:
        head += ["boundary F1", "boundary px"]
    rows = [tuple(head)]
    for key, figures in judged_classes(metrics):
        values = [key, f"{figures['pixels']:,}"]
        values += [number(figures.get(figure)) for figure in ("precision", "recall", "iou")]
        if level:
            values.append(range_text(interval(metrics, "iou", key)))
        values.append(number(figures.get("dice")))
        if boundary:
            outline = outlines.get(key) or {}
            values += [number(outline.get("f1")), f"{outline.get('reference_px', 0):,}"]
        rows.append(tuple(values))
    return table(rows)


def _boundary_sentences(metrics: Mapping[str, Any]) -> list[str]:
    boundary = metrics.get("boundary")
    if not boundary:
        return []
    outlines = (boundary.get("by_class") or {}).values()
    judged = sum(int(each.get("reference_px", 0)) for each in outlines)
    left_out = sum(int(each.get("left_out_px", 0)) for each in outlines)
    if not judged:
        return [
            "  Boundaries could not be judged: no two labelled classes meet, with labels on both sides, "
            "on the test ground."
        ]
    said = (
        f"  Boundary F1 {number(boundary.get('mean_f1'))} in the mean, within "
        f"{boundary.get('tolerance_px', 0):g} px of {judged:,} boundary pixels of the labels"
    )
    return [f"{said}; {left_out:,} more lie too near to unlabelled ground." if left_out else f"{said}."]


def _plain_answers(metrics: Mapping[str, Any]) -> list[str]:
    baselines = metrics.get("baselines") or {}
    if not baselines:
        return []
    columns = {"the network": metrics} | {BASELINES.get(key, key): each for key, each in baselines.items()}
    rows = [("", *columns)]
    for figure in ("mean_iou", "mean_iou_without_background", "overall_accuracy"):
        name = MEANS.get(figure, "without background")
        rows.append((name, *(number(each.get(figure)) for each in columns.values())))
    for key, _figures in judged_classes(metrics):
        by_class = [(each.get("by_class") or {}).get(key) or {} for each in columns.values()]
        rows.append((f"IoU {key}", *(number(each.get("iou")) for each in by_class)))
    said = [f"  {sentence}" for sentence in baseline_sentences(metrics)]
    return ["against plain answers on the same pixels", *table(rows), *said]


def _calibration(record: ModelRecord) -> list[str]:
    stored = record.metrics.get("calibration")
    if not stored:
        return []
    before, after = stored.get("before") or {}, stored.get("after") or {}
    rows = [("", "before", "after")]
    for figure, name in (
        ("ece", "expected calibration error"),
        ("mean_classwise_ece", "the same, mean by class"),
        ("overconfidence", "claimed minus come true"),
    ):
        rows.append((name, percent(before.get(figure)), percent(after.get(figure))))
    fitted = (stored.get("temperature") or {}).get("pixels", 0)
    on = f"fitted to {fitted:,} validation pixels" if fitted else "not fitted"
    lines = [f"calibration: temperature {record.temperature:.3f}, {on}", *table(rows)]
    if is_calibration_worse(record.metrics):
        lines.append("  On this test ground the temperature made probabilities worse, not better.")
    return lines


def _history(record: ModelRecord) -> list[str]:
    history, best = record.history, record.training.get("best_epoch")
    if not history:
        return []
    chosen = next((epoch for epoch in history if epoch.get("epoch") == best), None)
    figure = "" if chosen is None else f", validation mean IoU {number(chosen.get('validation_mean_iou'))}"
    lines = [f"training: best epoch {best} of {len(history)}{figure}"]
    # every so many epochs of a long training, its end always among them
    step = -(-len(history) // _SPARKS)
    drawn = history[::-1][::step][::-1]
    rows = []
    for key, name in (("loss", "loss"), ("validation_mean_iou", "validation mean IoU")):
        values = [epoch.get(key) for epoch in drawn]
        known = [value for value in (epoch.get(key) for epoch in history) if value is not None]
        if known:
            rows.append((name, f"{known[0]:.3f}", sparkline(values), f"{known[-1]:.3f}"))
    return lines + table(rows)
