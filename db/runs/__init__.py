"""Runs: one interpretation of one scene by one network, and the right to publish it.

A run is asked for once per scene, model and parameters. Each attempt gets a token of its own; only the
holder of the newest token may publish, so that a worker that was given up for dead cannot overwrite
what its successor did.
"""

from db.runs.attempts import (
    RUN_LOCK,
    Claim,
    claim_run,
    end_publishing,
    fail_run,
    hold,
    hold_for_publication,
    is_heard,
    mark_published,
    publishing_name,
    release_run,
    used_up,
    working_on,
)
from db.runs.choices import (
    make_current,
    reinstate_run,
    set_priority,
    stand_for_scene,
    withdraw_run,
)
from db.runs.requests import (
    cancel_run,
    request_inference,
    request_interpretation,
    request_mine,
    request_scene,
)
from db.runs.rows import (
    Run,
    RunPlan,
    has_current_run,
    run_by_id,
    run_plan,
    worker_of,
)

__all__ = [
    "RUN_LOCK",
    "Claim",
    "Run",
    "RunPlan",
    "cancel_run",
    "claim_run",
    "end_publishing",
    "fail_run",
    "has_current_run",
    "hold",
    "hold_for_publication",
    "is_heard",
    "make_current",
    "mark_published",
    "publishing_name",
    "reinstate_run",
    "release_run",
    "request_inference",
    "request_interpretation",
    "request_mine",
    "request_scene",
    "run_by_id",
    "run_plan",
    "set_priority",
    "stand_for_scene",
    "used_up",
    "withdraw_run",
    "worker_of",
    "working_on",
]
