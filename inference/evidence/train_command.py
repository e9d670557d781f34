"""`lode train evidence`."""

from __future__ import annotations

from typing import Any

import click

from db.connection import database_url
from db.errors import UsageError
from db.settings import Settings
from inference.command_options import named_options
from inference.evidence.types import METHODS, NETWORKS, EvidenceSettings
from inference.model_commands import print_record

_OF_NETWORKS = {
    "window_px": "--window",
    "patch_px": "--patch",
    "width": "--width",
    "depth": "--depth",
    "heads": "--heads",
    "stem": "--stem",
    "decoder_width": "--decoder-width",
    "decoder_depth": "--decoder-depth",
    "windows": "--windows",
    "batch_size": "--batch",
    "learning_rate": "--lr",
    "weight_decay": "--weight-decay",
    "mask_least": "--mask-least",
    "mask_most": "--mask-most",
    "groups": "--groups",
    "block_px": "--block",
    "validation_share": "--validation-share",
    "evaluations": "--evaluations",
    "time_limit_s": "--time-limit-s",
    "device_name": "--device",
}
"""Options that mean nothing to a method that is fitted at once."""


@click.command("evidence")
@click.option("--name", required=True, help="Name of the new model.")
@click.option("--area", required=True, metavar="AREA", help="Study area, see `lode ingest area`.")
@click.option("--system", required=True, metavar="SYSTEM", help="Mineral system, see `lode system list`.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="vit",
    show_default=True,
    help="The masked Transformer; itself without fusion or without geology; an autoencoder; principal "
    "components, isolation forest, one-class support vector machine; or a plain answer: Mahalanobis distance "
    "on log contents, the content of the main ore element.",
)
@click.option("--seeds", type=int, default=5, show_default=True, help="Members, whose spread is told.")
@click.option("--first-seed", type=int, default=1, show_default=True, help="The seeds count up from here.")
@click.option(
    "--layer", "layers", multiple=True, metavar="NAME", help="Layer; again for more. [default: all]"
)
@click.option(
    "--leave-out", multiple=True, metavar="NAME", help="Layer or channel not to take; again for more."
)
@click.option("--data", type=click.Choice(["real", "simulated", "implanted"]), help="What the ground is.")
@click.option("--window", "window_px", type=int, help="Edge of the windows, cells. [default: 32]")
@click.option("--patch", "patch_px", type=int, help="Edge of their patches, cells. [default: 4]")
@click.option("--width", type=int, help="Width of the encoder. [default: 128]")
@click.option("--depth", type=int, help="Layers of the encoder. [default: 6]")
@click.option("--heads", type=int, help="Heads of attention. [default: 8]")
@click.option("--stem", type=int, help="Channels of each source's stem. [default: 16]")
@click.option("--decoder-width", type=int, help="Width of the decoder. [default: 64]")
@click.option("--decoder-depth", type=int, help="Layers of the decoder. [default: 2]")
@click.option("--windows", type=int, help="Windows shown to each member in all. [default: 16000]")
@click.option("--batch", "batch_size", type=int, help="Windows in a step. [default: 8]")
@click.option("--lr", "learning_rate", type=float, help="Highest learning rate of AdamW. [default: 0.001]")
@click.option("--weight-decay", type=float, help="Of AdamW. [default: 0.05]")
@click.option("--mask-least", type=float, help="Least share of patches hidden in training. [default: 0.6]")
@click.option("--mask-most", type=float, help="Largest share. [default: 0.75]")
@click.option(
    "--groups",
    type=int,
    help="Patches are dealt into so many groups when scoring, all but one hidden. [default: 4]",
)
@click.option(
    "--block", "block_px", type=int, help="Edge of the held-out blocks, cells. [default: by extent]"
)
@click.option("--validation-share", type=float, help="Share of the ground held out. [default: 0.2]")
@click.option("--evaluations", type=int, help="How often the held-out ground is looked at. [default: 10]")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of an autoencoder (bottleneck), of pca (components, explained_share), isolation_forest "
    "(trees, sample) or one_class_svm (nu, gamma, cells); again for more.",
)
@click.option("--time-limit-s", type=float, help="Of each member: no step begins later than this.")
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1. [default: CUDA if any]")
def train_evidence_command(
    name: str,
    area: str,
    system: str,
    method: str,
    seeds: int,
    first_seed: int,
    layers: tuple[str, ...],
    leave_out: tuple[str, ...],
    data: str | None,
    options: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Train a model that tells where evidence differs from what its ground leads one to expect.

    No deposit is read: the networks hide part of the geochemistry and geophysics of a study area from
    themselves and learn to guess it from the rest, with mapped geology in sight. Blocks of ground that are
    held out choose the moment to stop. What lies above the guess, in the elements of the mineral system, is
    the anomaly that `lode prospect apply` maps. Each seed gives a member of the model.
    """
    from inference.evidence.recording import EvidenceRequest, train_evidence

    said = {key: value for key, value in chosen.items() if value is not None}
    if method not in NETWORKS and said:
        surplus = ", ".join(_OF_NETWORKS[key] for key in said)
        raise UsageError(f"{surplus}: {method} is no network trained in steps; leave this out")
    device_name = said.pop("device_name", None)
    request = EvidenceRequest(
        area=area,
        system=system,
        settings=EvidenceSettings(method=method, options=named_options(options, "components=3"), **said),
        seeds=seeds,
        first_seed=first_seed,
        layers=layers or None,
        leave_out=leave_out,
        data=data,
        device_name=device_name,
    )
    record = train_evidence(database_url(Settings()), name, request, click.echo)
    click.echo("")
    print_record(record)
