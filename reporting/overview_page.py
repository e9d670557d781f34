"""The page of many mines: a map of them, totals, change with shares, ranking and gaps."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import shapely
from markupsafe import Markup

from db.reports.report import Row
from reporting import figures, page
from reporting.maps import Layer, Mark, draw_map
from reporting.numbers import M2_PER_HA, hectares, nice_step
from reporting.overview_report import OverviewReport
from reporting.view import LocalView
from reporting.words import Language, Words

MAP_PX = 980
MAP_ASPECT = 1.6
SMALLEST_PX = 14
"""A mine drawn smaller than this has a circle in its place."""
CIRCLE_PX = 5.0
NO_NUMBER_PX = 2.5
MAX_NAMES = 12
"""Names stand on the map up to this many mines."""
ROWS_SHOWN = 50
"""Rows of a long table on a page; below it stands how to get all."""

_REDS = ("#fbe3d6", "#f5b598", "#e37350", "#c23a20", "#8f1c0d")
_GREYS = ("#f0f0ee", "#d0d4d4", "#a8b0b1", "#7c8788", "#566062")
_NO_NUMBER = "#ffffff"

_TITLES = {
    "damage": "damage_report",
    "change": "change_report",
    "region": "region_report",
    "ranking": "ranking_report",
    "gaps": "gaps_report",
}


def overview_page(report: OverviewReport, language: Language) -> str:
    """A report of many mines as one HTML file."""
    words = Words(language)
    pair = report.newest_pair
    totals = report.rows("damage") if report.region else []
    totals = totals or (report.rows("by_year") if report.kind == "damage" else [])
    by_kind = report.rows("by_year") if report.kind == "change" else []
    series = report.rows("series") if report.region else report.rows("series_by_year")
    return page.render(
        "overview.html",
        words,
        report=report,
        facts=report.facts,
        title_key=_TITLES[report.kind],
        classes={each.key: each for each in report.classes},
        pair_of_years=pair,
        years=_years(report),
        keys=_keys(report, series, by_kind),
        map=_map(report, words),
        totals=totals,
        areas=figures.areas_chart(totals, report.classes, words) if totals else None,
        by_kind=by_kind,
        change=figures.change_chart(by_kind, words),
        series_rows=series,
        series=figures.series_chart(series, words) if series else None,
        ranking=[row for row in report.rows("ranking") if (row["from_year"], row["to_year"]) == pair],
        mine_years=_mine_years(report),
        changes=report.rows("change") if report.kind == "change" and not report.rows("ranking") else [],
        rows_shown=ROWS_SHOWN,
        pair_count=len({(row["from_year"], row["to_year"]) for row in report.rows("ranking")}),
        of_mines=report.region is None or bool(report.mines),
    )


def _years(report: OverviewReport) -> list[int]:
    found: set[int] = set()
    for name in report.tables:
        for row in report.rows(name):
            found |= {row[key] for key in ("year", "from_year", "to_year") if row.get(key) is not None}
    return sorted(found)


def _keys(report: OverviewReport, series: list[Row], by_kind: list[Row]) -> dict[str, Any]:
    """The numbers at the top: rows of the views, and how many rows of alerts are open."""
    observed = [row for row in series if row["active_area_m2"] is not None]
    newest = observed[-1] if observed else None
    any_kind = {(row["from_year"], row["to_year"]): row for row in by_kind if row["kind"] == "any"}
    alerts = [row for row in report.rows("alerts") if row["is_current"] and row["state"] == "open"]
    return {
        "newest": newest,
        "change": any_kind.get(report.newest_pair) if report.newest_pair else None,
        "alerts": len(alerts) if "alerts" in report.tables and report.mines else None,
        "severe": sum(row["level"] == "severe" for row in alerts),
    }


def _mine_years(report: OverviewReport) -> list[dict[str, Any]]:
    """Damaged area by mine and year, largest of the newest year first."""
    if report.kind != "damage":
        return []
    names = {head.code: head.name for head in report.mines}
    by_mine: dict[str, dict[int, float | None]] = {}
    for row in report.rows("series"):
        by_mine.setdefault(row["mine_code"], {})[row["year"]] = row["active_area_m2"]
    found = [
        {"code": code, "name": names[code], "areas": areas, "newest": areas[max(areas)]}
        for code, areas in by_mine.items()
    ]
    return sorted(found, key=lambda each: (-(each["newest"] or -1.0), each["code"]))


def _map(report: OverviewReport, words: Words) -> dict[str, Any] | None:
    """All mines, shaded by how much; those too small to see have a circle of that colour."""
    grounds = [head.boundary for head in report.mines]
    if report.region is not None:
        grounds.append(report.region.outline)
    if not grounds:
        return None
    view = LocalView.around(shapely.box(*shapely.total_bounds(grounds)), longest_px=MAP_PX, aspect=MAP_ASPECT)
    title, amounts, ramp = _amounts(report, words)
    breaks = _breaks(max(amounts.values(), default=0.0))
    layers = []
    if report.region is not None:
        layers.append(Layer(report.region.outline, words.html("region_boundary"), "#f3f0e8", "#6b665a", 1.6))
    marks = []
    for head in sorted(report.mines, key=lambda each: amounts.get(each.code, 0.0)):
        area = amounts.get(head.code)
        colour = _NO_NUMBER if area is None else ramp[bisect.bisect_left(breaks, area)]
        shown = f"{head.name} {head.code}: {hectares(area)} ha"
        west, south, east, north = view.to_metres(head.boundary).bounds
        is_small = max(east - west, north - south) < SMALLEST_PX * view.resolution_m
        name = head.name if len(report.mines) <= MAX_NAMES else ""
        if not is_small:
            layers.append(Layer(head.boundary, None, colour, "#4b5250", 0.9))
        if is_small or name:
            point = shapely.point_on_surface(head.boundary)
            radius_px = 0.0 if not is_small else CIRCLE_PX if area is not None else NO_NUMBER_PX
            marks.append(Mark(point.x, point.y, colour, radius_px=radius_px, title=shown, name=name))
    return {
        "title": title,
        "svg": draw_map(view, layers, words.plain("overview_map"), marks=marks),
        "layers": layers,
        "shades": _shades(report, amounts, ramp, breaks, words),
    }


def _shades(
    report: OverviewReport, amounts: dict[str, float], ramp: Sequence[str], breaks: list[float], words: Words
) -> list[tuple[str, Markup]]:
    """What the colours of mines mean; only those that may be on the map."""
    shades = [(_NO_NUMBER, words.html("no_number"))] if len(amounts) < len(report.mines) else []
    if any(amounts.values()):
        ends = zip(ramp, (0.0, *breaks), breaks, strict=False)
        shades += [
            (colour, Markup("{}–{} ha").format(hectares(low), hectares(high))) for colour, low, high in ends
        ]
    elif amounts:
        shades.append((ramp[0], Markup("{} ha").format(hectares(0.0))))
    return shades


def _amounts(report: OverviewReport, words: Words) -> tuple[Markup, dict[str, float], Sequence[str]]:
    """What the map shows: new damage where the report knows it, else damage, else ground not observed."""
    if not report.mines:
        return words.html("region_boundary"), {}, _REDS
    pair = report.newest_pair
    if pair is not None:
        rows = report.rows("ranking") or [row for row in report.rows("change") if row["kind"] == "any"]
        of_pair = [row for row in rows if (row["from_year"], row["to_year"]) == pair]
        title = words.html("overview_map_new", from_year=pair[0], to_year=pair[1])
        return title, {row["mine_code"]: row["new_area_m2"] for row in of_pair}, _REDS
    if report.kind == "gaps":
        gaps = report.rows("gaps")
        newest = max((row["year"] for row in gaps), default=None)
        title = words.html("overview_map_gaps", year=newest or "–")
        unseen = {head.code: 0.0 for head in report.mines}
        return (
            title,
            unseen | {r["mine_code"]: r["unobserved_area_m2"] for r in gaps if r["year"] == newest},
            _GREYS,
        )
    mines = _mine_years(report)
    newest = max((max(each["areas"]) for each in mines), default=None)
    title = words.html("overview_map_damage", year=newest or "–")
    return title, {each["code"]: each["newest"] for each in mines if each["newest"] is not None}, _REDS


def _breaks(largest_m2: float) -> list[float]:
    """Round upper ends of the shades, m2; the last covers the largest."""
    step = nice_step(largest_m2 / M2_PER_HA, 4) * M2_PER_HA
    return [step * at for at in range(1, 5)]
