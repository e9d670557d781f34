"""The charts that pages share, drawn from rows of the views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from db.classes import LandClass
from db.reports.report import Row
from reporting import charts
from reporting.numbers import per_cent
from reporting.words import Words

KINDS = ("excavated", "occupied", "subsided")
KIND_COLOURS = {"excavated": "#c4502e", "occupied": "#a9803f", "subsided": "#6f5a9c"}
TREATED_COLOUR = "#3f8f4f"
SERIES_COLOURS = {"cumulative": "#3d4a63", "active": "#c4502e", "newly": "#d99a2b"}

Legend = list[tuple[str, Markup]]


def areas_chart(rows: Sequence[Row], classes: Iterable[LandClass], words: Words) -> tuple[Markup, Legend]:
    """Damaged area by year, classes stacked, with the share observed below each year.

    Args:
        rows: with year, land_class, area_m2 and observed_fraction, of one mine, region or all mines.
        classes: all classes.
        words: the language.

    Returns:
        The chart, and the colours of the classes that have ground in it.

    """
    area = {(row["year"], row["land_class"]): row["area_m2"] for row in rows}
    observed = {row["year"]: row["observed_fraction"] for row in rows}
    years = sorted(observed)
    used = {row["land_class"] for row in rows if row["area_m2"]}
    shown = [each for each in in_order(classes) if each.key in used]
    bars = [
        charts.Series(class_name(each, words), each.colour, [area.get((year, each.key)) for year in years])
        for each in shown or in_order(classes)
    ]
    notes = [per_cent(observed[y]) if observed[y] else words.plain("not_observed") for y in years]
    chart = charts.stacked_bars([str(y) for y in years], bars, words.plain("area_by_year"), notes=notes)
    return chart, [(each.colour, words.pair(each.name.capitalize(), each.name_zh)) for each in shown]


def class_name(land_class: LandClass, words: Words) -> str:
    """A class as text."""
    return words.plain_pair(land_class.name.capitalize(), land_class.name_zh)


def in_order(classes: Iterable[LandClass]) -> list[LandClass]:
    """Damage classes, by kind: what was excavated lies at the bottom of every bar."""
    damaged = [each for each in classes if each.damage_kind in KINDS]
    return sorted(damaged, key=lambda each: (KINDS.index(each.damage_kind), -each.code))


def change_chart(rows: Sequence[Row], words: Words) -> tuple[Markup, Legend] | None:
    """New area by kind above the line, treated area below it, for each pair of years; None without a pair.

    Args:
        rows: with from_year, to_year, kind, new_area_m2 and treated_area_m2, of one mine or all mines.
        words: the language.

    """
    pairs = sorted({(row["from_year"], row["to_year"]) for row in rows})
    if not pairs:
        return None
    found: Mapping[tuple[int, int, str], Row] = {
        (row["from_year"], row["to_year"], row["kind"]): row for row in rows
    }

    def values(column: str, kind: str) -> list[float | None]:
        return [found.get((*pair, kind), {}).get(column) for pair in pairs]

    up = [
        charts.Series(words.plain(f"kind.{kind}"), KIND_COLOURS[kind], values("new_area_m2", kind))
        for kind in KINDS
    ]
    down = [charts.Series(words.plain("treated"), TREATED_COLOUR, values("treated_area_m2", "any"))]
    chart = charts.up_and_down([f"{a}–{b}" for a, b in pairs], up, down, words.plain("change"))
    legend = [(KIND_COLOURS[kind], words.html(f"kind.{kind}")) for kind in KINDS]
    return chart, [*legend, (TREATED_COLOUR, words.html("treated"))]


def series_chart(rows: Sequence[Row], words: Words) -> tuple[Markup, Legend]:
    """Active, newly and cumulative area by year, from rows of one mine, region or all mines."""
    series = [
        charts.Series(words.plain(name), colour, [row[f"{name}_area_m2"] for row in rows])
        for name, colour in SERIES_COLOURS.items()
    ]
    chart = charts.lines([str(row["year"]) for row in rows], series, words.plain("series"))
    return chart, [(colour, words.html(name)) for name, colour in SERIES_COLOURS.items()]
