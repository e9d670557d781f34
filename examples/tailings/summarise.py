"""Join the figures of the trained networks in one JSON: summarise.py FOLDER, which holds their <set>.json.

The folds are pooled: their confusion matrices are summed, so that every scene counts once, judged by a
network that saw no scene of its mine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TAILINGS = 7


def figures(confusion: list[list[int]], codes: list[int]) -> dict[str, Any]:
    """IoU, precision, recall and pixels of the tailings."""
    place = codes.index(TAILINGS)
    hits = confusion[place][place]
    truth, called = sum(confusion[place]), sum(row[place] for row in confusion)
    return {
        "iou": hits / (truth + called - hits) if truth + called else None,
        "precision": hits / called if called else None,
        "recall": hits / truth if truth else None,
        "pixels": truth,
    }


def summed(matrices: list[list[list[int]]]) -> list[list[int]]:
    """The sum of confusion matrices of one size."""
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


folder = Path(sys.argv[1])
models = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
folds = [model["metrics"] for name, model in models.items() if name.startswith("fold")]
sets: dict[str, Any] = {}
for name, model in models.items():
    metrics = model["metrics"]
    sets[name] = {
        **figures(metrics["confusion"], metrics["class_codes"]),
        "validation_mean_iou": max(epoch["validation_mean_iou"] for epoch in model["history"]),
        "iou_interval": metrics["intervals"]["by_class"]["tailings_pond"]["iou"],
        "pixel_regression_iou": metrics["baselines"]["pixel_regression"]["by_class"]["tailings_pond"]["iou"],
        "seconds": model["training"]["seconds"],
    }
codes = folds[0]["class_codes"]
regression = [metrics["baselines"]["pixel_regression"]["confusion"] for metrics in folds]
result = {
    "sets": sets,
    "unseen_mines_pooled": figures(summed([metrics["confusion"] for metrics in folds]), codes),
    "unseen_mines_pooled_pixel_regression": figures(summed(regression), codes),
}
json.dump(result, sys.stdout, ensure_ascii=False, indent=1)
print()
