"""Styles in the database without a QGIS: who writes them, when, and what `lode db check` says."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from db.api import api_files
from db.checks import run_checks
from db.connection import connect
from db.errors import UsageError
from db.qgis.names import RELATIONS
from db.qgis.qml import Category, Look, write_qml
from db.qgis.styles import install_styles, may_install_styles, style_faults
from db.upgrade import upgrade


def style_check(conn: Connection[Any]) -> list[str]:
    [result] = [result for result in run_checks(conn) if "QGIS" in result.title]
    assert result.hint == "run `lode qgis styles`"
    return result.faults


def test_a_copy_under_another_name_is_told_and_an_upgrade_mends_it(database_url: str) -> None:
    with connect(database_url) as conn:
        [fault] = style_check(conn)
        assert "are for a database named lode_test_template, this one is lode_test_" in fault
    said: list[str] = []
    upgrade(database_url, said.append)
    assert said == ["the database is up to date"]
    with connect(database_url) as conn:
        assert style_check(conn) == []
        assert conn.execute("select count(distinct f_table_catalog) from public.layer_styles").fetchone() == (
            1,
        )


def test_a_role_without_rights_upgrades_without_styles(conn: Connection[Any]) -> None:
    conn.execute("create role styles_reader")
    conn.execute("set local role styles_reader")
    assert not may_install_styles(conn)
    conn.execute("reset role")
    conn.execute("grant insert, update on public.layer_styles to styles_reader")
    conn.execute("set local role styles_reader")
    assert not may_install_styles(conn)
    conn.execute("reset role")
    conn.execute("grant select, delete on public.layer_styles to styles_reader")
    conn.execute("grant usage on sequence public.layer_styles_id_seq to styles_reader")
    conn.execute("set local role styles_reader")
    assert may_install_styles(conn)
    conn.execute("reset role")
    conn.execute("drop table public.layer_styles")
    conn.execute("set local role styles_reader")
    assert not may_install_styles(conn)
    conn.execute("reset role")
    assert may_install_styles(conn)
    conn.rollback()


def test_a_style_of_a_layer_that_is_no_more_goes(conn: Connection[Any]) -> None:
    install_styles(conn)
    conn.execute("update public.layer_styles set f_table_name = 'gone' where f_table_name = 'landcover_map'")
    assert install_styles(conn) == 4
    names = conn.execute("select f_table_name from public.layer_styles").fetchall()
    assert ("gone",) not in names
    assert ("landcover_map",) in names
    assert style_faults(conn) == []


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="shape is 'cube'; choose one of fill, outline"):
        write_qml(Look("cube"))


def test_labels_and_legends_are_escaped() -> None:
    text = write_qml(
        Look(
            "fill",
            attribute="kind",
            categories=[Category('a"<b>', "a & b <c>", "#010203")],
            aliases={"kind": "<&>"},
        )
    )
    assert 'value="a&quot;&lt;b&gt;"' in text
    assert 'label="a &amp; b &lt;c&gt;"' in text
    assert "1,2,3,255" in text


def test_every_view_has_a_name_in_both_languages() -> None:
    views = [file.name for file in api_files() if file.kind == "view"]
    unnamed = [name for name in views if not all(RELATIONS.get(name, ("", "")))]
    assert unnamed == []
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in RELATIONS[name][1]) for name in views)
