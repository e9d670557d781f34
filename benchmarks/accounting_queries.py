"""The accounts in plain SQL, as an analyst would write them, and whether ours say the same."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.accounting import ACCOUNTING_LOCK, Deriving, in_batches
from db.connection import connect
from db.errors import UsageError

TOLERANCE = 1e-6
"""Of the mine's area."""

_PLAIN_AREAS = """
select m.code, o.year, l.land_class_code,
  sum(st_area(st_intersection(m.boundary, l.geom)::geography)) as area_m2
from lode.mine m
join lode.landcover l on st_intersects(m.boundary, l.geom)
join lode.run r on r.run_id = l.run_id and r.is_current
join lode.observation o on o.run_id = r.run_id
group by m.code, o.year, l.land_class_code
"""

_PLAIN_CHANGE = """
with piece as materialized (
  select m.code, o.year, l.land_class_code, st_intersection(m.boundary, l.geom) as geom
  from lode.mine m
  join lode.landcover l on st_intersects(m.boundary, l.geom)
  join lode.run r on r.run_id = l.run_id and r.is_current
  join lode.observation o on o.run_id = r.run_id
)
select p.code, p.year, p.land_class_code, null::integer as to_class_code,
  sum(st_area(p.geom::geography)) as area_m2
from piece p
group by p.code, p.year, p.land_class_code
union all
select b.code, b.year, b.land_class_code, a.land_class_code,
  sum(st_area(st_intersection(b.geom, a.geom)::geography))
from piece b
join piece a on a.code = b.code and a.year = b.year + 1 and st_intersects(a.geom, b.geom)
group by b.code, b.year, b.land_class_code, a.land_class_code
"""

_OUR_AREAS = """
select m.code, y.year, a.land_class_code, a.area_m2
from lode.mine_area a
join lode.mine_year y on y.mine_year_id = a.mine_year_id
join lode.mine m on m.mine_id = y.mine_id
"""

_OUR_CHANGE = """
select m.code, p.from_year, t.from_class_code, t.to_class_code, t.area_m2
from lode.mine_transition t
join lode.mine_pair p on p.mine_pair_id = t.mine_pair_id and p.to_year = p.from_year + 1
join lode.mine m on m.mine_id = p.mine_id
"""

Areas = dict[tuple[Any, ...], float]


def plain_areas(conn: Connection[Any]) -> Areas:
    """Area in m2 by mine, year and class: one query of ST_Area(ST_Intersection)."""
    return _areas(conn, _PLAIN_AREAS)


def plain_change(conn: Connection[Any]) -> Areas:
    """Area by mine, year and class, and by mine, year, class and class a year later: one query."""
    return _areas(conn, _PLAIN_CHANGE)


def our_areas(conn: Connection[Any]) -> Areas:
    """What Lode stores, as ``plain_areas``."""
    return _areas(conn, _OUR_AREAS)


def our_change(conn: Connection[Any]) -> Areas:
    """What Lode stores of change, by mine, year, class and class a year later."""
    return _areas(conn, _OUR_CHANGE)


def _areas(conn: Connection[Any], query: str) -> Areas:
    found = {tuple(row[:-1]): float(row[-1]) for row in conn.execute(query.encode())}
    conn.rollback()
    return found


def check_same(conn: Connection[Any], ours: Areas, theirs: Areas, what: str) -> float:
    """The largest difference, in terms of the mine's area.

    Raises:
        UsageError: it is larger than 1e-6.

    """
    rows = conn.execute("select code, st_area(boundary::geography) from lode.mine")
    area_m2 = {code: float(area) for code, area in rows}
    conn.rollback()
    apart = {
        key: abs(ours.get(key, 0.0) - theirs.get(key, 0.0)) / area_m2[key[0]]
        for key in ours.keys() | theirs.keys()
    }
    worst = max(apart, key=lambda key: apart[key])
    if not apart[worst] <= TOLERANCE:
        raise UsageError(
            f"{what} {worst}: ours is {ours.get(worst)} m2, the plain query's {theirs.get(worst)} m2"
        )
    return apart[worst]


def derive_areas(url: str, *, connections: int) -> None:
    """Derive the areas of all mines from nothing, and nothing else, in batches as ``refresh_all`` does."""
    with connect(url) as conn:
        conn.execute("select pg_advisory_lock(%s)", (ACCOUNTING_LOCK,))
        conn.execute("delete from lode.landcover_part")
        conn.execute(
            "select lode_api.derive_ownership(st_makeenvelope(-180, -90, 180, 90, 4326), y.year)"
            " from unnest(lode_api.account_years()) as y(year)"
        )
        runs = [row[0] for row in conn.execute("select run_id from lode.run where is_current")]
        mines = [row[0] for row in conn.execute("select mine_id from lode.mine order by mine_id")]
        conn.commit()
        with Deriving(url, connections) as deriving:
            deriving.each(("select lode_api.derive_parts(%s)",), [[run] for run in runs])
            deriving.each(
                (
                    "select lode_api.derive_zones(%s)",
                    "select lode_api.derive_pieces(%s, lode_api.account_years())",
                    "select lode_api.derive_areas(%s, lode_api.account_years())",
                ),
                in_batches(mines),
            )
