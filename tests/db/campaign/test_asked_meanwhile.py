"""A campaign whose scenes are asked for by SQL while it computes them."""

from __future__ import annotations

import pytest

from db.connection import connect
from db.queue.workers import reap_jobs
from service.campaign_actor import Ended, Task
from tests.campaign_scenes import PRODUCTS
from tests.db.campaign.trials import Trial
from tests.support import rows

JOBS = "select args ->> 'scene', status::text from lode_queue.procrastinate_jobs"


def reap(url: str) -> int | None:
    """Reap when what was asked for has waited for minutes."""
    with connect(url) as conn:
        conn.execute("update lode.run set queued_at = queued_at - interval '5 minutes'")
        conn.execute("update lode.sweep set swept_at = '-infinity'")
        return reap_jobs(conn, 0.5)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_what_the_campaign_leaves_undone_goes_into_the_queue(url: str, is_stopped: bool) -> None:
    def asks(task: Task) -> Ended | None:
        if task == Task(2, 1):
            with connect(url) as conn:
                conn.execute("select lode_api.request_inference('b', 'x')")
            if is_stopped:
                trial.stop.set()
        return None

    trial = Trial(url, before=asks)
    assert trial.run() == dict.fromkeys(PRODUCTS[:1] if is_stopped else PRODUCTS, "published")
    trial.book.close()
    assert rows(url, JOBS) == []
    assert [reap(url), reap(url)] == [1 if is_stopped else 0, 0]
    assert rows(url, JOBS) == ([("b", "todo")] if is_stopped else [])
