"""Maps as SVG: layers of ground, and what a map needs to be read: frame, scale bar, north, legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import shapely
from markupsafe import Markup

from reporting import svg
from reporting.numbers import nice_step
from reporting.view import LocalView

INK = "#26302f"


@dataclass(frozen=True)
class Layer:
    """Ground drawn in one style.

    Attributes:
        geometry: in EPSG:4326.
        label: what the legend calls it; None keeps it out of the legend.
        fill, stroke: colours, or a pattern such as ``url(#unseen)``; None: none.
        stroke_width: pixels of the drawing.
        dash: dash pattern of the outline.
        opacity: of the fill, 0..1.

    """

    geometry: shapely.Geometry
    label: Markup | None = None
    fill: str | None = None
    stroke: str | None = None
    stroke_width: float = 1.0
    dash: str | None = None
    opacity: float | None = None


@dataclass(frozen=True)
class Mark:
    """A point on a map.

    Attributes:
        longitude, latitude: where, degrees.
        fill: colour of its circle.
        text: number within the circle.
        radius_px: of the circle; 0: none.
        title: what shows when one points at it.
        name: text beside it.
        shift_px: how far right and down of its place it stands, so that it does not hide what it marks.

    """

    longitude: float
    latitude: float
    fill: str
    text: str = ""
    radius_px: float = 8.0
    title: str = ""
    name: str = ""
    shift_px: tuple[float, float] = (0.0, 0.0)


def draw_map(
    view: LocalView,
    layers: Sequence[Layer],
    label: str,
    *,
    marks: Sequence[Mark] = (),
    below: Sequence[Layer] = (),
    picture: str | None = None,
) -> Markup:
    """Draw layers in order, then marks, then scale bar and north arrow.

    Args:
        view: what to show, and how large.
        layers: lowest first.
        label: what the drawing is, for those who do not see it.
        marks: points on top.
        below: layers under the picture.
        picture: data URI of an image of the whole view, under the layers.

    """
    width, height = view.width_px, view.height_px
    image = svg.element(
        "image", href=picture, width=width, height=height, preserveAspectRatio="none",
        style="image-rendering:pixelated",
    )  # fmt: skip
    return svg.drawing(
        width,
        height,
        label,
        svg.element("rect", width=width, height=height, fill="#fbfaf7"),
        *_drawn(view, below),
        *([image] if picture else []),
        *_drawn(view, layers),
        *_marks(view, marks),
        _scale_bar(view),
        _north(width),
        svg.element("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, fill="none", stroke="#c9c6bd"),
        class_="map",
    )


def _drawn(view: LocalView, layers: Sequence[Layer]) -> list[Markup]:
    return [
        svg.path(
            view.to_pixels(layer.geometry),
            fill=layer.fill or "none",
            fill_opacity=layer.opacity,
            stroke=layer.stroke or "none",
            stroke_width=layer.stroke_width if layer.stroke else None,
            stroke_dasharray=layer.dash,
            stroke_linejoin="round",
        )
        for layer in layers
        if not shapely.is_empty(layer.geometry)
    ]


def outlines(view: LocalView, layers: Sequence[Layer], label: str, *, class_: str) -> Markup:
    """Layers alone, to lie over a picture of the same view or to stand beside it."""
    return svg.drawing(
        view.width_px,
        view.height_px,
        label,
        *_drawn(view, layers),
        class_=class_,
    )


def legend_swatch(layer: Layer) -> Markup:
    """A small sample of a layer's style."""
    return svg.drawing(
        18,
        12,
        "",
        svg.element(
            "rect", x=1, y=1, width=16, height=10,
            fill=layer.fill or "none", fill_opacity=layer.opacity,
            stroke=layer.stroke or "none", stroke_width=min(layer.stroke_width, 2.0),
            stroke_dasharray=layer.dash,
        ),
        class_="swatch",
    )  # fmt: skip


def patterns() -> Markup:
    """Hatching of ground that was not observed, and of ground treated; once a page, before its maps."""

    def hatch(name: str, colour: str, angle: int, background: str | None = None) -> Markup:
        back = [svg.element("rect", width=6, height=6, fill=background)] if background else []
        return svg.element(
            "pattern",
            *back,
            svg.element("line", x1=0, y1=0, x2=0, y2=6, stroke=colour, stroke_width=2.2),
            id=name,
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
            patternTransform=f"rotate({angle})",
        )

    found = svg.element(
        "defs", hatch("unseen", "#b9b9b9", 45, "#ffffff"), hatch("treated", "#3f8f4f", -45, "#e3f2df")
    )
    return svg.element("svg", found, class_="defs", aria_hidden="true")


def _marks(view: LocalView, marks: Sequence[Mark]) -> list[Markup]:
    """Marks in order; a numbered one that would hide another stands beside it."""
    drawn: list[Markup] = []
    taken: list[tuple[float, float]] = []
    for mark in marks:
        point = view.to_pixels(shapely.Point(mark.longitude, mark.latitude))
        x, y = float(point.x) + mark.shift_px[0], float(point.y) + mark.shift_px[1]
        while mark.text and any(math.hypot(x - at[0], y - at[1]) < 2 * mark.radius_px for at in taken):
            x += 2 * mark.radius_px
        if mark.text:
            taken.append((x, y))
        drawn.append(_mark(mark, x, y))
    return drawn


def _mark(mark: Mark, x: float, y: float) -> Markup:
    parts = [svg.element("title", mark.title)] if mark.title else []
    if mark.radius_px > 0:
        edge = "#ffffff" if mark.text else "#4b5250"
        parts.append(svg.element("circle", cx=x, cy=y, r=mark.radius_px, fill=mark.fill, stroke=edge))
    if mark.text:
        parts.append(
            svg.text(
                x, y + 3.6, mark.text, text_anchor="middle", font_size=10, font_weight=700, fill="#ffffff"
            )
        )
    if mark.name:
        below = y + (mark.radius_px + 12 if mark.radius_px else 4)
        parts.append(
            svg.text(
                x, below, mark.name, text_anchor="middle", font_size=13, font_weight=600, fill=INK,
                stroke="#ffffff", stroke_width=3.5, stroke_linejoin="round", paint_order="stroke",
            )
        )  # fmt: skip
    return svg.element("g", *parts)


def _scale_bar(view: LocalView) -> Markup:
    length_m = nice_step(view.width_px * view.resolution_m * 0.28, 1)
    if length_m > view.width_px * view.resolution_m * 0.4:
        length_m /= 2
    length_px = length_m / view.resolution_m
    shown = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    x, y = 14.0, view.height_px - 16.0
    half = length_px / 2
    return svg.element(
        "g",
        svg.element(
            "rect",
            x=x - 6,
            y=y - 18,
            width=length_px + 12,
            height=29,
            fill="#ffffff",
            fill_opacity=0.82,
            rx=2,
        ),
        svg.element("rect", x=x, y=y, width=half, height=4, fill=INK),
        svg.element(
            "rect", x=x + half, y=y, width=half, height=4, fill="#ffffff", stroke=INK, stroke_width=0.8
        ),
        svg.text(x, y - 5, "0", font_size=11, fill=INK),
        svg.text(x + length_px, y - 5, shown, font_size=11, fill=INK, text_anchor="end"),
    )


def _north(width: int) -> Markup:
    x, y = width - 22.0, 12.0
    return svg.element(
        "g",
        svg.element("circle", cx=x, cy=y + 12, r=17, fill="#ffffff", fill_opacity=0.82),
        svg.element("path", d=f"M{x:g} {y:g}l6 19l-6 -4.5z", fill=INK),
        svg.element("path", d=f"M{x:g} {y:g}l-6 19l6 -4.5z", fill="#ffffff", stroke=INK, stroke_width=0.8),
        svg.text(x, y + 28, "N", font_size=9, font_weight=700, fill=INK, text_anchor="middle"),
    )
