"""`lode prospect apply`, `list`, `targets` and `withdraw`: searches for ore and what they found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from psycopg import Connection

from db.connection import connect, database_url
from db.errors import UsageError
from db.prospect_runs import searches_report, targets_report, withdraw_search
from db.registry import EVIDENCE, model_by_name
from db.settings import Settings

if TYPE_CHECKING:  # they load numpy and torch, which the help does not need
    from db.reports.report import Report
    from inference.prospect.publishing import SearchOutcome


@click.command("apply")
@click.option(
    "--model",
    "model_name",
    required=True,
    metavar="NAME",
    help="Model of `lode train prospect` or `lode train evidence`.",
)
@click.option("--scene", "product", metavar="PRODUCT", help="Scene to search.")
@click.option("--area", help="Study area to search.")
@click.option(
    "--stride",
    "stride_px",
    type=int,
    help="Pixels from one patch to the next, and edge of the cells. [default: 5]",
)
@click.option(
    "--threshold",
    type=float,
    help="Probability from which a cell belongs to a target, 0 to 1. [default: the model's]",
)
@click.option(
    "--top",
    type=float,
    help="Of a model without labels: share of the scored ground that belongs to targets. [default: 0.05]",
)
@click.option(
    "--least-cells", type=int, default=1, show_default=True, help="Smaller targets are left out, cells."
)
@click.option("--most-targets", type=int, default=500, show_default=True, help="So many targets are stored.")
@click.option("--again", "is_again", is_flag=True, help="Publish anew and withdraw the earlier search.")
@click.option("--device", "device_name", metavar="NAME", help="cpu, cuda, cuda:1 [default: CUDA if any].")
def apply_(
    model_name: str,
    product: str | None,
    area: str | None,
    stride_px: int | None,
    threshold: float | None,
    top: float | None,
    least_cells: int,
    most_targets: int,
    is_again: bool,
    device_name: str | None,
) -> None:
    """Search a scene or a study area for ore and publish what was found.

    Published are the probability of every cell, as polygons and as a raster, and the targets: connected
    cells from the threshold on, ranked, with what lies near them and what speaks for them. A cell's
    probability is the mean over the patches that hold it. A model of `lode train evidence` gives every cell
    of a study area anomaly, favourability and prospectivity instead, with their spread over its seeds, and
    the best cells with reasons.

    Other ground than that of training is taken when it has the same wavelengths or layers, level and cell
    size; how far it lies from what the model knows is told and stored. The same search is published once:
    asked again, nothing changes. Where faults or plutons that matter to this ground were edited, or a newer
    version of the scene was brought in, it is another search.
    """
    url = database_url(Settings())
    common: dict[str, Any] = {
        "model_name": model_name,
        "least_cells": least_cells,
        "most_targets": most_targets,
        "is_again": is_again,
        "device_name": device_name,
    }
    with connect(url) as conn:
        is_evidence = model_by_name(conn, model_name).task == EVIDENCE
    if is_evidence:
        _refuse_others(model_name, {"--scene": product, "--stride": stride_px, "--threshold": threshold})
        if area is None:
            raise UsageError(f"model {model_name} works on evidence: name a study area to search (--area)")
        outcome = _search_evidence(url, {**common, "area": area, "top": 0.05 if top is None else top})
    else:
        _refuse_others(model_name, {"--top": top})
        ground = {"product": product, "area": area, "threshold": threshold}
        outcome = _search_patches(
            url, {**common, **ground, "stride_px": 5 if stride_px is None else stride_px}
        )
    for line in outcome_lines(outcome):
        click.echo(line)


def _search_patches(url: str, request: dict[str, Any]) -> SearchOutcome:
    from inference.prospect.apply import SearchRequest, search_ground

    return search_ground(url, SearchRequest(**request), report=_tell)


def _search_evidence(url: str, request: dict[str, Any]) -> SearchOutcome:
    from inference.evidence.search import EvidenceSearch, search_evidence

    return search_evidence(url, EvidenceSearch(**request), report=_tell)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _refuse_others(model_name: str, said: dict[str, Any]) -> None:
    """Refuse options that mean nothing to a model.

    Raises:
        UsageError: one was given.

    """
    surplus = [option for option, value in said.items() if value is not None]
    if surplus:
        raise UsageError(f"{', '.join(surplus)} means nothing to model {model_name}: leave it out")


def outcome_lines(outcome: SearchOutcome) -> Iterator[str]:
    """What a search did, in lines."""
    figures = outcome.figures
    found = (
        f"{figures['cells']:,} cells, {figures['targets']:,} targets over "
        f"{figures['target_area_m2'] / 1e6:.3f} km2"
    )
    if outcome.was_there:
        yield (
            f"{outcome.ground}: search {outcome.run_id} is there ({found}), nothing was published; make it "
            "again with --again"
        )
        return
    seconds = figures["seconds"]
    yield (
        f"{outcome.ground}: search {outcome.run_id} published {found} ({seconds['read']:.1f} s reading, "
        f"{seconds['score']:.1f} s scoring; {outcome.device})"
    )
    if outcome.withdrew:
        yield f"withdrawn for it: search {', '.join(map(str, outcome.withdrew))}"
    if outcome.beside:
        others = ", ".join(map(str, outcome.beside))
        were = f"searches {others} were" if len(outcome.beside) > 1 else f"search {others} was"
        yield (
            f"of the same model over the same ground, {were} not withdrawn: take back what shall not count "
            "with `lode prospect withdraw`"
        )
    yield f"its targets: lode prospect targets --run {outcome.run_id}"


@click.command("list")
@click.option("--all", "show_all", is_flag=True, help="Also what was withdrawn or superseded.")
def list_(show_all: bool) -> None:
    """List the sets of patches and the searches (lode_api.prospect_history)."""
    from db.reports.table import print_table

    with connect(Settings()) as conn:
        sets = _sets_report(conn)
        searches = searches_report(conn, with_all=show_all)
    print_table(sets, title="Sets of patches")
    print_table(searches, title="Searches")


def _sets_report(conn: Connection[Any]) -> Report:
    from db.evidence import list_areas
    from db.prospect_sets import list_prospect_sets
    from db.reports.report import Report
    from db.scenes import scene_by_id

    areas = {area.evidence_area_id: area.name for area in list_areas(conn)}
    rows = []
    for each in list_prospect_sets(conn):
        scene_id, area_id = each.scene_id, each.evidence_area_id
        ground = areas.get(area_id or 0) if scene_id is None else scene_by_id(conn, scene_id).product
        parts = (each.parameters.get("patches") or {}).values()
        positive, negative = (
            sum(part.get(label, 0) for part in parts) if parts else None for label in ("positive", "negative")
        )
        rows.append(
            (
                *(each.name, ground, len(each.channels), each.patch_px, each.spacing_m, positive, negative),
                *(len(each.deposit_ids), each.split_rule),
                each.created_at.replace(microsecond=0, tzinfo=None),
            )
        )
    columns = ("set", "ground", "channels", "patch_px", "spacing_m", "positive", "negative", "deposits")
    return Report((*columns, "split_rule", "created_at"), rows)


@click.command()
@click.option("--run", "run_id", type=int, help="The search. [default: the last that was published]")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many, the best first."
)
def targets(run_id: int | None, limit: int) -> None:
    """List the targets of a search (lode_api.prospect_target), the best first.

    Distances are those when it was searched. Of the evidence that is named which stands out most: its value
    and, in brackets, how many deviations it lies above the ground that was judged. Latitude and longitude
    are those of a point within the target.
    """
    from db.reports.table import print_table

    with connect(Settings()) as conn:
        found, report = targets_report(conn, run_id, limit)
    print_table(report, title=f"Targets of search {found}")


@click.command()
@click.argument("run_id", type=int, metavar="SEARCH")
@click.option("--reason", required=True, help="Kept with the search.")
def withdraw(run_id: int, reason: str) -> None:
    """Take a search out of maps and lists; its cells and targets are kept, and shown no more."""
    with connect(Settings()) as conn:
        withdraw_search(conn, run_id, reason)
        conn.commit()
    click.echo(f"search {run_id} was withdrawn; its cells and targets are shown no more")
