"""The worker's side of its engine: starts it, gives it jobs, stops them, notices when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from service import protocol
from service.outcomes import Outcome

OnBeat = Callable[[str, int, int], Awaitable[None]]
OnMemory = Callable[[int, int], None]

SILENCE_S = 120.0
"""An engine that does not even pulse for so long is stopped or stuck, and is killed."""
SILENCE_VARIABLE = "LODE_ENGINE_SILENCE_S"
"""Says otherwise: tests wait for seconds only."""
STANDSTILL_S = 3600.0
"""A job that says nothing of its progress for so long hangs, and its engine is killed."""
HELLO_S = 180.0
_LINE_BYTES = 1 << 22


class EngineDiedError(Exception):
    """The engine ended without saying how its job did; the message says by which signal or code."""


class EngineProcess:
    """One engine.

    Args:
        environment: variables it gets beside this process's.
        silence_s: longest time without any sign of life, seconds; None: what ``LODE_ENGINE_SILENCE_S`` says,
            else two minutes.
        standstill_s: longest time without progress of a job, seconds.
        on_memory: takes bytes used and in all of its GPU, where it uses one.

    Attributes:
        device: what it computes on, as it says itself.
        versions: of its software.

    """

    def __init__(
        self,
        environment: dict[str, str],
        *,
        silence_s: float | None = None,
        standstill_s: float = STANDSTILL_S,
        on_memory: OnMemory = lambda _used, _total: None,
    ) -> None:
        self.device = ""
        self.versions: dict[str, str] = {}
        self._environment = environment
        self._silence_s = silence_s or float(os.environ.get(SILENCE_VARIABLE, SILENCE_S))
        self._standstill_s = standstill_s
        self._on_memory = on_memory
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and wait until it says what it is.

        Raises:
            EngineDiedError: it ended at once, or said nothing.

        """
        await self.kill()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service.engine",
                pass_fds=(theirs.fileno(),),
                env={
                    **os.environ,
                    **self._environment,
                    protocol.SOCKET_VARIABLE: str(theirs.fileno()),
                    "LODE_ENGINE_PARENT": str(os.getpid()),
                },
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        deadline = time.monotonic() + HELLO_S
        while not self.versions:
            message = await self._next(deadline - time.monotonic())
            hello = message.get("hello")
            if hello is not None:
                self.device, self.versions = hello["device"], hello["versions"]

    async def execute(self, task: str, args: dict[str, Any], on_beat: OnBeat) -> Outcome:
        """Have a job done.

        Args:
            task: its name.
            args: its arguments.
            on_beat: takes stage, units done and units in all, from time to time.

        Raises:
            EngineDiedError: it ended, hung and was killed.

        """
        self._send({"do": task, "args": args})
        moved = time.monotonic()
        while True:
            patience_s = min(self._silence_s, moved + self._standstill_s - time.monotonic())
            message = await self._next(patience_s)
            if "end" in message:
                return Outcome(**message)
            if "beat" in message:
                moved = time.monotonic()
                stage, done, total = message["beat"]
                await on_beat(stage, done, total)

    def ask_to_stop(self, how: str) -> None:
        """Ask that the job is stopped at its next window: ``cancel`` or ``release``."""
        with contextlib.suppress(ConnectionError, EngineDiedError):  # it is just being started
            self._send({"stop": how})

    async def end_of_job(self, patience_s: float) -> Outcome:
        """Wait for the end of a job that was asked to stop.

        Raises:
            EngineDiedError: it did not end in time, and was killed.

        """
        deadline = time.monotonic() + patience_s
        while True:
            message = await self._next(deadline - time.monotonic())
            if "end" in message:
                return Outcome(**message)

    def end_process(self) -> None:
        """End its process; whoever waits for its job hears of it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def kill(self) -> None:
        """End it, whatever it does."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = self._reader = None
        if self._process is not None:
            self.end_process()
            await self._process.wait()
        self.versions = {}

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None or self._writer.is_closing():
            raise EngineDiedError("the engine is not there")
        self._writer.write(protocol.encode(message))

    async def _next(self, patience_s: float) -> dict[str, Any]:
        """The next message."""
        if self._reader is None:
            raise EngineDiedError("the engine is not there")
        try:
            async with asyncio.timeout(max(patience_s, 0)):
                line = await self._reader.readline()
        except TimeoutError:
            await self.kill()
            raise EngineDiedError("the engine hung and was killed") from None
        except ConnectionError:
            line = b""
        if not line:
            raise EngineDiedError(await self._obituary())
        message = protocol.decode(line)
        if "gpu_bytes" in message:
            self._on_memory(*message["gpu_bytes"])
        return message

    async def _obituary(self) -> str:
        if self._process is None:
            return "the engine is not there"
        code = await self._process.wait()
        if code >= 0:
            return f"the engine ended with code {code}"
        name = signal.Signals(-code).name
        short = " (the system does that when memory is short)" if name == "SIGKILL" else ""
        return f"the engine was ended by {name}{short}"
