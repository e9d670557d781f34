"""A mineral system: which elements tell of an ore, and which geology favours it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from db.errors import UsageError

FEATURES = ("fault", "pluton", "lithology", "layer")
"""What a rule can be about: mapped features, or a layer of the study area."""

DIRECTIONS = ("high", "low")
"""Whether high or low values of a layer favour the ore."""

DEFAULT_SHARE = 0.5
"""Share of the anomaly in the score where a system does not say another."""


@dataclass(frozen=True)
class GeologyRule:
    """Geology that favours an ore.

    Attributes:
        feature: one of ``FEATURES``.
        name: of the layer; None: every layer whose name holds one of the words, or another feature.
        match: words looked for, in any case, in a fault's type, a pluton's lithology, a mapped rock or the
            name of a layer; (): every fault or pluton.
        range_m: distance from the feature over which it favours the ore, m: its effect falls to 1/e of that
            inside; None: a rock that counts inside only, or a layer.
        weight: above 0, among the rules.
        direction: of a layer, one of ``DIRECTIONS``.

    """

    feature: str
    name: str | None = None
    match: tuple[str, ...] = ()
    range_m: float | None = None
    weight: float = 1.0
    direction: str = "high"

    @property
    def text(self) -> str:
        """The rule in words."""
        words = ", ".join(self.match)
        if self.feature == "layer":
            of = self.name if self.name is not None else f"layer with {words} in its name"
            return f"{self.direction} {of}"
        what = self.feature + (f" ({words})" if words else "")
        return f"inside {what}" if self.range_m is None else f"near {what}, range {self.range_m:g} m"

    def as_json(self) -> dict[str, Any]:
        """For a model and for the digest."""
        return asdict(self) | {"match": list(self.match)}


@dataclass(frozen=True)
class MineralSystem:
    """What a kind of ore leaves in the evidence.

    Attributes:
        name: by which it is called.
        title, description: for people.
        commodities: what is mined.
        elements: weights, above 0, of the elements (or oxides) whose excess tells of it.
        geology: rules of favourability.
        anomaly_share: a in S = rank(A)^a rank(F)^(1 - a), 0..1.
        references: literature.

    """

    name: str
    title: str
    description: str
    commodities: tuple[str, ...]
    elements: dict[str, float]
    geology: tuple[GeologyRule, ...]
    anomaly_share: float = DEFAULT_SHARE
    references: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the model that is trained with it, which keeps it whole."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "commodities": list(self.commodities),
            "elements": dict(self.elements),
            "geology": [rule.as_json() for rule in self.geology],
            "anomaly_share": self.anomaly_share,
            "references": list(self.references),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of what `as_json` gives, whatever the order in which elements were written."""
        text = json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> MineralSystem:
        """What `as_json` wrote.

        Raises:
            UsageError: it is not that.

        """
        try:
            rules = tuple(
                GeologyRule(**{**rule, "match": tuple(map(str, rule["match"]))}) for rule in stored["geology"]
            )
            return cls(
                name=str(stored["name"]),
                title=str(stored["title"]),
                description=str(stored["description"]),
                commodities=tuple(map(str, stored["commodities"])),
                elements={str(key): float(value) for key, value in stored["elements"].items()},
                geology=rules,
                anomaly_share=float(stored["anomaly_share"]),
                references=tuple(map(str, stored["references"])),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a stored mineral system cannot be read ({error!r}): train the model again"
            ) from error
