"""``lode ingest scene``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from db.settings import Settings
from ingest.declaration import LEVELS, Statement
from ingest.files import source_file
from ingest.scene import Progress, SceneOutcome, ingest_scene
from ingest.session import transaction
from ingest.view import RESAMPLINGS


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("file")
@click.option("--sensor", "sensor_key", required=True, help="Instrument, e.g. sentinel2_msi or gf2_pms.")
@click.option(
    "--acquired-on",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day of acquisition (UTC), YYYY-MM-DD.",
)
@click.option("--product", help="Product name. [default: the file's name without its ending]")
@click.option(
    "--offset", "value_offset", type=float, help="Added to a stored value before scaling. [default: 0]"
)
@click.option(
    "--scale",
    "value_scale",
    type=float,
    help="Multiplies after the offset. [default: 1; 0.0001 for integers of Sentinel-2]",
)
@click.option("--bands", help="Names of the file's bands in their order, e.g. B02,B03,B04,B08.")
@click.option(
    "--level",
    "processing_level",
    type=click.Choice(LEVELS),
    help="What the values are. [default: surface_reflectance for Sentinel-2, else digital_number]",
)
@click.option("--nodata", type=float, help="Value of pixels without data; goes before the file's own.")
@click.option(
    "--resampling",
    type=click.Choice(list(RESAMPLINGS)),
    default="nearest",
    show_default=True,
    help="How pixels are taken where the scene must be warped.",
)
@click.option(
    "--resolution",
    "resolution_m",
    type=click.FloatRange(min=0, min_open=True),
    help="Pixel size in metres where the scene must be warped. [default: the instrument's or the file's own]",
)
@click.option("--clouds", metavar="FILE", help="Vector file with outlines of cloud and shadow.")
def scene(
    file: str,
    sensor_key: str,
    acquired_on: datetime,
    product: str | None,
    value_offset: float | None,
    value_scale: float | None,
    bands: str | None,
    processing_level: str | None,
    nodata: float | None,
    resampling: str,
    resolution_m: float | None,
    clouds: str | None,
) -> None:
    """Bring a GeoTIFF scene into the database.

    Values mean: reflectance = (stored + OFFSET) * SCALE. Sentinel-2 as delivered since 2022-01-25 needs
    --offset -1000; say --offset 0 when the offset was taken out already.

    No pixel is touched, unless the grid is geographic, rotated, south-up or not in metres: then the scene
    is warped to its UTM grid, and the output says so. The same file again changes nothing; another content
    or declaration under the same product name is a new version of the product.
    """
    settings = Settings()
    found = source_file(file, settings.roots())
    statement = Statement(
        sensor=sensor_key,
        acquired_on=acquired_on.date(),
        product=product if product is not None else Path(found.name).stem,
        bands=None if bands is None else tuple(name.strip() for name in bands.split(",")),
        value_offset=value_offset,
        value_scale=value_scale,
        processing_level=processing_level,
        nodata=nodata,
        resampling=resampling,
        resolution_m=resolution_m,
    )
    cloud_file = None if clouds is None else source_file(clouds, settings.roots())
    with transaction(settings) as conn, _progress() as progress:
        outcome = ingest_scene(
            conn,
            found,
            statement,
            cloud_file=cloud_file,
            roots=settings.roots(),
            report=click.echo,
            progress=progress,
        )
    _print(outcome)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(f"{stage} rows", total=total)
            bars.update(tasks[stage], completed=done)

        yield advance


def _print(outcome: SceneOutcome) -> None:
    scene = outcome.scene
    if not outcome.is_new:
        click.echo(
            f"scene {scene.product} version {scene.version} is there already: same file, same declaration; "
            "nothing was changed"
        )
        return
    for note in outcome.notes:
        click.echo(note)
    grid = scene.grid
    clouded = "" if scene.cloud_fraction is None else f", {scene.cloud_fraction:.1%} of it clouded"
    click.echo(
        f"stored scene {scene.product} version {scene.version}: {grid.width_px} x {grid.height_px} pixels, "
        f"{len(scene.band_names)} bands ({' '.join(scene.band_names[:20])}), EPSG:{grid.srid}, "
        f"{scene.valid_fraction:.1%} valid{clouded}; {scene.processing_level} = "
        f"(stored {scene.value_offset:+g}) * {scene.value_scale:g}; table lode_raster.{scene.tile_table}"
    )
    if outcome.replaced_version is not None:
        moved = f"; {outcome.moved_labels} labels moved to it" if outcome.moved_labels else ""
        click.echo(f"it supersedes version {outcome.replaced_version}{moved}")
