"""How the layers of a search for ore look: probabilities and scores by shade, patches by part and label."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from db.qgis.names import Name, in_language
from db.qgis.qml import Category, Look, Range

PROBABILITY_RAMP = ("#fdf8e4", "#fee08b", "#fdae61", "#f46d43", "#c9252f", "#730b2a")
"""Colours of probabilities 0 to 1 at even steps: ever darker, so that they also read in grey."""

TARGET_COLOUR = "#12305c"
"""Outline of targets: none of the colours of probabilities."""

SCORE_RAMPS = {
    "prospectivity": ("#f4f1fa", "#d5cbe9", "#b09fd3", "#8a70b8", "#65429a", "#3f1471"),
    "anomaly": ("#fff6e5", "#fdd9a0", "#f8b05c", "#e07f2b", "#b35413", "#6f2f08"),
    "favourability": ("#eef7f0", "#c7e5cf", "#93cda9", "#57ad82", "#25855d", "#0a5238"),
}
"""Colours of each score of a search that was made without deposits, the lowest first: ever darker, and no
colours of probabilities, which they are not."""

SCORE_NAMES: dict[str, Name] = {
    "prospectivity": ("Prospectivity (a rank, no probability)", "成矿远景度（排序值，非概率）"),
    "anomaly": ("Anomaly (deviations above what was expected)", "异常（超出期望的偏差倍数）"),
    "favourability": ("Favourability of the geology", "地质有利度"),
}
"""What the layers of these scores are called, the one that counts first."""

REASON_COLOUR = "#5b3a8c"
OPEN_END = 1e9
"""Upper end of a class without one: QGIS knows no infinite class."""

_ANOMALY_EDGES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""In robust deviations; finer where most ground lies. The last class has no upper end."""
_STEPS = 10
_PARTS: dict[str, tuple[Name, str, str]] = {
    "train": (("training", "训练"), "#1f4e9e", "#9db8e3"),
    "validation": (("validation", "验证"), "#6a3d9a", "#cab2d6"),
    "test": (("test", "检验"), "#b15928", "#f2c594"),
}
"""Name of each part, and its colours with ore and without."""
_LABELS: dict[bool, Name] = {True: ("ore-bearing", "含矿"), False: ("barren", "不含矿")}
_PART_AND_LABEL = "\"split\" || CASE WHEN \"is_positive\" THEN ' ore' ELSE ' barren' END"


def ramp_colour(share: float, ramp: Sequence[str] = PROBABILITY_RAMP) -> str:
    """The colour of a probability, or of another share 0..1 of a ramp, #rrggbb."""
    place = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    first = min(int(place), len(ramp) - 2)
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in ramp[first : first + 2]]
    parts = [low + (high - low) * (place - first) for low, high in zip(*ends, strict=True)]
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def prospect_scores(table: str) -> tuple[str, ...]:
    """Columns of a relation that are a layer of their own each; none where it is one layer."""
    return tuple(SCORE_NAMES) if table == "prospectivity_map" else ()


def prospect_look(table: str, *, chinese_only: bool, score: str | None = None) -> Look | None:
    """What a layer of a search looks like; None for any other layer.

    Args:
        table: relation.
        chinese_only: labels in Chinese instead of in both languages.
        score: one of ``prospect_scores``; None: the first.

    """
    if table == "prospect_map":
        return Look("fill", attribute="probability", ranges=_shades(), opacity=0.8)
    if table == "prospectivity_map":
        return Look("fill", attribute=score or "prospectivity", ranges=score_ranges(score), opacity=0.8)
    if table == "prospect_reason":
        return Look("outline", REASON_COLOUR)
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


def score_ranges(score: str | None) -> list[Range]:
    """Classes of a score; those of the anomaly have no upper end, for it has none."""
    if score != "anomaly":
        return _shades(SCORE_RAMPS[score or "prospectivity"])
    ends = (*_ANOMALY_EDGES[1:], OPEN_END)
    last = len(_ANOMALY_EDGES) - 1
    return [
        Range(
            lower,
            upper,
            f"{lower:g}–{upper:g}" if place < last else f"≥ {lower:g}",
            ramp_colour(place / last, SCORE_RAMPS["anomaly"]),
        )
        for place, (lower, upper) in enumerate(zip(_ANOMALY_EDGES, ends, strict=True))
    ]


def _shades(ramp: Sequence[str] = PROBABILITY_RAMP) -> list[Range]:
    """Ten even steps; each in the colour of its middle."""
    edges = [place / _STEPS for place in range(_STEPS + 1)]
    return [
        Range(lower, upper, f"{lower:.1f}–{upper:.1f}", ramp_colour((lower + upper) / 2, ramp))
        for lower, upper in pairwise(edges)
    ]
