"""Items whose content is there again after other content took its place: when they are ingested anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shapely
from psycopg import Connection

from db.ingest_items import Facts

# What is under way under the same key decides first. A time to come is of a clock that was set back: by it an
# item would return at every look.
_IS_REPLACED = """
i.ingested_at is not null
and i.status in ('ingested', 'interpreting', 'published', 'reported', 'skipped', 'failed')
and exists (
  select 1
  from lode.ingest_item o
  where o.ingest_source_id = i.ingest_source_id and o.item_key = i.item_key and o.mark <> i.mark
  having max(o.ingested_at) > i.ingested_at
    and max(o.ingested_at) <= clock_timestamp() - make_interval(secs => %(rest_s)s)
    and not bool_or(o.status in ('found', 'fetching', 'fetched'))
)
"""


def replaced_items(conn: Connection[Any], item_ids: Sequence[int], rest_s: float) -> list[tuple[int, Facts]]:
    """Those of some items that were ingested before another one of their key was, with what is known of them.

    Args:
        conn: connection.
        item_ids: the items.
        rest_s: the other one must have been ingested so many seconds ago.

    """
    rows = conn.execute(
        "select i.ingest_item_id, i.acquired_on, st_asbinary(i.footprint), i.cloud_fraction"  # noqa: S608
        " from lode.ingest_item i where i.ingest_item_id = any(%(ids)s)"
        f" and {_IS_REPLACED} order by i.ingest_item_id",
        {"ids": list(item_ids), "rest_s": rest_s},
    ).fetchall()
    return [
        (row[0], Facts(row[1], None if row[2] is None else shapely.from_wkb(row[2]), row[3])) for row in rows
    ]


def reopen_replaced(conn: Connection[Any], item_id: int, href: str, rest_s: float) -> bool:
    """Find an item anew whose place another one took, as if nothing had come of it; False: somebody else did.

    Scenes and runs that came of it stay; as it counts as not ingested, it does not return before it is again.
    """
    done = conn.execute(
        "update lode.ingest_item i set status = 'found', attempt = 0, error = null,"  # noqa: S608
        " href = %(href)s,"
        " fetched_bytes = 0, sha256 = null, scene_id = null, run_id = null, awaits_quota = false,"
        " report = null, ingested_at = null, published_at = null, reported_at = null"
        f" where i.ingest_item_id = %(id)s and {_IS_REPLACED}",
        {"id": item_id, "href": href, "rest_s": rest_s},
    )
    return done.rowcount > 0
