"""What `lode experiment prospectivity` works on: a simulated province, and a real survey of sediment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyogrio
import rasterio

from db.connection import connect, database_url
from db.embedded import Cluster
from db.errors import UsageError
from db.evidence import list_areas
from db.settings import Settings
from db.upgrade import upgrade
from demo.district import run_lode
from demo.geology_experiment import data_folder, ingest_survey
from inference.device import choose_device
from inference.evidence.experiment.judged import PlantedPlaces
from inference.evidence.experiment.plan import PARTS, REAL, SIMULATED, Preset, preset_by_name
from inference.evidence.experiment.results import Part, run_parts
from inference.evidence.experiment.running import Bench
from inference.evidence.mineral_system import builtin_systems, to_toml
from inference.evidence.system_types import GeologyRule, MineralSystem
from inference.experiments.files import held, made_folder, write_text
from ingest.simulate.evidence import AREA, EvidenceSimulation, simulate_evidence

DATABASES = {SIMULATED: "lode_experiment_evidence_{size_px}_{seed}", REAL: "lode_experiment_evidence_survey"}
"""In the private cluster, one for each part: geology of one must be no neighbour of the other's."""
SEED = 33
"""Of the province that is reported; nothing was tuned on it."""
SYSTEM = "lithium_pegmatite"
SURVEY_FOLDER, SURVEY_AREA, SURVEY_SYSTEM = "nanling_lithium", "nanling", "nanling_lithium"
GRANITE_WEIGHT, FAULTS_WEIGHT = 2.0, 1.0

Report = Callable[[str], None]


def run_experiment(
    out: Path,
    *,
    preset_name: str,
    parts: Sequence[str],
    seeds: int | None = None,
    device_name: str | None = None,
    jobs: int | None = None,
    report: Report = click.echo,
) -> dict[str, Any]:
    """Run the experiment; what is there of it already is taken as it is.

    Args:
        out: folder of tables and figures.
        preset_name: tiny, small or full.
        parts: of ``PARTS``.
        seeds: members of methods that know chance; None: the preset's.
        device_name: see `inference.device.choose_device`.
        jobs: methods at a time; None: one for each processor core, one on a GPU.
        report: takes lines of progress.

    Returns:
        What ``evidence.json`` holds.

    Raises:
        UsageError: no such preset or part, or a database that holds other areas.

    """
    preset = preset_by_name(preset_name)
    if seeds is not None:
        preset = replace(preset, seeds=seeds, real_seeds=seeds)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise UsageError(f"--part {unknown[0]}: choose {' or '.join(PARTS)}")
    if Settings().database_url and len(parts) > 1:
        raise UsageError(
            "with LODE_DATABASE_URL name one --part: geology of one must be no neighbour of the other's, so "
            "that each has a database of its own"
        )
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if choose_device(device_name).type == "cpu" else 1
    folder = made_folder(out / "evidence_experiment")
    skipped: list[str] = []
    found: list[Part] = []
    with held(folder):
        if SIMULATED in parts:
            found.append(_simulated(folder, preset, device_name, jobs, report))
        if REAL in parts:
            source = data_folder() / SURVEY_FOLDER
            if source.is_dir():
                found.append(_survey(source, folder, preset, device_name, jobs, report))
            else:
                skipped.append(
                    f"real: no {SURVEY_FOLDER} in {data_folder()}; set LODE_TEST_DATA to the folder that "
                    "holds it"
                )
                report(skipped[-1])
        return run_parts(found, out, preset_name=preset_name, skipped=skipped)


def _simulated(folder: Path, preset: Preset, device_name: str | None, jobs: int, report: Report) -> Part:
    report(f"simulating a province of {preset.size_px} x {preset.size_px} cells")
    made = simulate_evidence(folder / f"province-{preset.size_px}", seed=SEED, size_px=preset.size_px)
    url = _own_database(DATABASES[SIMULATED].format(size_px=preset.size_px, seed=SEED), AREA)
    for command in made.commands():
        run_lode(*command)
    run_lode("ingest", "deposits", str(made.deposits))
    bench = Bench(url, SIMULATED, AREA, SYSTEM, preset, preset.seeds, device_name, jobs, report)
    x, y = _points(made.deposits)
    return Part(bench, f"Province of seed {SEED}", x, y, _planted(made))


def _planted(made: EvidenceSimulation) -> PlantedPlaces:
    cells = {}
    for kind in ("barren", "decoy"):
        *_, columns = pyogrio.raw.read(made.truth / f"{kind}.geojson", columns=["row", "col"])
        cells[kind] = np.stack([np.asarray(column, np.int64) for column in columns], axis=1)
    with rasterio.open(made.truth / "halo.tif") as file:
        halo = file.read(1)
    return PlantedPlaces(cells["barren"], cells["decoy"], halo.astype(np.float32))


def _points(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Coordinates of the points of a file, in its own CRS."""
    features = json.loads(path.read_text("utf-8"))["features"]
    places = np.array([feature["geometry"]["coordinates"][:2] for feature in features], float)
    return places[:, 0], places[:, 1]


def _survey(
    source: Path, folder: Path, preset: Preset, device_name: str | None, jobs: int, report: Report
) -> Part:
    """The survey with its deposits; its surfaces of granite and faults are the geology."""
    url = _own_database(DATABASES[REAL], SURVEY_AREA)
    survey = ingest_survey(source, folder)
    definition = write_text(folder / f"{SURVEY_SYSTEM}.toml", to_toml(survey_system()))
    run_lode("system", "import", str(definition), "--replace")
    bench = Bench(url, REAL, SURVEY_AREA, SURVEY_SYSTEM, preset, preset.real_seeds, device_name, jobs, report)
    return Part(bench, "Nanling", survey.x, survey.y)


def survey_system() -> MineralSystem:
    """Lithium pegmatites where granite and faults are known as surfaces, 0..1, not as outlines."""
    known = builtin_systems()[SYSTEM]
    rules = (
        GeologyRule("layer", "Granite", (), None, GRANITE_WEIGHT, "high"),
        GeologyRule("layer", "Faults", (), None, FAULTS_WEIGHT, "high"),
    )
    return MineralSystem(
        name=SURVEY_SYSTEM,
        title=known.title,
        description="The same where granite and faults are surfaces of density.",
        commodities=known.commodities,
        elements=known.elements,
        geology=rules,
        anomaly_share=known.anomaly_share,
        references=known.references,
    )


def _own_database(database: str, area: str) -> str:
    """URL of a database that holds no study area but that of a part.

    Raises:
        UsageError: that of LODE_DATABASE_URL does.

    """
    settings = Settings()
    if settings.database_url:
        url = database_url(settings)
    else:
        cluster = Cluster(settings.home)
        cluster.ensure_running(click.echo)
        cluster.create_database(database)
        os.environ["LODE_DATABASE"] = database
        url = cluster.url(database)
    upgrade(url)
    with connect(url) as conn:
        others = [each.name for each in list_areas(conn) if each.name != area]
    if others:
        raise UsageError(
            f"the database holds other study areas than the experiment's own ({', '.join(others)}): name an "
            "empty database, or unset LODE_DATABASE_URL"
        )
    return url
