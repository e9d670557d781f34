"""How the layers of a search for ore look: probabilities by shade, patches by part and label."""

from __future__ import annotations

from itertools import pairwise

from db.qgis.names import Name, in_language
from db.qgis.qml import Category, Look, Range

PROBABILITY_RAMP = ("#fdf8e4", "#fee08b", "#fdae61", "#f46d43", "#c9252f", "#730b2a")
"""Colours of probabilities 0 to 1 at even steps: ever darker, so that they also read in grey."""

TARGET_COLOUR = "#12305c"
"""Outline of targets: none of the colours of probabilities."""

_STEPS = 10
_PARTS: dict[str, tuple[Name, str, str]] = {
    "train": (("training", "训练"), "#1f4e9e", "#9db8e3"),
    "validation": (("validation", "验证"), "#6a3d9a", "#cab2d6"),
    "test": (("test", "检验"), "#b15928", "#f2c594"),
}
"""Name of each part, and its colours with ore and without."""
_LABELS: dict[bool, Name] = {True: ("ore-bearing", "含矿"), False: ("barren", "不含矿")}
_PART_AND_LABEL = "\"split\" || CASE WHEN \"is_positive\" THEN ' ore' ELSE ' barren' END"


def ramp_colour(share: float) -> str:
    """The colour of a probability 0..1, #rrggbb."""
    place = min(max(share, 0.0), 1.0) * (len(PROBABILITY_RAMP) - 1)
    first = min(int(place), len(PROBABILITY_RAMP) - 2)
    ends = [
        [int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in PROBABILITY_RAMP[first : first + 2]
    ]
    parts = [low + (high - low) * (place - first) for low, high in zip(*ends, strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def prospect_look(table: str, *, chinese_only: bool) -> Look | None:
    """What a layer of a search looks like; None for any other layer."""
    if table == "prospect_map":
        return Look("fill", attribute="probability", ranges=_shades(), opacity=0.8)
    if table == "prospect_target":
        return Look("outline", TARGET_COLOUR, label_field="rank")
    if table == "prospect_sample":
        legend = [
            Category(
                f"{part} {'ore' if is_positive else 'barren'}",
                in_language(
                    (f"{name[0]}, {_LABELS[is_positive][0]}", f"{name[1]}{_LABELS[is_positive][1]}"),
                    chinese_only=chinese_only,
                ),
                with_ore if is_positive else without,
            )
            for part, (name, with_ore, without) in _PARTS.items()
            for is_positive in (True, False)
        ]
        return Look("outline", attribute=_PART_AND_LABEL, categories=legend)
    return None


def _shades() -> list[Range]:
    """Ten even steps; each in the colour of its middle."""
    edges = [place / _STEPS for place in range(_STEPS + 1)]
    return [
        Range(lower, upper, f"{lower:.1f}–{upper:.1f}", ramp_colour((lower + upper) / 2))
        for lower, upper in pairwise(edges)
    ]
