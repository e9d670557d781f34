"""``lode ingest labels``, ``mines``, ``regions``, ``faults``, ``plutons``, ``lithology`` and ``deposits``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from db.regions import RegionLayer
from db.settings import Settings
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.ground import ingest_geology, ingest_mines
from ingest.labels import ingest_labels
from ingest.regions import ingest_regions
from ingest.requests import FeatureOutcome, FeatureRequest, parse_pairs
from ingest.session import transaction

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("file"),
    click.option("--layer", help="Layer, where the file has several."),
    click.option(
        "--field",
        "fields",
        multiple=True,
        metavar="OURS=THEIRS",
        help="Column THEIRS holds our field OURS; columns of the same name are found without it.",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Only features with this value; repeat it for several values.",
    ),
    click.option(
        "--srid", type=click.IntRange(min=1), help="EPSG code of the coordinates, where the file states none."
    ),
    click.option("--encoding", help="Encoding of a shapefile's texts, e.g. GBK, where it has no .cpg."),
    click.option("--repair", is_flag=True, help="Make invalid shapes valid; drops Z and M values."),
    click.option(
        "--replace", is_flag=True, help="First delete what came from an earlier file of the same name."
    ),
    click.option("--source-name", help="Name the file is known by. [default: its own, with the layer]"),
)


def _file_options(command: Command) -> Command:
    """The argument and options that all vector files share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _request(settings: Settings, **options: Any) -> FeatureRequest:
    roots = settings.roots()
    return FeatureRequest(
        file=source_file(options["file"], roots),
        roots=roots,
        layer=options["layer"],
        fields=dict(parse_pairs(options["fields"], "--field")),
        only=parse_pairs(options["only"], "--only"),
        srid=options["srid"],
        encoding=options["encoding"],
        repair=options["repair"],
        replace=options["replace"],
        source_name=options["source_name"],
    )


def _run(ingest: Callable[[Any], FeatureOutcome], settings: Settings) -> None:
    """Ingest in one transaction, and say what became of the file."""
    with transaction(settings) as conn:
        outcome = ingest(conn)
    for line in summary(outcome):
        click.echo(line)


def summary(outcome: FeatureOutcome) -> list[str]:
    """What became of a file, in lines."""
    if not outcome.is_new:
        return [
            f"{outcome.kind} of {outcome.source_name} are there already: same file, same options; "
            "nothing was changed"
        ]
    counts = [f"stored {outcome.stored} {outcome.kind}"]
    if outcome.kind in ("mines", "regions"):
        counts += [f"{outcome.updated} updated", f"{outcome.unchanged} unchanged"]
    counts.append(f"{outcome.repaired} repaired")
    if outcome.ignored:
        counts.append(f"{outcome.ignored} ignored")
    if outcome.replaced:
        counts.append(f"{outcome.replaced} older deleted")
    return [*outcome.notes, f"{', '.join(counts)} ({outcome.source_name})"]


LABELS_HELP = """Bring labels: polygons with a class, or a class raster (GeoTIFF).

Fields: class, scene (or product), valid_on (or date, year), interpreter. The class is a key (open_pit), a
code (6), an English or Chinese name; other values are mapped by --classes, a file like

\b
    ignore = [0]
    [classes]
    10 = "open_pit"
    "Waste dump" = "dump"
"""


@click.command(help=LABELS_HELP)
@_file_options
@click.option(
    "--scene",
    "product",
    help="Product name of the scene they were drawn on. [default: column scene or product]",
)
@click.option(
    "--valid-on",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day the labels describe, for every scene of its year. [default: column valid_on, date or year]",
)
@click.option("--classes", "classes_file", metavar="FILE.toml", help="Table: value of the file = class.")
@click.option("--class", "class_name", help="One class for all features, by key, code or name.")
@click.option("--interpreter", help="Who drew them, where no column says it.")
@click.option(
    "--counted",
    "is_counted",
    is_flag=True,
    help="These decide the class of their ground in their year's account. [default: they train networks "
    "only, unless no network maps their class]",
)
def labels(
    product: str | None,
    valid_on: datetime | None,
    classes_file: str | None,
    class_name: str | None,
    interpreter: str | None,
    is_counted: bool,
    **options: Any,
) -> None:
    """Bring labels; the help is ``LABELS_HELP``."""
    settings = Settings()
    request = _request(settings, **options)
    about = LabelRequest(
        product=product,
        valid_on=None if valid_on is None else valid_on.date(),
        classes_file=None if classes_file is None else source_file(classes_file, settings.roots()),
        class_name=class_name,
        interpreter=interpreter,
        is_counted=is_counted,
    )
    _run(lambda conn: ingest_labels(conn, request, about, report=click.echo), settings)


@click.command()
@_file_options
@click.option("--licence-boundaries", metavar="FILE", help="Second file: code and licence boundary.")
@click.option("--licence-layer", help="Layer of that file, where it has several.")
def mines(licence_boundaries: str | None, licence_layer: str | None, **options: Any) -> None:
    """Bring mine boundaries.

    Fields: code, name, mineral, mining_method. Mines are known by their code: those that are there already
    are updated, and their areas derived again.
    """
    settings = Settings()
    request = _request(settings, **options)
    licences = None
    if licence_boundaries is not None:
        roots = settings.roots()
        licences = FeatureRequest(
            source_file(licence_boundaries, roots), roots, layer=licence_layer, repair=request.repair
        )
    _run(lambda conn: ingest_mines(conn, request, licences=licences, report=click.echo), settings)


@click.command()
@_file_options
@click.option(
    "--layer-key", required=True, metavar="KEY", help="Layer of regions they belong to, e.g. county."
)
@click.option("--name", "layer_name", help="Name of that layer. [default: its key]")
@click.option("--name-zh", "layer_name_zh", help="Chinese name of that layer.")
@click.option(
    "--protected/--not-protected",
    "is_protected",
    default=None,
    help="Ground that must not be damaged: farmland, an ecological red line, a reserve. [default: as the "
    "layer is already, else not]",
)
def regions(
    layer_key: str,
    layer_name: str | None,
    layer_name_zh: str | None,
    is_protected: bool | None,
    **options: Any,
) -> None:
    """Bring regions that reports are summed over.

    Fields: code, name, name_zh. Counties, provinces, watersheds, protected ground: any polygons. Regions are
    known by layer and code: those that are there already are updated, and their totals derived again.
    """
    settings = Settings()
    request = _request(settings, **options)
    layer = RegionLayer(layer_key, layer_name, layer_name_zh, is_protected)
    _run(lambda conn: ingest_regions(conn, request, layer, report=click.echo), settings)


@click.command()
@_file_options
def faults(**options: Any) -> None:
    """Bring faults (lines).

    Fields: name, fault_type.
    """
    _ingest_geology("faults", **options)


@click.command()
@_file_options
def plutons(**options: Any) -> None:
    """Bring plutons (polygons).

    Fields: name, lithology, age.
    """
    _ingest_geology("plutons", **options)


@click.command()
@_file_options
def lithology(**options: Any) -> None:
    """Bring the rocks of a geological map (polygons).

    Fields: rock, name, age. Rock is what units are told apart by, e.g. granite or serpentinite; name it with
    --field rock=COLUMN where the column is called otherwise.
    """
    _ingest_geology("lithology", **options)


@click.command()
@_file_options
def deposits(**options: Any) -> None:
    """Bring mineral deposits (points, or polygons: outlines of ore bodies).

    Fields: name, commodity, deposit_type.
    """
    _ingest_geology("deposits", **options)


def _ingest_geology(kind: str, **options: Any) -> None:
    settings = Settings()
    request = _request(settings, **options)
    _run(lambda conn: ingest_geology(conn, kind, request, report=click.echo), settings)
