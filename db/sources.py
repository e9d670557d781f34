"""The files that features came from: all SQL about ``lode.feature_source``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection


@dataclass(frozen=True)
class FeatureSource:
    """A file that features were read from.

    Attributes:
        feature_source_id: key.
        kind: labels, mines, regions, faults, plutons or deposits.
        name: file name, and layer where it has several.
        sha256: SHA-256 of the file.
        options_digest: SHA-256 of the options it was read with.
        feature_count, repaired_count: features stored, and repaired on request.

    """

    feature_source_id: int
    kind: str
    name: str
    sha256: str
    options_digest: str
    feature_count: int
    repaired_count: int


def find_source(conn: Connection[Any], kind: str, sha256: str, options_digest: str) -> FeatureSource | None:
    """Find what was read from a file of this content with these options."""
    row = conn.execute(
        "select feature_source_id, kind, name, sha256, options_digest, feature_count, repaired_count"
        " from lode.feature_source where kind = %s and sha256 = %s and options_digest = %s",
        (kind, sha256, options_digest),
    ).fetchone()
    return None if row is None else FeatureSource(*row)


def sources_of_name(conn: Connection[Any], kind: str, name: str) -> list[FeatureSource]:
    """Find what was read under a name, whatever the content."""
    rows = conn.execute(
        "select feature_source_id, kind, name, sha256, options_digest, feature_count, repaired_count"
        " from lode.feature_source where kind = %s and name = %s order by feature_source_id",
        (kind, name),
    )
    return [FeatureSource(*row) for row in rows]


def insert_source(
    conn: Connection[Any],
    *,
    kind: str,
    name: str,
    sha256: str,
    options_digest: str,
    feature_count: int,
    repaired_count: int,
) -> int:
    """Note a file; the same content with the same options keeps its row and takes the new figures."""
    row = conn.execute(
        "insert into lode.feature_source (kind, name, sha256, options_digest, feature_count, repaired_count)"
        " values (%s, %s, %s, %s, %s, %s)"
        " on conflict (kind, sha256, options_digest) do update set"
        " name = excluded.name, feature_count = excluded.feature_count,"
        " repaired_count = excluded.repaired_count, ingested_at = now()"
        " returning feature_source_id",
        (kind, name, sha256, options_digest, feature_count, repaired_count),
    ).fetchone()
    if row is None:
        raise RuntimeError("the feature source was not inserted")
    return int(row[0])


def delete_source(conn: Connection[Any], source_id: int) -> None:
    """Forget a file; its features, where any are left, stay and belong to no file."""
    conn.execute("delete from lode.feature_source where feature_source_id = %s", (source_id,))
