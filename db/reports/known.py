"""What reports may be asked for: mines, years, pairs of years and classes that the database knows.

What it does not know is refused, with what it does know: an empty report would look like an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from db.errors import UsageError

Pair = tuple[int, int]
"""The earlier and the later year of a change."""

_SOME = 10
"""How many of the known mines a message names."""


def require_mines(conn: Connection[Any], mine_codes: Sequence[str]) -> None:
    """Check that every code is a mine's.

    Raises:
        UsageError: no mine has one of the codes.

    """
    unknown = [
        code
        for (code,) in conn.execute(
            "select distinct g.code from unnest(%s::text[]) as g(code)"
            " where not exists (select from lode.mine m where m.code = g.code)",
            (list(mine_codes),),
        )
    ]
    if not unknown:
        return
    known = [code for (code,) in conn.execute('select code from lode.mine order by code collate "C"')]
    some = ", ".join(known[:_SOME]) or "none; `lode ingest mines FILE` brings them in"
    more = f" and {len(known) - _SOME} more" if len(known) > _SOME else ""
    raise UsageError(f"no mine has the code {', '.join(sorted(unknown))}; mines known: {some}{more}")


def require_years(conn: Connection[Any], years: Sequence[int]) -> None:
    """Check that reports speak of every year.

    Raises:
        UsageError: a year is not in ``lode_api.report_year``.

    """
    known = [row[0] for row in conn.execute("select year from lode_api.report_year order by year")]
    unknown = sorted(set(years) - set(known))
    if unknown:
        some = ", ".join(map(str, known)) or "none; `lode ingest scene FILE` brings scenes in"
        raise UsageError(f"no scene was acquired in {', '.join(map(str, unknown))}; years known: {some}")


def require_pair(conn: Connection[Any], pair: Pair, *, consecutive: bool) -> None:
    """Check that some mine's change between two years is known.

    Args:
        conn: connection.
        pair: the earlier and the later year.
        consecutive: whether only years that follow each other will do: consecutive ones that observed a
            mine, or two that saw at least half of it, with years between them that saw less.

    Raises:
        UsageError: no mine was observed in both years, or they are not consecutive.

    """
    known = conn.execute(
        "select from_year, to_year from lode.mine_pair where is_consecutive or is_bridging or not %s"
        " group by from_year, to_year order by from_year, to_year",
        (consecutive,),
    ).fetchall()
    if tuple(pair) not in known:
        some = ", ".join(f"{first}-{last}" for first, last in known) or "none yet"
        hint = "" if consecutive else "; a row in lode.report_period adds years that are not consecutive"
        raise UsageError(f"no mine has a change from {pair[0]} to {pair[1]}; pairs known: {some}{hint}")


def require_class(conn: Connection[Any], land_class: str) -> None:
    """Check that a class has this key.

    Raises:
        UsageError: none has.

    """
    known = [row[0] for row in conn.execute("select key from lode.land_class order by land_class_code")]
    if land_class not in known:
        raise UsageError(f"no class has the key {land_class!r}; classes known: {', '.join(known)}")
