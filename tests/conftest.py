"""Fixtures: one private cluster per worker of a test run, one fresh database per test.

home                   an empty folder for a test's own cluster
cluster                a running cluster in a temporary home, removed at the end of the run
postgis_template       name of a database with the extensions only
template_database      name of a migrated database
database_url           URL of a fresh copy of template_database, dropped after the test
postgis_url            URL of a fresh copy of postgis_template, dropped after the test
conn                   connection to database_url
run_lode               calls the command line on database_url, in this process

``make test`` runs several workers (tests/workers.py); ``pytest tests/...`` alone runs in this process.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from hypothesis import settings
from psycopg.rows import TupleRow

from db.connection import connect
from db.embedded import Cluster
from db.embedded.configuration import machine_memory_bytes
from tests.support import REPOSITORY, lode_here, reaped_home, throwaway_cluster
from tests.workers import THREADS, worker_count

settings.register_profile("lode", deadline=None)  # other workers may have the processor
settings.load_profile("lode")

_numbers = itertools.count(1)

LONG = (REPOSITORY / "tests" / "e2e", REPOSITORY / "tests" / "real")
"""Folders of the tests that take up to a minute each."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers of ``-n auto``."""
    return worker_count(len(os.sched_getaffinity(0)), machine_memory_bytes())


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker one thread: they inherit this, before torch and BLAS are loaded there."""
    if config.getoption("numprocesses", None):
        os.environ.update({name: "1" for name in THREADS if name not in os.environ})


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests fetch lies with the tests, not in this machine's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        if "LODE_CACHE" not in os.environ:
            patch.setenv("LODE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """A test that leaves a variable of Lode's or libpq's behind leads the tests after it elsewhere."""
    before = _environment()
    yield
    assert _environment() == before


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("LODE", "PG"))}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the long tests where workers share them out, so that none of them ends alone."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: LONG[0] not in item.path.parents and LONG[1] not in item.path.parents)


class RunLode(Protocol):
    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def home() -> Iterator[Path]:
    with reaped_home() as folder:
        yield folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with reaped_home() as home:
        made = throwaway_cluster(home)
        made.ensure_running()
        yield made


@pytest.fixture(scope="session")
def postgis_template(cluster: Cluster) -> str:
    cluster.create_database("lode_test_postgis")
    with connect(cluster.url("lode_test_postgis"), autocommit=True) as connection:
        connection.execute("create extension postgis")
        connection.execute("create extension postgis_raster")
    return "lode_test_postgis"


@pytest.fixture(scope="session")
def template_database(cluster: Cluster, postgis_template: str) -> str:
    from db.upgrade import upgrade

    cluster.create_database("lode_test_template", template=postgis_template)
    upgrade(cluster.url("lode_test_template"), lambda _line: None)
    return "lode_test_template"


@contextmanager
def copied_database(cluster: Cluster, template: str) -> Iterator[str]:
    name = f"lode_test_{next(_numbers)}"
    cluster.create_database(name, template=template)
    try:
        yield cluster.url(name)
    finally:
        cluster.drop_database(name)


@pytest.fixture
def database_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as url:
        yield url


@pytest.fixture
def postgis_url(cluster: Cluster, postgis_template: str) -> Iterator[str]:
    with copied_database(cluster, postgis_template) as url:
        yield url


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def run_lode(database_url: str) -> RunLode:
    def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return lode_here(database_url, *arguments, env=env)

    return run
