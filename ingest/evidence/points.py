"""Layers of evidence from files of samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.evidence import EvidenceArea, area_by_name, find_layer
from db.locks import allow_long_transaction, hold
from ingest.evidence.areas import lock_name
from ingest.evidence.contents import read_contents
from ingest.evidence.layers import check_kind, check_unit
from ingest.evidence.placed import METHODS, GriddingSettings, PlacedSamples, place_samples
from ingest.evidence.point_files import SampleReading, read_samples
from ingest.evidence.point_gridding import grid_samples
from ingest.evidence.storing import LayerFacts, LayerOutcome, refuse_other, store_layer
from ingest.evidence.value_columns import ColumnChoice, value_columns
from ingest.requests import Report


@dataclass(frozen=True)
class PointRequest:
    """A file of samples as it is to become layers.

    Attributes:
        reading: the file, and how it is to be read.
        area: name of the study area.
        kind: one of ``db.evidence.KINDS``.
        choice: which columns become layers.
        settings: how they are gridded.
        nodata: numbers that mark samples without a value; see ``contents.read_contents``.
        replace: other layers of those names give way.

    """

    reading: SampleReading
    area: str
    kind: str
    choice: ColumnChoice = field(default_factory=ColumnChoice)
    settings: GriddingSettings = field(default_factory=GriddingSettings)
    nodata: tuple[float, ...] = ()
    replace: bool = False


def ingest_points(
    conn: Connection[Any], request: PointRequest, *, report: Report = lambda _line: None
) -> list[LayerOutcome]:
    """Grid the columns of a file of samples as layers, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left. Every column is looked at
    before the first is gridded. The same samples under the same name, gridded the same way, change nothing.

    Returns:
        What became of each column, in order.

    Raises:
        UsageError: the area is unknown, the file or a column cannot be used, says nothing about the judged
            ground, or there is another layer of that name.

    """
    _check(request)
    allow_long_transaction(conn)
    hold(conn, lock_name(request.area), report)
    area = area_by_name(conn, request.area)
    samples = read_samples(request.reading, area.grid)
    source = samples.table.name
    prepared: list[tuple[LayerFacts, PlacedSamples]] = []
    for column in value_columns(samples, request.choice, kind=request.kind):
        contents = read_contents(samples.table, column.column, kind=request.kind, nodata=request.nodata)
        placed = place_samples(samples, column.column, contents, area.grid, request.settings)
        facts = LayerFacts(
            column.name, request.kind, column.element, column.unit, source, samples.table.sha256
        )
        prepared.append((facts, placed))
    outcomes = [_unchanged(conn, area, facts, placed, request) for facts, placed in prepared]
    return [
        there
        or store_layer(
            conn,
            area,
            facts,
            grid_samples(placed, area.grid, unit=facts.unit, report=report),
            replace=request.replace,
        )
        for there, (facts, placed) in zip(outcomes, prepared, strict=True)
    ]


def _unchanged(
    conn: Connection[Any],
    area: EvidenceArea,
    facts: LayerFacts,
    placed: PlacedSamples,
    request: PointRequest,
) -> LayerOutcome | None:
    """Find the layer that would be made, before the minutes that this may take.

    Raises:
        UsageError: there is another of that name, which nobody allowed to replace.

    """
    there = find_layer(conn, area, facts.name)
    if there is None:
        return None
    differences = [
        fact for fact in ("kind", "element", "unit") if getattr(there, fact) != getattr(facts, fact)
    ]
    if there.gridding is None or there.gridding.get("digest") != placed.digest:
        differences.insert(0, "content")
    if not differences:
        return LayerOutcome(there, False, False, ())
    refuse_other(there, facts, area, differences, replace=request.replace)
    return None


def _check(request: PointRequest) -> None:
    check_kind(request.kind)
    check_unit(request.choice.unit)
    settings = request.settings
    if settings.method is not None and settings.method not in METHODS:
        raise UsageError(f"--gridding {settings.method!r} is not known: choose one of {', '.join(METHODS)}")
    if settings.neighbours is not None and not 4 <= settings.neighbours <= 100:
        raise UsageError(f"--neighbours {settings.neighbours}: give a number from 4 to 100")
    if settings.reach_m is not None and not 0 < settings.reach_m < 1e7:
        raise UsageError(f"--reach-m {settings.reach_m:g}: give a distance in metres, above 0")
