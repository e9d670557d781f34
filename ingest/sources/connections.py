"""Connections that go to addresses that were checked, and can be waited for without waiting blindly.

A name is resolved once for each connection: what is checked is what is connected to, whatever the name leads
to a moment later. What is read comes in short waits, with a look at the clock and at whoever wants to stop in
between, from the first byte of the answer's head on.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from ingest.sources.addresses import Address, parse_address

Check = Callable[[str, Address], None]
"""Takes a host and an address it leads to; raises UsageError where nobody may go there."""

Pulse = Callable[[], None]
"""Called at least every second; raises what ends the wait."""

WAIT_S = 0.5
MOST_ADDRESSES = 4
"""Addresses of a name that are tried, so that a name with hundreds does not hold a worker."""


def connected(
    host: str, port: int, check: Check, pulse: Pulse, *, timeout: Any, source: Any, options: Any
) -> socket.socket:
    """A socket to the first address of a host that answers; all of them must be allowed.

    Raises:
        UsageError: one of them is not.
        OSError: none answers, or the name leads nowhere.

    """
    listed = socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM)
    places = list(dict.fromkeys(str(entry[4][0]) for entry in listed))
    for place in places:
        check(host, parse_address(place))
    last: OSError | None = None
    for place in places[:MOST_ADDRESSES]:
        pulse()
        try:
            return create_connection((place, port), timeout, source_address=source, socket_options=options)
        except OSError as error:
            last = error
    raise last or OSError(f"{host} has no address")


class _Raw(io.RawIOBase):
    """Bytes of a socket, waited for in short steps."""

    def __init__(self, sock: Any, watched: Watched) -> None:
        self._sock, self._watched = sock, watched

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        begun = time.monotonic()
        silence_s = self._watched.silence_s
        while True:
            self._watched.pulse()
            left = None if silence_s is None else begun + silence_s - time.monotonic()
            self._sock.settimeout(WAIT_S if left is None else max(min(left, WAIT_S), 0.001))
            try:
                return int(self._sock.recv_into(buffer))
            except TimeoutError:
                if left is not None and left <= WAIT_S:
                    raise
            finally:
                with suppress(OSError):
                    self._sock.settimeout(silence_s)

    def close(self) -> None:
        if not self.closed:
            self._watched.release()
        super().close()


class Watched:
    """A connected socket whose answers are read in short waits; everything else is the socket's own.

    Args:
        sock: the socket, with TLS where it has any.
        pulse: called between waits.

    """

    def __init__(self, sock: Any, pulse: Pulse) -> None:
        self._sock = sock
        self.pulse = pulse
        self.silence_s: float | None = sock.gettimeout()
        self._readers, self._is_closing = 0, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, value: float | None) -> None:
        """How long the server may be silent, seconds."""
        self.silence_s = value
        self._sock.settimeout(value)

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """What is read from the socket; it stays open until that is closed too."""
        if mode != "rb":
            raise ValueError(f"only answers are read this way, not {mode}")
        self._readers += 1
        return io.BufferedReader(_Raw(self._sock, self))

    def release(self) -> None:
        """One reader less."""
        self._readers -= 1
        if self._is_closing and self._readers <= 0:
            self._sock.close()

    def close(self) -> None:
        """Close the socket once nobody reads from it."""
        self._is_closing = True
        if self._readers <= 0:
            self._sock.close()


class GuardedAdapter(HTTPAdapter):
    """Sends requests over such connections; a proxy that the administrator named is asked as ever.

    Args:
        check: refuses addresses.
        pulse: called while an answer is waited for.

    """

    def __init__(self, check: Check, pulse: Pulse) -> None:
        self._pools = _pools(check, pulse)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, of connections that are guarded."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _pools(check: Check, pulse: Pulse) -> dict[str, Any]:
    def connect(conn: HTTPConnection) -> socket.socket:
        try:
            return connected(
                conn._dns_host,
                conn.port,
                check,
                pulse,
                timeout=conn.timeout,
                source=conn.source_address,
                options=conn.socket_options,
            )
        except socket.gaierror as error:
            raise NameResolutionError(conn.host, conn, error) from error
        except OSError as error:
            raise NewConnectionError(conn, f"no connection: {error}") from error

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

        def connect(self) -> None:
            super().connect()
            self.sock: Any = Watched(self.sock, pulse)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

        def connect(self) -> None:
            super().connect()
            self.sock: Any = Watched(self.sock, pulse)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
