"""The trainings of the experiment, some at a time; one that is in the registry is not repeated."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from db.connection import connect
from db.errors import UsageError
from db.registry import ModelRecord, list_models, model_by_name, require_in_service
from inference.device import choose_device
from inference.experiments.time_left import TimeLeft, in_words
from inference.prospect.dataset import PatchSet
from inference.prospect.experiment.plan import Preset, Row, model_name
from inference.prospect.experiment.processes import tell, trainings_in
from inference.prospect.importance import permutation_importance
from inference.prospect.learning import LearningReport, part_of_set
from inference.prospect.recording import set_digest, train_prospect
from inference.prospect.settings import GridSettings, ProspectSettings
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
        jobs: trainings at a time, see `processes`.

    """

    url: str
    preset: Preset
    device_name: str | None
    report: Report
    time_left: TimeLeft
    jobs: int = 1


@dataclass(frozen=True)
class _Training:
    """One training, as a process is told of it; see `inference.prospect.recording.train_prospect`.

    Attributes:
        kind: of those that take as long.
        head: what its lines begin with.

    """

    url: str
    name: str
    set_name: str
    settings: ProspectSettings
    grid: GridSettings | None
    leave_out_geology: bool
    device_name: str | None
    kind: str
    head: str


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
    found: dict[str, dict[int, ModelRecord]] = {row.name: {} for row in rows}
    ready = deque((row, seed) for row, seed in every if seed == 1)
    running: dict[Future[None], tuple[Row, int, _Training]] = {}

    def plan(row: Row, seed: int) -> _Training:
        first = found[row.name].get(1)
        grid = bench.preset.grid if row.is_network and first is None else None
        settings = bench.preset.settings(row, seed, None if first is None else first.training["settings"])
        return _Training(
            url=bench.url,
            name=model_name(part, row, settings, grid, of),
            set_name=patches.name,
            settings=settings,
            grid=grid,
            leave_out_geology=row.leave_out_geology,
            device_name=bench.device_name,
            kind=_kind(row, seed),
            head=f"{part} {every.index((row, seed)) + 1}/{len(every)} {row.name} seed {seed}",
        )

    def finish(row: Row, seed: int, training: _Training, record: ModelRecord, said: str) -> None:
        found[row.name][seed] = record
        bench.time_left.learn(training.kind, float(record.training["seconds"]))
        left = [_kind(other, number) for other, number in every if number not in found[other.name]]
        estimate = bench.time_left.estimate(left)
        words = in_words(None if estimate is None else estimate / bench.jobs)
        bench.report(f"{training.head} {said}, this set: {words}")
        if seed == 1:
            # before the next row: their width and learning rate are known now
            ready.extendleft(reversed([each for each in every if each[0] == row and each[1] > 1]))

    with trainings_in(bench.jobs, bench.report) as processes:
        while ready or running:
            while ready and len(running) < bench.jobs:
                row, seed = ready.popleft()
                training = plan(row, seed)
                record = _stored(bench.url, training.name)
                if record is None:
                    running[processes.submit(_train, training)] = row, seed, training
                else:
                    finish(row, seed, training, record, "was done before")
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                row, seed, training = running.pop(future)
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise UsageError(
                        f"{training.head}: its process was ended from outside, as a system does that has "
                        "no memory left; the same command goes on, and with --jobs 1 it needs less"
                    ) from error
                finish(row, seed, training, _must_be_stored(bench.url, training.name), "done")
    return {name: [records[seed] for seed in sorted(records)] for name, records in found.items()}


def _train(training: _Training) -> None:
    train_prospect(
        training.url,
        training.name,
        training.set_name,
        training.settings,
        grid=training.grid,
        leave_out_geology=training.leave_out_geology,
        device_name=training.device_name,
        report=_progress(tell, training.head, is_first=training.settings.seed == 1),
    )


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


def _must_be_stored(url: str, name: str) -> ModelRecord:
    with connect(url, application_name="lode experiment") as conn:
        return model_by_name(conn, name)


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
