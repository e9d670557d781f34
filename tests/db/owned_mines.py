"""A database with three mines side by side, of which a login owns one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from db.connection import connect
from db.embedded import Cluster
from db.role_logins import add_login, remove_login
from db.upgrade import upgrade
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells

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
"""Login that owns the mine OWN."""


@contextmanager
def owned_database(cluster: Cluster, template: str) -> Iterator[str]:
    """URL of the database."""
    with copied_database(cluster, template) as url:
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
