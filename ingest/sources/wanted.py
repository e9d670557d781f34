"""Whether a scene is wanted of a source, by what is known of it so far."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.ingest_items import Facts
from db.ingest_sources import IngestSource, meets_wanted_ground


def unwanted_reason(conn: Connection[Any], source: IngestSource, facts: Facts) -> str | None:
    """Why a scene is not wanted; None where it is, or where too little is known of it to say."""
    day, cloud = facts.acquired_on, facts.cloud_fraction
    if day is not None and source.from_day is not None and day < source.from_day:
        return f"not wanted: of {day}, before {source.from_day}"
    if day is not None and source.to_day is not None and day > source.to_day:
        return f"not wanted: of {day}, after {source.to_day}"
    if cloud is not None and source.cloud_limit is not None and cloud > source.cloud_limit:
        return f"not wanted: {cloud:.1%} clouded, more than {source.cloud_limit:.1%}"
    if facts.footprint is not None and not meets_wanted_ground(conn, source, facts.footprint):
        return "not wanted: it meets neither the area nor a mine that the source is for"
    return None
