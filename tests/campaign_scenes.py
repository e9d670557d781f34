"""Drawn scenes for campaigns: what they are made of, and what is published of them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import shapely

import lode
from db.connection import connect
from tests.catalogue_rows import add_mine
from tests.db.trials import QUICK, SIDE_PX, cell, drawn_scene, fill, ingest
from tests.support import rows

BLOCK_ROWS = 48
"""Two strides of the network's windows: a scene is split into three blocks."""

PRODUCTS = ("a", "b", "small")
"""In the order in which a campaign begins them; the last has one block."""

_PUBLISHED = (
    "select s.product, l.land_class_code, l.start_date, l.end_date, l.area_m2, l.mean_probability,"
    " st_asewkb(l.geom)"
    " from lode.landcover l join lode.run r using (run_id) join lode.scene s using (scene_id)"
    " order by s.product, l.landcover_id",
    "select s.product, o.year, o.area_m2, o.owned_area_m2, st_asewkb(o.geom)"
    " from lode.observation o join lode.run r using (run_id) join lode.scene s using (scene_id) order by 1",
    "select m.code, y.year, y.observed_area_m2, a.land_class_code, a.area_m2"
    " from lode.mine_area a join lode.mine_year y using (mine_year_id) join lode.mine m using (mine_id)"
    " order by 1, 2, 4",
    "select s.product, r.status, r.is_current from lode.run r join lode.scene s using (scene_id) order by 1",
)


def stock(url: str, folder: Path) -> None:
    """Scenes of one day over the same ground, a mine, and a network ``x``, into a fresh database."""
    fill(url, folder)
    with connect(url) as conn:
        for seed, product in enumerate(PRODUCTS[1:-1], 2):
            ingest(conn, folder, product, drawn_scene(seed)[0])
        ingest(conn, folder, PRODUCTS[-1], drawn_scene(9)[0][:, : SIDE_PX // 2])
        shape = shapely.union_all([cell(2, 3), cell(2, 4), cell(3, 3)])
        add_mine(conn, "M", shapely.MultiPolygon([shape]))
        conn.commit()
    with patch.dict(os.environ, {"LODE_DATABASE_URL": url}):
        assert lode.run(["train", "segmentation", "--name", "x", *QUICK]) == 0


def split(url: str) -> None:
    """Let runs asked for from now on have blocks of ``BLOCK_ROWS`` rows."""
    with connect(url, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f"alter database {name} set lode.block_px = '{SIDE_PX * BLOCK_ROWS}'")


def published(url: str) -> list[list[tuple[Any, ...]]]:
    """All that was published and derived, byte for byte, without the keys that were given in passing."""
    found = [rows(url, query) for query in _PUBLISHED]
    runs = rows(
        url,
        "select s.product, r.run_id from lode.run r join lode.scene s using (scene_id)"
        " where r.status = 'published' order by 1",
    )
    tiles = "select %s, rid, st_asbinary(rast) from lode_raster.probability_{} order by rid"
    return found + [rows(url, tiles.format(run_id), product) for product, run_id in runs]


def attempts(url: str) -> dict[tuple[str, int], int]:
    """How often each block was started."""
    return {
        (product, block): attempt
        for product, block, attempt in rows(
            url,
            "select s.product, b.block, b.attempt from lode.run_block b join lode.run r using (run_id)"
            " join lode.scene s using (scene_id)",
        )
    }


def assert_nothing_is_left(url: str) -> None:
    """No row in staging, no run half done, no tile table without its run, nobody connected."""
    assert rows(url, "select count(*) from lode.run_stage") == [(0,)]
    assert rows(url, "select run_id from lode.run where status in ('requested', 'running')") == []
    assert (
        rows(
            url,
            "select c.relname from pg_class c where c.relname ~ '^probability_[0-9]+$' and not exists ("
            " select from lode.run r where c.relname = 'probability_' || r.run_id)",
        )
        == []
    )
    no_advisory_lock_is_left(url)


def no_advisory_lock_is_left(url: str) -> None:
    """Nobody holds a lock of this database's: sessions of processes that ended give theirs up in a moment."""
    held = (
        "select a.application_name, a.state, l.objid from pg_locks l left join pg_stat_activity a using (pid)"
        " where l.locktype = 'advisory'"
        " and l.database = (select oid from pg_database where datname = current_database())"
    )
    deadline = time.monotonic() + 30
    while found := rows(url, held):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
