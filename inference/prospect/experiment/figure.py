"""The figure of the experiment: rows with their intervals, a panel for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROW_IN, WIDTH_IN, MARGIN_IN = 0.26, 7.2, 0.95
COLOR = "#1f4e79"
PLANTED = ("simulated", "implanted")
"""Parts whose ore was planted, in the order in which they are drawn."""


def experiment_figure(result: Mapping[str, Any]) -> Figure:
    """Draw every panel that has rows.

    Raises:
        ValueError: nothing was run.

    """
    panels = _panels(result)
    if not panels:
        raise ValueError("there is nothing to draw")
    heights = [len(bars) * ROW_IN + MARGIN_IN for _title, bars in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axis, (title, bars) in zip(axes[:, 0], panels, strict=True):
        _draw(axis, title, bars)
    return figure


def _panels(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    panels = []
    for data in PLANTED:
        if result[data]:
            panels += _planted_panels(data, result[data])
    real = result["real"]
    for test in dict.fromkeys(row["test"] for row in real["rows"]) if real else ():
        bars = [(row["network"], row["roc_auc"]) for row in real["rows"] if row["test"] == test]
        panels.append((f"real survey, {test} judged: ROC-AUC of the deposits", bars))
    return panels


def _planted_panels(
    data: str, part: Mapping[str, Any]
) -> list[tuple[str, list[tuple[str, Mapping[str, Any]]]]]:
    """Panels of a part whose ore was planted; each title says what the data are."""
    panels = []
    for figure, title in (("balanced_accuracy", "balanced accuracy"), ("roc_auc", "ROC-AUC")):
        bars = [(row["network"], row[figure]) for row in part["rows"]]
        panels.append((f"{data} test ground: {title}", bars))
    bars = [
        (row["network"], row["decoys"]["A"]["roc_auc"])
        for row in part["rows"]
        if row["decoys"]["A"].get("roc_auc", {}).get("mean") is not None
    ]
    if bars:
        panels.append((f"{data}: ROC-AUC of ore against decoys with its spectrum", bars))
    bars = [(row["network"], row["top"]["0.1"]) for row in part.get("transfer", ()) if "top" in row]
    if bars:
        panels.append((f"{data}, another district: share of dykes in the best 10 % of the area", bars))
    return panels


def _draw(axis: Axes, title: str, bars: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    for place, (_name, figure) in enumerate(bars):
        low, high = figure.get("low"), figure.get("high")
        if low is not None and high is not None:
            axis.plot([low, high], [place, place], color=COLOR, linewidth=1.6, alpha=0.55)
        every = [value for value in figure.get("values", []) if value is not None]
        axis.plot(every, [place] * len(every), "|", color=COLOR, markersize=7)
        mean = figure.get("mean") if figure.get("mean") is not None else figure.get("value")
        if mean is not None:
            axis.plot([mean], [place], "o", color=COLOR, markersize=5)
    axis.set_yticks(range(len(bars)), [name for name, _figure in bars], fontsize=8)
    axis.set_ylim(len(bars) - 0.5, -0.5)
    axis.set_xlim(0, 1.02)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_title(title, fontsize=9, loc="left")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
