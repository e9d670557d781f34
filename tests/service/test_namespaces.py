"""Workers of several machines share one database: addresses and host names of their own, one cut off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.connection import connect
from db.embedded import Cluster
from tests.service import namespaces
from tests.service.district import (
    NOTHING,
    fill_district,
    left_behind,
    products,
    published,
    split_district,
)
from tests.service.namespaces import SERVER, Machine, Network
from tests.service.workers import WorkerProcess, all_are, held, request, running, wait_for
from tests.support import REPOSITORY, rows

SCENES, SIDE_PX, BLOCK_ROWS = 6, 96, 24
POINT = "infer.windows"
SILENT_S = "10"
LIMIT_S = 180
"""Of a wait: torch is loaded three times; and should the cut come in the middle of a transaction, the server
keeps it for a minute (``idle_in_transaction_session_timeout``), and with it the lock of whoever reaps."""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(f"no network namespaces: {reason}")
    with namespaces.network(3) as made:
        yield made


@pytest.fixture(scope="module")
def server(network: Network) -> Iterator[Cluster]:
    """A cluster of its own, at an address of the network."""
    with namespaces.served_cluster(network) as made:
        yield made


@pytest.fixture(scope="module")
def far_district(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with scenes, mines and a network."""
    from db.upgrade import upgrade

    server.create_database("district")
    upgrade(server.url("district"), lambda _line: None)
    folder = tmp_path_factory.mktemp("far")
    fill_district(server.url("district"), folder, scenes=SCENES, side_px=SIDE_PX)
    return "district"


@pytest.fixture(scope="module")
def undisturbed(server: Cluster, far_district: str) -> dict[str, str]:
    """What one process publishes by itself."""
    from inference.interpret import interpret

    with split_district(server, far_district, BLOCK_ROWS, SIDE_PX) as url:
        for product in products(SCENES):
            interpret(url, product, "net", device_name="cpu")
        return published(url)


def far_worker(url: str, folder: Path, machine: Machine, **environment: str) -> WorkerProcess:
    return WorkerProcess(
        *(url, folder, "--queues", "inference", "--silent", SILENT_S),
        environment=environment,
        prefix=machine.prefix,
    )


def ended(worker: WorkerProcess) -> list[str]:
    """How its jobs ended."""
    return [event["end"] for event in worker.events() if event["event"] == "job ended"]


def has_no_transaction(url: str, machine: Machine) -> Callable[[], bool]:
    """Whether nothing that a machine began is open at the server."""
    begun = f"select from pg_stat_activity where client_addr = '{machine.address}' and xact_start is not null"
    return lambda: rows(url, begun) == []


@pytest.mark.timeout(600)
def test_three_machines_share_scenes_and_one_is_cut_off_in_the_middle(
    server: Cluster, network: Network, far_district: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    cut_off, *others = network.machines
    with split_district(server, far_district, BLOCK_ROWS, SIDE_PX) as url:
        at_server = namespaces.worker_url(url)
        holding = {"LODE_HOLD_AT": POINT, "LODE_HOLD_FOLDER": str(tmp_path)}
        stale = far_worker(at_server, tmp_path, cut_off, **holding)
        workers = [far_worker(at_server, tmp_path, machine) for machine in others]
        with running(stale, *workers):
            wait_for(lambda: len(rows(url, "select from lode.worker")) == 3, "three workers", LIMIT_S)
            seen = rows(url, "select host, login from lode.worker order by host")
            assert seen == [(machine.host, "lode_worker") for machine in network.machines]
            addresses = rows(
                url, "select distinct host(client_addr) from pg_stat_activity where client_addr is not null"
            )
            assert {address for (address,) in addresses} == {each.address for each in network.machines}

            request(url, *products(SCENES - 1))
            pid = held(tmp_path, POINT, LIMIT_S)
            ((held_run, held_block),) = rows(
                url,
                "select run_id, block from lode.run_block where status = 'running'"
                f" and worker like '{cut_off.host}, %'",
            )
            wait_for(has_no_transaction(url, cut_off), "a moment between two transactions")
            network.cut(cut_off)
            (tmp_path / f"{POINT}.{pid}").unlink()  # it computes on, and knows nothing
            wait_for(all_are(url, SCENES - 1, "published"), "what the other two publish", LIMIT_S)
            assert stale.process.poll() is None
            ((attempt, computed_by),) = rows(
                url,
                f"select attempt, split_part(worker, ',', 1) from lode.run_block where run_id = {held_run}"
                f" and block = {held_block}",
            )
            assert attempt == 2
            assert computed_by in {machine.host for machine in others}
            hosts = rows(url, "select distinct split_part(worker, ',', 1) from lode.run_block order by 1")
            assert hosts == [(machine.host,) for machine in others]

            network.join(cut_off)
            wait_for(lambda: bool(ended(stale)), "the late end of the job given to another", LIMIT_S)
            for worker in workers:
                worker.signal(15, group=False)
                assert worker.wait() == 0
            (last,) = request(url, products(SCENES)[-1])  # for the one that was cut off, alone
            wait_for(all_are(url, SCENES, "published"), "what it publishes when it is back", LIMIT_S)
            hosts = rows(
                url, f"select distinct split_part(worker, ',', 1) from lode.run_block where run_id = {last}"
            )
            assert hosts == [(cut_off.host,)]
            stale.signal(15, group=False)
            assert stale.wait() == 0
        assert "done" in ended(stale)
        assert ended(stale)[0] in ("superseded", "transient", "broken")
        times = rows(url, "select scene_id, count(*) from lode.run where status = 'published' group by 1")
        assert len(times) == SCENES
        assert {count for _, count in times} == {1}
        assert published(url) == undisturbed
        with connect(url) as conn:
            assert left_behind(conn) == NOTHING


def test_a_password_is_asked_for(server: Cluster, network: Network, far_district: str) -> None:
    at_server = namespaces.worker_url(server.url(far_district))
    program = "import sys; from db.connection import connect; connect(sys.argv[1]).close()"
    for url, said in (
        (at_server, ""),
        (at_server.replace("lode_worker:", "lode_worker:x"), "password authentication failed"),
    ):
        command = [*network.machines[0].prefix, sys.executable, "-c", program, url]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (said == "")
        assert said in done.stderr


def test_namespaces_of_a_killed_run_are_swept(network: Network, tmp_path: Path) -> None:
    program = (
        "import os, signal, subprocess; from tests.service.namespaces import Network\n"
        "made = Network(1); made.make()\n"
        "command = ['ip', 'netns', 'exec', made.machines[0].namespace, 'sleep', '600']\n"
        "left = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)\n"
        "print(made.hub, left.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with namespaces.alone():
        killed = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False
        )
        hub, sleeper = killed.stdout.split()
        machine = hub.replace("-hub", "-1")
        assert Path("/run/netns", hub).exists()
        wait_for(lambda: sleeper in namespaces.processes_in(machine), "the sleeper is in its namespace")
        assert set(namespaces.sweep()) >= {hub, machine}
    assert not Path("/run/netns", hub).exists()
    assert not Path(f"/proc/{sleeper}/exe").exists()
    assert Path("/run/netns", network.hub).exists()  # ours is in use
    assert SERVER == "198.18.0.1"
