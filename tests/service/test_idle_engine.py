"""An engine without a job says nothing: nobody reads then, and what it said for days would fill the pipe."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from service import protocol
from tests.service.workers import held
from tests.support import REPOSITORY

PROGRAM = "from service import engine\nengine.PULSE_S = 0.001\nengine.main()"
"""An engine that gives ten thousand times as many signs of life."""

SILENCE_S = 0.5


class Channel:
    """The worker's end of the pair of sockets."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours
        self._lines = ours.makefile("rb", buffering=0)

    def send(self, message: dict[str, Any]) -> None:
        self._ours.sendall(protocol.encode(message))

    def next(self) -> dict[str, Any]:
        return protocol.decode(self._lines.readline())

    def until(self, key: str) -> list[dict[str, Any]]:
        """What is said up to a message of this kind."""
        said = [self.next()]
        while key not in said[-1]:
            said.append(self.next())
        return said

    def is_silent(self) -> bool:
        """Whether nothing is said, after one sign of life at most that was on its way."""
        if self._is_said():
            assert self.next() == {"pulse": True}
        return not self._is_said()

    def _is_said(self) -> bool:
        return bool(select.select([self._ours], [], [], SILENCE_S)[0])


def test_an_idle_engine_is_silent_and_lives(database_url: str, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    point = "job.before_done"
    with theirs:
        engine = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=REPOSITORY,
            pass_fds=(theirs.fileno(),),
            env={
                **os.environ,
                "LODE_DATABASE_URL": database_url,
                "LODE_ENGINE_PARENT": str(os.getpid()),
                "LODE_HOLD_AT": point,
                "LODE_HOLD_FOLDER": str(tmp_path),
                protocol.SOCKET_VARIABLE: str(theirs.fileno()),
            },
        )
    with ours, engine:
        try:
            channel = Channel(ours)
            assert "versions" in channel.until("hello")[-1]["hello"]
            assert channel.is_silent()
            channel.send({"do": "no_such_task", "args": {}})
            pid = held(tmp_path, point)
            for _ in range(20):
                channel.until("pulse")  # while it works it is heard of
            (tmp_path / f"{point}.{pid}").unlink()
            assert channel.until("end")[-1]["end"] == protocol.REFUSED
            assert channel.is_silent()
            channel.send({"do": "no_such_task", "args": {}})
            assert channel.until("end")[-1]["end"] == protocol.REFUSED
        finally:
            engine.kill()
