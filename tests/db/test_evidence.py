"""From a number of a report down to the polygons, scenes, networks and interpreters it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import CELL_M2, cells


@pytest.fixture(scope="module")
def account(cluster: Cluster, template_database: str) -> Iterator[Connection[Any]]:
    """Scenes that overlap, mines that overlap, a licence, and labels that a file and a client brought."""
    with copied_database(cluster, template_database) as url, connect(url) as connection:
        fill(connection)
        yield connection


def fill(conn: Connection[Any]) -> None:
    add_mine(conn, "M1", cells("xxxx\nxxxx", "x"))
    add_mine(conn, "M2", cells("..xxxx\n..xxxx", "x"))
    conn.execute(
        "update lode.mine set licence_boundary = %s::geometry where code = 'M1'",
        (ewkb(cells("xxx\nxxx", "x")).hex(),),
    )
    model = add_model(conn, "net")
    conn.execute(
        "insert into lode.model_weights (model_id, sha256, weights) values (%s, %s, '')", (model, "c0ffee")
    )
    early = add_scene(conn, "early", date(2021, 5, 1), cells("xxxx\nxxxx", "x"))
    late = add_scene(conn, "late", date(2021, 8, 1), cells("..xxxx\n..xxxx", "x"))
    publish_drawing(conn, early, model, 2021, "ppdd\nvvvv")
    publish_drawing(conn, late, model, 2021, "..ppdd\n..vvv.")
    source = conn.execute(
        "insert into lode.feature_source (kind, name, sha256, options_digest, feature_count)"
        " values ('labels', 'field.gpkg', '-', '-', 1) returning feature_source_id"
    ).fetchone()
    for drawing, scene, source_id in (
        ("......\nx.....", None, None if source is None else source[0]),
        ("......\n.xxx..", late, None),
    ):
        conn.execute(
            "insert into lode.label (land_class_code, geom, valid_on, interpreter, scene_id,"
            " feature_source_id) values (8, %s::geometry, '2021-09-01', 'Li', %s, %s)",
            (ewkb(cells(drawing, "x")).hex(), scene, source_id),
        )


def test_evidence_adds_up_to_the_damage_reported(account: Connection[Any]) -> None:
    """By mine, year and class, to 1e-9; so do exclusive and drawn ground to theirs."""
    rows = account.execute(
        "select d.mine_code, d.land_class, d.area_m2, e.area_m2, d.exclusive_area_m2, e.exclusive_area_m2,"
        " d.interpreted_area_m2, e.interpreted_area_m2"
        " from lode_api.damage_by_mine_year d"
        " left join lateral ("
        "   select sum(v.area_m2) as area_m2,"
        "     coalesce(sum(v.area_m2) filter (where v.is_exclusive), 0) as exclusive_area_m2,"
        "     coalesce(sum(v.area_m2) filter (where v.label_id is not null), 0) as interpreted_area_m2"
        "   from lode_api.evidence v"
        "   where (v.mine_code, v.year, v.land_class) = (d.mine_code, d.year, d.land_class)) e on true"
        " where d.area_m2 > 0 order by 1, 2"
    ).fetchall()
    assert [(row[0], row[1], round(row[2] / CELL_M2, 3)) for row in rows] == [
        ("M1", "open_pit", 4),
        ("M1", "subsidence", 4),
        ("M2", "dump", 2),
        ("M2", "open_pit", 2),
        ("M2", "subsidence", 2),
    ]
    for row in rows:
        assert row[3::2] == pytest.approx(row[2::2], rel=1e-9, abs=1e-9)


def test_every_piece_is_the_area_it_states(account: Connection[Any]) -> None:
    """Whole polygons carry their published outline, parts their own; pieces of a mine share no ground."""
    worst = account.execute(
        "select max(abs(area_m2 - st_area(geom::geography))), min(st_isvalid(geom)::integer)"
        " from lode_api.evidence"
    ).fetchone()
    assert worst is not None
    assert worst[0] < 1e-3
    assert worst[1] == 1
    rows = account.execute(
        "select sum(e.area_m2), st_area(st_union(e.geom)::geography), max(y.observed_area_m2)"
        " from lode_api.evidence e join lode_api.observation_by_mine_year y using (mine_code, year)"
        " group by e.mine_code"
    ).fetchall()
    for pieces, union, observed in rows:
        assert pieces == pytest.approx(union, rel=1e-9)
        assert pieces == pytest.approx(observed, rel=1e-6)


def test_a_piece_names_run_scene_and_network(account: Connection[Any]) -> None:
    """Where both scenes saw the ground the later one is named; weights and scene by their SHA-256."""
    rows = account.execute(
        "select distinct product, product_version, acquired_on, model, model_sha256, mean_probability,"
        " scene_sha256 = md5(product), run_finished_at is not null, label_id,"
        " unlicensed_area_m2 > 0"
        " from lode_api.evidence where mine_code = 'M1' and land_class = 'open_pit' order by 1"
    ).fetchall()
    early = ("early", 1, date(2021, 5, 1), "net", "c0ffee", 0.9, True, True, None, False)
    late = ("late", 1, date(2021, 8, 1), "net", "c0ffee", 0.9, True, True, None)
    assert rows == [early, (*late, True)]


def test_a_drawn_piece_names_its_interpreter(account: Connection[Any]) -> None:
    """Who drew it, for which day, on which scene, and from which file."""
    rows = account.execute(
        "select distinct interpreter, valid_on, label_source, product, run_id, model, mean_probability"
        " from lode_api.evidence where mine_code = 'M1' and kind = 'subsided' order by product"
    ).fetchall()
    assert rows == [
        ("Li", date(2021, 9, 1), None, "late", None, None, None),
        ("Li", date(2021, 9, 1), "field.gpkg", None, None, None, None),
    ]


def test_pieces_of_a_mine_are_found_by_index(account: Connection[Any]) -> None:
    """Filtered by mine and year, no table that grows with the province is read whole."""
    account.execute("set local enable_seqscan = off")
    account.execute("analyze")
    box = account.execute(
        "select st_astext(st_expand(st_centroid(boundary), 1e-5)) from lode.mine"
    ).fetchone()
    assert box is not None
    for where in ("mine_code = 'M1' and year = 2021", f"geom && st_geomfromtext('{box[0]}', 4326)"):
        rows = account.execute(f"explain select * from lode_api.evidence where {where}").fetchall()
        plan = "\n".join(line for (line,) in rows)
        for table in ("mine_piece", "mine_zone", "landcover", "mine", "label"):
            assert f"Seq Scan on {table} " not in plan
    assert "mine_piece_geom_gist" in plan
    assert "landcover_geom_gist" in plan
