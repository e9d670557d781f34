"""Charts as SVG: stacked bars by year, bars up and down for new and treated, and lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reporting import svg
from reporting.numbers import M2_PER_HA, hectares, nice_step

WIDTH = 520
HEIGHT = 280
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 18, 48
INK, GREY, RULE = "#26302f", "#6a716f", "#e2dfd7"


@dataclass(frozen=True)
class Series:
    """A named row of areas, m2, one for each place along the axis; None: no number, which is not 0."""

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def y(self, area_m2: float) -> float:
        share = (area_m2 / M2_PER_HA - self.low) / (self.high - self.low)
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def stacked_bars(
    places: Sequence[str], series: Sequence[Series], label: str, *, notes: Sequence[str]
) -> Markup:
    """A bar for each place, made of what its series hold.

    Args:
        places: years.
        series: lowest part first.
        label: what the chart is.
        notes: a line below each place, such as the share observed; where no series has a number the note
            stands in place of the bar.

    """
    totals = [sum(each.values[at] or 0 for each in series) for at in range(len(places))]
    axis, rules = _axis(0, max(totals, default=0))
    along = _Along(len(places))
    parts = [rules]
    for at, place in enumerate(places):
        if all(each.values[at] is None for each in series):
            parts += [*_text(along, at, axis.y(0) - 8, notes[at], 13), _place(along, at, place, "")]
            continue
        bars, total = _stack(axis, along, at, place, series, 1)
        shown = _text(along, at, axis.y(total) - 5, hectares(total), 13, font_weight=600)
        parts += [*bars, *shown, _place(along, at, place, notes[at])]
    return svg.drawing(WIDTH, HEIGHT, label, *parts, class_="chart")


def up_and_down(places: Sequence[str], up: Sequence[Series], down: Sequence[Series], label: str) -> Markup:
    """What came as stacked bars above the line, what went below it."""
    highest = max((sum(s.values[at] or 0 for s in up) for at in range(len(places))), default=0.0)
    lowest = max((sum(s.values[at] or 0 for s in down) for at in range(len(places))), default=0.0)
    axis, rules = _axis(-lowest, highest)
    along = _Along(len(places))
    parts = [rules]
    for at, place in enumerate(places):
        for stack, sign, mark, drop in ((up, 1, "+", -5), (down, -1, "−", 14)):
            bars, total = _stack(axis, along, at, place, stack, sign)
            parts += bars
            if total > 0:
                y = axis.y(sign * total) + drop
                parts += _text(along, at, y, mark + hectares(total), 13, font_weight=600)
        parts.append(_place(along, at, place, ""))
    zero = svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=axis.y(0), y2=axis.y(0), stroke=INK)
    return svg.drawing(WIDTH, HEIGHT, label, *parts, zero, class_="chart")


def _stack(
    axis: _Axis, along: _Along, at: int, place: str, series: Sequence[Series], sign: int
) -> tuple[list[Markup], float]:
    """Bars of a place upon each other, away from the line, and what they make together, m2."""
    bars = []
    reached = 0.0
    for each in series:
        value = each.values[at] or 0.0
        if value <= 0:
            continue
        edges = sorted((axis.y(sign * reached), axis.y(sign * (reached + value))))
        bars.append(
            svg.element(
                "rect",
                svg.element("title", f"{place} · {each.name}: {hectares(value)} ha"),
                x=along.x(at) - along.bar / 2,
                y=edges[0],
                width=along.bar,
                height=max(edges[1] - edges[0], 0.4),
                fill=each.colour,
            )
        )
        reached += value
    return bars, reached


def lines(places: Sequence[str], series: Sequence[Series], label: str) -> Markup:
    """A line for each series; broken where there is no number."""
    largest = max((value for each in series for value in each.values if value is not None), default=0.0)
    axis, rules = _axis(0, largest)
    parts = [rules]
    along = _Along(len(places))
    xs = [along.x(at) for at in range(len(places))]
    parts += [_place(along, at, place, "") for at, place in enumerate(places)]
    for each in series:
        points = [
            (x, axis.y(value)) if value is not None else None
            for x, value in zip(xs, each.values, strict=True)
        ]
        data, pen = "", "M"
        for point in points:
            data += f"{pen}{point[0]:.1f} {point[1]:.1f}" if point else ""
            pen = "L" if point else "M"
        parts.append(svg.element("path", d=data, fill="none", stroke=each.colour, stroke_width=2.2))
        for point, place, value in zip(points, places, each.values, strict=True):
            if point is not None:
                title = svg.element("title", f"{place} · {each.name}: {hectares(value)} ha")
                parts.append(
                    svg.element(
                        "circle", title, cx=point[0], cy=point[1], r=4, fill=each.colour, stroke="#ffffff",
                        stroke_width=1.4,
                    )
                )  # fmt: skip
    return svg.drawing(WIDTH, HEIGHT, label, *parts, class_="chart")


def _axis(low_m2: float, high_m2: float) -> tuple[_Axis, Markup]:
    """Axis in hectares with rules at round numbers, and room above the highest bar for its number."""
    low, high = low_m2 / M2_PER_HA, high_m2 / M2_PER_HA
    step = nice_step(max(high - low, 0.01), 4)
    pad = 0.12 * max(high - low, step)
    axis = _Axis(low - pad if low < 0 else 0.0, high + pad)
    parts = []
    at = round(axis.low / step) * step
    while at <= axis.high + 1e-9:
        y = axis.y(at * M2_PER_HA)
        if TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
            parts.append(svg.element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, stroke=RULE))
            parts.append(svg.text(LEFT - 7, y + 4, f"{at:g}" if abs(at) > 1e-9 else "0",
                                  text_anchor="end", font_size=13, fill=GREY))  # fmt: skip
        at = round((at + step) / step) * step
    parts.append(svg.text(LEFT - 7, TOP - 4, "ha", text_anchor="end", font_size=13, fill=GREY))
    return axis, svg.join(parts)


@dataclass(frozen=True)
class _Along:
    """Places along the axis."""

    count: int

    @property
    def step(self) -> float:
        return (WIDTH - LEFT - RIGHT) / max(self.count, 1)

    @property
    def bar(self) -> float:
        return min(self.step * 0.6, 78.0)

    def x(self, at: int) -> float:
        return LEFT + self.step * (at + 0.5)


def _text(along: _Along, at: int, y: float, content: str, size: int, **style: object) -> list[Markup]:
    """A text at a place; where places are close only at every second, third, ... that has room for it."""
    needed = max(0.62 * size * len(content), 1.0)
    if (along.count - 1 - at) % math.ceil(needed / along.step):
        return []
    x = min(along.x(at), WIDTH - needed / 2)  # the last stays within the drawing
    return [svg.text(x, y, content, text_anchor="middle", font_size=size, fill=INK, **style)]


def _place(along: _Along, at: int, place: str, note: str) -> Markup:
    name = _text(along, at, HEIGHT - BOTTOM + 19, place, 14, font_weight=600)
    below = _text(along, at, HEIGHT - BOTTOM + 36, note, 12) if note else []
    return svg.join([*name, *below])
