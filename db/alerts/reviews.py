"""Alerts of damage: all SQL about ``lode.alert`` that people's reviews need.

Alerts are derived inside the database (``lode_api.derive_alerts``); a person sets state and note alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, errors

from db.errors import UsageError
from db.reports.known import require_mines
from db.reports.report import Report, read_report

STATES = ("open", "confirmed", "rejected")
RISEN = "risen"
"""Beside the states in lists: reviewed alerts that have risen since."""

TO_REVIEW = ("open", RISEN)
"""What an inspector looks at: `lode_api.damage_alert.is_to_review`."""

LEVELS = ("notice", "warning", "severe")
KINDS = ("new_damage", "outside_licence", "tailings_growth")

_LIST = """
select ogc_fid as alert_id, rank, level, mine_code, mine_name, kind, year, from_year, area_m2, share,
  confidence, agreeing_scene_count, state, is_current, is_to_review, has_risen_since_review, reviewed_by,
  reviewed_at, reviewed_area_m2, unreviewed_area_m2, note, reason, reason_zh
from lode_api.damage_alert
where (%(mines)s::text[] = '{}' or mine_code = any(%(mines)s))
  and (%(years)s::bigint[] = '{}' or year = any(%(years)s))
  and (%(levels)s::text[] = '{}' or level = any(%(levels)s))
  and (%(kinds)s::text[] = '{}' or kind = any(%(kinds)s))
  and (%(states)s::text[] = '{}' or state = any(%(states)s)
    or has_risen_since_review and 'risen' = any(%(states)s))
order by year desc, rank nulls last, ogc_fid
"""

_ONE = """
select d.ogc_fid as alert_id, d.mine_code, d.mine_name, d.kind, d.level, d.rank, d.year, d.from_year,
  d.area_m2, d.share, d.confidence, d.agreeing_scene_count, d.reason, d.reason_zh, d.state, d.is_current,
  d.is_to_review, d.has_risen_since_review, d.reviewed_by, d.reviewed_at, a.reviewed_level,
  d.reviewed_area_m2, d.unreviewed_area_m2, d.note, d.run_ids, d.first_raised_at, d.updated_at,
  st_x(c.geom) as longitude, st_y(c.geom) as latitude
from lode_api.damage_alert d
join lode.alert a on a.alert_id = d.ogc_fid
cross join lateral (select st_pointonsurface(d.geom) as geom) c
where d.ogc_fid = %s
"""

_REVIEWS = """
select reviewed_at, reviewed_by, state, level, area_m2, confidence, note, reason, reason_zh
from lode.alert_review
where alert_id = %s
order by alert_review_id
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

    Args:
        conn: connection.
        mine_codes: only these mines.
        years: only these years, in which the ground was seen.
        levels: only these of ``LEVELS``.
        kinds: only these of ``KINDS``.
        states: only these of ``STATES``, and those that have risen since their review with ``RISEN``.

    Raises:
        UsageError: a mine is not in the database, or a level, kind or state is none.

    """
    choices = (("level", levels, LEVELS), ("kind", kinds, KINDS), ("state", states, (*STATES, RISEN)))
    for name, given, known in choices:
        for value in given:
            if value not in known:
                raise UsageError(f"{value!r} is no {name} of alerts: {name}s are {', '.join(known)}")
    require_mines(conn, mine_codes)
    return read_report(
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
    report = read_report(conn, _ONE, (alert_id,))
    if not report.rows:
        raise _unknown(alert_id)
    return report


def alert_reviews(conn: Connection[Any], alert_id: int) -> Report:
    """Every review of an alert, the oldest first, with level, m2, confidence and reason it then had.

    Raises:
        UsageError: there is no such alert.

    """
    alert_by_id(conn, alert_id)
    return read_report(conn, _REVIEWS, (alert_id,))


def review_alert(conn: Connection[Any], alert_id: int, state: str, note: str | None = None) -> None:
    """Confirm, reject or open an alert; the database stamps who did so, when, and what it then said.

    The state it has already may be given: that is a review as well.

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
