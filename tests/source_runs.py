"""Sources in a test's database, scanned and ingested in this process as a worker does it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import shapely
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.ingest_items import waiting_items
from db.ingest_sources import NewSource, add_source
from ingest.sources.ingesting import ItemOutcome, ingest_item
from ingest.sources.scanning import ScanOutcome, scan
from ingest.sources.settings import SourceSettings
from tests.catalogue_rows import add_mine
from tests.source_files import ground


def quiet(_stage: str, _done: int, _total: int) -> None:
    return None


class Sources:
    """A database with one mine, sources in it, and a cache of its own."""

    def __init__(self, url: str, folder: Path, *, east_m: float = 0.0) -> None:
        self.url = url
        self.settings = SourceSettings(
            cache=folder / "cache", fetch_pause_s=0.01, fetch_timeout_s=5, fetch_spare_bytes=0
        )
        with connect(url) as conn:
            add_mine(conn, "M1", shapely.MultiPolygon([ground(east_m).buffer(-0.001)]))

    def add(self, kind: str, location: str | Path, **fields: Any) -> int:
        values: dict[str, Any] = {"name": "source", "settle_s": 0, **fields}
        with connect(self.url) as conn:
            return add_source(conn, NewSource(kind=kind, location=str(location), **values))

    def scan(self, source_id: int) -> ScanOutcome:
        return scan(self.url, source_id, quiet, settings=self.settings)

    def ingest(self, item_id: int) -> ItemOutcome:
        return ingest_item(self.url, item_id, quiet, settings=self.settings)

    def ingest_all(self, source_id: int) -> list[ItemOutcome]:
        """Ingest what waits; what is refused is left to its row."""
        done = []
        with connect(self.url) as conn:
            waiting = waiting_items(conn, source_id)
        for item_id in waiting:
            with suppress(UsageError):
                done.append(self.ingest(item_id))
        return done

    def items(self) -> list[dict[str, Any]]:
        with connect(self.url) as conn:
            cursor = conn.execute("select * from lode.ingest_item order by item_key, ingest_item_id")
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def states(self) -> dict[str, str]:
        return {item["item_key"]: item["status"] for item in self.items()}

    def scenes(self) -> list[tuple[str, int]]:
        with connect(self.url) as conn:
            return [
                (row[0], row[1])
                for row in conn.execute("select product, version from lode.scene order by 1, 2").fetchall()
            ]

    def jobs(self, task: str) -> list[dict[str, Any]]:
        with connect(self.url) as conn:
            rows = conn.execute(
                "select args from lode_queue.procrastinate_jobs where task_name = %s and status = 'todo'"
                " order by id",
                (task,),
            ).fetchall()
            return [row[0] for row in rows]

    def value(self, query: str, arguments: Sequence[Any] = ()) -> Any:
        with connect(self.url) as conn:
            row = conn.execute(query, arguments).fetchone()  # type: ignore[arg-type]
            return None if row is None else row[0]

    def execute(self, query: str, arguments: Sequence[Any] = ()) -> None:
        with connect(self.url) as conn:
            conn.execute(query, arguments)  # type: ignore[arg-type]

    def cached(self) -> list[str]:
        """Folders in the cache."""
        cache = self.settings.cache_folder()
        return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def item_id_of(conn: Connection[Any], key: str) -> int:
    row = conn.execute("select ingest_item_id from lode.ingest_item where item_key = %s", (key,)).fetchone()
    assert row is not None
    return int(row[0])
