"""Alerts of damage: all SQL about ``lode.alert`` that people's reviews need.

Alerts are derived inside the database (``lode_api.derive_alerts``); a person sets state and note alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, errors

from db.errors import UsageError
from db.reports.views import Report

STATES = ("open", "confirmed", "rejected")
LEVELS = ("notice", "warning", "severe")
KINDS = ("new_damage", "outside_licence", "tailings_growth")

_LIST = """
select ogc_fid as alert_id, rank, level, mine_code, mine_name, kind, year, from_year, area_m2, share,
  confidence, agreeing_scene_count, state, is_current, has_risen_since_review, reviewed_by, reviewed_at, note,
  reason, reason_zh
from lode_api.damage_alert
where (%(mines)s::text[] = '{}' or mine_code = any(%(mines)s))
  and (%(years)s::bigint[] = '{}' or year = any(%(years)s))
  and (%(levels)s::text[] = '{}' or level = any(%(levels)s))
  and (%(kinds)s::text[] = '{}' or kind = any(%(kinds)s))
  and (%(states)s::text[] = '{}' or state = any(%(states)s))
order by year desc, rank nulls last, ogc_fid
"""

_ONE = """
select d.ogc_fid as alert_id, d.mine_code, d.mine_name, d.kind, d.level, d.rank, d.year, d.from_year,
  d.area_m2, d.share, d.confidence, d.agreeing_scene_count, d.reason, d.reason_zh, d.state, d.is_current,
  d.has_risen_since_review, d.reviewed_by, d.reviewed_at, a.reviewed_level, a.reviewed_area_m2, d.note,
  d.run_ids, d.first_raised_at, d.updated_at, st_x(c.geom) as longitude, st_y(c.geom) as latitude
from lode_api.damage_alert d
join lode.alert a on a.alert_id = d.ogc_fid
cross join lateral (select st_pointonsurface(d.geom) as geom) c
where d.ogc_fid = %s
"""


def alert_list(
    conn: Connection[Any],
    *,
    mine_codes: Sequence[str] = (),
    years: Sequence[int] = (),
    levels: Sequence[str] = (),
    kinds: Sequence[str] = (),
    states: Sequence[str] = (),
) -> Report:
    """Alerts from ``lode_api.damage_alert``, newest year first, by rank; empty filters mean all.

    Raises:
        UsageError: a mine is not in the database, or a level, kind or state is none.

    """
    for name, given, known in (("level", levels, LEVELS), ("kind", kinds, KINDS), ("state", states, STATES)):
        for value in given:
            if value not in known:
                raise UsageError(f"{value!r} is no {name} of alerts: {name}s are {', '.join(known)}")
    missing = conn.execute(
        "select code from unnest(%s::text[]) as g(code)"
        " where not exists (select from lode.mine m where m.code = g.code) order by code",
        (list(mine_codes),),
    ).fetchall()
    if missing:
        codes = ", ".join(row[0] for row in missing)
        raise UsageError(f"no mine has the code {codes}; lode.mine holds the codes")
    return _rows(
        conn,
        _LIST,
        {
            "mines": list(mine_codes),
            "years": list(years),
            "levels": list(levels),
            "kinds": list(kinds),
            "states": list(states),
        },
    )


def alert_by_id(conn: Connection[Any], alert_id: int) -> Report:
    """One alert, with what its review saw and a point inside its ground (degrees, WGS 84).

    Raises:
        UsageError: there is none.

    """
    report = _rows(conn, _ONE, (alert_id,))
    if not report.rows:
        raise _unknown(alert_id)
    return report


def review_alert(conn: Connection[Any], alert_id: int, state: str, note: str | None = None) -> None:
    """Confirm, reject or open an alert; the database stamps who did so and when.

    Args:
        conn: connection; the caller commits.
        alert_id: the alert.
        state: open, confirmed or rejected.
        note: what the reviewer says of it; None keeps the note it has.

    Raises:
        UsageError: there is no such alert, the state is none, or the alert cannot be opened again.

    """
    try:
        changed = conn.execute(
            "update lode.alert set state = %s, note = coalesce(%s, note) where alert_id = %s",
            (state, note, alert_id),
        ).rowcount
    except errors.CheckViolation as error:
        said = error.diag.message_primary or str(error)
        hint = error.diag.message_hint
        raise UsageError(f"{said}\n{hint}" if hint else said) from error
    if not changed:
        raise _unknown(alert_id)


def _unknown(alert_id: int) -> UsageError:
    return UsageError(
        f"there is no alert {alert_id}; `lode alert list --state all` shows them. An open alert goes when "
        "its condition no longer holds."
    )


def _rows(conn: Connection[Any], query: str, values: Any) -> Report:
    cursor = conn.execute(query, values)
    return Report(tuple(column.name for column in cursor.description or ()), cursor.fetchall())
