"""Checksums that STAC items state: multihashes of the file extension (``file:checksum``)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from db.errors import UsageError

_BLOCK_BYTES = 1 << 20
_KINDS = {"1220": "sha256", "1340": "sha512", "1114": "sha1", "d50110": "md5"}
"""Head of a multihash (code and length, hexadecimal) by kind; multiformats table."""


def parse_checksum(stated: object, where: str) -> tuple[str, str] | None:
    """Kind and digest of a multihash; None where none is stated, or one of a kind that is not computed here.

    Raises:
        UsageError: it is no multihash.

    """
    if stated is None:
        return None
    text = stated.strip().lower() if isinstance(stated, str) else ""
    if not re.fullmatch(r"[0-9a-f]{6,200}", text):
        raise UsageError(f"{where}: its file:checksum {str(stated)[:80]!r} is no multihash")
    for head, kind in _KINDS.items():
        if text.startswith(head):
            digest = text[len(head) :]
            if len(digest) != hashlib.new(kind, usedforsecurity=False).digest_size * 2:
                raise UsageError(f"{where}: its file:checksum is cut off")
            return kind, digest
    return None


def matches(path: Path, checksum: tuple[str, str]) -> bool:
    """Whether a file has this checksum."""
    kind, wanted = checksum
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == wanted
