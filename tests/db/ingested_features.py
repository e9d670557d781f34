"""Files of labels, mines and geology, ingested, and what the tables hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shapely
from psycopg import Connection

from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.ground import ingest_geology, ingest_mines
from ingest.labels import ingest_labels
from ingest.requests import FeatureOutcome, FeatureRequest
from tests.ingest_files import square, write_geojson

ODD_NAME = 'Robert\'); drop table lode.mine; -- "x" %s 石灰石矿' + "长" * 40
TABLES = ("label", "mine", "fault", "pluton", "deposit", "feature_source")
BOW_TIE = shapely.from_wkt("POLYGON ((87 44, 87.1 44.1, 87.1 44, 87 44.1, 87 44))")


def labels(
    conn: Connection[Any], path: Path, about: Mapping[str, Any] | None = None, **request: Any
) -> FeatureOutcome:
    return ingest_labels(conn, FeatureRequest(source_file(path), **request), LabelRequest(**(about or {})))


def mines(conn: Connection[Any], path: Path, **request: Any) -> FeatureOutcome:
    return ingest_mines(conn, FeatureRequest(source_file(path), **request))


def geology(conn: Connection[Any], kind: str, path: Path, **request: Any) -> FeatureOutcome:
    return ingest_geology(conn, kind, FeatureRequest(source_file(path), **request))


def counts(conn: Connection[Any]) -> dict[str, int]:
    found = {}
    for table in TABLES:
        row = conn.execute(f"select count(*) from lode.{table}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        found[table] = row[0]
    return found


def label_file(path: Path, classes: Sequence[Any] = ("open_pit", "堆放场", 2), year: Any = 2021) -> Path:
    squares = [square(87 + index / 10, 43.9) for index in range(len(classes))]
    return write_geojson(path, squares, [{"class": name, "year": year} for name in classes])


def mine_file(path: Path, codes: Sequence[Any] = ("A", "B"), *, side: float = 0.01, **columns: Any) -> Path:
    """Mines whose place follows from the first letter of their code."""
    squares = [square(80 + ord(str(code)[0]) / 10, 43.9, side) for code in codes]
    return write_geojson(path, squares, [{"code": code, "name": f"mine {code}"} | columns for code in codes])
