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
from inference.prospect.figures import Judged, plain_figures
from inference.prospect.ore_blocks import OreBlocks

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


def check_prospect_figures(metrics: Mapping[str, Any], what: str) -> None:
    """Hold the figures of a model that tells where ore may lie against its answers patch by patch.

    Args:
        metrics: of the record, of the right kinds.
        what: name of the file, for messages.

    Raises:
        UsageError: they do not agree.

    """
    if not metrics.get("test"):
        return
    try:
        judged = Judged.from_metrics(metrics, f"the model in {what}")
    except ValueError as error:
        raise UsageError(f"the answers on the test patches in {what} are none: {error}") from error
    counts = np.bincount(2 * judged.is_positive.astype(np.int64) + judged.is_called, minlength=4)
    told: dict[str, Any] = {
        "patches": len(judged.blocks),
        "positives": int(judged.is_positive.sum()),
        "confusion": counts.reshape(2, 2).tolist(),
    }
    wrong = [name for name, counted in told.items() if name in metrics and metrics[name] != counted]
    # the blocks say whether intervals can be told, so they must be those of the answers
    stored = metrics.get("intervals") or {}
    blocks = OreBlocks.of(judged.blocks, judged.is_positive).as_json()
    for name, counted in blocks.items():
        if stored.get(name) not in (None, counted):
            raise UsageError(
                f"the record in {what} tells intervals over {stored[name]} {name.replace('_', ' ')}, its "
                f"answers on the test patches lie in {counted}: it was changed; have the model exported again"
            )
    figures = plain_figures(judged)
    wrong += [name for name in figures if name in metrics and not _agree(metrics[name], figures[name])]
    if wrong:
        name = wrong[0]
        raise UsageError(
            f"the record in {what} tells {name} {metrics[name]}, its answers on the test patches give "
            f"{({**told, **figures})[name]}: it was changed; have the model exported again"
        )


def _agree(told: float | None, counted: float) -> bool:
    if told is None:
        return math.isnan(counted)
    return math.isclose(told, counted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
