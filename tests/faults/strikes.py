"""SIGKILL of a worker at its named point: of all its processes, of its parent alone, of its engine alone."""

from __future__ import annotations

import os
import signal

from tests.faults.ground import FaultyWorker, is_running
from tests.service.workers import wait_for


def strike(worker: FaultyWorker, victim: str) -> None:
    """Kill what is held at its point, and see what that leads to.

    Args:
        worker: is held, or will be.
        victim: ``group``, ``parent`` or ``engine``.

    """
    engine = worker.held()
    if victim == "group":
        worker.signal(signal.SIGKILL)
        worker.wait()
    elif victim == "parent":
        worker.signal(signal.SIGKILL, group=False)
        worker.wait()
        wait_for(lambda: not is_running(engine), "the engine ends with its worker", 30)
    else:
        os.kill(engine, signal.SIGSTOP)  # that it dies where it is held, not further on
        worker.let_go()
        os.kill(engine, signal.SIGKILL)
        wait_for(lambda: any(job["end"] == "broken" for job in worker.ended_jobs()), "the worker says so", 60)
        (said,) = (job["reason"] for job in worker.ended_jobs() if job["end"] == "broken")
        assert said == "the engine was ended by SIGKILL (the system does that when memory is short)"
        assert worker.is_alive()
