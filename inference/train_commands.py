"""`lode train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.connection import database_url
from db.errors import UsageError
from db.settings import Settings
from inference.command_options import named_options
from inference.evidence.train_command import train_evidence_command
from inference.model_commands import print_record
from inference.pretraining.train_command import pretrain_command
from inference.prospect.train_command import train_prospect_command

if TYPE_CHECKING:  # importing it loads torch, which `lode model` does not need
    from inference.training.trainer import Epoch


@click.group("train")
def train_group() -> None:
    """Train a network on labels or evidence."""


train_group.add_command(pretrain_command)
train_group.add_command(train_prospect_command)
train_group.add_command(train_evidence_command)


@train_group.command()
@click.option("--name", required=True, help="Name of the new model.")
@click.option(
    "--architecture",
    default="se_cot_deeplabv3plus",
    show_default=True,
    help="fcn, unet, pspnet, deeplabv3plus, cot_deeplabv3plus, se_deeplabv3plus or se_cot_deeplabv3plus.",
)
@click.option(
    "--backbone",
    default="default",
    help="resnet50, resnet101, mobilenet_v2, xception, or small, which trains in minutes on two cores; "
    "unet has encoders of its own. [default: resnet50]",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the network, e.g. cot_position=backbone_out; again for more.",
)
@click.option(
    "--scene",
    "products",
    multiple=True,
    metavar="PRODUCT",
    help="Scene; again for more. [default: all with labels]",
)
@click.option(
    "--samples",
    "sample_set",
    metavar="SET",
    help="Train on the windows and the split of a sample set, see `lode samples`.",
)
@click.option("--bands", help="Bands to use, e.g. B02,B03,B04,B08. [default: all that the scenes share]")
@click.option(
    "--tile-px", type=int, help="Window edge, pixels. [default: 256, small 128; less for small scenes]"
)
@click.option(
    "--overlap-px", type=int, help="Overlap of windows in validation and test. [default: a quarter]"
)
@click.option("--epochs", type=int, default=20, show_default=True, help="Epochs.")
@click.option("--windows", "windows_per_epoch", type=int, help="Windows drawn an epoch. [default: by extent]")
@click.option("--batch", "batch_size", type=int, default=16, show_default=True, help="Windows in a step.")
@click.option("--repeats", type=int, default=1, show_default=True, help="How often each window is shown.")
@click.option("--lr", "learning_rate", type=float, default=2e-3, show_default=True, help="Learning rate.")
@click.option(
    "--loss", default="cross_entropy", show_default=True, help="cross_entropy or focal, beside Dice."
)
@click.option(
    "--adversarial",
    "adversarial_epsilon",
    type=float,
    default=0.0,
    metavar="EPSILON",
    help="Move half of the windows by the fast gradient sign method, in standard deviations. [default: off]",
)
@click.option("--no-augmentation", is_flag=True, help="Show the windows as they are.")
@click.option("--patience", type=int, help="End after so many epochs without a better validation.")
@click.option("--block-m", type=float, help="Edge of the spatial blocks, m. [default: by extent]")
@click.option("--seed", type=int, default=1, show_default=True, help="Of split, sampling and weights.")
@click.option("--split-seed", type=int, help="Of the split alone. [default: as --seed]")
@click.option(
    "--weights",
    "first_weights",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Start from a safetensors file: of a whole network, or of its backbone.",
)
@click.option("--time-limit-s", type=float, help="Run through the schedule faster when it takes longer.")
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1. [default: CUDA if any]")
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Save here after each epoch, and go on from here after a kill; removed at the end.",
)
def segmentation(
    name: str,
    products: tuple[str, ...],
    sample_set: str | None,
    bands: str | None,
    device_name: str | None,
    checkpoint: Path | None,
    first_weights: Path | None,
    no_augmentation: bool,
    options: tuple[str, ...],
    **settings: Any,
) -> None:
    """Train a network that classifies scenes.

    Reads labels and scenes from the database. Whole blocks of ground are held out: one part chooses the best
    epoch, another is looked at once, at the end, for the figures that are stored with the model. Ground
    without labels is ignored, so label some background too.

    Several GPUs: torchrun --nproc-per-node 4 -m lode train segmentation ...
    """
    from inference.training.augmentation import Augmentation
    from inference.training.processes import is_first_process
    from inference.training.segmentation import TrainingReport, train_segmentation
    from inference.training.settings import TrainingSettings

    chosen = TrainingSettings(**settings, options=_options(options))
    if no_augmentation:
        chosen = replace(chosen, augmentation=Augmentation.none())
    record = train_segmentation(
        database_url(Settings()),
        name,
        chosen,
        products=products,
        sample_set=sample_set,
        band_names=tuple(band.strip() for band in bands.split(",")) if bands else (),
        device_name=device_name,
        checkpoint=checkpoint,
        first_weights=first_weights,
        report=TrainingReport(click.echo, lambda epoch: click.echo(_epoch_line(epoch, chosen.epochs))),
    )
    if is_first_process():
        print_record(record)


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    options = named_options(texts, "cot_position=backbone_out")
    if "backbone" in options:
        value = options["backbone"]
        raise UsageError(f"--option backbone={value}: give the backbone as --backbone {value}")
    return options


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: loss {epoch.loss:.3f}, validation mean IoU "
        f"{epoch.validation_mean_iou:.3f}, {epoch.seconds:.0f} s"
    )
