"""What `lode experiment geology` learns from: simulated districts, implanted ore, and a real survey."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyproj
import rasterio

from db.connection import connect, database_url
from db.embedded import Cluster
from db.errors import UsageError
from db.scenes import list_scenes
from db.settings import Settings
from db.upgrade import upgrade
from demo.district import run_lode
from inference.device import choose_device
from inference.experiments.files import write_text
from inference.experiments.time_left import TimeLeft
from inference.prospect.experiment.plan import preset_by_name
from inference.prospect.experiment.planted import Planted
from inference.prospect.experiment.results import run_geology_experiment
from inference.prospect.experiment.survey import Survey
from inference.prospect.experiment.training import Bench
from ingest.simulate.implanted import DEPOSIT_TYPE as IMPLANTED_TYPE
from ingest.simulate.implanted import NAME as IMPLANTED_NAME
from ingest.simulate.implanted import ImplantedSimulation, simulate_implanted
from ingest.simulate.prospect import ProspectSimulation, simulate_prospect

DATABASE = "lode_experiment_geology_{size_px}"
"""In the private cluster; one for each size of the districts."""
SEED, SRID = 7, 32645
SURVEY, PARALLEL_DEG, DEPOSIT_TYPE = "nanling", 27.0, "survey cell with lithium"
SURFACES = ("Granite", "Faults")
INSIDE = ("Faults", "Granite", "Strata")
SCENE, SPECTRA = "enmap_potsdam", "usgs_spectra"
"""Folders of the real data that ore is implanted with."""
IMPLANTED_SEED = 7
"""With it each part holds ore and the test ground both kinds of decoys; nobody looked at scores."""
PARTS = ("simulated", "implanted", "real")

Report = Callable[[str], None]


def run_experiment(
    out: Path,
    *,
    preset_name: str,
    parts: Sequence[str],
    seeds: int | None,
    device_name: str | None,
    jobs: int | None = None,
    report: Report = click.echo,
) -> dict[str, Any]:
    """Bring in what is missing, train and judge; the same call goes on where it was cut off.

    Args:
        out: folder of the results; simulated files go to ``geology`` in it.
        preset_name: see `inference.prospect.experiment.plan.PRESETS`.
        parts: of `PARTS`.
        seeds: trainings of each network, instead of the preset's.
        device_name: see `inference.device.choose_device`.
        jobs: trainings at a time; None: one for each processor core, one on a GPU.
        report: takes lines of progress.

    Raises:
        UsageError: an unknown preset or part, a database in use for something else, a training that failed.

    """
    preset = preset_by_name(preset_name)
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise UsageError(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    folder = out / "geology"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}; choose another --out") from error
    made = [_simulated(folder, number, preset.size_px, report) for number in (1, 2)]
    mixed, skipped = None, [f"{part}: not asked for" for part in PARTS if part not in parts]
    if "implanted" in parts:
        missing = [name for name in (SCENE, SPECTRA) if not (data_folder() / name).is_dir()]
        if missing:
            skipped.append(_without("implanted", " and ".join(missing), report))
        else:
            report("implanting ore in a real EnMAP scene")
            mixed = _implanted(folder)
    url = _own_database(DATABASE.format(size_px=preset.size_px), [each.product for each in made])
    districts = survey = planted = None
    # all geology comes in before patches are cut: it is part of what sets are made of
    if "simulated" in parts:
        districts = _ingested(made[0], with_deposits=True), _ingested(made[1], with_deposits=False)
    if mixed is not None:
        planted = _implanted_ingested(mixed), IMPLANTED_TYPE
    if "real" in parts:
        found = data_folder() / "nanling_lithium"
        if found.is_dir():
            survey = ingest_survey(found, folder)
        else:
            skipped.append(_without("real", found.name, report))
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if choose_device(device_name).type == "cpu" else 1
    bench = Bench(url, preset, device_name, report, TimeLeft(), jobs)
    result = run_geology_experiment(
        bench,
        out,
        preset_name=preset_name,
        districts=districts,
        survey=survey,
        implanted=planted,
        skipped=skipped,
        seeds=seeds,
    )
    if districts is not None:
        # as a user would: the second district's cells, raster and targets in the database, and a page of them
        model = result["simulated"]["importance"]["model"]
        run_lode("prospect", "apply", "--model", model, "--scene", districts[1].product)
        run_lode("report", "prospect", "--out", str(folder / "district-2.html"))
    return result


def data_folder() -> Path:
    """Folder of the real data: ``LODE_TEST_DATA``, else ``shared/data`` beside the project's folder."""
    named = os.environ.get("LODE_TEST_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def _without(part: str, names: str, report: Report) -> str:
    """Why a part is left out whose data are not there."""
    reason = f"{part}: no {names} in {data_folder()}; set LODE_TEST_DATA to the folder that holds {names}"
    report(reason)
    return reason


def _implanted(folder: Path) -> ImplantedSimulation:
    """The real scene with implanted ore; made anew each time, which gives the same files."""
    return simulate_implanted(
        folder / "implanted",
        scene_folder=data_folder() / SCENE,
        spectra_folder=data_folder() / SPECTRA,
        seed=IMPLANTED_SEED,
    )


def _implanted_ingested(made: ImplantedSimulation) -> Planted:
    """Bring the implanted scene in as a user would."""
    run_lode("ingest", "scene", str(made.scene))
    for kind, path in (("faults", made.faults), ("plutons", made.plutons), ("deposits", made.ore)):
        run_lode("ingest", kind, str(path), "--source-name", f"{kind} of {made.product}")
    return Planted.read(made.product, made.srid, made.ore, made.decoys)


def _simulated(folder: Path, district: int, size_px: int, report: Report) -> ProspectSimulation:
    """A district; simulated anew each time, which gives the same files."""
    report(f"simulating district {district}: {size_px * 30 / 1000:.0f} x {size_px * 30 / 1000:.0f} km")
    return simulate_prospect(
        folder / f"district-{district}-{size_px}", seed=SEED, size_px=size_px, district=district
    )


def _own_database(database: str, products: Sequence[str]) -> str:
    """URL of a database that holds no scenes but those of the experiment.

    Raises:
        UsageError: that of LODE_DATABASE_URL does.

    """
    settings = Settings()
    if settings.database_url:
        url = database_url(settings)
        upgrade(url)
        if _others(url, products):
            raise UsageError(
                "the database of LODE_DATABASE_URL holds other scenes than the experiment's own: name an "
                "empty database, or unset LODE_DATABASE_URL"
            )
        return url
    cluster = Cluster(settings.home)
    cluster.ensure_running(click.echo)
    cluster.create_database(database)
    os.environ["LODE_DATABASE"] = database
    url = cluster.url(database)
    upgrade(url)
    if _others(url, products):
        click.echo(f"database {database} holds other districts and is made anew")
        cluster.drop_database(database)
        cluster.create_database(database)
        upgrade(url)
    return url


def _others(url: str, products: Sequence[str]) -> bool:
    """Whether there are scenes but these and an implanted one, which may be there from another call."""
    with connect(url) as conn:
        found = [scene.product for scene in list_scenes(conn)]
    return any(name not in products and not name.startswith(IMPLANTED_NAME) for name in found)


def _ingested(made: ProspectSimulation, *, with_deposits: bool) -> Planted:
    """Bring a district in as a user would; what is there already stays as it is."""
    run_lode("ingest", "scene", str(made.package), "--dem", str(made.terrain), "--atmosphere", "quac")
    # files of the two districts have the same names
    for kind, path in (("faults", made.faults), ("plutons", made.plutons), ("deposits", made.ore)):
        if kind != "deposits" or with_deposits:
            run_lode("ingest", kind, str(path), "--source-name", f"{kind} of {made.product}")
    return Planted.read(made.product, SRID, made.ore, made.decoys)


def ingest_survey(source: Path, folder: Path) -> Survey:
    """Bring the survey in: area, all elements, granite and faults, and cells with deposits as points."""
    elements = sorted(
        path for path in source.glob("Idw_*.tif") if path.stem.removeprefix("Idw_") not in ("xx", "yy")
    )
    inside = [word for name in INSIDE for word in ("--inside", str(source / f"{name}.tif"))]
    run_lode("ingest", "area", SURVEY, "--like", str(source / "Granite.tif"), *inside)
    run_lode(
        "ingest", "evidence", *map(str, elements), "--area", SURVEY, "--kind", "geochemistry",
        "--name-pattern", "Idw_{element}.tif",
    )  # fmt: skip
    surfaces = [str(source / f"{name}.tif") for name in SURFACES]
    run_lode("ingest", "evidence", *surfaces, "--area", SURVEY, "--kind", "geology")
    with rasterio.open(source / "Li_deposits0.tif") as file:
        rows, cols = np.nonzero(file.read(1) == 1)
        x, y = file.transform @ (cols + 0.5, rows + 0.5)
        srid = file.crs.to_epsg()
    points = write_text(folder / "nanling_deposits.geojson", _points(x, y, srid))
    run_lode("ingest", "deposits", str(points))
    names = tuple(path.stem.removeprefix("Idw_") for path in elements)
    return Survey(
        area=SURVEY,
        layers=(*names, *SURFACES),
        elements=names,
        x=np.asarray(x, np.float64),
        y=np.asarray(y, np.float64),
        deposit_type=DEPOSIT_TYPE,
        latitude=PARALLEL_DEG,
        known_best=("Bi", "Be"),
    )


def _points(x: Sequence[float], y: Sequence[float], srid: int) -> str:
    """GeoJSON of the deposits, EPSG:4326."""
    lon, lat = pyproj.Transformer.from_crs(srid, 4326, always_xy=True).transform(x, y)
    features = [
        {
            "type": "Feature",
            "properties": {
                "name": f"deposit {number}", "commodity": "lithium", "deposit_type": DEPOSIT_TYPE,
            },
            "geometry": {"type": "Point", "coordinates": [round(float(east), 7), round(float(north), 7)]},
        }
        for number, (east, north) in enumerate(zip(lon, lat, strict=True), 1)
    ]  # fmt: skip
    return json.dumps({"type": "FeatureCollection", "features": features})
