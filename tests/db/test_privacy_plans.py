"""Neither errors nor plans of a mine owner's queries speak of other mines."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.role_grants import OWN_VIEWS
from tests.catalogue_rows import add_mine
from tests.db.owned_mines import OWNER
from tests.grids import cells
from tests.role_logins import error_of, login

SHAPES = ("own_mine_damage", "own_damage_change")
BOX = "st_makeenvelope(%s, %s, %s, %s, 4326)"

LEAKS = (
    "1 / (d.area_m2 <> %(area)s)::integer > 0",
    "(case when d.mine_code = 'OTHER' then 'x' else '1' end)::integer = 1",
    "(d.mine_code || '!')::integer = 1",
    "st_geomfromtext(d.mine_code) is not null",
    "sqrt(case when d.mine_code = 'OWN' then 1 else -1 end) > 0",
)


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize(
    "view", ["own_mine_damage", "own_damage_change", "own_damage_by_mine_year", "own_alert"]
)
def test_no_error_speaks_of_another_mine(
    owner: Connection[Any], admin: Connection[Any], view: str, leak: str
) -> None:
    """A condition that fails, or names what it fails on, is never tried on another mine's row."""
    row = admin.execute(
        "select max(area_m2) from lode.mine_damage d join lode.mine m on m.mine_id = d.mine_id"
        " where m.code <> 'OWN' and d.area_m2 not in (select area_m2 from lode.mine_damage e"
        " join lode.mine n on n.mine_id = e.mine_id where n.code = 'OWN')"
    ).fetchone()
    assert row is not None
    query = f"select count(*) from lode_api.{view} d where {leak}"
    for planner in ("on", "off"):
        for setting in ("enable_nestloop", "enable_hashjoin", "enable_indexscan", "enable_material"):
            owner.execute(f"set {setting} = {planner}")
        said = error_of(owner, query, {"area": row[0]})
        assert not re.search("OTHER|THIRD|division by zero|square root", said), said


ALL_OF = {
    "own_mine": "(select mine_id as ogc_fid, code as mine_code from lode.mine) s",
    "own_mine_damage": "(select d.mine_damage_id as ogc_fid, m.code as mine_code from lode.mine_damage d"
    " join lode.mine m on m.mine_id = d.mine_id) s",
    "own_damage_change": "(select d.damage_change_id as ogc_fid, m.code as mine_code"
    " from lode.damage_change d join lode.mine m on m.mine_id = d.mine_id) s",
    "own_damage_by_mine_year": "lode_api.damage_by_mine_year",
    "own_change_by_mine_year": "lode_api.change_by_mine_year",
    "own_alert": "lode_api.damage_alert",
}
"""Keys of all mines' rows of each view."""

PLANS: tuple[dict[str, str], ...] = (
    {},
    {"enable_nestloop": "off"},
    {"enable_indexscan": "off", "enable_bitmapscan": "off"},
    {"enable_seqscan": "off"},
    {"random_page_cost": "0", "cpu_operator_cost": "0", "cpu_tuple_cost": "0", "cpu_index_tuple_cost": "0"},
)


@pytest.mark.parametrize("view", OWN_VIEWS)
def test_explain_counts_no_row_of_another_mine(
    owner: Connection[Any], admin: Connection[Any], view: str
) -> None:
    """What EXPLAIN ANALYZE says is the same whether other mines have such rows or not, however one plans."""
    has_ground = view not in ("own_damage_by_mine_year", "own_change_by_mine_year")
    geom = "boundary" if view == "own_mine" else "geom"
    row = admin.execute(
        "select st_xmin(e), st_ymin(e), st_xmax(e), st_ymax(e) from (select"
        " st_expand(st_extent(boundary), -1e-4)"
        " as e from lode.mine where code = 'OTHER') x"
    ).fetchone()
    assert row is not None
    away = tuple(value + 40 for value in row)
    found = admin.execute(f"select max(ogc_fid) from {ALL_OF[view]} where mine_code = 'OTHER'").fetchone()
    assert found is not None
    strange_key = found[0]
    assert strange_key
    conditions: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
        ("mine_code = %s", ("OTHER",), ("NOBODY",)),
        ("ogc_fid = %s", (strange_key,), (10**12,)),
    ]
    if has_ground:
        conditions.append((f"{geom} && {BOX}", row, away))
    if view not in ("own_mine", "own_alert"):
        conditions.append(("ogc_fid > 0 and mine_code = %s", ("THIRD",), ("NOBODY",)))
    for settings, (condition, there, nowhere) in itertools.product(PLANS, conditions):
        owner.execute("reset all")
        for name, value in settings.items():
            owner.execute(f"set {name} = {value}")
        plans = [
            re.sub(r"(?m)^( *)(Filter|\w+ Cond): .*", r"\1\2", _analysed(owner, view, condition, values))
            for values in (there, nowhere)
        ]
        assert plans[0] == plans[1], (condition, plans)


def _analysed(conn: Connection[Any], view: str, condition: str, values: tuple[Any, ...]) -> str:
    rows = conn.execute(
        f"explain (analyze, costs off, timing off, summary off) select * from lode_api.{view}"
        f" where {condition}",
        values,
    ).fetchall()
    return "\n".join(line for (line,) in rows)


def test_estimates_know_nothing_of_other_mines(owner: Connection[Any], admin: Connection[Any]) -> None:
    row = admin.execute("select st_extent(boundary)::geometry from lode.mine where code = 'OTHER'").fetchone()
    assert row is not None
    for view in SHAPES:
        texts = [
            "\n".join(
                line
                for (line,) in owner.execute(
                    f"explain select * from lode_api.{view} where geom && st_translate(%s::geometry, %s, 0)",
                    (row[0], shift),
                )
            )
            for shift in (0, 40)
        ]
        costs = [re.findall(r"cost=\S+ rows=\d+", text) for text in texts]
        assert costs[0] == costs[1]


def test_a_box_finds_the_spatial_index_through_the_barrier(owned: str) -> None:
    """Also where the login owns all there is; both conditions are of the index."""
    with connect(owned) as conn:
        conn.execute("set local session_replication_role = replica")  # shapes alone, nothing derived
        mine = add_mine(conn, "LARGE", cells("x", "x"))
        conn.execute(
            "insert into lode.mine_damage (mine_id, year, damage_kind, geom, area_m2, start_date, end_date)"
            " select %s, 3000 + i, 'excavated', st_multi(st_expand(st_setsrid(st_makepoint(70 + i %% 50,"
            " 20 + i / 50 * 0.1), 4326), 0.01)), 1, '2021-01-01', '2022-01-01'"
            " from generate_series(1, 5000) i",
            (mine,),
        )
        conn.execute("insert into lode.mine_owner (role_name, mine_id) values (%s, %s)", (OWNER, mine))
        conn.commit()
        conn.execute("analyze lode.mine_damage")
        conn.commit()
        try:
            with login(owned, OWNER) as owner:
                plan = "\n".join(
                    line
                    for (line,) in owner.execute(
                        "explain analyze select * from lode_api.own_mine_damage"
                        " where geom && st_makeenvelope(80, 20, 82, 21, 4326)"
                    )
                )
                count = owner.execute(
                    "select count(*) from lode_api.own_mine_damage"
                    " where geom && st_makeenvelope(80, 20, 82, 21, 4326)"
                ).fetchone()
            expected = conn.execute(
                "select count(*) from lode.mine_damage where geom && st_makeenvelope(80, 20, 82, 21, 4326)"
            ).fetchone()
            assert count == expected
            found = re.search(r"mine_damage_own_gist.*\n.*Index Cond: (.*)", plan)
            assert found is not None, plan
            assert "&&" in found[1]
            assert "int4range" in found[1]
        finally:
            conn.execute("set local session_replication_role = replica")
            for table in ("mine_damage", "mine_owner", "mine"):
                conn.execute(f"delete from lode.{table} where mine_id = %s", (mine,))
            conn.commit()
