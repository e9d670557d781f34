"""Building SVG: elements whose attributes and texts are escaped, and paths from geometry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from markupsafe import Markup, escape
from shapely.geometry.base import BaseMultipartGeometry


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An SVG element.

    Args:
        name: name of the element.
        children: elements (``Markup``) or texts, which are escaped.
        attributes: ``stroke_width`` becomes ``stroke-width``, ``class_`` becomes ``class``; None is left out.

    """
    given = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
        if value is not None
    )
    content = Markup("").join(escape(child) for child in children)
    if not children:
        return Markup("<{}{}/>").format(Markup(name), given)  # noqa: S704 - our own names
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), given, content)  # noqa: S704


def drawing(width: float, height: float, label: str, *children: object, class_: str) -> Markup:
    """A whole drawing of ``width`` x ``height`` user units, scaled to its place on the page."""
    return element(
        "svg",
        element("title", label),
        *children,
        class_=class_,
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )


def text(x: float, y: float, content: object, **attributes: object) -> Markup:
    """A line of text."""
    return element("text", content, x=x, y=y, **attributes)


def path_data(geometry: shapely.Geometry) -> str:
    """Polygons and lines as path data with a decimal; holes are holes under ``fill-rule: evenodd``."""
    rings: list[str] = []
    for part in shapely.get_parts(geometry):
        if shapely.get_type_id(part) == shapely.GeometryType.POLYGON:
            rings += [_ring(shapely.get_coordinates(ring), closed=True) for ring in shapely.get_rings(part)]
        elif shapely.get_type_id(part) == shapely.GeometryType.LINESTRING:
            rings.append(_ring(shapely.get_coordinates(part), closed=False))
        elif isinstance(part, BaseMultipartGeometry):
            rings.append(path_data(part))
    return "".join(ring for ring in rings if ring)


def path(geometry: shapely.Geometry, **attributes: object) -> Markup:
    """Geometry in user units as a path; nothing where there is none."""
    data = path_data(geometry)
    return element("path", d=data, fill_rule="evenodd", **attributes) if data else Markup("")


def join(parts: Iterable[Markup]) -> Markup:
    """One piece of markup out of many."""
    return Markup("").join(parts)


def _ring(points: np.ndarray[Any, Any], *, closed: bool) -> str:
    rounded = np.round(points, 1)
    moved = np.ones(len(rounded), bool)
    moved[1:] = (rounded[1:] != rounded[:-1]).any(axis=1)
    rounded = rounded[moved]
    if len(rounded) < (4 if closed else 2):
        return ""
    if closed:
        rounded = rounded[:-1]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in rounded) + ("Z" if closed else "")


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
