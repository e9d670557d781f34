"""A server on loopback for tests of sources: files with ranges, a STAC API, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

Item = dict[str, Any]


@dataclass
class Asked:
    """One request, as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    range: str | None
    sent_bytes: int = 0
    status: int = 0


@dataclass
class StacServer:
    """What the server serves, and what it does wrong.

    Attributes:
        root: folder of files.
        items: items of the API, by collection and id.
        asked: requests so far.
        errors: path to how many times it answers 500 first.
        cuts: path to after how many bytes of a body the connection is dropped, for each request in turn.
        redirects: path to where it redirects.
        bodies: path to (content type, body) in place of a file.
        claims: path to a Content-Length that is a lie.
        tags: path to entity tags, for each request in turn; by default the digest of the file.
        pause_s: pause after each block of a body.
        conforms_to: what the API says of itself.
        page_items: items on a page at most.
        is_looping: the next link leads back to the same page.
        ignores_cloud, ignores_days: filters that the server does not apply.
        needs: header and value without which it answers 401.
        next_link: what its links to the next page say in place of what they should.

    """

    root: Path
    address: str = ""
    items: list[Item] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    pause_s: float = 0.0
    conforms_to: list[str] = field(
        default_factory=lambda: [
            "https://api.stacspec.org/v1.0.0/core",
            "https://api.stacspec.org/v1.0.0/item-search",
            "https://api.stacspec.org/v1.0.0/item-search#query",
            "https://api.stacspec.org/v1.0.0/ogcapi-features",
        ]
    )
    methods: tuple[str, ...] = ("POST", "GET")
    page_items: int = 100
    is_looping: bool = False
    ignores_cloud: bool = False
    ignores_days: bool = False
    needs: tuple[str, str] | None = None
    next_link: Item = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def of(self, path: str) -> list[Asked]:
        """Requests of a file."""
        return [each for each in self.asked if each.path == f"/{path}"]

    def sent(self, path: str) -> int:
        """Bytes of bodies of a file that were sent."""
        return sum(each.sent_bytes for each in self.of(path))


@contextmanager
def served(root: Path) -> Iterator[StacServer]:
    """Serve a folder on a port of its own until the end of the block."""
    state = StacServer(root)

    class Handler(_Handler):
        server_state = state

    server = _Server(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Connections that are dropped on purpose end in errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: StacServer

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer("POST", json.loads(body))

    def do_PUT(self) -> None:
        self._answer("PUT", None)

    def do_DELETE(self) -> None:
        self._answer("DELETE", None)

    def _answer(self, method: str, body: Any) -> None:
        state = self.server_state
        split = urlsplit(self.path)
        asked = Asked(method, split.path, dict(self.headers.items()), self.headers.get("Range"))
        state.asked.append(asked)
        with suppress(ConnectionError):
            if state.needs is not None and self.headers.get(state.needs[0]) != state.needs[1]:
                return self._send(asked, 401, "text/plain", b"who are you?")
            if state.errors[split.path] > 0:
                state.errors[split.path] -= 1
                return self._send(asked, 500, "text/plain", b"out of order")
            if split.path in state.redirects:
                return self._redirect(asked, state.redirects[split.path])
            if split.path in state.bodies:
                return self._send(asked, 200, *state.bodies[split.path])
            if split.path.startswith("/api"):
                query = {key: values[0] for key, values in parse_qs(split.query).items()}
                return self._api(asked, split.path, body if body is not None else query)
            return self._file(asked, split.path)
        return None

    def _redirect(self, asked: Asked, target: str) -> None:
        asked.status = 302
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, asked: Asked, status: int, kind: str, body: bytes) -> None:
        asked.status = status
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        asked.sent_bytes += len(body)  # before the client has them, and a test counts
        self.wfile.write(body)

    def _json(self, asked: Asked, content: Any) -> None:
        self._send(asked, 200, "application/geo+json", json.dumps(content).encode())

    def _file(self, asked: Asked, path: str) -> None:
        state = self.server_state
        file = state.root / path.lstrip("/")
        if not file.is_file():
            return self._send(asked, 404, "text/plain", b"there is no such file")
        content = file.read_bytes()
        tags = state.tags.get(path)
        tag = tags.pop(0) if tags else f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        start = self._start(tag)
        asked.status = 206 if start else 200
        self.send_response(asked.status)
        self.send_header("Content-Type", "application/json" if file.suffix == ".json" else "image/tiff")
        self.send_header("ETag", tag)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(state.claims.get(path, len(content) - start)))
        self.end_headers()
        return self._body(asked, path, content[start:])

    def _start(self, tag: str) -> int:
        """Where the client wants to go on, if it means the file that is there."""
        wanted = self.headers.get("Range")
        if wanted is None or self.headers.get("If-Range") != tag:
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def _body(self, asked: Asked, path: str, content: bytes) -> None:
        state = self.server_state
        cuts = state.cuts.get(path)
        cut = cuts.pop(0) if cuts else None
        block = 4096
        for offset in range(0, len(content) if cut is None else min(cut, len(content)), block):
            end = offset + block if cut is None else min(offset + block, cut)
            asked.sent_bytes += len(content[offset:end])
            self.wfile.write(content[offset:end])
            self.wfile.flush()
            time.sleep(state.pause_s)
        if cut is not None:
            self.close_connection = True
            self.connection.close()

    def _api(self, asked: Asked, path: str, query: dict[str, Any]) -> None:
        state = self.server_state
        base = state.url("api")
        if path == "/api/conformance":
            return self._json(asked, {"conformsTo": state.conforms_to})
        if path in ("/api", "/api/"):
            search = [
                {"rel": "search", "href": f"{base}/search", "type": "application/geo+json", "method": method}
                for method in state.methods
            ]
            return self._json(
                asked,
                {
                    "type": "Catalog",
                    "id": "api",
                    "stac_version": "1.0.0",
                    "description": "A STAC API of a test",
                    "conformsTo": state.conforms_to,
                    "links": [
                        {"rel": "self", "href": base},
                        {"rel": "root", "href": base},
                        {"rel": "conformance", "href": f"{base}/conformance"},
                        *search,
                    ],
                },
            )
        if path == "/api/search":
            return self._json(asked, self._page(asked, query))
        for item in state.items:
            if path == f"/api/collections/{item.get('collection')}/items/{item.get('id')}":
                return self._json(asked, item)
        return self._send(asked, 404, "text/plain", b"no such thing")

    def _page(self, asked: Asked, query: dict[str, Any]) -> Item:
        state = self.server_state
        matching = [item for item in state.items if self._matches(item, query)]
        start = int(query.get("token", 0))
        found = matching[start : start + state.page_items]
        page: Item = {"type": "FeatureCollection", "features": found, "links": []}
        following = start if state.is_looping else start + state.page_items
        if following < len(matching):
            link: Item = {"rel": "next", "href": state.url("api/search"), "method": asked.method}
            if asked.method == "POST":
                link["body"] = {**query, "token": following}
            else:
                link["href"] += "?" + urlencode({**query, "token": following})
            page["links"].append({**link, **state.next_link})
        return page

    def _matches(self, item: Item, query: dict[str, Any]) -> bool:
        state = self.server_state
        collections = query.get("collections")
        if isinstance(collections, str):
            collections = collections.split(",")
        if collections and item.get("collection") not in collections:
            return False
        box = query.get("bbox")
        if isinstance(box, str):
            box = [float(number) for number in box.split(",")]
        if box and item.get("bbox"):
            west, south, east, north = item["bbox"]
            if east < box[0] or west > box[2] or north < box[1] or south > box[3]:
                return False
        days = query.get("datetime")
        if days and not state.ignores_days:
            first, _, last = days.partition("/")
            at = str(item["properties"]["datetime"])
            if (first != ".." and at < first) or (last != ".." and at > last):
                return False
        limit = (query.get("query") or {}).get("eo:cloud_cover", {}).get("lte")
        if limit is not None and not state.ignores_cloud:
            return bool(item["properties"].get("eo:cloud_cover", 0) <= limit)
        return True
