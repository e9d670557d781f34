"""``lode source ...``: where scenes come from by themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from db.connection import connect, database_url
from db.errors import UsageError
from db.ingest_items import count_by_status, waiting_items
from db.ingest_lists import item_list, source_list
from db.ingest_retries import begun_items, retry_failed, retry_left
from db.ingest_sources import (
    KINDS,
    NewSource,
    add_source,
    enqueue_scan,
    remove_source,
    set_enabled,
    source_by_name,
)
from db.reports.report import Report, csv_text, json_text
from db.settings import Settings

_LISTED = (
    "name", "kind", "enabled", "cron", "next_scan_at", "last_scan_at", "model", "under_way_count",
    "stored_count", "published_count", "skipped_count", "failed_count", "changed_by", "last_error",
)  # fmt: skip
_HELD = "another process is at it"
_LEFT = "its process is gone: it is taken six hours after that was last heard of, at once with --retry"
_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def source_group() -> None:
    """Folders and catalogues that scenes come from by themselves."""


@source_group.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What it is.")
@click.option("--location", required=True, help="Folder, catalogue file, or http(s) address.")
@click.option(
    "--collection", "collections", multiple=True, help="Only this STAC collection; may be repeated."
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of `lode ingest scene`, e.g. sensor=gf2_pms or register=false; may be repeated.",
)
@click.option("--area", metavar="FILE", help="Vector file: only scenes that meet its polygons.")
@click.option(
    "--mine", "mines", multiple=True, metavar="CODE", help="Only scenes that meet it; may be repeated."
)
@click.option(
    "--cloud-limit", type=click.FloatRange(0, 1), help="Only scenes clouded no more than this, 0..1."
)
@click.option("--from", "from_day", type=_DAY, help="Only scenes of this day (UTC) or later.")
@click.option("--to", "to_day", type=_DAY, help="Only scenes of this day (UTC) or earlier.")
@click.option(
    "--model", "model_name", metavar="NAME", help="Network that interprets them. [default: none does]"
)
@click.option("--becomes-current", is_flag=True, help="Its runs stand for their scenes even where others do.")
@click.option("--report-folder", help="Where reports go, below LODE_REPORT_ROOT. [default: there are none]")
@click.option("--cron", help="When to look, five fields, UTC, e.g. '0 3 * * *'. [default: only when asked]")
@click.option(
    "--settle",
    "settle_s",
    type=click.IntRange(0, 86_400),
    default=60,
    show_default=True,
    help="Seconds without a change after which a file in a folder is complete.",
)
@click.option("--paused", is_flag=True, help="Add it, but do not begin.")
def add(
    name: str,
    kind: str,
    location: str,
    collections: tuple[str, ...],
    options: tuple[str, ...],
    area: str | None,
    mines: tuple[str, ...],
    cloud_limit: float | None,
    from_day: datetime | None,
    to_day: datetime | None,
    model_name: str | None,
    becomes_current: bool,
    report_folder: str | None,
    cron: str | None,
    settle_s: int,
    paused: bool,
) -> None:
    """Add a folder, a STAC API or a static STAC catalogue.

    Without --area and --mine the scenes that meet any mine are wanted. Passwords and keys are no part of a
    source: LODE_STAC_HEADERS_FILE names a file of headers by host on each worker, and ~/.netrc is read.
    """
    from db.registry import model_by_name, require_in_service
    from ingest.sources.options import scene_options
    from ingest.sources.web import is_web

    settings = Settings()
    said = dict(_option(each) for each in options)
    scene_options(said, settings.roots())
    with connect(settings) as conn:
        model_id = None
        if model_name is not None:
            model = model_by_name(conn, model_name)
            require_in_service(model)
            model_id = model.model_id
        add_source(
            conn,
            NewSource(
                name=name,
                kind=kind,
                location=location if is_web(location) or "://" in location else os.path.abspath(location),
                collections=collections,
                options=said,
                area=None if area is None else _area(area, settings.roots()),
                mine_codes=mines or None,
                cloud_limit=cloud_limit,
                from_day=None if from_day is None else from_day.date(),
                to_day=None if to_day is None else to_day.date(),
                model_id=model_id,
                becomes_current=becomes_current,
                report_folder=report_folder,
                cron=cron,
                is_enabled=not paused,
                settle_s=settle_s,
            ),
        )
    when = "only when asked (lode source run)" if cron is None else f"at {cron} (UTC), by workers"
    click.echo(f"added source {name}; it is looked through {when}{', once resumed' if paused else ''}")


@source_group.command("list")
@click.option(
    "--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def list_(style: str) -> None:
    """List sources: when each is due, what went wrong, how far its scenes are.

    Rows of lode_api.ingest_source_status; CSV and JSON have all columns but the area.
    """
    with connect(Settings()) as conn:
        found = source_list(conn)
    if style == "csv":
        click.echo(csv_text(found), nl=False)
    elif style == "json":
        click.echo(json_text(found), nl=False)
    elif found.rows:
        _print(found, _LISTED, "Sources")
    else:
        click.echo("there is no source; `lode source add` adds one")


@source_group.command("show")
@click.argument("name")
@click.option("--all", "show_all", is_flag=True, help="Also what was reported or not wanted.")
def show(name: str, show_all: bool) -> None:
    """Show a source and what was found in it (lode_api.ingest_item_status)."""
    with connect(Settings()) as conn:
        source_by_name(conn, name)
        row = next(each for each in source_list(conn).dicts() if each["name"] == name)
        items = item_list(conn, name, show_all=show_all)
    width = max(map(len, row))
    for key, value in row.items():
        if value not in (None, ""):
            click.echo(f"{key:<{width}}  {value}")
    if items.rows:
        _print(items, items.columns, "Scenes")


@source_group.command("run")
@click.argument("name")
@click.option(
    "--retry",
    is_flag=True,
    help="Begin anew what failed, also its interpretation, and at once what a process left that is gone.",
)
@click.option("--queue", is_flag=True, help="Only put a job into the queue, for the workers.")
def run(name: str, retry: bool, queue: bool) -> None:
    """Look through a source now, fetch and ingest what is new.

    This process does it and needs no worker. Where the source names a network, interpretation is put into the
    queue. What another process is at is left to it. Exit code 1 where a scene failed; the others are stored.
    """
    from ingest.sources.ingesting import ingest_item
    from ingest.sources.scanning import scan

    settings = Settings()
    url = database_url(settings)
    with connect(url) as conn:
        source = source_by_name(conn, name)
        if retry:
            click.echo(f"{retry_failed(conn, source.ingest_source_id)} that failed begin anew")
            if left := retry_left(conn, source.ingest_source_id):
                click.echo(f"{left} that were left by a process that is gone begin anew")
        if queue:
            made = enqueue_scan(conn, source.ingest_source_id)
            click.echo("a job was put into the queue" if made else "a job waits already")
            return
    outcome = scan(url, source.ingest_source_id, _quiet, roots=settings.roots(), is_by_hand=True)
    click.echo(
        f"{outcome.listed} scenes are there: {outcome.new} new, {outcome.skipped} not wanted, "
        f"{outcome.unsettled} still being written, {len(outcome.refused)} refused"
    )
    for reason in outcome.refused:
        click.echo(f"refused: {reason}", err=True)
    with connect(url) as conn:
        waiting = waiting_items(conn, source.ingest_source_id)
        for item_id, key, is_held in begun_items(conn, source.ingest_source_id):
            if item_id not in waiting:
                click.echo(f"{key}: {_HELD if is_held else _LEFT}")
    failed = 0
    for item_id in waiting:
        try:
            done = ingest_item(url, item_id, _quiet, roots=settings.roots(), is_by_hand=True)
        except UsageError as error:
            failed += 1
            click.echo(f"failed: {error}", err=True)
            continue
        click.echo(
            _told(done.status, done.key, done.reason, done.product, done.version, done.is_new, done.run_id)
        )
    with connect(url) as conn:
        counts = count_by_status(conn, source.ingest_source_id)
    click.echo("in all: " + (", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing"))
    if failed or outcome.refused:
        raise UsageError(f"source {name}: {failed} failed and {len(outcome.refused)} were refused")


def _told(
    status: str, key: str | None, reason: str | None, product: str | None, version: int | None, is_new: bool,
    run_id: int | None,
) -> str:  # fmt: skip
    if reason is not None:
        return f"{key}: {reason}"
    if product is None:
        return f"another process was quicker: {status}"
    stored = f"stored as scene {product} version {version}" if is_new else f"was there as scene {product}"
    return f"{key}: {stored}" + ("" if run_id is None else f"; run {run_id} waits for a worker")


@source_group.command("pause")
@click.argument("name")
def pause(name: str) -> None:
    """Stop looking through a source; what is under way stays where it is."""
    _enable(name, False)


@source_group.command("resume")
@click.argument("name")
def resume(name: str) -> None:
    """Go on with a source that was paused."""
    _enable(name, True)


def _enable(name: str, is_enabled: bool) -> None:
    with connect(Settings()) as conn:
        set_enabled(conn, source_by_name(conn, name).ingest_source_id, is_enabled)
    click.echo(f"source {name} is {'at work' if is_enabled else 'paused'}")


@source_group.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove a source and the list of what was found in it; scenes stay."""
    with connect(Settings()) as conn:
        count = remove_source(conn, source_by_name(conn, name).ingest_source_id)
    click.echo(f"removed source {name} with its list of {count} scenes; the scenes themselves stay")


def _quiet(_stage: str, _done: int, _total: int) -> None:
    return None


def _option(text: str) -> tuple[str, Any]:
    """Name and value; a value is JSON where it can be (numbers, true, false), else text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--option {text}: a name and a value are wanted, such as sensor=gf2_pms")
    try:
        parsed = json.loads(value)
    except ValueError:
        return key.strip(), value
    return key.strip(), value if isinstance(parsed, Mapping) else parsed


def _area(path: str, roots: Sequence[Path]) -> Any:
    """The polygons of a vector file as one shape, EPSG:4326."""
    import shapely

    from ingest.files import source_file
    from ingest.geometry import storable_shapes
    from ingest.requests import crs_of
    from ingest.sources.stac_items import polygons_of
    from ingest.vectors import read_features

    table = read_features(source_file(path, roots), roots)
    found = storable_shapes(table, crs_of(table, None), "polygons", repair=False)
    merged = polygons_of(shapely.union_all(found.geometries))
    if merged is None:
        raise UsageError(f"--area {path}: there is no polygon in it")
    return merged


def _print(report: Report, columns: Sequence[str], title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    for name in columns:
        table.add_column(name.removesuffix("_count").removesuffix("_at").replace("_", " "))
    for row in report.dicts():
        table.add_row(*(escape(_cell(row[name])) for name in columns))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bool):
        return "yes" if value else "paused"
    return str(value)
