"""What runs inside an actor of a campaign: one process that computes blocks and publishes runs.

Nothing here knows Ray. The actor keeps its networks between tasks and opens its own connections; what it
calls is what a worker of the queue calls.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from db.campaigns import sees_mark
from db.connection import connect, database_url
from db.errors import InterruptionError, RetryError, UsageError
from db.points import reached
from db.settings import Settings
from inference.device import choose_device, describe_device
from inference.model_cache import ModelCache
from inference.tasks import InferenceTasks
from service import logs, protocol
from service.outcomes import carry_out

URL_VARIABLE = "LODE_DATABASE_URL"


@dataclass(frozen=True)
class Task:
    """A block to compute and stage, or with ``block`` None a run to publish."""

    run_id: int
    block: int | None = None

    def __str__(self) -> str:
        return f"run {self.run_id}" if self.block is None else f"block {self.block} of run {self.run_id}"


@dataclass(frozen=True)
class Ended:
    """How a task ended: a word of ``service.protocol``, the reason if it failed, its figures.

    ``is_spoilt``: the actor may fail at every task that follows, and must be begun anew.
    """

    task: Task
    end: str
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    is_spoilt: bool = False


@dataclass(frozen=True)
class Standing:
    """How far an actor is.

    Attributes:
        number: of the task it works on; None: none.
        stage, done, total: as its computation told.
        still_s: seconds since it told anything.

    """

    number: int | None
    stage: str
    done: int
    total: int
    still_s: float


@dataclass(frozen=True)
class Hello:
    """What an actor says of itself when it starts.

    Attributes:
        host, process_id, device: where it is, and what it computes on.
        refusal: why it cannot work here; empty: it can.
        is_passing: the reason may be gone in a moment.

    """

    host: str
    process_id: int
    device: str = ""
    refusal: str = ""
    is_passing: bool = False


class Secret:
    """A string that does not show itself, whoever prints what holds it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


class Interpreter:
    """An actor: computes one task at a time, and meanwhile tells how far it is and hears that it is to stop.

    Args:
        device: cpu, cuda or cuda:<number>.

    """

    def __init__(self, device: str) -> None:
        self._device_name = device
        self._url = ""
        self._tasks: InferenceTasks | None = None
        self._number: int | None = None
        self._beaten = ("", 0, 0)
        self._beaten_at = time.monotonic()
        self._stops: dict[int, bool] = {}

    def hello(self, given: Secret, mark: int, lode_version: str) -> Hello:
        """Say who this is, and whether it can work for a campaign.

        Args:
            given: libpq URL of the database; ``LODE_DATABASE_URL`` of this machine goes before it.
            mark: of the campaign's database.
            lode_version: what the campaign runs on.

        """
        host, process_id = socket.gethostname(), os.getpid()
        # Here the redaction of logs looks for what it must not show; nobody else sees it.
        os.environ.setdefault(URL_VARIABLE, given.reveal())
        try:
            logs.configure()
            device = self._prepare(mark, lode_version)
        except UsageError as error:
            return Hello(host, process_id, refusal=str(error), is_passing=isinstance(error, RetryError))
        return Hello(host, process_id, device)

    def _prepare(self, mark: int, lode_version: str) -> str:
        here = version("lode")
        if here != lode_version:
            raise UsageError(f"Lode {here} is installed here, the campaign runs on {lode_version}")
        self._url = database_url(Settings())
        device = choose_device(self._device_name)
        with connect(self._url, application_name="lode campaign (actor)") as conn:
            if not sees_mark(conn, mark):
                raise RetryError(
                    f"{URL_VARIABLE} leads to another database here than where the campaign was started"
                )
        self._tasks = InferenceTasks(ModelCache(device))
        return describe_device(device)

    def perform(self, number: int, task: Task) -> Ended:
        """Do a task; how it ended is returned, whatever happens.

        Args:
            number: of this task, by which it is stopped.
            task: what to do.

        """
        self._number = number
        self._beaten, self._beaten_at = ("starting", 0, 0), time.monotonic()
        try:
            with logs.bound(run_id=task.run_id, block=task.block):
                return self._perform(task)
        finally:
            self._number = None
            self._stops.pop(number, None)

    def _perform(self, task: Task) -> Ended:
        if self._tasks is None:
            raise RuntimeError("an actor is asked to work before it said hello")
        interpreter = self._tasks

        def work() -> Mapping[str, Any]:
            if task.block is None:
                return interpreter.interpret_run(self._url, {"run_id": task.run_id}, self._beat)
            args = {"run_id": task.run_id, "block": task.block}
            return interpreter.interpret_block(self._url, args, self._beat)

        outcome = carry_out(work)
        if outcome.end == protocol.DONE:
            reached("campaign.before_report")
        return Ended(task, outcome.end, outcome.reason, outcome.result, outcome.is_spoilt)

    def _beat(self, stage: str, done: int, total: int) -> None:
        self._beaten, self._beaten_at = (stage, done, total), time.monotonic()
        is_cancelled = None if self._number is None else self._stops.get(self._number)
        if is_cancelled is not None:
            raise InterruptionError(is_cancelled=is_cancelled)

    def standing(self) -> Standing:
        """How far this actor is."""
        return Standing(self._number, *self._beaten, still_s=time.monotonic() - self._beaten_at)

    def stop(self, number: int, is_cancelled: bool) -> None:
        """Have a task stop between two windows.

        Args:
            number: of the task; nothing when it has ended.
            is_cancelled: nobody wants it any more; otherwise it is given back.

        """
        self._stops[number] = is_cancelled
