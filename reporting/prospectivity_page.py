"""The page of a search without deposits: what it is worth, its map, targets with reasons, its making."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shapely
from markupsafe import Markup
from psycopg import Connection

from db.reports import prospectivity
from db.reports.report import Row
from reporting import page
from reporting.numbers import per_cent
from reporting.phrases import PHRASES
from reporting.prospect_charts import PLAIN, Curve, Judged, curve_chart, interval_chart, shortened
from reporting.prospect_map import search_map
from reporting.prospect_report import FEW_BLOCKS, LEAST_BLOCKS, MADE_UP
from reporting.prospectivity_report import ABOVE, SCORES, ProspectivityReport
from reporting.prospectivity_report import PLAIN as PLAIN_ANSWERS
from reporting.words import Language, Words

SHOWN_FIGURES = ("roc_auc", "capture_1", "capture_5", "capture_10", "capture_20", "density")
COLOURS = ("#12305c", "#c4502e", "#1f8a70", "#8e5bb5", "#d39b1e", "#3f8fd2", "#8a6d3b", "#d46a9f", "#6b7a78")
CHANCE_COLOUR = "#b5b5b5"
BEST_SHARE = 0.4
"""Of the ground, to which the curve of captured deposits is drawn."""
MOST_REASONS = 5
MOST_LETTERS = 56
"""Of the name of a reason, which may list a dozen rocks; the whole shows when one points at it."""
KINDS = ("geochemistry", "geophysics", "geology", "spectral")
_SETTINGS = ("window_px", "patch_px", "width", "depth", "heads", "windows", "batch_size", "learning_rate")
_NETWORK = "vit"


def prospectivity_page(conn: Connection[Any], report: ProspectivityReport, language: Language) -> str:
    """The report of a search as one HTML file.

    Args:
        conn: the connection, in the transaction that the report was gathered in.
        report: its rows.
        language: English, Chinese or both.

    """
    words = Words(language)
    head, training = report.head, report.head.training
    targets = _targets(conn, report, words)
    system: Mapping[str, Any] = {"name": None, "title": None, **(training.get("system") or {})}
    share = system.get("anomaly_share")
    return page.render(
        "prospectivity.html",
        words,
        report=report,
        head=head,
        facts=report.facts,
        map=search_map(conn, head, [(row, row["outline"]) for row in targets], words),
        targets=targets,
        is_made_up=report.data in MADE_UP,
        method=_method(head.architecture, words),
        system=system,
        powers=None if share is None else (f"{share:g}", f"{1 - share:g}"),
        verdicts=_verdicts(report, words),
        evaluation=report.evaluation,
        told=_told(report),
        figures=_figure_rows(report, words),
        shown=SHOWN_FIGURES,
        differences=_difference_rows(report, words),
        charts=_charts(report, words),
        chart_legend=[(colour, _name(report, name, words)) for name, colour in _colours(report).items()],
        interval_chart=_interval_chart(report, words),
        channel_kinds=_channel_kinds(report),
        settings=_settings(training),
    )


def _targets(conn: Connection[Any], report: ProspectivityReport, words: Words) -> list[Row]:
    """Rows of the targets with their outlines and reasons."""
    reasons: dict[int, list[dict[str, Any]]] = {}
    for row in report.rows("reasons"):
        of_target = reasons.setdefault(row["rank"], [])
        if len(of_target) < MOST_REASONS:
            of_target.append(_reason(row, words))
    layer = prospectivity.target_layer(conn, report.head, report.limit)
    return [
        {**row, "outline": shapely.from_wkb(row["geom"]), "reasons": reasons.get(row["rank"], [])}
        for row in layer.dicts()
    ]


def _reason(row: Row, words: Words) -> dict[str, Any]:
    unit = f" {row['unit']}" if row["unit"] else ""
    expected = None
    if row["expected"] is not None:
        expected = words.html("reason_expected", value=f"{_number(row['expected'])}{unit}")
    deviations = row["deviations"]
    return {
        "name": row["name"],
        "said": shortened(row["name"], MOST_LETTERS),
        "kind": row["kind"],
        "value": None if row["value"] is None else f"{_number(row['value'])}{unit}",
        "expected": expected,
        "deviations": None if deviations is None else f"{deviations:+.1f} σ".replace("-", "−"),
        "share": None if row["share"] is None else words.html("reason_share", share=per_cent(row["share"])),
    }


def _number(value: float) -> str:
    said = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return said.replace("-", "−")


def _verdicts(report: ProspectivityReport, words: Words) -> list[tuple[str, str, Markup]]:
    """What must be said first, the worst of it before the rest: key, tone and text."""
    if report.evaluation is None:
        # the page is markup, and so is the command in it
        command = Markup("<code>{}</code>").format(f"lode prospect evaluate --run {report.head.search}")
        return [("none", "bad", words.html("verdict.none", command=command))]
    found = []
    beaten = [name for name in PLAIN_ANSWERS if report.verdicts.get(name) == ABOVE]
    for name in (*report.unbeaten, *beaten):
        verdict = report.verdicts[name]
        row = report.difference(name) or {"value": None, "low": None, "high": None}
        tone = "good" if verdict == ABOVE else "bad"
        found.append((verdict, tone, _verdict(report, name, verdict, row, words)))
    chance = report.scored.get((SCORES[0], "roc_auc"))
    if report.is_chance and chance is not None:
        found.insert(
            len(report.unbeaten), ("chance", "bad", words.html("verdict.chance", p=f"{chance['null_p']:.3f}"))
        )
    if chance is not None and chance["low"] is None:
        places = report.evaluation.parameters.get("places", "–")
        found.append(("few", "bad", words.html("verdict.few", places=places)))
    found += [
        ("lacking", "bad", words.html("verdict.lacking", name=_name(report, name, words)))
        for name in report.lacking
    ]
    return found


def _verdict(report: ProspectivityReport, name: str, verdict: str, row: Row, words: Words) -> Markup:
    value = "–" if row["value"] is None else _signed(row["value"])
    if row["low"] is None:
        ends = _pair("verdict_no_interval")
    else:
        ends = _pair("verdict_interval", low=_signed(row["low"]), high=_signed(row["high"]))
    english, chinese = PHRASES[f"verdict.{verdict}"]
    names = _plain_names(report, name)
    said = [
        Markup(phrase).format(name=each, value=value, interval=end)  # noqa: S704 - our own phrases
        for phrase, each, end in zip((english, chinese), names, ends, strict=True)
    ]
    return words.pair(*said)


def _pair(key: str, **values: object) -> tuple[str, str]:
    """A phrase in English and in Chinese, as text."""
    english, chinese = (phrase.format(**values) for phrase in PHRASES[key])
    return english, chinese


def _plain_names(report: ProspectivityReport, method: str) -> tuple[str, str]:
    """A method in English and in Chinese."""
    if method in SCORES:
        return _pair(f"score.{method}")
    stored = report.method(method)
    if "run" in stored:
        return _pair("answer.search", run=stored["run"], model=stored.get("model", "–"))
    key = f"answer.{method}"
    return _pair(key, layer=stored.get("layer") or "–") if key in PHRASES else (method, method)


def _name(report: ProspectivityReport, method: str, words: Words) -> Markup:
    return words.pair(*_plain_names(report, method))


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _method(name: str, words: Words) -> Markup:
    key = f"method.{name}"
    return words.html(key) if key in PHRASES else words.pair(name, name)


def _scored(report: ProspectivityReport) -> list[str]:
    """Scores and methods with figures, in the order in which they are stored."""
    return list(dict.fromkeys(row["score"] for row in report.rows("figures")))


def _figure_rows(report: ProspectivityReport, words: Words) -> list[dict[str, Any]]:
    return [
        {
            "key": score,
            "name": _name(report, score, words),
            "is_main": score == SCORES[0],
            "is_hindsight": bool(report.method(score).get("is_hindsight")),
            "of": {figure: report.scored.get((score, figure)) for figure in SHOWN_FIGURES},
        }
        for score in _scored(report)
    ]


def _difference_rows(report: ProspectivityReport, words: Words) -> list[dict[str, Any]]:
    rows = []
    for rival, verdict in report.verdicts.items():
        row = report.difference(rival)
        if row is not None and row["value"] is not None:
            ends = None if row["low"] is None else (_signed(row["low"]), _signed(row["high"]))
            key = f"decision.{verdict}"
            rows.append(
                {
                    **row,
                    "name": _name(report, rival, words),
                    "said": _signed(row["value"]),
                    "ends": ends,
                    "decision": words.html(key) if key in PHRASES else verdict,
                }
            )
    return rows


def _colours(report: ProspectivityReport) -> dict[str, str]:
    names = [name for name in _scored(report) if report.evaluation and name in report.evaluation.curves]
    return dict(zip(names, COLOURS, strict=False))


def _charts(report: ProspectivityReport, words: Words) -> list[tuple[str, Markup]]:
    """ROC curve, captured deposits, and the prediction-area plot: name of the phrase, and drawing."""
    colours = _colours(report)
    if report.evaluation is None or SCORES[0] not in colours:
        return []
    stored = report.evaluation.curves
    chance = Curve(CHANCE_COLOUR, (0, 1), (0, 1), 1.2, is_dashed=True)
    widths = {name: 2.6 if name == SCORES[0] else 1.6 for name in colours}
    roc = [
        Curve(colour, stored[name]["false"], stored[name]["true"], widths[name])
        for name, colour in colours.items()
    ]
    capture = [
        Curve(colour, stored[name]["area"], stored[name]["captured"], widths[name])
        for name, colour in colours.items()
    ]
    deposits = words.plain("deposits_y")
    return [
        (
            "roc_chart",
            curve_chart(
                [*roc, chance], words.plain("roc_chart"), x_label=words.plain("roc_x"), y_label=deposits
            ),
        ),
        (
            "capture_chart",
            curve_chart(
                [*capture, chance],
                words.plain("capture_chart"),
                x_label=words.plain("capture_x"),
                y_label=deposits,
                x_most=BEST_SHARE,
            ),
        ),
        ("pa_chart", _prediction_area(report, stored[SCORES[0]], words)),
    ]


def _prediction_area(report: ProspectivityReport, curves: Mapping[str, Any], words: Words) -> Markup:
    score, area = list(curves["score"]), list(curves["area"])
    found = report.scored.get((SCORES[0], "pa_capture"))
    mark = None
    if found is not None and found["value"] is not None:
        crossing = 1 - found["value"]
        # areas rise and scores fall
        after = next((place for place, each in enumerate(area) if each >= crossing), len(area) - 1)
        before = max(after - 1, 0)
        step = area[after] - area[before]
        share = (crossing - area[before]) / step if step else 0.0
        mark = score[before] + share * (score[after] - score[before]), found["value"]
    # a curve runs from the left: from the lowest score on
    return curve_chart(
        [
            Curve(COLOURS[0], score[::-1], curves["captured"][::-1], 2.2),
            Curve(PLAIN, score[::-1], [1 - each for each in area[::-1]], 2.2),
        ],
        words.plain("pa_chart"),
        x_label=words.plain("pa_x"),
        y_label=words.plain("deposits_y"),
        falling_label=words.plain("pa_area"),
        mark=mark,
    )


def _interval_chart(report: ProspectivityReport, words: Words) -> Markup | None:
    rows = []
    for score in _scored(report):
        found = report.scored.get((score, "roc_auc"))
        if found is not None:
            english, chinese = _plain_names(report, score)
            names = {"en": (english,), "zh": (chinese,), "both": (english, chinese)}[words.language]
            rows.append(Judged(names, found["value"], found["low"], found["high"], 0.5))
    return interval_chart(rows, words.plain("figure.roc_auc")) if rows else None


def _told(report: ProspectivityReport) -> dict[str, Any] | None:
    """What the page says of the evaluation beside its figures."""
    stored = report.evaluation
    if stored is None:
        return None
    given = stored.parameters
    return {
        "count": len(stored.deposit_ids),
        "rule": stored.deposit_rule,
        "places": given.get("places", "–"),
        "is_few": LEAST_BLOCKS <= given.get("places", FEW_BLOCKS) < FEW_BLOCKS,
        "cells": f"{given['cells']:,}" if "cells" in given else "–",
        "outside": stored.outside,
        "off_grid": given.get("off_grid", "–"),
        "when": f"{stored.evaluated_at:%Y-%m-%d %H:%M}",
        "who": stored.evaluated_by,
        "level": f"{100 * float(given.get('level', 0.95)):g} %",
        "distance": f"{given['group_distance_m']:g}" if "group_distance_m" in given else "–",
        "shifts": given.get("shifted", "–"),
    }


def _settings(training: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Settings that say something about the method, in their own names."""
    stored = training.get("settings") or {}
    is_network = str(stored.get("method", "")).startswith((_NETWORK, "conv_", "dense_"))
    shown = [(name, stored[name]) for name in _SETTINGS if is_network and name in stored]
    return shown + sorted((stored.get("options") or {}).items())


def _channel_kinds(report: ProspectivityReport) -> dict[str, int]:
    kinds = [row["kind"] for row in report.rows("channels")]
    return {
        kind: kinds.count(kind)
        for kind in ("geochemistry", "geophysics", "geology", "spectral")
        if kind in kinds
    }
