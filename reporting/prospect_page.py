"""The page of a search for ore: map, targets, how its ground differs from that of training, and its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely
from markupsafe import Markup
from psycopg import Connection

from db.reports import prospects
from db.reports.report import Row
from reporting import page
from reporting.numbers import per_cent
from reporting.phrases import PHRASES
from reporting.prospect_charts import Bar, Judged, importance_chart, interval_chart
from reporting.prospect_map import search_map
from reporting.prospect_report import (
    FEW_BLOCKS,
    FIGURES,
    MADE_UP,
    MAJORITY,
    ProspectReport,
)
from reporting.prospectivity_page import prospectivity_page
from reporting.prospectivity_report import ProspectivityReport
from reporting.words import Language, Words

MOST_CHANNELS = 12
"""Channels in a table or chart of the page; below it stands how to get all."""
_TOLD = ("ground", "set", "split_rule", "threshold", "threshold_rule")
"""What the page says of a training where it is stored."""
KINDS = ("spectral", "evidence", "geology")

MINERALS_ZH = {"beryl": "绿柱石", "spodumene": "锂辉石"}
"""Chinese of what absorptions are called by."""


def prospect_page(conn: Connection[Any], report: ProspectReport, language: Language) -> str:
    """The report of a search as one HTML file.

    Args:
        conn: the connection, in the transaction that the report was gathered in.
        report: its rows.
        language: English, Chinese or both.

    """
    if isinstance(report, ProspectivityReport):
        return prospectivity_page(conn, report, language)
    words = Words(language)
    head, training = report.head, report.head.training
    targets = _targets(conn, report, words)
    return page.render(
        "prospect.html",
        words,
        report=report,
        head=head,
        facts=report.facts,
        training={**dict.fromkeys(_TOLD), **training},
        map=search_map(conn, head, [(row, row["outline"]) for row in targets], words),
        targets=targets,
        is_made_up=report.data in MADE_UP,
        balanced=report.figure("balanced_accuracy"),
        level=_level(head.metrics),
        channels=_moved_channels(report, words),
        channel_count=len(report.rows("channels")),
        channel_kinds=_channel_kinds(report),
        architecture=_architecture(head.architecture, words),
        labels=_labels(training),
        figures=_figure_rows(report, words),
        answers=[(each, _answer(each, words)) for each in _answers(report)],
        interval_chart=_interval_chart(report, words),
        importance_chart=_importance_chart(report, words),
        confusion={(row["truth"], row["answer"]): row["patches"] for row in report.rows("confusion")},
        test_patches=head.metrics.get("patches"),
        blocks=report.test_blocks,
        few_blocks=FEW_BLOCKS,
    )


def _targets(conn: Connection[Any], report: ProspectReport, words: Words) -> list[Row]:
    """Rows of the targets with their outline, and what stands out as pairs of a name and a number."""
    layer = prospects.target_layer(conn, report.head, report.limit)
    return [
        {
            **row,
            "outline": shapely.from_wkb(row["geom"]),
            "items": [_item(item, words) for item in report.evidence.get(row["rank"], [])],
        }
        for row in layer.dicts()
    ]


def _item(item: Mapping[str, Any], words: Words) -> dict[str, Any]:
    name, chinese = str(item.get("name")), str(item.get("name"))
    for english, mineral in MINERALS_ZH.items():
        chinese = chinese.replace(english, mineral)
    unit = f" {item['unit']}" if item.get("unit") else ""
    deviations = item.get("deviations")
    return {
        "name": words.pair(name, chinese.replace(", ", "、") if chinese != name else name),
        "value": f"{_signed(item.get('value'), '.3g')}{unit}",
        "deviations": None if deviations is None else f"{_signed(deviations, '+.1f')} σ",
    }


def _signed(value: Any, form: str) -> str:
    """A number with a minus as it is printed; what rounds to zero has no sign."""
    if not isinstance(value, int | float):
        return str(value)
    said = f"{value:{form}}" if abs(value) < 1000 else f"{value:,.0f}"
    return said.lstrip("+-") if not said.strip("+-0.") else said.replace("-", "−")


def _labels(training: Mapping[str, Any]) -> dict[str, Any] | None:
    """What counted as ore-bearing; None where not all of it is stored."""
    stored = training.get("labels") or {}
    is_whole = {"positive_share", "buffer_m", "deposits"} <= stored.keys()
    return dict(stored) if is_whole else None


def _level(metrics: Mapping[str, Any]) -> str:
    return f"{100 * float((metrics.get('intervals') or {}).get('level', 0.95)):g} %"


def _architecture(name: str, words: Words) -> Markup:
    key = f"arch.{name}"
    return words.html(key) if key in PHRASES else words.pair(name, name)


def _answer(answer: str, words: Words) -> Markup:
    """Who answered: the model, or a plain rival by what it is."""
    key = f"answer.{answer}"
    return words.html(key) if key in PHRASES else _architecture(answer, words)


def _answers(report: ProspectReport) -> list[str]:
    return list(dict.fromkeys(row["answer"] for row in report.rows("figures")))


def _figure_rows(report: ProspectReport, words: Words) -> list[dict[str, Any]]:
    """Figures that the model has, each with what every answer came to."""
    return [
        {
            "name": words.html(f"figure.{name}"),
            "key": name,
            "of": {answer: report.figure(name, answer) for answer in _answers(report)},
        }
        for name in FIGURES
        if report.figure(name) is not None
    ]


def _names(words: Words, key: str) -> tuple[str, ...]:
    english, chinese = PHRASES[key]
    return {"en": (english,), "zh": (chinese,), "both": (english, chinese)}[words.language]


def _interval_chart(report: ProspectReport, words: Words) -> Markup | None:
    found = []
    for name in FIGURES:
        own, plain = report.figure(name), report.figure(name, MAJORITY)
        if own is not None:
            ends = own["value"], own["low"], own["high"]
            found.append(Judged(_names(words, f"figure.{name}"), *ends, plain["value"] if plain else None))
    return interval_chart(found, words.plain("figures")) if found else None


def _importance_chart(report: ProspectReport, words: Words) -> Markup | None:
    bars = [
        Bar(_channel_names(row["channel"], words), row["roc_auc_drop"], row["roc_auc_spread"] or 0.0)
        for row in report.rows("importance")[:MOST_CHANNELS]
        if row["roc_auc_drop"] is not None
    ]
    return importance_chart(bars, words.plain("importance")) if bars else None


def _channel_names(name: str, words: Words) -> tuple[str, ...]:
    """A channel by its own name; a group of all of a kind in both languages."""
    kind = name.removeprefix("all ")
    if name == kind or kind not in KINDS:
        return (name,)
    english, chinese = (
        phrase.format(kind=said)
        for phrase, said in zip(PHRASES["importance_all"], (kind, PHRASES[f"kind.{kind}"][1]), strict=True)
    )
    return {"en": (english,), "zh": (chinese,), "both": (english, chinese)}[words.language]


def _moved_channels(report: ProspectReport, words: Words) -> list[dict[str, Any]]:
    """The channels whose ground differs most from that of training, those beyond the percentiles as well."""
    rows = [row for row in report.rows("channels") if row["mean_difference"] is not None]
    rows.sort(key=lambda row: -max(abs(row["mean_difference"]), 5 * (row["outside_share"] or 0.0)))
    return [
        {
            **row,
            "kind_name": words.html(f"kind.{row['kind']}") if row["kind"] in KINDS else row["kind"],
            "moved": f"{row['mean_difference']:+.2f}".replace("-", "−"),
            "outside": per_cent(row["outside_share"]),
        }
        for row in rows[:MOST_CHANNELS]
    ]


def _channel_kinds(report: ProspectReport) -> dict[str, int]:
    kinds = [row["kind"] for row in report.rows("channels")]
    return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}
