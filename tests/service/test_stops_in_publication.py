"""A worker is stopped while its publication waits to derive areas."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from service.job_runner import RELEASE_S
from tests.service.conftest import SIDE_PX
from tests.service.district import split_district
from tests.service.workers import WorkerProcess, all_are, request, running, wait_for

GRACE_S, MARGIN_S = 1.0, 20.0
RUN = "select status, attempt from lode.run"
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
PUBLISHING = "select count(*) from pg_stat_activity where application_name like 'lode infer (publishing %'"


@pytest.fixture
def url(cluster: Cluster, district: str) -> Iterator[str]:
    with split_district(cluster, district, None, SIDE_PX) as url:
        yield url


def worker(url: str, folder: Path) -> WorkerProcess:
    return WorkerProcess(url, folder, "--queues", "inference", "--grace", str(GRACE_S))


def await_publication(watcher: Connection[Any]) -> None:
    """Wait until a publication waits for whoever derives areas."""
    wait_for(lambda: watcher.execute(WAITING).fetchone() == (1,), "a publication waits", 120)


def test_it_is_given_back_in_time_and_published_by_another(url: str, tmp_path: Path) -> None:
    request(url, "s000")
    stopped = worker(url, tmp_path)
    with running(stopped), connect(url) as deriving, connect(url, autocommit=True) as watcher:
        deriving.execute("select lode_api.lock_accounts()")
        await_publication(watcher)
        stopped.signal(signal.SIGTERM, group=False)
        assert stopped.wait(GRACE_S + RELEASE_S + MARGIN_S) == 0  # and does not wait for the lock
        assert watcher.execute(RUN).fetchall() == [("requested", 0)]
        wait_for(lambda: watcher.execute(PUBLISHING).fetchone() == (0,), "its publication is ended", 20)
        deriving.rollback()
        other = worker(url, tmp_path)
        with running(other):
            wait_for(all_are(url, 1, "published"), "another worker publishes it")
        assert watcher.execute(RUN).fetchall() == [("published", 1)]
        tables = "select count(*) from pg_class where relname ~ '^probability_[0-9]+$' and relkind = 'r'"
        assert watcher.execute(tables).fetchone() == (1,)
