"""`lode worker`: take work from the queue until told to stop."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import ExitStack

import click

from db.connection import connect, database_url
from db.settings import Settings

_QUEUES = ("inference", "ingest", "report")
_TOLD = {"start_job", "job_success", "job_error", "job_error_retry", "job_aborted", "job_aborted_retry"}


@click.command()
@click.option(
    "--queues",
    default=",".join(_QUEUES),
    show_default=True,
    help="Queues to take work from: inference, ingest, report.",
)
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1 [default: CUDA if any].")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds a job may go on after SIGTERM, before it is given back.",
)
@click.option("--drain", is_flag=True, help="End when no job is left.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics there.")
@click.option(
    "--metrics-address", default="127.0.0.1", show_default=True, help="Address the metrics are served at."
)
@click.option(
    "--silent",
    "silent_s",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds without a sign of life after which a worker's jobs are given to others.",
)
def worker(
    queues: str,
    device: str | None,
    grace_s: float,
    drain: bool,
    metrics_port: int | None,
    metrics_address: str,
    silent_s: float,
) -> None:
    """Take work from the queue until told to stop.

    One worker does one job at a time: start one for each GPU (--device cuda:0, cuda:1, ...), on as many
    machines as there are, all with the same LODE_DATABASE_URL. Killed, it loses nothing: its jobs are
    given to others within a minute, and nothing is published twice. SIGTERM or Ctrl-C lets the job finish
    within the grace, or gives it back.
    """
    import asyncio

    from db.errors import UsageError
    from service import logs
    from service.metrics import WorkerMetrics, serve
    from service.scheduling import enqueue_due_sources
    from service.worker import WorkerOptions, run_worker

    wanted = tuple(part.strip() for part in queues.split(",") if part.strip())
    unknown = [name for name in wanted if name not in _QUEUES]
    if unknown or not wanted:
        raise UsageError(f"--queues {queues!r}: name some of {', '.join(_QUEUES)}, with commas between them")
    url = database_url(Settings())
    connect(url, application_name="lode worker").close()  # a wrong address or password is said at once
    logs.configure()
    # It tells of every job three times, with its arguments; the worker's own events say the same.
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    logging.getLogger("procrastinate.worker").addFilter(_is_news)
    name = f"{socket.gethostname()}:{os.getpid()}"
    metrics = WorkerMetrics(name, device or "chosen by the engine")
    options = WorkerOptions(
        url=url, queues=wanted, device=device, grace_s=grace_s, silent_s=silent_s, drains=drain
    )
    with ExitStack() as stack:
        if metrics_port is not None:
            stack.enter_context(serve(metrics_port, url, metrics, address=metrics_address))
        asyncio.run(run_worker(options, metrics, enqueue_due_sources))


def _is_news(record: logging.LogRecord) -> bool:
    return getattr(record, "action", "") not in _TOLD
