"""A mine owner's login sees its own mines and learns nothing of others, whatever it tries."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.role_grants import OWN_FUNCTIONS, OWN_VIEWS
from db.role_logins import add_login, remove_login
from db.upgrade import upgrade
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.role_logins import denied, error_of, login

EARLIER = """
pvpddd
vvpvdv
"""
LATER = """
ppppdd
ppddvd
"""
MINES = {"OWN": "aabbcc\naabbcc", "OTHER": "aabbcc\naabbcc", "THIRD": "aabbcc\naabbcc"}
OWNER = "owner_of_own"
SHAPES = ("own_mine_damage", "own_damage_change")
BOX = "st_makeenvelope(%s, %s, %s, %s, 4326)"


@pytest.fixture(scope="module")
def owned(cluster: Cluster, template_database: str) -> Iterator[str]:
    """URL of a database with three mines side by side, of which a login owns one."""
    with copied_database(cluster, template_database) as url:
        upgrade(url)
        with connect(url) as conn:
            for code, letter in zip(MINES, "abc", strict=True):
                add_mine(conn, code, cells(MINES[code], letter))
            conn.execute("update lode.alert_rule set threshold_m2 = 1, threshold_fraction = null")
            model = add_model(conn, "net")
            for year, drawing in ((2021, EARLIER), (2022, LATER)):
                scene = add_scene(conn, f"s{year}", date(year, 6, 1), cells(drawing, "pdv"))
                publish_drawing(conn, scene, model, year, drawing)
            add_login(conn, OWNER, "owner", mines=["OWN"])
            conn.commit()
            conn.autocommit = True
            conn.execute("vacuum analyze")
        try:
            yield url
        finally:
            with connect(url) as conn:
                remove_login(conn, OWNER)
                conn.commit()


@pytest.fixture
def owner(owned: str) -> Iterator[Connection[Any]]:
    with login(owned, OWNER) as conn:
        conn.execute("set default_transaction_read_only = off")
        yield conn


@pytest.fixture
def admin(owned: str) -> Iterator[Connection[Any]]:
    with connect(owned, autocommit=True) as conn:
        yield conn


def test_it_sees_all_of_its_own_mines_and_nothing_else(
    owner: Connection[Any], admin: Connection[Any]
) -> None:
    for view in OWN_VIEWS:
        rows = owner.execute(f"select * from lode_api.{view}").fetchall()
        codes = {code for (code,) in owner.execute(f"select distinct mine_code from lode_api.{view}")}
        assert rows, view
        assert codes == {"OWN"}, view
    for view, source in (
        ("own_mine_damage", "lode.mine_damage"),
        ("own_damage_change", "lode.damage_change"),
        ("own_mine", "lode.mine"),
    ):
        seen = owner.execute(f"select ogc_fid from lode_api.{view} order by 1").fetchall()
        key = source.removeprefix("lode.") + "_id"
        expected = admin.execute(
            f"select {key} from {source} where mine_id = (select mine_id from lode.mine where code = 'OWN')"
            " order by 1"
        ).fetchall()
        assert seen == expected
        assert expected
    assert (
        owner.execute(
            "select year, land_class, area_m2 from lode_api.own_damage_by_mine_year order by 1, 2"
        ).fetchall()
        == admin.execute(
            "select year, land_class, area_m2 from lode_api.damage_by_mine_year where mine_code = 'OWN'"
            " order by 1, 2"
        ).fetchall()
    )


def test_it_reads_no_other_relation_and_executes_no_other_function(owner: Connection[Any]) -> None:
    relations = owner.execute(
        "select format('%%I.%%I', n.nspname, c.relname) from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace where n.nspname ~ '^lode'"
        " and c.relkind in ('r', 'p', 'v') and not (n.nspname = 'lode_api' and c.relname = any(%s))"
        " and c.relname !~ '^own_' order by 1",
        (list(OWN_VIEWS),),
    ).fetchall()
    assert len(relations) > 80
    for (relation,) in relations:
        with denied("42501"):
            owner.execute(f"select * from {relation}")
    open_to_it = owner.execute(
        "select p.proname::text from pg_proc p where p.pronamespace::regnamespace::text ~ '^lode'"
        " and has_function_privilege(p.oid, 'execute') and (p.prosecdef or p.provolatile = 'v')"
        " order by 1"
    ).fetchall()
    assert [name for (name,) in open_to_it] == sorted(OWN_FUNCTIONS)
    for call in (
        "lode_api.damage_tile(12, 3000, 1500, 2022)",
        "lode_api.landcover_tile(12, 3000, 1500, 2022)",
        "lode_api.damage_tile_query(12, 3000, 1500, null)",
        "lode_api.derive_mines('{1}', '{2022}')",
        "lode_api.request_mine('OTHER', 2022)",
        "nextval('lode.mine_mine_id_seq')",
        "currval('lode.mine_mine_id_seq')",
    ):
        with denied("42501"):
            owner.execute(f"select {call}")


def test_the_functions_behind_its_views_show_what_the_views_show(
    owner: Connection[Any], admin: Connection[Any]
) -> None:
    """A function can be called by itself: no column more, no withdrawn alert."""
    pairs = {
        "own_mine_rows": "own_mine",
        "own_damage_rows": "own_damage_by_mine_year",
        "own_change_rows": "own_change_by_mine_year",
        "own_alert_rows": "own_alert",
    }
    assert {*pairs, "own_mines"} == set(OWN_FUNCTIONS)
    for function, view in pairs.items():
        columns = [
            [(column.name, column.type_code) for column in owner.execute(query).description or ()]
            for query in (f"select * from lode_api.{function}()", f"select * from lode_api.{view}")
        ]
        assert columns[0] == columns[1], function
    shown = owner.execute("select ogc_fid from lode_api.own_alert order by 1").fetchall()
    assert shown
    with admin.transaction(force_rollback=True):
        admin.execute("alter table lode.alert disable trigger user")
        admin.execute("alter table lode.alert drop constraint alert_reviewed_check")
        admin.execute(
            "update lode.alert set is_current = false, state = 'confirmed' where alert_id = %s", shown[0]
        )
        row = admin.execute("select is_current from lode_api.damage_alert where ogc_fid = %s", shown[0])
        assert row.fetchone() == (False,)
        admin.execute(f"set local session authorization {OWNER}")
        left = admin.execute("select ogc_fid from lode_api.own_alert_rows() order by 1").fetchall()
        assert left == shown[1:]


def test_statistics_of_other_mines_are_closed_to_it(owned: str, owner: Connection[Any]) -> None:
    """PostGIS tells extents and distributions of any table to whoever may call these."""
    calls = [
        f"{function}('lode', '{table}', '{column}'{more})"
        for table, column in (("mine", "boundary"), ("mine_damage", "geom"), ("damage_change", "geom"))
        for function, more in (("st_estimatedextent", ""), ("st_estimatedextent", ", true"))
    ]
    for table in ("mine_damage", "damage_change"):
        calls += [
            f"st_estimatedextent('{table}', 'geom')",
            f"_postgis_stats('lode.{table}', 'geom')",
            f"_postgis_selectivity('lode.{table}', 'geom', st_makeenvelope(80, 40, 90, 50, 4326))",
            f"_postgis_join_selectivity('lode.{table}', 'geom', 'lode.mine', 'boundary')",
            f"_postgis_index_extent('lode.{table}', 'geom')",
        ]
    for call in calls:
        with denied("42501"):
            owner.execute(f"select {call}")
    with login(owned, "lode_reader") as reader:  # reads the table itself
        row = reader.execute("select st_estimatedextent('lode', 'mine_damage', 'geom')").fetchone()
        assert row is not None
        assert row[0] is not None


def test_it_leaves_no_large_object(owner: Connection[Any]) -> None:
    for read_only in ("on", "off"):
        owner.execute(f"set default_transaction_read_only = {read_only}")
        for call in (
            "lo_create(0)",
            "lo_creat(-1)",
            "lo_from_bytea(0, 'x')",
            "lo_put(1, 0, 'x')",
            "lowrite(0, 'x')",
            "lo_open(1, 131072)",
            "lo_unlink(1)",
        ):
            with denied("42501"):
                owner.execute(f"select {call}")


def test_ids_that_are_not_its_own_are_not_there(owner: Connection[Any], admin: Connection[Any]) -> None:
    for view in OWN_VIEWS:
        own = {key for (key,) in owner.execute(f"select ogc_fid from lode_api.{view}")}
        for key in range(1, 60):
            found = owner.execute(f"select 1 from lode_api.{view} where ogc_fid = %s", (key,)).fetchall()
            assert len(found) == (key in own), (view, key)
    assert owner.execute("select 1 from lode_api.own_mine where mine_code = 'OTHER'").fetchall() == []
    assert owner.execute("select 1 from lode_api.own_mine where mine_code ~ 'TH'").fetchall() == []


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


def test_a_function_of_its_own_is_not_called_with_others_rows(owned: str, admin: Connection[Any]) -> None:
    """It may make none; even one that somebody gave it the right to make is called behind the barrier."""
    with login(owned, OWNER) as owner:
        owner.execute("set default_transaction_read_only = off")
        make = (
            "create function {}tell(what text) returns boolean language plpgsql cost 0.0000001"
            " as $$ begin raise notice 'saw %', what; return true; end $$"
        )
        for schema in ("pg_temp.", "public.", "lode_api.", ""):
            with denied("42501"):
                owner.execute(make.format(schema))
        row = admin.execute("select current_database()").fetchone()
        assert row is not None
        admin.execute(f"grant temporary on database {row[0]} to {OWNER}")
        try:
            owner.execute(make.format("pg_temp."))
            said: list[str] = []
            owner.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
            for view in OWN_VIEWS:
                owner.execute(f"select 1 from lode_api.{view} where pg_temp.tell(mine_code)")
        finally:
            admin.execute(f"revoke temporary on database {row[0]} from {OWNER}")
    assert said
    assert set(said) == {"saw OWN"}


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


def test_the_catalogue_tells_it_nothing(owner: Connection[Any]) -> None:
    assert owner.execute("select * from pg_stats where schemaname ~ '^lode'").fetchall() == []
    with denied("42501"):
        owner.execute("select * from pg_statistic")
    with denied("42501"):
        owner.execute("select lo_import('/etc/passwd')")
    with denied("42501"):
        owner.execute("insert into lode.mine_owner (role_name, mine_id) values (current_user, 2)")
    with denied("42501"):  # a foreign key would say which keys there are
        owner.execute("create table mine_of (mine_id integer references lode.mine)")
    with denied("42501"):
        owner.execute("create view lode_api.own as select * from lode.mine")
    assert (
        owner.execute(
            "select query from pg_stat_activity where query <> '<insufficient privilege>'"
            " and usename <> current_user"
        ).fetchall()
        == []
    )


def test_set_role_gives_it_nothing(owned: str, owner: Connection[Any], admin: Connection[Any]) -> None:
    for role in ("lode_owner", "lode_reader", "lode_admin", "lode_worker"):
        with denied("42501"):
            owner.execute(f"set role {role}")
        with denied("42501"):
            owner.execute(f"set session authorization {role}")
    owner.execute("set role lode_mine_owner")  # its group, which owns nothing
    assert {code for (code,) in owner.execute("select mine_code from lode_api.own_mine")} == {"OWN"}


def test_a_company_is_a_role_whose_logins_share_its_mines(owned: str, admin: Connection[Any]) -> None:
    admin.execute("create role company")
    admin.execute("create role clerk login in role company, lode_mine_owner")
    try:
        admin.execute(
            "insert into lode.mine_owner (role_name, mine_id) select 'company', mine_id from lode.mine"
            " where code in ('OTHER', 'THIRD')"
        )
        with login(owned, "clerk") as clerk:
            seen = {code for (code,) in clerk.execute("select mine_code from lode_api.own_mine_damage")}
        assert seen == {"OTHER", "THIRD"}
        with login(owned, OWNER) as owner:
            seen = {code for (code,) in owner.execute("select mine_code from lode_api.own_mine_damage")}
        assert seen == {"OWN"}
    finally:
        admin.execute("delete from lode.mine_owner where role_name = 'company'")
        admin.execute("drop role clerk")
        admin.execute("drop role company")


def test_a_mine_that_goes_is_forgotten(database_url: str) -> None:
    with connect(database_url) as conn:
        mine = add_mine(conn, "M1", cells("x", "x"))
        conn.execute("insert into lode.mine_owner (role_name, mine_id) values ('nobody', %s)", (mine,))
        conn.execute("delete from lode.mine where mine_id = %s", (mine,))
        assert conn.execute("select count(*) from lode.mine_owner").fetchone() == (0,)
