"""`lode model`."""

from __future__ import annotations

import json

import click

from db.connection import connect
from db.registry import ModelRecord, list_models, model_by_name
from db.settings import Settings


@click.group("model")
def model_group() -> None:
    """List and show trained networks."""


@model_group.command("list")
def list_command() -> None:
    """List all models with their figures on the test blocks."""
    with connect(Settings()) as conn:
        records = list_models(conn)
    if not records:
        click.echo("there is no model yet: lode train segmentation --help")
    for record in records:
        click.echo(
            f"{record.name}: {record.task}, {record.architecture}, bands {', '.join(record.band_names)}, "
            f"{record.resolution_m:g} m, mean IoU {_figure(record.metrics.get('mean_iou'))}, "
            f"trained {record.trained_at:%Y-%m-%d %H:%M}"
        )


@model_group.command()
@click.argument("name")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def show(name: str, output_format: str) -> None:
    """Show what a model was trained on and how it did on the test blocks."""
    with connect(Settings()) as conn:
        record = model_by_name(conn, name)
    if output_format == "json":
        content = {**vars(record), "trained_at": record.trained_at.isoformat()}
        click.echo(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        print_record(record)


def print_record(record: ModelRecord) -> None:
    """Print what `lode model show` shows."""
    metrics, training = record.metrics, record.training
    click.echo(
        f"{record.name}: {record.architecture}, windows of {record.tile_px} px at {record.resolution_m:g} m, "
        f"bands {', '.join(record.band_names)}"
    )
    click.echo(
        f"trained on {', '.join(scene['product'] for scene in training['scenes'])}; "
        f"best epoch {training['best_epoch']} of {len(record.history)}, {training['seconds']:.0f} s"
    )
    click.echo(
        f"on {metrics['pixels']:,} labelled pixels of test blocks: mean IoU {_figure(metrics['mean_iou'])}, "
        f"without background {_figure(metrics['mean_iou_without_background'])}, "
        f"overall accuracy {_figure(metrics['overall_accuracy'])}"
    )
    for key, baseline in metrics["baselines"].items():
        click.echo(f"  plain answer {key}: mean IoU {_figure(baseline['mean_iou'])}")
    click.echo(f"  {'class':<20}{'pixels':>10}{'precision':>11}{'recall':>8}{'IoU':>8}{'Dice':>8}")
    # the database sorts keys in its own way
    for key, figures in sorted(metrics["by_class"].items(), key=lambda item: int(item[1]["code"])):
        if figures["pixels"]:
            precision, recall, iou, dice = (
                _figure(figures[figure]) for figure in ("precision", "recall", "iou", "dice")
            )
            click.echo(f"  {key:<20}{figures['pixels']:>10,}{precision:>11}{recall:>8}{iou:>8}{dice:>8}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
