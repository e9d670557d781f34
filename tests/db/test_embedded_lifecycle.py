"""One private cluster through what may happen to it: started twice, killed, rebooted, misconfigured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from db.embedded import Cluster
from db.errors import RetryError, UsageError
from db.upgrade import upgrade
from tests.support import reaped_home, throwaway_cluster


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that the tests of this module may mistreat."""
    with reaped_home() as home:
        made = throwaway_cluster(home)
        made.ensure_running()
        made.create_database("kept")
        with psycopg.connect(made.url("kept"), autocommit=True) as conn:
            conn.execute("create table kept as select 42 as answer")
        yield made


@pytest.fixture
def running(own: Cluster) -> Cluster:
    own.ensure_running()
    return own


@pytest.fixture
def stopped(own: Cluster) -> Cluster:
    own.stop()
    return own


def answer(cluster: Cluster) -> int:
    with psycopg.connect(cluster.url("kept")) as conn:
        row = conn.execute("select answer from kept").fetchone()
    assert row is not None
    return int(row[0])


def setting(cluster: Cluster, name: str) -> str:
    with psycopg.connect(cluster.url("kept")) as conn:
        row = conn.execute("select current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def postmaster_pid(cluster: Cluster) -> int:
    pid = cluster.status().pid
    assert pid is not None
    return pid


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.05)


def call_lode(cluster: Cluster, *arguments: str, database: str = "kept") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "LODE_DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "lode", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**environment, "LODE_HOME": str(cluster.home), "LODE_DATABASE": database, "PGPORT": "1"},
    )


def test_up_twice_keeps_the_server(running: Cluster):
    before = postmaster_pid(running)
    said: list[str] = []
    running.ensure_running(said.append)
    assert postmaster_pid(running) == before
    assert said == []


def test_it_listens_on_its_own_socket_only(running: Cluster):
    assert setting(running, "listen_addresses") == ""
    assert setting(running, "unix_socket_directories") == str(running.layout.sockets)
    assert setting(running, "data_checksums") == "on"
    assert setting(running, "server_encoding") == "UTF8"
    assert setting(running, "postgis.gdal_enabled_drivers") == "DISABLE_ALL"
    assert running.layout.sockets.stat().st_mode & 0o777 == 0o700
    (socket,) = running.layout.sockets.glob(".s.PGSQL.*[0-9]")
    assert socket.stat().st_mode & 0o777 == 0o700


def test_down_and_up(running: Cluster):
    assert running.stop() is True
    assert running.stop() is False
    assert not running.is_running()
    running.ensure_running()
    assert answer(running) == 42


def test_after_kill_with_a_busy_backend(running: Cluster):
    busy = psycopg.connect(running.url("kept"))
    backend = busy.info.backend_pid

    def work() -> None:
        with pytest.raises(psycopg.OperationalError):
            busy.execute("select sum(sqrt(n)) from generate_series(1, 1000000000) n")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    os.kill(postmaster_pid(running), signal.SIGKILL)
    running.ensure_running()
    thread.join(timeout=20)
    busy.close()
    assert not thread.is_alive()
    assert answer(running) == 42
    assert not Path(f"/proc/{backend}/cwd").exists()


def test_after_kill_when_its_number_belongs_to_another_process(running: Cluster):
    pid = postmaster_pid(running)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not running.is_running(), "the server to be gone")
    layout = running.layout
    switch = None if layout.account.is_self else layout.account.uid
    with subprocess.Popen(["sleep", "60"], user=switch) as stranger:
        for file in (layout.data / "postmaster.pid", layout.sockets / ".s.PGSQL.5432.lock"):
            lines = file.read_text().splitlines()
            assert lines[0] == str(pid)
            layout.account.write(file, "\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        assert not running.is_running()
        assert running.stop() is False
        running.ensure_running()
        assert answer(running) == 42
        assert stranger.poll() is None
        stranger.kill()


def test_after_a_reboot_without_the_socket_folder(stopped: Cluster):
    layout = stopped.layout
    layout.account.run(["rm", "-r", layout.sockets])
    (layout.data / "postmaster.pid").unlink(missing_ok=True)
    stopped.ensure_running()
    assert answer(stopped) == 42


def test_two_starts_at_once(stopped: Cluster):
    failures: list[Exception] = []

    def start() -> None:
        try:
            throwaway_cluster(stopped.home).ensure_running()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert answer(stopped) == 42


def test_a_lock_held_for_too_long(stopped: Cluster):
    from db.embedded.lock import locked

    said: list[str] = []
    impatient = Cluster(stopped.home, durable=False, start_timeout_s=5)
    with (
        locked(stopped.home / "lock", stopped.layout.account, said.append, 10),
        pytest.raises(RetryError, match=r"another lode has been starting or stopping .* holds .*lock"),
    ):
        impatient.ensure_running(said.append)
    assert said == ["waiting for another lode that starts or stops this cluster"]


def test_a_failed_start_shows_the_log_and_what_to_do(stopped: Cluster):
    layout = stopped.layout
    file = layout.data / "postgresql.conf"
    text = file.read_text()
    layout.account.write(file, text + "shared_buffers = nonsense\n")
    try:
        with pytest.raises(UsageError) as caught:
            stopped.ensure_running()
    finally:
        layout.account.write(file, text)
    message = str(caught.value)
    assert "did not start" in message
    assert 'invalid value for parameter "shared_buffers"' in message
    assert "correct postgresql.conf" in message
    assert "database system is ready" not in message  # an older start
    stopped.ensure_running()
    assert answer(stopped) == 42


def test_configuration_is_renewed_and_the_users_own_is_kept(stopped: Cluster):
    layout = stopped.layout
    layout.account.write(layout.data / "lode.conf", "work_mem = '1MB'\n")
    file = layout.data / "postgresql.conf"
    text = file.read_text()
    layout.account.write(file, text + "maintenance_work_mem = '77MB'\n")
    try:
        stopped.ensure_running()
        assert setting(stopped, "work_mem") == "8MB"
        assert setting(stopped, "maintenance_work_mem") == "77MB"
    finally:
        layout.account.write(file, text)


def test_status_when_running(running: Cluster):
    status = running.status()
    assert status.is_running
    assert status.state == "ready"
    assert status.data_bytes > 20e6
    assert status.server is not None
    assert "kept" in [each.name for each in status.server.databases]
    done = call_lode(running, "status")
    assert (done.returncode, done.stderr) == (0, "")
    for expected in ("ready", status.server.postgresql, str(running.layout.sockets), "database kept"):
        assert expected in done.stdout


def test_status_when_stopped(stopped: Cluster):
    done = call_lode(stopped, "status")
    assert (done.returncode, done.stderr) == (3, "")
    assert "stopped" in done.stdout
    assert "lode up" in done.stdout


def test_psql_passes_its_arguments_on(running: Cluster):
    done = call_lode(running, "psql", "-At", "-c", "select answer from kept", "-c", "show application_name")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\nlode psql\n", "")
    assert call_lode(running, "psql", "-c", "nonsense").returncode == 1


def test_psql_when_stopped_says_what_to_do(stopped: Cluster):
    done = call_lode(stopped, "psql")
    assert done.returncode == 1
    assert done.stderr.startswith("lode: error: no database server answers")
    assert done.stderr.endswith("run `lode up`\n")


def test_lode_down_and_up_make_the_database_ready(running: Cluster):
    assert call_lode(running, "down").returncode == 0
    assert call_lode(running, "down").stdout.startswith("no private cluster runs")
    done = call_lode(running, "up")
    assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(running.url("kept")) as conn:
        assert conn.execute("select postgis_lib_version()").fetchone() is not None
        assert conn.execute("select to_regclass('lode.scene')").fetchone() == ("lode.scene",)


def test_two_shells_make_one_database(stopped: Cluster):
    results: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: results.append(call_lode(stopped, "up", database="twice")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(done.returncode, done.stderr) for done in results] == [(0, "")] * 2
    with psycopg.connect(stopped.url("twice")) as conn:
        assert conn.execute("select to_regclass('lode.scene')").fetchone() == ("lode.scene",)


def test_makers_of_one_database_at_once(running: Cluster):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(running.create_database, ["fourfold"] * 4))
    assert sorted(made) == [False, False, False, True]


@pytest.mark.parametrize("name", ["", "a" * 64, "矿" * 22, "a\0b"])
def test_a_name_that_no_database_can_have(name: str, running: Cluster):
    with pytest.raises(UsageError, match="1 to 63 bytes"):
        running.create_database(name)


def test_a_database_with_an_odd_name(running: Cluster):
    name = "a\"b'; drop database kept; -- 新疆 %s"
    assert running.create_database(name) is True
    assert running.create_database(name) is False
    with psycopg.connect(running.url(name)) as conn:
        assert conn.execute("select current_database()").fetchone() == (name,)
    running.drop_database(name)
    assert answer(running) == 42


def test_keys_go_on_where_they_were_after_a_crash(running: Cluster) -> None:
    """Sequences made and used by the upgrade itself keep their place when the server is killed."""
    running.create_database("seeded")
    upgrade(running.url("seeded"))
    query = (
        "select format('%I.%I', schemaname, sequencename), last_value from pg_sequences"
        " where schemaname = 'lode' and last_value is not null order by 1"
    )
    with psycopg.connect(running.url("seeded")) as conn:
        before = conn.execute(query).fetchall()
    assert len(before) >= 3
    os.kill(postmaster_pid(running), signal.SIGKILL)
    time.sleep(0.5)
    running.ensure_running()
    with psycopg.connect(running.url("seeded")) as conn:
        after = dict(conn.execute(query).fetchall())
    assert all(after[name] >= value for name, value in before)
