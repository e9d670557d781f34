"""How numbers are written in a page: hectares with two decimals, shares with one, the full value beside."""

from __future__ import annotations

import math

from markupsafe import Markup

M2_PER_HA = 10_000.0
NONE = "–"


def hectares(area_m2: float | None) -> str:
    """Area in hectares with two decimals (100 m2); a dash where there is no number."""
    return NONE if area_m2 is None else f"{_no_minus_zero(area_m2 / M2_PER_HA, 2):,.2f}"


def per_cent(share: float | None) -> str:
    """Share 0..1 in per cent with a decimal.

    What is short of the whole, or above nothing, does not become 100.0 or 0.0 by rounding.
    """
    if share is None:
        return NONE
    shown = round(share * 100, 1)
    if shown >= 100 > share * 100:
        shown = 99.9
    if 0 < share * 100 < 0.1:
        return "<0.1 %"
    return f"{_no_minus_zero(shown, 1):.1f} %"


def whole(number: float | None) -> str:
    """A count, thousands separated."""
    return NONE if number is None else f"{number:,.0f}"


def area_cell(area_m2: float | None) -> Markup:
    """Hectares to read, with the view's full value in m2 as ``value``."""
    return _data(area_m2, hectares(area_m2))


def share_cell(share: float | None) -> Markup:
    """Per cent to read, with the view's full value 0..1 as ``value``."""
    return _data(share, per_cent(share))


def _data(value: float | None, shown: str) -> Markup:
    if value is None:
        return Markup('<span class="none">{}</span>').format(shown)
    return Markup('<data value="{}">{}</data>').format(repr(float(value)), shown)


def nice_step(largest: float, steps: int = 5) -> float:
    """A round distance (1, 2, 2.5 or 5 times a power of ten) that covers ``largest`` in about ``steps``."""
    if not largest > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest / steps))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * steps >= largest * 0.999)


def _no_minus_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
