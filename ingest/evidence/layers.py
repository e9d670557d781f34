"""Layers of evidence from raster files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.evidence import KINDS, area_by_name
from db.locks import allow_long_transaction, hold
from ingest.evidence.areas import lock_name
from ingest.evidence.elements import check_element
from ingest.evidence.gridded import RESAMPLINGS, grid_raster
from ingest.evidence.naming import NamedFile, check_name
from ingest.evidence.storing import LayerFacts, LayerOutcome, store_layer
from ingest.requests import Report

UNIT_CHARACTERS = 40


@dataclass(frozen=True)
class LayerRequest:
    """A raster as it is to become a layer.

    Attributes:
        named: the file, the layer's name, and its element where it has one.
        area: name of the study area.
        kind: one of ``db.evidence.KINDS``.
        unit: unit of its values.
        band: which of several bands, from 1.
        nodata: what marks cells without value; see ``cleaning.valid_values``.
        resampling: nearest, bilinear or average; None: as ``gridded.grid_raster`` says.
        replace: another layer of that name gives way.

    """

    named: NamedFile
    area: str
    kind: str
    unit: str | None = None
    band: int | None = None
    nodata: tuple[float, ...] = ()
    resampling: str | None = None
    replace: bool = False


def ingest_layer(
    conn: Connection[Any], request: LayerRequest, *, report: Report = lambda _line: None
) -> LayerOutcome:
    """Bring a raster onto the grid of a study area, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left. The same content under the
    same name changes nothing.

    Raises:
        UsageError: the area is unknown, the file cannot be used, says nothing about the judged ground, or
            there is another layer of that name.

    """
    named = request.named
    _check(request)
    allow_long_transaction(conn)
    hold(conn, lock_name(request.area), report)
    area = area_by_name(conn, request.area)
    sha256 = named.file.sha256()
    gridded = grid_raster(
        named.file,
        area.grid,
        kind=request.kind,
        band=request.band,
        nodata=request.nodata,
        resampling=request.resampling,
    )
    facts = LayerFacts(named.name, request.kind, named.element, request.unit, named.file.name, sha256)
    return store_layer(conn, area, facts, gridded, replace=request.replace)


def _check(request: LayerRequest) -> None:
    check_name(request.named.name, "layer name")
    if request.named.element is not None:
        check_element(request.named.element, request.named.file.name)
    check_kind(request.kind)
    if request.resampling is not None and request.resampling not in RESAMPLINGS:
        raise UsageError(
            f"--resampling {request.resampling!r} is not known: choose one of {', '.join(RESAMPLINGS)}"
        )
    check_unit(request.unit)


def check_kind(kind: str) -> None:
    """Refuse what nothing can be evidence of.

    Raises:
        UsageError: it is none of ``db.evidence.KINDS``.

    """
    if kind not in KINDS:
        raise UsageError(f"--kind {kind!r} is not known: choose one of {', '.join(KINDS)}")


def check_unit(unit: str | None) -> None:
    """Refuse a unit that cannot be shown.

    Raises:
        UsageError: it is too long, empty, or has spaces at its ends or control characters.

    """
    if unit is not None and not (
        unit.isprintable() and unit == unit.strip() and 0 < len(unit) <= UNIT_CHARACTERS
    ):
        raise UsageError(
            f"--unit {unit!r}: write it with 1 to {UNIT_CHARACTERS} printable characters, e.g. ppm, %, nT"
        )
