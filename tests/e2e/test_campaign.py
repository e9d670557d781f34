"""`lode campaign` on Ray clusters of this machine: actors killed, the campaign interrupted, secrets kept."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from db.embedded import Cluster
from tests.campaign_scenes import (
    PRODUCTS,
    assert_nothing_is_left,
    attempts,
    no_advisory_lock_is_left,
    published,
    split,
    stock,
)
from tests.conftest import copied_database
from tests.e2e.conftest import lode
from tests.support import REPOSITORY, rows

pytest.importorskip("ray", reason="Ray is not installed: pip install 'lode[cluster]'")

MARKER = "geheim-4711-marker"
PATIENCE_S = 150

_STATES = "select s.product, r.status from lode.run r join lode.scene s using (scene_id) order by 1"


@pytest.fixture(scope="module")
def stocked(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    name = "lode_test_campaign_e2e"
    cluster.create_database(name, template=template_database)
    stock(cluster.url(name), tmp_path_factory.mktemp("campaign"))
    yield name
    cluster.drop_database(name)


@pytest.fixture
def url(cluster: Cluster, stocked: str) -> Iterator[str]:
    with copied_database(cluster, stocked) as url:
        split(url)
        yield url


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, stocked: str) -> list[Any]:
    """What `lode infer` publishes in another copy."""
    with copied_database(cluster, stocked) as url:
        split(url)
        for product in PRODUCTS:
            lode(url, "infer", "--scene", product, "--model", "x", "--device", "cpu")
        return published(url)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray keeps logs and sockets, whose paths have to be short: not below tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="lode-ray-"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Holds:
    """Processes that wait at a named point (``db.points``).

    Args:
        folder: where they say so.
        point: the point.

    """

    def __init__(self, folder: Path, point: str) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.environment = {"LODE_HOLD_AT": point, "LODE_HOLD_FOLDER": str(folder)}

    def next(self, campaign: subprocess.Popen[str], *known: Path) -> Path:
        """The sign of a process that waits, other than those that are known."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for sign in sorted(self.folder.iterdir()):
                if sign not in known:
                    return sign
            if campaign.poll() is not None:
                pytest.fail(f"the campaign ended with {campaign.returncode}: {campaign.communicate()}")
            time.sleep(0.05)
        raise AssertionError("nobody came to the point")

    def let_go_until(self, is_enough: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not is_enough():
            assert time.monotonic() < until
            for sign in self.folder.iterdir():
                sign.unlink()
            time.sleep(0.05)


def kill_actor(sign: Path) -> None:
    """Kill the actor that waits with this sign."""
    process_id = int(sign.name.rpartition(".")[2])
    assert is_actor(process_id)
    os.kill(process_id, signal.SIGKILL)
    sign.unlink()


def await_row(url: str, query: str, row: tuple[Any, ...]) -> None:
    until = time.monotonic() + PATIENCE_S
    while row not in rows(url, query):
        assert time.monotonic() < until, rows(url, query)
        time.sleep(0.1)


def is_actor(process_id: int) -> bool:
    return Path(f"/proc/{process_id}/cmdline").read_bytes().startswith(b"ray::Interpreter")


def start(url: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A campaign of all scenes, in a process and a session of its own, as typed."""
    return subprocess.Popen(
        [sys.executable, "-m", "lode", "campaign", "--model", "x", "--all", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "LODE_DATABASE_URL": url, "OMP_NUM_THREADS": "1", **(env or {})},
        start_new_session=True,
    )


def left_running(session: int) -> list[str]:
    """What of a session of processes still runs; raylets and actors end by themselves, just after it."""
    deadline = time.monotonic() + 60
    while (found := _processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _processes_of(session: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(command)
    return found


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("folder")
def test_actors_killed_and_the_campaign_interrupted(url: str, undisturbed: list[Any], tmp_path: Path) -> None:
    # Two actors are in the middle of the first two blocks. One is killed; another takes its place and block.
    holds = Holds(tmp_path / "windows", "infer.windows")
    first = start(url, "--actors", "2", env=holds.environment)
    killed = holds.next(first)
    spared = holds.next(first, killed)
    kill_actor(killed)
    heir = holds.next(first, spared)
    assert sorted(attempts(url).values()) == [0, 1, 2]

    # While it is in the middle of the block, the other one does all the rest. Then Ctrl-C.
    spared.unlink()
    await_row(url, _STATES, ("small", "published"))
    await_row(url, _STATES, ("b", "published"))
    assert rows(url, _STATES) == [("a", "running"), ("b", "published"), ("small", "published")]
    first.send_signal(signal.SIGINT)
    time.sleep(10)  # until its stop has reached the actor, which has 30 s to heed it
    heir.unlink()
    out, err = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 130, err
    assert "was lost" in err
    assert "1 scenes are not done; the same command goes on with them" in err
    assert "2 of 2 scenes are published" in out
    assert "raylet" not in out + err
    assert left_running(first.pid) == []
    blocks = (
        "select block, status, attempt from lode.run_block where run_id = 1 order by status = 'staged', block"
    )
    [given_back, *staged] = rows(url, blocks)
    assert given_back in ((0, "waiting", 1), (1, "waiting", 1))  # the attempt of the one that was killed
    assert [(status, attempt) for _block, status, attempt in staged] == [("staged", 1)] * 2
    assert rows(url, _STATES)[0] == ("a", "requested")
    no_advisory_lock_is_left(url)
    assert rows(url, "select count(*) from lode.landcover where run_id = 1") == [(0,)]

    # The second start goes on there; now an actor is killed in the middle of the publication.
    holds = Holds(tmp_path / "publishing", "publish.before_commit")
    second = start(url, "--actors", "2", env=holds.environment)
    kill_actor(holds.next(second))
    assert rows(url, "select count(*) from lode.landcover where run_id = 1") == [(0,)]
    holds.let_go_until(lambda: second.poll() is not None)
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert "3 of 3 scenes are published" in out
    assert [tuple(row[1:]) for row in sorted(rows(url, blocks))] == [
        ("staged", 1 + (row == given_back[0])) for row in range(3)
    ]
    assert rows(url, "select attempt from lode.run where run_id = 1") == [(2,)]
    assert published(url) == undisturbed
    assert_nothing_is_left(url)
    assert left_running(second.pid) == []


@pytest.fixture
def ray_cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A cluster as an administrator starts it, without the database's address: its own and its folder."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    for _ in range(5):
        port = free_port()
        with head_node(port, folder) as is_up:
            if is_up:  # else somebody took the port meanwhile
                yield f"127.0.0.1:{port}", folder
                return
    pytest.fail("no head of a Ray cluster comes up")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def head_node(port: int, folder: Path) -> Iterator[bool]:
    """The head of a Ray cluster, and whether it came up."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LODE_")}
    head = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=2",
            f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}",
            "--object-store-memory=100000000", "--disable-usage-stats",
        ],
        env={**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE_S
        while head.poll() is None and not answers(port, folder):
            assert time.monotonic() < until
            time.sleep(0.2)
        yield head.poll() is None
    finally:
        head.terminate()
        head.wait(60)


def answers(port: int, folder: Path) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0 and any(folder.glob("ray_current_cluster"))


@pytest.mark.timeout(600)
def test_a_cluster_is_used_and_is_not_told_the_password_for_keeps(
    url: str, undisturbed: list[Any], ray_cluster: tuple[str, Path]
) -> None:
    address, folder = ray_cluster
    with_password = f"{url}&password={MARKER}"
    campaign = start(with_password, "--ray", address, "--cpus-per-actor", "1")
    seen: set[int] = set()
    while campaign.poll() is None:
        for each in Path("/proc").glob("[0-9]*"):
            try:
                environment = (each / "environ").read_bytes()
                if is_actor(int(each.name)) and os.fsencode(folder) in environment:
                    seen.add(int(each.name))
                    assert MARKER.encode() not in environment
                    assert MARKER.encode() not in (each / "cmdline").read_bytes()
            except OSError:
                continue
        time.sleep(0.2)
    out, err = campaign.communicate()
    assert campaign.returncode == 0, err
    assert "3 scenes, 2 actors (cpu)" in err
    assert 1 <= len(seen) <= 2  # one may do it all before the other is there
    assert published(url) == undisturbed
    assert MARKER not in out + err
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 50_000_000]
    assert any("Interpreter" in path.read_text("utf-8", "replace") for path in files)
    assert [path for path in files if MARKER.encode() in path.read_bytes()] == []
    assert_nothing_is_left(url)
