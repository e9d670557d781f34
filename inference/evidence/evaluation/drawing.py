"""Evaluations drawn: curves of every method, and their maps side by side with the deposits on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from db.raster import Grid
from inference.evidence.evaluation.judging import Evaluation, MethodEvaluation
from inference.evidence.evaluation.map_panels import COLOURS, draw_map, ranks_of
from inference.evidence.evaluation.stored import SCORES
from inference.experiments.files import write_whole

if TYPE_CHECKING:
    from inference.evidence.evaluation.searches import SearchEvaluation

MAIN_COLOUR, AREA_COLOUR = "#12305c", "#c4502e"
OTHER_COLOURS = (
    *("#c4502e", "#1f8a70", "#8e5bb5", "#d39b1e", "#3f8fd2", "#8a6d3b", "#d46a9f", "#6b7a78", "#7aa32a"),
    *("#a3262a", "#2b5f56", "#b8a3d6", "#4d4d4d"),
)
WIDTH_IN, CURVES_IN, LEGEND_LINE_IN = 12.0, 4.1, 0.21
MAPS_ACROSS = 4
LETTERS_PT, SMALL_PT = 10, 9


def draw_comparison(
    path: Path,
    grid: Grid,
    scores: Mapping[str, NDArray[np.floating]],
    evaluation: Evaluation,
    *,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    dpi: int = 110,
) -> None:
    """Draw methods that were evaluated together: ROC, capture and prediction-area plots, and maps.

    Args:
        path: PNG to be written.
        grid: of the scores.
        scores: (height, width) of every method to be mapped, by its name in the evaluation; the first is the
            one whose prediction-area plot is drawn.
        evaluation: of these methods.
        labels: what to call them; by default their names.
        title: above all.
        dpi: dots per inch.

    Raises:
        UsageError: the file cannot be written.

    """
    figure = comparison_figure(grid, scores, evaluation, labels=labels, title=title)
    write_whole(path, lambda part: figure.savefig(part, dpi=dpi, format="png"))


def comparison_figure(
    grid: Grid,
    scores: Mapping[str, NDArray[np.floating]],
    evaluation: Evaluation,
    *,
    labels: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """The figure that `draw_comparison` writes; arguments as there."""
    names = list(scores)
    said = {name: (labels or {}).get(name, name) for name in names}
    across = min(MAPS_ACROSS, max(len(names), 2))
    down = -(-len(names) // across)
    is_judged = np.logical_and.reduce([np.isfinite(each) for each in scores.values()])
    rows, cols = np.flatnonzero(is_judged.any(axis=1)), np.flatnonzero(is_judged.any(axis=0))
    shape = (rows[-1] - rows[0] + 1) * grid.resolution_y, (cols[-1] - cols[0] + 1) * grid.resolution_x
    map_in = min(max(WIDTH_IN / across * shape[0] / shape[1], 1.6), 5.5) + 0.45
    legend_in = LEGEND_LINE_IN * (len(names) + 2) + 0.2
    heights = [CURVES_IN, legend_in, down * map_in + 0.5]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    parts = figure.subfigures(3, 1, squeeze=False, height_ratios=heights, hspace=0.02)
    upper, middle, lower = parts[:, 0]
    colours = dict(zip(names, (MAIN_COLOUR, *OTHER_COLOURS * 9), strict=False))
    roc, capture, area = upper.subplots(1, 3)
    draw_roc(roc, evaluation, names, colours)
    draw_capture(capture, evaluation, names, colours)
    draw_prediction_area(area, evaluation.methods[names[0]], said[names[0]])
    _draw_table(middle, evaluation, names, said, colours)
    axes = lower.subplots(down, across, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        draw_map(axis, grid, ranks_of(scores[name], is_judged), evaluation.deposits, said[name])
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    bar = lower.colorbar(
        ScalarMappable(Normalize(0, 1), COLOURS), ax=list(axes), location="bottom", shrink=0.4, aspect=40,
        pad=0.02,
    )  # fmt: skip
    bar.set_label(
        "share of the ground that scores lower (dark: highest); circles: deposits", fontsize=SMALL_PT
    )
    bar.ax.tick_params(labelsize=SMALL_PT)
    return figure


def draw_evaluation(path: Path, found: SearchEvaluation) -> None:
    """Draw the evaluation of a search: its three scores, the plain answers, and what it was compared with."""
    order = [*SCORES, *(name for name in found.scores if name not in SCORES)]
    labels = {
        "mahalanobis": "Mahalanobis distance",
        "single_layer": "single layer of most weight",
        "best_layer": "best layer in hindsight",
    }
    search = found.search
    draw_comparison(
        path,
        found.grid,
        {name: found.scores[name] for name in order},
        found.evaluation,
        labels=labels,
        title=f"Search {search.prospect_run_id} of {search.area}: {search.model}",
    )


def draw_roc(axis: Axes, evaluation: Evaluation, names: Sequence[str], colours: Mapping[str, str]) -> None:
    """ROC curves of methods; a grey diagonal for chance."""
    axis.plot([0, 1], [0, 1], color="#b5b5b5", linewidth=1, linestyle="--", label="chance")
    for place, name in reversed(list(enumerate(names))):
        curves = evaluation.methods[name].curves
        axis.plot(curves.false, curves.true, color=colours[name], **_line(place))
    _labelled(axis, "ROC curve", "share of ground without a deposit", "share of the deposits")


def draw_capture(
    axis: Axes, evaluation: Evaluation, names: Sequence[str], colours: Mapping[str, str]
) -> None:
    """Captured deposits against area, where people would look first: the best 30 %."""
    most = 0.3
    axis.plot([0, most], [0, most], color="#b5b5b5", linewidth=1, linestyle="--")
    for place, name in reversed(list(enumerate(names))):
        curves = evaluation.methods[name].curves
        axis.plot(curves.area, curves.captured, color=colours[name], **_line(place))
    _labelled(axis, "Deposits in the best ground", "share of the area, best first", "share of the deposits")
    axis.set_xlim(0, most)


def draw_prediction_area(axis: Axes, method: MethodEvaluation, name: str) -> None:
    """Prediction-area plot: captured deposits upwards and area downwards, against the score."""
    curves = method.curves
    score = np.array(curves.score)
    axis.plot(score, curves.captured, color=MAIN_COLOUR, linewidth=2)
    axis.plot(score, 1 - np.array(curves.area), color=AREA_COLOUR, linewidth=2)
    capture, density = method.figures["pa_capture"].value, method.figures["density"].value
    at = float(np.interp(1 - capture, curves.area, score))
    axis.plot([at], [capture], "o", color="white", markeredgecolor="black", markersize=8, zorder=5)
    axis.annotate(
        f"{100 * capture:.0f} % of the deposits\nin {100 * (1 - capture):.0f} % of the area\n"
        f"density {density:.2f}",
        (at, capture), xytext=(0.36, 0.12), textcoords="axes fraction", fontsize=SMALL_PT, va="center",
        arrowprops={"arrowstyle": "-", "color": "#777777"},
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )  # fmt: skip
    _labelled(axis, f"Prediction-area plot: {name}", f"score: {name}", "share of the deposits")
    least, most = float(score.min()), float(score.max())
    axis.set_xlim(least, most if most > least else least + 1)
    axis.yaxis.label.set_color(MAIN_COLOUR)
    right = axis.secondary_yaxis("right", functions=(_rest, _rest))
    right.set_ylabel("share of the area (downwards)", fontsize=SMALL_PT, color=AREA_COLOUR)
    right.tick_params(labelsize=SMALL_PT)


def _rest(share: ArrayLike) -> NDArray[np.float64]:
    return 1 - np.asarray(share, np.float64)


def _draw_table(
    part: Figure,
    evaluation: Evaluation,
    names: Sequence[str],
    said: Mapping[str, str],
    colours: Mapping[str, str],
) -> None:
    """The lines' colours with figures in columns."""
    axis = part.subplots()
    axis.set_axis_off()
    lines = len(names) + 2
    axis.set_xlim(0, 1)
    axis.set_ylim(lines, 0)
    places = (0.045, 0.36, 0.50, 0.64, 0.74, 0.84, 0.94)
    heads = ("", "area under ROC", "95 % interval", "null p", "in best 5 %", "in best 10 %", "density")
    for x, head in zip(places, heads, strict=True):
        axis.text(x, 0.5, head, fontsize=SMALL_PT, fontweight="bold", va="center")
    for place, name in enumerate(names):
        y = place + 1.5
        figures = evaluation.methods[name].figures
        roc = figures["roc_auc"]
        ends = "–" if roc.low is None else f"{roc.low:.3f} to {roc.high:.3f}"
        null = "–" if roc.null_p is None else f"{roc.null_p:.3f}"
        captures = [f"{100 * figures[key].value:.0f} %" for key in ("capture_5", "capture_10")]
        cells = (said[name], f"{roc.value:.3f}", ends, null, *captures, f"{figures['density'].value:.2f}")
        axis.plot([0.005, 0.035], [y, y], color=colours[name], linewidth=2.6 if place == 0 else 1.8)
        for x, cell in zip(places, cells, strict=True):
            axis.text(x, y, cell, fontsize=SMALL_PT, va="center", fontweight="bold" if place == 0 else None)
    counted = len(evaluation.deposits)
    axis.text(
        0.005, lines - 0.5,
        f"{counted} deposits in {evaluation.places} places on {evaluation.cells:,} cells; intervals: places "
        f"drawn anew; null: {evaluation.shifted} toroidal shifts; chance: 0.5, density 1",
        fontsize=SMALL_PT, va="center", color="#555555",
    )  # fmt: skip


def _line(place: int) -> dict[str, Any]:
    return {"linewidth": 2.6 if place == 0 else 1.5, "zorder": 4 if place == 0 else 3}


def _labelled(axis: Axes, title: str, x: str, y: str) -> None:
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.01)
    axis.set_title(title, fontsize=LETTERS_PT, loc="left")
    axis.set_xlabel(x, fontsize=SMALL_PT)
    axis.set_ylabel(y, fontsize=SMALL_PT)
    axis.tick_params(labelsize=SMALL_PT)
    axis.grid(color="#e6e6e6", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines["top"].set_visible(False)
