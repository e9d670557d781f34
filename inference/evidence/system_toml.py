"""Mineral systems as files: TOML that people write, read with every mistake named, and written one way."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from db.errors import UsageError
from inference.evidence.system_types import (
    DEFAULT_SHARE,
    DIRECTIONS,
    FEATURES,
    GeologyRule,
    MineralSystem,
)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_KEYS = (
    "name",
    "title",
    "description",
    "commodities",
    "anomaly_share",
    "references",
    "elements",
    "geology",
)
_RULE_KEYS = ("feature", "name", "match", "range_m", "weight", "direction")
_FORMULA = re.compile(r"T?([A-Z][a-z]?)\d*(?:O\d*)?")
_SYMBOLS = frozenset(
    re.findall(
        "[A-Z][a-z]?",
        "HHeLiBeBCNOFNeNaMgAlSiPSClArKCaScTiVCrMnFeCoNiCuZnGaGeAsSeBrKrRbSrYZrNbMoTcRuRhPdAgCdInSnSbTeIXeCsBa"
        "LaCePrNdPmSmEuGdTbDyHoErTmYbLuHfTaWReOsIrPtAuHgTlPbBiPoAtRnFrRaAcThPaU",
    )
)
LONGEST = 1_000_000
"""Characters of a file that is read."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What no text needs, and what the database does not take."""


def _is_line(value: object) -> bool:
    """Whether a value is a text that says something, without control characters."""
    return isinstance(value, str) and bool(value.strip()) and not _CONTROL.search(value)


class _Reader:
    """Takes values out of a table and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def text(self, table: Mapping[str, Any], key: str, where: str = "", *, is_needed: bool = True) -> str:
        value = table.get(key)
        if value is None and not is_needed:
            return ""
        if not isinstance(value, str) or not (value.strip() or not is_needed):
            self.problems.append(f"{where}{key} is {_shown(value)}: write text in quotes")
            return ""
        if _CONTROL.search(value):
            self.problems.append(f"{where}{key} is {_shown(value)}: leave control characters out")
            return ""
        return value.strip()

    def texts(self, table: Mapping[str, Any], key: str, where: str = "") -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(_is_line(each) for each in value):
            self.problems.append(f'{where}{key} is {_shown(value)}: write a list of texts, ["...", "..."]')
            return ()
        return tuple(each.strip() for each in value)

    def number(
        self,
        table: Mapping[str, Any],
        key: str,
        default: float,
        wanted: str,
        least: float,
        most: float,
        where: str,
    ) -> float:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.problems.append(f"{where}{key} is {_shown(value)}: write {wanted}")
            return default
        return float(value)

    def unknown(self, table: Mapping[str, Any], keys: tuple[str, ...], where: str = "") -> None:
        for key in table:
            if key not in keys:
                self.problems.append(f"{where}{key!r} is not known: the keys are {', '.join(keys)}")


def parse_system(text: str, where: str) -> MineralSystem:
    """Read a mineral system.

    Args:
        text: TOML.
        where: the file, for messages.

    Raises:
        UsageError: it is no such TOML; every problem is named with what to write.

    """
    if len(text) > LONGEST:
        raise UsageError(f"{where} has {len(text):,} characters: a mineral system is a page of TOML")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{where} is no TOML ({error}): start from a system that is there, `lode system export NAME FILE`"
        ) from error
    read = _Reader()
    read.unknown(table, _KEYS)
    name = read.text(table, "name")
    if name and not NAME.fullmatch(name):
        read.problems.append(
            f"name is {name!r}: write lower-case letters, digits, _ and -, a letter first, at most 63"
        )
    system = MineralSystem(
        name=name,
        title=read.text(table, "title"),
        description=read.text(table, "description", is_needed=False),
        commodities=read.texts(table, "commodities"),
        elements=_elements(read, table.get("elements")),
        geology=_geology(read, table.get("geology")),
        anomaly_share=read.number(table, "anomaly_share", DEFAULT_SHARE, "a share from 0 to 1", 0.0, 1.0, ""),
        references=read.texts(table, "references"),
    )
    if read.problems:
        raise UsageError(
            f"{where} is no mineral system yet:\n" + "\n".join(f"- {each}" for each in read.problems)
        )
    return system


def to_toml(system: MineralSystem) -> str:
    """Write a mineral system, always the same way: elements by falling weight, every key in its place."""
    lines = [
        f"name = {_quoted(system.name)}",
        f"title = {_quoted(system.title)}",
        f"description = {_quoted(system.description)}",
        f"commodities = {_list(system.commodities)}",
        f"anomaly_share = {system.anomaly_share!r}",
        *_lines("references", system.references),
        "",
        "[elements]",
        *(
            f"{element} = {weight!r}"
            for element, weight in sorted(system.elements.items(), key=lambda item: (-item[1], item[0]))
        ),
    ]
    for rule in system.geology:
        lines += ["", "[[geology]]", f"feature = {_quoted(rule.feature)}"]
        if rule.name is not None:
            lines.append(f"name = {_quoted(rule.name)}")
        if rule.match:
            lines.append(f"match = {_list(rule.match)}")
        if rule.range_m is not None:
            lines.append(f"range_m = {rule.range_m!r}")
        lines.append(f"weight = {rule.weight!r}")
        if rule.feature == "layer":
            lines.append(f"direction = {_quoted(rule.direction)}")
    return "\n".join(lines) + "\n"


def _elements(read: _Reader, table: Any) -> dict[str, float]:
    if not isinstance(table, dict) or not table:
        read.problems.append("there is no [elements]: name one at least with its weight, as Li = 1.0")
        return {}
    found = {}
    for symbol in table:
        formula = _FORMULA.fullmatch(symbol)
        if formula is None or formula[1] not in _SYMBOLS:
            read.problems.append(f"elements: {symbol!r} is no element or oxide: write Li, Cr2O3, ...")
            continue
        found[symbol] = read.number(table, symbol, 1.0, "a weight above 0", math.ulp(0.0), 1e6, "elements: ")
    return found


def _geology(read: _Reader, tables: Any) -> tuple[GeologyRule, ...]:
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        read.problems.append(
            'there is no [[geology]]: write one rule at least, as [[geology]], feature = "pluton", '
            "range_m = 2000"
        )
        return ()
    return tuple(_rule(read, table, f"geology {place}: ") for place, table in enumerate(tables, 1))


def _rule(read: _Reader, table: Mapping[str, Any], where: str) -> GeologyRule:
    read.unknown(table, _RULE_KEYS, where)
    feature = table.get("feature")
    if feature not in FEATURES:
        read.problems.append(f"{where}feature is {_shown(feature)}: write one of {', '.join(FEATURES)}")
    is_layer = feature == "layer"
    name = read.text(table, "name", where) if "name" in table else None
    match = tuple(dict.fromkeys(read.texts(table, "match", where)))
    if is_layer and name is None and not match:
        read.problems.append(f"{where}which layer is meant is not said: write its name, or match = [words]")
    if is_layer and name is not None and match:
        read.problems.append(f"{where}it has both name and match: write one of them")
    if not is_layer and name is not None:
        read.problems.append(f"{where}only layers have a name: choose features by match = [words]")
    if feature == "lithology" and not match:
        read.problems.append(f"{where}which rocks are meant is not said: write match = [words]")
    range_m = None
    if "range_m" in table:
        range_m = read.number(table, "range_m", 1.0, "a distance above 0, m", 1e-3, 1e7, where)
        if is_layer:
            read.problems.append(f"{where}a layer has no range_m: leave it out")
    elif feature in ("fault", "pluton"):
        read.problems.append(f"{where}range_m is missing: write over what distance it tells, m")
    direction = table.get("direction", "high")
    if direction not in DIRECTIONS:
        read.problems.append(f"{where}direction is {_shown(direction)}: write {' or '.join(DIRECTIONS)}")
    elif "direction" in table and not is_layer:
        read.problems.append(f"{where}only layers have a direction: leave it out")
    return GeologyRule(
        feature=str(feature),
        name=name,
        match=match,
        range_m=range_m,
        weight=read.number(table, "weight", 1.0, "a weight above 0", math.ulp(0.0), 1e6, where),
        direction=str(direction),
    )


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:80]


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_quoted, texts)) + "]"


def _lines(key: str, texts: tuple[str, ...]) -> list[str]:
    if not texts:
        return [f"{key} = []"]
    return [f"{key} = [", *(f"  {_quoted(text)}," for text in texts), "]"]
