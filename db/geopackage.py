"""Reading the tables of a GeoPackage, which is an SQLite database, without GDAL.

Only what tells whether GDAL may be let at the file: it is opened read-only and immutable, and nothing in it
is executed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from db.errors import UsageError


@contextmanager
def _opened(path: Path, name: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: not an intact GeoPackage: {error}") from None


def virtual_tables(path: Path, name: str) -> list[tuple[str, str]]:
    """Name and definition of every virtual table.

    Raises:
        UsageError: it is no intact GeoPackage; ``name`` names it.

    """
    with _opened(path, name) as database:
        rows = database.execute(
            "select name, sql from sqlite_master where type = 'table' and sql like 'create virtual%'"
        ).fetchall()
    return [(str(table), str(sql)) for table, sql in rows]


def layers_that_are_views(path: Path, name: str) -> list[str]:
    """Names of layers that are no tables; UsageError as ``virtual_tables``."""
    with _opened(path, name) as database:
        rows = database.execute(
            "select c.table_name from gpkg_contents c join sqlite_master m on m.name = c.table_name"
            " where m.type <> 'table'"
        ).fetchall()
    return [str(row[0]) for row in rows]


def descriptions(path: Path, name: str) -> list[str]:
    """What each layer says of itself; UsageError as ``virtual_tables``."""
    with _opened(path, name) as database:
        rows = database.execute("select description from gpkg_contents").fetchall()
    return [str(row[0]) for row in rows]


def layers_with_geometry(path: Path, name: str) -> list[str]:
    """Names of the layers with geometry, sorted; UsageError as ``virtual_tables``."""
    with _opened(path, name) as database:
        rows = database.execute("select table_name from gpkg_geometry_columns order by table_name").fetchall()
    return [str(row[0]) for row in rows]


def geometry_heads(path: Path, layer: str, name: str, *, count: int) -> list[bytes | None]:
    """The first bytes of every geometry of a layer, by key; UsageError as ``virtual_tables``."""
    with _opened(path, name) as database:
        row = database.execute(
            "select column_name from gpkg_geometry_columns where table_name = ?", (layer,)
        ).fetchone()
        column, table = (text.replace('"', '""') for text in (str(row[0]), layer))
        heads = database.execute(
            f'select substr("{column}", 1, ?) from "{table}" order by rowid',  # noqa: S608 - quoted names
            (count,),
        ).fetchall()
    return [head for (head,) in heads]
