"""Servers that send drops or nothing: given up in time, and whoever cancels does not wait for them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from db.errors import InterruptionError, RetryError
from ingest.sources.fetching import Wanted, fetch
from ingest.sources.settings import SourceSettings
from ingest.sources.web import Beat, Web
from tests.source_runs import quiet

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
SLOW_HEAD = b"HTTP/1.1 200 OK\r\n" + b"X-Padding: " + b"x" * 60_000
DROP_S = 0.05


@contextmanager
def dripping(at_once: bytes, drops: bytes) -> Iterator[str]:
    """A server that answers every request with some bytes at once and the rest in drops; its address."""
    is_over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def answer(conn: socket.socket) -> None:
        with conn, suppress(OSError):
            conn.recv(65536)
            conn.sendall(at_once)
            for place in range(len(drops)):
                if is_over.wait(DROP_S):
                    return
                conn.sendall(drops[place : place + 1])
            is_over.wait()

    def serve() -> None:
        with suppress(OSError):
            while True:
                conn, _ = listener.accept()
                threads.append(threading.Thread(target=answer, args=(conn,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a.json"
    finally:
        is_over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(5)


KINDS = {"body": (HEAD, b"{" * 10_000), "head": (b"", SLOW_HEAD), "silence": (HEAD + b"{", b"")}


def web(url: str, beat: Beat = quiet, **values: float) -> Web:
    settings = {"fetch_timeout_s": 60, "fetch_spare_bytes": 0, "private_hosts": "127.0.0.1", **values}
    return Web(SourceSettings.model_validate(settings), url, beat)


def took(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_document_that_comes_in_drops_is_given_up_and_not_asked_for_again(kind: str) -> None:
    def read() -> None:
        with pytest.raises(RetryError, match=r"a\.json: the answer comes too slowly.*LODE_FETCH_DOCUMENT_S"):
            web(url, fetch_document_s=1.0).text(url)

    with dripping(*KINDS[kind]) as url:
        assert 0.9 < took(read) < 20


@pytest.mark.parametrize("kind", list(KINDS))
def test_whoever_cancels_does_not_wait_for_a_server(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.sources.web._BEAT_S", 0.2)
    begun = time.monotonic()

    def beat(_stage: str, _done: int, _total: int) -> None:
        if time.monotonic() - begun > 1.0:
            raise InterruptionError(is_cancelled=True)

    def read() -> None:
        with pytest.raises(InterruptionError):
            web(url, beat).text(url)

    with dripping(*KINDS[kind]) as url:
        assert took(read) < 20


@pytest.mark.parametrize("kind", ["body", "head"])
def test_a_file_that_comes_in_drops_is_given_up(kind: str, tmp_path: Path) -> None:
    def read() -> None:
        with pytest.raises(RetryError, match=r"comes too slowly.*LODE_FETCH_DOCUMENT_S"):
            fetch(web(url, fetch_document_s=1.0), Wanted(url, tmp_path / "a.tif"), lambda _have: None)

    with dripping(*KINDS[kind]) as url:
        assert took(read) < 20


def test_a_silent_server_is_given_up_after_the_time_that_was_set() -> None:
    def read() -> None:
        with pytest.raises(RetryError, match="gave up after 1 requests"):
            web(url, fetch_timeout_s=1.2, fetch_attempts=1).text(url)

    with dripping(*KINDS["silence"]) as url:
        assert 1.1 < took(read) < 15
