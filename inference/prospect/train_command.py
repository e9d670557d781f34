"""`lode train prospect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from db.connection import database_url
from db.errors import UsageError
from db.settings import Settings
from inference.command_options import named_options
from inference.model_commands import print_record
from inference.prospect.settings import ESTIMATORS, NETWORKS, GridSettings, ProspectSettings

if TYPE_CHECKING:  # importing it loads torch, which `lode train --help` does not need
    from inference.prospect.train import ProspectEpoch

_OF_NETWORKS = {
    "width": "--width",
    "learning_rate": "--lr",
    "epochs": "--epochs",
    "batch_size": "--batch",
    "weight_decay": "--weight-decay",
    "weight_averaging": "--weight-averaging",
    "patience": "--patience",
    "time_limit_s": "--time-limit-s",
    "grid": "--grid",
    "device": "--device",
}
"""Options that mean nothing to a plain model."""


@click.command("prospect")
@click.option("--name", required=True, help="Name of the new model.")
@click.option("--set", "set_name", required=True, metavar="SET", help="Set of patches.")
@click.option(
    "--network",
    type=click.Choice([*NETWORKS, *ESTIMATORS]),
    default="gcn_residual",
    show_default=True,
    help="A graph network, a CNN, or a plain rival: support vector machine on mean spectra, random forest, "
    "or the commonest answer.",
)
@click.option("--width", type=int, help="Channels of the widest layer. [default: 256]")
@click.option("--lr", "learning_rate", type=float, help="Learning rate of Adam. [default: 0.001]")
@click.option(
    "--grid/--no-grid",
    default=None,
    help="Try widths 64, 128, 256 and rates 0.0003, 0.001, 0.003, each with a quarter of the epochs, and "
    "take the best on the validation patches; --width or --lr fix theirs. [default: no grid]",
)
@click.option("--epochs", type=int, help="Epochs. [default: 200]")
@click.option("--batch", "batch_size", type=int, help="Patches in a step. [default: 64]")
@click.option("--weight-decay", type=float, help="Of Adam. [default: 0.0001]")
@click.option(
    "--weight-averaging",
    type=float,
    help="Share of their moving average that the weights keep in a step. [default: 0.99]",
)
@click.option("--patience", type=int, help="End after so many epochs without a lower validation loss.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the network, e.g. outputs=1, or of the plain model, e.g. C=10; again for more.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of weights and order.")
@click.option("--without-geology", is_flag=True, help="Leave distances to faults and plutons out.")
@click.option("--time-limit-s", type=float, help="Begin no epoch later than this.")
@click.option(
    "--importance",
    "importance_repeats",
    type=click.IntRange(min=0, max=1000),
    default=5,
    show_default=True,
    metavar="N",
    help="Shuffle each channel N times among the test patches, and tell what the model loses; 0: never.",
)
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1. [default: CUDA if any]")
def train_prospect_command(
    name: str,
    set_name: str,
    network: str,
    options: tuple[str, ...],
    seed: int,
    without_geology: bool,
    importance_repeats: int,
    **chosen: Any,
) -> None:
    """Train a model that tells where ore may lie.

    Learns from the training patches of a set. The validation patches choose the epoch, the threshold, and
    with --grid width and learning rate; the test patches are looked at once, at the end, for the figures that
    are stored with the model. Their intervals come from drawing whole blocks of ground. What the model goes
    by, channel by channel and all geology together, is told of the same patches; nothing is chosen by it.
    """
    from inference.prospect.learning import LearningReport
    from inference.prospect.recording import train_prospect

    said = {key: value for key, value in chosen.items() if value is not None}
    if network in ESTIMATORS and said:
        surplus = ", ".join(_OF_NETWORKS[key] for key in said)
        raise UsageError(f"{surplus}: a {network} is no network trained in epochs; leave this out")
    device_name, is_searched = said.pop("device", None), said.pop("grid", False)
    given = named_options(options, "outputs=1")
    settings = ProspectSettings(network=network, options=given, seed=seed, **said)
    record = train_prospect(
        database_url(Settings()),
        name,
        set_name,
        settings,
        grid=_grid(said) if is_searched else None,
        leave_out_geology=without_geology,
        device_name=device_name,
        importance_repeats=importance_repeats,
        report=LearningReport(click.echo, lambda epoch, epochs: click.echo(_epoch_line(epoch, epochs))),
    )
    click.echo("")
    print_record(record)


def _grid(said: dict[str, Any]) -> GridSettings:
    """The grid, of one value where the user gave it."""
    grid = GridSettings()
    return GridSettings(
        widths=(said["width"],) if "width" in said else grid.widths,
        learning_rates=(said["learning_rate"],) if "learning_rate" in said else grid.learning_rates,
    )


def _epoch_line(epoch: ProspectEpoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: loss {epoch.loss:.3f}, validation loss {epoch.validation_loss:.3f}, "
        f"balanced accuracy {epoch.validation_balanced_accuracy:.3f}, {epoch.seconds:.1f} s"
    )
