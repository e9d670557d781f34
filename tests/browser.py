"""A real browser for tests: Debian's chromium, headless and offline, spoken to over its debugging pipe."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

PROGRAM = "chromium"


class Browser:
    """One page. Commands are those of the Chrome DevTools Protocol.

    Attributes:
        requests: addresses of everything that the page asked for, itself included.
        complaints: console errors and warnings, exceptions, failed loads, violated policies.

    """

    def __init__(self, reading: FileIO, writing: FileIO) -> None:
        self._from, self._to = reading, writing
        self._number = 0
        self._rest = b""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = {"targetId": target, "flatten": True}
        self._session: str | None = self._call("Target.attachToTarget", attached, session=None)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self._call("Network.emulateNetworkConditions", offline)

    def open(self, path: Path, *, width_px: int = 1280) -> None:
        """Open a file and wait until all of it has loaded."""
        size = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setEmulatedMedia", {"media": ""})
        self._call("Emulation.setDeviceMetricsOverride", size)
        self._call("Page.navigate", {"url": path.as_uri()})
        deadline = time.monotonic() + 120
        while self.evaluate("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < deadline, "the page did not load"
            time.sleep(0.05)
        self.evaluate("Promise.all([...document.images].map(image => image.decode()))")

    def as_printed(self, width_px: int) -> None:
        """Lay the page out as for paper of this width, in CSS pixels."""
        size = {"width": width_px, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setEmulatedMedia", {"media": "print"})
        self._call("Emulation.setDeviceMetricsOverride", size)

    def evaluate(self, expression: str) -> Any:
        """Value of an expression in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def pdf(self) -> bytes:
        """The page printed to PDF on the paper that it asks for."""
        asked = {"preferCSSPageSize": True, "printBackground": True}
        return base64.b64decode(self._call("Page.printToPDF", asked)["data"])

    def _call(self, method: str, parameters: dict[str, Any], session: str | None = "own") -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            received = self._receive()
            if received.get("id") == self._number:
                assert "error" not in received, (method, received["error"])
                return dict(received["result"])
            self._note(received)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            block = self._from.read(1 << 16)
            assert block, "the browser ended"
            self._rest += block
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        method, said = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Network.loadingFailed":
            self.complaints.append(f"not loaded: {said['errorText']}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, ended at the end; skips the test where none is installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{PROGRAM} is not installed")
    reading, to_us = os.pipe()
    to_it, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="lode-browser-", ignore_cleanup_errors=True) as profile:
        arguments = [
            str(program), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}",
            "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # The browser reads commands from descriptor 3 and answers on 4.
        script = f'exec "$@" 3<&{to_it} 4>&{to_us} {to_it}<&- {to_us}>&-'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *arguments],
            pass_fds=(to_it, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(to_it)
        os.close(to_us)
        try:
            with FileIO(reading, "rb") as answers, FileIO(writing, "wb") as commands:
                yield Browser(answers, commands)
        finally:
            process.terminate()  # its first process: the others follow
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
