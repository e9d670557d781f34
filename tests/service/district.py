"""Many small scenes of two years over mines, a network trained in seconds, and what was published of them.

``published`` is what two databases are compared by: everything that a fault must not change, byte for byte,
without keys that the database counts up (a transaction that is rolled back uses some of them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import torch
from affine import Affine
from numpy.typing import NDArray
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from ingest.declaration import Statement
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.requests import FeatureRequest
from ingest.scene import ingest_scene
from tests.catalogue_rows import add_mine
from tests.conftest import copied_database
from tests.fields import train, write_labels, write_scene
from tests.ingest_files import write_tiff
from tests.service.workers import wait_for

NETWORK = "net"
PIXEL_M = 10.0
WEST, NORTH = 520_000.0, 4_860_000.0
_LEVELS = np.array([[400, 300, 500, 900], [300, 350, 300, 2200], [700, 600, 800, 1000]])
_FIELD_PX = 12

CONTENT = {
    "landcover": (
        "select s.product, l.land_class_code, l.start_date, l.end_date, l.area_m2, l.mean_probability,"
        " st_asewkb(l.geom) from lode.landcover l join lode.run r on r.run_id = l.run_id"
        " join lode.scene s on s.scene_id = r.scene_id order by s.product, l.landcover_id"
    ),
    "observation": (
        "select s.product, o.year, o.area_m2, o.owned_area_m2, st_asewkb(o.geom), st_asewkb(o.owned)"
        " from lode.observation o join lode.run r on r.run_id = o.run_id"
        " join lode.scene s on s.scene_id = r.scene_id order by s.product, r.run_id"
    ),
    "damage": "select to_jsonb(d) - 'ogc_fid' from lode_api.damage_by_mine_year d order by 1",
    "change": "select to_jsonb(c) - 'ogc_fid' from lode_api.change_by_mine_year c order by 1",
    "runs": (
        "select s.product, r.status, r.is_current from lode.run r"
        " join lode.scene s on s.scene_id = r.scene_id"
        " where r.status = 'published' order by s.product, r.run_id"
    ),
}


def products(count: int) -> list[str]:
    """Names of the scenes."""
    return [f"s{number:03d}" for number in range(count)]


def fill_district(url: str, folder: Path, *, scenes: int, side_px: int = 96) -> None:
    """Bring scenes, mines and a network into a fresh database.

    Scenes 2n and 2n + 1 lie at one place, a year apart, with other pixels; a mine covers the middle of it.

    Args:
        url: of the database.
        folder: for the files the scenes come from.
        scenes: how many.
        side_px: their side, pixels of 10 m.

    """
    with connect(url) as conn:
        statement = Statement(sensor="gf2_pms", acquired_on=date(2020, 6, 19), product="fields")
        ingest_scene(conn, source_file(write_scene(folder)), statement)
        labels = FeatureRequest(source_file(write_labels(folder)))
        ingest_labels(conn, labels, LabelRequest(product="fields"))
        conn.commit()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        train(url, NETWORK, "unet", ("blue", "green", "red", "nir"), seed=1)
        torch.set_num_threads(threads)
        for number, product in enumerate(products(scenes)):
            place, later = divmod(number, 2)
            west = WEST + place * (side_px + 4) * PIXEL_M
            path = write_tiff(
                folder / f"{product}.tif",
                scene_pixels(number, side_px),
                nodata=0,
                transform=Affine(PIXEL_M, 0, west, 0, -PIXEL_M, NORTH),
            )
            day = date(2021 + later, 6, 1 + place % 28)
            ingest_scene(
                conn, source_file(path), Statement(sensor="gf2_pms", acquired_on=day, product=product)
            )
            conn.commit()
            if not later:
                add_mine(conn, f"M{place:03d}", _inner(west, side_px))
        conn.commit()
    with connect(url, autocommit=True) as conn:
        conn.execute("analyze")


def scene_pixels(seed: int, side_px: int) -> NDArray[np.uint16]:
    """(4, side, side): fields of three kinds in noise."""
    rng = np.random.default_rng(100 + seed)
    fields = -(-side_px // _FIELD_PX)
    kinds = np.kron(rng.integers(0, 3, (fields, fields)), np.ones((_FIELD_PX, _FIELD_PX), int))
    means = _LEVELS[kinds[:side_px, :side_px]].transpose(2, 0, 1)
    values = means * rng.normal(1, 0.2, means.shape)
    pixels: NDArray[np.uint16] = values.clip(1, 9000).astype(np.uint16)
    return pixels


def _inner(west: float, side_px: int) -> shapely.MultiPolygon:
    """The middle of a scene, EPSG:4326."""
    edge = side_px * PIXEL_M
    square = shapely.box(west + edge / 6, NORTH - edge * 5 / 6, west + edge * 5 / 6, NORTH - edge / 6)
    to_wgs84 = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    turned = shapely.transform(
        shapely.segmentize(square, 200), lambda xy: np.column_stack(to_wgs84.transform(*xy.T))
    )
    return shapely.MultiPolygon([turned])


@contextmanager
def split_district(cluster: Cluster, template: str, block_rows_px: int | None, side_px: int) -> Iterator[str]:
    """URL of a copy of a district; its scenes are split into blocks of so many rows, None: not at all."""
    with copied_database(cluster, template) as url:
        if block_rows_px is not None:
            with connect(url, autocommit=True) as conn:
                name = conn.info.dbname
                conn.execute(f"alter database {name} set lode.block_px = '{side_px * block_rows_px}'")
        yield url


def published(url: str) -> dict[str, str]:
    """Digest of what was published, by kind; equal where every byte is."""
    found = {}
    with connect(url) as conn:
        for kind, query in CONTENT.items():
            found[kind] = _digest(conn, query)
        for product, run_id in conn.execute(
            "select s.product, r.run_id from lode.run r join lode.scene s on s.scene_id = r.scene_id"
            " where r.status = 'published' order by 1, 2"
        ).fetchall():
            query = f"select rid, st_asbinary(rast) from lode_raster.probability_{run_id} order by rid"
            found[f"probability of {product}"] = _digest(conn, query)
    return found


def left_behind(conn: Connection[Any]) -> dict[str, int]:
    """What must be nothing when all work is done: staged rows, tables of unpublished runs, jobs, workers."""
    counts = {
        "staged rows": "select count(*) from lode.run_stage",
        "tables of no published run": (
            "select count(*) from pg_class c where c.relnamespace = 'lode_raster'::regnamespace"
            " and c.relkind = 'r' and c.relname ~ '^(o_[0-9]+_)?probability_[0-9]+$'"
            " and substring(c.relname from '[0-9]+$')::integer not in"
            " (select run_id from lode.run where status in ('published', 'withdrawn'))"
        ),
        "polygons of no published run": (
            "select count(*) from lode.landcover l join lode.run r on r.run_id = l.run_id"
            " where r.status not in ('published', 'withdrawn')"
        ),
        "jobs": "select count(*) from lode_queue.procrastinate_jobs where status in ('todo', 'doing')",
    }
    found = {}
    for name, query in counts.items():
        row = conn.execute(query.encode()).fetchone()
        found[name] = -1 if row is None else int(row[0])
    return found


NOTHING = {"staged rows": 0, "tables of no published run": 0, "polygons of no published run": 0, "jobs": 0}


def expect_nothing_left(url: str, timeout_s: float = 60.0) -> None:
    """Wait until nothing is: a worker ends a job moments after its run is published."""
    found: dict[str, int] = {}

    def is_clean() -> bool:
        with connect(url) as conn:
            found.update(left_behind(conn))
        return found == NOTHING

    try:
        wait_for(is_clean, "nothing left behind", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {found}") from None


def _digest(conn: Connection[Any], query: str) -> str:
    rows = conn.execute(query.encode()).fetchall()
    return f"{len(rows)} rows, {hashlib.sha256(repr(rows).encode()).hexdigest()}"
