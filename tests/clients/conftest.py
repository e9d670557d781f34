"""Fixtures of the clients' tests.

world    a small district, the same for all tests of a file; what a test changes there it puts back
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.connection import connect
from db.embedded import Cluster
from tests.clients.world import World, fill_world
from tests.conftest import copied_database


@pytest.fixture(scope="module")
def world(cluster: Cluster, template_database: str) -> Iterator[World]:
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        yield fill_world(conn, url)
