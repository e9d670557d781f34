"""Training what an experiment still lacks: every row with every seed, each a model in the registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from db.connection import connect
from db.errors import RetryError, UsageError
from db.registry import ModelRecord, list_models
from inference.device import is_out_of_memory
from inference.experiments.plan import Plan
from inference.experiments.rows import Row
from inference.experiments.time_left import TimeLeft, in_words
from inference.training.checkpoint import remove_checkpoint
from inference.training.run import Epoch
from inference.training.segmentation import TrainingReport, train_segmentation

Report = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """A training that ended without a model, and why."""

    network: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment.

    Attributes:
        models: by network and seed.
        failures: trainings without a model.

    """

    models: Mapping[tuple[str, int], ModelRecord]
    failures: Sequence[Failure] = ()


@dataclass
class _Progress:
    """Tells how far the experiment is; the lines of a training begin with its place among all."""

    plan: Plan
    report: Report
    to_come: list[str]
    left: TimeLeft = field(default_factory=TimeLeft)

    def training_report(self, head: str, row: Row) -> TrainingReport:
        begun = time.monotonic()
        first: list[int] = []

        def tell(epoch: Epoch) -> None:
            first.append(epoch.epoch)
            # a training that went on from a checkpoint has done only the epochs since then
            done, epochs = epoch.epoch - first[0] + 1, self.plan.settings.epochs
            share = done / (epochs - first[0] + 1)
            left = self.left.estimate(self.to_come, (row.network, time.monotonic() - begun, share))
            self.report(
                f"{head}: epoch {epoch.epoch}/{epochs}, loss {epoch.loss:.3f}, validation mean IoU "
                f"{epoch.validation_mean_iou:.3f}; {in_words(left)}"
            )

        return TrainingReport(lambda line: self.report(f"{head}: {line}"), tell)


def model_name(name: str, row: Row, seed: int) -> str:
    """Name in the registry of the model of a row and seed."""
    return f"{name} {row.network} seed {seed}"


def run_plan(
    url: str,
    plan: Plan,
    name: str,
    folder: Path,
    *,
    products: Sequence[str] = (),
    band_names: Sequence[str] = (),
    device_name: str | None = None,
    report: Report,
) -> Outcome:
    """Train what the registry lacks of a plan; killed at any moment, the same call goes on.

    A training that fails (its loss is lost, memory runs out) is noted, and the others go on. What hits all
    alike, a lost database or a full disk, ends the experiment.

    Args:
        url: libpq URL of the database.
        plan: what to train.
        name: that names of models begin with.
        folder: of the checkpoint of the training at work.
        products: scenes, as the plan's ground was made of; none: all current ones with labels.
        band_names: bands, likewise.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        report: takes lines of progress.

    Raises:
        UsageError: a model of that name was trained otherwise, also where labels changed meanwhile; or what
            ends the experiment.

    """
    models = finished_models(url, plan, name)
    missing = [(row, seed) for row, seed in plan.trainings if (row.network, seed) not in models]
    count, begun_with = len(plan.trainings), len(models)
    for network, seed in models:  # a kill may have come between storing and tidying up
        remove_checkpoint(_checkpoint(folder, network, seed))
    if models:
        report(f"{begun_with} of {count} trainings are done already")
    progress = _Progress(plan, report, [row.network for row, _ in missing])
    for (network, _), record in models.items():
        progress.left.learn(network, float(record.training.get("seconds", 0.0)))
    failures = []
    for place, (row, seed) in enumerate(missing, begun_with + 1):
        progress.to_come.pop(0)
        number = plan.rows.index(row) + 1
        head = f"{place}/{count} {row.network} (row {number} of {len(plan.rows)}, seed {seed})"
        begun = time.monotonic()
        try:
            models[row.network, seed] = train_segmentation(
                url,
                model_name(name, row, seed),
                plan.settings_of(row, seed),
                products=products,
                sample_set=plan.ground.sample_set,
                band_names=band_names,
                device_name=device_name,
                checkpoint=_checkpoint(folder, row.network, seed),
                report=progress.training_report(head, row),
            )
        except (UsageError, RuntimeError, MemoryError) as error:
            if _hits_all(error):
                raise
            failures.append(Failure(row.network, seed, str(error) or type(error).__name__))
            report(f"{head} failed: {failures[-1].reason}")
            continue
        # each training reads labels and scenes as they are when it begins, hours after the first
        _require_planned(plan, models[row.network, seed], row, seed)
        progress.left.learn(row.network, time.monotonic() - begun)
        report(f"{head} done; {in_words(progress.left.estimate(progress.to_come))}")
    return Outcome(models, failures)


def finished_models(url: str, plan: Plan, name: str) -> dict[tuple[str, int], ModelRecord]:
    """The models of a plan that are in the registry, by network and seed.

    Raises:
        UsageError: a model has the name of one of them and was trained otherwise.

    """
    with connect(url, application_name="lode experiment") as conn:
        stored = {record.name: record for record in list_models(conn)}
    found = {}
    for row, seed in plan.trainings:
        record = stored.get(model_name(name, row, seed))
        if record is None:
            continue
        _require_planned(plan, record, row, seed)
        found[row.network, seed] = record
    return found


def _require_planned(plan: Plan, record: ModelRecord, row: Row, seed: int) -> None:
    if others := plan.differences(record, row, seed):
        raise UsageError(
            f"model {record.name!r} exists and was trained otherwise: {'; '.join(others[:3])}. "
            "Begin anew with --fresh, or choose another --name"
        )


def _checkpoint(folder: Path, network: str, seed: int) -> Path:
    return folder / f"{network} seed {seed}.checkpoint"


def _hits_all(error: Exception) -> bool:
    """Whether the next training would fail for the same reason, or the error is a bug."""
    if isinstance(error, RetryError) or isinstance(error.__cause__, (OSError, psycopg.Error)):
        return True
    return not (isinstance(error, (UsageError, MemoryError)) or is_out_of_memory(error))
