"""``lode ingest area`` and ``evidence``, and ``lode evidence``, which lists and removes what they brought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from psycopg import Connection

from db import evidence as stored
from db.errors import UsageError
from db.locks import hold
from db.settings import Settings
from ingest.evidence.areas import AreaRequest, ingest_area, lock_name
from ingest.evidence.gridded import RESAMPLINGS
from ingest.evidence.layers import LayerRequest, ingest_layer
from ingest.evidence.naming import NamedFile, name_layers
from ingest.evidence.placed import LEAST_KRIGED, METHODS, NEIGHBOURS, GriddingSettings
from ingest.evidence.point_files import SampleReading, is_sample_file
from ingest.evidence.points import PointRequest, ingest_points
from ingest.evidence.storing import LayerOutcome
from ingest.evidence.value_columns import ColumnChoice
from ingest.files import SourceFile, source_file
from ingest.session import transaction


@click.command()
@click.argument("name")
@click.option("--like", metavar="FILE", help="Raster file whose grid it has.")
@click.option(
    "--bounds",
    metavar="W,S,E,N",
    help="Instead: bounds in metres of --srid; rounded outwards to whole cells.",
)
@click.option("--srid", type=click.IntRange(min=1), help="EPSG code of --bounds and the grid, in metres.")
@click.option(
    "--resolution-m",
    type=click.FloatRange(min=0, min_open=True),
    help="Edge of the cells, m. [default: that of --like]",
)
@click.option(
    "--inside",
    multiple=True,
    metavar="FILE",
    help="Ground that is judged: polygons, or the cells of a raster above 0; several: any of them. "
    "[default: the whole grid]",
)
@click.option("--layer", help="Layer of a vector file given by --inside, where it has several.")
def area(
    name: str,
    like: str | None,
    bounds: str | None,
    srid: int | None,
    resolution_m: float | None,
    inside: tuple[str, ...],
    layer: str | None,
) -> None:
    """Make a study area: one grid for all its evidence, and the ground that is judged.

    The grid is in metres (a UTM zone, for instance). Outside of the judged ground nothing counts, neither in
    training nor in figures nor in maps. The same area again changes nothing.
    """
    settings = Settings()
    roots = settings.roots()
    request = AreaRequest(
        name=name,
        like=None if like is None else source_file(like, roots),
        bounds=None if bounds is None else _bounds(bounds),
        srid=srid,
        resolution_m=resolution_m,
        inside=tuple(source_file(file, roots) for file in inside),
        layer=layer,
        roots=roots,
    )
    with transaction(settings) as conn:
        outcome = ingest_area(conn, request, report=click.echo)
    grid = outcome.area.grid
    if not outcome.is_new:
        click.echo(f"study area {name} is there already: same grid, same ground; nothing was changed")
        return
    for note in outcome.notes:
        click.echo(note)
    click.echo(
        f"stored study area {name}: {_grid_text(outcome.area)}; {outcome.judged_px} of "
        f"{grid.width_px * grid.height_px} cells are judged, {outcome.judged_m2 / 1e6:,.1f} km2 on the ground"
    )


def _bounds(text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--bounds {text!r}: write four numbers as WEST,SOUTH,EAST,NORTH") from None
    return west, south, east, north


def _grid_text(made: stored.EvidenceArea) -> str:
    grid = made.grid
    height = "" if grid.resolution_x == grid.resolution_y else f" x {grid.resolution_y:g}"
    return f"{grid.width_px} x {grid.height_px} cells of {grid.resolution_x:g}{height} m, EPSG:{grid.srid}"


_POINT_OPTIONS = (
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="COLUMN",
        help="Samples: column of values; repeat it, each becomes a layer. [default: that of --element, or "
        "the only one of numbers]",
    ),
    click.option(
        "--all-elements",
        is_flag=True,
        help="Samples: every column called by an element or oxide, like Li or Li_ppm, becomes a layer.",
    ),
    click.option(
        "--gridding",
        "method",
        type=click.Choice(METHODS),
        help=f"Samples: how cells get values. [default: kriging; idw of fewer than {LEAST_KRIGED}]",
    ),
    click.option(
        "--neighbours",
        type=click.IntRange(4, 100),
        help=f"Samples: so many of the nearest count. [default: {NEIGHBOURS['kriging']}, or "
        f"{NEIGHBOURS['idw']} by idw]",
    ),
    click.option(
        "--reach-m",
        type=click.FloatRange(min=0, min_open=True),
        help="Samples: cells farther than this from all of them have no value, m. [default: two spacings]",
    ),
    click.option("--x-column", metavar="COLUMN", help="Tables: column of the east coordinate or longitude."),
    click.option("--y-column", metavar="COLUMN", help="Tables: column of the north coordinate or latitude."),
    click.option(
        "--srid", type=click.IntRange(min=1), help="Samples: EPSG code of their coordinates; tables need it."
    ),
    click.option("--layer", help="Samples: layer of a GeoPackage that has several."),
    click.option("--encoding", help="Samples: encoding of their texts, e.g. GBK, where the file says none."),
)
_RASTERS_ONLY = ("name_pattern", "band", "resampling")
_SAMPLES_ONLY = (
    "columns", "all_elements", "method", "neighbours", "reach_m", "x_column", "y_column", "srid", "layer",
    "encoding",
)  # fmt: skip
_WRITTEN = {"columns": "--column", "method": "--gridding"}


def _point_options(command: Any) -> Any:
    for option in reversed(_POINT_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--area", "area_name", required=True, metavar="NAME", help="Study area they belong to.")
@click.option("--kind", required=True, type=click.Choice(stored.KINDS), help="What they are evidence of.")
@click.option("--element", help="Element or oxide whose content it is, e.g. Li or Fe2O3.")
@click.option("--name", help="Name of the layer. [default: its element, else the file or column]")
@click.option("--unit", help="Unit of the values, e.g. ppm.")
@click.option(
    "--nodata",
    type=float,
    multiple=True,
    help="Value of cells or samples without one, beside the file's own. nan: the file's own, or what is "
    "below 0, is a value.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of another layer of that name.")
@click.option(
    "--name-pattern",
    metavar="PATTERN",
    help="Rasters: where file names tell the element: 'Idw_{element}.tif'",
)
@click.option("--band", type=click.IntRange(min=1), help="Rasters: which of several bands.")
@click.option(
    "--resampling",
    type=click.Choice(list(RESAMPLINGS)),
    help="Rasters: how values are taken. [default: average of cells finer by half or more, else bilinear; "
    "nearest for whole numbers of kind geology, which are codes]",
)
@_point_options
def evidence(files: tuple[str, ...], area_name: str, kind: str, **options: Any) -> None:
    """Bring layers of evidence for ore: rasters, or samples at points, onto the grid of their study area.

    Each raster becomes one layer, in a transaction of its own; any CRS and resolution will do. So does each
    column of values of a file of samples (CSV with coordinates and --srid, GeoPackage, GeoJSON, shapefile),
    which is kriged, contents of elements as logarithms; the error is kept as the second band of its tiles. A
    file of samples goes in whole or not at all. The same file again changes nothing.
    """
    settings = Settings()
    roots = settings.roots()
    found = [source_file(file, roots) for file in files]
    samples = [file for file in found if is_sample_file(file)]
    rasters = [file for file in found if file not in samples]
    if samples:
        _refuse_options(options, _RASTERS_ONLY, samples[0].name, "rasters, and this is a file of samples")
    if rasters:
        _refuse_options(options, _SAMPLES_ONLY, rasters[0].name, "files of samples, and this is none")
    tasks = [
        *(_raster_task(each, area_name, kind, options) for each in _named(rasters, options)),
        *(_sample_task(file, roots, area_name, kind, options) for file in samples),
    ]
    for place, task in enumerate(tasks, 1):
        try:
            with transaction(settings) as conn:
                outcomes = task(conn)
        except UsageError:
            if place > 1:
                done = f"{place - 1} of {len(tasks)} files are in the database"
                click.echo(f"{done}; the same command goes on")
            raise
        count = f"[{place}/{len(tasks)}] " if len(tasks) > 1 else ""
        for outcome in outcomes:
            for line in summary(outcome, area_name):
                click.echo(f"{count}{line}")


Task = Callable[[Connection[Any]], list[LayerOutcome]]


def _refuse_options(options: Mapping[str, Any], names: Sequence[str], file: str, what: str) -> None:
    for name in names:
        if options[name]:
            written = _WRITTEN.get(name, "--" + name.replace("_", "-"))
            raise UsageError(f"{file}: {written} is for {what}: bring them by commands of their own")


def _named(rasters: Sequence[SourceFile], options: Mapping[str, Any]) -> list[NamedFile]:
    return name_layers(
        rasters, name=options["name"], element=options["element"], pattern=options["name_pattern"]
    )


def _raster_task(named: NamedFile, area_name: str, kind: str, options: Mapping[str, Any]) -> Task:
    taken = {name: options[name] for name in ("unit", "band", "nodata", "resampling", "replace")}
    request = LayerRequest(named, area_name, kind, **taken)
    return lambda conn: [ingest_layer(conn, request, report=click.echo)]


def _sample_task(
    file: SourceFile, roots: tuple[Path, ...], area_name: str, kind: str, options: Mapping[str, Any]
) -> Task:
    reading = {name: options[name] for name in ("srid", "x_column", "y_column", "layer", "encoding")}
    choice = {name: options[name] for name in ("columns", "all_elements", "name", "element", "unit")}
    request = PointRequest(
        SampleReading(file, roots, **reading),
        area_name,
        kind,
        ColumnChoice(**choice),
        GriddingSettings(**{name: options[name] for name in ("method", "neighbours", "reach_m")}),
        options["nodata"],
        options["replace"],
    )
    return lambda conn: ingest_points(conn, request, report=click.echo)


def summary(outcome: LayerOutcome, area_name: str) -> list[str]:
    """What became of a layer, in lines."""
    layer = outcome.layer
    if not outcome.is_new:
        same = "values" if layer.gridding is None else "samples"
        return [f"layer {layer.name} is there already: same {same}; nothing was changed"]
    taken = "as they are" if layer.resampling == "none" else f"by {layer.resampling}"
    done = "replaced" if outcome.is_replacement else "stored"
    return [
        *(f"{layer.source_name}: {note}" for note in outcome.notes),
        f"{done} layer {layer.name} of {area_name} ({layer.kind}): values taken {taken}, on "
        f"{layer.valid_fraction:.1%} of the judged ground; table lode_raster.{layer.tile_table}",
    ]


@click.group(name="evidence")
def evidence_group() -> None:
    """List study areas with their layers of evidence, and remove them."""


@evidence_group.command("list")
@click.option("--area", "area_name", metavar="NAME", help="Only this study area.")
def list_evidence(area_name: str | None) -> None:
    """List study areas and their layers."""
    with transaction(Settings()) as conn:
        areas = stored.list_areas(conn) if area_name is None else [stored.area_by_name(conn, area_name)]
        listed = [(each, stored.list_layers(conn, each)) for each in areas]
    if not listed:
        click.echo("no study areas; make one with `lode ingest area`")
    for each, layers in listed:
        click.echo(f"{each.name}: {_grid_text(each)}, {len(layers)} layers")
        for layer in layers:
            unit = "" if layer.unit is None else f" {layer.unit}"
            error = "" if layer.error_kind is None else f"  {layer.error_kind.replace('_', ' ')} in band 2"
            click.echo(
                f"  {layer.name}  {layer.kind}{unit}  {layer.valid_fraction:.1%} valid  {layer.source_name}  "
                f"lode_raster.{layer.tile_table}{error}"
            )


@evidence_group.command("remove")
@click.argument("area_name", metavar="AREA")
@click.argument("names", metavar="[LAYER]...", nargs=-1)
def remove_evidence(area_name: str, names: tuple[str, ...]) -> None:
    """Remove layers of a study area; without LAYER the area and all of them.

    What a set of patches was cut from stays.
    """
    with transaction(Settings()) as conn:
        hold(conn, lock_name(area_name), click.echo)
        chosen = stored.area_by_name(conn, area_name)
        if not names:
            count = stored.delete_area(conn, chosen)
            said = f"removed study area {area_name} and its {count} layers"
        else:
            for layer in stored.layers_by_name(conn, chosen, names):
                users = stored.sets_with_layer(conn, layer)
                if users:
                    raise UsageError(
                        f"layer {layer.name!r} stays: sets of patches were cut from it: {', '.join(users)}"
                    )
                stored.delete_layer(conn, layer)
            said = f"removed {len(names)} layers of study area {area_name}"
    click.echo(said)
