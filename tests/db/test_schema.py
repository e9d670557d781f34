"""The schema as a product: models, migrations, upgrade, comments, dump and restore."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg import Connection
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from db.api import api_files
from db.connection import connect
from db.describe import describe_catalogue
from db.embedded import Cluster
from db.errors import UsageError
from db.migrations.compare import include_name, include_object
from db.tables import metadata
from db.upgrade import alembic_config, upgrade
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.restored import restore_copy

CATALOGUE = Path(__file__).parent / "catalogue.txt"


def test_the_models_equal_the_migrations(database_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": include_name,
                "include_object": include_object,
                "compare_type": True,
                "compare_server_default": True,
                "version_table_schema": "lode",
            },
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_catalogue_equals_its_committed_description(conn: Connection[Any]) -> None:
    """To accept a change: `python -m tests.db.write_catalogue`, and read the difference."""
    assert "\n".join(describe_catalogue(conn)) + "\n" == CATALOGUE.read_text("utf-8")


def test_everything_a_client_sees_has_a_comment(conn: Connection[Any]) -> None:
    silent = [line for line in describe_catalogue(conn) if line.endswith(("-- ", "--"))]
    assert silent == []


def test_views_have_typed_geometry_and_a_key_first(conn: Connection[Any]) -> None:
    rows = conn.execute(
        "select f_table_schema || '.' || f_table_name, type, srid from geometry_columns"
        " where f_table_schema in ('lode', 'lode_api')"
    ).fetchall()
    assert rows
    assert all(kind != "GEOMETRY" for _name, kind, _srid in rows)
    assert [name for name, _kind, srid in rows if srid != 4326] == ["lode.damage_general"]
    for file in api_files():
        if file.kind == "view":
            cursor = conn.execute(f"select * from lode_api.{file.name} limit 0")
            assert cursor.description is not None
            assert cursor.description[0].name == "ogc_fid"


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_an_upgraded_database_equals_a_fresh_one(
    postgis_url: str, conn: Connection[Any], revision: str
) -> None:
    upgrade(postgis_url, revision=revision)
    with connect(postgis_url) as older:
        assert older.execute("select version_num from lode.alembic_version").fetchone() == (revision,)
    upgrade(postgis_url)
    with connect(postgis_url) as upgraded:
        assert describe_catalogue(upgraded) == describe_catalogue(conn)


def test_an_upgrade_keeps_data_and_grants(postgis_url: str) -> None:
    upgrade(postgis_url, revision="0003")
    with connect(postgis_url) as older:
        scene = add_scene(older, "kept", date(2021, 6, 1), cells("xx", "x"))
        older.execute("create role upgrade_reader")
        older.execute("alter default privileges in schema lode_api grant select on tables to upgrade_reader")
        older.commit()
    try:
        upgrade(postgis_url)
        upgrade(postgis_url, rebuild=True)
        with connect(postgis_url) as newer:
            row = newer.execute("select ogc_fid, product from lode_api.scene_catalogue").fetchone()
            assert row == (scene, "kept")
            granted = newer.execute(
                "select has_table_privilege('upgrade_reader', 'lode_api.damage_by_year', 'select')"
            ).fetchone()
            assert granted == (True,)
    finally:
        with connect(postgis_url) as newer:
            newer.execute("drop owned by upgrade_reader")
            newer.execute("drop role upgrade_reader")
            newer.commit()


def test_a_users_view_on_ours_stops_the_upgrade_with_its_name(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("create view public.my_report as select * from lode_api.damage_by_year")
        connection.commit()
        before = describe_catalogue(connection)
    with pytest.raises(UsageError, match=r"view my_report depends on view lode_api\.damage_by_year"):
        upgrade(database_url, rebuild=True)
    with connect(database_url) as connection:
        assert describe_catalogue(connection) == before
        connection.execute("select * from public.my_report")


def test_a_users_own_view_in_our_schema_is_left_alone(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("create view lode_api.mine_list as select code from lode.mine")
        connection.commit()
    upgrade(database_url, rebuild=True)
    with connect(database_url) as connection:
        connection.execute("select * from lode_api.mine_list")


def test_an_upgrade_with_nothing_to_do_waits_for_nobody(database_url: str) -> None:
    with connect(database_url) as reader:
        reader.execute("select * from lode_api.damage_by_year")
        said: list[str] = []
        upgrade(database_url, said.append)
    assert said == ["the database is up to date"]


def test_a_downgrade_is_refused(database_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(database_url), poolclass=NullPool)
    config = alembic_config()
    with engine.begin() as connection, pytest.raises(UsageError, match="forward only"):
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    with connect(database_url) as connection:
        assert connection.execute("select count(*) from lode.sensor").fetchone() != (0,)


def test_dump_and_restore_into_another_name(cluster: Cluster, database_url: str) -> None:
    with connect(database_url) as connection:
        scene = add_scene(connection, "one", date(2021, 6, 1), cells("xx", "x"))
        add_mine(connection, "M1", cells("xx", "x"))
        publish_drawing(connection, scene, add_model(connection, "net"), 2021, "pd")
        connection.commit()
        before = describe_catalogue(connection)
        report = connection.execute("select * from lode_api.damage_by_mine_year order by 1").fetchall()
    with copied_database(cluster, "template1") as restored_url:
        restore_copy(database_url, restored_url)
        upgrade(restored_url)
        with connect(restored_url) as connection:
            assert describe_catalogue(connection) == before
            rows = connection.execute("select * from lode_api.damage_by_mine_year order by 1").fetchall()
            assert rows == report
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(
                    "insert into lode.fault (geom) values ('srid=4326;multilinestring((1 1,1 1))')"
                )


def test_nobody_may_call_what_runs_with_its_owners_rights(conn: Connection[Any]) -> None:
    """Otherwise a trigger on somebody's own table would let them write what only the owner may."""
    rows = conn.execute(
        "select p.proname, has_function_privilege('public', p.oid, 'execute'), p.proconfig::text"
        " from pg_proc p where p.pronamespace = 'lode_api'::regnamespace and p.prosecdef"
    ).fetchall()
    assert len(rows) > 10
    assert [name for name, is_open, _settings in rows if is_open] == []
    assert [name for name, _is_open, settings in rows if "search_path=" not in (settings or "")] == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    conn: Connection[Any], database_url: str
) -> None:
    conn.execute("update lode.alembic_version set version_num = '9999'")
    conn.commit()
    before = describe_catalogue(conn)
    conn.commit()
    with pytest.raises(
        UsageError, match=r"at 9999, which this Lode \(\d+\) does not know: it was upgraded by a newer"
    ):
        upgrade(database_url)
    assert describe_catalogue(conn) == before
