"""An upgrade between the parts of an interpretation: no run is made by two versions of Lode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from db.connection import connect
from db.embedded import Cluster
from db.errors import OutdatedError, UsageError
from inference.beat import Beat
from inference.blocks import compute_block
from inference.interpret import interpret, perform_run
from inference.model_cache import ModelCache
from service import protocol
from service.outcomes import carry_out
from tests.db.interpreted_blocks import (
    Rows,
    assert_nothing_is_left,
    copy_in_blocks,
    published,
    published_at_once,
    requested,
)
from tests.support import rows

MOST = 3

UPGRADES = (
    ("update lode.alembic_version set version_num = '9999'", "at 9999, which this Lode"),
    ("update lode.api_object set sha256 = 'x' where name = 'ask_run'", "made by another version of Lode"),
)
"""What an upgrade leaves that this process does not know, and what it says then."""


@pytest.fixture
def url(cluster: Cluster, network_database: str) -> Iterator[str]:
    with copy_in_blocks(cluster, network_database) as url:
        yield url


@pytest.fixture(scope="module")
def at_once(cluster: Cluster, network_database: str) -> list[Rows]:
    return published_at_once(cluster, network_database)


def run_state(url: str) -> Rows:
    return rows(url, "select status, attempt, error from lode.run")


def block_states(url: str) -> Rows:
    return rows(url, "select status, attempt from lode.run_block order by block")


def write(url: str, statement: str) -> None:
    with connect(url) as conn:
        conn.execute(statement)


def upgrading(url: str, stage: str, statement: str) -> Beat:
    """A beat at which the database is upgraded when a stage begins."""

    def beat(now: str, done: int, _total: int) -> None:
        if now == stage and not done:
            write(url, statement)

    return beat


def test_blocks_of_another_version_are_computed_anew(
    url: str, at_once: list[Rows], models: ModelCache
) -> None:
    """As after an upgrade that came when two of three blocks were staged."""
    run_id = requested(url)
    for number in (0, 1):
        compute_block(url, run_id, number, models, most_attempts=MOST)
    write(url, "update lode.run_block set lode_version = '0.0.1' where block = 1")
    pit = "decode(repeat('06', length(class_map)), 'hex')"
    write(url, f"update lode.run_stage set class_map = {pit} where block = 1")  # its own answer
    perform_run(url, run_id, models)
    assert published(url) == at_once
    assert_nothing_is_left(url)


@pytest.mark.parametrize(("statement", "said"), UPGRADES)
def test_what_was_computed_before_an_upgrade_is_not_published_after_it(
    url: str, models: ModelCache, statement: str, said: str
) -> None:
    """The attempt costs nothing and the run waits: a worker of the new version may do it."""
    run_id = requested(url)

    def work() -> dict[str, int]:
        perform_run(url, run_id, models, most_attempts=1, beat=upgrading(url, "outlining", statement))
        return {}

    outcome = carry_out(work)
    assert outcome.end == protocol.TRANSIENT
    assert said in outcome.reason
    assert run_state(url) == [("requested", 0, None)]
    assert published(url)[:3] == [[], [], []]
    assert_nothing_is_left(url)


@pytest.mark.parametrize("stage", ["starting", "classifying", "staging"])
def test_a_block_that_was_computed_before_an_upgrade_is_not_staged_after_it(
    url: str, models: ModelCache, stage: str
) -> None:
    run_id = requested(url)
    statement, said = UPGRADES[0]
    if stage == "starting":
        write(url, statement)
    with pytest.raises(OutdatedError, match=said):
        compute_block(url, run_id, 0, models, most_attempts=1, beat=upgrading(url, stage, statement))
    assert block_states(url) == [("waiting", 0)] * 3
    assert_nothing_is_left(url)


def calls(url: str, models: ModelCache) -> dict[str, Callable[[], object]]:
    """How work begins."""
    return {
        "by hand": lambda: interpret(url, "a", "x", device_name="cpu"),
        "by a worker": lambda: perform_run(url, 1, models, most_attempts=MOST),
    }


@pytest.mark.parametrize("how", ["by hand", "by a worker"])
def test_an_older_lode_begins_nothing_in_a_newer_database(url: str, models: ModelCache, how: str) -> None:
    if how == "by a worker":
        requested(url)
    before = run_state(url)
    write(url, UPGRADES[0][0])
    with pytest.raises(UsageError, match="it was upgraded by a newer one; install that version"):
        calls(url, models)[how]()
    assert run_state(url) == before
