"""A stored calibration, back from the registry so that it can be drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from db.errors import UsageError
from inference.evaluation.calibration import Bins, Calibration


def stored_calibration(stored: Mapping[str, Any], what: str) -> Calibration:
    """What `Calibration.as_json` kept of a calibration: the called class's bins, all classes together.

    Its `ece`, `overconfidence`, `pixels` and `table` are as they were; of single classes it knows nothing.

    Args:
        stored: one calibration from the registry.
        what: name for messages.

    Raises:
        UsageError: it holds no reliability table.

    """
    rows = stored.get("reliability")
    if not rows:
        raise UsageError(f"{what} stores no reliability diagram: train it again with this version")
    try:
        pixels = np.array([[int(row["pixels"]) for row in rows]], np.int64)
        means = np.array([[row["probability"] or 0.0 for row in rows]], np.float64)
        rates = np.array([[row["hit_rate"] or 0.0 for row in rows]], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the reliability diagram of {what} cannot be read ({error!r}): train it again"
        ) from error
    called = Bins(pixels, means * pixels, np.rint(rates * pixels).astype(np.int64))
    empty = Calibration.nothing((0,), len(rows)).claimed
    return Calibration((0,), called, empty)
