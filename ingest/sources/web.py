"""Requests to servers that others run: few redirects, no private places, no endless answers, patience."""

from __future__ import annotations

import email.utils
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests import Response
from urllib3.exceptions import HTTPError

from db.errors import RetryError, UsageError
from ingest.sources.addresses import Address, PrivateHosts, addresses_of, is_private
from ingest.sources.connections import GuardedAdapter
from ingest.sources.secrets import headers_for, netrc_header, read_headers
from ingest.sources.settings import SourceSettings

Beat = Callable[[str, int, int], None]
"""Called with a stage, units done and units in all; may raise InterruptionError."""

Result = TypeVar("Result")

MOST_REDIRECTS = 5
CONNECT_TIMEOUT_S = 10.0
LONGEST_PAUSE_S = 60.0
LARGEST_PAGE_BYTES = 64 << 20
LARGEST_ITEM_BYTES = 4 << 20
DEEPEST_JSON = 100
_CHUNK_BYTES = 1 << 16
_BEAT_S = 2.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REDIRECTS = {301, 302, 303, 307, 308}

LOST = (requests.RequestException, HTTPError, ConnectionError, TimeoutError)
"""Errors of a connection that may work the next time."""


class RequestFailedError(RetryError):
    """A request failed in a way that may pass.

    Attributes:
        wait_s: how long the server asks to wait.

    """

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


def shown(url: str) -> str:
    """An address for messages: without user, password and query, which may hold keys."""
    split = urlsplit(url)
    host = split.netloc.rpartition("@")[2]
    return f"{split.scheme}://{host}{split.path}"[:300]


def is_web(href: str) -> bool:
    """Whether an address is one of http or https."""
    return urlsplit(href).scheme.lower() in ("http", "https")


class Web:
    """A session with servers.

    A catalogue on the public internet cannot send us to addresses of our own network. One in our own network,
    or on our own disk, may, to those that the setting ``private_hosts`` lists. Of what is fetched over a
    proxy, the proxy decides where a name leads.
    """

    def __init__(self, settings: SourceSettings, location: str, beat: Beat) -> None:
        self.settings = settings
        self._beat = beat
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "lode"
        # Proxies and certificates of the environment hold; requests' own way with ~/.netrc would send what
        # it finds there to any host that a catalogue names.
        self._session.auth = lambda request: request
        guarded = GuardedAdapter(self._check_connection, self._pulse)
        self._session.mount("http://", guarded)
        self._session.mount("https://", guarded)
        self._secrets = read_headers(settings.stac_headers_file)
        self._private = PrivateHosts.parse(settings.private_hosts)
        self._origin = urlsplit(location).netloc.lower() if is_web(location) else None
        self._netrc = netrc_header(urlsplit(location).hostname or "") if self._origin else {}
        self._may_go_inside = not is_web(location) or is_private(urlsplit(location).hostname or "")
        self._asked, self._until = "", math.inf
        self._beaten_at = 0.0

    @contextmanager
    def opened(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Iterator[Response]:
        """One request with its redirects; the body is still to be read.

        Raises:
            RequestFailedError: it may work the next time.
            UsageError: it will not: address, redirect or answer are refused.

        """
        self._asked = url
        with self._within(self.settings.fetch_document_s):
            response = self._follow(url, method, dict(headers or {}), parameters, body)
        try:
            self._check_status(response, url)
            yield response
        except LOST as error:
            raise RequestFailedError(
                f"{shown(url)}: the connection was lost: {type(error).__name__}"
            ) from error
        finally:
            response.close()

    @contextmanager
    def _within(self, limit_s: float) -> Iterator[None]:
        """Let what is read in the block take no longer, nor longer than a block around it allows."""
        before = self._until
        self._until = min(before, time.monotonic() + limit_s)
        try:
            yield
        finally:
            self._until = before

    def _pulse(self) -> None:
        """A look at whoever wants to stop, and at the clock, while an answer is waited for."""
        now = time.monotonic()
        if now > self._until:
            raise RetryError(
                f"{shown(self._asked)}: the answer comes too slowly; a page or item may take "
                f"{self.settings.fetch_document_s:g} s (LODE_FETCH_DOCUMENT_S)"
            )
        if now - self._beaten_at >= _BEAT_S:
            self._beaten_at = now
            self._beat("waiting for the server", 0, 0)

    def _check_connection(self, host: str, address: Address) -> None:
        fault = self._private.fault(host, address, may_go_inside=self._may_go_inside)
        if fault is not None:
            raise UsageError(f"{host}: {fault}")

    def _follow(
        self, url: str, method: str, headers: dict[str, str], parameters: Mapping[str, Any] | None, body: Any
    ) -> Response:
        if method not in ("GET", "POST"):
            raise UsageError(f"{shown(url)}: is to be asked by {method[:20]!r}; only GET and POST are sent")
        address = url
        for _ in range(MOST_REDIRECTS + 1):
            self._check_address(address, url)
            if method == "POST" and not self.is_own(address):
                raise UsageError(
                    f"{shown(address)}: is to be sent a POST, and is not where the source lies; it is refused"
                )
            try:
                response = self._session.request(
                    method,
                    address,
                    headers={**headers, **self._secrets_for(address)},
                    params=dict(parameters) if parameters else None,
                    json=body,
                    stream=True,
                    allow_redirects=False,
                    timeout=(CONNECT_TIMEOUT_S, self.settings.fetch_timeout_s),
                )
            except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
                raise UsageError(f"{shown(address)}: is no address that can be asked") from None
            except LOST as error:
                raise RequestFailedError(f"{shown(address)}: no answer: {type(error).__name__}") from error
            if response.status_code not in _REDIRECTS:
                return response
            response.close()
            target = urljoin(address, response.headers.get("Location", ""))
            if urlsplit(address).scheme == "https" and urlsplit(target).scheme != "https":
                raise UsageError(f"{shown(url)}: redirects from https to {shown(target)}; that is refused")
            if response.status_code == 303:
                method, body = "GET", None
            address, parameters = target, None
        raise UsageError(f"{shown(url)}: redirects more than {MOST_REDIRECTS} times; it is refused")

    def is_own(self, address: str) -> bool:
        """Whether an address has the host and port of the source's location."""
        return self._origin is not None and urlsplit(address).netloc.lower() == self._origin

    def _secrets_for(self, address: str) -> dict[str, str]:
        """What the host wants to see; never in clear over the public internet."""
        found, named = headers_for(address, self._secrets), "LODE_STAC_HEADERS_FILE"
        split = urlsplit(address)
        if not found and self.is_own(address):
            found, named = self._netrc, "~/.netrc"
        if found and split.scheme.lower() != "https" and not is_private(split.hostname or ""):
            raise UsageError(
                f"{shown(address)}: would be asked without encryption, with what {named} holds for this "
                "host; that is refused"
            )
        return dict(found)

    def _check_address(self, address: str, asked: str) -> None:
        what = shown(address) if address == asked else f"{shown(asked)}: redirects to {shown(address)}, which"
        split = urlsplit(address)
        if split.scheme.lower() not in ("http", "https") or not split.hostname:
            raise UsageError(f"{what} is no address of http or https; only those are fetched")
        if split.username or split.password:
            raise UsageError(f"{what} holds a user or password; they belong into LODE_STAC_HEADERS_FILE")
        for found in addresses_of(split.hostname):
            fault = self._private.fault(split.hostname, found, may_go_inside=self._may_go_inside)
            if fault is not None:
                raise UsageError(f"{what} {fault}" if address != asked else f"{what}: {fault}")

    def _check_status(self, response: Response, url: str) -> None:
        code = response.status_code
        if code in _AGAIN:
            raise RequestFailedError(
                f"{shown(url)}: the server answers {code}", _wait_s(response.headers.get("Retry-After"))
            )
        if code in (401, 403):
            raise UsageError(
                f"{shown(url)}: the server refuses access ({code}); put what it wants to see into the file "
                "that LODE_STAC_HEADERS_FILE names"
            )
        if code >= 400 and code != 416:
            raise UsageError(f"{shown(url)}: the server answers {code}")

    def patiently(self, what: str, call: Callable[[], Result]) -> Result:
        """Call again, with growing pauses, while a request fails in a way that may pass.

        Raises:
            RetryError: the last attempt failed too.

        """
        pause_s = self.settings.fetch_pause_s
        for attempt in range(1, self.settings.fetch_attempts + 1):
            self._beat(what, 0, 0)
            try:
                return call()
            except RequestFailedError as error:
                if attempt == self.settings.fetch_attempts:
                    raise RetryError(f"{error}; gave up after {attempt} requests") from error
                asked_s = error.wait_s
            self._rest(what, max(pause_s * random.uniform(0.5, 1.0), asked_s))  # noqa: S311 - nothing secret
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        raise ValueError("at least one attempt is made")

    def _rest(self, what: str, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            self._beat(what, 0, 0)

    def text(
        self,
        url: str,
        *,
        method: str = "GET",
        parameters: Mapping[str, Any] | None = None,
        body: Any = None,
        limit_bytes: int = LARGEST_PAGE_BYTES,
    ) -> str:
        """A text, UTF-8, that is no larger than it may be.

        Raises:
            RetryError: the server cannot now.
            UsageError: it refuses, the text is too large or no UTF-8.

        """
        left_s = self.settings.fetch_document_s

        def get() -> bytes:
            nonlocal left_s
            begun = time.monotonic()
            try:
                with (
                    self._within(left_s),
                    self.opened(url, method=method, parameters=parameters, body=body) as answer,
                ):
                    return _read(answer, url, limit_bytes)
            finally:
                left_s -= time.monotonic() - begun  # pauses that a server asks for are not its slowness

        try:
            return self.patiently("reading the catalogue", get).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"{shown(url)}: is no text in UTF-8") from None


def _read(answer: Response, url: str, limit_bytes: int) -> bytes:
    read = bytearray()
    # Not iter_content: it waits until a chunk is full, however slowly that comes.
    while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
        read += chunk
        if len(read) > limit_bytes:
            raise UsageError(f"{shown(url)}: answers with more than {limit_bytes >> 20} MiB; it is refused")
    return bytes(read)


def _wait_s(stated: str | None) -> float:
    """Seconds that a server asks to wait (RFC 9110, Retry-After), no more than a minute."""
    if stated is None:
        return 0.0
    if stated.isdigit():
        return min(float(stated), LONGEST_PAUSE_S)
    try:
        at = email.utils.parsedate_to_datetime(stated)
    except ValueError:
        return 0.0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE_S)


def parse_json(text: str, where: str) -> dict[str, Any]:
    """A JSON object of a catalogue.

    Raises:
        UsageError: it is none, or made to do harm.

    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "is nested too deeply" if isinstance(error, RecursionError) else "is no JSON"
        raise UsageError(f"{where}: {kind}; it is refused") from None
    if not isinstance(found, dict):
        raise UsageError(f"{where}: is {type(found).__name__}, not a JSON object; it is refused")
    if _is_deep(found):
        raise UsageError(f"{where}: is nested too deeply; it is refused")
    return found


def _is_deep(value: Any) -> bool:
    layer = [value]
    for _ in range(DEEPEST_JSON):
        layer = [
            each
            for outer in layer
            for each in (
                outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
            )
            if isinstance(each, dict | list)
        ]
        if not layer:
            return False
    return True
