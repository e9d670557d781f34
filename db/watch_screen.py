"""What `lode status --watch` shows: workers, running runs with their progress, what waits, what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from psycopg import Connection
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from db.connection import connect, describe, is_transient
from db.errors import RetryError
from db.watch import RunState, Snapshot, WorkerState, take_snapshot

SHOWN = 15
"""Rows of each table; of the rest the number is said."""


def watch(url: str, every_s: float, *, times: int | None = None) -> None:
    """Show what the service does, again and again, until Ctrl-C.

    Args:
        url: libpq URL of the database. While it cannot be reached, that is shown.
        every_s: seconds between two looks.
        times: looks in all; None: until Ctrl-C.

    """
    console = Console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        for number, screen in enumerate(_screens(url), start=1):
            live.update(screen, refresh=True)
            if number == times:
                return
            time.sleep(every_s)


def _screens(url: str) -> Iterator[RenderableType]:
    conn: Connection[Any] | None = None
    try:
        while True:
            try:
                if conn is None or conn.closed:
                    conn = connect(url, application_name="lode status")
                yield screen_of(take_snapshot(conn))
            except Exception as error:
                if not (isinstance(error, RetryError) or is_transient(error)):
                    raise
                if conn is not None:
                    conn.close()
                yield Text(f"the database cannot be read: {describe(error)}", style="bold red")
    finally:
        if conn is not None:
            conn.close()


def screen_of(snapshot: Snapshot) -> RenderableType:
    """One look, as tables."""
    waiting = sum(count.jobs for count in snapshot.jobs if count.status == "todo")
    runs = ", ".join(f"{count:,} {status}" for status, count in sorted(snapshot.runs.items())) or "none yet"
    head = (
        f"{snapshot.at:%Y-%m-%d %H:%M:%S %Z}   {snapshot.workers_alive} workers alive   {waiting:,} jobs wait"
        f"{_since(snapshot)}   staged: {snapshot.staged_bytes / 1e6:.0f} MB\nruns: {runs}"
    )
    parts: list[RenderableType] = [Text(head, style="bold")]
    parts.append(_table("Workers", ("worker", "machine", "device", "queues", "heard of", "does"),
                        snapshot.workers, _worker))  # fmt: skip
    parts.append(_table("Running", ("run", "scene", "network", "block", "stage", "progress", "for", "worker"),
                        snapshot.running, lambda run: _run(run, snapshot.at)))  # fmt: skip
    if snapshot.failures:
        parts.append(_table("Failed in the last 24 hours", ("when", "what", "why"), snapshot.failures,
                            lambda each: (_clock(each.failed_at), each.what, each.reason)))  # fmt: skip
    return Group(*parts)


def _since(snapshot: Snapshot) -> str:
    return f", the first for {max(snapshot.waiting_s.values()):.0f} s" if snapshot.waiting_s else ""


def _table(title: str, columns: tuple[str, ...], rows: tuple[Any, ...], cells: Callable[[Any], Any]) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells(row)))
    if len(rows) > SHOWN:
        table.add_row(f"and {len(rows) - SHOWN:,} more")
    return table


def _worker(worker: WorkerState) -> tuple[str | Text, ...]:
    heard = "never again" if worker.heartbeat_s is None else f"{worker.heartbeat_s:.0f} s ago"
    does = "" if worker.task is None else worker.task
    if worker.run_id is not None:
        does += f" {worker.run_id}"
    return (
        str(worker.worker_id),
        f"{worker.host}, process {worker.process_id}",
        worker.device,
        " ".join(worker.queues),
        Text(heard, style="" if worker.is_alive else "red"),
        does,
    )


def _run(run: RunState, now: datetime) -> tuple[str, ...]:
    block = "" if run.block is None or run.blocks == 1 else f"{run.block + 1} of {run.blocks}"
    if run.blocks > 1:
        block = f"{block} ({run.blocks_staged} staged)".strip()
    progress = f"{run.done:,} of {run.total:,}" if run.total else ""
    return (
        f"{run.run_id}" + (f" (attempt {run.attempt})" if run.attempt > 1 else ""),
        run.product,
        run.model,
        block,
        run.stage or "",
        progress,
        "" if run.started_at is None else f"{(now - run.started_at).total_seconds():.0f} s",
        run.worker or "",
    )


def _clock(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%m-%d %H:%M}"
