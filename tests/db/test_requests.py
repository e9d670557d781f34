"""Work asked for by SQL: requests, what they collapse to, quotas, cancelling, and the view of the queue."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo

from db import blocks, runs
from db.connection import connect
from db.errors import SupersededError, UsageError
from tests.catalogue_rows import add_mine, add_model, add_scene
from tests.grids import cells

GROUND = "xxxx\nxxxx"
JOBS = (
    "select task_name::text, args, status::text from lode_queue.procrastinate_jobs where status = 'todo'"
    " order by id"
)


@pytest.fixture
def catalogue(conn: Connection[Any]) -> Connection[Any]:
    """Two scenes of a year over a mine, one of another year, and a network."""
    add_model(conn, "net")
    for product, day in (("a", date(2022, 6, 1)), ("b", date(2022, 7, 1)), ("c", date(2023, 6, 1))):
        add_scene(conn, product, day, cells(GROUND, "x"))
    add_mine(conn, "M1", cells("x", "x"))
    conn.commit()
    return conn


def ask(conn: Connection[Any], statement: str, *arguments: object) -> Any:
    row = conn.execute(statement, arguments).fetchone()
    assert row is not None
    return row[0]


def request(conn: Connection[Any], scene: str) -> int:
    return int(ask(conn, "select lode_api.request_inference(%s, 'net')", scene))


def test_a_request_makes_one_run_and_one_job(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    assert request(catalogue, "a") == run_id
    assert catalogue.execute(JOBS).fetchall() == [("interpret_run", {"run_id": run_id, "scene": "a"}, "todo")]
    row = catalogue.execute(
        "select status, product, model, requested_by = session_user, blocks, blocks_staged"
        " from lode_api.queue"
    ).fetchall()
    assert row == [("waiting", "a", "net", True, 1, 0)]


def test_two_logins_that_ask_at_once_get_one_run(catalogue: Connection[Any], database_url: str) -> None:
    with connect(database_url) as other:
        first = request(catalogue, "a")
        other.execute("set lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):  # waits for the first to be committed
            request(other, "a")
        other.rollback()
        catalogue.commit()
        assert request(other, "a") == first
        other.commit()
    assert len(catalogue.execute(JOBS).fetchall()) == 1


def test_a_mine_asks_for_every_scene_of_its_year(catalogue: Connection[Any]) -> None:
    found = catalogue.execute("select lode_api.request_mine('M1', 2022)").fetchall()
    assert len(found) == 2
    products = catalogue.execute("select product from lode_api.queue order by product").fetchall()
    assert products == [("a",), ("b",)]
    assert runs.request_mine(catalogue, "M1", 2022, "net") == [run_id for (run_id,) in found]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("request_inference('nowhere', 'net')", "there is no scene 'nowhere'"),
        ("request_inference('a', 'nothing')", "there is no model 'nothing'"),
        ("request_inference(null, 'net')", "there is no scene null"),
        ("request_mine('M9', 2022)", "there is no mine 'M9'"),
        ("request_mine('M1', 1999)", "no scene of 1999 touches mine M1"),
        ("request_mine('M1', 2022, 'nothing')", "there is no model 'nothing'"),
        ("cancel_run(77)", "there is no run 77"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_hint(
    catalogue: Connection[Any], call: str, said: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        catalogue.execute(f"select lode_api.{call}")
    assert caught.value.diag.message_primary == said
    assert caught.value.diag.message_hint
    catalogue.rollback()
    assert ask(catalogue, "select count(*) from lode.run") == 0


def test_a_retired_network_is_refused(catalogue: Connection[Any]) -> None:
    catalogue.execute("update lode.model set retired_at = now(), retired_reason = 'worn out'")
    catalogue.commit()
    with pytest.raises(UsageError, match=r"net was retired: worn out; Name another"):
        runs.request_scene(catalogue, "a", "net")
    catalogue.rollback()
    with pytest.raises(UsageError, match="no network in service fits scene a"):
        runs.request_mine(catalogue, "M1", 2022)


def test_the_suitable_network_is_the_one_that_stands_for_its_instrument(catalogue: Connection[Any]) -> None:
    newer = add_model(catalogue, "newer")
    suits = "select lode_api.suitable_model(scene_id) from lode.scene where product = 'c'"
    assert ask(catalogue, suits) == newer
    catalogue.execute(
        "update lode.model set training = '{\"processing_level\": \"radiance\"}' where name = 'newer'"
    )
    older = ask(catalogue, "select model_id from lode.model where name = 'net'")
    assert ask(catalogue, suits) == older
    catalogue.execute("update lode.model set training = '{}', resolution_m = 126 where name = 'newer'")
    assert ask(catalogue, suits) == older


def test_quotas_hold_for_logins_and_for_members(catalogue: Connection[Any], database_url: str) -> None:
    catalogue.execute("create role quota_asker login; create role quota_group")
    catalogue.execute("grant usage on schema lode_api to quota_asker")
    catalogue.execute("grant execute on all functions in schema lode_api to quota_asker")
    catalogue.execute("update lode.quota set pending_runs = 1 where role_name = ''")
    catalogue.commit()
    try:
        with psycopg.connect(make_conninfo(database_url, user="quota_asker")) as asker:
            first = request(asker, "a")
            assert request(asker, "a") == first  # what was asked for costs nothing
            asker.commit()
            with pytest.raises(errors.ConfigurationLimitExceeded, match="may have 1 runs waiting or running"):
                request(asker, "b")
            asker.rollback()
            catalogue.execute("insert into lode.quota values ('quota_group', 5, 0.5)")
            catalogue.execute("grant quota_group to quota_asker")
            catalogue.commit()
            with pytest.raises(errors.ConfigurationLimitExceeded, match=r"0.5 km2 in 24 hours: 1.0 km2 were"):
                request(asker, "b")  # a scene of 10 x 10 pixels of 100 m
            asker.rollback()
            catalogue.execute("update lode.quota set area_km2_per_day = 2 where role_name = 'quota_group'")
            catalogue.commit()
            request(asker, "b")
            asker.commit()
            asked = ask(catalogue, "select distinct requested_by from lode.run")
            assert asked == "quota_asker"
    finally:
        catalogue.rollback()
        catalogue.execute("drop owned by quota_asker; drop role quota_asker; drop role quota_group")
        catalogue.commit()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_quota_holds_for_sessions_that_began_before_each_other(
    catalogue: Connection[Any], database_url: str, level: str
) -> None:
    """What one asks for is not in the other's snapshot: only READ COMMITTED sees it after the wait."""
    catalogue.execute("update lode.quota set pending_runs = 1")
    catalogue.commit()
    with connect(database_url) as first, connect(database_url) as second:
        for session in (first, second):
            session.execute(f"set transaction isolation level {level}".encode())
            session.execute("select from lode.run")
        for session, scene in ((first, "a"), (second, "b")):
            with pytest.raises(errors.RaiseException) as caught:
                request(session, scene)
            assert caught.value.diag.message_primary == (
                f"a quota cannot be checked in a transaction that is {level}"
            )
            assert caught.value.diag.message_hint == "begin it with: begin isolation level read committed"
            session.rollback()
        request(first, "a")
        first.commit()
        with pytest.raises(errors.ConfigurationLimitExceeded):
            request(second, "b")
    catalogue.execute("update lode.quota set pending_runs = null, area_km2_per_day = null")
    catalogue.commit()
    catalogue.execute(f"set transaction isolation level {level}".encode())
    request(catalogue, "b")  # nothing is counted for who has no limit
    catalogue.commit()


def test_a_cancelled_run_publishes_nothing_and_may_be_asked_for_again(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    claim = runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    runs.cancel_run(catalogue, run_id, "wrong scene")
    with pytest.raises(SupersededError, match="the run is cancelled; nothing was stored"):
        runs.hold_for_publication(catalogue, claim)
    row = catalogue.execute(
        "select status, error like 'cancelled by %: wrong scene' from lode_api.run_history"
    ).fetchone()
    assert row == ("cancelled", True)
    assert catalogue.execute(JOBS).fetchall() == []
    with pytest.raises(SupersededError, match="is cancelled"):
        runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    assert request(catalogue, "a") == run_id
    assert runs.run_by_id(catalogue, run_id).attempt == 0
    assert len(catalogue.execute(JOBS).fetchall()) == 1


def test_only_who_asked_may_cancel(catalogue: Connection[Any], database_url: str) -> None:
    run_id = request(catalogue, "a")
    catalogue.execute("create role passer_by login")
    catalogue.execute("grant usage on schema lode_api to passer_by")
    catalogue.execute("grant execute on function lode_api.cancel_run to passer_by")
    catalogue.commit()
    try:
        with (
            psycopg.connect(make_conninfo(database_url, user="passer_by")) as stranger,
            pytest.raises(errors.InsufficientPrivilege, match=f"run {run_id} was asked for by"),
        ):
            stranger.execute("select lode_api.cancel_run(%s)", (run_id,))
    finally:
        catalogue.execute("drop owned by passer_by; drop role passer_by")
        catalogue.commit()


def test_who_listens_is_told_how_a_run_ended(catalogue: Connection[Any], database_url: str) -> None:
    run_id = request(catalogue, "a")
    catalogue.commit()
    with connect(database_url, autocommit=True) as listener:
        listener.execute("listen lode_run")
        runs.cancel_run(catalogue, run_id)
        catalogue.commit()
        told = [json.loads(each.payload) for each in listener.notifies(timeout=5, stop_after=1)]
    assert told == [{"run_id": run_id, "status": "cancelled", "scene": "a"}]


def test_a_large_scene_is_split_and_its_last_block_enqueues_the_publication(
    catalogue: Connection[Any],
) -> None:
    # Windows of 64 px with an overlap of 16: a stride of 48 rows of 1000 px is the least block.
    catalogue.execute("update lode.scene set width_px = 1000, height_px = 500 where product = 'a'")
    catalogue.execute("select set_config('lode.block_px', '48000', false)")
    run_id = request(catalogue, "a")
    cut = blocks.blocks_of(catalogue, run_id)
    assert [(each.first_row_px, each.row_count_px) for each in cut[:2]] == [(0, 48), (48, 48)]
    assert [each.block for each in cut] == list(range(10))
    assert cut[-1].first_row_px + cut[-1].row_count_px == 500
    assert [(task, args["block"]) for task, args, _ in catalogue.execute(JOBS)] == [
        ("interpret_block", number) for number in range(10)
    ]
    for each in cut:
        claim = blocks.claim_block(catalogue, run_id, each.block, worker="w", most_attempts=3)
        blocks.stage_rows(catalogue, claim, each.first_row_px, b"\0" * 9, b"\1" * 9)
        assert blocks.finish_block(catalogue, claim) == (each.block == 9)
    last = catalogue.execute(JOBS).fetchall()[-1]
    assert last == ("interpret_run", {"run_id": run_id, "scene": "a"}, "todo")
    assert runs.run_by_id(catalogue, run_id).status == "running"
    staged = list(blocks.staged_rows(catalogue, run_id, 3))
    assert [(part.row_px, bytes(part.probability)) for part in staged] == [(144, b"\1" * 9)]


def test_a_block_that_was_given_to_another_stages_nothing(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    stale = blocks.claim_block(catalogue, run_id, 0, worker="first", most_attempts=3)
    fresh = blocks.claim_block(catalogue, run_id, 0, worker="second", most_attempts=3)
    catalogue.commit()
    blocks.stage_rows(catalogue, stale, 0, b"\0", b"\0")
    with pytest.raises(SupersededError, match="given to another worker; nothing was stored"):
        blocks.finish_block(catalogue, stale)
    catalogue.rollback()
    assert ask(catalogue, "select count(*) from lode.run_stage") == 0
    blocks.release_block(catalogue, stale)  # says nothing: it is not its own any more
    assert blocks.blocks_of(catalogue, run_id)[0].status == "running"
    assert blocks.finish_block(catalogue, fresh)


def test_three_attempts_of_a_block_fail_the_run(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    for _ in range(3):
        blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
    with pytest.raises(SupersededError, match="block 0 was started 3 times, and no worker came to its end"):
        blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
    run = runs.run_by_id(catalogue, run_id)
    assert run.status == "failed"
    assert run.error == "block 0 was started 3 times, and no worker came to its end"


def test_three_attempts_of_a_run_fail_it_with_the_last_reason(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    for _ in range(2):
        runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    claim = runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    runs.fail_run(catalogue, claim, "the disk was full", is_final=False)
    with pytest.raises(SupersededError, match="started 3 times and failed"):
        runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    run = runs.run_by_id(catalogue, run_id)
    assert (run.status, run.error) == (
        "failed",
        "it was started 3 times, and no worker came to its end; the last reason given: the disk was full",
    )


def test_a_released_attempt_is_given_back(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    for _ in range(5):
        claim = runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
        runs.release_run(catalogue, claim)
    assert runs.run_by_id(catalogue, run_id).attempt == 0
    for _ in range(5):
        block = blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
        blocks.release_block(catalogue, block)
    assert runs.run_by_id(catalogue, run_id).status == "running"


def test_an_answer_lost_at_the_commit_is_no_second_publication(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    claim = runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    assert runs.hold_for_publication(catalogue, claim)
    catalogue.execute("update lode.run set status = 'published' where run_id = %s", (run_id,))
    assert not runs.hold_for_publication(catalogue, claim)
