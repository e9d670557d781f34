"""Headers that a server wants to see, from files that only their owner may read; never from the database."""

from __future__ import annotations

import base64
import netrc
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from db.errors import UsageError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def read_headers(path: Path | None) -> dict[str, dict[str, str]]:
    """Headers by host (``host`` or ``host:port``), as TOML: a table for each host.

    Values are not repeated in messages.

    Raises:
        UsageError: the file is missing, open to others, or no such TOML.

    """
    if path is None:
        return {}
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"LODE_STAC_HEADERS_FILE {path}: cannot be read: {type(error).__name__}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"LODE_STAC_HEADERS_FILE {path}: others than its owner may read or change it; chmod 600 it"
        )
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise UsageError(
            f"LODE_STAC_HEADERS_FILE {path}: is no TOML; a table for each host is wanted: "
            '["stac.example.org"] and below it Authorization = "..."'
        ) from None
    for host, headers in content.items():
        if not isinstance(headers, Mapping) or not all(
            _NAME.fullmatch(name) and isinstance(value, str) and value.isprintable()
            for name, value in headers.items()
        ):
            raise UsageError(
                f"LODE_STAC_HEADERS_FILE {path}: {host} is no table of headers; put the host into quotes: "
                f'["{host}"]'
            )
    return {host.lower(): dict(headers) for host, headers in content.items()}


def headers_for(url: str, by_host: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Headers for the host of a URL; of ``host:port`` before those of ``host``."""
    split = urlsplit(url)
    host = (split.hostname or "").lower()
    found = by_host.get(split.netloc.rpartition("@")[2].lower(), by_host.get(host, {}))
    return dict(found)


def netrc_header(host: str) -> dict[str, str]:
    """Authorization for a host from the netrc file of whoever runs this process; none where it has none.

    What the file says for ``default`` goes to nobody.

    Raises:
        UsageError: the file cannot be understood, or has an entry for the host and is open to others.

    """
    path = Path(os.environ.get("NETRC") or os.path.expanduser("~/.netrc"))
    try:
        mode = path.stat().st_mode
        found = netrc.netrc(str(path)).hosts.get(host.lower())
    except OSError:
        return {}
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        where = "" if line is None else f" (line {line})"
        raise UsageError(f"{path}: cannot be understood as a netrc file{where}") from None
    if found is None or host.lower() == "default":
        return {}
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{path}: others than its owner may read or change it; chmod 600 it")
    login, account, password = found
    pair = f"{login or account or ''}:{password or ''}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
