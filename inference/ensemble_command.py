"""`lode model ensemble`."""

from __future__ import annotations

import click

from db.connection import database_url
from db.settings import Settings


@click.command()
@click.argument("name")
@click.option(
    "--member",
    "members",
    multiple=True,
    required=True,
    metavar="MODEL",
    help="Trained model, as `lode model list` shows; again for each of two or more.",
)
@click.option("--equal-weights", "is_equal", is_flag=True, help="Keep to the plain mean, fit no weights.")
@click.option(
    "--overlap-px",
    type=click.IntRange(min=0),
    help="Overlap of windows when judged [default: a quarter].",
)
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1 [default: CUDA if any].")
def ensemble(
    name: str, members: tuple[str, ...], is_equal: bool, overlap_px: int | None, device_name: str | None
) -> None:
    """Average trained models into one, which is used like any other.

    Its probabilities are the weighted mean of the members'. The weights make the labels of the validation
    part likeliest; the test part is looked at once, at the end. Members must have been trained on the same
    scenes with the same split, for the same classes; their bands and networks may differ. They are copied:
    the ensemble stays as it is when they are retired. Scenes need the bands of all members.
    """
    from inference.ensembles.making import make_ensemble

    record = make_ensemble(
        database_url(Settings()),
        name,
        members,
        is_equal=is_equal,
        overlap_px=overlap_px,
        device_name=device_name,
        report=click.echo,
    )
    click.echo(f"stored as {record.name}, temperature {record.temperature:.3f}: see lode model show")
