"""Named points of long work, at which tests stop a process to kill it, to let it sleep or to let it go on.

In service nothing happens at them. A process that is started with ``LODE_HOLD_AT=POINT`` and
``LODE_HOLD_FOLDER=FOLDER`` writes FOLDER/POINT.PID when it comes to that point the first time and waits until
that file is gone. ``LODE_HOLD_AT=POINT@3`` means the third time. Once FOLDER itself is gone nobody is held.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

_PAUSE_S = 0.02

_met: Counter[str] = Counter()


def reached(point: str) -> None:
    """Say that the process has come to a point.

    Args:
        point: ``<what>.<where>``, for instance ``publish.before_commit``.

    """
    wanted = os.environ.get("LODE_HOLD_AT")
    if wanted is None:
        return
    name, _, time_met = wanted.partition("@")
    if name != point:
        return
    _met[point] += 1
    if _met[point] != int(time_met or 1):
        return
    folder = Path(os.environ["LODE_HOLD_FOLDER"])
    if not folder.is_dir():
        return
    sign = folder / f"{point}.{os.getpid()}"
    sign.touch()
    while sign.exists():
        time.sleep(_PAUSE_S)
