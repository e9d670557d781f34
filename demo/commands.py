"""`lode demo`: the whole of Lode on a simulated district."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="build",
    show_default=True,
    help="Folder for figures (demo.json) and pictures (demo/).",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Another district.")
@click.option("--width-px", type=click.IntRange(min=384), default=1600, show_default=True, help="2 m pixels.")
@click.option(
    "--height-px", type=click.IntRange(min=384), default=1200, show_default=True, help="2 m pixels."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Shorter or longer training.")
def demo(out: Path, seed: int, width_px: int, height_px: int, epochs: int | None) -> None:
    """Run the whole of Lode on a simulated district.

    Three years of scenes are ingested, a small network is trained on interpreters' labels, every scene is
    interpreted, and damaged area by mine and year is printed beside the planted truth. Works in a database
    of its own (lode_demo), which is made anew, or in the empty database of LODE_DATABASE_URL.
    """
    from demo.run import run_demo

    run_demo(out, seed=seed, width_px=width_px, height_px=height_px, epochs=epochs)
