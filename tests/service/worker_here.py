"""A worker in this process, with an engine of its own: watched from within, its pauses shortened.

Its jobs are scans of a paused source, which are done in a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from db.connection import connect
from db.ingest_sources import NewSource, add_source
from service.metrics import WorkerMetrics
from service.worker import Worker, WorkerOptions

LONG_S = 150.0

SPOILER = """
import os
if os.path.exists({flag!r}) and {condition}:
    {deed}
"""
"""Text of a ``sitecustomize`` that spoils something in an engine while a file is there."""

During = Callable[[Worker], Awaitable[None]]


def work_here(
    url: str, during: During | None = None, *, schedule: Callable[[str], int] = lambda _url: 0, **options: Any
) -> WorkerMetrics:
    """Run a worker until ``during`` is over, or by itself where there is none; what it counted."""
    metrics = WorkerMetrics("here")

    async def run() -> None:
        chosen: dict[str, Any] = {"queues": ("ingest",), "device": "cpu", "drains": during is None, **options}
        worker = Worker(WorkerOptions(url=url, **chosen), metrics, schedule)
        working = asyncio.create_task(worker.run())
        if during is not None:
            try:
                await during(worker)
            finally:
                worker._stop()
        async with asyncio.timeout(LONG_S):
            await working

    asyncio.run(run())
    return metrics


def spoil(folder: Path, condition: str, deed: str) -> tuple[Path, Path]:
    """A folder for PYTHONPATH that spoils something in engines, and the flag that does it."""
    flag = folder / "flag"
    flag.touch()
    place = folder / "spoiler"
    place.mkdir()
    text = SPOILER.format(flag=str(flag), condition=condition, deed=deed)
    (place / "sitecustomize.py").write_text(text)
    return place, flag


async def until(condition: Callable[[], bool], what: str, timeout_s: float = LONG_S) -> None:
    """Wait until something is so; the worker goes on meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(0.05)


def add_scan(url: str, folder: Path, *, delay_s: float = 0) -> int:
    """A job that succeeds in a moment, due in so many seconds."""
    folder.mkdir(exist_ok=True)
    with connect(url) as conn:
        source = add_source(
            conn, NewSource(name="paused", kind="folder", location=str(folder), is_enabled=False)
        )
        return _job(conn, "scan_source", f'{{"ingest_source_id": {source}}}', delay_s)


def add_bug(url: str) -> int:
    """A job that breaks: it does not say which source."""
    with connect(url) as conn:
        return _job(conn, "scan_source", "{}", 0)


def _job(conn: Any, task: str, args: str, delay_s: float) -> int:
    row = conn.execute(
        "select lode_api.enqueue('ingest', %s, %s, null, 0, clock_timestamp() + make_interval(secs => %s))",
        (task, args, delay_s),
    ).fetchone()
    return int(row[0])


def job(url: str, number: int) -> tuple[str, int]:
    """State of a job, and how often it was put back or ended."""
    with connect(url) as conn:
        row = conn.execute(
            "select status::text, attempts from lode_queue.procrastinate_jobs where id = %s", (number,)
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def is_done(url: str, number: int) -> Callable[[], bool]:
    """Whether a job has succeeded."""
    return lambda: job(url, number)[0] == "succeeded"


def counted(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    """A figure of a worker."""
    return metrics.registry.get_sample_value(name, {"worker": "here", **labels}) or 0.0
