"""How pystac and pystac-client read: through ``Web``, from allowed files only, and nothing twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pystac.link import Link
from pystac_client.stac_api_io import StacApiIO

from db.errors import UsageError
from ingest.files import source_file
from ingest.sources.web import LARGEST_ITEM_BYTES, Web, is_web, parse_json, shown


def local_path(href: str, base: Path, roots: tuple[Path, ...]) -> Path:
    """A file that a catalogue on this machine names: inside the catalogue's folder, or inside the roots.

    Args:
        href: absolute path, or file: URL.
        base: folder of the catalogue, resolved.
        roots: folders that may be read; empty: the catalogue's own folder.

    Raises:
        UsageError: it lies elsewhere, or is no readable file.

    """
    split = urlsplit(href)
    text = unquote(split.path) if split.scheme == "file" else href
    return source_file(text, roots or (base,)).path


class GuardedIO(StacApiIO):
    """Reading for pystac and pystac-client.

    Args:
        web: the session.
        base: folder of a catalogue on this machine; None: the catalogue is on the network, and no file of
            this machine is read.
        roots: folders that may be read.

    """

    def __init__(self, web: Web, base: Path | None = None, roots: tuple[Path, ...] = ()) -> None:
        super().__init__(max_retries=None)
        self._web, self._base, self._roots = web, base, roots
        self._asked: set[str] = set()

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """The text at an address, or at a link, which may ask for a POST."""
        if isinstance(source, Link) or is_web(str(source)):
            return str(super().read_text(source, *args, **kwargs))
        return self._file_text(os.fspath(source))

    def _file_text(self, href: str) -> str:
        if self._base is None:
            raise UsageError(
                f"{href[:300]}: a catalogue on the network names a file of this machine; refused"
            )
        path = local_path(href, self._base, self._roots)
        if path.stat().st_size > LARGEST_ITEM_BYTES:
            raise UsageError(f"{path.name}: has more than {LARGEST_ITEM_BYTES >> 20} MiB; it is refused")
        try:
            return path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            raise UsageError(f"{path.name}: is no readable text in UTF-8") from None

    def may_post(self, href: str) -> bool:
        """Whether a search may be sent to an address: it lies where the source does."""
        return self._web.is_own(href)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,  # noqa: ARG002 - pystac-client passes what links want
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Ask a server; the same question twice within a listing means that its links lead in a circle.

        Headers that a link wants are left out: what a host may see stands in a file on this machine.
        """
        verb = (method or "GET").upper()
        question = json.dumps([verb, href, parameters], sort_keys=True, default=str)
        if question in self._asked:
            raise UsageError(f"{shown(href)}: the links of this catalogue lead in a circle")
        self._asked.add(question)
        is_body = verb == "POST"
        return self._web.text(
            href,
            method=verb,
            parameters=None if is_body else parameters,
            body=parameters if is_body else None,
        )

    def json_loads(self, txt: str, *_: Any, **__: Any) -> dict[str, Any]:
        """A JSON object."""
        return parse_json(txt, "its content")
