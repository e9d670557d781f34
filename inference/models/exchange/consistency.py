"""Whether what is told of a model agrees with itself: figures that nobody can have measured are refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from db.errors import UsageError
from inference.evaluation.figures import OF_ALL, confusion_figures

DIGEST = "digest"
TOLERANCE = 1e-6


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of an exported record, without the digest itself.

    It tells of accidents and of edited figures, not of forgers, who would compute it anew.
    """
    rest = {name: value for name, value in content.items() if name != DIGEST}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_figures(metrics: Mapping[str, Any], what: str) -> None:
    """Hold the means of a record against its confusion matrix, and that against its blocks.

    Figures of older versions, which lack some of it, are held against what there is.

    Args:
        metrics: of the record, of the right kinds.
        what: name of the file, for messages.

    Raises:
        UsageError: they do not agree.

    """
    codes, stored = metrics.get("class_codes"), metrics.get("confusion")
    if not codes or not stored:
        return
    confusion = np.array(stored, np.int64)
    figures = confusion_figures(confusion, codes)
    for name in OF_ALL:
        told, counted = metrics.get(name), float(figures[name])
        if name in metrics and not _agree(told, counted):
            raise UsageError(
                f"the record in {what} tells {name} {told}, its confusion matrix gives {counted:.6g}: "
                "it was changed; have the model exported again"
            )
    blocks = metrics.get("blocks")
    if blocks:
        total = np.sum([block["confusion"] for block in blocks], axis=0)
        if (total != confusion).any():
            raise UsageError(
                f"the test blocks in {what} do not add up to its confusion matrix: it was changed; have the "
                "model exported again"
            )


def _agree(told: float | None, counted: float) -> bool:
    if told is None:
        return math.isnan(counted)
    return math.isclose(told, counted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
