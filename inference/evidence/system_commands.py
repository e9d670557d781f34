"""``lode system ...``: mineral systems, those that come with Lode and those that people write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from db.connection import connect
from db.errors import UsageError
from db.settings import Settings

if TYPE_CHECKING:
    from inference.evidence.system_types import MineralSystem


@click.group(name="system")
def system_group() -> None:
    """Mineral systems: elements and geology that tell of ore."""


@system_group.command("list")
def list_() -> None:
    """List the mineral systems that training knows."""
    from db.mineral_systems import list_stored
    from inference.evidence.mineral_system import builtin_systems, read_stored

    with connect(Settings()) as conn:
        stored = list_stored(conn)
    found = [(system, "comes with Lode") for system in builtin_systems().values()]
    found += [(read_stored(each), f"by {each.imported_by}, {each.imported_at:%Y-%m-%d}") for each in stored]
    width = max(len(system.name) for system, _from in found)
    for system, origin in sorted(found, key=lambda each: each[0].name):
        click.echo(f"{system.name:<{width}}  {system.title} [{', '.join(system.elements)}] ({origin})")


@system_group.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show a mineral system: elements, rules of geology, literature."""
    from inference.evidence.mineral_system import find_system

    with connect(Settings()) as conn:
        system = find_system(conn, name)
    for line in shown_lines(system):
        click.echo(line)


def shown_lines(system: MineralSystem) -> list[str]:
    """A system in lines."""
    total = sum(rule.weight for rule in system.geology)
    elements = sorted(system.elements.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"{system.name}: {system.title}",
        *([system.description] if system.description else []),
        f"commodities: {', '.join(system.commodities) or 'not said'}",
        "elements by weight: " + ", ".join(f"{element} {weight:g}" for element, weight in elements),
        "geology by share of the favourability:",
        *(f"  {rule.weight / total:4.0%}  {rule.text}" for rule in system.geology),
        f"share of the anomaly in the score: {system.anomaly_share:g}",
        *(["literature:"] if system.references else []),
        *(f"  {reference}" for reference in system.references),
        f"digest: {system.digest}",
    ]


@system_group.command("import")
@click.argument("file", metavar="FILE")
@click.option("--replace", "is_replacing", is_flag=True, help="Put it in the place of another of that name.")
def import_(file: str, is_replacing: bool) -> None:
    """Bring in a mineral system from a TOML file.

    Comments and order are not kept: what is stored is the same system in one way of writing it, which
    `lode system export` gives back byte by byte.
    """
    from inference.evidence.mineral_system import import_system, parse_system

    system = parse_system(_read(file), file)
    with connect(Settings()) as conn:
        done = import_system(conn, system, is_replacing=is_replacing)
    if done == "unchanged":
        click.echo(f"mineral system {system.name} is there already: nothing was changed")
    else:
        click.echo(f"{done} mineral system {system.name}")


@system_group.command("export")
@click.argument("name")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--overwrite", is_flag=True, help="Write over a file that is there.")
def export(name: str, file: str | None, overwrite: bool) -> None:
    """Write a mineral system as TOML, into FILE or onto the terminal."""
    from inference.evidence.mineral_system import find_system, to_toml

    with connect(Settings()) as conn:
        text = to_toml(find_system(conn, name))
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        with Path(file).open("w" if overwrite else "x", encoding="utf-8", newline="\n") as target:
            target.write(text)
    except FileExistsError as error:
        raise UsageError(f"{file} is there: name another file, or say --overwrite") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name another file") from error
    click.echo(f"wrote mineral system {name} to {file}")


@system_group.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a mineral system that was brought in; models keep the one that they were trained with."""
    from inference.evidence.mineral_system import remove_system

    with connect(Settings()) as conn:
        remove_system(conn, name)
    click.echo(f"removed mineral system {name}")


def _read(file: str) -> str:
    from inference.evidence.system_toml import LONGEST

    try:
        # no more than can be one: what is longer is refused for that
        with Path(file).open("rb") as opened:
            return opened.read(4 * LONGEST + 4).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}): name a TOML file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text in UTF-8: save it as such") from error
