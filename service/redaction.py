"""Blotting out secrets in whatever is logged, wherever they stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from db.connection import redact

BLOT = "***"

_SECRET_NAME = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|authori[sz]ation|api[-_]?key|access[-_]?key|private[-_]?key"
    r"|credential|signature|cookie|sas"
)
_NAME = re.compile(
    rf"(?:^|[-_.])x?-?(?:{_SECRET_NAME})|(?:{_SECRET_NAME})s?$|^(?:sig|auth|key)$", re.IGNORECASE
)

# Parameters of signed addresses: S3, Google, Azure, and the plain ones.
_PARAMETER = re.compile(
    r"([?&;](?:x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|awsaccesskeyid"
    rf"|sig|signature|key|auth|[\w.-]*(?:{_SECRET_NAME})[\w.-]*)=)[^&;\s\"'<>]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"\b(bearer|basic|digest|negotiate|apikey|token)\s+[A-Za-z0-9._~+/=:-]{6,}", re.IGNORECASE
)
# An assignment in prose, in a header, in JSON or in a Python repr: name, separator, value.
_ASSIGNMENT = re.compile(
    rf"""(?P<name>["']?[\w.-]*(?:{_SECRET_NAME})[\w.-]*["']?\s*[:=]\s*)"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:(?:bearer|basic|digest|negotiate|token)\s+)?[^\s,;&}\])]+)""",
    re.IGNORECASE,
)
# A token alone before the host: https://<token>@host/. A database's user is no secret.
_LOGIN = re.compile(r"(\b(?:https?|s3|ftps?|wss?)://)[^\s/?#@]+@", re.IGNORECASE)
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)

_DEEPEST = 12
"""Nesting beyond which a value is shown as text."""


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
        """The same text without secrets."""
        if self._known is not None:
            text = self._known.sub(BLOT, text)
        text = _KEY_BLOCK.sub(BLOT, text)
        text = redact(text)
        text = _LOGIN.sub(rf"\1{BLOT}@", text)
        text = _PARAMETER.sub(rf"\1{BLOT}", text)
        text = _ASSIGNMENT.sub(rf"\g<name>{BLOT}", text)
        return _SCHEME.sub(rf"\1 {BLOT}", text)

    def _mapping(self, fields: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        return {
            self.text(str(name)): BLOT
            if is_secret_name(str(name)) and value not in (None, "", False)
            else self._value(value, depth + 1)
            for name, value in fields.items()
        }

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if depth < _DEEPEST:
            if isinstance(value, Mapping):
                return self._mapping(value, depth)
            if isinstance(value, (list, tuple, set, frozenset)):
                # Headers are often pairs: ("Authorization", "...").
                if len(value) == 2 and isinstance(value, tuple) and is_secret_name(str(value[0])):
                    return [self.text(str(value[0])), BLOT]
                return [self._value(each, depth + 1) for each in value]
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.text(bytes(value).decode("utf-8", "replace"))
        return self.text(str(value) if isinstance(value, BaseException) else repr(value))
