"""`lode campaign`: interpret many scenes on a Ray cluster."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from db.connection import connect, database_url
from db.errors import UsageError
from db.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection

    from db.campaigns import Target
    from service.campaign import Progress
    from service.campaign_runs import Report


@click.command()
@click.option("--model", "model_name", required=True, metavar="NAME", help="Network, see `lode model list`.")
@click.option("--scene", "products", multiple=True, metavar="PRODUCT", help="A scene; may be given again.")
@click.option("--year", type=click.IntRange(1, 9999), help="All scenes of a year.")
@click.option("--mine", "mine_code", metavar="CODE", help="With --year: only scenes over this mine.")
@click.option("--all", "all_scenes", is_flag=True, help="All scenes.")
@click.option("--ray", "address", metavar="ADDRESS", help="Ray cluster: auto or HOST:PORT [default: here].")
@click.option("--actors", type=click.IntRange(min=1), help="Processes that compute [default: as fit].")
@click.option(
    "--gpus-per-actor",
    type=click.FloatRange(0, 1),
    metavar="GPUS",
    help="0 computes on cores [default: 1 where the cluster has GPUs].",
)
@click.option(
    "--cpus-per-actor", type=click.IntRange(min=1), default=1, show_default=True, help="Cores of each."
)
@click.option("--make-current", is_flag=True, help="Let runs stand for their scenes even if others do.")
def campaign(
    model_name: str,
    products: tuple[str, ...],
    year: int | None,
    mine_code: str | None,
    all_scenes: bool,
    address: str | None,
    actors: int | None,
    gpus_per_actor: float | None,
    cpus_per_actor: int,
    make_current: bool,
) -> None:
    """Interpret many scenes on a Ray cluster.

    Blocks of large scenes are shared by all actors, and each run is published in one transaction, as workers
    of the queue do it. What is published already is not computed again: interrupted, the same command goes on
    where it ended. Ends with 1 if a scene could not be published.
    """
    _require_one_choice(products, year, mine_code, all_scenes)
    try:
        from service.campaign_cluster import CrewOptions, cluster
        from service.campaign_ray import RayCrew
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "ray":
            raise
        raise UsageError("Ray is not installed: pip install 'lode[cluster]'") from error
    from db.watch import require_current
    from service.campaign import Campaign
    from service.campaign_runs import RunBook

    url = database_url(Settings())
    with connect(url, application_name="lode campaign") as conn:
        require_current(conn)
        model_id, targets = _chosen(conn, model_name, products, year, mine_code)
    stop = threading.Event()
    book = RunBook(url, model_id, becomes_current=make_current, beat=_beat_of(stop))
    options = CrewOptions(actors, gpus_per_actor, cpus_per_actor)
    reports: list[Report] = []
    try:
        with closing(book), _screen(len(targets)) as (say, show):
            work = Campaign(book, targets, report=lambda each: say(line_of(each)), show=show, stop=stop)
            reports = work.reports
            book.open()
            if work.has_work():
                with cluster(address, options), _stopping(stop, say):
                    crew = RayCrew(url, book.mark, options, say)
                    say(f"{len(targets)} scenes, {len(crew)} actors ({crew.device})")
                    work.run(crew)
    except UsageError:  # no actor stayed alive, or the database stayed away
        if reports:
            print_reports(reports)
        raise
    print_reports(reports)
    if stop.is_set():
        say(f"{len(targets) - len(reports)} scenes are not done; the same command goes on with them")
        raise KeyboardInterrupt
    if not all(report.is_published for report in reports):
        raise click.exceptions.Exit(1)


def _require_one_choice(
    products: tuple[str, ...], year: int | None, mine_code: str | None, all_scenes: bool
) -> None:
    if mine_code is not None and year is None:
        raise UsageError(f"--mine {mine_code}: name the year of its scenes with --year")
    if sum((bool(products), year is not None, all_scenes)) != 1:
        raise UsageError("say which scenes: --scene PRODUCT, --year YEAR, --mine CODE --year YEAR, or --all")


def _chosen(
    conn: Connection[Any], model_name: str, products: Sequence[str], year: int | None, mine_code: str | None
) -> tuple[int, list[Target]]:
    """Key of the network, and the scenes it is to interpret.

    Scenes that are named are taken, whatever becomes of them; of a year only those that the network can take.
    """
    from db.campaigns import Target, targets
    from db.registry import model_by_name, require_in_service
    from db.scenes import scene_by_product

    record = model_by_name(conn, model_name)
    require_in_service(record)
    if products:
        scenes = [scene_by_product(conn, product) for product in dict.fromkeys(products)]
        return record.model_id, [Target(scene.scene_id, scene.product, True) for scene in scenes]
    found = targets(conn, record.model_id, year=year, mine_code=mine_code)
    fitting = [target for target in found if target.is_suitable]
    if not fitting:
        raise UsageError(
            f"model {model_name} fits none of the {len(found)} scenes: other bands, another resolution or"
            " another processing level; see `lode model show` and `lode scene list`"
        )
    if len(fitting) < len(found):
        click.echo(
            f"{len(found) - len(fitting)} scenes do not fit model {model_name} and are left out", err=True
        )
    return record.model_id, fitting


def _beat_of(stop: threading.Event) -> Callable[[str, int, int], None]:
    """A beat that ends the waiting for a database when the campaign is to stop."""
    from db.errors import InterruptionError

    def beat(_stage: str, _done: int, _total: int) -> None:
        if stop.is_set():
            raise InterruptionError(is_cancelled=False)

    return beat


@contextmanager
def _stopping(stop: threading.Event, say: Callable[[str], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the campaign in good order, and a second one at once."""

    def asked(number: int, _frame: object) -> None:
        if stop.is_set():
            signal.default_int_handler(number, None)
        stop.set()
        say("giving back what is not done; once more ends at once")

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _screen(scenes: int) -> Iterator[tuple[Callable[[str], None], Callable[[Progress], None]]]:
    """A bar of scenes on a terminal, and lines above it; elsewhere lines only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("starting", total=scenes)

        def say(line: str) -> None:
            console.print(line, markup=False)

        def show(progress: Any) -> None:
            text = (
                f"{progress.done} of {progress.scenes} scenes, {progress.running} tasks, "
                f"{progress.staged} of {progress.blocks} blocks under way staged"
            )
            if progress.elsewhere:
                text += f", {progress.elsewhere} scenes held by others"
            if progress.resting:
                text += f", {progress.resting} actors rest: {progress.ailment}"
            bar.update(task, description=text, completed=progress.share)

        yield say, show


def line_of(report: Report) -> str:
    """What became of a scene, in a line."""
    run = "" if report.run_id is None else f"run {report.run_id} "
    said = f"{report.product}: {run}{report.outcome}"
    if "polygons" in report.figures:
        km2 = report.figures["observed_area_m2"] / 1e6
        said += f", {report.figures['polygons']:,} polygons over {km2:.3f} km2"
    return f"{said}: {report.reason}" if report.reason else said


def print_reports(reports: Sequence[Report]) -> None:
    """A table of all scenes, those that were not published last."""
    from db.reports.report import Report as Rows
    from db.reports.table import print_table

    ordered = sorted(reports, key=lambda each: (not each.is_published, each.product))
    rows = [
        (
            each.product,
            each.run_id,
            each.outcome,
            each.figures.get("polygons"),
            each.figures.get("observed_area_m2"),
            each.reason,
        )
        for each in ordered
    ]
    columns = ("product", "run_id", "outcome", "polygons", "observed_area_m2", "reason")
    published = sum(each.is_published for each in reports)
    print_table(Rows(columns, rows), title=f"{published} of {len(reports)} scenes are published")
