"""What `lode model compare` prints: text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from db.registry import ModelRecord
from inference.models.comparison import NAMED, Difference, Pair
from inference.models.figures import (
    FEW_BLOCKS,
    backbone_of,
    interval,
    judged_classes,
    number,
    range_text,
    split_text,
    table,
)


def verdict(pair: Pair, first: str) -> str:
    """One plain sentence: comparable or not, and whether the difference is beyond chance."""
    if pair.hindrances:
        return f"{pair.name} and {first} cannot be compared: {'; '.join(pair.hindrances)}."
    told = pair.difference("mean_iou")
    if told is None or told.value is None:
        return f"{pair.name} and {first} cannot be compared: no mean IoU is stored."
    word = "more" if told.value >= 0 else "less"
    said = f"{pair.name} has {abs(told.value):.3f} {word} mean IoU than {first}"
    if told.value == 0:
        return f"{pair.name} has the same mean IoU as {first}."
    if told.low is None or told.high is None:
        return f"{said}; whether by chance cannot be told: " + (
            "there is one test block only." if pair.blocks else "figures of single blocks are not stored."
        )
    few = f" With only {pair.blocks} blocks even that is uncertain." if pair.blocks < FEW_BLOCKS else ""
    reach = f"(95 % interval {told.low:+.3f} to {told.high:+.3f} over {pair.blocks} test blocks)"
    if told.is_beyond_chance:
        return f"{said} {reach}: more than chance.{few}"
    return f"{said} {reach}: the difference may be chance.{few}"


def comparison_text(records: Sequence[ModelRecord], pairs: Sequence[Pair]) -> list[str]:
    """Settings and figures side by side, differences to the first, and a sentence for each."""
    first = records[0]
    rows: list[tuple[str, ...]] = [("", *(record.name for record in records))]
    rows += [
        ("architecture", *(record.architecture for record in records)),
        ("backbone", *(backbone_of(record) for record in records)),
        ("bands", *(_bands(record.band_names) for record in records)),
        ("window", *(f"{r.tile_px} px at {r.resolution_m:g} m" for r in records)),
        ("held out", *(split_text(record, is_short=True) for record in records)),
        ("test pixels", *(f"{record.metrics.get('pixels', 0):,}" for record in records)),
        ("trained", *(f"{record.trained_at:%Y-%m-%d %H:%M}" for record in records)),
    ]
    if any(record.retired_at for record in records):
        rows.append(("", *("retired" if record.retired_at else "" for record in records)))
    rows += [
        (name, *(number(record.metrics.get(figure)) for record in records))
        for figure, name in NAMED.items()
        if any(record.metrics.get(figure) is not None for record in records)
    ]
    ends = [interval(record.metrics, "mean_iou") for record in records]
    if any(ends):
        rows.append(("95 % interval of mean IoU", *(range_text(each) for each in ends)))
    rows += [(f"IoU {key}", *(number(_iou(record, key)) for record in records)) for key in _judged(records)]
    lines = table(rows, indent="")
    for pair in pairs:
        lines += ["", verdict(pair, first.name), *_differences(pair)]
    if any(each.is_beyond_chance for pair in pairs for each in pair.differences):
        lines += ["", "Where nothing differs, one line of twenty is still expected to look beyond chance."]
    return lines


def _differences(pair: Pair) -> list[str]:
    """A table of the differences, with what is beyond chance marked."""
    if not any(each.low is not None for each in pair.differences):
        return []
    rows = [("difference", "", "95 % interval", "")]
    for each in pair.differences:
        if each.of_class is None and each.figure not in ("mean_iou", "mean_iou_without_background"):
            continue
        ends = None if each.low is None or each.high is None else (each.low, each.high)
        name = NAMED[each.figure] if each.of_class is None else f"IoU {each.of_class}"
        value = "-" if each.value is None else f"{each.value:+.3f}"
        reach = "-" if ends is None else f"{ends[0]:+.3f} to {ends[1]:+.3f}"
        rows.append((name, value, reach, "beyond chance" if each.is_beyond_chance else ""))
    return table(rows)


def comparison_json(records: Sequence[ModelRecord], pairs: Sequence[Pair]) -> str:
    """Models with all figures, and every difference to the first."""
    content = {
        "models": [
            {
                "name": record.name,
                "architecture": record.architecture,
                "backbone": record.options.get("backbone"),
                "bands": record.band_names,
                "resolution_m": record.resolution_m,
                "tile_px": record.tile_px,
                "split": split_text(record),
                "test_pixels": record.metrics.get("pixels"),
                "trained_at": record.trained_at.isoformat(),
                "is_retired": record.retired_at is not None,
                "figures": {figure: record.metrics.get(figure) for figure in NAMED},
                "iou": {key: _iou(record, key) for key in _judged(records)},
            }
            for record in records
        ],
        "against_first": [
            {
                "name": pair.name,
                "is_comparable": not pair.hindrances,
                "hindrances": list(pair.hindrances),
                "blocks": pair.blocks,
                "verdict": verdict(pair, records[0].name),
                "differences": [
                    {**vars(each), "is_beyond_chance": each.is_beyond_chance} for each in pair.differences
                ],
            }
            for pair in pairs
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def comparison_csv(records: Sequence[ModelRecord], pairs: Sequence[Pair]) -> str:
    """One row a model and figure, with the difference to the first; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("model", "figure", "class", "value", "difference", "low", "high", "beyond_chance", "comparable")
    )
    wanted: list[tuple[str, str | None]] = [(figure, None) for figure in NAMED]
    wanted += [("iou", key) for key in _judged(records)]
    for record, pair in zip(records, [None, *pairs], strict=True):
        for figure, key in wanted:
            value = record.metrics.get(figure) if key is None else _iou(record, key)
            told = pair.difference(figure, key) if pair else None
            writer.writerow((record.name, figure, key, value, *_cells(told), _is_comparable(pair)))
    return text.getvalue().rstrip("\n")


def _cells(told: Difference | None) -> tuple[Any, ...]:
    return (None,) * 4 if told is None else (told.value, told.low, told.high, _yes_no(told.is_beyond_chance))


def _is_comparable(pair: Pair | None) -> str | None:
    return None if pair is None else _yes_no(not pair.hindrances)


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _judged(records: Sequence[ModelRecord]) -> list[str]:
    """Classes that any of the models was judged on, by code."""
    codes = {key: int(each["code"]) for record in records for key, each in judged_classes(record.metrics)}
    return sorted(codes, key=lambda key: codes[key])


def _iou(record: ModelRecord, key: str) -> float | None:
    figures: dict[str, Any] = (record.metrics.get("by_class") or {}).get(key) or {}
    iou: float | None = figures.get("iou")
    return iou


def _bands(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} bands"
