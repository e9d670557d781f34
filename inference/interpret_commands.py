"""`lode infer`: classify a scene and publish what was found."""

from __future__ import annotations

import sys

import click

from db.connection import database_url
from db.settings import Settings


@click.command()
@click.option("--scene", "product", required=True, metavar="PRODUCT", help="Product name of the scene.")
@click.option(
    "--model", "model_name", required=True, metavar="NAME", help="Network, as `lode model list` shows."
)
@click.option("--make-current", is_flag=True, help="Let this run stand for the scene even if another does.")
@click.option("--overlap-px", type=click.IntRange(min=0), help="Overlap of windows [default: a quarter].")
@click.option("--batch", "batch_size", type=click.IntRange(min=1), help="Windows at once; same result.")
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1 [default: CUDA if any].")
def infer(
    product: str,
    model_name: str,
    make_current: bool,
    overlap_px: int | None,
    batch_size: int | None,
    device_name: str | None,
) -> None:
    """Classify a scene and publish what was found.

    Published are polygons, probabilities of each class and the areas of the mines, in one transaction.

    The same scene, network and settings are computed once: asked again, nothing changes. The first network
    to interpret a scene stands for it in maps and areas; another one does so only with --make-current.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from inference.interpret import interpret

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(product, total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=f"{product}: {stage}", completed=done, total=total or None)

        outcome = interpret(
            database_url(Settings()),
            product,
            model_name,
            overlap_px=overlap_px,
            batch_size=batch_size,
            device_name=device_name,
            become_current=make_current,
            progress=show,
        )
    standing = (
        "stands for its scene" if outcome.is_current else "is kept beside the current run (--make-current)"
    )
    if outcome.was_published_before:
        click.echo(
            f"{product}: run {outcome.run_id} was published before, nothing was computed; it {standing}"
        )
        return
    figures = outcome.figures
    click.echo(
        f"{product}: run {outcome.run_id} published {figures['polygons']:,} polygons over "
        f"{figures['observed_area_m2'] / 1e6:.3f} km2 ({figures['predict_s']:.1f} s classifying, "
        f"{figures['outline_s']:.1f} s outlining, {figures['publish_s']:.1f} s publishing; "
        f"{outcome.device}); it {standing}"
    )
