"""The steps of the demonstration: the commands a user would type, one after the other."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import click

from db.connection import connect, database_url
from db.embedded import Cluster
from db.errors import UsageError
from db.scenes import list_scenes
from db.settings import Settings
from db.upgrade import upgrade
from demo.figures import Figures, compare, print_comparison
from demo.pictures import draw_areas, draw_years
from ingest.simulate.district import District, simulate_district

DATABASE = "lode_demo"
MODEL = "demo"


def run_demo(out: Path, *, seed: int, width_px: int, height_px: int, epochs: int | None = None) -> Figures:
    """Run the main job on a simulated district.

    Args:
        out: folder of ``demo.json`` and of ``demo/`` with the district and the pictures.
        seed: of the district.
        width_px: of the district, pixels of 2 m.
        height_px: of the district, pixels of 2 m.
        epochs: of the training; None: the default.

    Raises:
        UsageError: LODE_DATABASE_URL names a database that is in use.

    """
    begun = time.perf_counter()
    folder = out / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    url = _empty_database()
    click.echo(f"simulating {width_px * 2 / 1000:.1f} x {height_px * 2 / 1000:.1f} km of a mining district")
    district = simulate_district(folder / "district", seed=seed, width_px=width_px, height_px=height_px)
    _ingest(district)
    # On a slow or busy machine the schedule is run through faster: the whole stays within ten minutes.
    training = ["--epochs", str(epochs)] if epochs else ["--time-limit-s", "360"]
    _lode("train", "segmentation", "--name", MODEL, "--backbone", "small", "--seed", str(seed), *training)
    for scene in district.scenes:
        _lode("infer", "--scene", scene.product, "--model", MODEL)
    _lode("report", "damage", "--year", str(district.years[-1]))
    with connect(url) as conn:
        figures = compare(conn, district, MODEL)
        print_comparison(figures)
        pictures = [
            draw_years(conn, district, folder / "district.png"),
            draw_areas(figures, folder / "areas.png"),
        ]
    record = {
        "district": {"seed": seed, "width_px": width_px, "height_px": height_px, "pixel_m": 2.0},
        **figures.as_json(),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    (out / "demo.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    click.echo(f"figures: {out / 'demo.json'}; pictures: {', '.join(map(str, pictures))}")
    if "LODE_DATABASE" in os.environ:
        click.echo(f"open it in QGIS or psql: LODE_DATABASE={DATABASE} lode status")
    return figures


def _empty_database() -> str:
    """URL of an empty, upgraded database: one made anew in the private cluster, or the user's own."""
    settings = Settings()
    if settings.database_url:
        url = database_url(settings)
        upgrade(url)
        with connect(url) as conn:
            if list_scenes(conn):
                raise UsageError(
                    "the database of LODE_DATABASE_URL holds scenes already; the demonstration "
                    "works in an empty one: unset LODE_DATABASE_URL, or name another database"
                )
        return url
    cluster = Cluster(settings.home)
    cluster.ensure_running(click.echo)
    cluster.drop_database(DATABASE)
    cluster.create_database(DATABASE)
    os.environ["LODE_DATABASE"] = DATABASE
    url = cluster.url(DATABASE)
    upgrade(url)
    return url


def _ingest(district: District) -> None:
    for scene in district.scenes:
        clouds = ["--clouds", str(scene.clouds)] if scene.clouds else []
        _lode(
            "ingest", "scene", str(scene.path), "--sensor", scene.sensor,
            "--acquired-on", scene.acquired_on.isoformat(), "--product", scene.product, *clouds,
        )  # fmt: skip
    _lode("ingest", "mines", str(district.mines), "--licence-boundaries", str(district.licences))
    _lode("ingest", "labels", str(district.labels))
    _lode("ingest", "faults", str(district.faults))
    _lode("ingest", "plutons", str(district.plutons))
    _lode("ingest", "deposits", str(district.deposits))


def _lode(*arguments: str) -> None:
    """Run a command of ours in this process, and show it as it would be typed."""
    from lode import cli

    click.secho(f"$ lode {shlex.join(arguments)}", bold=True)
    cli.main(list(arguments), prog_name="lode", standalone_mode=False)
