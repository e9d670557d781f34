"""Trainings side by side: a patch is too small to keep several cores busy, so that each gets a training.

A process of this kind ends with the one that began it, however that ended: nothing is left running.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any, ParamSpec, TypeVar

import torch

Report = Callable[[str], None]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_LOOK_EVERY_S = 0.5
_hearers: list[Report] = []
"""Who hears of trainings in this process; the last one counts."""


@contextmanager
def trainings_in(jobs: int, report: Report) -> Iterator[Executor]:
    """What runs so many functions at a time, each with its share of the cores; 1: here, one after the other.

    In a process of their own they must be importable. What they `tell` is heard here.

    Args:
        jobs: processes.
        report: takes lines of progress, here.

    """
    if jobs == 1:
        _hearers.append(report)
        try:
            yield _Here()
        finally:
            _hearers.pop()
        return
    context = multiprocessing.get_context("spawn")  # torch and libpq do not stand a fork
    lines: Queue[str | None] = context.Queue()
    is_over = context.Event()
    threads = max(1, torch.get_num_threads() // jobs)
    listener = threading.Thread(target=_listen, args=(lines, report), daemon=True)
    listener.start()
    begun = (lines, is_over, os.getpid(), threads)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=begun)
    try:
        yield pool
    except BaseException:
        is_over.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        lines.put(None)
        listener.join()
        lines.close()


def tell(line: str) -> None:
    """Say a line of progress, in whichever process."""
    _hearers[-1](line)


class _Here(Executor):
    """Runs what it is given at once."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        future: Future[Result] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _begin(lines: Queue[str | None], is_over: Event, parent: int, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that began it hears it too, and ends this one
    _hearers.append(lines.put)
    torch.set_num_threads(threads)
    threading.Thread(target=_watch, args=(is_over, parent), daemon=True).start()


def _watch(is_over: Event, parent: int) -> None:
    """End this process when the other has gone, or does not want what it does any more."""
    while not is_over.wait(_LOOK_EVERY_S):
        if os.getppid() != parent:
            break
    os._exit(1)


def _listen(lines: Queue[Any], report: Report) -> None:
    while (line := lines.get()) is not None:
        report(line)
