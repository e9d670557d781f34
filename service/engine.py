"""The engine: the process beside a worker that computes, one job after the other.

It is a process of its own so that a step of a GPU, however long, cannot keep the worker from saying that it
lives, and so that what kills it (the system when memory is short, a fault in a driver) does not kill the
worker. It ends with its worker, whatever ended that.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from db.connection import database_url
from db.errors import InterruptionError, UsageError
from db.points import reached
from db.settings import Settings
from service import logs, protocol
from service.outcomes import carry_out

Beat = Callable[[str, int, int], None]
Task = Callable[[str, Mapping[str, Any], Beat], Mapping[str, Any]]

TASKS = {
    "interpret_run": "inference.tasks:interpret_run",
    "interpret_block": "inference.tasks:interpret_block",
    "scan_source": "service.source_tasks:scan_source",
    "ingest_item": "service.source_tasks:ingest_item",
    "report_source": "service.source_tasks:report_source",
}
"""Where the functions are that do the work of each task; loaded when the first of them is asked for."""

PULSE_S = 5.0
_BEAT_EVERY_S = 0.5
_PR_SET_PDEATHSIG = 1


class Engine:
    """Does jobs as a worker asks for them.

    Args:
        channel: this process's end of the pair of sockets.
        url: libpq URL of the database.

    """

    def __init__(self, channel: socket.socket, url: str) -> None:
        self._channel = channel
        self._url = url
        self._sending = threading.Lock()
        self._asked = threading.Condition()
        self._job: dict[str, Any] | None = None
        self._stop: str | None = None
        self._beaten_at = 0.0
        self._works = False

    def run(self) -> None:
        """Work until the worker is gone."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()
        self._send({"hello": _description()})
        while True:
            with self._asked:
                self._asked.wait_for(lambda: self._job is not None)
                job, self._job = self._job, None
            if job is not None:
                self._works = True
                outcome = self._outcome(str(job["do"]), dict(job["args"]))
                reached("job.before_done")
                self._works = False
                self._send(outcome)

    def _outcome(self, task: str, args: dict[str, Any]) -> dict[str, Any]:
        """Do a job, and say how it ended."""
        with logs.bound(task=task, **{key: value for key, value in args.items() if key != "reaped"}):
            outcome = carry_out(lambda: _load(task)(self._url, args, self._beat))
        return asdict(outcome)

    def _beat(self, stage: str, done: int, total: int) -> None:
        """Say how far the job is; raises InterruptionError when it shall stop."""
        stop = self._stop
        if stop is not None:
            raise InterruptionError(is_cancelled=stop == "cancel")
        now = time.monotonic()
        if now - self._beaten_at >= _BEAT_EVERY_S or done == total:
            self._beaten_at = now
            self._send({"beat": [stage, done, total]})

    def _send(self, message: dict[str, Any]) -> None:
        with self._sending:
            self._channel.sendall(protocol.encode(message))

    def _listen(self) -> None:
        with self._channel.makefile("rb") as lines:
            for line in lines:
                message = protocol.decode(line)
                if "stop" in message:
                    self._stop = str(message["stop"])
                    continue
                with self._asked:
                    self._stop = None
                    self._job = message
                    self._asked.notify()
        os._exit(1)  # the worker is gone: whatever is being computed is given to another

    def _pulse(self) -> None:
        while True:
            time.sleep(PULSE_S)
            if not self._works:
                continue  # the worker reads while it waits for a job: what is said before piles up
            try:
                self._send({"pulse": True, **_gpu_memory()})
            except OSError:
                os._exit(1)


def _load(task: str) -> Task:
    target = TASKS.get(task)
    if target is None:
        raise UsageError(f"this version of Lode knows no task {task!r}: upgrade this worker")
    module, _, name = target.partition(":")
    function: Task = getattr(importlib.import_module(module), name)
    return function


def _description() -> dict[str, Any]:
    """What this engine computes on, and with which versions."""
    device = "CPU"
    if os.environ.get("LODE_ENGINE_LOADS_TORCH"):
        from inference.device import choose_device, describe_device

        device = describe_device(choose_device(os.environ.get("LODE_DEVICE")))
    return {
        "device": device,
        "versions": {name: version(name) for name in ("lode", "torch", "procrastinate")},
    }


def _gpu_memory() -> dict[str, Any]:
    """Bytes used and in all of the GPU that torch computes on in this process; nothing where it does not."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    try:
        free, total = torch.cuda.mem_get_info(os.environ.get("LODE_DEVICE") or "cuda")
    except RuntimeError:  # the GPU fails: the job meets that as well, and says so
        return {}
    return {"gpu_bytes": [total - free, total]}


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Serve the worker that started this process."""
    _die_with_parent(int(os.environ["LODE_ENGINE_PARENT"]))
    # The worker decides: Ctrl-C and `systemctl stop` reach both of them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.configure()
    channel = socket.socket(fileno=int(os.environ[protocol.SOCKET_VARIABLE]))
    try:
        engine = Engine(channel, database_url(Settings()))
        engine.run()
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)


if __name__ == "__main__":
    main()
