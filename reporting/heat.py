"""A change matrix as a table whose cells are coloured by what the change means and how large it is."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from db.classes import LandClass
from db.reports.report import Row
from reporting.numbers import area_cell
from reporting.words import Words

DAMAGED = {"excavated", "occupied", "subsided"}
_SAME, _BECAME, _LEFT, _OTHER, _PLAIN = (
    (130, 135, 138),
    (209, 49, 29),
    (63, 143, 79),
    (122, 92, 160),
    (120, 130, 140),
)


def heat_table(rows: Sequence[Row], classes: Sequence[LandClass], words: Words) -> Markup:
    """A table of hectares: rows the class before, columns the class after, with sums.

    Args:
        rows: of ``lode_api.transition_by_mine_year``, one mine and pair of years.
        classes: all classes; those without ground are left out.
        words: the language.

    """
    cells = {(row["from_class"], row["to_class"]): float(row["area_m2"]) for row in rows}
    shown = [each for each in classes if any(each.key in pair for pair in cells)]
    changed = max((area for (a, b), area in cells.items() if a != b), default=0.0)
    most = max(cells.values(), default=0.0)

    def name(each: LandClass) -> Markup:
        return words.pair(each.name.capitalize(), each.name_zh)

    head = Markup("").join(Markup('<th scope="col">{}</th>').format(name(each)) for each in shown)
    body = []
    for before in shown:
        line = [Markup('<th scope="row">{}</th>').format(name(before))]
        for after in shown:
            area = cells.get((before.key, after.key))
            largest = most if before is after else changed
            line.append(_cell(area, before, after, largest))
        total = sum(area for (a, _b), area in cells.items() if a == before.key)
        line.append(Markup("<td><b>{}</b></td>").format(area_cell(total)))
        body.append(Markup("<tr>{}</tr>").format(Markup("").join(line)))
    sums = [sum(area for (_a, b), area in cells.items() if b == after.key) for after in shown]
    foot = Markup("").join(
        Markup("<td>{}</td>").format(area_cell(each)) for each in (*sums, sum(cells.values()))
    )
    return Markup(
        '<table class="heat"><thead><tr><th></th>{}<th scope="col">{}</th></tr></thead>'
        '<tbody>{}<tr class="total"><th scope="row">{}</th>{}</tr></tbody></table>'
    ).format(head, words.html("total"), Markup("").join(body), words.html("total"), foot)


def _cell(area: float | None, before: LandClass, after: LandClass, largest: float) -> Markup:
    if area is None:
        return Markup("<td></td>")
    opacity = 0.08 + 0.55 * (area / largest if largest > 0 else 0.0) ** 0.5
    colour = _colour(before, after)
    return Markup('<td style="background:rgba({},{},{},{:.3f})" data-from="{}" data-to="{}">{}</td>').format(
        *colour, opacity, before.key, after.key, area_cell(area)
    )


def _colour(before: LandClass, after: LandClass) -> tuple[int, int, int]:
    if before.key == after.key:
        return _SAME
    if after.damage_kind in DAMAGED:
        return _OTHER if before.damage_kind in DAMAGED else _BECAME
    return _LEFT if before.damage_kind in DAMAGED else _PLAIN
