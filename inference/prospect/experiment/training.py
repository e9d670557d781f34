"""The trainings of the experiment, one after the other; one that is in the registry is not repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from db.connection import connect
from db.registry import ModelRecord, list_models, require_in_service
from inference.device import choose_device
from inference.experiments.time_left import TimeLeft, in_words
from inference.prospect.dataset import PatchSet
from inference.prospect.experiment.plan import Preset, Row, model_name
from inference.prospect.importance import permutation_importance
from inference.prospect.learning import LearningReport, part_of_set
from inference.prospect.recording import set_digest, train_prospect
from inference.prospect.train import ProspectEpoch
from inference.prospect.trained import load_prospect_model
from inference.training.blocks import TEST

Report = Callable[[str], None]
_TELL_EVERY_S = 10.0


@dataclass(frozen=True)
class Bench:
    """Where and how all trainings of the experiment are done.

    Attributes:
        url: libpq URL of the database.
        preset: the budget.
        device_name: see `inference.device.choose_device`.
        report: takes lines of progress.
        time_left: what trainings took until now, over all parts of the experiment.

    """

    url: str
    preset: Preset
    device_name: str | None
    report: Report
    time_left: TimeLeft


def train_rows(
    bench: Bench, part: str, patches: PatchSet, rows: Sequence[Row], seeds: int
) -> dict[str, list[ModelRecord]]:
    """Train every row with every seed on one set; gives the models by row, in the order of the seeds.

    Width and learning rate are chosen by the first seed's training, on the validation patches, and taken by
    the other seeds. Plain models are trained once.

    Args:
        bench: where and how.
        part: of the experiment, for names and lines.
        patches: the set.
        rows: to be trained.
        seeds: trainings of each network; they are 1 to so many.

    Raises:
        UsageError: as `inference.prospect.recording.train_prospect`.

    """
    of = f"{patches.name} {set_digest(patches)}"
    every = [(row, seed) for row in rows for seed in range(1, (seeds if row.is_network else 1) + 1)]
    found: dict[str, list[ModelRecord]] = {row.name: [] for row in rows}
    for place, (row, seed) in enumerate(every):
        first = found[row.name][0] if found[row.name] else None
        grid = bench.preset.grid if row.is_network and first is None else None
        chosen = None if first is None else first.training["settings"]
        settings = bench.preset.settings(row, seed, chosen)
        name = model_name(part, row, settings, grid, of)
        record = _stored(bench.url, name)
        later = [_kind(other, number) for other, number in every[place + 1 :]]
        head = f"{part} {place + 1}/{len(every)} {row.name} seed {seed}"
        if record is None:
            begun = time.monotonic()
            record = train_prospect(
                bench.url,
                name,
                patches.name,
                settings,
                grid=grid,
                leave_out_geology=row.leave_out_geology,
                device_name=bench.device_name,
                report=_progress(bench.report, head, is_first=first is None),
            )
            bench.time_left.learn(_kind(row, seed), time.monotonic() - begun)
            said = "done"
        else:
            bench.time_left.learn(_kind(row, seed), float(record.training["seconds"]))
            said = "was done before"
        bench.report(f"{head} {said}, this set: {in_words(bench.time_left.estimate(later))}")
        found[row.name].append(record)
    return found


def validation_loss(record: ModelRecord) -> float:
    """Loss on the validation patches in the epoch that was kept."""
    return min(float(epoch["validation_loss"]) for epoch in record.history)


def chosen_seed(records: Sequence[ModelRecord]) -> ModelRecord:
    """The training of least validation loss; plain models have one only."""
    return min(records, key=validation_loss) if len(records) > 1 else records[0]


def importance_of(bench: Bench, record: ModelRecord, patches: PatchSet) -> list[dict[str, Any]]:
    """What a model loses on the test patches when channels, and groups of them, are shuffled.

    Of one model only, the one that is told of: it takes as long as some epochs of training.

    Args:
        bench: where the model is, and how often channels are shuffled.
        record: the model.
        patches: the set it was trained on.

    Returns:
        As `inference.prospect.importance.Importance.as_json`; empty where the test patches are of one class.

    """
    with connect(bench.url, application_name="lode experiment") as conn:
        model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
    values, is_positive, _blocks = part_of_set(model, patches, TEST)
    if not is_positive.any() or is_positive.all():
        return []
    found = permutation_importance(
        model.patch_probabilities,
        values,
        is_positive,
        model.channels,
        model.threshold,
        repeats=bench.preset.importance_repeats,
    )
    return [each.as_json() for each in found]


def _kind(row: Row, seed: int) -> str:
    """Trainings that take as long: the first one tries the grid too."""
    return f"{row.name} grid" if row.is_network and seed == 1 else row.name


def _stored(url: str, name: str) -> ModelRecord | None:
    with connect(url, application_name="lode experiment") as conn:
        for record in list_models(conn):
            if record.name == name:
                require_in_service(record)
                return record
    return None


def _progress(report: Report, head: str, *, is_first: bool) -> LearningReport:
    told = time.monotonic()

    def tell(epoch: ProspectEpoch, epochs: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            report(
                f"{head}: epoch {epoch.epoch} of at most {epochs}, "
                f"validation loss {epoch.validation_loss:.3f}"
            )

    def line(text: str) -> None:
        # the other seeds would say the same again
        if is_first:
            report(f"{head}: {text}")

    return LearningReport(line=line, epoch=tell)
