"""What was asked of a vector file, what became of it, and when nothing has to be done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.locks import allow_long_transaction, hold
from db.sources import FeatureSource, sources_of_name
from ingest.crs import FileCrs, file_crs
from ingest.files import SourceFile
from ingest.vectors import FeatureTable

Report = Callable[[str], None]


@dataclass(frozen=True)
class FeatureRequest:
    """How a file of features is to be read.

    Attributes:
        file: the file.
        roots: folders that parts of a shapefile must lie in; empty: any.
        layer: which layer, where there are several.
        fields: column by field of ours.
        only: (column, value): only features with these values are read.
        srid: EPSG code of the coordinates where the file states no CRS.
        encoding: encoding of a shapefile's texts.
        repair: make invalid shapes valid.
        replace: what was stored under the same source name is deleted first.
        source_name: name the file is known by; by default its own, with the layer.

    """

    file: SourceFile
    roots: tuple[Path, ...] = ()
    layer: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    only: tuple[tuple[str, str], ...] = ()
    srid: int | None = None
    encoding: str | None = None
    repair: bool = False
    replace: bool = False
    source_name: str | None = None

    def digest(self, **more: Any) -> str:
        """SHA-256 of the options that decide what is stored; equal options give equal digests."""
        options = {
            "layer": self.layer,
            "fields": dict(sorted(self.fields.items())),
            "only": sorted(self.only),
            "srid": self.srid,
            "encoding": self.encoding,
            "repair": self.repair,
            **more,
        }
        return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class FeatureOutcome:
    """What became of a file of features.

    Attributes:
        kind: labels, mines, regions, faults, plutons, lithology or deposits.
        source_name: name the file is known by.
        is_new: False when the same file was there already and nothing happened.
        stored: features stored.
        repaired: of them, repaired.
        ignored: features left out because their class is ignored.
        replaced: features of an older source that were deleted.
        notes: what the user should know.
        updated, unchanged: mines or regions that were there already.

    """

    kind: str
    source_name: str
    is_new: bool
    stored: int
    repaired: int = 0
    ignored: int = 0
    replaced: int = 0
    notes: tuple[str, ...] = ()
    updated: int = 0
    unchanged: int = 0


def begin(conn: Connection[Any], kind: str, report: Report) -> None:
    """Keep two ingests of one kind from crossing; released at the end of the transaction."""
    allow_long_transaction(conn)
    hold(conn, f"ingest of {kind}", report)


def replaced_sources(conn: Connection[Any], kind: str, name: str, *, replace: bool) -> list[FeatureSource]:
    """Sources of the same name, which are to be replaced.

    Raises:
        UsageError: there are some, and nobody asked for that.

    """
    older = sources_of_name(conn, kind, name)
    if older and not replace:
        count = sum(source.feature_count for source in older)
        raise UsageError(
            f"{count} {kind} from {name!r} are in the database already, from other content or read with "
            "other options: --replace deletes them and stores the new ones; --source-name NAME keeps both, "
            "when this is another file of the same name"
        )
    return older


def source_name(request: FeatureRequest, table_name: str) -> str:
    """Name a file is known by.

    Raises:
        UsageError: the stated name is empty or has control characters.

    """
    name = table_name if request.source_name is None else request.source_name
    if not name.strip() or not name.isprintable():
        raise UsageError(
            f"the source name {name!r} is empty or holds control characters; state --source-name"
        )
    return name


def crs_of(table: FeatureTable, srid: int | None) -> FileCrs:
    """The CRS of a table's coordinates.

    Raises:
        UsageError: neither the file nor the user states one, both do and differ, or it cannot be used.

    """
    if table.crs is None or "Undefined" in table.crs:
        if srid is None:
            raise UsageError(
                f"{table.name}: states no coordinate reference system; say which with --srid (EPSG code)"
            )
        return file_crs(f"EPSG:{srid}", f"--srid {srid}")
    crs = file_crs(table.crs, table.name)
    if srid is not None and srid != crs.srid:
        raise UsageError(
            f"{table.name}: states {crs.name} as its coordinate reference system; --srid is for files that "
            "state none"
        )
    return crs


def crs_notes(crs: FileCrs) -> tuple[str, ...]:
    """Warnings about the transformation to WGS 84."""
    doubt = crs.doubt()
    return (f"warning: {doubt}",) if doubt else ()


def parse_pairs(given: Sequence[str], option: str) -> tuple[tuple[str, str], ...]:
    """Split options like ``ours=theirs``.

    Raises:
        UsageError: one has no ``=``.

    """
    pairs = []
    for text in given:
        left, sign, right = text.partition("=")
        if not sign or not left:
            raise UsageError(f"{option} {text!r}: write it as NAME=VALUE")
        pairs.append((left, right))
    return tuple(pairs)
