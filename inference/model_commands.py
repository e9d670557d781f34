"""`lode model`: the trained networks in the registry."""

from __future__ import annotations

from pathlib import Path

import click

from db.connection import connect
from db.errors import UsageError
from db.registry import (
    ModelRecord,
    count_published_runs,
    list_models,
    model_by_name,
    reinstate_model,
    retire_model,
    retirement_of,
)
from db.settings import Settings
from inference.ensemble_command import ensemble
from inference.evidence.types import EVIDENCE
from inference.prospect.settings import PROSPECT

_FORMATS = click.Choice(["text", "json", "csv"])


@click.group("model")
def model_group() -> None:
    """List, compare, exchange and retire trained networks."""


model_group.add_command(ensemble)


@model_group.command("list")
@click.option("--all", "with_retired", is_flag=True, help="Retired models too.")
@click.option("--format", "output_format", type=_FORMATS, default="text", show_default=True)
def list_command(with_retired: bool, output_format: str) -> None:
    """List the models in service with their figures on the test blocks."""
    from inference.models.listing import listing_csv, listing_json, listing_text

    with connect(Settings()) as conn:
        every = list_models(conn)
        runs = count_published_runs(conn)
    records = [record for record in every if with_retired or record.retired_at is None]
    if output_format == "text":
        _print_lines(listing_text(records, runs, hidden=len(every) - len(records)))
    else:
        click.echo((listing_json if output_format == "json" else listing_csv)(records, runs))


@model_group.command()
@click.argument("name")
@click.option(
    "--format", "output_format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--reliability",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw how far its probabilities come true, e.g. reliability.png.",
)
def show(name: str, output_format: str, reliability: Path | None) -> None:
    """Show what a model was trained on and how it did on the test blocks."""
    from inference.models.report import report_json, report_lines

    with connect(Settings()) as conn:
        record = model_by_name(conn, name)
        runs = count_published_runs(conn).get(record.model_id, 0)
    if reliability is not None:
        from inference.models.reliability import draw_stored_reliability

        draw_stored_reliability(record, reliability)
        click.echo(f"drew {reliability}", err=True)
    if output_format == "json":
        click.echo(report_json(record, runs))
    else:
        _print_lines(report_lines(record, runs))


@model_group.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME NAME...")
@click.option("--format", "output_format", type=_FORMATS, default="text", show_default=True)
def compare(names: tuple[str, ...], output_format: str) -> None:
    """Hold models against the first, figure by figure.

    Differences are told where the models were tested on the same ground, with the range they would have come
    out in on other blocks of it.
    """
    from inference.models.comparison import check_comparable
    from inference.models.comparison import compare as compare_models

    with connect(Settings()) as conn:
        records = [model_by_name(conn, name) for name in names]
    check_comparable(records)
    if records[0].task == EVIDENCE:
        raise UsageError(
            f"{records[0].name} and the others were trained without a deposit: no figure of theirs tells "
            "which finds ore; search ground with each (`lode prospect apply`) and judge the searches with "
            "`lode prospect evaluate`"
        )
    if records[0].task == PROSPECT:
        from inference.prospect import model_comparison as ore

        found = ore.compare_prospects(records)
        if output_format == "text":
            _print_lines(ore.comparison_text(records, found))
        else:
            click.echo(
                (ore.comparison_json if output_format == "json" else ore.comparison_csv)(records, found)
            )
        return
    from inference.models import comparison_report as report

    pairs = compare_models(records)
    if output_format == "text":
        _print_lines(report.comparison_text(records, pairs))
    else:
        click.echo(
            (report.comparison_json if output_format == "json" else report.comparison_csv)(records, pairs)
        )


@model_group.command("export")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--licence", metavar="TEXT", help="Terms to state in the card. [default: those stored]")
def export_command(name: str, folder: Path, licence: str | None) -> None:
    """Write a model and its card into a new FOLDER.

    model.safetensors holds the weights and the whole record of the model; README.md tells people on what it
    was trained, how it did, where it fails and under which licence it comes.
    """
    from inference.models.exchange.export import export_model

    with connect(Settings(), application_name="lode model export") as conn:
        done = export_model(conn, name, folder, licence)
    click.echo(f"wrote {name} to {done.folder}: {done.size_bytes:,} bytes, SHA-256 {done.sha256}")
    if done.licence is None:
        click.echo("warning: no licence is stated, do not pass the weights on (--licence TEXT)", err=True)


@model_group.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NEW", help="Name for the model. [default: the one it had]")
def import_command(path: Path, name: str | None) -> None:
    """Bring an exported model into the database.

    PATH is the folder or the safetensors file in it. The network is built, loaded and tried before anything
    is stored. Figures come as they were told elsewhere: nobody here has seen them come about.
    """
    from inference.models.exchange.importing import import_model

    with connect(Settings(), application_name="lode model import") as conn:
        record = import_model(conn, path, name)
        conn.commit()
    click.echo(
        f"imported {record.name}: {record.architecture}, trained {record.trained_at:%Y-%m-%d}; "
        "see `lode model show`"
    )
    if record.licence is None:
        click.echo("warning: it states no licence; ask whoever made it before you use it", err=True)
    if record.retired_at is not None:
        click.echo(f"warning: {retirement_of(record)}, and comes in retired", err=True)


@model_group.command()
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; whoever meets the model learns it.")
@click.option("--undo", is_flag=True, help="Bring it back into service.")
def retire(name: str, reason: str | None, undo: bool) -> None:
    """Take a model out of service.

    It interprets no scene any more and `lode model list` leaves it out. Its runs and what was published with
    them stay.
    """
    if undo == (reason is not None):
        raise click.UsageError("give either --reason TEXT, or --undo")
    with connect(Settings()) as conn:
        record = reinstate_model(conn, name) if reason is None else retire_model(conn, name, reason)
        runs = count_published_runs(conn).get(record.model_id, 0)
        conn.commit()
    if reason is None:
        click.echo(f"model {record.name} is in service again")
    else:
        click.echo(f"{retirement_of(record)}; {runs} runs published with it stay")


def print_record(record: ModelRecord) -> None:
    """Print what `lode model show` shows."""
    from inference.models.report import report_lines

    _print_lines(report_lines(record))


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)
