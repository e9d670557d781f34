"""An experiment from its first training to its tables and its figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from db.errors import UsageError
from db.registry import list_models
from inference.experiments.files import held, made_folder
from inference.experiments.ground import ground_of, opened_material
from inference.experiments.pictures import draw_material
from inference.experiments.plan import Plan, open_plan
from inference.experiments.presets import preset_by_name
from inference.experiments.results import assemble, write_results
from inference.experiments.rows import chosen_rows
from inference.experiments.runner import Outcome, finished_models, run_plan
from inference.training.blocks import Split
from inference.training.material import Material
from inference.training.processes import training_device
from inference.training.settings import TrainingSettings


@dataclass(frozen=True)
class Request:
    """What is asked of an experiment.

    Attributes:
        experiment: key of `inference.experiments.rows.EXPERIMENTS`.
        preset: key of `inference.experiments.presets.PRESETS`.
        seeds: trainings of each row, with the seeds 1, 2, ...
        split_seed: of the split.
        networks: rows to train; none: all.
        products: scenes; none: all current ones with labels.
        sample_set: name of samples instead of scenes.
        band_names: bands; none: all that the scenes share.
        epochs, windows, batch_size, tile_px: instead of the preset's.
        name: that names of models begin with; None: the experiment's.
        is_simulated: whether the scenes are made up.
        is_fresh: train everything anew.

    """

    experiment: str
    preset: str = "small"
    seeds: int = 3
    split_seed: int = 7
    networks: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    sample_set: str | None = None
    band_names: tuple[str, ...] = ()
    epochs: int | None = None
    windows: int | None = None
    batch_size: int | None = None
    tile_px: int | None = None
    name: str | None = None
    is_simulated: bool = False
    is_fresh: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            UsageError: what was got and what to give.

        """
        if self.seeds < 1:
            raise UsageError(f"seeds is {self.seeds}: each row needs at least 1, and 3 to know its spread")
        if self.sample_set is not None and self.products:
            raise UsageError("a sample set says which scenes it is of: give either --samples or --scene")
        chosen_rows(self.experiment, self.networks)
        self.settings()

    def settings(self) -> TrainingSettings:
        """What all trainings share, by the preset and what was given instead."""
        return preset_by_name(self.preset).settings(
            self.split_seed,
            epochs=self.epochs,
            windows=self.windows,
            batch_size=self.batch_size,
            tile_px=self.tile_px,
        )


def run_experiment(
    url: str,
    request: Request,
    out: Path,
    *,
    device_name: str | None = None,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Train what is missing, then write ``<experiment>.json``, ``.md``, ``.csv`` and ``.png``.

    Killed at any moment, the same call goes on where it was: what is finished is in the registry, what is at
    work has a checkpoint in ``<out>/<experiment>/``.

    Args:
        url: libpq URL of the database.
        request: what to train.
        out: folder of the results.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        report: takes lines of progress.

    Returns:
        The content of the JSON file; its ``failures`` names trainings that failed.

    Raises:
        UsageError: labels do not suffice, an earlier call was asked for something else, or what would hit all
            trainings alike.

    """
    device = training_device(device_name)
    folder = made_folder(out / request.experiment)
    with held(folder):
        with opened_material(*_where(url, request)) as (conn, material):
            plan = _plan(request, material, ground_of(conn, material, request.sample_set))
            taken = [record.name for record in list_models(conn)]
        base = request.name or request.experiment
        name = open_plan(folder, plan, base, taken, is_fresh=request.is_fresh)
        finished_models(url, plan, name)  # refuses what was trained otherwise before anything is begun
        outcome = run_plan(
            url,
            plan,
            name,
            folder,
            products=request.products,
            band_names=request.band_names,
            device_name=device_name,
            report=report,
        )
        result = assemble(plan, outcome)
        written = write_results(result, out)
        with opened_material(*_where(url, request)) as (conn, material):
            models = _shown_models(plan, outcome)
            drawn = draw_material(
                conn, material, models, request.split_seed, device, out / f"{request.experiment}.png"
            )
    written += [drawn] if drawn is not None else []
    report(f"results: {', '.join(map(str, written))}")
    return result


def _where(
    url: str, request: Request
) -> tuple[str, TrainingSettings, Sequence[str], str | None, Sequence[str]]:
    return url, request.settings(), request.products, request.sample_set, request.band_names


def _plan(request: Request, material: Material, ground: Any) -> Plan:
    settings = request.settings()
    if not isinstance(material.ground, Split):
        wanted = request.tile_px
        if wanted not in (None, material.ground.tile_px):
            raise UsageError(
                f"the samples of {material.ground.name} have windows of {material.ground.tile_px} px, asked "
                f"for are {wanted} px: leave --tile-px out, or build another set"
            )
        settings = replace(settings, tile_px=material.ground.tile_px)
    return Plan(
        experiment=request.experiment,
        preset=request.preset,
        rows=chosen_rows(request.experiment, request.networks),
        seeds=tuple(range(1, request.seeds + 1)),
        settings=settings,
        ground=ground,
        is_simulated=request.is_simulated,
    )


def _shown_models(plan: Plan, outcome: Outcome) -> list[tuple[str, Any]]:
    """One model a row for the figure: that of the first seed, or of the first that was trained."""
    shown = []
    for row in plan.rows:
        seeds = [seed for seed in plan.seeds if (row.network, seed) in outcome.models]
        if seeds:
            shown.append((row.network, outcome.models[row.network, seeds[0]]))
    return shown
