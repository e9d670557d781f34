"""The session of an attempt at an item that was given up: the next attempt ends it, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, OperationalError

from db.connection import connect
from db.ingest_items import Claim, claim_item, storing_name
from tests.role_logins import url_of
from tests.source_files import described_tiff
from tests.source_runs import Sources

LOCK = "select pg_advisory_xact_lock(%s)"


@pytest.fixture
def claims(database_url: str, tmp_path: Path) -> list[Claim]:
    """The first attempts at two items."""
    sources = Sources(database_url, tmp_path)
    folder = tmp_path / "inbox"
    for name in ("d1", "d2"):
        described_tiff(folder / f"{name}.tif")
    sources.scan(sources.add("folder", folder))
    with connect(database_url) as conn:
        found = [claim_item(conn, item["ingest_item_id"]) for item in sources.items()]
    assert len(found) == 2
    return [claim for claim in found if claim is not None]


@pytest.fixture
def worker(database_url: str) -> Iterator[Connection[Any]]:
    """Whoever makes the next attempt."""
    with connect(url_of(database_url, "lode_worker")) as conn:
        conn.execute("set statement_timeout = '10s'")
        yield conn


def storing(url: str, claim: Claim) -> Connection[Any]:
    """A session of a worker that stores an item, and holds a lock that others need."""
    conn = connect(url_of(url, "lode_worker"), application_name=storing_name(claim.ingest_item_id))
    conn.execute(LOCK, (claim.ingest_item_id,))
    return conn


def test_a_new_attempt_at_an_item_ends_the_session_of_the_one_before(
    worker: Connection[Any], database_url: str, claims: list[Claim]
) -> None:
    first, other = claims
    session, beside = storing(database_url, first), storing(database_url, other)
    claim = claim_item(worker, first.ingest_item_id)
    assert claim is not None
    assert (claim.attempt, claim.token != first.token) == (2, True)
    worker.commit()
    worker.execute(LOCK, (first.ingest_item_id,))
    with pytest.raises(OperationalError, match="terminating connection"):
        session.execute("select 1")
    session.close()
    # of the item beside, nobody made another attempt
    with beside:
        assert beside.execute("select 1").fetchone() == (1,)
