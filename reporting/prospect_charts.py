"""Charts of what tells where ore lies: figures with their intervals, what it goes by, and curves."""

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
CURVE_WIDTH, CURVE_HEIGHT = 340, 300
CURVE_LEFT, CURVE_RIGHT, CURVE_TOP, CURVE_BOTTOM = 48, 14, 10, 44
RIGHT_AXIS_PX = 34


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


@dataclass(frozen=True)
class Curve:
    """A line of shares 0..1 over x.

    Attributes:
        colour: of the line.
        x, y: its corners.
        width: px.
        is_dashed: for what chance gives.

    """

    colour: str
    x: Sequence[float]
    y: Sequence[float]
    width: float = 1.6
    is_dashed: bool = False


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


def curve_chart(
    curves: Sequence[Curve],
    label: str,
    *,
    x_label: str,
    y_label: str,
    x_most: float = 1.0,
    falling_label: str | None = None,
    mark: tuple[float, float] | None = None,
) -> Markup:
    """Curves of shares, the first on top of the others.

    Args:
        curves: x from 0; beyond the end of the axis they are cut off.
        label: what the chart is.
        x_label: below.
        y_label: left.
        x_most: end of the axis below.
        falling_label: of an axis on the right on which shares go downwards; None: there is none.
        mark: x and y of a ring.

    """
    left, top = CURVE_LEFT, CURVE_TOP
    right = CURVE_WIDTH - CURVE_RIGHT - (0 if falling_label is None else RIGHT_AXIS_PX)
    bottom = CURVE_HEIGHT - CURVE_BOTTOM

    def px(x: float, y: float) -> tuple[float, float]:
        return left + min(x, x_most) / x_most * (right - left), bottom - y * (bottom - top)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        (x, y), said = px(share * x_most, share), f"{share:g}"
        parts += [
            svg.element("line", x1=x, x2=x, y1=top, y2=bottom, stroke=RULE),
            svg.element("line", x1=left, x2=right, y1=y, y2=y, stroke=RULE),
            svg.text(x, bottom + 15, f"{share * x_most:.3g}", text_anchor="middle", font_size=11, fill=GREY),
            svg.text(left - 5, y + 4, said, text_anchor="end", font_size=11, fill=GREY),
        ]
        if falling_label is not None:
            parts.append(svg.text(right + 5, y + 4, f"{1 - share:g}", font_size=11, fill=PLAIN))
    for curve in reversed(curves):
        corners = [px(x, y) for x, y in _cut(curve, x_most)]
        parts.append(
            svg.element(
                "path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners), fill="none",
                stroke=curve.colour, stroke_width=curve.width, stroke_linejoin="round",
                stroke_dasharray="4 4" if curve.is_dashed else None,
            )
        )  # fmt: skip
    if mark is not None:
        x, y = px(*mark)
        parts.append(svg.element("circle", cx=x, cy=y, r=5, fill="#ffffff", stroke=INK, stroke_width=1.4))
    middle = (left + right) / 2, (top + bottom) / 2
    parts.append(svg.text(middle[0], CURVE_HEIGHT - 8, x_label, text_anchor="middle", font_size=12, fill=INK))
    parts.append(_upright(12, middle[1], y_label, INK))
    if falling_label is not None:
        parts.append(_upright(CURVE_WIDTH - 4, middle[1], falling_label, PLAIN))
    return svg.drawing(CURVE_WIDTH, CURVE_HEIGHT, label, *parts, class_="chart")


def _cut(curve: Curve, x_most: float) -> list[tuple[float, float]]:
    """Corners of a curve up to the end of the axis, where the last line is cut."""
    corners: list[tuple[float, float]] = []
    for x, y in zip(curve.x, curve.y, strict=True):
        if x > x_most and corners:
            before_x, before_y = corners[-1]
            share = (x_most - before_x) / (x - before_x)
            return [*corners, (x_most, before_y + share * (y - before_y))]
        corners.append((x, y))
    return corners


def _upright(x: float, y: float, said: str, colour: str) -> Markup:
    return svg.text(
        x, y, said, text_anchor="middle", font_size=12, fill=colour, transform=f"rotate(-90 {x:g} {y:g})"
    )


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
