"""Rows of the reports: what `lode report` prints is read from the views, never computed beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import UsageError


@dataclass(frozen=True)
class Report:
    """A table to print: column names and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def damage_report(
    conn: Connection[Any], *, mine_codes: Sequence[str] = (), years: Sequence[int] = ()
) -> Report:
    """Damaged area by mine, year and class from ``lode_api.damage_by_mine_year``.

    Args:
        conn: connection.
        mine_codes: only these mines; empty means all.
        years: only these years; empty means all.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    known = {row[0] for row in conn.execute("select code from lode.mine")}
    unknown = sorted(set(mine_codes) - known)
    if unknown:
        some = ", ".join(sorted(known)[:10]) or "none; `lode ingest mines FILE` brings them in"
        raise UsageError(f"no mine has the code {', '.join(unknown)}; mines known: {some}")
    cursor = conn.execute(
        "select mine_code, mine_name, year, land_class, kind, area_m2, observed_fraction, reason"
        " from lode_api.damage_by_mine_year"
        " where (%(all_mines)s or mine_code = any(%(mines)s)) and (%(all_years)s or year = any(%(years)s))"
        " order by mine_code, year, kind, land_class",
        {
            "all_mines": not mine_codes,
            "mines": list(mine_codes),
            "all_years": not years,
            "years": list(years),
        },
    )
    rows = cursor.fetchall()
    if years and known and not rows:
        raise UsageError(
            f"no scene was acquired in {', '.join(map(str, years))}; see lode_api.scene_catalogue"
        )
    return Report(tuple(column.name for column in cursor.description or ()), rows)


def damage_by_year(conn: Connection[Any]) -> Report:
    """Damaged area of all mines by year and class from ``lode_api.damage_by_year``."""
    cursor = conn.execute(
        "select year, land_class, kind, area_m2, observed_mine_count, mine_count, observed_fraction"
        " from lode_api.damage_by_year order by year, kind, land_class"
    )
    return Report(tuple(column.name for column in cursor.description or ()), cursor.fetchall())
