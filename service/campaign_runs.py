"""The runs of a campaign in the database: asked for when their turn comes, held while they are worked on.

A run is not asked for before somebody can work on it: what is asked for and never begun would count against
its quota, and would look forgotten.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg.rows import TupleRow

from db import campaigns, runs
from db.campaigns import RunState, Target
from db.connection import connect
from db.errors import UsageError
from inference.beat import Beat, no_beat, patiently

Result = TypeVar("Result")

_LEAVING_ATTEMPTS = 4


@dataclass(frozen=True)
class Begun:
    """A run that is to be worked on, and how far it is."""

    target: Target
    state: RunState


@dataclass(frozen=True)
class Report:
    """What became of a scene.

    Attributes:
        product: the scene.
        run_id: its run; None: there is none.
        outcome: published, published before, failed, cancelled, withdrawn or refused.
        reason: why it was not published.
        figures: of the publication, where this campaign did it.

    """

    product: str
    run_id: int | None
    outcome: str
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def is_published(self) -> bool:
        """Whether the scene's run is published now."""
        return self.outcome.startswith("published")


class RunBook:
    """Asks for runs, holds those that are worked on, and reads how far they are.

    Its connection is made anew when it is lost, and takes back what it held.

    Args:
        url: libpq URL of the database.
        model_id: the network.
        becomes_current: whether runs shall stand for their scenes even if others do.
        beat: is called while the database is away, and may end the waiting.

    Attributes:
        mark: by which actors see that they are at the same database.

    """

    def __init__(
        self, url: str, model_id: int, *, becomes_current: bool = False, beat: Beat = no_beat
    ) -> None:
        self.mark = secrets.randbelow(2**31)
        self._url = url
        self._model_id = model_id
        self._becomes_current = becomes_current
        self._beat = beat
        self._conn: psycopg.Connection[TupleRow] | None = None
        self._holds: dict[int, AbstractContextManager[None]] = {}

    def open(self) -> None:
        """Connect and mark the database.

        Raises:
            UsageError: it does not answer.

        """
        self._connected()

    def begin(self, target: Target) -> Begun | Report | None:
        """Ask for the run of a scene and hold it.

        Returns:
            The run; or what became of it already; or None: somebody else holds it, ask again later.

        Raises:
            RetryError: the database stayed away.

        """
        return self._patiently(lambda conn: self._begin(conn, target))

    def _begin(self, conn: psycopg.Connection[TupleRow], target: Target) -> Begun | Report | None:
        try:
            with conn.transaction():
                run = runs.request_interpretation(
                    conn, target.scene_id, self._model_id, becomes_current=self._becomes_current
                )
                if run.status == "published" and self._becomes_current:
                    runs.make_current(conn, run.run_id)
        except UsageError as error:
            return Report(target.product, None, "refused", str(error))
        if run.status == "published":
            return Report(target.product, run.run_id, "published before")
        if not self._hold(conn, run.run_id):
            return None
        return Begun(target, campaigns.run_state(conn, run.run_id))  # as whoever held it before left it

    def state(self, run_id: int) -> RunState | None:
        """How far a run is; None: it was deleted.

        Raises:
            RetryError: the database stayed away.

        """

        def read(conn: psycopg.Connection[TupleRow]) -> RunState | None:
            try:
                return campaigns.run_state(conn, run_id)
            except UsageError:
                return None

        return self._patiently(read)

    def give_up(self, run_id: int) -> None:
        """Let a run that is not done wait for somebody else.

        Raises:
            RetryError: the database stayed away.

        """
        self._patiently(lambda conn: campaigns.leave_runs(conn, [run_id]))

    def end(self, run_id: int) -> None:
        """Hold a run no longer."""
        hold = self._holds.pop(run_id, None)
        if hold is not None:
            with suppress(psycopg.OperationalError):  # gone with the connection
                hold.__exit__(None, None, None)

    def leave(self, run_ids: Sequence[int]) -> None:
        """Let runs wait that are not done, as far as the database answers, and hold nothing any more."""
        if run_ids:
            with suppress(UsageError):
                self._patiently(
                    lambda conn: campaigns.leave_runs(conn, run_ids), attempts=_LEAVING_ATTEMPTS, beat=no_beat
                )
        self.close()

    def close(self) -> None:
        """Close the connection; locks and mark go with it."""
        if self._conn is not None:
            self._conn.close()
        self._holds.clear()

    def _hold(self, conn: psycopg.Connection[TupleRow], run_id: int) -> bool:
        hold = runs.working_on(conn, run_id)
        try:
            hold.__enter__()
        except UsageError:
            return False
        self._holds[run_id] = hold
        return True

    def _patiently(
        self,
        action: Callable[[psycopg.Connection[TupleRow]], Result],
        *,
        attempts: int | None = None,
        beat: Beat | None = None,
    ) -> Result:
        more = {} if attempts is None else {"attempts": attempts}
        return patiently(lambda: action(self._connected()), beat or self._beat, **more)

    def _connected(self) -> psycopg.Connection[TupleRow]:
        """The connection; a new one marks the database and takes back the runs, unless others have them."""
        if self._conn is None or self._conn.closed:
            conn = connect(self._url, autocommit=True, application_name="lode campaign")
            try:
                campaigns.show_mark(conn, self.mark)
                for run_id in list(self._holds):
                    if not self._hold(conn, run_id):
                        del self._holds[run_id]
            except BaseException:
                conn.close()
                raise
            self._conn = conn
        return self._conn
