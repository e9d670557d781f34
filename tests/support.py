"""What tests of every kind share."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.embedded import Cluster

REPOSITORY = Path(__file__).resolve().parents[1]


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
