"""Sources and what was found in them, as lists for people: rows of the views."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.reports.report import Report, read_report


def source_list(conn: Connection[Any]) -> Report:
    """All sources, by name."""
    return read_report(
        conn,
        "select ogc_fid, name, kind, location, enabled, cron, next_scan_at, last_scan_at, last_error, model,"
        " cloud_limit, from_day, to_day, collections, mine_codes, report_folder, item_count, under_way_count,"
        " stored_count, published_count, skipped_count, failed_count, fetched_bytes, created_by, created_at,"
        " changed_by"
        ' from lode_api.ingest_source_status order by name collate "C"',
    )


def item_list(conn: Connection[Any], name: str, *, show_all: bool) -> Report:
    """What was found in a source, in the order it was; without ``show_all`` not what is over and done."""
    return read_report(
        conn,
        "select ogc_fid as item_id, item_key, status, attempt, acquired_on, product, product_version, run_id,"
        " report, error from lode_api.ingest_item_status where source = %(name)s"
        " and (%(all)s or status not in ('reported', 'skipped')) order by found_at, ogc_fid",
        {"name": name, "all": show_all},
    )
