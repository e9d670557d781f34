"""The map of a search for ore: its scores as a picture, under faults, plutons, deposits and targets."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from markupsafe import Markup
from PIL import Image
from psycopg import Connection

from db.qgis.prospects import TARGET_COLOUR, ramp_colour
from db.raster import RasterReader
from db.reports.prospects import Bounds, Geology, SearchHead, geology_within
from db.reports.report import Row
from reporting import svg
from reporting.maps import INK, Layer, Mark, draw_map, legend_swatch
from reporting.prospect_charts import shortened
from reporting.sampling import sample
from reporting.view import LocalView
from reporting.words import Words

MAP_PX = 900
PICTURE_SCALE = 2
"""Pixels of the picture for one of the map: paper shows more than a screen."""
MAX_NAMES = 12
"""Names of deposits stand on the map up to this many, where they hide nothing."""
MOST_LETTERS = 28
"""Of a name on the map; the whole one shows when one points at it."""
RANK_PX = 9.0
DEPOSIT_PX = 4.5
NAME_PX = 13.0
"""Size of the letters of a name."""

_LAST_NARROW = 0x2E7F

_FAULT, _PLUTON, _DEPOSIT = "#2f3735", "#6d4c9f", "#ffffff"


@dataclass(frozen=True)
class DrawnMap:
    """The map, with swatch and label of everything on it, and whether the raster was there."""

    drawing: Markup
    legend: list[tuple[Markup, Markup]]
    scale: Markup
    has_picture: bool


def search_map(
    conn: Connection[Any],
    head: SearchHead,
    targets: Sequence[tuple[Row, shapely.Geometry]],
    words: Words,
) -> DrawnMap:
    """Draw the ground of a search.

    Args:
        conn: connection.
        head: the search; what its scores are called by goes by its kind.
        targets: rows with rank and the mean of the score, and their outlines, EPSG:4326.
        words: the language.

    """
    score = head.score_kind
    view = LocalView.around(head.outline, longest_px=MAP_PX)
    geology = geology_within(conn, _bounds(view))
    band = head.band_names.index(score) + 1 if score in head.band_names else 1
    picture = score_picture(conn, head.tile_table, view, band) if head.has_tiles else None
    unscored = Layer(head.outline, words.html("legend_unscored"), "url(#unseen)", "#8d938f", 1.0)
    plutons = Layer(geology.plutons, words.html("legend_pluton"), _PLUTON, _PLUTON, 1.2, opacity=0.13)
    faults = Layer(geology.faults, words.html("legend_fault"), stroke=_FAULT, stroke_width=1.3)
    outlines = Layer(
        shapely.GeometryCollection([outline for _row, outline in targets]),
        words.html("legend_target"),
        stroke=TARGET_COLOUR,
        stroke_width=1.8,
    )
    drawing = draw_map(
        view,
        [plutons, faults, outlines],
        words.plain("prospect_map" if score == "probability" else "prospectivity_map"),
        marks=[*_deposit_marks(view, geology), *_rank_marks(view, targets, f"mean_{score}")],
        below=[unscored],
        picture=picture,
    )
    return DrawnMap(
        drawing,
        _legend(geology, unscored, plutons, faults, outlines, words),
        score_scale(head.threshold, words.plain(f"legend_{score}"), words),
        picture is not None,
    )


def score_picture(conn: Connection[Any], table: str, view: LocalView, band: int = 1) -> str | None:
    """The scores of a search as a PNG over the whole view, transparent where nothing was scored.

    Args:
        conn: connection.
        table: raster of scores 0..1 in lode_raster.
        view: what to show.
        band: of the raster, from 1.

    Returns:
        Data URI; None where the view shows no pixel of the raster.

    """
    fine = replace(
        view,
        resolution_m=view.resolution_m / PICTURE_SCALE,
        width_px=view.width_px * PICTURE_SCALE,
        height_px=view.height_px * PICTURE_SCALE,
    )
    found = sample(RasterReader(conn, table), fine, (band,))
    if found is None:
        return None
    (score,), missing = found
    # Colour 0 is the transparent one.
    colour = 1 + np.round(np.clip(np.where(missing, 0, score), 0, 1) * 254).astype(np.uint8)
    colour[missing] = 0
    image = Image.fromarray(colour, "P")
    image.putpalette(np.vstack([np.zeros((1, 3), np.uint8), _ramp(255)]).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, transparency=0)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def score_scale(threshold: float, label: str, words: Words) -> Markup:
    """The colours of scores from 0 to 1, with a mark at the threshold; the label says what they are."""
    left, width, top, height = 10.0, 340.0, 22.0, 14.0
    steps = 68
    colours = [ramp_colour((at + 0.5) / steps) for at in range(steps)]
    parts = [
        svg.element(
            "rect", x=left + at * width / steps, y=top, width=width / steps + 0.6, height=height, fill=each
        )
        for at, each in enumerate(colours)
    ]
    parts.append(
        svg.element("rect", x=left, y=top, width=width, height=height, fill="none", stroke="#8d938f")
    )
    parts += [
        svg.text(left + tick * width, top + 28, f"{tick:g}", text_anchor="middle", font_size=12, fill=INK)
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    x = left + threshold * width
    pointer = f"M{x:.1f} {top + height}v-{height + 3:g}l-4 -5h8l-4 5"
    parts.append(svg.element("path", d=pointer, fill=TARGET_COLOUR, stroke=TARGET_COLOUR, stroke_width=1.2))
    shown = words.plain("legend_threshold", value=f"{threshold:.2f}")
    side = "end" if threshold > 0.5 else "start"
    parts.append(svg.text(x + (-8 if side == "end" else 8), top - 6, shown, text_anchor=side, font_size=12,
                          fill=TARGET_COLOUR))  # fmt: skip
    return svg.drawing(left * 2 + width, top + 34, label, *parts, class_="scale")


def _ramp(steps: int) -> npt.NDArray[np.uint8]:
    """Red, green and blue ``(steps, 3)`` of 0..255 along the colours of scores."""
    colours = [ramp_colour(share) for share in np.linspace(0, 1, steps).tolist()]
    return np.array([[int(each[at : at + 2], 16) for at in (1, 3, 5)] for each in colours], np.uint8)


def _bounds(view: LocalView) -> Bounds:
    longitude, latitude = view.pixel_centres()
    return (
        float(longitude.min()),
        float(latitude.min()),
        float(longitude.max()),
        float(latitude.max()),
    )


def _deposit_marks(view: LocalView, geology: Geology) -> list[Mark]:
    """Deposits, each named where its name hides neither another name nor another deposit."""
    points = [view.to_pixels(each.point) for each in geology.deposits]
    names = [shortened(each.name or "", MOST_LETTERS) for each in geology.deposits]
    shown: list[shapely.Geometry] = [point.buffer(DEPOSIT_PX) for point in points]
    marks = []
    for place, (each, point) in enumerate(zip(geology.deposits, points, strict=True)):
        box = _name_box(point, names[place])
        others = [shape for at, shape in enumerate(shown) if at != place]
        is_free = not shapely.intersects(box, others).any()
        is_named = bool(names[place]) and len(points) <= MAX_NAMES and is_free
        if is_named:
            shown.append(box)
        marks.append(
            Mark(
                each.point.x,
                each.point.y,
                _DEPOSIT,
                radius_px=DEPOSIT_PX,
                title=" · ".join(filter(None, (each.name, each.commodity))),
                name=names[place] if is_named else "",
            )
        )
    return marks


def _name_box(point: shapely.Point, name: str) -> shapely.Geometry:
    """The ground of the map that a name takes below its place; Chinese letters are as wide as high."""
    half = sum(NAME_PX if ord(letter) > _LAST_NARROW else 0.62 * NAME_PX for letter in name) / 2
    top = point.y + DEPOSIT_PX + 1
    return shapely.box(point.x - half, top, point.x + half, top + 1.2 * NAME_PX)


def _rank_marks(view: LocalView, targets: Sequence[tuple[Row, shapely.Geometry]], column: str) -> list[Mark]:
    """Ranks at the corner of their targets that lies farthest to the upper right, within the map."""
    marks = []
    for row, outline in targets:
        place = shapely.point_on_surface(outline)
        at = view.to_pixels(place)
        corners = shapely.get_coordinates(view.to_pixels(outline, tolerance_px=0))
        east, north = corners[np.argmax(corners[:, 0] - corners[:, 1])]
        x = min(east + RANK_PX, view.width_px - RANK_PX - 1)
        y = max(north - RANK_PX / 2, RANK_PX + 1)
        marks.append(
            Mark(
                place.x,
                place.y,
                TARGET_COLOUR,
                str(row["rank"]),
                radius_px=RANK_PX,
                title=f"{row['rank']}: {row[column]:.2f}",
                shift_px=(float(x - at.x), float(y - at.y)),
            )
        )
    return marks


def _legend(
    geology: Geology, unscored: Layer, plutons: Layer, faults: Layer, outlines: Layer, words: Words
) -> list[tuple[Markup, Markup]]:
    """What is on the map, each with a sample of it."""
    found: list[tuple[Markup, Markup | None]] = []
    if not shapely.is_empty(outlines.geometry):
        found.append((legend_swatch(outlines), outlines.label))
    if not shapely.is_empty(faults.geometry):
        line = svg.element("path", d="M1 10L7 4L11 7L17 2", fill="none", stroke=_FAULT, stroke_width=1.5)
        found.append((svg.drawing(18, 12, "", line, class_="swatch"), faults.label))
    if not shapely.is_empty(plutons.geometry):
        found.append((legend_swatch(plutons), plutons.label))
    if geology.deposits:
        dot = svg.element("circle", cx=9, cy=6, r=DEPOSIT_PX, fill=_DEPOSIT, stroke="#4b5250")
        found.append((svg.drawing(18, 12, "", dot, class_="swatch"), words.html("legend_deposit")))
    found.append((legend_swatch(unscored), unscored.label))
    return [(swatch, label) for swatch, label in found if label is not None]
