"""Who does what next in a campaign."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from db import blocks, campaigns, runs
from db.checks import run_checks
from db.connection import connect
from db.errors import RetryError, UsageError
from inference.interpret import interpret
from service import campaign as campaign_module
from service import protocol
from service.campaign_actor import Ended, Task
from tests.campaign_scenes import (
    PRODUCTS,
    assert_nothing_is_left,
    attempts,
    no_advisory_lock_is_left,
    published,
)
from tests.db.campaign.trials import HandCrew, Trial
from tests.db.queue_rows import add_job, add_worker
from tests.support import lode_here, rows


def test_a_campaign_publishes_what_lode_infer_publishes(url: str, undisturbed: list[Any]) -> None:
    trial = Trial(url)
    assert trial.run() == dict.fromkeys(PRODUCTS, "published")
    assert published(url) == undisturbed
    assert set(attempts(url).values()) == {1, 0}
    assert trial.told[0].figures["polygons"] > 10

    # A publication goes before the blocks of other runs, and a run before the next one.
    done = trial.crew.done
    assert [task.run_id for task in done if task.block is not None] == sorted([1, 2] * 3)
    for run_id in (1, 2):
        last = max(done.index(Task(run_id, block)) for block in range(3))
        assert done.index(Task(run_id)) <= last + 2  # the other actor had begun something
    assert done.index(Task(1)) < done.index(Task(2, 2))

    shares = [shown.share for shown in trial.shown]
    assert shares == sorted(shares)
    assert 2 < shares[-1] <= 3 == trial.shown[-1].scenes
    trial.book.close()
    assert_nothing_is_left(url)


def test_what_is_published_is_not_computed_again(url: str) -> None:
    interpret(url, "a", "x", device_name="cpu")
    before = published(url)
    trial = Trial(url)
    assert trial.run() == {**dict.fromkeys(PRODUCTS, "published"), "a": "published before"}
    assert {task.run_id for task in trial.crew.done} == {2, 3}
    assert set(before[0]) < set(published(url)[0])
    again = Trial(url)
    assert not again.campaign.has_work()
    assert {report.outcome for report in again.campaign.reports} == {"published before"}
    again.book.close()
    trial.book.close()


def test_a_block_that_always_kills_its_actor_fails_its_run_and_no_other(
    url: str, undisturbed: list[Any]
) -> None:
    """The actor dies after its claim: what it began is begun anew, three times."""

    def dies(task: Task) -> Ended | None:
        if task.run_id != 2 or task.block != 1:
            return None
        with connect(url) as conn:
            try:
                blocks.claim_block(conn, 2, 1, worker="dying", most_attempts=3)
            except UsageError as error:
                return Ended(task, protocol.SUPERSEDED, str(error))
        return Ended(task, protocol.BROKEN, "process 7 was lost: killed")

    trial = Trial(url, before=dies)
    assert trial.run() == {"a": "published", "b": "failed", "small": "published"}
    [failed] = [report for report in trial.told if report.product == "b"]
    assert failed.reason.startswith("block 1 was started 3 times, and no worker came to its end")
    assert rows(url, "select status, error from lode.run where run_id = 2") == [("failed", failed.reason)]
    trial.book.close()
    no_advisory_lock_is_left(url)

    # Asked for again, it begins anew, and with nothing in its way is published.
    again = Trial(url)
    assert again.run()["b"] == "published"
    assert published(url) == undisturbed
    again.book.close()
    assert_nothing_is_left(url)


def test_what_never_begins_is_given_up_and_left_to_others(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted in the database when an actor cannot even claim."""
    monkeypatch.setattr(campaign_module, "_LONGEST_PAUSE_S", 0.01)
    trial = Trial(
        url, before=lambda task: Ended(task, protocol.BROKEN, "no login here") if task.run_id == 1 else None
    )
    assert trial.run() == {"a": "failed", "b": "published", "small": "published"}
    [failed] = [report for report in trial.told if report.product == "a"]
    assert "was given up after 8 tries" in failed.reason
    assert failed.reason.endswith("no login here")
    assert rows(url, "select status, attempt from lode.run where run_id = 1") == [("requested", 0)]
    trial.book.close()


def test_what_is_cancelled_meanwhile_is_left(url: str) -> None:
    def cancels(task: Task) -> Ended | None:
        if task == Task(2, 1):
            with connect(url) as conn:
                runs.cancel_run(conn, 2, "wrong scene")
        return None

    trial = Trial(url, before=cancels)
    assert trial.run() == {"a": "published", "b": "cancelled", "small": "published"}
    [cancelled] = [report for report in trial.told if report.product == "b"]
    assert "wrong scene" in cancelled.reason
    assert Task(2, 2) not in trial.crew.done or trial.crew.done.index(Task(2, 2)) <= (
        trial.crew.done.index(Task(2, 1)) + 1
    )
    trial.book.close()
    assert_nothing_is_left(url)


def test_what_others_hold_is_waited_for(url: str, undisturbed: list[Any]) -> None:
    other = connect(url, autocommit=True)
    run_id = runs.request_interpretation(other, 1, 1).run_id
    other.execute("select pg_advisory_lock(%s, %s)", (runs.RUN_LOCK, run_id))

    def lets_go(task: Task) -> Ended | None:
        assert task.run_id != run_id or other.closed
        if len(trial.crew.done) == 4:
            other.close()
        return None

    trial = Trial(url, before=lets_go)
    assert trial.run() == dict.fromkeys(PRODUCTS, "published")
    assert max(shown.elsewhere for shown in trial.shown) == 1
    assert published(url) == undisturbed
    trial.book.close()


@pytest.mark.parametrize("keys", [{"run_id": 1, "block": 1}, {"run_id": 1}])
def test_what_a_worker_of_the_queue_has_at_hand_is_left_to_it(
    url: str, undisturbed: list[Any], keys: dict[str, int]
) -> None:
    with connect(url) as conn:
        runs.request_interpretation(conn, 1, 1)
        worker = add_worker(conn)
        job = add_job(conn, "doing", worker=worker, **keys)

    def dies(task: Task) -> Ended | None:
        is_its = task.run_id == 1 and task.block in (keys.get("block", task.block), None)
        if len(trial.crew.done) == 5:
            with connect(url) as conn:
                conn.execute(
                    "update lode_queue.procrastinate_workers set last_heartbeat = now() - interval '9 min'"
                )
        assert len(trial.crew.done) >= 5 or not is_its, task
        return None

    trial = Trial(url, before=dies)
    assert trial.run() == dict.fromkeys(PRODUCTS, "published")
    assert published(url) == undisturbed
    assert rows(url, "select status::text from lode_queue.procrastinate_jobs where id = %s", job) == [
        ("doing",)
    ]
    trial.book.close()


def test_a_campaign_that_is_stopped_gives_back_and_goes_on_where_it_ended(
    url: str, undisturbed: list[Any]
) -> None:
    def stops(task: Task) -> Ended | None:
        if task == Task(2, 1):
            trial.stop.set()
        return None

    trial = Trial(url, before=stops)
    outcomes = trial.run()
    assert outcomes == {"a": "published"}
    assert rows(url, "select status from lode.run where run_id = 2") == [("requested",)]
    staged = dict(
        rows(url, "select block, attempt from lode.run_block where run_id = 2 and status = 'staged'")
    )
    assert staged == {0: 1, 1: 1}  # the second was under way, and was given back or finished
    no_advisory_lock_is_left(url)
    with connect(url) as conn:
        faults = [fault for result in run_checks(conn) for fault in result.faults]
    assert not [fault for fault in faults if "run " in fault]
    assert {product for product, *_rest in published(url)[0]} == {"a"}

    again = Trial(url)
    assert again.run() == {**dict.fromkeys(PRODUCTS, "published"), "a": "published before"}
    assert not {Task(2, 0), Task(2, 1)} & set(again.crew.done)
    assert published(url) == undisturbed
    again.book.close()
    assert_nothing_is_left(url)


def test_a_lost_connection_takes_back_what_it_held(url: str, undisturbed: list[Any]) -> None:
    """The server was restarted: runs under way are held again, so that their publication is not enqueued."""

    def cut(task: Task) -> Ended | None:
        if task == Task(1, 1):
            with connect(url, autocommit=True) as conn:
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'lode campaign' and datname = current_database()"
                )
        if task == Task(1, 2):
            with connect(url) as conn:
                held = {row[0] for row in conn.execute(
                    "select objid::integer from pg_locks where locktype = 'advisory' and classid = %s",
                    (runs.RUN_LOCK,))}  # fmt: skip
                assert 1 in held
                assert campaigns.sees_mark(conn, trial.book.mark)
        return None

    trial = Trial(url, before=cut)
    assert trial.run() == dict.fromkeys(PRODUCTS, "published")
    assert rows(url, "select count(*) from lode_queue.procrastinate_jobs") == [(0,)]
    assert published(url) == undisturbed
    trial.book.close()


def test_make_current_reaches_runs_published_before(url: str) -> None:
    """Another run stands for the scene: that of other settings."""
    interpret(url, "a", "x", device_name="cpu")
    interpret(url, "a", "x", device_name="cpu", overlap_px=12, become_current=True)
    current = "select run_id from lode.run where is_current and scene_id = 1"
    assert rows(url, current) == [(2,)]
    left = Trial(url)
    assert left.campaign.has_work()
    assert rows(url, current) == [(2,)]
    left.book.close()
    trial = Trial(url, becomes_current=True)
    assert trial.campaign.has_work()
    assert rows(url, current) == [(1,)]
    trial.book.close()


def test_a_campaign_that_ends_early_prints_what_came_to_an_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database stays away: what was published before is in the table."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lode[cluster]'")

    def goes_away(task: Task) -> Ended | None:
        if task.run_id == 1:
            return None
        raise RetryError("no database server answers")

    class Crew(HandCrew):
        device = "CPU"

        def __init__(self, url: str, mark: int, *_others: object) -> None:
            super().__init__(url, mark, 1, goes_away)

        def __len__(self) -> int:
            return 1

    monkeypatch.setattr("service.campaign_ray.RayCrew", Crew)
    monkeypatch.setattr("service.campaign_cluster.cluster", lambda *_options: nullcontext())
    done = lode_here(url, "campaign", "--model", "x", "--all")
    assert done.returncode == 1
    assert "1 of 1 scenes are published" in done.stdout
    assert done.stderr.endswith("lode: error: no database server answers\n")


def test_a_run_that_was_withdrawn_is_refused_and_the_rest_goes_on(url: str) -> None:
    interpret(url, "b", "x", device_name="cpu")
    with connect(url) as conn:
        runs.withdraw_run(conn, 1, "clouds")
    trial = Trial(url)
    assert trial.run() == {"a": "published", "b": "refused", "small": "published"}
    [refused] = [report for report in trial.told if report.product == "b"]
    assert "was withdrawn" in refused.reason
    trial.book.close()
