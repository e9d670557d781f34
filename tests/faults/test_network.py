"""A worker's network is cut while it computes or publishes, mended before or after it counts as dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.embedded import Cluster
from db.upgrade import upgrade
from tests.faults.conftest import BLOCK_ROWS_PX, SIDE_PX
from tests.faults.conftest import SCENES as IN_ALL
from tests.faults.ground import FaultyWorker, Ground
from tests.service import namespaces
from tests.service.district import fill_district, split_district
from tests.service.namespaces import Machine, Network
from tests.service.workers import wait_for

pytestmark = pytest.mark.long

SCENES = 3
PATIENT_S = 40.0
"""Workers that count as dead only after so long."""

UNHEARD_S = 12.0
"""How long a short cut lasts: longer than the pauses between the signs of life of a worker so patient."""

ANSWER = 4711
"""Key of the lock that a commit waits for."""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(f"no network namespaces: {reason}")
    with namespaces.network(2) as made:
        yield made


@pytest.fixture
def machine(network: Network) -> Iterator[Machine]:
    """The one to be cut off; it is connected again after the test."""
    chosen, _ = network.machines
    yield chosen
    network.join(chosen)


@pytest.fixture(scope="module")
def server(network: Network) -> Iterator[Cluster]:
    """A cluster at an address of the network; tests and workers on this machine reach it by its socket."""
    with namespaces.served_cluster(network) as made:
        yield made


@pytest.fixture(scope="module")
def far_district(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = "lode_test_far"
    server.create_database(name)
    upgrade(server.url(name), lambda _line: None)
    fill_district(server.url(name), tmp_path_factory.mktemp("far"), scenes=IN_ALL, side_px=SIDE_PX)
    return name


@pytest.fixture
def ground(
    server: Cluster, far_district: str, undisturbed: Callable[[int], dict[str, str]], tmp_path: Path
) -> Iterator[Ground]:
    """The district behind a network; what it must come to was computed without one, by another server."""
    with split_district(server, far_district, BLOCK_ROWS_PX, SIDE_PX) as url:
        made = Ground(url, tmp_path, undisturbed)
        try:
            yield made
        finally:
            made.end()


def unheard_s(ground: Ground, worker: FaultyWorker) -> float:
    """Seconds since the last sign of life of a worker."""
    return float(
        ground.value(
            "select extract(epoch from clock_timestamp() - p.last_heartbeat) from lode.worker w"
            " join lode_queue.procrastinate_workers p on p.id = w.worker_id where w.process_id = %s",
            worker.pid,
        )
    )


def connected_ports(worker: FaultyWorker) -> set[int]:
    """Ports of its machine's open connections (proc_net(5)): the server may think otherwise."""
    lines = Path(f"/proc/{worker.pid}/net/tcp").read_text("utf-8").splitlines()[1:]
    return {int(each.split()[1].rpartition(":")[2], 16) for each in lines if each.split()[3] == "01"}


@pytest.mark.parametrize("point", ["infer.windows", "publish.writing", "publish.before_commit"])
def test_a_short_cut_is_sat_out(ground: Ground, network: Network, machine: Machine, point: str) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at=point, silent_s=PATIENT_S, machine=machine)
    worker.held()
    network.cut(machine)
    worker.let_go()  # it goes on, and knows nothing
    wait_for(lambda: unheard_s(ground, worker) > UNHEARD_S, "nothing is heard of it")
    assert ground.value("select count(*) from lode.run where status = 'published'") == 0
    network.join(machine)
    ground.expect(SCENES)
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES
    assert worker.is_alive()


@pytest.mark.parametrize(
    ("point", "refusal"),
    [
        ("infer.windows", "may no longer stage: the run is published"),
        ("publish.writing", "may no longer publish: the run is published and was given to another"),
        ("publish.before_commit", "may no longer publish: the run is published and was given to another"),
    ],
)
def test_a_long_cut_costs_it_the_job(
    ground: Ground, network: Network, machine: Machine, point: str, refusal: str
) -> None:
    (first,) = ground.request(1)
    cut_off = ground.worker(hold_at=point, machine=machine)
    cut_off.held()
    network.cut(machine)
    cut_off.let_go()
    other = ground.worker(machine=network.machines[1])
    wait_for(lambda: ground.status(first) == "published", "the other one publishes", 150)
    ground.stop([other])
    content = ground.rows("select * from lode.landcover order by landcover_id")
    network.join(machine)
    wait_for(lambda: any(refusal in event.get("reason", "") for event in cut_off.ended_jobs()), refusal, 150)
    assert ground.rows("select * from lode.landcover order by landcover_id") == content
    ground.request(SCENES)
    ground.expect(SCENES)
    assert cut_off.is_alive()
    run, blocks = ground.attempts(first)
    assert run + sum(blocks) == 3 + 1


def test_the_answer_to_a_commit_is_lost(ground: Ground, network: Network, machine: Machine) -> None:
    # The commit waits for a lock in a deferred trigger; meanwhile the network is cut, then it goes through.
    ground.change(
        "create function lode.wait_for_the_test() returns trigger language plpgsql as"
        f" $$begin perform pg_advisory_xact_lock_shared({ANSWER}); return null; end$$;"
        " create constraint trigger wait_for_the_test after update on lode.run"
        " deferrable initially deferred for each row when (new.status = 'published')"
        " execute function lode.wait_for_the_test()"
    )
    waiting = f"select count(*) from pg_locks where objid = {ANSWER} and not granted"
    publishing = (
        "select client_port from pg_stat_activity where application_name like 'lode infer (publishing %'"
    )
    with ground.watcher() as watcher:
        watcher.execute(f"select pg_advisory_lock({ANSWER})".encode())
        (first,) = ground.request(1)
        worker = ground.worker(silent_s=PATIENT_S, machine=machine)
        wait_for(lambda: ground.value(waiting) == 1, "its commit has begun", 90)
        port = ground.value(publishing)
        assert port in connected_ports(worker)
        network.cut(machine)
    wait_for(lambda: ground.status(first) == "published", "its commit ends, and nobody tells it")
    wait_for(lambda: port not in connected_ports(worker), "it gives that connection up", 150)
    assert worker.ended_jobs()[2:] == []
    network.join(machine)
    wait_for(lambda: len(worker.ended_jobs()) == 3, "it finds its work done", 150)
    assert [event["end"] for event in worker.ended_jobs()] == ["done"] * 3
    ground.request(SCENES)
    ground.expect(SCENES)
    assert ground.attempts(first) == (1, [1, 1])
