"""The reliability diagram shows the figures it is drawn from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from inference.evaluation.calibration import Calibration, calibration_of
from inference.evaluation.reliability_plot import (
    HIT_COLOUR,
    TOO_MODEST_COLOUR,
    TOO_SURE_COLOUR,
    draw_reliability,
    reliability_figure,
)

CODES = (0, 6)


def claimed(probability: float, pixels: int, hits: int) -> Calibration:
    """Pixels called open pit with one probability, of which so many are."""
    shares = torch.tensor([1 - probability, probability], dtype=torch.float64)[None, :, None].expand(
        1, 2, pixels
    )
    reference = np.zeros((1, pixels), np.uint8)
    reference[:, :hits] = 6
    return calibration_of(shares, reference, CODES)


BOTH = claimed(0.95, 300, 180) + claimed(0.7, 100, 90)


def bars(figure: Figure, panel: int, colour: str | None = None) -> list[tuple[float, float, float]]:
    """Left edge, lower and upper end of the bars of one colour."""
    found = [bar for bar in figure.axes[panel].patches if isinstance(bar, Rectangle)]
    return [
        (round(bar.get_x(), 9), round(bar.get_y(), 9), round(bar.get_y() + bar.get_height(), 9))
        for bar in found
        if colour is None or same_color(bar.get_facecolor()[:3], colour)
    ]


def test_bars_reach_to_the_share_of_hits_and_from_there_to_what_was_claimed() -> None:
    figure = reliability_figure([("before", BOTH)])
    # 0.7 lies in the eleventh of fifteen bins, 0.95 in the fifteenth
    assert bars(figure, 0, HIT_COLOUR) == [(round(10 / 15, 9), 0, 0.9), (round(14 / 15, 9), 0, 0.6)]
    assert bars(figure, 0, TOO_SURE_COLOUR) == [(round(14 / 15, 9), 0.6, 0.95)]
    assert bars(figure, 0, TOO_MODEST_COLOUR) == [(round(10 / 15, 9), 0.9, 0.7)]


def test_pixels_are_shown_below() -> None:
    figure = reliability_figure([("before", BOTH)])
    heights = [upper for _, _, upper in bars(figure, 1)]
    assert heights == [*[0] * 10, 0.25, 0, 0, 0, 0.75]


def test_a_panel_tells_its_error() -> None:
    figure = reliability_figure([("before", BOTH), ("after", claimed(0.9, 10, 9))])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["before", "after"]
    told = [axis.texts[0].get_text() for axis in figure.axes[:2]]
    # (300 * 0.35 + 100 * 0.2) / 400
    assert told == ["ECE 31.2 %\n400 px", "ECE 0.0 %\n10 px"]


def test_a_picture_is_written_and_is_the_same_again(tmp_path: Path) -> None:
    panels = [("before", BOTH), ("after", claimed(0.9, 10, 9))]
    path = draw_reliability(panels, tmp_path / "reliability.png")
    picture = imread(path)
    assert picture.shape[:2] == (539, 748)
    # the red of what is claimed too much, mixed with the white below it; the legend has some, too
    red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.65) & (picture[..., 2] < 0.6)
    assert red[:400, :390].sum() > 200
    assert not red[:400, 390:].any()
    again = imread(draw_reliability(panels, tmp_path / "again.png"))
    np.testing.assert_array_equal(picture, again)


def test_nothing_to_tell_is_drawn_too(tmp_path: Path) -> None:
    nothing = Calibration.nothing(CODES)
    figure = reliability_figure([("empty", nothing)])
    assert figure.axes[0].texts[0].get_text() == "ECE unknown\n0 px"
    assert bars(figure, 0) == []
    assert draw_reliability([("empty", nothing)], tmp_path / "empty.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="at least one"):
        reliability_figure([])


def test_pyplot_and_its_backend_are_left_alone() -> None:
    code = (
        "import sys, matplotlib; from inference.evaluation import reliability_plot as plot; "
        "from inference.evaluation.calibration import Calibration; "
        "plot.reliability_figure([('x', Calibration.nothing((0, 6)))]).canvas.draw(); "
        "assert 'matplotlib.pyplot' not in sys.modules; "
        "assert matplotlib.get_backend(auto_select=False) is None"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
