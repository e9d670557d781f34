"""What tests of every kind share."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

import lode
from db.connection import connect
from db.embedded import Cluster

REPOSITORY = Path(__file__).resolve().parents[1]


def rows(url: str, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Rows of a query, on a connection of its own."""
    with connect(url) as conn:
        return conn.execute(query.encode(), arguments or None).fetchall()


def data_folder() -> Path:
    """Folder of the real data: ``LODE_TEST_DATA``, else ``shared/data`` beside the repository."""
    named = os.environ.get("LODE_TEST_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


def test_data(name: str) -> Path:
    """Path of a file or folder of the real data.

    Skips the test when it is missing; fails it under CI, where it must not be missing.
    """
    path = data_folder() / name
    if path.exists():
        return path
    reason = f"no real data at {path}: set LODE_TEST_DATA to the folder that holds {name}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


test_data.__test__ = False  # type: ignore[attr-defined]  # a helper, whatever its name suggests to pytest


def lode_here(
    url: str, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command line on a database in this process, which has torch and GDAL loaded.

    A process of its own takes up to five seconds to load them. What ``lode`` would print as a traceback, a
    bug, is raised here, and so are warnings.
    """
    words = [str(each) for each in arguments]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in {"LODE_DATABASE_URL": url, **(env or {})}.items():
            patch.setenv(name, value)
        code = lode.run(words)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def throwaway_cluster(home: Path) -> Cluster:
    """A cluster for tests: quick, small, and not safe at a power cut."""
    return Cluster(home, durable=False, memory_bytes=1024**3)


@contextmanager
def reaped_home() -> Iterator[Path]:
    """A temporary folder for clusters, which are stopped and removed even when the run is killed."""
    home = Path(tempfile.mkdtemp(prefix="lode-test-"))
    reaper = subprocess.Popen(
        [sys.executable, "-m", "tests.reaper", str(home)],
        stdin=subprocess.PIPE,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    with reaper:  # its end closes the pipe and waits
        yield home


def await_waiting(conn: Connection[Any]) -> None:
    """Wait until some other session of this database waits for a lock."""
    ours = "select l.pid from pg_locks l join pg_database d on d.oid = l.database where datname = %s"
    query = f"select count(*) from pg_locks where not granted and pid in ({ours})"
    deadline = time.monotonic() + 60
    while True:
        row = conn.execute(query.encode(), (conn.info.dbname,)).fetchone()
        if row is not None and row[0]:
            return
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.05)
