"""The reliability diagram: share of hits against probability, and how often each is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from inference.evaluation.calibration import Calibration

HIT_COLOUR = "#2b6ca3"
TOO_SURE_COLOUR = "#d7301f"
TOO_MODEST_COLOUR = "#4f9d4f"
GAP_STYLE: dict[str, Any] = {"alpha": 0.55, "hatch": "////", "linewidth": 0.5}
SMALLEST_GAP = 0.002
"""Drawn; less is thinner than a line."""
PANEL_WIDTH, PANEL_HEIGHT = 3.4, 4.9  # inches; the upper panels come out about square


def reliability_figure(panels: Sequence[tuple[str, Calibration]]) -> Figure:
    """One column a calibration, e.g. before and after temperature scaling.

    Above, a bar for every bin of probability reaches to the share of hits; what it lacks to the mean
    probability is drawn red (too sure), what it has more green (too modest). Below, the share of all pixels
    in each bin: a gap where hardly any pixel is does no harm.

    Args:
        panels: title and figures of each column.

    Raises:
        ValueError: no panels.

    """
    if not panels:
        raise ValueError("a reliability diagram needs at least one calibration")
    figure = Figure(figsize=(PANEL_WIDTH * len(panels), PANEL_HEIGHT), layout="constrained")
    # pyplot would choose a backend for the whole process; a canvas of its own leaves others alone
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
    for (title, calibration), upper, lower in zip(panels, axes[0], axes[1], strict=True):
        _draw_hits(upper, calibration)
        _draw_pixels(lower, calibration)
        upper.set_title(title, fontsize=10)
    axes[0][0].set_ylabel("share of hits")
    axes[1][0].set_ylabel("share of pixels")
    handles = [
        Line2D([], [], color="black", linewidth=0.8, linestyle="--", label="as claimed"),
        Patch(facecolor=HIT_COLOUR, label="share of hits"),
        Patch(facecolor=TOO_SURE_COLOUR, edgecolor=TOO_SURE_COLOUR, label="too sure", **GAP_STYLE),
        Patch(facecolor=TOO_MODEST_COLOUR, edgecolor=TOO_MODEST_COLOUR, label="too modest", **GAP_STYLE),
    ]
    columns = 2 if len(panels) == 1 else len(handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def draw_reliability(panels: Sequence[tuple[str, Calibration]], path: Path) -> Path:
    """Write `reliability_figure` to a file, whose ending says the format."""
    reliability_figure(panels).savefig(path, dpi=110)
    return path


def _draw_hits(axis: Axes, calibration: Calibration) -> None:
    pooled = calibration.called.pooled
    hit_rate, probability = pooled.hit_rate[0], pooled.mean_probability[0]
    is_full = pooled.pixels[0] > 0
    width = 1 / calibration.bins
    middles = (np.flatnonzero(is_full) + 0.5) * width
    hit_rate, probability = hit_rate[is_full], probability[is_full]
    gaps = probability - hit_rate
    axis.bar(middles, hit_rate, width, color=HIT_COLOUR, edgecolor="white")
    for is_kind, colour in (
        (gaps > SMALLEST_GAP, TOO_SURE_COLOUR),
        (gaps < -SMALLEST_GAP, TOO_MODEST_COLOUR),
    ):
        axis.bar(
            middles[is_kind], gaps[is_kind], width, bottom=hit_rate[is_kind], color=colour, edgecolor=colour,
            **GAP_STYLE,
        )  # fmt: skip
    axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    known = "ECE unknown" if np.isnan(calibration.ece) else f"ECE {100 * calibration.ece:.1f} %"
    axis.text(0.04, 0.96, f"{known}\n{calibration.pixels:,} px", va="top", fontsize=9)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_pixels(axis: Axes, calibration: Calibration) -> None:
    pixels = calibration.called.pooled.pixels[0]
    width = 1 / calibration.bins
    middles = (np.arange(calibration.bins) + 0.5) * width
    axis.bar(middles, pixels / max(pixels.sum(), 1), width, color="grey", edgecolor="white")
    axis.set_ylim(0, 1)
    axis.set_xlabel("probability of the called class")
    axis.spines[["top", "right"]].set_visible(False)
