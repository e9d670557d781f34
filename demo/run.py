"""The steps of the demonstration: the commands a user would type, one after the other."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from db.connection import connect
from db.reports.views import ranking_report
from demo.district import empty_database, ingest_district, run_lode
from demo.figures import Figures, compare, print_comparison
from demo.pictures import draw_areas, draw_years
from ingest.simulate.district import simulate_district

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
    url = empty_database(DATABASE)
    click.echo(f"simulating {width_px * 2 / 1000:.1f} x {height_px * 2 / 1000:.1f} km of a mining district")
    district = simulate_district(folder / "district", seed=seed, width_px=width_px, height_px=height_px)
    ingest_district(district)
    # On a slow or busy machine the schedule is run through faster: the whole stays within ten minutes.
    training = ["--epochs", str(epochs)] if epochs else ["--time-limit-s", "360"]
    run_lode("train", "segmentation", "--name", MODEL, "--backbone", "small", "--seed", str(seed), *training)
    for scene in district.scenes:
        run_lode("infer", "--scene", scene.product, "--model", MODEL)
    run_lode("report", "damage", "--year", str(district.years[-1]))
    with connect(url) as conn:
        figures = compare(conn, district, MODEL)
        ranked = ranking_report(conn, (district.years[-2], district.years[-1]))
        most_damaged = str(ranked.rows[0][ranked.columns.index("mine_code")])
        print_comparison(figures)
        pictures = [
            draw_years(conn, district, folder / "district.png"),
            draw_areas(figures, folder / "areas.png"),
        ]
    run_lode("alert", "list", "--year", str(district.years[-1]))
    pages = [folder / "mine.html", folder / "change.html"]
    run_lode("report", "mine", most_damaged, "--out", str(pages[0]))
    run_lode("report", "change", "--out", str(pages[1]))
    record = {
        "district": {"seed": seed, "width_px": width_px, "height_px": height_px, "pixel_m": 2.0},
        **figures.as_json(),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    (out / "demo.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    click.echo(f"figures: {out / 'demo.json'}; pictures: {', '.join(map(str, pictures))}")
    click.echo(f"reports to be signed: {', '.join(map(str, pages))}")
    if "LODE_DATABASE" in os.environ:
        click.echo(f"open it in QGIS or psql: LODE_DATABASE={DATABASE} lode status")
    return figures
