"""Pages: templates filled in, everything within one file."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

import jinja2
from markupsafe import Markup

from reporting import numbers
from reporting.maps import legend_swatch, patterns
from reporting.phrases import REASONS_ZH, VALUES_ZH
from reporting.words import Words

AT_LEAST = "at least; "
"""What restoration_rate puts before a reason where figures are the least they can be."""

MOST_YEARS = 8
"""Years side by side in a table of a page; charts show all."""


def render(template: str, words: Words, **values: object) -> str:
    """Fill in a template of ``reporting/templates``; every value is escaped unless it is markup.

    Args:
        template: file name.
        words: the language.
        values: what the template names.

    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def reason(english: str | None, chinese: str | None = None) -> Markup:
        told = english or ""
        known = chinese or REASONS_ZH.get(told.removeprefix(AT_LEAST))
        return words.pair(english, f"至少；{known}" if known and told.startswith(AT_LEAST) else known)

    def known_value(english: str | None) -> Markup:
        return words.pair((english or "").replace("_", " "), VALUES_ZH.get(english or ""))

    environment.globals.update(
        t=words.html,
        tp=words.plain,
        pair=words.pair,
        reason=reason,
        value=known_value,
        language=words.html_language,
        ha=numbers.area_cell,
        share=numbers.share_cell,
        per_cent=numbers.per_cent,
        hectares=numbers.hectares,
        whole=numbers.whole,
        patterns=patterns(),
        swatch=legend_swatch,
        MOST_YEARS=MOST_YEARS,
        lode_version=version("lode"),
        style=Markup((files("reporting") / "templates" / "style.css").read_text("utf-8")),  # noqa: S704
    )
    return environment.get_template(template).render(**values)
