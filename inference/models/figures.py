"""The stored figures of a model, read so that those an older version did not store are simply absent."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord

SPLITS = ("train", "validation", "test")
FEW_BLOCKS = 10
"""Below this many test blocks intervals are told to be too narrow."""
BASELINES = {
    "majority_class": "the commonest class everywhere",
    "pixel_regression": "a regression on single pixels",
}
MEANS = {"mean_iou": "mean IoU", "mean_precision": "mean precision", "mean_recall": "mean recall"}
MEANS |= {"mean_dice": "mean Dice", "overall_accuracy": "overall accuracy", "kappa": "kappa"}


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or - where it is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as 12.3 %, or - where it is not known."""
    return "-" if value is None else f"{100 * value:.1f} %"


def joined(words: Sequence[str], word: str = "and") -> str:
    """One, two and three."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {word} {words[-1]}" if words else ""


def interval(metrics: Mapping[str, Any], figure: str, key: str | None = None) -> tuple[float, float] | None:
    """Ends of the interval of a figure, of one class where ``key`` names it; None where none is stored."""
    found: Any = metrics.get("intervals") or {}
    if key is not None:
        found = (found.get("by_class") or {}).get(key) or {}
    ends = found.get(figure) or {}
    low, high = ends.get("low"), ends.get("high")
    return None if low is None or high is None else (float(low), float(high))


def range_text(ends: tuple[float, float] | None, digits: int = 3) -> str:
    """An interval as 0.61 to 0.72, or - where there is none."""
    return "-" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def classes_of(metrics: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Key and figures of every class, by code; the database sorts keys in its own way."""
    by_class: Mapping[str, dict[str, Any]] = metrics.get("by_class") or {}
    return sorted(by_class.items(), key=lambda item: int(item[1]["code"]))


def judged_classes(metrics: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The classes that the test ground holds."""
    return [(key, figures) for key, figures in classes_of(metrics) if figures.get("pixels")]


def class_names(metrics: Mapping[str, Any], codes: Sequence[int]) -> list[str]:
    """Keys of classes, or ``class 3`` where the model does not say."""
    keys = {int(figures["code"]): key for key, figures in classes_of(metrics)}
    return [keys.get(code, f"class {code}") for code in codes]


def best_baseline(metrics: Mapping[str, Any]) -> tuple[str, float] | None:
    """Key and mean IoU of the plain answer that does best; None where none is stored."""
    known = {
        key: figures["mean_iou"]
        for key, figures in (metrics.get("baselines") or {}).items()
        if figures.get("mean_iou") is not None
    }
    return max(known.items(), key=lambda item: float(item[1])) if known else None


def baseline_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Whether the network beats the plain answers on the same pixels, as a whole and by class."""
    best, own = best_baseline(metrics), metrics.get("mean_iou")
    if best is None or own is None:
        return []
    key, value = best
    name = BASELINES.get(key, key)
    if value >= own:
        said = [
            f"A plain answer does as well or better: {name} has mean IoU {value:.3f}, the network {own:.3f}. "
            "On this ground the network has shown nothing."
        ]
    else:
        said = [f"The best plain answer, {name}, has mean IoU {value:.3f}; the network has {own:.3f}."]
    for key, figures in sorted((metrics.get("baselines") or {}).items()):
        theirs = figures.get("by_class") or {}
        lost = [
            f"{each} ({theirs[each]['iou']:.3f} against {mine['iou']:.3f})"
            for each, mine in judged_classes(metrics)
            if mine.get("iou") is not None
            and (theirs.get(each) or {}).get("iou") is not None
            and theirs[each]["iou"] > mine["iou"]
        ]
        if lost:
            said.append(f"By IoU {BASELINES.get(key, key)} is better at {joined(lost)}.")
    return said


def is_calibration_worse(metrics: Mapping[str, Any]) -> bool:
    """Whether the temperature, fitted on other ground, made probabilities worse on the test ground."""
    stored = metrics.get("calibration") or {}
    before, after = ((stored.get(each) or {}).get("ece") for each in ("before", "after"))
    return before is not None and after is not None and after > before


def split_text(record: ModelRecord, *, is_short: bool = False) -> str:
    """What held the test ground back: blocks of so many metres, or a sample set."""
    split = record.training.get("split")
    if not isinstance(split, dict):
        return "-" if is_short else "not stored"
    if split.get("sample_set"):
        name, digest = str(split["sample_set"]), str(split.get("digest") or "")[:12]
        return f"set {name}" if is_short else f"sample set {name}, digest {digest or 'not stored'}"
    edge = split.get("edge_m")
    edge_text = "" if edge is None else f" of {edge:g} m"
    if is_short:
        return f"blocks{edge_text}"
    parts = Counter(str(block[2]) for block in split.get("blocks") or [])
    counted = ", ".join(f"{parts[part]} {part}" for part in SPLITS)
    return f"blocks{edge_text} in EPSG:{split.get('srid')}: {counted}"


def backbone_of(record: ModelRecord) -> str:
    """Name of the backbone, or - for a network that has none."""
    return str(record.options.get("backbone", "-"))


def table(rows: Sequence[Sequence[str]], left: int = 1, indent: str = "  ") -> list[str]:
    """Rows of text in columns as wide as they need; the first ``left`` columns begin at the left."""
    if not rows:
        return []
    # ideographs take two columns of a terminal
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - width_of(cell))
            cells.append(cell + blank if place < left else blank + cell)
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def width_of(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )
