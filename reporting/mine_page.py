"""The page of a mine: maps, chips, charts and tables made from its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import shapely
from psycopg import Connection

from db.classes import LandClass
from db.reports import ground as report_ground
from db.reports.report import Row
from reporting import figures, page
from reporting.chips import Chip, make_chips
from reporting.heat import heat_table
from reporting.maps import Layer, Mark, draw_map, outlines
from reporting.mine_report import MineReport
from reporting.view import LocalView
from reporting.words import Language, Words

MAP_PX = 520
CHIP_PX = 420
MAX_MATRICES = 3
"""Change matrices at most: those of the newest pairs; the page says where the others are."""
MAX_CHIPS = 4
"""Years with a picture at most: the first, and the newest ones."""

OTHER_LAND = "#f0ece2"
CHANGE_COLOURS = {"new": "#d1311d", "treated": "url(#treated)", "persisting": "#b9b2a5"}
_LINE = "#17201f"
_LICENCE = "#1d4fb3"


def mine_page(conn: Connection[Any], report: MineReport, language: Language) -> str:
    """The report of a mine as one HTML file.

    Args:
        conn: the connection, in the transaction that the report was gathered in.
        report: its rows.
        language: English, Chinese or both.

    """
    words = Words(language)
    newest = report.observed_years[-1] if report.observed_years else None
    alerts = [row for row in report.rows("alerts") if row["is_current"] and row["year"] == newest]
    ground = {
        year: report_ground.class_ground(conn, report.head.mine_id, year) for year in report.observed_years
    }
    drawn_maps = _maps(conn, report, words, ground, alerts)
    chips, chip_count = _chips(conn, report, words, ground)
    return page.render(
        "mine.html",
        words,
        report=report,
        head=report.head,
        facts=report.facts,
        classes={each.key: each for each in report.classes},
        maps=drawn_maps,
        maps_legend=_legend(drawn_maps),
        chips=chips,
        chip_count=chip_count,
        areas=figures.areas_chart(report.rows("damage"), report.classes, words),
        change=figures.change_chart(report.rows("change"), words),
        series=figures.series_chart(report.rows("series"), words),
        heats=_heats(report, words),
        alert_numbers={id_of(row): at for at, row in enumerate(alerts, start=1)},
        id_of=id_of,
        quoted=report.head.code.replace("'", "''"),
    )


def id_of(alert: Row) -> tuple[object, ...]:
    """What an alert is known by: mine, kind and year."""
    return alert["mine_code"], alert["kind"], alert["year"]


Ground = Mapping[int, Iterable[report_ground.ClassGround]]


def _class_layers(
    ground: Iterable[report_ground.ClassGround],
    classes: Iterable[LandClass],
    words: Words,
    *,
    only_damage: bool,
) -> list[Layer]:
    by_code = {each.code: each for each in classes}
    layers = []
    for part in ground:
        land_class = by_code[part.land_class_code]
        if only_damage and land_class.damage_kind == "none":
            continue
        label = words.pair(land_class.name.capitalize(), land_class.name_zh)
        layers.append(
            Layer(part.geometry, label, land_class.colour, stroke=land_class.colour, stroke_width=0.3)
        )
    return layers


def _frame(report: MineReport, words: Words, *, on_picture: bool = False) -> list[Layer]:
    boundary = report.head.boundary
    layers = [Layer(boundary, None, stroke="#ffffff", stroke_width=4.0)] if on_picture else []
    layers.append(Layer(boundary, words.html("boundary"), stroke=_LINE, stroke_width=1.8))
    if report.head.licence_boundary is not None and not on_picture:
        licence = report.head.licence_boundary
        layers.append(
            Layer(licence, words.html("licence_boundary"), stroke=_LICENCE, stroke_width=1.8, dash="7 4")
        )
    return layers


def _maps(
    conn: Connection[Any], report: MineReport, words: Words, ground: Ground, alerts: list[Row]
) -> list[dict[str, Any]]:
    """Damage of the newest year, and change since the year before; each with the layers of its legend."""
    head = report.head
    whole = shapely.union_all([each for each in (head.boundary, head.licence_boundary) if each is not None])
    view = LocalView.around(whole, longest_px=MAP_PX, aspect=1.0)
    marks = [
        Mark(row["longitude"], row["latitude"], "#7a1420", str(at), title=row["reason"])
        for at, row in enumerate(alerts, start=1)
    ]
    drawn = []
    for year in report.observed_years[-1:]:
        unseen = _unseen(conn, report, words, year)
        layers = [
            Layer(head.boundary, words.html("undamaged"), OTHER_LAND),
            *_class_layers(ground[year], report.classes, words, only_damage=True),
            *unseen,
            *_frame(report, words),
        ]
        title = words.plain("map_damage", year=year)
        drawn.append({
            "title": words.html("map_damage", year=year),
            "svg": draw_map(view, layers, title, marks=marks), "layers": layers,
        })  # fmt: skip
    if report.newest_pair:
        from_year, to_year = report.newest_pair
        parts = report_ground.change_ground(conn, head.mine_id, from_year, to_year)
        layers = [Layer(head.boundary, words.html("undamaged"), OTHER_LAND)]
        for change in ("persisting", "treated", "new"):
            of_change = [part.geometry for part in parts if part.change == change]
            layers.append(
                Layer(shapely.union_all(of_change), words.html(change), CHANGE_COLOURS[change],
                      stroke=None if change == "persisting" else _CHANGE_LINES[change], stroke_width=0.8)
            )  # fmt: skip
        layers += [*_uncompared(conn, report, words, from_year, to_year), *_frame(report, words)]
        title = words.plain("map_change", from_year=from_year, to_year=to_year)
        drawn.append({
            "title": words.html("map_change", from_year=from_year, to_year=to_year),
            "svg": draw_map(view, layers, title, marks=marks), "layers": layers,
        })  # fmt: skip
    return drawn


def _legend(drawn: list[dict[str, Any]]) -> list[Layer]:
    """One legend for all maps: each layer once, boundaries last."""
    by_label = {layer.label: layer for each in drawn for layer in each["layers"] if layer.label is not None}
    return sorted(by_label.values(), key=lambda layer: layer.fill is None)


def _unseen(conn: Connection[Any], report: MineReport, words: Words, *years: int) -> list[Layer]:
    """Ground that one of these years did not observe."""
    parts = _gaps(conn, report, years)
    return [Layer(shapely.union_all(parts), words.html("unobserved"), "url(#unseen)")] if parts else []


def _uncompared(
    conn: Connection[Any], report: MineReport, words: Words, from_year: int, to_year: int
) -> list[Layer]:
    """Ground that is not compared: one of two years did not observe it, or could not judge it."""
    parts = _gaps(conn, report, (from_year, to_year))
    unjudged = report_ground.unjudged_ground(conn, report.head.mine_id, from_year, to_year)
    if unjudged is not None:
        parts.append(unjudged)
    return [Layer(shapely.union_all(parts), words.html("uncompared"), "url(#unseen)")] if parts else []


def _gaps(conn: Connection[Any], report: MineReport, years: Iterable[int]) -> list[shapely.Geometry]:
    """What each of these years did not observe; not the rim of pixels, as in ``data_gap``."""
    gaps = {row["year"] for row in report.rows("gaps")} & set(years)
    return [report_ground.unobserved_ground(conn, report.head.mine_id, year) for year in sorted(gaps)]


_CHANGE_LINES = {"new": "#8f1c0d", "treated": "#2c6f3a"}


def _chips(
    conn: Connection[Any], report: MineReport, words: Words, ground: Ground
) -> tuple[list[dict[str, Any]], int]:
    """Pictures by year with the boundary over them, the class map of each; and how many years have one."""
    view = LocalView.around(report.head.boundary, longest_px=CHIP_PX)
    scenes = report_ground.chip_scenes(conn, report.head.mine_id)
    chips: list[Chip] = make_chips(conn, view, scenes)
    count = len(chips)
    if count > MAX_CHIPS:
        chips = [chips[0], *chips[-(MAX_CHIPS - 1) :]]
    drawn = []
    for chip in chips:
        title = words.plain("map_damage", year=chip.year)
        class_map = None
        if chip.year in ground:
            layers = [
                *_class_layers(ground[chip.year], report.classes, words, only_damage=False),
                *_unseen(conn, report, words, chip.year),
                *_frame(report, words, on_picture=True)[1:],
            ]
            class_map = outlines(view, layers, title, class_="classes")
        frame = outlines(
            view, _frame(report, words, on_picture=True), words.plain("boundary"), class_="frame"
        )
        drawn.append({"chip": chip, "frame": frame, "class_map": class_map})
    return drawn, count


def _heats(report: MineReport, words: Words) -> list[dict[str, Any]]:
    rows = report.rows("transition")
    return [
        {
            "from_year": pair[0],
            "to_year": pair[1],
            "table": heat_table(
                [row for row in rows if (row["from_year"], row["to_year"]) == pair], report.classes, words
            ),
        }
        for pair in report.pairs[-MAX_MATRICES:]
    ]
