"""``lode report prospect``: where ore may lie, as rows, a file, or a page."""

from __future__ import annotations

import click

from db.connection import connect, read_as_of_now
from db.settings import Settings
from reporting.command_delivery import Delivery, delivered, write_layers, write_page, write_rows


@click.command("prospect")
@click.option("--run", "run_id", type=int, metavar="N", help="The search. [default: the last that stands]")
@click.option(
    *("--targets", "limit"),
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="So many targets, the best first.",
)
@delivered
def prospect(delivery: Delivery, run_id: int | None, limit: int) -> None:
    """Where ore may lie: a search's map, targets and model.

    As html, the map of scores beside faults, plutons and known deposits, the targets, and what the model is
    worth: on ground it was not shown, or, of a search that learned from no deposit, held against known ones
    (`lode prospect evaluate`). As table or json, every table of it; as csv, the one that --table names:
    targets, search, figures, confusion, patches, importance, channels or warnings; or, without deposits,
    targets, search, figures, differences, reasons, system, training, channels or warnings. As gpkg, targets
    and all cells. A withdrawn or superseded search is shown when --run names it, and is marked.
    """
    from db.reports import prospectivity, prospects
    from reporting.prospect_page import prospect_page
    from reporting.prospect_report import as_facts, gather_search

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = gather_search(conn, run_id, limit)
        head = found.head
        mark = "" if found.stands else f" ({head.status.upper()})"
        title = f"Search {head.search} of {head.ground}{mark}"
        if delivery.style == "html":
            write_page(delivery, prospect_page(conn, found, delivery.language))
        elif delivery.style == "gpkg":
            source = prospectivity if head.score_kind == prospectivity.PROSPECTIVITY else prospects
            layers = {
                "targets": source.target_layer(conn, head, limit),
                "cells": source.cell_layer(conn, head.search),
            }
            write_layers(delivery, layers, found.tables, about=title)
        else:
            tables = found.tables
            if delivery.style == "table":
                tables = {**tables, "search": as_facts(tables["search"])}
            write_rows(delivery, title, tables)
    if found.is_withdrawn:
        click.echo(f"search {head.search} was withdrawn: {head.withdrawn_reason}", err=True)
    if found.is_superseded:
        click.echo(
            f"search {head.search} is of an earlier version of scene {head.ground}: search it again", err=True
        )
