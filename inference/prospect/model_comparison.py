"""`lode model compare` for models that tell where ore may lie.

Figures are held against each other only where the models were judged on the same patches; then the same
blocks are drawn for both, see `inference.prospect.figures.figure_differences`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import UsageError
from db.registry import ModelRecord
from inference.models.figures import number, range_text, split_text, table
from inference.prospect.figures import Judged, figure_differences
from inference.prospect.model_report import FIGURES
from inference.prospect.ore_blocks import OreBlocks, ore_interval

Ends = dict[str, float | None]


@dataclass(frozen=True)
class ProspectPair:
    """A model held against the first.

    Attributes:
        name: of the model.
        hindrance: why figures cannot be compared; None: they can.
        blocks: those of the test patches that both were judged on; None with a hindrance.
        differences: value, low and high by figure, this model's minus the first's; empty with a hindrance.

    """

    name: str
    hindrance: str | None
    blocks: OreBlocks | None
    differences: dict[str, Ends]

    def is_beyond_chance(self, figure: str) -> bool | None:
        """Whether the interval of a difference leaves 0 out; None without an interval, as on few blocks."""
        ends = self.differences.get(figure) or {}
        low, high = ends.get("low"), ends.get("high")
        return None if low is None or high is None else low > 0 or high < 0


def compare_prospects(records: Sequence[ModelRecord]) -> list[ProspectPair]:
    """Hold every model after the first against the first."""
    return [_pair(records[0], other) for other in records[1:]]


def _pair(first: ModelRecord, other: ModelRecord) -> ProspectPair:
    digests = [(record.training.get("split") or {}).get("digest") for record in (first, other)]
    if digests[0] is None or digests[0] != digests[1]:
        hindrance = (
            f"{first.name} was tested on {split_text(first)}, {other.name} on {split_text(other)}: train "
            "both on one set"
        )
        return ProspectPair(other.name, hindrance, None, {})
    try:
        judged = [Judged.from_metrics(each.metrics, f"model {each.name}") for each in (first, other)]
        differences = figure_differences(judged[0], judged[1])
    except (UsageError, ValueError) as error:
        return ProspectPair(other.name, str(error), None, {})
    blocks = OreBlocks.of(judged[0].blocks, judged[0].is_positive)
    return ProspectPair(other.name, None, blocks, differences)


def comparison_text(records: Sequence[ModelRecord], pairs: Sequence[ProspectPair]) -> list[str]:
    """Figures side by side, and the differences to the first with their intervals."""
    rows: list[tuple[str, ...]] = [("", *(record.name for record in records))]
    rows += [
        ("model", *(record.architecture for record in records)),
        ("channels", *(f"{len(record.band_names)}{_geology(record)}" for record in records)),
        ("held out", *(split_text(record, is_short=True) for record in records)),
        ("test patches", *(f"{record.metrics.get('patches', 0):,}" for record in records)),
    ]
    for figure, name in FIGURES.items():
        rows.append((name, *(number(record.metrics.get(figure)) for record in records)))
        if figure in ("balanced_accuracy", "roc_auc"):
            ends = (range_text(ore_interval(record.metrics, figure)) for record in records)
            rows.append(("  95 % interval", *ends))
    lines = table(rows, indent="")
    for record in records:
        blocks = OreBlocks.from_metrics(record.metrics)
        if blocks is not None and blocks.too_few:
            lines.append(f"{record.name}: {blocks.too_few}.")
    for pair in pairs:
        lines += ["", *_pair_lines(pair, records[0].name)]
    return lines


def _geology(record: ModelRecord) -> str:
    channels = record.training.get("channels") or []
    has_geology = any(each.get("kind") == "geology" or each.get("is_geology") for each in channels)
    return " with geology" if has_geology else ""


def _pair_lines(pair: ProspectPair, first: str) -> list[str]:
    if pair.hindrance is not None:
        return [f"{pair.name} and {first} cannot be compared: {pair.hindrance}."]
    rows = [(f"{pair.name} minus {first}", "", "95 % interval", "")]
    for figure, name in FIGURES.items():
        ends = pair.differences[figure]
        value, low, high = (ends[key] for key in ("value", "low", "high"))
        told = "-" if value is None else f"{value:+.3f}"
        reach = "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"
        rows.append((name, told, reach, "beyond chance" if pair.is_beyond_chance(figure) else ""))
    warning = None if pair.blocks is None else pair.blocks.warning
    return [*table(rows, indent=""), *([f"  {warning}"] if warning else [])]


def comparison_json(records: Sequence[ModelRecord], pairs: Sequence[ProspectPair]) -> str:
    """Models with their figures, and every difference to the first."""
    content = {
        "models": [
            {
                "name": record.name,
                "architecture": record.architecture,
                "channels": record.band_names,
                "split": split_text(record),
                "test_patches": record.metrics.get("patches"),
                "figures": {figure: record.metrics.get(figure) for figure in FIGURES},
            }
            for record in records
        ],
        "against_first": [
            {
                "name": pair.name,
                "is_comparable": pair.hindrance is None,
                "hindrance": pair.hindrance,
                **_blocks_json(pair.blocks),
                "differences": {
                    figure: {**ends, "is_beyond_chance": pair.is_beyond_chance(figure)}
                    for figure, ends in pair.differences.items()
                },
            }
            for pair in pairs
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1)


def _blocks_json(blocks: OreBlocks | None) -> dict[str, int | str | None]:
    """Blocks by what they hold, and why there is no interval; as before 0 where models are not compared."""
    found = OreBlocks(0, 0, 0) if blocks is None else blocks
    return {**found.as_json(), "few_blocks": None if blocks is None else blocks.too_few}


def comparison_csv(records: Sequence[ModelRecord], pairs: Sequence[ProspectPair]) -> str:
    """One row a model and figure, with the difference to the first; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "figure", "value", "difference", "low", "high", "beyond_chance", "comparable"))
    for record, pair in zip(records, [None, *pairs], strict=True):
        for figure in FIGURES:
            told: list[object] = ["", "", "", "", ""]
            if pair is not None:
                ends = pair.differences.get(figure) or {}
                told = [ends.get("value"), ends.get("low"), ends.get("high"), pair.is_beyond_chance(figure)]
                told.append(pair.hindrance is None)
            writer.writerow((record.name, figure, record.metrics.get(figure), *told))
    return text.getvalue().rstrip("\n")
