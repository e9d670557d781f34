"""Blotting out secrets in whatever is logged, wherever they stand in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from db.connection import redact

BLOT = "***"

_WORDS = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|authori[sz]ation|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|subscription[-_]?key|credential|signature|cookie"
)
"""What the name of a secret has in it."""

_NAME = re.compile(rf"{_WORDS}|^(?:sig|auth)$", re.IGNORECASE)
# Repetitions are bounded, here and below: unbounded ones take minutes over a long word.
_NAMED = rf"[\w.-]{{0,40}}(?:{_WORDS})[\w.-]{{0,40}}"

# Parameters of signed addresses: Azure's sig, Google's key, S3's and the plain ones by their words.
_PARAMETER = re.compile(rf"([?&;](?:sig|key|auth|awsaccesskeyid|{_NAMED})=)[^&;\s\"'<>]+", re.IGNORECASE)
_SCHEMES = r"bearer|basic|digest|negotiate|apikey|token"
# In prose "basic settings" is no credential: those have digits, capitals or padding.
_SCHEME = re.compile(rf"\b(?i:({_SCHEMES}))\s+(?=[^\s,;\"'<>()]*[0-9A-Z=%])[^\s,;\"'<>()]{{6,}}")
# An assignment in prose, in a header, in JSON or in a Python repr: name, separator, value.
_ASSIGNMENT = re.compile(
    rf"""(["']?{_NAMED}["']?\s{{0,4}}[:=]\s{{0,4}})"""
    rf"""(?:b?"(?:[^"\\]|\\.)*"|b?'(?:[^'\\]|\\.)*'|(?:(?:{_SCHEMES})\s+)?[^\s,;&}}\])]+)""",
    re.IGNORECASE,
)
# As a netrc file says it: login NAME password SECRET; and PASSWORD 'SECRET' of SQL.
_SPOKEN = re.compile(
    r"""(\b(?:machine|login|account)\s{1,40}\S{1,200}\s{1,40}passw(?:or)?d\s{1,40})(?:"(?:[^"\\]|\\.)*"|\S+)"""
    r"""|(\bpassw(?:or)?d\s{1,40})'(?:[^'\\]|\\.)*'""",
    re.IGNORECASE,
)
# Of a command line: --password SECRET.
_FLAG = re.compile(
    rf"""((?<![\w-])--?[\w.-]{{0,40}}(?:{_WORDS})[\w.-]{{0,40}}\s{{1,4}})"""
    r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"',\])}]+)""",
    re.IGNORECASE,
)
# A token alone before the host: https://<token>@host/. A database's user is no secret.
_LOGIN = re.compile(r"(\b(?:https?|s3|ftps?|wss?)://)[^\s/?#@]+@", re.IGNORECASE)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", re.DOTALL
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_DEEPEST = 12
"""Nesting beyond which a value is shown as text."""

_LONGEST = 32_768
"""Characters of a text that are kept."""


def is_secret_name(name: str) -> bool:
    """Whether a field or variable of this name holds a secret."""
    return _NAME.search(name) is not None


class Redactor:
    """Blots out known secrets, what looks like one, and what is named like one.

    Args:
        secrets: literal secrets of this process; they are blotted out even within other words.

    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: a secret may be part of another.
        known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def mapping(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        """The same fields without secrets."""
        return self._mapping(fields, 0)

    def text(self, text: str) -> str:
        """The same text without secrets, and without control characters: a terminal would obey them."""
        if self._known is not None:
            text = self._known.sub(BLOT, text)
        if len(text) > _LONGEST:
            # Not within a word: half of an address shows no longer that it holds a password.
            whole, _, _ = text[:_LONGEST].rpartition(" ")
            text = f"{whole} ... ({len(text)} characters)"
        text = _KEY_BLOCK.sub(BLOT, text)
        text = _LOGIN.sub(rf"\1{BLOT}@", text)
        text = _PARAMETER.sub(rf"\1{BLOT}", text)
        text = _SPOKEN.sub(lambda found: f"{found[1] or found[2]}{BLOT}", text)
        text = _FLAG.sub(rf"\1{BLOT}", text)
        text = _ASSIGNMENT.sub(rf"\1{BLOT}", text)  # before redact(), which ends at a space within quotes
        if "://" in text or "password" in text.lower():
            text = redact(text)
        text = _SCHEME.sub(rf"\1 {BLOT}", text)
        return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)

    def _mapping(self, fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {
            self.text(str(name)): BLOT
            if is_secret_name(str(name)) and value is not None
            else self._value(value, depth + 1)
            for name, value in fields.items()
        }

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # JSON knows no others
        if isinstance(value, str):
            return self.text(value)
        if depth < _DEEPEST and isinstance(value, Mapping):
            return self._mapping(value, depth)
        if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
            return self._listed(list(value), depth)
        if isinstance(value, (bytes, bytearray)):
            return self.text(value.decode("utf-8", "replace"))
        return self.text(str(value) if isinstance(value, BaseException) else repr(value))

    def _listed(self, values: list[Any], depth: int) -> list[Any]:
        """Values one after the other: pairs such as headers, and arguments of commands."""
        names = [str(each) if isinstance(each, (str, bytes)) else "" for each in values]
        if len(values) == 2 and is_secret_name(names[0]) and values[1] is not None:
            return [self._value(values[0], depth + 1), BLOT]
        shown: list[Any] = []
        is_secret = False
        for name, each in zip(names, values, strict=True):
            shown.append(BLOT if is_secret else self._value(each, depth + 1))
            # An argument that holds its value itself, --token=..., is blotted out as text.
            is_secret = name.lstrip("b'\"").startswith("-") and "=" not in name and is_secret_name(name)
        return shown
