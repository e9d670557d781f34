"""Making a private cluster: in odd places, by other users, interrupted, refused."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db.embedded import Cluster
from db.errors import UsageError
from tests.support import throwaway_cluster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which no cluster comes to be; `home` is for those that do."""
    with tempfile.TemporaryDirectory(prefix="lode-test-") as name:
        yield Path(name)


def given(home: Path, path: Path) -> Path:
    """Give a path to whoever a cluster in the home would belong to."""
    account = Cluster(home / "new").layout.account
    for each in (path, *path.rglob("*")):
        os.chown(each, account.uid, account.gid)
    return path


def test_two_makers_at_once_in_a_home_with_a_long_and_odd_name(home: Path):
    place = home / ("x" * 100) / "a, b's 新疆"
    failures: list[Exception] = []

    def make() -> None:
        try:
            throwaway_cluster(place).ensure_running()
        except Exception as error:
            failures.append(error)

    home.chmod(0o711)  # the server's user has to pass
    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    cluster = Cluster(place)
    assert cluster.layout.sockets.parent == Path("/tmp")  # noqa: S108 - where it must be
    with psycopg.connect(cluster.url("postgres")) as conn:
        assert conn.execute("show data_directory").fetchone() == (str(place / "data"),)
    assert [file.name for file in place.glob("data*")] == ["data"]


def test_an_interrupted_making_is_made_again(home: Path):
    script = (
        "import sys; from pathlib import Path; from tests.support import throwaway_cluster\n"
        "throwaway_cluster(Path(sys.argv[1])).ensure_running()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(home)]) as maker:
        deadline = time.monotonic() + 120
        while not list(home.glob("data.new-*/base")):
            assert maker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        maker.send_signal(signal.SIGKILL)
    with (home / "lock").open() as lock, pytest.raises(BlockingIOError):  # initdb outlives its caller
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    cluster = throwaway_cluster(home)
    assert not cluster.layout.is_made
    assert cluster.status().state == "not made yet"
    cluster.ensure_running()
    assert cluster.is_running()
    assert [file.name for file in home.glob("data*")] == ["data"]


@as_root
def test_an_ordinary_user_has_a_cluster_of_its_own(home: Path):
    user = pwd.getpwnam("nobody")
    os.chown(home, user.pw_uid, user.pw_gid)
    # Everything is imported before the change: an interpreter in root's home is out of reach after it.
    script = (
        "import os, sys, psycopg; from pathlib import Path; from tests.support import throwaway_cluster\n"
        f"os.setgroups([]); os.setgid({user.pw_gid}); os.setuid({user.pw_uid})\n"
        "cluster = throwaway_cluster(Path(sys.argv[1])); cluster.ensure_running()\n"
        "with psycopg.connect(cluster.url('postgres')) as conn:\n"
        "    print(conn.execute('select current_user').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(home)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    cluster = throwaway_cluster(home)
    status = cluster.status()  # root may look at it, and acts as its owner
    assert (status.is_running, status.account) == (True, "nobody")
    assert (home / "data").stat().st_uid == user.pw_uid
    assert cluster.stop() is True


@as_root
def test_a_full_disk(home: Path):
    home.chmod(0o711)
    disk = home / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "lode-test", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        cluster = Cluster(disk / "home", durable=False, memory_bytes=1024**3, least_free_bytes=0)
        with pytest.raises(UsageError, match=r"(?s)initdb failed.*No space left.*free some space"):
            cluster.ensure_running()
        assert [file.name for file in cluster.home.iterdir()] == ["lock"]
        subprocess.run(["mount", "-o", "remount,size=120m", disk], check=True)
        cluster.ensure_running()
        cluster.stop()
        filler = disk / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], check=False, capture_output=True)
        with pytest.raises(UsageError, match=r"(?s)did not start.*the disk is full: free some space, then"):
            cluster.ensure_running()
        filler.unlink()
        cluster.ensure_running()
        cluster.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@as_root
def test_another_users_cluster_is_refused(folder: Path):
    (folder / "data").mkdir()
    given(folder, folder)
    user = pwd.getpwnam("nobody")
    script = (
        "import os, sys, lode, db.commands\n"
        f"os.setgroups([]); os.setgid({user.pw_gid}); os.setuid({user.pw_uid})\n"
        "sys.exit(lode.run(['status']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LODE_HOME": str(folder), "LODE_DATABASE_URL": ""},
    )
    assert done.returncode == 1
    assert "belongs to another user: run lode as that user or as root" in done.stderr


@as_root
def test_a_home_that_the_server_cannot_reach(folder: Path):
    place = folder / "private" / "lode"
    place.parent.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="the user postgres, who runs the private cluster, cannot write in"):
        Cluster(place).ensure_running()
    assert not place.exists()


@as_root
def test_a_folder_of_roots_that_holds_something_is_not_handed_over(folder: Path):
    (folder / "precious").touch()
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="cannot write in"):
        Cluster(folder).ensure_running()
    assert folder.stat().st_uid == 0


@as_root
def test_where_workers_of_another_server_worked_a_cluster_comes_to_be(home: Path):
    place = home / "lode"
    (place / "cache").mkdir(parents=True)
    home.chmod(0o711)
    cluster = throwaway_cluster(place)
    cluster.ensure_running()
    cluster.stop()
    assert (place / "cache").stat().st_uid == 0


def test_data_that_lode_did_not_make_is_left_alone(folder: Path):
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text("15\n")
    given(folder, folder)
    cluster = Cluster(folder)
    for attempt in (cluster.ensure_running, cluster.stop, cluster.status):
        with pytest.raises(UsageError, match="was not made by Lode"):
            attempt()
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*")) == ["data", "data/PG_VERSION"]


def test_a_link_to_the_systems_cluster_is_left_alone(folder: Path):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "data").symlink_to(elsewhere)
    given(folder, folder)
    with pytest.raises(UsageError, match="was not made by Lode"):
        Cluster(folder).ensure_running()
    assert list(elsewhere.iterdir()) == []


def test_too_little_room(folder: Path):
    free = shutil.disk_usage(folder).free
    with pytest.raises(UsageError, match=r"needs \d+ MB, and .* has \d+ MB free: free some space"):
        Cluster(folder, least_free_bytes=free * 2).ensure_running()
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_missing_postgis(folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"postgis is missing.*apt-get install postgresql-\d+-?.*-postgis-3"):
        Cluster(folder, extensions=tmp_path).ensure_running()
    assert list(folder.iterdir()) == []


def test_a_damaged_version_file(folder: Path):
    data = folder / "data"
    data.mkdir()
    (data / "lode.cluster").touch()
    (data / "PG_VERSION").write_text("")
    given(folder, folder)
    with pytest.raises(UsageError, match="the cluster is damaged"):
        Cluster(folder).ensure_running()


def test_a_home_that_is_a_file(folder: Path):
    (folder / "file").touch()
    with pytest.raises(UsageError, match="LODE_HOME"):
        Cluster(folder / "file").ensure_running()
