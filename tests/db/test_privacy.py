"""A mine owner's login sees its own mines and learns nothing of others, whatever it tries."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.accounting import ACCOUNTING_LOCK
from db.connection import connect
from db.role_grants import OWN_FUNCTIONS, OWN_VIEWS
from tests.catalogue_rows import add_mine
from tests.db.owned_mines import OWNER
from tests.grids import cells
from tests.role_logins import denied, login


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


def test_it_leaves_nothing_and_holds_nobody_up(owner: Connection[Any]) -> None:
    """No large objects; locks of Lode are closed to it."""
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
            f"pg_advisory_lock({ACCOUNTING_LOCK})",
            f"pg_try_advisory_xact_lock({ACCOUNTING_LOCK})",
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
        conn.execute("insert into lode.mine_owner (role_name, mine_id) values ('lode_reader', %s)", (mine,))
        conn.execute("delete from lode.mine where mine_id = %s", (mine,))
        assert conn.execute("select count(*) from lode.mine_owner").fetchone() == (0,)
