"""Rows of the reports: what `lode report` prints is read from the views, never computed beside them.

Every report has the columns of its view without the key, in an order of rows that does not depend on the
database. Areas are m2 (geodesic, WGS 84), shares and probabilities 0..1; None is "not known", never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composed

from db.reports.known import Pair as Pair
from db.reports.known import require_class, require_mines, require_pair, require_years
from db.reports.report import Report as Report
from db.reports.report import read_report

_MINES = SQL("mine_code = any(%s)")
_YEARS = SQL("year = any(%s)")
_PAIR = SQL("(from_year, to_year) = (%s, %s)")


def damage_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """Damaged area by mine, year and class from ``lode_api.damage_by_mine_year``.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all, an empty sequence none.
        years: only these years; None means all.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, land_class, land_class_name_zh, kind, area_m2,"
            " observed_fraction, exclusive_area_m2, interpreted_area_m2, is_interpreted, reason"
            " from lode_api.damage_by_mine_year {}"
            ' order by mine_code collate "C", year, kind collate "C", land_class collate "C"'
        ),
        mine_codes,
        years,
    )


def damage_by_year(conn: Connection[Any]) -> Report:
    """Damaged area of all mines by year and class from ``lode_api.damage_by_year``."""
    return _rows(
        conn,
        SQL(
            "select year, land_class, land_class_name_zh, kind, area_m2, observed_mine_count, mine_count,"
            " observed_fraction, is_interpreted from lode_api.damage_by_year"
            ' order by year, kind collate "C", land_class collate "C"'
        ),
    )


def change_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, pair: Pair | None = None
) -> Report:
    """New, treated and remaining damage by mine, pair of years and kind, from ``change_by_mine_year``.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all, an empty sequence none.
        pair: only the change between these years; None means every pair.

    Raises:
        UsageError: a mine is not in the database, or no mine was observed in both years.
    """
    return _by_mine_and_pair(
        conn,
        SQL(
            "select mine_code, mine_name, from_year, to_year, kind, new_area_m2, treated_area_m2,"
            " persisting_area_m2, converted_from_area_m2, converted_to_area_m2,"
            " interpreted_treated_area_m2, net_area_m2, damage_from_area_m2, damage_to_area_m2,"
            " unobserved_area_m2, unjudged_area_m2, observed_fraction, is_consecutive, is_bridging"
            ' from lode_api.change_by_mine_year {} order by mine_code collate "C", ogc_fid'
        ),
        mine_codes,
        pair,
    )


def change_by_year(conn: Connection[Any]) -> Report:
    """New and treated damage of all mines by pair of years and kind, from ``lode_api.change_by_year``."""
    return _rows(
        conn,
        SQL(
            "select from_year, to_year, kind, new_area_m2, new_area_km2, new_share, treated_area_m2,"
            " treated_area_km2, treated_share, net_area_m2, mine_count, observed_fraction"
            " from lode_api.change_by_year order by ogc_fid"
        ),
    )


def transition_report(conn: Connection[Any], mine_code: str, pair: Pair | None = None) -> Report:
    """From which class to which a mine's ground went, from ``lode_api.transition_by_mine_year``.

    Raises:
        UsageError: there is no such mine, or no mine was observed in both years.
    """
    return _by_mine_and_pair(
        conn,
        SQL(
            "select mine_code, mine_name, from_year, to_year, from_class, from_class_name_zh, to_class,"
            " to_class_name_zh, area_m2, share"
            " from lode_api.transition_by_mine_year {}"
            ' order by mine_code collate "C", from_year, to_year, from_class collate "C",'
            ' to_class collate "C"'
        ),
        [mine_code],
        pair,
    )


def series_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """Active, newly damaged and cumulative area by mine and year, from ``active_newly_cumulative``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, active_area_m2, newly_area_m2, cumulative_area_m2,"
            " observed_fraction from lode_api.active_newly_cumulative {}"
            ' order by mine_code collate "C", year'
        ),
        mine_codes,
        years,
    )


def series_by_year(conn: Connection[Any]) -> Report:
    """Active, newly damaged and cumulative area of all mines by year."""
    return _rows(
        conn,
        SQL(
            "select year, active_area_m2, newly_area_m2, cumulative_area_m2, observed_mine_count, mine_count,"
            " observed_fraction from lode_api.active_newly_cumulative_by_year order by year"
        ),
    )


def restoration_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """Ground ever damaged, what of it is not any more, and the rate, from ``lode_api.restoration_rate``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, cumulative_damage_area_m2, treated_area_m2,"
            " interpreted_treated_area_m2, restoration_rate, observed_fraction, reason"
            ' from lode_api.restoration_rate {} order by mine_code collate "C", year'
        ),
        mine_codes,
        years,
    )


def outside_licence_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """Damage outside the licence by mine, year and class, from ``lode_api.outside_licence``.

    Mines without a licence boundary have no rows: see ``licence_findings``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, year, land_class, kind, unlicensed_area_m2, share_of_damage,"
            " observed_fraction, reason from lode_api.outside_licence {}"
            ' order by mine_code collate "C", year, kind collate "C", land_class collate "C"'
        ),
        mine_codes,
        years,
    )


def licence_findings(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """What is known of damage outside the licence, by mine and year; from ``outside_licence_by_mine_year``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, finding, damaged_area_m2, unlicensed_area_m2,"
            " share_of_damage, observed_fraction, reason from lode_api.outside_licence_by_mine_year {}"
            ' order by mine_code collate "C", year'
        ),
        mine_codes,
        years,
    )


def sensitive_findings(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """What is known of damage on protected ground, by mine and year; ``sensitive_overlap_by_mine_year``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, finding, layer_count, region_count, damaged_region_count,"
            " observed_fraction, reason from lode_api.sensitive_overlap_by_mine_year {}"
            ' order by mine_code collate "C", year'
        ),
        mine_codes,
        years,
    )


def gap_report(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> Report:
    """Mines that a year did not observe, or not wholly, and why, from ``lode_api.data_gap``.

    Raises:
        UsageError: a mine or a year is not in the database.
    """
    return _by_mine_and_year(
        conn,
        SQL(
            "select mine_code, mine_name, year, boundary_area_m2, unobserved_area_m2, observed_fraction,"
            ' reason from lode_api.data_gap {} order by mine_code collate "C", year'
        ),
        mine_codes,
        years,
    )


def ranking_report(
    conn: Connection[Any], pair: Pair | None = None, *, mine_codes: Sequence[str] | None = None
) -> Report:
    """Mines by new damage between consecutive years, from ``lode_api.mine_ranking``.

    Args:
        conn: connection.
        pair: only between these years; None means every pair of consecutive years.
        mine_codes: only these mines, ranked among all; None means all, an empty sequence none.

    Raises:
        UsageError: a mine is not in the database, or no mine was observed in both years.
    """
    return _by_mine_and_pair(
        conn,
        SQL(
            "select rank, from_year, to_year, mine_code, mine_name, mineral, new_area_m2, share, confidence,"
            " observed_fraction, damaged_area_m2"
            ' from lode_api.mine_ranking {} order by from_year, to_year, rank, mine_code collate "C"'
        ),
        mine_codes,
        pair,
        consecutive=True,
    )


def evidence_report(
    conn: Connection[Any], mine_code: str, year: int, land_class: str | None = None
) -> Report:
    """What a mine's areas of a year stand on, piece by piece, without outlines, from ``lode_api.evidence``.

    Args:
        conn: connection.
        mine_code: the mine.
        year: the year.
        land_class: key of the class; None means every class.

    Raises:
        UsageError: there is no such mine, year or class.
    """
    require_mines(conn, [mine_code])
    require_years(conn, [year])
    where: list[tuple[SQL, list[object]]] = [(_MINES, [[mine_code]]), (_YEARS, [[year]])]
    if land_class is not None:
        require_class(conn, land_class)
        where.append((SQL("land_class = %s"), [land_class]))
    return _rows(
        conn,
        SQL(
            "select mine_code, year, land_class, kind, area_m2, is_exclusive, unlicensed_area_m2,"
            " landcover_id,"
            " mean_probability, run_id, run_finished_at, model, model_sha256, product, product_version,"
            " scene_sha256, acquired_on, label_id, interpreter, valid_on, label_source"
            " from lode_api.evidence {}"
            ' order by kind collate "C", land_class collate "C", area_m2 desc, ogc_fid'
        ),
        where,
    )


def _by_mine_and_year(
    conn: Connection[Any], select: SQL, mine_codes: Sequence[str] | None, years: Sequence[int] | None = None
) -> Report:
    where: list[tuple[SQL, list[object]]] = []
    if mine_codes is not None:
        require_mines(conn, mine_codes)
        where.append((_MINES, [list(mine_codes)]))
    if years is not None:
        require_years(conn, years)
        where.append((_YEARS, [list(years)]))
    return _rows(conn, select, where)


def _by_mine_and_pair(
    conn: Connection[Any],
    select: SQL,
    mine_codes: Sequence[str] | None,
    pair: Pair | None,
    *,
    consecutive: bool = False,
) -> Report:
    where: list[tuple[SQL, list[object]]] = []
    if mine_codes is not None:
        require_mines(conn, mine_codes)
        where.append((_MINES, [list(mine_codes)]))
    if pair is not None:
        require_pair(conn, pair, consecutive=consecutive)
        where.append((_PAIR, list(pair)))
    return _rows(conn, select, where)


def _rows(conn: Connection[Any], select: SQL, where: Sequence[tuple[SQL, list[object]]] = ()) -> Report:
    """Run a select whose ``{}`` takes the conditions, each with its values."""
    conditions: Composed | SQL = SQL("")
    if where:
        conditions = SQL("where ") + SQL(" and ").join(condition for condition, _values in where)
    return read_report(
        conn, select.format(conditions), [value for _condition, given in where for value in given]
    )
