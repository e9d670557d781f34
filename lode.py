"""The front door: one command ``lode``, whose subcommands are loaded when they are called."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

import click

from db.errors import UsageError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT."""

COMPLETION = "_LODE_COMPLETE"
"""Set by the shell that asks for completions."""

READER_GONE = 141
"""Exit code when whoever read our output has left: 128 and the number of SIGPIPE."""


@dataclass(frozen=True)
class Subcommand:
    """Where a subcommand is found, and its line in ``lode --help``, which loads none of them."""

    target: str
    help: str


SUBCOMMANDS = {
    "up": Subcommand("db.commands:up", "Start the database, make it where it is missing, upgrade it."),
    "down": Subcommand("db.commands:down", "Stop the private database."),
    "status": Subcommand("db.commands:status", "Tell whether the database runs and how to connect."),
    "psql": Subcommand("db.commands:psql", "Open psql on the database."),
    "db": Subcommand("db.admin:database_group", "Upgrade and check the database."),
    "ingest": Subcommand(
        "ingest.commands:ingest_group", "Bring scenes, labels, maps and evidence into the database."
    ),
    "source": Subcommand(
        "ingest.source_commands:source_group", "Folders and catalogues that scenes come from by themselves."
    ),
    "evidence": Subcommand(
        "ingest.evidence_commands:evidence_group",
        "List study areas with their layers of evidence, and remove them.",
    ),
    "system": Subcommand(
        "inference.evidence.system_commands:system_group",
        "Mineral systems: elements and geology that tell of ore.",
    ),
    "scene": Subcommand("ingest.scene_group:scene_group", "List, show and draw the scenes in the database."),
    "samples": Subcommand("inference.sample_commands:samples_group", "Cut labelled ground into samples."),
    "train": Subcommand("inference.train_commands:train_group", "Train a network on labels or evidence."),
    "model": Subcommand(
        "inference.model_commands:model_group", "List, compare, exchange and retire trained networks."
    ),
    "infer": Subcommand("inference.interpret_commands:infer", "Classify a scene and publish what was found."),
    "run": Subcommand(
        "db.run_commands:run_group", "Ask for interpretations, list, prefer, cancel or withdraw them."
    ),
    "campaign": Subcommand("service.campaign_commands:campaign", "Interpret many scenes on a Ray cluster."),
    "worker": Subcommand("service.commands:worker", "Take work from the queue until told to stop."),
    "role": Subcommand("db.role_commands:role_group", "Give people and programs logins of their own."),
    "report": Subcommand(
        "reporting.commands:report_group", "Print reports, write them as files, make pages to sign."
    ),
    "qgis": Subcommand("db.qgis.commands:qgis_group", "Give QGIS the layers' styles and a project."),
    "alert": Subcommand("db.alerts.commands:alert_group", "List damage alerts, confirm and reject them."),
    "assess": Subcommand(
        "ingest.assess_commands:assess_group", "Check the year map against a sample of points."
    ),
    "prospect": Subcommand(
        "inference.prospect_commands:prospect_group",
        "Find where ore may lie: patches, searches, targets, their worth.",
    ),
    "simulate": Subcommand(
        "ingest.simulate_command:simulate", "Make up data with a known truth and write it below FOLDER."
    ),
    "experiment": Subcommand(
        "demo.experiment_commands:experiment_group", "Train networks side by side and compare them."
    ),
    "demo": Subcommand("demo.commands:demo", "Run the whole of Lode on a simulated district."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the subcommands, in the order in which one meets them."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a subcommand."""
        subcommand = SUBCOMMANDS.get(cmd_name)
        if subcommand is None:
            return None
        module, _, attribute = subcommand.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{subcommand.target} is not a command but {type(command).__name__}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.help) for name, each in SUBCOMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"lode {version('lode')}")
        ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and leave.",
)
def cli() -> None:
    """Map what mines do to the land, in a PostGIS database.

    The database is a private one that `lode up` makes and starts, or the one that LODE_DATABASE_URL names.
    """


def run(arguments: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: what follows the program's name; by default that of this process.

    Returns:
        The exit code. A ``UsageError`` is printed plainly and gives 1, as does what the database does not let
        this login do; a wrong command line gives 2; any other exception is a bug and passes.

    """
    if COMPLETION in os.environ:
        cli.main(arguments, prog_name="lode", complete_var=COMPLETION)
    try:
        # Not Command.main(): it takes any EOFError and broken pipe of a bug for the user's doing.
        with cli.make_context("lode", sys.argv[1:] if arguments is None else list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except UsageError as error:
        click.echo(f"lode: error: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("lode: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more at its end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        click.echo(f"lode: error: {refusal}", err=True)
        return 1
    return 0


def _refusal(error: Exception) -> str | None:
    """What is said when this login may not do what the command does; None: it is another error."""
    if "psycopg" not in sys.modules:  # nobody has asked a database
        return None
    from db.connection import refusal

    return refusal(error)


def main() -> None:
    """Run the command line of this process and end it."""
    # Read when torch starts. OpenMP's threads spin while they wait; without an end to it they take the core
    # that the database or another worker needs (training beside a busy process was 5 to 20 times slower),
    # without any spinning they sleep too often (half the speed on an idle machine).
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    sys.exit(run())


if __name__ == "__main__":
    main()
