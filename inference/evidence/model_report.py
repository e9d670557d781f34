"""`lode model show` for a model that was trained on evidence, without a deposit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.registry import ModelRecord
from inference.evidence.types import KINDS, EvidenceSettings
from inference.models.figures import number, table
from inference.models.report import sparkline

_NAMED = 8
_SPARKS = 60
"""Evaluations drawn at most, one character each."""
_DATA = {
    "real": "real: measured",
    "simulated": "simulated: made up, nothing there was measured",
    "implanted": "implanted: measured, with ore put into it",
}


def evidence_lines(record: ModelRecord, published_runs: int | None = None) -> list[str]:
    """The whole report.

    Args:
        record: the model.
        published_runs: searches published with it; None: not said.

    """
    parts = (_heading(record, published_runs), _members(record), _notes(record))
    lines: list[str] = []
    for part in parts:
        if part:
            lines += ["", *part] if lines else part
    return lines


def _heading(record: ModelRecord, published_runs: int | None) -> list[str]:
    training = record.training
    system = training.get("system") or {}
    took = training.get("seconds")
    device = f" on {training['device']}" if training.get("device") else ""
    spent = "" if took is None else f", {took:,.0f} s"
    seeds = training.get("seeds") or []
    judged = f"{training.get('judged_cells', 0):,} judged cells of {record.resolution_m:g} m"
    rows = [
        ("method", record.architecture),
        ("ground", f"{training.get('area', '-')}: {judged}"),
        ("channels", _channels(training.get("channels") or [])),
        ("system", f"{system.get('name', '-')}: {_weights(system.get('elements') or {})}"),
        ("deposits", "none was read"),
        ("members", f"{len(seeds)} (seed {', '.join(map(str, seeds))})"),
        ("trained", f"{record.trained_at:%Y-%m-%d %H:%M}{device}{spent}"),
    ]
    if record.history:
        rows.append(("windows", f"{record.tile_px} x {record.tile_px} cells"))
    settings = _settings(training.get("settings") or {}, is_network=bool(record.history))
    if settings:
        rows.append(("settings", settings))
    data = training.get("data")
    rows.append(("data", "not said" if data is None else _DATA.get(data, str(data))))
    rows.append(("licence", record.licence or "not stated: do not pass the weights on"))
    if published_runs is not None:
        rows.append(("searches", f"{published_runs:,} published with it"))
    if record.retired_at is not None:
        why = record.retired_reason or "no reason was recorded"
        rows.append(("RETIRED", f"{record.retired_at:%Y-%m-%d %H:%M}: {why}; it searches no ground"))
    rows.append(("software", ", ".join(f"{name} {value}" for name, value in record.versions.items())))
    return [record.name, *table(rows, left=2)]


def _channels(channels: Sequence[Mapping[str, Any]]) -> str:
    """How many of each kind, and their names where they are few."""
    said = []
    for kind in KINDS:
        names = [str(each.get("name")) for each in channels if each.get("kind") == kind]
        if names:
            listed = ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]}"
            said.append(f"{len(names)} {kind} ({listed})")
    return "; ".join(said) or "-"


def _weights(elements: Mapping[str, Any]) -> str:
    ordered = sorted(elements.items(), key=lambda item: (-float(item[1]), item[0]))
    return ", ".join(f"{element} {weight:g}" for element, weight in ordered) or "-"


def _settings(settings: Mapping[str, Any], *, is_network: bool) -> str:
    """Settings of a network that are not as usual, and the options of any method."""
    usual = EvidenceSettings().as_json()
    told = []
    if is_network:
        told = [
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in settings.items()
            if key not in ("method", "options") and value is not None and value != usual.get(key)
        ]
    told += [f"{key} {value}" for key, value in sorted((settings.get("options") or {}).items())]
    return ", ".join(told)


def _members(record: ModelRecord) -> list[str]:
    """What the fitting of each seed came to."""
    metrics = record.metrics
    losses = metrics.get("validation_loss") or {}
    facts: Mapping[str, Mapping[str, Any]] = metrics.get("members") or {}
    by_seed = losses.get("by_seed") or {}
    rows: list[tuple[str, ...]] = []
    for seed in sorted(facts, key=int):
        entries = [entry for entry in record.history if str(entry.get("seed")) == seed]
        drawn = entries[::-1][:: -(-len(entries) // _SPARKS) or 1][::-1]
        found = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts[seed].items())
        line = sparkline([entry.get("validation_loss") for entry in drawn])
        rows.append((f"seed {seed}", number(by_seed.get(seed), 4) if by_seed else "", line, found))
    if not rows:
        return []
    if not by_seed:
        return ["members", *(f"  {row[0]}: {row[3]}".rstrip(": ") for row in rows)]
    plain = metrics.get("median_loss")
    beside = "" if plain is None else f"; guessing the median everywhere {number(plain, 4)}"
    return [
        f"validation loss on held-out blocks: {number(losses.get('mean'), 4)}, spread over seeds "
        f"{number(losses.get('spread'), 4)}{beside}",
        *table(rows),
        "  It tells how well evidence is guessed, not how well ore is found: see lode prospect evaluate.",
    ]


def _notes(record: ModelRecord) -> list[str]:
    notes = record.training.get("notes") or []
    return ["of the evidence was said", *(f"  {note}" for note in notes)] if notes else []
