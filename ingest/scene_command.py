"""``lode ingest scene``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from psycopg import Connection
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from db.connection import connect
from db.errors import UsageError
from db.settings import Settings
from ingest.declaration import LEVELS, Statement
from ingest.files import SourceFile, source_file
from ingest.processing.treatment import Treatment
from ingest.product_scene import ingest_product
from ingest.products.gathering import gather
from ingest.products.recognition import read_product
from ingest.scene import ingest_scene
from ingest.scene_options import treatment_of, treatment_options
from ingest.scene_store import Progress, SceneOutcome
from ingest.session import transaction
from ingest.view import RESAMPLINGS
from ingest.workspace import workspace


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("path")
@click.option(
    "--sensor", "sensor_key", help="Instrument of a GeoTIFF without side files, e.g. sentinel2_msi."
)
@click.option(
    "--acquired-on", type=click.DateTime(["%Y-%m-%d"]), help="Its day of acquisition (UTC), YYYY-MM-DD."
)
@click.option("--product", help="Product name. [default: the product's own, or the file's without ending]")
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
    help="How pixels are taken where the scene is warped. [default: nearest; bilinear from sensor geometry]",
)
@click.option(
    "--resolution",
    "resolution_m",
    type=click.FloatRange(min=0, min_open=True),
    help="Pixel size in metres where the scene is warped. [default: the instrument's or the file's own]",
)
@click.option("--clouds", metavar="FILE", help="Vector file with outlines of cloud and shadow.")
@treatment_options
def scene(
    path: str,
    sensor_key: str | None,
    acquired_on: datetime | None,
    product: str | None,
    value_offset: float | None,
    value_scale: float | None,
    bands: str | None,
    processing_level: str | None,
    nodata: float | None,
    resampling: str | None,
    resolution_m: float | None,
    clouds: str | None,
    **wishes: Any,
) -> None:
    """Bring a scene into the database: a product of a data centre, or a GeoTIFF.

    PATH is a product as delivered (folder, .tar.gz or .zip; GF-1 to GF-7, ZY-3, ZY-1 02D/02E, Sentinel-2,
    Landsat 8/9, EnMAP, STAC item) or a GeoTIFF described by a TOML file beside it; nothing else need be said.
    Digital numbers become reflectance, images in sensor geometry are orthorectified, clouds are looked for.

    A GeoTIFF without side files needs --sensor and --acquired-on. Its values mean: reflectance =
    (stored + OFFSET) * SCALE. Sentinel-2 as delivered since 2022-01-25 needs --offset -1000; say --offset 0
    when the offset was taken out already. No pixel is touched, unless the grid is geographic, rotated,
    south-up or not in metres, or processing is asked for.

    The same content again changes nothing; another content or statement under the same product name is a new
    version of the product.
    """
    settings = Settings()
    roots = settings.roots()
    cloud_file = None if clouds is None else source_file(clouds, roots)
    treatment = treatment_of(
        wishes,
        resampling=resampling,
        resolution_m=resolution_m,
        processing_level=processing_level,
        roots=roots,
        is_declared=sensor_key is not None,
        has_clouds=clouds is not None,
    )
    said = _Said(settings, treatment, cloud_file)
    if sensor_key is None:
        stated = {
            "--acquired-on": acquired_on,
            "--offset": value_offset,
            "--scale": value_scale,
            "--bands": bands,
            "--nodata": nodata,
        }
        given = [option for option, value in stated.items() if value is not None]
        if given:
            raise UsageError(
                f"{', '.join(given)}: said of a GeoTIFF without side files, together with --sensor; "
                "a product says it itself"
            )
        _print(_ingest_package(said, path, product))
        return
    file = source_file(path, roots)
    if acquired_on is None:
        raise UsageError(f"{file.name}: say with --acquired-on on which day it was taken (UTC)")
    statement = Statement(
        sensor=sensor_key,
        acquired_on=acquired_on.date(),
        product=product if product is not None else Path(file.name).stem,
        bands=None if bands is None else tuple(name.strip() for name in bands.split(",")),
        value_offset=value_offset,
        value_scale=value_scale,
        processing_level=processing_level,
        nodata=nodata,
        resampling=resampling or "nearest",
        resolution_m=resolution_m,
    )
    _print(_ingest_declared(said, file, statement))


@dataclass(frozen=True)
class _Said:
    """What was asked for, whatever the scene comes from."""

    settings: Settings
    treatment: Treatment
    cloud_file: SourceFile | None

    def connect(self) -> Connection[Any]:
        """A second connection, to read the reference with while the first one stores."""
        return connect(self.settings, application_name="lode ingest reference")


def _ingest_declared(said: _Said, file: SourceFile, statement: Statement) -> SceneOutcome:
    with transaction(said.settings) as conn, _progress() as progress:
        return ingest_scene(
            conn,
            file,
            statement,
            treatment=said.treatment,
            connect=said.connect,
            cloud_file=said.cloud_file,
            roots=said.settings.roots(),
            report=click.echo,
            progress=progress,
        )


def _ingest_package(said: _Said, path: str, name: str | None) -> SceneOutcome:
    with workspace() as folder:
        package = gather(path, said.settings.roots(), folder)
        read = read_product(package)
        with transaction(said.settings) as conn, _progress() as progress:
            return ingest_product(
                conn,
                read,
                said.treatment,
                connect=said.connect,
                source_name=package.name,
                name=name,
                workspace=folder,
                cloud_file=said.cloud_file,
                roots=said.settings.roots(),
                report=click.echo,
                progress=progress,
            )


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
