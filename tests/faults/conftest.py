"""Fixtures of the tests that kill, stop and cut.

cluster      a cluster of these tests' own, as safe as in service: they crash it, fill its disk and take all
             its connections, which the cluster that other tests share would not survive whole
ground       a copy of a district of twelve small scenes, each split into two blocks, for faults

``pytest tests/faults`` tries some of the faults; with ``LODE_FAULTS=all`` (``make faults``) all of them, and
a table at the end says what was tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from db.connection import connect
from db.embedded import Cluster
from db.upgrade import upgrade
from tests.faults import tried
from tests.faults.ground import FaultyWorker, Ground
from tests.service.district import fill_district, products, published, split_district
from tests.service.workers import all_are, request, running, wait_for
from tests.support import reaped_home

SCENES, SIDE_PX, BLOCK_ROWS_PX = 12, 64, 24
LONGEST_S = 900
"""For a test that names no time of its own: the waits of most of them add up to more than the usual."""

HERE = Path(__file__).parent
ALL = os.environ.get("LODE_FAULTS") == "all"
SAFE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test time for a slow machine; leave out what only ``make faults`` tries."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONGEST_S))
    if ALL:
        return
    left_out = [item for item in ours if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    """Show the workers' logs beside a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    ground = getattr(item, "funcargs", {}).get("ground")
    if report.failed and isinstance(ground, Ground):
        report.sections.append(("the workers", ground.logs()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was tried."""
    if ALL:
        tried.show(terminalreporter, HERE)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with reaped_home() as home:
        made = Cluster(home, memory_bytes=1024**3)
        made.ensure_running()
        with connect(made.url("postgres")) as conn:
            query = "select name, setting from pg_settings where name = any(%s)"
            assert dict(conn.execute(query, (list(SAFE),))) == SAFE
        yield made


@pytest.fixture(scope="session")
def template_database(cluster: Cluster) -> str:
    cluster.create_database("lode_test_template")
    upgrade(cluster.url("lode_test_template"), lambda _line: None)
    return "lode_test_template"


@pytest.fixture(scope="session")
def faults_district(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    name = "lode_test_faults"
    cluster.create_database(name, template=template_database)
    fill_district(cluster.url(name), tmp_path_factory.mktemp("faults"), scenes=SCENES, side_px=SIDE_PX)
    return name


@pytest.fixture(scope="session")
def undisturbed(
    cluster: Cluster, faults_district: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[int], dict[str, str]]]:
    """What so many scenes come to without a fault: done by one worker that nobody disturbs."""
    known: dict[int, dict[str, str]] = {}
    with split_district(cluster, faults_district, BLOCK_ROWS_PX, SIDE_PX) as url:
        worker = FaultyWorker(url, tmp_path_factory.mktemp("undisturbed"), "--queues", "inference")
        with running(worker):

            def come_to(scenes: int) -> dict[str, str]:
                if scenes not in known:
                    assert scenes > max(known, default=0), "ask for fewer scenes first"
                    request(url, *products(scenes))
                    wait_for(all_are(url, scenes, "published"), "the undisturbed district", 300)
                    known[scenes] = published(url)
                return known[scenes]

            come_to(FEW)
            come_to(SCENES)
        yield known.__getitem__


FEW = 3


@pytest.fixture
def ground(
    cluster: Cluster, faults_district: str, undisturbed: Callable[[int], dict[str, str]], tmp_path: Path
) -> Iterator[Ground]:
    with split_district(cluster, faults_district, BLOCK_ROWS_PX, SIDE_PX) as url:
        made = Ground(url, tmp_path, undisturbed)
        try:
            yield made
        finally:
            made.end()
