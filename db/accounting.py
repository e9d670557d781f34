"""Derived areas: who owns which ground in a year, and area and change by mine.

Everything here can be computed again from runs, observations, land cover and mines; publication does
so for what it touches. One transaction at a time derives, so that two publications cannot each miss
the other.

The year map: scenes of a year overlap and ground counts once. Of two current runs that saw the same
ground, the one whose scene was acquired later owns it (same day: the scene ingested later).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

ACCOUNTING_LOCK = 0x10DE0003
"""Key of the advisory lock under which derived areas are computed."""

# Current runs of a year. A superseded scene no longer counts.
_CURRENT = """
  select o.run_id, o.geom, s.acquired_on, s.scene_id
  from lode.observation o
  join lode.run r on r.run_id = o.run_id and r.is_current
  join lode.scene s on s.scene_id = r.scene_id and s.superseded_by is null
  where o.year = %(year)s
"""

_DISOWN = """
update lode.observation o set owned = null, owned_area_m2 = null
where o.year = %(year)s and o.owned is not null
  and not exists (
    select from lode.run r join lode.scene s on s.scene_id = r.scene_id
    where r.run_id = o.run_id and r.is_current and s.superseded_by is null
  )
"""

_OWN = f"""
with current_run as materialized ({_CURRENT}),
changed as (
  select st_setsrid(st_extent(o.geom)::geometry, 4326) as box
  from lode.observation o join lode.run r on r.run_id = o.run_id
  where o.year = %(year)s and r.scene_id = any(%(scenes)s)
),
owned as (
  select t.run_id, st_multi(st_collectionextract(case
    when better.geom is null then t.geom
    else st_difference(t.geom, better.geom)
  end, 3)) as geom
  from current_run t
  join changed c on t.geom && c.box
  cross join lateral (
    select st_union(b.geom) as geom
    from current_run b
    where (b.acquired_on, b.scene_id) > (t.acquired_on, t.scene_id) and st_intersects(b.geom, t.geom)
  ) better
)
update lode.observation o set owned = n.geom, owned_area_m2 = st_area(n.geom::geography)
from owned n where n.run_id = o.run_id
"""  # noqa: S608 - composed of constants

_MINES_TOUCHED = """
select distinct m.mine_id
from lode.mine m
join lode.observation o on o.year = %(year)s and st_intersects(o.geom, m.boundary)
join lode.run r on r.run_id = o.run_id
where r.scene_id = any(%(scenes)s)
"""

# The part of each current run that counts inside each mine.
_PARTS = """
create temporary table mine_part on commit drop as
select m.mine_id, o.year, o.run_id, p.geom, st_area(p.geom::geography) as area_m2
from lode.mine m
join lode.observation o
  on o.year = any(%(years)s) and o.owned is not null and o.geom && m.boundary
cross join lateral (
  select st_collectionextract(st_intersection(o.owned, m.boundary), 3) as geom
) p
where m.mine_id = any(%(mines)s) and not st_isempty(p.geom)
"""

_MINE_YEAR = """
insert into lode.mine_year (mine_id, year, boundary_area_m2, observed_area_m2)
select m.mine_id, p.year, st_area(m.boundary::geography), sum(p.area_m2)
from mine_part p join lode.mine m on m.mine_id = p.mine_id
group by m.mine_id, p.year
"""

# Whole polygons keep the area they were published with; only those on an edge are cut.
_PIECES = """
create temporary table mine_piece on commit drop as
select p.mine_id, p.year, l.land_class_code, c.damage_kind, x.geom, x.area_m2
from mine_part p
join lode.landcover l on l.run_id = p.run_id and l.geom && p.geom
join lode.land_class c on c.land_class_code = l.land_class_code
cross join lateral (
  select w.geom, case when w.is_whole then l.area_m2 else st_area(w.geom::geography) end as area_m2
  from (
    select v.is_whole,
      case when v.is_whole then l.geom
        else st_multi(st_collectionextract(st_intersection(p.geom, l.geom), 3)) end as geom
    from (select st_covers(p.geom, l.geom) as is_whole) v
  ) w
) x
where not st_isempty(x.geom)
"""

# Ground inside a mine of smaller code is that mine's when sums over mines are taken.
_MINE_AREA = """
insert into lode.mine_area (mine_year_id, land_class_code, area_m2, exclusive_area_m2)
with lower_mine as (
  select m.mine_id, st_union(n.boundary) as geom
  from lode.mine m join lode.mine n on n.code < m.code and st_intersects(n.boundary, m.boundary)
  where m.mine_id = any(%(mines)s)
  group by m.mine_id
),
mapped as (
  select distinct p.mine_id, p.year, code.land_class_code
  from mine_part p
  join lode.run r on r.run_id = p.run_id
  join lode.model d on d.model_id = r.model_id
  cross join lateral unnest(d.mapped_codes) as code(land_class_code)
),
found as (
  select q.mine_id, q.year, q.land_class_code, sum(q.area_m2) as area_m2,
    sum(case when lo.geom is null then q.area_m2
      else st_area(st_difference(q.geom, lo.geom)::geography) end) as exclusive_area_m2
  from mine_piece q left join lower_mine lo on lo.mine_id = q.mine_id
  group by q.mine_id, q.year, q.land_class_code
)
select y.mine_year_id, d.land_class_code, coalesce(f.area_m2, 0), coalesce(f.exclusive_area_m2, 0)
from mapped d
join lode.mine_year y on y.mine_id = d.mine_id and y.year = d.year
left join found f
  on (f.mine_id, f.year, f.land_class_code) = (d.mine_id, d.year, d.land_class_code)
"""

_MINE_CHANGE = """
insert into lode.mine_change (mine_id, from_year, to_year, damage_kind, new_area_m2, treated_area_m2,
  persisting_area_m2, unobserved_area_m2)
with seen as materialized (
  select mine_id, year, st_union(geom) as geom from mine_part group by mine_id, year
),
pair as materialized (
  select a.mine_id, a.year as from_year, b.year as to_year,
    st_collectionextract(st_intersection(a.geom, b.geom), 3) as geom
  from seen a
  join seen b on b.mine_id = a.mine_id
    and b.year = (select min(c.year) from seen c where c.mine_id = a.mine_id and c.year > a.year)
),
damage as materialized (
  select q.mine_id, q.year, k.damage_kind, st_union(q.geom) as geom
  from mine_piece q
  cross join lateral (values (q.damage_kind), ('any')) as k(damage_kind)
  where q.damage_kind in ('excavated', 'occupied', 'subsided')
  group by q.mine_id, q.year, k.damage_kind
),
nothing as (select st_setsrid('polygon empty'::geometry, 4326) as geom),
both_years as (
  select p.mine_id, p.from_year, p.to_year, p.geom, k.damage_kind,
    st_intersection(coalesce(a.geom, nothing.geom), p.geom) as before,
    st_intersection(coalesce(b.geom, nothing.geom), p.geom) as after
  from pair p
  cross join nothing
  cross join (select distinct damage_kind from damage) k
  left join damage a on (a.mine_id, a.year, a.damage_kind) = (p.mine_id, p.from_year, k.damage_kind)
  left join damage b on (b.mine_id, b.year, b.damage_kind) = (p.mine_id, p.to_year, k.damage_kind)
)
select t.mine_id, t.from_year, t.to_year, t.damage_kind,
  st_area(st_difference(t.after, t.before)::geography),
  st_area(st_difference(t.before, t.after)::geography),
  st_area(st_intersection(t.before, t.after)::geography),
  greatest(st_area(m.boundary::geography) - st_area(t.geom::geography), 0)
from both_years t join lode.mine m on m.mine_id = t.mine_id
"""


def _lock(conn: Connection[Any]) -> None:
    conn.execute("select pg_advisory_xact_lock(%s)", (ACCOUNTING_LOCK,))


def _years(conn: Connection[Any]) -> list[int]:
    return [row[0] for row in conn.execute("select distinct year from lode.observation order by year")]


def refresh_scenes(conn: Connection[Any], scene_ids: Sequence[int]) -> None:
    """Derive again what runs of these scenes touch: after publication, another current run, or superseding.

    Works in the caller's transaction, and holds the accounting lock until its end.
    """
    _lock(conn)
    years = conn.execute(
        "select distinct o.year from lode.observation o join lode.run r on r.run_id = o.run_id"
        " where r.scene_id = any(%s) order by o.year",
        (list(scene_ids),),
    ).fetchall()
    mines: set[int] = set()
    for (year,) in years:
        values = {"year": year, "scenes": list(scene_ids)}
        conn.execute(_DISOWN, values)
        conn.execute(_OWN, values)
        mines.update(row[0] for row in conn.execute(_MINES_TOUCHED, values))
    _derive(conn, sorted(mines))


def refresh_mines(conn: Connection[Any], mine_ids: Sequence[int]) -> None:
    """Derive areas and change of these mines again, and of mines that share ground with them.

    Works in the caller's transaction, and holds the accounting lock until its end.
    """
    _lock(conn)
    rows = conn.execute(
        "select distinct n.mine_id from lode.mine m"
        " join lode.mine n on n.mine_id = m.mine_id or st_intersects(n.boundary, m.boundary)"
        " where m.mine_id = any(%s)",
        (list(mine_ids),),
    )
    _derive(conn, sorted(row[0] for row in rows))


def refresh_all(conn: Connection[Any]) -> None:
    """Derive everything from nothing; gives what the partial refreshes have kept up."""
    scenes = [row[0] for row in conn.execute("select distinct scene_id from lode.run")]
    refresh_scenes(conn, scenes)
    refresh_mines(conn, [row[0] for row in conn.execute("select mine_id from lode.mine")])


def _derive(conn: Connection[Any], mine_ids: list[int]) -> None:
    if not mine_ids:
        return
    values = {"mines": mine_ids, "years": _years(conn)}
    conn.execute("delete from lode.mine_change where mine_id = any(%(mines)s)", values)
    conn.execute("delete from lode.mine_year where mine_id = any(%(mines)s)", values)
    conn.execute("drop table if exists mine_part, mine_piece")
    conn.execute(_PARTS, values)
    conn.execute("analyze mine_part")
    conn.execute(_MINE_YEAR)
    conn.execute(_PIECES)
    conn.execute(_MINE_AREA, values)
    conn.execute(_MINE_CHANGE)
    conn.execute("drop table mine_part, mine_piece")
