"""`lode assess`: how far the areas of the year map can be trusted, from a sample of points."""

from __future__ import annotations

from pathlib import Path

import click

from db.assessments.catalogue import assessment_by_name, list_assessments, points_of_assessment
from db.assessments.draw import SampleDesign, draw_assessment
from db.connection import connect, read_as_of_now
from db.errors import UsageError
from db.settings import Settings
from ingest.requests import parse_pairs
from ingest.session import transaction

LARGEST_SEED = 2**63 - 1
"""The largest number that the database's column holds."""


@click.group("assess")
def assess_group() -> None:
    """Check the year map against a sample of points."""


@assess_group.command()
@click.option("--name", required=True, help="Name of the new assessment.")
@click.option("--year", required=True, type=int, help="Year of the map.")
@click.option(
    "--by",
    "stratified_by",
    type=click.Choice(["class", "kind"]),
    default="class",
    show_default=True,
    help="Strata: classes of the map, or kinds of damage with the rest as undamaged.",
)
@click.option(
    "--per-stratum", type=int, default=50, show_default=True, help="Fewest points of a stratum; 50-100."
)
@click.option(
    "--total", type=int, help="Points of all strata, dealt by area. [default: twice what the fewest take]"
)
@click.option(
    "--allocation",
    multiple=True,
    metavar="STRATUM=POINTS",
    help="Points of one stratum; again for every other. Instead of the two before.",
)
@click.option(
    "--mine",
    "mines",
    multiple=True,
    metavar="CODE",
    help="Only ground of this mine; again for more. [default: all mines]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    help="Of the draw. [default: a fresh one, which is stored]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write the points for interpreters: .gpkg or .csv."
)
@click.pass_context
def sample(
    context: click.Context,
    name: str,
    year: int,
    stratified_by: str,
    per_stratum: int,
    total: int | None,
    allocation: tuple[str, ...],
    mines: tuple[str, ...],
    seed: int | None,
    out: Path | None,
) -> None:
    """Draw random points inside mines, in every class of the map.

    Each m2 of a stratum has the same chance. An interval for one mine needs points in that mine: --mine CODE.
    Interpreters get the points without what the map shows, and fill the column class.
    """
    from ingest.sample_files import sample_file_writer

    given = [
        f"--{each.replace('_', '-')}"
        for each in ("per_stratum", "total")
        if context.get_parameter_source(each) is click.core.ParameterSource.COMMANDLINE
    ]
    if allocation and given:
        raise UsageError(f"--allocation and {given[0]} exclude each other")
    design = SampleDesign(
        year=year,
        stratified_by=stratified_by,
        mine_codes=mines or None,
        per_stratum=per_stratum,
        total=total,
        allocation=_points(allocation) or None,
        seed=seed,
    )
    write = None if out is None else sample_file_writer(out)
    is_written = False
    try:
        with transaction(Settings()) as conn:
            drawn = draw_assessment(conn, name, design)
            if write is not None:
                write(assessment_by_name(conn, name), points_of_assessment(conn, drawn.assessment_id))
                is_written = True
    except BaseException:
        if is_written and out is not None:
            out.unlink()  # nobody shall look at points that were not stored
        raise
    click.echo(
        f"{name}: {sum(len(each.numbers) for each in drawn.strata)} points in the map of {year}, seed "
        f"{drawn.seed}"
    )
    for each in drawn.strata:
        click.echo(
            f"  {each.stratum.class_key:<26}{len(each.numbers):>7,} points in "
            f"{each.stratum.area_m2 / 1e4:>16,.2f} ha"
        )
    click.echo(f"SHA-256 of design, strata and points: {drawn.sha256}")
    if out is not None:
        click.echo(f"for interpreters: {out}")


def _points(allocation: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for key, text in parse_pairs(allocation, "--allocation"):
        if key in found:
            raise UsageError(f"--allocation {key}: was stated twice")
        if not text.isdecimal() or len(text) > 9:
            raise UsageError(f"--allocation {key}={text}: {text!r} is no number of points")
        found[key] = int(text)
    return found


@assess_group.command("export")
@click.option("--name", required=True, help="The assessment.")
@click.argument("file", type=click.Path(path_type=Path))
def export(name: str, file: Path) -> None:
    """Write the points for one more interpreter: .gpkg or .csv.

    Without what the map shows, and without what others answered.
    """
    from ingest.sample_files import sample_file_writer

    write = sample_file_writer(file)
    with connect(Settings()) as conn:
        found = assessment_by_name(conn, name)
        points = points_of_assessment(conn, found.assessment_id)
    write(found, points)
    click.echo(f"{len(points)} points of {name}: {file}")


@assess_group.command("import")
@click.option("--name", required=True, help="The assessment.")
@click.argument("file")
@click.option("--interpreter", help="Who answered, where no column says it.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="OURS=THEIRS",
    help="Column THEIRS holds our field OURS; columns of the same name are found without it.",
)
@click.option("--layer", help="Layer, where the file has several.")
@click.option("--encoding", help="Encoding of the texts. [default: UTF-8, for CSV else GB 18030]")
@click.option("--replace", is_flag=True, help="Change answers that are stored and say something else.")
def import_command(
    name: str,
    file: str,
    interpreter: str | None,
    fields: tuple[str, ...],
    layer: str | None,
    encoding: str | None,
    replace: bool,
) -> None:
    """Bring what interpreters saw: CSV, GeoPackage, GeoJSON or Shapefile.

    Fields: point, class, interpreter, answered_on, note. The class is a key (open_pit), a code (6), an
    English or Chinese name, or `cannot tell`; where it is empty the point waits for an answer.
    """
    from ingest.answers import AnswersRequest, import_answers
    from ingest.files import source_file

    settings = Settings()
    request = AnswersRequest(
        source_file(file, settings.roots()),
        settings.roots(),
        interpreter=interpreter,
        fields=dict(parse_pairs(fields, "--field")),
        layer=layer,
        encoding=encoding,
        replace=replace,
    )
    with transaction(settings) as conn:
        outcome = import_answers(conn, name, request)
    click.echo(
        f"{name}: {outcome.new} answers stored, {outcome.changed} changed, {outcome.unchanged} there "
        f"already, {outcome.empty} points wait for an answer"
    )


@assess_group.command("list")
def list_command() -> None:
    """List all assessments."""
    with connect(Settings()) as conn:
        found = list_assessments(conn)
    if not found:
        click.echo("there is no assessment yet: lode assess sample --help")
    for each in found:
        click.echo(
            f"{each.name}: map of {each.year} by {each.stratified_by}, {each.scope}; "
            f"{each.answered_count} of {each.point_count} points answered; "
            f"made {each.created_at:%Y-%m-%d %H:%M} by {each.requested_by}"
        )


@assess_group.command()
@click.option("--name", required=True, help="The assessment.")
@click.option(
    "--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def report(name: str, style: str) -> None:
    """Areas with 95 % intervals, accuracies and error matrix (lode_api.area_uncertainty).

    Stratified estimates of Olofsson et al. 2014. CSV holds the areas alone, in m2; JSON everything. A stratum
    with fewer than two answers is an error.
    """
    from db.assessments.report import assessment_report
    from ingest.assess_printing import print_csv, print_json, print_tables

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = assessment_report(conn, name)
    {"csv": print_csv, "json": print_json, "table": print_tables}[style](found)
