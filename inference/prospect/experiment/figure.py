"""The figure of the experiment: rows with their intervals, a panel for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from inference.prospect.ore_blocks import LEAST_BLOCKS

ROW_IN, WIDTH_IN, MARGIN_IN, LEGEND_IN = 0.26, 7.2, 1.2, 0.5
COLOR = "#1f4e79"
PLANTED = ("simulated", "implanted")
"""Parts whose ore was planted, in the order in which they are drawn."""


@dataclass(frozen=True)
class _Panel:
    """One panel.

    Attributes:
        title: what data it is of.
        label: of the axis: the figure, and what is drawn for its intervals.
        bars: name and figure of each row.

    """

    title: str
    label: str
    bars: Sequence[tuple[str, Mapping[str, Any]]]


def experiment_figure(result: Mapping[str, Any]) -> Figure:
    """Draw every panel that has rows.

    Raises:
        ValueError: nothing was run.

    """
    panels = _panels(result)
    if not panels:
        raise ValueError("there is nothing to draw")
    heights = [len(panel.bars) * ROW_IN + MARGIN_IN for panel in panels]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + LEGEND_IN), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _draw(axis, panel)
    figure.legend(handles=_marks(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _marks() -> list[Line2D]:
    return [
        Line2D([], [], color=COLOR, marker="o", markersize=5, linestyle="", label="mean of the seeds"),
        Line2D([], [], color=COLOR, marker="|", markersize=7, linestyle="", label="one seed"),
        Line2D([], [], color=COLOR, linewidth=1.6, alpha=0.55, label="95 % interval of the mean"),
    ]


def _panels(result: Mapping[str, Any]) -> list[_Panel]:
    panels = []
    for data in PLANTED:
        if result[data]:
            panels += _planted_panels(data, result[data])
    real = result["real"]
    for test in dict.fromkeys(row["test"] for row in real["rows"]) if real else ():
        rows = [row for row in real["rows"] if row["test"] == test]
        groups = _drawn(rows[0]["groups"], "groups of deposits whose patches overlap")
        panels.append(
            _Panel(
                f"real survey, {test} judged: deposits against judged ground",
                f"ROC-AUC; {groups}",
                [(row["network"], row["roc_auc"]) for row in rows],
            )
        )
    return panels


def _planted_panels(data: str, part: Mapping[str, Any]) -> list[_Panel]:
    """Panels of a part whose ore was planted; each title says what the data are."""
    rows = part["rows"]
    blocks = rows[0]["few_blocks"] or _drawn(rows[0]["blocks"], "test blocks")
    panels = [
        _Panel(f"{data}: test patches", f"{title}; {blocks}", [(row["network"], row[name]) for row in rows])
        for name, title in (("balanced_accuracy", "balanced accuracy"), ("roc_auc", "ROC-AUC"))
    ]
    for kind, what in (("A", "with its spectrum, without its geology"), ("B", "in geology alone")):
        on_decoys = [(row["network"], row["decoys"][kind]) for row in rows]
        bars = [(name, said["roc_auc"]) for name, said in on_decoys if said["roc_auc"]["mean"] is not None]
        if bars:
            places = rows[0]["decoys"]["ore"]["places"], rows[0]["decoys"][kind]["places"]
            drawn = _drawn(min(places), f"places ({places[0]} of ore, {places[1]} of decoys)")
            panels.append(_Panel(f"{data}: ore against decoys {what}", f"ROC-AUC; {drawn}", bars))
    found = [row for row in part.get("transfer", ()) if "top" in row]
    if found:
        clusters = _drawn(found[0]["top"]["0.1"]["places"], "clusters of dykes")
        panels.append(
            _Panel(
                f"{data}, another district: dykes in the best 10 % of the area",
                f"share of the dykes; {clusters}",
                [(row["network"], row["top"]["0.1"]) for row in found],
            )
        )
    return panels


def _drawn(count: int, what: str) -> str:
    """What intervals come from."""
    if count < LEAST_BLOCKS:
        return f"no intervals: too few {what}"
    return f"intervals: {what} drawn anew"


def _draw(axis: Axes, panel: _Panel) -> None:
    for place, (_name, figure) in enumerate(panel.bars):
        low, high = figure.get("low"), figure.get("high")
        if low is not None and high is not None:
            axis.plot([low, high], [place, place], color=COLOR, linewidth=1.6, alpha=0.55)
        every = [value for value in figure.get("values", []) if value is not None]
        axis.plot(every, [place] * len(every), "|", color=COLOR, markersize=7)
        mean = figure.get("mean") if figure.get("mean") is not None else figure.get("value")
        if mean is not None:
            axis.plot([mean], [place], "o", color=COLOR, markersize=5)
    names = [name for name, _figure in panel.bars]
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 1.02)
    axis.set_xlabel(panel.label, fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set_title(panel.title, fontsize=9, loc="left")
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
