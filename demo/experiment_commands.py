"""`lode experiment`: networks side by side, under one split and one budget."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from db.connection import database_url
from db.errors import UsageError
from db.settings import Settings

DATABASE = "lode_experiment"
Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("experiment")
def experiment_group() -> None:
    """Train networks side by side and compare them."""


_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="build",
    show_default=True,
    help="Folder of the results.",
)
_device = click.option("--device", "device_name", metavar="NAME", help="cpu, cuda. [default: CUDA if any]")


def _options(command: Command) -> Command:
    """The options that both experiments have."""
    for option in reversed(
        (
            click.option(
                "--preset",
                default="small",
                show_default=True,
                help="small: an hour on two cores; full: ResNet-50, for a GPU.",
            ),
            click.option(
                "--seeds", type=int, default=3, show_default=True, help="Trainings of each network."
            ),
            click.option("--network", "networks", multiple=True, help="Row; again for more. [default: all]"),
            click.option("--samples", "sample_set", metavar="SET", help="Train on a sample set."),
            click.option(
                "--scene",
                "products",
                multiple=True,
                metavar="PRODUCT",
                help="Train on a scene; again for more. [default: a simulated district]",
            ),
            click.option("--bands", help="Bands to use, e.g. B02,B03,B04. [default: all that are shared]"),
            click.option("--epochs", type=int, help="Instead of the preset's."),
            click.option("--windows", type=int, help="Windows an epoch, instead of the preset's."),
            click.option(
                "--batch", "batch_size", type=int, help="Windows in a step, instead of the preset's."
            ),
            click.option("--tile-px", type=int, help="Window edge, pixels, instead of the preset's."),
            _out,
            click.option("--name", help="Names of models begin so. [default: the experiment's]"),
            _device,
            click.option(
                "--seed",
                "split_seed",
                type=int,
                default=7,
                show_default=True,
                help="Of the split and the simulated district.",
            ),
            click.option(
                "--size-px",
                type=click.IntRange(min=384),
                default=1024,
                show_default=True,
                help="Edge of the simulated district, pixels of 2 m.",
            ),
            click.option("--fresh", "is_fresh", is_flag=True, help="Train everything anew."),
        )
    ):
        command = option(command)
    return command


@experiment_group.command()
@_options
def ablation(**chosen: Any) -> None:
    """Train DeepLabV3+ with and without its two blocks: DL, COT-DL, SE-DL, SE-COT-DL.

    All rows have one split, one budget and the same seeds. The table (Markdown, CSV, JSON) and a figure go to
    the folder of --out. Interrupted, the same command goes on.
    """
    _run("ablation", **chosen)


@experiment_group.command()
@_options
def comparison(**chosen: Any) -> None:
    """Train FCN, U-Net, PSPNet, DL, COT-DL, SE-DL and SE-COT-DL.

    All rows have one split, one budget and the same seeds. The table (Markdown, CSV, JSON) and a figure go to
    the folder of --out. Interrupted, the same command goes on.

    Without --samples and --scene the networks are trained on a simulated district, in a database of its own
    (lode_experiment), which is kept, or in the empty database of LODE_DATABASE_URL.
    """
    _run("comparison", **chosen)


def _run(
    experiment: str,
    *,
    out: Path,
    device_name: str | None,
    bands: str | None,
    size_px: int,
    **chosen: Any,
) -> None:
    from torch.distributed import is_torchelastic_launched

    from inference.experiments.experiment import Request, run_experiment
    from inference.experiments.table import with_spread

    if is_torchelastic_launched():
        raise UsageError(
            "an experiment trains one network after the other in one process: start it without torchrun, and "
            "give a GPU with --device"
        )
    is_simulated = not chosen["products"] and chosen["sample_set"] is None
    request = Request(
        experiment=experiment,
        band_names=tuple(band.strip() for band in bands.split(",")) if bands else (),
        is_simulated=is_simulated,
        **chosen,
    )
    url = database_url(Settings())
    if is_simulated:
        from demo.district import kept_district

        url = kept_district(DATABASE, seed=request.split_seed, width_px=size_px, height_px=size_px)
    result = run_experiment(url, request, out, device_name=device_name, report=click.echo)
    for row in (*result["rows"], *result["baselines"]):
        click.echo(f"{row['network']}: mIoU {with_spread(row['mIoU'])}, mDice {with_spread(row['mDice'])}")
    click.echo(" ".join(result["findings"]))
    if is_simulated and "LODE_DATABASE" in os.environ:
        click.echo(f"the models are in the database {DATABASE}: LODE_DATABASE={DATABASE} lode model list")
    if result["failures"]:
        failed = ", ".join(f"{each['network']} seed {each['seed']}" for each in result["failures"])
        raise UsageError(f"{failed} failed, see above; the same command tries again")


@experiment_group.command()
@click.option(
    "--preset",
    default="small",
    show_default=True,
    help="tiny: a trial; small: 40 minutes on two cores; full: larger districts, for a GPU.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Trainings of each network, instead of the preset's."
)
@click.option(
    "--part", "parts", multiple=True, help="simulated, implanted or real; again for more. [default: all]"
)
@_out
@_device
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Trainings at a time. [default: as many as there are processor cores; 1 on a GPU]",
)
def geology(
    preset: str,
    seeds: int | None,
    parts: tuple[str, ...],
    out: Path,
    device_name: str | None,
    jobs: int | None,
) -> None:
    """Compare networks that learn where ore lies, with geology and without, and plain answers.

    On a simulated district with decoys, another simulated district that is searched, a real EnMAP scene with
    implanted ore, and a real survey of 39 elements, where LODE_TEST_DATA has them. Tables and a figure
    (gcn.md, .csv, .json, .png) go to the folder of --out. Interrupted, the same command goes on. Works in a
    database of its own, which is kept, or in the one of LODE_DATABASE_URL.
    """
    from demo.geology_experiment import PARTS, run_experiment

    result = run_experiment(
        out, preset_name=preset, parts=parts or PARTS, seeds=seeds, device_name=device_name, jobs=jobs
    )
    for sentence in result["findings"]:
        click.echo(sentence)
    if "LODE_DATABASE" in os.environ:
        database = os.environ["LODE_DATABASE"]
        click.echo(f"the models are in the database {database}: LODE_DATABASE={database} lode model list")


@experiment_group.command("few-labels")
@click.option(
    "--preset",
    default="small",
    show_default=True,
    help="tiny: a trial; small: 25 minutes on two cores.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Trainings of each case, instead of the preset's.")
@_out
@_device
def few_labels(preset: str, seeds: int | None, out: Path, device_name: str | None) -> None:
    """Train on 1, 5 and 20 % of the labels, from nothing and from a backbone pretrained without labels.

    On a simulated district; the pretraining sees no pixel of the test ground. Table and figure
    (few_labels.md, .csv, .json, .png) go to the folder of --out. Interrupted, the same command goes on. Works
    in a database of its own, which is kept, or in the one of LODE_DATABASE_URL.
    """
    from demo.few_labels_experiment import run_experiment

    for sentence in run_experiment(out, preset_name=preset, seeds=seeds, device_name=device_name)["findings"]:
        click.echo(sentence)


@experiment_group.command()
@click.option(
    "--preset",
    default="small",
    show_default=True,
    help="tiny: a trial; small: 45 minutes on two cores; full: a larger province and network, for a GPU.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Members of each method, instead of the preset's.")
@click.option("--part", "parts", multiple=True, help="simulated or real. [default: both]")
@_out
@_device
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Methods at a time. [default: as many as there are processor cores; 1 on a GPU]",
)
def prospectivity(
    preset: str,
    seeds: int | None,
    parts: tuple[str, ...],
    out: Path,
    device_name: str | None,
    jobs: int | None,
) -> None:
    """Compare methods that look for ore without labels: a masked ViT, seven rivals and two plain answers.

    On a simulated province with decoys and barren places, and on a real survey of 39 elements, where
    LODE_TEST_DATA has it. Deposits are used for nothing but the figures. Tables and figures (evidence.md,
    .csv, .json, evidence_simulated.png, evidence_real.png) go to the folder of --out. Interrupted, the same
    command goes on. Works in databases of its own, which are kept, or in the one of LODE_DATABASE_URL.
    """
    from demo.evidence_experiment import run_experiment
    from inference.evidence.experiment.plan import PARTS

    result = run_experiment(
        out,
        preset_name=preset,
        parts=parts or PARTS,
        seeds=seeds,
        device_name=device_name,
        jobs=jobs,
    )
    for sentence in result["findings"]:
        click.echo(sentence)
