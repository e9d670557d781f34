"""The database's disk is full while a scene is published, and has room again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from tests.faults.conftest import BLOCK_ROWS_PX, SIDE_PX
from tests.faults.ground import UNHURRIED_S, Ground
from tests.service.workers import wait_for

SCENES = 3
SIZE = "120m"
NAME = "lode_test_full"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@contextmanager
def small_disk(cluster: Cluster, folder: Path) -> Iterator[Path]:
    """A disk of its own, which the cluster may write to; skips where none can be mounted."""
    account = cluster.layout.account
    folder.mkdir()
    options = f"size={SIZE},mode=700,uid={account.uid},gid={account.gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lode-test", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def disk(cluster: Cluster, home: Path) -> Iterator[Path]:
    home.chmod(0o711)
    with small_disk(cluster, home / "disk") as folder:
        yield folder


@pytest.fixture
def ground_on_disk(
    cluster: Cluster,
    faults_district: str,
    undisturbed: Callable[[int], dict[str, str]],
    disk: Path,
    tmp_path: Path,
) -> Iterator[Ground]:
    """The district in a tablespace on that disk; the log of transactions lies elsewhere."""
    with connect(cluster.url("postgres"), autocommit=True) as conn:
        conn.execute(f"create tablespace {NAME} location '{disk}'")
        try:
            conn.execute(f"create database {NAME} template {faults_district} tablespace {NAME}")
            conn.execute(f"alter database {NAME} set lode.block_px = '{SIDE_PX * BLOCK_ROWS_PX}'")
            made = Ground(cluster.url(NAME), tmp_path, undisturbed)
            try:
                yield made
            finally:
                made.end()
        finally:
            remove(conn)


def remove(conn: Connection[tuple[object, ...]]) -> None:
    conn.execute(f"drop database if exists {NAME} with (force)")
    conn.execute("checkpoint")  # lets go of the files of dropped tables
    conn.execute(f"drop tablespace {NAME}")


def fill(disk: Path) -> Path:
    """Write until there is no room left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(1 << 16))
    return filler


@pytest.mark.parametrize("point", ["stage.before_commit", "publish.writing"])
def test_a_full_disk_while_it_writes(
    ground_on_disk: Ground, cluster: Cluster, disk: Path, point: str
) -> None:
    ground = ground_on_disk
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at=point, silent_s=UNHURRIED_S)
    worker.held()
    known = cluster.layout.log.stat().st_size
    filler = fill(disk)
    worker.let_go()

    def is_said() -> bool:  # who needs the next page first, the interpretation or its queue, is chance
        return b"No space left on device" in cluster.layout.log.read_bytes()[known:]

    wait_for(is_said, "the server has no room", 60)
    time.sleep(3)
    assert ground.value("select count(*) from lode.run where status = 'published'") == 0
    filler.unlink()
    ground.expect(SCENES)
    assert worker.is_alive()
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES
