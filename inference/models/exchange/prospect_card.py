"""The card of a model that tells where ore may lie; see `card`."""

from __future__ import annotations

import shlex

from db.registry import ModelRecord
from inference.models.exchange.card import NO_LICENCE, escaped, version_lines
from inference.models.exchange.names import WEIGHTS_NAME
from inference.models.figures import range_text
from inference.prospect.model_report import prospect_lines
from inference.prospect.ore_blocks import OreBlocks, ore_interval


def prospect_card(record: ModelRecord, file_sha256: str, weights_sha256: str) -> str:
    """The card as Markdown.

    Args:
        record: the model, with the licence it is exported under.
        file_sha256: of the exported file.
        weights_sha256: of the weights in it, as the database keeps them.

    """
    parts = [
        [f"# {escaped(record.name)}", "", *_purpose(record)],
        # indented by four: shown as it is, whatever names stand in it
        ["## What it is, and how it did", "", *(f"    {line}".rstrip() for line in prospect_lines(record))],
        ["## Where it fails", "", *(f"- {escaped(line)}" for line in _weaknesses(record))],
        ["## How to use it", "", *_use(record)],
        ["## Licence", "", escaped(record.licence) if record.licence else NO_LICENCE],
        ["## Versions", "", *version_lines(record, file_sha256, weights_sha256)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _purpose(record: ModelRecord) -> list[str]:
    channels = len(record.band_names)
    lines = [
        f"A model ({escaped(record.architecture)}) that ranks ground by how much it looks like that of known "
        f"deposits, in {channels} channels and patches of {record.tile_px} x {record.tile_px} cells of "
        f"{record.resolution_m:g} m. What it gives is an order in which to look at ground. It finds no "
        "deposit, and its answers are neither resources nor reserves.",
    ]
    if record.retired_at is not None:
        why = escaped(record.retired_reason or "no reason was recorded")
        lines += ["", f"**It was taken out of service on {record.retired_at:%Y-%m-%d}: {why}.**"]
    if record.training.get("imported"):
        lines += ["", "It was trained elsewhere and brought in; its figures are as they were told there."]
    return lines


def _weaknesses(record: ModelRecord) -> list[str]:
    """What a user must know before relying on it, computed from what is stored."""
    metrics, training = record.metrics, record.training
    lines = []
    ends, blocks = ore_interval(metrics, "roc_auc"), OreBlocks.from_metrics(metrics)
    if ends is None:
        why = "there is no interval" if blocks is None or blocks.too_few is None else blocks.too_few
        lines.append(f"How far it can be told from guessing is not known: {why}.")
    elif ends[0] <= 0.5:
        lines.append(
            "It cannot be told from guessing: the interval of its area under the ROC curve, "
            f"{range_text(ends)}, reaches 0.5."
        )
    if ends is not None and blocks is not None and blocks.warning:
        lines.append(blocks.warning)
    lines += [f"Of its patches was warned: {warning}." for warning in training.get("warnings") or []]
    ground, level = training.get("ground"), training.get("processing_level")
    if ground:
        lines.append(f"It has seen {ground} and no other ground; how far other ground lies from it is told.")
    if level:
        lines.append(f"It knows pixels that hold {level}; scenes of another level are refused.")
    lines.append(
        f"Cells that differ from {record.resolution_m:g} m by more than 5 % are refused. Barren is where no "
        "deposit was known: it learned where people looked as well as where ore is."
    )
    return lines


def _use(record: ModelRecord) -> list[str]:
    ground = "--scene PRODUCT" if record.training.get("processing_level") else "--area AREA"
    return [
        "In a Lode database:",
        "",
        f"    lode model import {WEIGHTS_NAME}",
        f"    lode prospect apply --model {shlex.quote(record.name)} {ground}",
        "",
        f"The whole record of the model is in the metadata of {WEIGHTS_NAME}; this card is for people and is "
        "not read back.",
    ]
