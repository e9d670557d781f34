"""`lode train pretrain`: a backbone from scenes without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.connection import database_url
from db.settings import Settings

if TYPE_CHECKING:  # importing it loads torch, which other commands do not need
    from inference.pretraining.fitting import Round


@click.command("pretrain")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Safetensors file of the backbone, for `lode train segmentation --weights`; must not be there.",
)
@click.option(
    "--backbone",
    default="resnet50",
    show_default=True,
    help="resnet50, resnet101, mobilenet_v2, xception, or small.",
)
@click.option(
    "--scene", "products", multiple=True, metavar="PRODUCT", help="Scene; again for more. [default: all]"
)
@click.option("--bands", help="Bands to use, e.g. B02,B03,B04. [default: all that the scenes share]")
@click.option(
    "--leave-out-test",
    "left_out",
    multiple=True,
    metavar="NAME",
    help="Model or sample set whose test ground is not to be seen; again for more. [default: all is seen]",
)
@click.option("--tile-px", type=int, help="Window edge, pixels. [default: as lode train segmentation]")
@click.option("--patch-px", type=int, default=16, show_default=True, help="Edge of the hidden patches.")
@click.option("--windows", type=int, default=16_000, show_default=True, help="Windows shown in all.")
@click.option("--rounds", type=int, default=20, show_default=True, help="How often it is judged and saved.")
@click.option("--batch", "batch_size", type=int, default=16, show_default=True, help="Windows in a step.")
@click.option("--lr", "learning_rate", type=float, default=1e-3, show_default=True, help="Learning rate.")
@click.option("--block-m", type=float, help="Edge of the held-out blocks, m. [default: by extent]")
@click.option("--seed", type=int, default=1, show_default=True, help="Of weights, blocks, windows, patches.")
@click.option("--time-limit-s", type=float, help="Run through the schedule faster when it takes longer.")
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1. [default: CUDA if any]")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Save here after each round, and go on from here after a kill; removed at the end.",
)
def pretrain_command(
    out: Path,
    products: tuple[str, ...],
    bands: str | None,
    left_out: tuple[str, ...],
    device_name: str | None,
    checkpoint: Path | None,
    **settings: Any,
) -> None:
    """Pretrain a backbone on scenes without labels.

    Most of each window is hidden in patches, and the backbone learns to fill them in from what is visible.
    No label is read. Start a segmentation from the file, with the same bands and the same backbone:

    lode train segmentation --backbone resnet50 --weights FILE ...
    """
    from inference.pretraining.pretrain import PretrainingReport, pretrain
    from inference.pretraining.settings import PretrainingSettings

    chosen = PretrainingSettings(**settings)
    pretrain(
        database_url(Settings()),
        out,
        chosen,
        products=products,
        band_names=tuple(band.strip() for band in bands.split(",")) if bands else (),
        left_out=left_out,
        device_name=device_name,
        checkpoint=checkpoint,
        report=PretrainingReport(click.echo, lambda each: click.echo(_line(each, chosen.rounds))),
    )


def _line(each: Round, rounds: int) -> str:
    return (
        f"round {each.number}/{rounds}: loss {each.loss:.3f}, validation loss {each.validation_loss:.3f}, "
        f"{each.seconds:.0f} s"
    )
