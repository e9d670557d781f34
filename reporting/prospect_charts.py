"""Charts of a model that tells where ore lies: figures with their intervals, and what it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reporting import svg
from reporting.charts import GREY, INK, RULE
from reporting.numbers import nice_step

WIDTH = 520
LABEL_PX = 200
LINE_PX = 33
MOST_LETTERS = 30
ACCENT, PLAIN, HARM = "#1f5c57", "#c4502e", "#9aa09d"


@dataclass(frozen=True)
class Judged:
    """A figure 0..1: its name in one or two lines, value, ends of its interval, the commonest answer's.

    None: no number.
    """

    names: Sequence[str]
    value: float | None
    low: float | None
    high: float | None
    plain: float | None


@dataclass(frozen=True)
class Bar:
    """How far a figure falls without a channel, named in one or two lines, and the spread of that."""

    names: Sequence[str]
    drop: float
    spread: float


def interval_chart(figures: Sequence[Judged], label: str) -> Markup:
    """Figures as dots on their intervals from 0 to 1; the commonest answer as a hollow square.

    Args:
        figures: from above to below.
        label: what the chart is.

    """
    left, right = LABEL_PX, WIDTH - 52

    def x(value: float) -> float:
        return left + min(max(value, 0.0), 1.0) * (right - left)

    bottom = 10 + LINE_PX * len(figures)
    parts = [part for tick in (0, 0.25, 0.5, 0.75, 1) for part in _rule(x(tick), bottom, f"{tick:g}")]
    for place, each in enumerate(figures):
        y = 8 + LINE_PX * (place + 0.5)
        parts.append(_name(each.names, y))
        if each.low is not None and each.high is not None:
            parts.append(
                svg.element(
                    "line", x1=x(each.low), x2=x(each.high), y1=y, y2=y, stroke=ACCENT, stroke_width=5,
                    stroke_opacity=0.3, stroke_linecap="round",
                )
            )  # fmt: skip
        if each.plain is not None:
            parts.append(
                svg.element(
                    "rect", x=x(each.plain) - 4, y=y - 4, width=8, height=8, fill="#ffffff", stroke=PLAIN,
                    stroke_width=1.8,
                )
            )  # fmt: skip
        shown = "–" if each.value is None else f"{each.value:.2f}"
        if each.value is not None:
            parts.append(svg.element("circle", cx=x(each.value), cy=y, r=5, fill=ACCENT, stroke="#ffffff"))
        parts.append(
            svg.text(WIDTH, y + 4, shown, text_anchor="end", font_size=13, font_weight=600, fill=INK)
        )
    return svg.drawing(WIDTH, bottom + 24, label, *parts, class_="chart")


def importance_chart(bars: Sequence[Bar], label: str) -> Markup:
    """How far a figure falls without each channel, as bars; what helps to leave out goes to the left."""
    left, right = LABEL_PX, WIDTH - 62
    largest = max((each.drop + each.spread for each in bars), default=0.0)
    lowest = min((each.drop - each.spread for each in bars), default=0.0)
    step = nice_step(max(largest, -lowest, 0.01), 4)
    high, low = max(largest, step / 4), min(lowest, 0.0)

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bottom = 10 + LINE_PX * len(bars)
    parts = []
    tick = -step * int(-low / step)
    while tick <= high + 1e-9:
        parts += _rule(x(tick), bottom, f"{tick:.3g}" if abs(tick) > 1e-9 else "0")
        tick += step
    for place, each in enumerate(bars):
        y = 8 + LINE_PX * (place + 0.5)
        edges = sorted((x(0.0), x(each.drop)))
        parts.append(_name(each.names, y))
        parts.append(
            svg.element(
                "rect", x=edges[0], y=y - 7, width=max(edges[1] - edges[0], 0.4), height=14,
                fill=ACCENT if each.drop > 0 else HARM,
            )
        )  # fmt: skip
        ends = x(each.drop - each.spread), x(each.drop + each.spread)
        parts.append(svg.element("line", x1=ends[0], x2=ends[1], y1=y, y2=y, stroke=INK, stroke_width=1.2))
        parts.append(
            svg.text(
                WIDTH, y + 4, f"{each.drop:+.3f}".replace("-", "−"), text_anchor="end", font_size=13,
                font_weight=600, fill=INK,
            )
        )  # fmt: skip
    parts.append(svg.element("line", x1=x(0.0), x2=x(0.0), y1=8, y2=bottom, stroke=INK))
    return svg.drawing(WIDTH, bottom + 24, label, *parts, class_="chart")


def shortened(name: str, most: int) -> str:
    """A name of at most so many letters, with an ellipsis where it is cut."""
    return name if len(name) <= most else name[: most - 1] + "…"


def _rule(x: float, bottom: float, tick: str) -> list[Markup]:
    return [
        svg.element("line", x1=x, x2=x, y1=8, y2=bottom, stroke=RULE),
        svg.text(x, bottom + 16, tick, text_anchor="middle", font_size=12, fill=GREY),
    ]


def _name(names: Sequence[str], y: float) -> Markup:
    """A name left of its line; the second one below the first. The whole of a long one is its title."""
    first = y + 4 if len(names) == 1 else y - 2
    lines = [
        svg.text(
            LABEL_PX - 8, first + 14 * at, shortened(name, MOST_LETTERS),
            text_anchor="end", font_size=12.5 - at, fill=GREY if at else INK,
        )
        for at, name in enumerate(names)
    ]  # fmt: skip
    return svg.element("g", svg.element("title", " ".join(names)), *lines)
