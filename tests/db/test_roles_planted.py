"""What a worker's login, or an older one that could create, planted runs with nobody's rights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from db.role_logins import add_login, list_logins, remove_login
from db.role_planted import refuse_planted
from db.roles import role_faults
from db.upgrade import upgrade
from tests.catalogue_rows import add_scene
from tests.grids import cells
from tests.rasters import noise, write_table
from tests.role_logins import denied, login, url_of

PLANTER = "planter"

PLANTED = {
    "definer function": "create function lode_raster.up() returns void language plpgsql security definer"
    " as $$ begin alter role planter superuser; end $$",
    "procedure": "create procedure lode_raster.up() language sql as 'select 1'",
    "view": "create view lode_raster.up as select 1 as i",
    "table with a check": "create table lode_raster.scene_7 (rid integer primary key, rast public.raster,"
    " check (query_to_xml('alter role planter superuser', true, true, '') is not null))",
    "table with a trigger": "create table lode_raster.scene_8 (rid integer primary key);"
    " create function lode_raster.fire() returns trigger language plpgsql as 'begin return new; end';"
    " create trigger up before insert on lode_raster.scene_8 for each row"
    " execute function lode_raster.fire()",
    "table with a policy": "create table lode_raster.scene_9 (rid integer primary key);"
    " alter table lode_raster.scene_9 enable row level security;"
    " create policy up on lode_raster.scene_9 using (true)",
    "table with a default": "create table lode_raster.scene_10 (rid integer primary key default 1)",
    "table with an index": "create table lode_raster.scene_11 (rid integer primary key);"
    " create index on lode_raster.scene_11 (md5(rid::text))",
    "table with a rule": "create table lode_raster.scene_12 (rid integer primary key);"
    " create rule up as on insert to lode_raster.scene_12 do instead nothing",
    "type": "create domain lode_raster.up as integer check (value > 0)",
    "stray table": "create table lode_raster.notes (i integer)",
}


@pytest.fixture
def planted(database_url: str) -> Iterator[str]:
    """URL of a database with a worker's login."""
    with connect(database_url) as conn:
        add_login(conn, PLANTER, "worker")
        conn.commit()
    yield database_url
    with connect(database_url) as conn:
        conn.execute(f"drop owned by {PLANTER}")
        for each in list_logins(conn):
            remove_login(conn, each.name)
        conn.commit()


def test_a_worker_can_plant_nothing(planted: str) -> None:
    upgrade(planted)
    with login(planted, PLANTER) as worker:
        for what, statement in PLANTED.items():
            with denied("42501"):
                worker.execute(statement.encode())
            assert what
        row = worker.execute(
            "select count(*) from pg_class c where pg_has_role(session_user, c.relowner, 'usage')"
        ).fetchone()
        assert row == (0,)


def test_what_was_planted_stops_the_upgrade_and_is_told(planted: str) -> None:
    """As it was when workers could create: each thing alone, for a superuser and for an owner's member."""
    with connect(planted, autocommit=True) as admin:
        admin.execute("create role operator login in role lode_owner")
        try:
            for what, statement in PLANTED.items():
                admin.execute(f"grant create on schema lode_raster to {PLANTER}")
                with login(planted, PLANTER) as worker:
                    worker.execute(statement.encode())
                told = " ".join(role_faults(admin))
                assert "are of logins that may put nothing there" in told, what
                assert "planter in lode_raster" in told
                with admin.cursor() as cursor:
                    if what == "view":
                        refuse_planted(cursor)
                    else:
                        with pytest.raises(UsageError, match="Nothing was changed"):
                            refuse_planted(cursor)
                if what in ("definer function", "table with a check"):
                    for who in ("lode_admin", "operator"):
                        with pytest.raises(UsageError, match=r"lode_raster\.(up|scene_7)"):
                            upgrade(url_of(planted, who), rebuild=True)
                kept = admin.execute(
                    "select count(*) from pg_class where relnamespace = 'lode_raster'::regnamespace"
                    " and pg_get_userbyid(relowner) = 'lode_owner' and relname ~ '^(up|notes|scene_[0-9]+)$'"
                ).fetchone()
                assert kept == (0,), what
                admin.execute(f"drop owned by {PLANTER}")
            row = admin.execute("select rolsuper from pg_roles where rolname = 'planter'").fetchone()
            assert row == (False,)
        finally:
            admin.execute("drop role operator")


def test_a_strangers_view_is_left_to_it_and_a_clean_table_is_taken_over(planted: str) -> None:
    with connect(planted, autocommit=True) as admin:
        with admin.transaction():
            write_table(admin, noise("uint8", 1, 70, 70), nodata=7)
        admin.execute(f"grant create on schema lode_raster to {PLANTER}")
        for table in ("scene_1", "o_2_scene_1"):
            admin.execute(f"alter table lode_raster.{table} owner to {PLANTER}")
        admin.execute(
            f"create view lode_raster.up as select 1 as i; alter view lode_raster.up owner to {PLANTER}"
        )
        admin.execute("grant create on schema lode_raster to lode_worker")
        upgrade(planted)
        rows = admin.execute(
            "select relname::text, pg_get_userbyid(relowner)::text from pg_class"
            " where relname in ('scene_1', 'o_2_scene_1', 'up') order by 1"
        ).fetchall()
        assert rows == [("o_2_scene_1", "lode_owner"), ("scene_1", "lode_owner"), ("up", PLANTER)]
        row = admin.execute("select has_schema_privilege('lode_worker', 'lode_raster', 'create')").fetchone()
        assert row == (False,)


def test_a_worker_attaches_only_what_was_made_for_a_row_that_is_known(planted: str) -> None:
    with login(planted, PLANTER, autocommit=False) as worker:
        with pytest.raises(Exception, match="there is no scene_id 1"):
            write_table(worker, noise("uint8", 1, 70, 70), nodata=7)
        worker.rollback()
        with pytest.raises(Exception, match="there is no run_id 1"):
            write_table(
                worker, noise("uint8", 1, 70, 70), nodata=7, parent="probability", table="probability_1"
            )
        worker.rollback()
        scene = add_scene(worker, "one", date(2021, 6, 1), cells("x", "x"))
        write_table(worker, noise("uint8", 1, 70, 70), nodata=7, owner_id=scene, table="drawn_one")
        worker.commit()
        for statement in (
            "insert into lode_raster.drawn_one (rid, scene_id, rast)"
            " select 99, 1, rast from lode_raster.drawn_one",
            "insert into lode_raster.o_2_drawn_one select 99, rast from lode_raster.o_2_drawn_one",
            "delete from lode_raster.drawn_one",
            "drop table lode_raster.drawn_one",
            "create trigger t before insert on lode_raster.drawn_one for each row execute function"
            " suppress_redundant_updates_trigger()",
        ):
            with denied("42501"):
                worker.execute(statement.encode())
            worker.rollback()
        assert worker.execute("select count(*) > 0 from lode_raster.scene_tile").fetchone() == (True,)
    with connect(planted) as conn, pytest.raises(Exception, match="no raster table that was made for"):
        conn.execute("create table lode_raster.scene_9 (like lode_raster.scene_tile)")
        conn.execute("select lode_api.attach_tile_table('scene_tile', 9, 'scene_9')")


LEFT_OVER = {
    "of a scene that never came": "",
    "of a scene that has another": "update lode.scene set tile_table = 'another'",
    "of a scene that went again": "delete from lode.scene",
}


@pytest.mark.parametrize("what", LEFT_OVER)
def test_a_worker_leaves_no_table_of_nobody(planted: str, what: str) -> None:
    with login(planted, PLANTER, autocommit=False) as worker:
        scene = 1
        if LEFT_OVER[what]:
            scene = add_scene(worker, "one", date(2021, 6, 1), cells("x", "x"))
        else:
            worker.execute("select nextval('lode.scene_scene_id_seq')")
        write_table(worker, noise("uint8", 1, 70, 70), nodata=7, owner_id=scene, table="drawn_one")
        worker.execute(LEFT_OVER[what].encode())
        with denied("23514"):
            worker.commit()
    with connect(planted) as conn:
        row = conn.execute("select to_regclass('lode_raster.drawn_one'), count(*) from lode.tile_table")
        assert row.fetchone() == (None, 0)


def test_a_table_that_is_only_made_is_not_kept(planted: str) -> None:
    """Neither a hundred of one scene, nor overviews of another transaction's table."""
    with login(planted, PLANTER, autocommit=False) as worker:
        assert add_scene(worker, "one", date(2021, 6, 1), cells("x", "x")) == 1
        make(worker, "drawn_one")
        with denied("23514"):  # its scene is there, but nobody attached it
            worker.commit()
        scene = add_scene(worker, "one", date(2021, 6, 1), cells("x", "x"))
        write_table(worker, noise("uint8", 1, 70, 70), nodata=7, owner_id=scene, table="drawn_one")
        worker.commit()
        for table in ("drawn_one", "more"):
            with pytest.raises(Exception, match="is no raster table of this transaction"):
                make(worker, table, factor=4)
            worker.rollback()
        with pytest.raises(Exception, match="there is no run_id 1"):
            make(worker, "probability_1", parent="probability")
        worker.rollback()
        make(worker, "more")
        with denied("23514"):
            worker.commit()


def make(conn: Connection[Any], table: str, *, factor: int = 1, parent: str = "scene_tile") -> None:
    conn.execute(
        "select lode_api.create_tile_table(%s, %s, %s, 1, st_addband(r, '8BUI'), r, 0, 0, 9, 9, 1, -1,"
        " '{16}', '{16}', 'external', '') from st_makeemptyraster(1, 1, 0, 0, 1, -1, 0, 0, 32645) r",
        (table, factor, parent),
    )


def test_words_in_arguments_stay_words(planted: str) -> None:
    with login(planted, PLANTER, autocommit=False) as worker:
        worker.execute("select nextval('lode.scene_scene_id_seq')")
        write_table(
            worker, noise("uint8", 1, 70, 70), nodata=7, comment="'; alter role planter superuser; --"
        )
        row = worker.execute("select obj_description('lode_raster.scene_1'::regclass)").fetchone()
        assert row == ("'; alter role planter superuser; --",)
        with pytest.raises(Exception, match="cannot name a raster table"):
            worker.execute("select lode_api.register_overview('x; drop table y', 2)")


def test_an_attached_table_takes_no_more_empty_tiles(planted: str) -> None:
    fill = (
        "select lode_api.store_empty_tiles('scene_1', 1, 'scene_tile', 1, rast, '{99}', '{0}', '{0}')"
        " from lode_raster.scene_1 limit 1"
    )
    with login(planted, PLANTER, autocommit=False) as worker:
        worker.execute("select nextval('lode.scene_scene_id_seq')")
        write_table(worker, noise("uint8", 1, 70, 70), nodata=7)
        with pytest.raises(Exception, match="there is no raster table 'scene_1' of ours to be filled"):
            worker.execute(fill)


def test_an_owner_of_the_database_who_is_no_member_is_told(planted: str) -> None:
    with connect(planted, autocommit=True) as admin:
        admin.execute("create role keeper login")
        row = admin.execute(
            "select current_database(), pg_get_userbyid(datdba)::text from pg_database"
            " where datname = current_database()"
        ).fetchone()
        assert row is not None
        admin.execute(f"alter database {row[0]} owner to keeper")
        try:
            with pytest.raises(UsageError, match="grant lode_owner to keeper"):
                upgrade(url_of(planted, "keeper"))
        finally:
            admin.execute(f"alter database {row[0]} owner to {row[1]}")
            admin.execute("drop owned by keeper")
            admin.execute("drop role keeper")
