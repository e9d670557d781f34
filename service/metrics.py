"""Metrics for Prometheus at an optional port: the queue as the database has it, and what this worker did.

Gauges of the database are read when they are scraped. A database that is down or does not answer gives
``lode_database_up 0`` in time, and a worker's own figures go on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db.connection import checked_url, connect
from db.errors import UsageError
from db.watch import Snapshot, take_snapshot
from service.logs import logger

DEADLINE_S = 4.0
"""How long a scrape waits for the database, seconds: Prometheus gives up after 10 by default."""

_STATEMENT_MS = 3000
_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800)
"""Buckets of a job's duration: a small scene takes seconds, a large one on a processor hours."""

OUTCOMES = ("done", "failed", "released", "cancelled", "superseded")
"""How a job may end for the worker that had it."""


class WorkerMetrics:
    """What one worker did; its methods may be called from any thread.

    Args:
        name: of the worker, a label of every figure of its own.
        device: what it computes on.

    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.registry = CollectorRegistry()
        self.name = name
        own = {"worker": name}
        self._jobs = self._counter("lode_worker_jobs", "Jobs this worker ended", "task", "outcome")
        self._running = self._gauge("lode_worker_jobs_running", "Jobs this worker has", "task")
        self._seconds = Histogram(
            "lode_worker_job_seconds",
            "Time from start to end of a job",
            ("worker", "task"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._windows = self._counter("lode_worker_windows", "Windows classified").labels(**own)
        self._restarts = self._counter(
            "lode_worker_engine_restarts", "Times the computing process was started anew"
        ).labels(**own)
        self._memory = self._gauge("lode_worker_gpu_memory_bytes", "Memory of the GPU", "kind")
        self._gauge("lode_worker_info", "What this worker computes on", "device").labels(
            device=device, **own
        ).set(1)

    def job_started(self, task: str) -> None:
        """A job began."""
        self._running.labels(worker=self.name, task=task).inc()

    def job_ended(self, task: str, outcome: str, seconds: float) -> None:
        """A job ended after so many seconds; the outcome is one of ``OUTCOMES``."""
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome {outcome!r} of a job is none of {', '.join(OUTCOMES)}")
        self._running.labels(worker=self.name, task=task).dec()
        self._jobs.labels(worker=self.name, task=task, outcome=outcome).inc()
        self._seconds.labels(worker=self.name, task=task).observe(seconds)

    def engine_restarted(self) -> None:
        """The computing process was started again after it ended by itself or was killed."""
        self._restarts.inc()

    def windows(self, count: int) -> None:
        """So many windows more were classified."""
        self._windows.inc(count)

    def gpu_memory(self, used_bytes: int, total_bytes: int) -> None:
        """Memory of the GPU that is used, and all of it."""
        self._memory.labels(worker=self.name, kind="used").set(used_bytes)
        self._memory.labels(worker=self.name, kind="total").set(total_bytes)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("worker", *labels), registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, ("worker", *labels), registry=self.registry)


class DatabaseCollector(Collector):
    """Reads the gauges of the database at each scrape, in a thread that is not waited for beyond a deadline.

    Args:
        url: libpq URL.
        deadline_s: longest wait of a scrape, seconds.

    """

    def __init__(self, url: str, deadline_s: float = DEADLINE_S) -> None:
        given = conninfo_to_dict(checked_url(url))
        options = f"{given.get('options') or ''} -c statement_timeout={_STATEMENT_MS}".strip()
        self._url = make_conninfo(url, options=options, tcp_user_timeout=_STATEMENT_MS)
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None
        self._found: Snapshot | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the database when the collector is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges, or only that the database does not answer."""
        snapshot = self._read()
        yield GaugeMetricFamily(
            "lode_database_up", "The database answers in time", value=snapshot is not None
        )
        if snapshot is not None:
            yield from _gauges(snapshot)

    def _read(self) -> Snapshot | None:
        with self._lock:
            if self._reader is None or not self._reader.is_alive():
                self._found = None
                self._reader = threading.Thread(target=self._fetch, name="lode metrics", daemon=True)
                self._reader.start()
            reader = self._reader
        # A reader that hangs is joined by every scrape, and never has a second one beside it.
        reader.join(self._deadline_s)
        return None if reader.is_alive() else self._found

    def _fetch(self) -> None:
        try:
            with connect(self._url, application_name="lode metrics", connect_timeout_s=2) as conn:
                self._found = take_snapshot(conn)
        except (psycopg.Error, UsageError, OSError) as error:
            logger("lode.metrics").warning("the database cannot be read for metrics", error=str(error))


def _gauges(snapshot: Snapshot) -> Iterator[Metric]:
    def gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=labels)
        for *values, figure in rows:
            family.add_metric([str(value) for value in values], figure)
        return family

    yield gauge(
        "lode_jobs",
        "Jobs that did not succeed",
        ("queue", "task", "status"),
        ((job.queue, job.task, job.status, job.jobs) for job in snapshot.jobs),
    )
    yield gauge(
        "lode_oldest_waiting_seconds",
        "How long the first waiting job of a queue has been due",
        ("queue",),
        snapshot.waiting_s.items(),
    )
    yield gauge("lode_runs", "Interpretations", ("status",), snapshot.runs.items())
    yield gauge(
        "lode_runs_by_attempt",
        "Running interpretations, by the highest attempt of the run and of its blocks at work",
        ("attempt",),
        snapshot.attempts.items(),
    )
    yield gauge("lode_workers_alive", "Workers heard of within a minute", (), [(snapshot.workers_alive,)])
    yield gauge(
        "lode_worker_heartbeat_seconds",
        "Time since a worker was heard of",
        ("worker_id", "host", "device"),
        (
            (worker.worker_id, worker.host, worker.device, worker.heartbeat_s)
            for worker in snapshot.workers
            if worker.heartbeat_s is not None
        ),
    )
    yield gauge("lode_staged_bytes", "What waits for publication", (), [(snapshot.staged_bytes,)])


@contextmanager
def serve(port: int, url: str, worker: WorkerMetrics, *, address: str = "127.0.0.1") -> Iterator[int]:
    """Answer scrapes in threads of this process while the context lasts.

    Args:
        port: TCP port; 0: any free one.
        url: libpq URL of the database.
        worker: figures of this worker.
        address: network address to listen on. Anybody who reaches it can read the figures.

    Yields:
        The port.

    Raises:
        UsageError: the port is taken, or the address is not of this machine.

    """
    collector = DatabaseCollector(url)
    worker.registry.register(collector)
    try:
        try:
            server, thread = start_http_server(port, addr=address, registry=worker.registry)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {address}:{port} ({error.strerror}): choose another "
                "--metrics-port or --metrics-address"
            ) from error
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    finally:
        worker.registry.unregister(collector)
