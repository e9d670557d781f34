"""Rational polynomials as Chinese products carry them: RPB files and ``_rpc.txt``.

An RPB is DigitalGlobe's text form of RPC00B (STDI-0002): the terms stand in GDAL's order, so nothing is
reordered. GDAL takes ``lineOffset`` and ``sampOffset`` over as they are and counts from the centre of the
first pixel (RFC 22), and so does this module. The data centre documents no convention; its own files bear
this one out: the corners that a Gaofen-2 panchromatic XML of 2023 states to 15 digits project, at height 0,
onto samples 0 and width - 1 (not width) within 0.05 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rasterio.rpc import RPC

from db.errors import UsageError
from ingest.files import SourceFile, describe_start
from ingest.products.side_files import number

MAX_BYTES = 1 << 20
"""A real one has 3 kB."""

TERMS = 20

# Field of rasterio's RPC, name in an RPB, name in a _rpc.txt.
_NUMBERS = (
    ("line_off", "lineOffset", "LINE_OFF"),
    ("samp_off", "sampOffset", "SAMP_OFF"),
    ("lat_off", "latOffset", "LAT_OFF"),
    ("long_off", "longOffset", "LONG_OFF"),
    ("height_off", "heightOffset", "HEIGHT_OFF"),
    ("line_scale", "lineScale", "LINE_SCALE"),
    ("samp_scale", "sampScale", "SAMP_SCALE"),
    ("lat_scale", "latScale", "LAT_SCALE"),
    ("long_scale", "longScale", "LONG_SCALE"),
    ("height_scale", "heightScale", "HEIGHT_SCALE"),
)
_ERRORS = (("err_bias", "errBias", "ERR_BIAS"), ("err_rand", "errRand", "ERR_RAND"))
_SERIES = (
    ("line_num_coeff", "lineNumCoef", "LINE_NUM_COEFF"),
    ("line_den_coeff", "lineDenCoef", "LINE_DEN_COEFF"),
    ("samp_num_coeff", "sampNumCoef", "SAMP_NUM_COEFF"),
    ("samp_den_coeff", "sampDenCoef", "SAMP_DEN_COEFF"),
)


def read_rpb(file: SourceFile) -> RPC:
    """Read an RPB, or a ``_rpc.txt`` (``LINE_OFF: ...``): which one it is, its text says.

    Args:
        file: the file.

    Returns:
        The polynomials; offsets count from the centre of the first pixel.

    Raises:
        UsageError: it is empty, no such file, or a value is missing, not finite, or cannot be right.

    """
    if file.size_bytes < 2:
        raise UsageError(f"{file.name}: the rational polynomials are empty ({file.size_bytes} bytes)")
    if file.size_bytes > MAX_BYTES:
        raise UsageError(f"{file.name}: too large for rational polynomials ({file.size_bytes} bytes)")
    raw = file.head(MAX_BYTES)
    return parse_rpb(raw.decode("utf-8-sig", "replace"), file.name, describe_start(raw))


def parse_rpb(text: str, name: str, looks_like: str = "something else") -> RPC:
    """Read the text of an RPB or a ``_rpc.txt``.

    Args:
        text: the text.
        name: of the file, for messages.
        looks_like: what the file seems to be when it is neither.

    Raises:
        UsageError: a value is missing, not finite, or cannot be right.

    """
    if re.search(r"^\s*LINE_OFF\s*[:=]", text, re.MULTILINE):
        column, series = 2, _numbered
    elif re.search(r"\blineOffset\s*=", text):
        column, series = 1, _listed
    else:
        raise UsageError(f"{name}: holds no rational polynomials (no lineOffset): it begins as {looks_like}")
    values: dict[str, float | list[float] | None] = {}
    for row in _NUMBERS:
        values[row[0]] = number(_stated(text, row[column], name), row[column], name)
    for row in _ERRORS:
        stated = _find(text, row[column])
        values[row[0]] = None if stated is None else number(stated, row[column], name)
    for row in _SERIES:
        values[row[0]] = series(text, row[column], name)
    rpc = RPC(**values)
    _check(rpc, name)
    return rpc


def rpb_text(rpc: RPC) -> str:
    """Write polynomials as an RPB, numbers with the digits that read back the same.

    Args:
        rpc: the polynomials; offsets count from the centre of the first pixel.

    """
    lines = ['satId = "XXX";', 'bandId = "XXX";', 'SpecId = "RPC00B";', "BEGIN_GROUP = IMAGE"]
    lines += [f"\t{name} = {getattr(rpc, field) or 0.0!r};" for field, name, _ in _ERRORS]
    lines += [f"\t{name} = {float(getattr(rpc, field))!r};" for field, name, _ in _NUMBERS]
    for field, name, _ in _SERIES:
        numbers = ",\n".join(f"\t\t\t{float(value):+.16E}" for value in getattr(rpc, field))
        lines.append(f"\t{name} = (\n{numbers});")
    return "\n".join([*lines, "END_GROUP = IMAGE", "END;", ""])


def _find(text: str, name: str) -> str | None:
    found = re.search(rf"^\s*{name}\s*[:=]\s*([^\s;]+)", text, re.MULTILINE)
    return found.group(1) if found else None


def _stated(text: str, name: str, file: str) -> str:
    stated = _find(text, name)
    if stated is None:
        raise UsageError(f"{file}: damaged rational polynomials: {name} is missing; get the file anew")
    return stated


def _listed(text: str, name: str, file: str) -> list[float]:
    """The series of an RPB: numbers in brackets."""
    found = re.search(rf"\b{name}\s*=\s*\(([^()]*)\)", text)
    items = [item.strip() for item in found.group(1).split(",")] if found else []
    if len(items) != TERMS:
        raise UsageError(
            f"{file}: damaged rational polynomials: {name} has {len(items)} coefficients, not {TERMS}; "
            "get the file anew"
        )
    return [number(item, f"{name} {place}", file) for place, item in enumerate(items, 1)]


def _numbered(text: str, name: str, file: str) -> list[float]:
    """The series of a ``_rpc.txt``: one line per number."""
    return [
        number(_stated(text, f"{name}_{place}", file), f"{name}_{place}", file)
        for place in range(1, TERMS + 1)
    ]


def _check(rpc: RPC, name: str) -> None:
    rules: tuple[tuple[str, Callable[[float], bool], str], ...] = (
        *((f"{axis}_scale", lambda value: value > 0, "above 0") for axis in ("line", "samp", "lat", "long")),
        ("height_scale", lambda value: value > 0, "above 0"),
        ("lat_off", lambda value: abs(value) <= 90, "a latitude"),
        ("long_off", lambda value: abs(value) <= 360, "a longitude"),
    )
    for field, is_right, wanted in rules:
        value = getattr(rpc, field)
        if not is_right(value):
            raise UsageError(f"{name}: damaged rational polynomials: {field} is {value:g}, not {wanted}")
    for field in ("line_den_coeff", "samp_den_coeff"):
        if not any(getattr(rpc, field)):
            raise UsageError(f"{name}: damaged rational polynomials: every {field} is 0")
