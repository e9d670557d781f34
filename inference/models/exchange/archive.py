"""The file a model travels in: safetensors, with its record as JSON in the file's own metadata.

A safetensors file is the length of a header (8 bytes, little-endian), the header (JSON: type, shape and place
of every tensor, and under ``__metadata__`` texts by name) and the numbers
(https://huggingface.co/docs/safetensors, "Format"). The record goes in and out of the header; the numbers are
passed on byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from db.errors import UsageError

FORMAT = 1
KEY = "lode"
"""Name of the record among the texts of the header."""
METADATA = "__metadata__"
MAX_HEADER_BYTES = 8 << 20
MAX_DEPTH = 40
_LENGTH = struct.Struct("<Q")
# the header ends where numbers of 8 bytes can be read in place
_ALIGNMENT = 8
_TURNS_TEXT_ROUND = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def with_record(weights: bytes, content: Mapping[str, Any]) -> bytes:
    """A safetensors file with ``content`` in its header; what else the header says stays.

    Args:
        weights: a safetensors file.
        content: plain values, without NaN.

    Raises:
        UsageError: ``weights`` is no safetensors file.

    """
    header, numbers = split_file(weights, "the stored weights")
    texts = {**_texts(header, "the stored weights"), KEY: json.dumps(content, ensure_ascii=False)}
    return _joined({METADATA: texts, **{k: v for k, v in header.items() if k != METADATA}}, numbers)


def without_record(file: bytes, what: str) -> tuple[Any, bytes, dict[str, Any]]:
    """The content of a file from `with_record`, the weights as they were, and the header of these.

    Of the content nothing is known but that it is plain JSON which a database can store and a terminal show.

    Args:
        file: the whole file.
        what: name for messages.

    Raises:
        UsageError: no safetensors file, no record in it, or one that is no such JSON.

    """
    header, numbers = split_file(file, what)
    texts = _texts(header, what)
    if KEY not in texts:
        raise UsageError(
            f"{what} holds tensors but no record of a model: it was not written by `lode model export`. To "
            "start a training from such weights see `lode train segmentation --help`"
        )
    content = parse_json(texts.pop(KEY), f"the record in {what}")
    # as safetensors writes it: no texts, no key for them
    kept = {k: v for k, v in header.items() if k != METADATA} | ({METADATA: texts} if texts else {})
    return content, _joined(kept, numbers), kept


def split_file(file: bytes, what: str) -> tuple[dict[str, Any], memoryview]:
    """Header and numbers of a safetensors file; the places of the tensors are not checked.

    Raises:
        UsageError: it is none; says what it is instead where that shows.

    """
    length = _LENGTH.unpack_from(file)[0] if len(file) > _LENGTH.size else 0
    if not 2 <= length <= len(file) - _LENGTH.size or file[_LENGTH.size : _LENGTH.size + 1] != b"{":
        # a pickle of protocol 2 and up, or the archive of pickles that torch.save writes
        if file[:1] == b"\x80" or file[:4] == b"PK\x03\x04":
            raise UsageError(
                f"{what} is a pickle, as torch.save writes it, which could run anything: it is not opened. "
                "Have the model exported with `lode model export`"
            )
        raise UsageError(f"{what} is no safetensors file, or the end of it is missing: bring it again")
    if length > MAX_HEADER_BYTES:
        raise UsageError(
            f"{what} has a header of {length:,} bytes: a model's is at most {MAX_HEADER_BYTES:,}, "
            "so this is none"
        )
    raw = file[_LENGTH.size : _LENGTH.size + length]
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} is no safetensors file: its header is no UTF-8 text") from error
    header = parse_json(text, f"the header of {what}")
    if not isinstance(header, dict):
        raise UsageError(f"{what} is no safetensors file: its header is no list of tensors by name")
    return header, memoryview(file)[_LENGTH.size + length :]


def sha256_of(file: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(file).hexdigest()


def parse_json(text: str, what: str) -> Any:
    """Plain JSON, nested `MAX_DEPTH` deep at most.

    Args:
        text: the JSON.
        what: name for messages.

    Raises:
        UsageError: it is not that; a number is NaN, infinite or longer than 64 bits; a text could not be
            stored in a database, would move a terminal's cursor or turn round what is read.

    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise UsageError(f"{what} is nested too deep: more than {MAX_DEPTH} levels are refused") from error
    except ValueError as error:
        raise UsageError(f"{what} is no JSON: {str(error)[:200]}") from error
    for leaf, depth in _leaves(value):
        if depth > MAX_DEPTH:
            raise UsageError(f"{what} is nested too deep: more than {MAX_DEPTH} levels are refused")
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise UsageError(f"{what} holds a number that is not finite")
        if isinstance(leaf, int) and abs(leaf) >= 1 << 63:
            raise UsageError(f"{what} holds a whole number of more than 64 bits")
        if isinstance(leaf, str) and not is_plain(leaf):
            raise UsageError(f"{what} holds characters that cannot be shown: {leaf[:40]!r}")
    return value


def is_plain(text: str) -> bool:
    """Whether a text can be stored and shown: no control character but the line's end, no half character."""
    return text.isprintable() or not any(
        (unicodedata.category(each) in ("Cc", "Cs") and each != "\n") or each in _TURNS_TEXT_ROUND
        for each in text
    )


def _leaves(value: Any) -> Iterator[tuple[Any, int]]:
    """Every value and key inside, with its depth; not by recursion, for it may be deep."""
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict):
            yield from ((key, depth) for key in each)
            waiting += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]
        yield each, depth


def _texts(header: dict[str, Any], what: str) -> dict[str, str]:
    texts = header.get(METADATA) or {}
    if not isinstance(texts, dict) or not all(isinstance(each, str) for each in texts.values()):
        raise UsageError(f"{what} is no safetensors file: its metadata are not texts by name")
    return dict(texts)


def _joined(header: Mapping[str, Any], numbers: memoryview) -> bytes:
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise UsageError(
            f"the record of the model takes {len(text):,} bytes, at most {MAX_HEADER_BYTES:,} can be written"
        )
    return b"".join((_LENGTH.pack(len(text)), text, numbers))
