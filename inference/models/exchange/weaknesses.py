"""Where a model fails, computed from its stored figures: sentences for a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord
from inference.models.exchange.schema import SceneFacts
from inference.models.figures import (
    FEW_BLOCKS,
    baseline_sentences,
    best_baseline,
    class_names,
    interval,
    is_calibration_worse,
    joined,
    judged_classes,
    percent,
    range_text,
)

WEAK_IOU = 0.5
WEAK_BOUNDARY = 0.5
CONFUSIONS_NAMED = 5
SMALLEST_CONFUSION = 0.02
"""Share of a class's pixels below which a confusion is not told."""
BLOCKS_NAMED = 3
SMALLEST_BLOCK = 0.1
"""Share of the mean block's pixels below which a block says too little to be named."""
TOO_SURE = 0.02
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip


def weaknesses(record: ModelRecord, scenes: Sequence[SceneFacts]) -> list[str]:
    """What a user of the model must know before relying on it, the gravest first.

    Args:
        record: the model.
        scenes: what it was trained on.

    """
    return [
        *_unanswered(record),
        *_plain_answer_wins(record),
        *_weak_classes(record),
        *_confusions(record),
        *_worst_blocks(record),
        *_too_sure(record),
        *_weak_boundaries(record),
        *_never_seen(record, scenes),
        *_little_ground(record),
    ]


def _unanswered(record: ModelRecord) -> list[str]:
    lines = []
    missing = [code for code in record.class_codes if code not in record.mapped_codes]
    if missing:
        names = joined(class_names(record.metrics, missing))
        lines.append(
            f"It never answers {names}: there was no training label. Such ground is called something else."
        )
    judged = {int(figures["code"]) for _, figures in judged_classes(record.metrics)}
    untested = [code for code in record.mapped_codes if code not in judged]
    if untested and judged:
        names = joined(class_names(record.metrics, untested))
        lines.append(f"It answers {names}, but no test ground holds it: how well is not known.")
    return lines


def _plain_answer_wins(record: ModelRecord) -> list[str]:
    best, own = best_baseline(record.metrics), record.metrics.get("mean_iou")
    if best is not None and own is not None and best[1] >= own:
        return baseline_sentences(record.metrics)[:1]
    return []


def _weak_classes(record: ModelRecord) -> list[str]:
    lines = []
    for key, figures in judged_classes(record.metrics):
        iou = figures.get("iou")
        if iou is None or iou >= WEAK_IOU:
            continue
        ends = interval(record.metrics, "iou", key)
        reach = "" if ends is None else f" (interval {range_text(ends)})"
        lines.append(
            f"{key} is found badly: IoU {iou:.3f}{reach}, {percent(figures.get('recall'))} of it is found, "
            f"{percent(figures.get('precision'))} of what is called so is so."
        )
    return lines


def _confusions(record: ModelRecord) -> list[str]:
    matrix: Sequence[Sequence[int]] = record.metrics.get("confusion") or []
    names = class_names(record.metrics, record.metrics.get("class_codes") or [])
    found = [
        (int(pixels), int(pixels) / sum(row), names[reference], names[called])
        for reference, row in enumerate(matrix)
        for called, pixels in enumerate(row)
        if called != reference and pixels and int(pixels) / sum(row) >= SMALLEST_CONFUSION
    ]
    return [
        f"{reference} is taken for {called}: {pixels:,} px, {percent(share)} of the {reference} judged."
        for pixels, share, reference, called in sorted(found, reverse=True)[:CONFUSIONS_NAMED]
    ]


def _worst_blocks(record: ModelRecord) -> list[str]:
    blocks: Sequence[Mapping[str, Any]] = record.metrics.get("blocks") or []
    overall = record.metrics.get("overall_accuracy")
    if len(blocks) < 2 or overall is None:
        return []
    sums = [sum(map(sum, block["confusion"])) for block in blocks]
    enough = SMALLEST_BLOCK * sum(sums) / len(sums)
    judged = [
        (sum(block["confusion"][place][place] for place in range(len(block["confusion"]))) / pixels, place_of)
        for block, pixels, place_of in zip(blocks, sums, map(_place(record), blocks), strict=True)
        if pixels and pixels >= enough
    ]
    worst = [each for each in sorted(judged) if each[0] < overall][:BLOCKS_NAMED]
    if not worst:
        return []
    listed = joined([f"{place} ({percent(accuracy)} right)" for accuracy, place in worst])
    return [f"It is right on {percent(overall)} of the test pixels, but less so at {listed}."]


def _place(record: ModelRecord) -> Any:
    """Names a block by the coordinates of its centre where the split says them, else by its key."""
    split = record.training.get("split") or {}
    edge, srid = split.get("edge_m"), split.get("srid")

    def place(block: Mapping[str, Any]) -> str:
        key = str(block["key"])
        if edge is None or srid is None or re.fullmatch(r"-?\d{1,9},-?\d{1,9}", key) is None:
            return f"block {key}"
        col, row = map(int, key.split(","))
        return f"block {key} round {(col + 0.5) * edge:.0f} E {(row + 0.5) * edge:.0f} N, EPSG:{srid}"

    return place


def _too_sure(record: ModelRecord) -> list[str]:
    calibration = record.metrics.get("calibration") or {}
    told = calibration.get("after") or calibration.get("before") or {}
    excess, error = told.get("overconfidence"), told.get("ece")
    if excess is None or error is None:
        return ["Its probabilities were not held against the truth: read them as an order, not as shares."]
    worse = ""
    if is_calibration_worse(record.metrics):
        worse = " Its temperature, fitted elsewhere, made that worse."
    if excess > TOO_SURE:
        return [f"It is too sure of itself: it claims {percent(excess)} more than comes true.{worse}"]
    if excess < -TOO_SURE:
        return [f"It is too modest: {percent(-excess)} more of its answers come true than it claims.{worse}"]
    if error > TOO_SURE:
        return [
            f"Its probabilities are off by {percent(error)} in the mean (expected calibration error).{worse}"
        ]
    return []


def _weak_boundaries(record: ModelRecord) -> list[str]:
    boundary = record.metrics.get("boundary")
    if not boundary:
        return ["Whether its outlines lie where they should was not judged."]
    by_class = boundary.get("by_class") or {}
    known = {key: each for key, each in by_class.items() if each.get("reference_px")}
    if not known:
        return ["Whether its outlines lie where they should could not be judged: no labelled classes meet."]
    weak = [
        f"{key} ({each['f1']:.3f})"
        for key, each in sorted(known.items(), key=lambda item: int(item[1]["code"]))
        if each.get("f1") is not None and each["f1"] < WEAK_BOUNDARY
    ]
    if not weak:
        return []
    return [
        f"Outlines are off by more than {boundary.get('tolerance_px', 0):g} px at {joined(weak)} "
        "(boundary F1): areas may be right where limits are not."
    ]


def _never_seen(record: ModelRecord, scenes: Sequence[SceneFacts]) -> list[str]:
    lines = []
    months = {int(scene.acquired_on[5:7]) for scene in scenes if scene.acquired_on}
    if months and len(months) < len(MONTHS):
        seen = joined([MONTHS[month - 1] for month in sorted(months)])
        lines.append(f"It has seen {seen} only: snow, drought or leaves of other months are new to it.")
    years = sorted({int(scene.acquired_on[:4]) for scene in scenes if scene.acquired_on})
    if years:
        lines.append(
            f"Its scenes are of {joined([str(year) for year in years])}: other years may look different."
        )
    sensors = sorted({scene.sensor for scene in scenes if scene.sensor})
    if sensors:
        lines.append(f"It has seen pixels of {joined(sensors)} and of no other sensor.")
    lines.append(
        f"It knows pixels of {record.resolution_m:g} m that hold {record.training.get('processing_level')}; "
        "scenes of another unit, or of a pixel size that differs by more than a quarter, are refused."
    )
    return lines


def _little_ground(record: ModelRecord) -> list[str]:
    blocks = (record.metrics.get("intervals") or {}).get("blocks")
    if blocks is None:
        return ["How far its figures can be trusted is not stored."]
    if blocks < FEW_BLOCKS:
        return [f"It was tested on {blocks} blocks only: its intervals are narrower than the truth."]
    return []
