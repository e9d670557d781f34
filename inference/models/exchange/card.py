"""The model card: what a model is for, how well it does it, where it fails, and who may use it.

After Mitchell et al. 2019, Model Cards for Model Reporting, https://arxiv.org/abs/1810.03993, as far as
figures of a segmentation go. Every sentence about quality is computed from what is stored with the model.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from db.registry import ModelRecord
from inference.models.exchange.names import WEIGHTS_NAME
from inference.models.exchange.schema import SceneFacts
from inference.models.exchange.weaknesses import weaknesses
from inference.models.figures import (
    BASELINES,
    MEANS,
    SPLITS,
    backbone_of,
    baseline_sentences,
    class_names,
    classes_of,
    interval,
    judged_classes,
    number,
    percent,
    range_text,
    split_text,
)

NO_LICENCE = (
    "No licence is stated. Nobody but its owner may use this model, and the weights must not be passed on."
)


def model_card(
    record: ModelRecord, scenes: Sequence[SceneFacts], file_sha256: str, weights_sha256: str
) -> str:
    """The card as Markdown.

    Args:
        record: the model, with the licence it is exported under.
        scenes: what it was trained on.
        file_sha256: of the exported file.
        weights_sha256: of the weights in it, as the database keeps them.

    """
    parts = [
        [f"# {escaped(record.name)}", "", *_purpose(record)],
        ["## On what it was trained", "", *_training(record, scenes)],
        ["## How it did", "", *_quality(record)],
        ["## Where it fails", "", *(f"- {escaped(line)}" for line in weaknesses(record, scenes))],
        ["## How to use it", "", *_use(record)],
        ["## Licence", "", escaped(record.licence) if record.licence else NO_LICENCE],
        ["## Versions", "", *version_lines(record, file_sha256, weights_sha256)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def escaped(text: str) -> str:
    """Text as Markdown shows it: names are no mark-up, whatever stands in them."""
    # an underscore inside a word is one
    return re.sub(r"([\\`*\[\]<>|#]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; the first column to the left, figures to the right."""
    lines = ["| " + " | ".join(escaped(" ".join(cell.split())) for cell in row) + " |" for row in rows]
    return [lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]]


def _purpose(record: ModelRecord) -> list[str]:
    names = class_names(record.metrics, record.mapped_codes)
    lines = [
        f"A network that tells land cover around mines in satellite scenes, pixel by pixel: "
        f"{escaped(', '.join(names))}. Made to draw first maps of what mining does to the land; a map that "
        "somebody's rights depend on needs a person who checks it on the ground.",
        "",
        f"It is a {escaped(record.architecture)} (backbone {escaped(backbone_of(record))}) for the bands "
        f"{escaped(', '.join(record.band_names))} with pixels of {record.resolution_m:g} m, in windows of "
        f"{record.tile_px} px.",
    ]
    if record.retired_at is not None:
        lines += [
            "",
            f"**It was taken out of service on {record.retired_at:%Y-%m-%d}: "
            f"{escaped(record.retired_reason or 'no reason was recorded')}.**",
        ]
    return lines


def _training(record: ModelRecord, scenes: Sequence[SceneFacts]) -> list[str]:
    training = record.training
    lines: list[str] = []
    if scenes:
        rows = [("scene", "day", "sensor", "pixel", "values")]
        rows += [
            (
                scene.product if scene.version in (None, 1) else f"{scene.product} (version {scene.version})",
                scene.acquired_on or "-",
                scene.sensor or "-",
                "-" if scene.resolution_m is None else f"{scene.resolution_m:g} m",
                scene.processing_level or "-",
            )
            for scene in scenes
        ]
        lines += [*_table(rows), ""]
    lines.append(
        f"Pixels hold {escaped(str(training.get('processing_level')))}. Held out of training: "
        f"{escaped(split_text(record))}."
    )
    pixels: dict[str, dict[str, int]] = training.get("pixels") or {}
    keys = [key for key, _ in classes_of(record.metrics)]
    keys += [key for key in pixels.get("train", {}) if key not in keys]
    counted = [(key, [int(pixels.get(part, {}).get(key, 0)) for part in SPLITS]) for key in keys]
    rows_of_labels = [(key, *(f"{count:,}" for count in counts)) for key, counts in counted if any(counts)]
    if rows_of_labels:
        lines += ["", "Labelled pixels:", "", *_table([("class", *SPLITS), *rows_of_labels])]
    return lines


def _quality(record: ModelRecord) -> list[str]:
    metrics = record.metrics
    if "mean_iou" not in metrics:
        return ["Figures on test ground are not stored with this model."]
    intervals = metrics.get("intervals") or {}
    level = f"{100 * intervals.get('level', 0.95):g} % interval"
    lines = [
        f"On {metrics.get('pixels', 0):,} labelled pixels of ground it was never trained on"
        + (f", in {intervals['blocks']:,} blocks." if intervals.get("blocks") else "."),
        "",
    ]
    baselines = metrics.get("baselines") or {}
    rows = [("", "value", level, *(BASELINES.get(key, key) for key in baselines))]
    for figure, name in MEANS.items():
        if figure in metrics:
            theirs = (number(each.get(figure)) for each in baselines.values())
            rows.append((name, number(metrics[figure]), range_text(interval(metrics, figure)), *theirs))
    lines += [*_table(rows), ""]
    outlines: dict[str, Any] = (metrics.get("boundary") or {}).get("by_class") or {}
    by_class: list[tuple[str, ...]] = [
        ("class", "pixels", "precision", "recall", "IoU", level, "Dice", "boundary F1")
    ]
    for key, figures in judged_classes(metrics):
        by_class.append(
            (
                key,
                f"{figures['pixels']:,}",
                *(number(figures.get(each)) for each in ("precision", "recall", "iou")),
                range_text(interval(metrics, "iou", key)),
                number(figures.get("dice")),
                number((outlines.get(key) or {}).get("f1")),
            )
        )
    lines += _table(by_class)
    sentences = baseline_sentences(metrics)
    calibration = metrics.get("calibration") or {}
    if calibration:
        before, after = (percent((calibration.get(each) or {}).get("ece")) for each in ("before", "after"))
        sentences.append(
            f"Its probabilities are scaled by a temperature of {record.temperature:.3f}; their expected "
            f"calibration error is {after}, without scaling {before}."
        )
    if sentences:
        lines += ["", escaped(" ".join(sentences))]
    if record.training.get("imported"):
        lines += ["", "It was trained elsewhere and brought in; these figures are as they were told there."]
    return lines


def _use(record: ModelRecord) -> list[str]:
    return [
        "In a Lode database:",
        "",
        f"    lode model import {WEIGHTS_NAME}",
        f"    lode infer --model {shlex.quote(record.name)} --scene PRODUCT",
        "",
        f"The whole record of the model is in the metadata of {WEIGHTS_NAME}; this card is for people and is "
        "not read back.",
    ]


def version_lines(record: ModelRecord, file_sha256: str, weights_sha256: str) -> list[str]:
    """When and with what a model was trained, and the digests of its files."""
    software = ", ".join(f"{name} {value}" for name, value in sorted(record.versions.items()))
    return [
        f"Trained {record.trained_at:%Y-%m-%d %H:%M %Z} with {escaped(software) or 'software not stored'}.",
        "",
        f"- SHA-256 of {WEIGHTS_NAME}: `{file_sha256}`",
        f"- SHA-256 of the weights in it, as the database keeps them: `{weights_sha256}`",
    ]
