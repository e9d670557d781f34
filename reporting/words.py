"""Texts of a page in English, Chinese or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from reporting.phrases import PHRASES

Language = Literal["en", "zh", "both"]


@dataclass(frozen=True)
class Words:
    """Chooses the language; Chinese stands beside English where both are wanted."""

    language: Language

    @property
    def html_language(self) -> str:
        """The page's ``lang``."""
        return "zh-CN" if self.language == "zh" else "en"

    def html(self, key: str, **values: object) -> Markup:
        """A phrase as markup, each language marked as such; values are escaped."""
        english, chinese = PHRASES[key]
        return self.pair(Markup(english).format(**values), Markup(chinese).format(**values))  # noqa: S704

    def plain(self, key: str, **values: object) -> str:
        """A phrase as text, for drawings and for attributes."""
        english, chinese = (phrase.format(**values) for phrase in PHRASES[key])
        return self.plain_pair(english, chinese)

    def pair(self, english: str | None, chinese: str | None) -> Markup:
        """Two texts that say the same, as markup; where one is missing the other stands for it."""
        english, chinese = english or chinese or "", chinese or english or ""
        if self.language == "en" or english == chinese:
            return Markup("<span>{}</span>").format(english if self.language != "zh" else chinese)
        if self.language == "zh":
            return Markup('<span lang="zh-CN">{}</span>').format(chinese)
        return Markup('<span lang="en">{}</span> <span lang="zh-CN" class="zh">{}</span>').format(
            escape(english), escape(chinese)
        )

    def plain_pair(self, english: str | None, chinese: str | None) -> str:
        """Two texts that say the same, as text."""
        english, chinese = english or chinese or "", chinese or english or ""
        if self.language == "en" or english == chinese:
            return english
        return chinese if self.language == "zh" else f"{english} {chinese}"
