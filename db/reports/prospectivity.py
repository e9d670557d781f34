"""A search that was made without deposits as reports show it: targets, cells, and why they score."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.prospect_runs import PROSPECTIVITY as PROSPECTIVITY
from db.reports.prospects import SearchHead
from db.reports.report import Report, read_report

# What stands in probability there is prospectivity, a rank.
_TARGETS = """
select t.rank, t.mean_probability as mean_prospectivity, t.highest_probability as highest_prospectivity,
  t.area_m2, t.cells, t.fault_distance_m, t.pluton_distance_m, t.deposit_distance_m,
  d.name as nearest_deposit,
  (
    select string_agg(format('%%s %%s%%s (%%s)', e.item->>'name', e.item->>'value', ' ' || (e.item->>'unit'),
      e.item->>'deviations'), '; ' order by e.place)
    from jsonb_array_elements(t.evidence) with ordinality as e(item, place)
  ) as evidence,
  st_x(st_pointonsurface(t.geom)) as longitude, st_y(st_pointonsurface(t.geom)) as latitude
"""
_OF_TARGETS = """
from lode.prospect_target t
left join lode.deposit d on d.deposit_id = t.deposit_id
where t.prospect_run_id = %(run)s and t.rank <= %(limit)s
order by t.rank
"""

_CELLS = """
select rank, probability as prospectivity, anomaly, favourability,
  prospectivity_spread, anomaly_spread, favourability_spread, row_px, col_px, st_asbinary(geom) as geom
from lode.prospect where prospect_run_id = %s order by row_px, col_px
"""

# Cells and targets were brought to EPSG:4326 each for itself, so that a cell is known by its middle.
_REASONS = """
select t.rank, w.place, w.kind, w.name, w.value, w.unit, w.expected, w.deviations, w.share,
  best.anomaly, best.favourability, best.probability as prospectivity
from lode.prospect_target t
cross join lateral (
  select p.row_px, p.col_px, p.anomaly, p.favourability, p.probability
  from lode.prospect p
  where p.prospect_run_id = t.prospect_run_id and p.geom && t.geom
    and st_intersects(t.geom, st_centroid(p.geom))
  order by p.probability desc, p.row_px, p.col_px
  limit 1
) best
join lode.prospect_reason w on w.prospect_run_id = t.prospect_run_id
  and w.row_px = best.row_px and w.col_px = best.col_px
where t.prospect_run_id = %(run)s and t.rank <= %(limit)s
order by t.rank, w.place
"""


def target_rows(conn: Connection[Any], head: SearchHead, limit: int) -> Report:
    """The first targets of a search, by rank."""
    return read_report(conn, _TARGETS + _OF_TARGETS, _of(head, limit))


def target_layer(conn: Connection[Any], head: SearchHead, limit: int) -> Report:
    """As `target_rows` with the outline as WKB, EPSG:4326, in the last column, geom."""
    return read_report(conn, _TARGETS + ", st_asbinary(t.geom) as geom" + _OF_TARGETS, _of(head, limit))


def cell_layer(conn: Connection[Any], run_id: int) -> Report:
    """All cells of a search with their scores; the last column, geom, is WKB in EPSG:4326."""
    return read_report(conn, _CELLS, (run_id,))


def reason_rows(conn: Connection[Any], head: SearchHead, limit: int) -> Report:
    """Why the best cell of each of the first targets scores as it does."""
    return read_report(conn, _REASONS, _of(head, limit))


def _of(head: SearchHead, limit: int) -> dict[str, object]:
    return {"run": head.search, "limit": limit}
