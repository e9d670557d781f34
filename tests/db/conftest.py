"""Fixtures of several files of the database's tests, made once in a worker.

ensemble_database      name of a database with two trained networks and their ensemble; nobody changes it
ensemble               what that database holds
ensemble_copy          URL of a copy of it for one test
labelled_database      name of a database with a small labelled scene; nobody changes it
network_database       name of that with a network trained on it; nobody changes it
models                 that network, loaded once
trial                  trainings on a copy of that, and an empty folder
untouched              the same on the database itself, for what is refused, which writes nothing
searched_database      name of a database with ground to search for ore and a network; nobody changes it
searched_copy          URL of a copy of it for one test
owned                  URL of a database with three mines, of which a login owns one; made for each file
owner                  connection of that login, made writable
admin                  connection of the administrator to that database
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from tests.conftest import copied_database
from tests.db.owned_mines import OWNER, owned_database
from tests.role_logins import login

if TYPE_CHECKING:  # torch takes seconds to load, and few files here need it
    from inference.model_cache import ModelCache
    from tests.db.ensembles import Prepared
    from tests.db.trials import Trial


@pytest.fixture(scope="session")
def ensemble_database(cluster: Cluster, template_database: str) -> str:
    cluster.create_database("lode_test_ensemble", template=template_database)
    return "lode_test_ensemble"


@pytest.fixture(scope="session")
def ensemble(cluster: Cluster, ensemble_database: str, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    from tests.db.ensembles import prepare

    return prepare(cluster.url(ensemble_database), tmp_path_factory.mktemp("ensemble"))


@pytest.fixture
def ensemble_copy(cluster: Cluster, ensemble_database: str, ensemble: Prepared) -> Iterator[str]:
    with copied_database(cluster, ensemble_database) as url:
        yield url


@pytest.fixture(scope="session")
def labelled_database(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    from tests.db.trials import fill

    cluster.create_database("lode_test_labelled", template=template_database)
    fill(cluster.url("lode_test_labelled"), tmp_path_factory.mktemp("labelled"))
    return "lode_test_labelled"


@pytest.fixture(scope="session")
def network_database(cluster: Cluster, labelled_database: str) -> str:
    from tests.db.interpreted_blocks import fill

    cluster.create_database("lode_test_network", template=labelled_database)
    fill(cluster, "lode_test_network")
    return "lode_test_network"


@pytest.fixture(scope="session")
def models() -> ModelCache:
    import torch

    from inference.model_cache import ModelCache

    return ModelCache(torch.device("cpu"))


@pytest.fixture
def trial(
    cluster: Cluster, labelled_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Trial]:  # fmt: skip
    from tests.db.trials import Trial

    with copied_database(cluster, labelled_database) as url:
        monkeypatch.setenv("LODE_DATABASE_URL", url)
        yield Trial(url, _empty(tmp_path), capsys)


@pytest.fixture
def untouched(
    cluster: Cluster, labelled_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Trial:  # fmt: skip
    from tests.db.trials import Trial

    url = cluster.url(labelled_database)
    monkeypatch.setenv("LODE_DATABASE_URL", url)
    return Trial(url, _empty(tmp_path), capsys)


@pytest.fixture(scope="session")
def searched_database(cluster: Cluster, template_database: str) -> str:
    from tests.db.searched_ground import fill

    cluster.create_database("lode_test_searched", template=template_database)
    with connect(cluster.url("lode_test_searched")) as conn:
        fill(conn)
    return "lode_test_searched"


@pytest.fixture
def searched_copy(cluster: Cluster, searched_database: str) -> Iterator[str]:
    with copied_database(cluster, searched_database) as url:
        yield url


@pytest.fixture(scope="module")
def owned(cluster: Cluster, template_database: str) -> Iterator[str]:
    with owned_database(cluster, template_database) as url:
        yield url


@pytest.fixture
def owner(owned: str) -> Iterator[Connection[Any]]:
    with login(owned, OWNER) as conn:
        conn.execute("set default_transaction_read_only = off")
        yield conn


@pytest.fixture
def admin(owned: str) -> Iterator[Connection[Any]]:
    with connect(owned, autocommit=True) as conn:
        yield conn


def _empty(folder: Path) -> Path:
    empty = folder / "left"
    empty.mkdir()
    return empty
