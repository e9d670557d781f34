"""The figure of an experiment: some test places in rows; scene, label and one column a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from db.classes import LandClass
from inference.experiments.files import write_whole
from inference.segmentation_model import CLASS_CODES, IGNORED

PANEL_IN, LEFT_IN, TOP_IN = 1.55, 0.95, 0.42
LEGEND_IN = 0.62
GAP = 0.05
UNLABELLED, UNOBSERVED = "#8f8f8f", "#ffffff"
CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Heiti SC",
    "AR PL UMing CN", "AR PL UKai CN", "Droid Sans Fallback",
)  # fmt: skip


@dataclass(frozen=True)
class PictureRow:
    """One place.

    Attributes:
        title: says where and when.
        scene: (height, width, 3) colours 0 to 1.
        label: (height, width) class codes, 255 where there is no test label.
        predicted: the answer of each network, in the order of the columns, 255 where nothing was observed.

    """

    title: str
    scene: NDArray[np.float32]
    label: NDArray[np.uint8]
    predicted: tuple[NDArray[np.uint8], ...]


def experiment_figure(
    rows: Sequence[PictureRow], networks: Sequence[str], classes: Sequence[LandClass], caption: str
) -> Figure:
    """Draw the places.

    Args:
        rows: the places, at least one.
        networks: name of each column behind scene and label.
        classes: names and colours.
        caption: a line below, e.g. which models answered.

    Raises:
        ValueError: no place.

    """
    if not rows:
        raise ValueError("there is no place to draw")
    columns = 2 + len(networks)
    width, height = LEFT_IN + PANEL_IN * columns, TOP_IN + PANEL_IN * len(rows) + LEGEND_IN
    figure = Figure(figsize=(width, height), facecolor="white")
    # pyplot would choose a backend for the whole process; a canvas of its own leaves others alone
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(rows), columns, squeeze=False,
        gridspec_kw={
            "left": LEFT_IN / width, "right": 1 - 0.08 / width, "top": 1 - TOP_IN / height,
            "bottom": LEGEND_IN / height, "wspace": GAP, "hspace": GAP,
        },
    )  # fmt: skip
    labels, answers = _palette(classes, UNLABELLED), _palette(classes, UNOBSERVED)
    for line, row in zip(axes, rows, strict=True):
        pictures: list[NDArray[Any]] = [row.scene, labels[row.label]]
        pictures += [answers[codes] for codes in row.predicted]
        for axis, picture in zip(line, pictures, strict=True):
            _show(axis, picture)
        line[0].set_ylabel(row.title, fontsize=8, rotation=0, ha="right", va="center", labelpad=5)
    for axis, title in zip(axes[0], ("scene", "label", *networks), strict=True):
        axis.set_title(title, fontsize=10, pad=5)
    _add_legend(figure, classes, LEGEND_IN / height)
    figure.text(0.5, 0.06 / height, caption, ha="center", va="bottom", fontsize=7.5, color="#444444")
    return figure


def draw_experiment(
    rows: Sequence[PictureRow],
    networks: Sequence[str],
    classes: Sequence[LandClass],
    caption: str,
    path: Path,
) -> Path:
    """Write `experiment_figure` to a file, whose ending says the format; whole or not at all."""
    figure = experiment_figure(rows, networks, classes, caption)
    return write_whole(path, lambda part: figure.savefig(part, dpi=150))


def chinese_font() -> str | None:
    """A font that is here and knows Chinese; None where there is none."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CHINESE_FONTS if name in known), None)


def stretched(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    dark: NDArray[np.float64],
    bright: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(height, width, 3) colours 0 to 1 of three bands (3, height, width); white where not observed.

    Args:
        values: red, green, blue.
        valid: (height, width) observed pixels.
        dark: (3,) values that become black.
        bright: (3,) values that become full.

    """
    span = np.where(bright > dark, bright - dark, 1.0)
    shares = (values - dark[:, None, None]) / span[:, None, None]
    colours = np.power(np.clip(shares, 0, 1), 0.8).transpose(1, 2, 0).astype(np.float32)
    colours[~valid] = 1.0
    return colours


def _show(axis: Axes, picture: NDArray[Any]) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(linewidth=0.4, color="#555555")


def _palette(classes: Sequence[LandClass], without: str) -> NDArray[np.uint8]:
    """(256, 3) colours by class code; ``without`` where there is none."""
    palette = np.full((256, 3), 255, np.uint8)
    for each in classes:
        palette[each.code] = _rgb(each.colour)
    palette[IGNORED] = _rgb(without)
    return palette


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _add_legend(figure: Figure, classes: Sequence[LandClass], top: float) -> None:
    font = chinese_font()
    families = ["DejaVu Sans"] if font is None else ["DejaVu Sans", font]
    handles = [
        Patch(
            facecolor=each.colour,
            edgecolor="#555555",
            linewidth=0.4,
            label=each.name if font is None else f"{each.name} {each.name_zh}",
        )
        for each in classes
        if each.code in CLASS_CODES
    ]
    handles.append(Patch(facecolor=UNLABELLED, edgecolor="#555555", linewidth=0.4, label="no test label"))
    figure.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, top), ncols=len(handles), frameon=False,
        handlelength=1.1, handleheight=1.1, columnspacing=1.2, prop={"family": families, "size": 8},
    )  # fmt: skip
