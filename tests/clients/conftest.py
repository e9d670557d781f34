"""Fixtures of the clients' tests.

world    a small district, the same for all tests of a file; what a test changes there it puts back

Clients must find in a database that was dumped and restored under another name what they found in the first:
every test of `world` runs on both. With LODE_TEST_RESTORED=1 all tests of this folder run on restored copies
only, also those that fill a database of their own (a minute more, and not part of `make test`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from db.connection import connect
from db.embedded import Cluster
from tests.clients.world import World, fill_world, open_restored
from tests.conftest import copied_database
from tests.restored import restore_copy

IS_RESTORED = os.environ.get("LODE_TEST_RESTORED", "") not in ("", "0")


@pytest.fixture(scope="session")
def template_database(cluster: Cluster, template_database: str) -> str:
    """The migrated database, or with LODE_TEST_RESTORED a restored copy of it."""
    if not IS_RESTORED:
        return template_database
    cluster.create_database("lode_test_template_restored")
    restore_copy(cluster.url(template_database), cluster.url("lode_test_template_restored"))
    return "lode_test_template_restored"


@pytest.fixture(scope="session")
def restored_world(cluster: Cluster, template_database: str) -> str:
    """Name of a restored dump of the district."""
    with copied_database(cluster, template_database) as source:
        with connect(source) as conn:
            fill_world(conn, source)
        cluster.create_database("lode_test_restored")
        restore_copy(source, cluster.url("lode_test_restored"))
    return "lode_test_restored"


@pytest.fixture(scope="module", params=["restored"] if IS_RESTORED else ["made", "restored"])
def world(request: pytest.FixtureRequest, cluster: Cluster, template_database: str) -> Iterator[World]:
    is_restored = request.param == "restored"
    source = request.getfixturevalue("restored_world") if is_restored else template_database
    with copied_database(cluster, source) as url, connect(url) as conn:
        yield open_restored(conn, url) if is_restored else fill_world(conn, url)
