"""Pages: templates filled in, everything within one file."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

import jinja2
from markupsafe import Markup

from reporting import numbers
from reporting.maps import legend_swatch, patterns
from reporting.phrases import VALUES_ZH
from reporting.reasons import chinese
from reporting.words import Words

MOST_YEARS = 8
"""Years side by side in a table of a page; charts show all."""

MOST_ROWS = {"alerts": 100, "sensitive": 200}
"""Rows of a table of a page at most; below it stands how many there are, and how to get them."""


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

    classes = values.get("classes")
    names = {key: each.name_zh for key, each in classes.items()} if isinstance(classes, dict) else {}

    def reason(english: str | None, told_zh: str | None = None) -> Markup:
        return words.pair(english, told_zh or chinese(english or "", names))

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
        code=lambda text: Markup("<code>{}</code>").format(text),
        MOST_YEARS=MOST_YEARS,
        MOST_ROWS=MOST_ROWS,
        lode_version=version("lode"),
        style=Markup((files("reporting") / "templates" / "style.css").read_text("utf-8")),  # noqa: S704
    )
    return environment.get_template(template).render(**values)
