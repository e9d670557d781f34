"""What a worker's engine calls for a job of inference; arguments of jobs hold keys of rows only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from db.errors import UsageError
from inference.beat import Beat, Throttled
from inference.blocks import compute_block
from inference.device import choose_device
from inference.interpret import perform_run
from inference.model_cache import ModelCache

MOST_ATTEMPTS = 3
"""Times that a run, or a block of it, is started before it fails for good."""

DEVICE_VARIABLE = "LODE_DEVICE"


class InferenceTasks:
    """The tasks, with networks kept between jobs.

    Args:
        models: networks on the device of this worker.

    """

    def __init__(self, models: ModelCache) -> None:
        self._models = models

    def interpret_run(self, url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
        """Publish a run; what is not staged is computed here.

        Args:
            url: libpq URL of the database.
            args: ``run_id``.
            beat: hears of the progress about once a second, and may end the work.

        Returns:
            Figures for the log.

        Raises:
            SupersededError: there is nothing to do any more.
            UsageError: bad input; another attempt would fail as well.
            InterruptionError: the beat ended it.

        """
        outcome = perform_run(
            url, _key(args, "run_id"), self._models, most_attempts=MOST_ATTEMPTS, beat=Throttled(beat)
        )
        figures = outcome.figures
        return {
            "run_id": outcome.run_id,
            "product": outcome.product,
            "model": outcome.model,
            "polygons": figures["polygons"],
            "observed_area_m2": figures["observed_area_m2"],
            "seconds": round(figures["predict_s"] + figures["outline_s"] + figures["publish_s"], 3),
            "predict_s": figures["predict_s"],
            "outline_s": figures["outline_s"],
            "publish_s": figures["publish_s"],
            "is_current": outcome.is_current,
        }

    def interpret_block(self, url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
        """Classify a block of a run and stage it.

        Args:
            url: libpq URL of the database.
            args: ``run_id`` and ``block``.
            beat: hears of the progress about once a second, and may end the work.

        Returns:
            Figures for the log.

        Raises:
            SupersededError: there is nothing to do any more.
            UsageError: bad input; another attempt would fail as well.
            InterruptionError: the beat ended it.

        """
        done = compute_block(
            url,
            _key(args, "run_id"),
            _key(args, "block"),
            self._models,
            most_attempts=MOST_ATTEMPTS,
            beat=Throttled(beat),
        )
        return {
            "run_id": done.run_id,
            "block": done.block,
            "product": done.product,
            "model": done.model,
            "rows": done.rows,
            "is_last": done.is_last,
            "seconds": round(done.seconds, 3),
        }


@cache
def tasks_here() -> InferenceTasks:
    """The tasks on the device that ``LODE_DEVICE`` names, else CUDA where there is one, else the CPU.

    Raises:
        UsageError: no such device.

    """
    return InferenceTasks(ModelCache(choose_device(os.environ.get(DEVICE_VARIABLE) or None)))


def interpret_run(url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
    """See `InferenceTasks.interpret_run`."""
    return tasks_here().interpret_run(url, args, beat)


def interpret_block(url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
    """See `InferenceTasks.interpret_block`."""
    return tasks_here().interpret_block(url, args, beat)


def _key(args: Mapping[str, Any], name: str) -> int:
    value = args.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"the job's argument {name} is {value!r}: a key is a whole number")
    return value
