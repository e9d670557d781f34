"""Rows for tests that begin after ingest or after inference: scenes, models, mines, published runs."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection
from shapely import MultiPolygon

from db import landcover, runs
from tests.grids import cells

CODES = {"b": 0, "v": 1, "w": 2, "l": 3, "i": 4, "d": 5, "p": 6, "t": 7}
"""Letters of drawn ground: the class's first letter, i for the industrial square, p for the pit."""


def ewkb(geometry: MultiPolygon) -> bytes:
    """EWKB with SRID 4326."""
    import shapely

    return bytes(shapely.to_wkb(shapely.set_srid(geometry, 4326), include_srid=True))


def add_scene(conn: Connection[Any], product: str, acquired_on: date, footprint: MultiPolygon) -> int:
    """A catalogue row without pixels."""
    row = conn.execute(
        "insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x, origin_y,"
        " resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type, processing_level,"
        " valid_fraction, sha256, source_name, tile_table, tile_px) select %s, sensor_id, %s, %s::geometry,"
        " 32645, 500000, 4860000, 100, 100, 10, 10, '{blue,green,red,nir}', '16BUI', 'digital_number', 1,"
        " md5(%s), 'drawn', %s, 256 from lode.sensor where key = 'gf2_pms' returning scene_id",
        (product, acquired_on, ewkb(footprint).hex(), product, f"drawn_{product}"),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_model(conn: Connection[Any], name: str, codes: tuple[int, ...] = tuple(range(8))) -> int:
    """A registry row without weights."""
    row = conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values (%s,"
        " 'segmentation', 'drawn', '{}', %s, %s, '{blue,green,red,nir}', 100, 64, '{}', '{}', '[]', '{}',"
        " '{}')"
        " returning model_id",
        (name, list(codes), list(codes)),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_mine(conn: Connection[Any], code: str, boundary: MultiPolygon) -> int:
    """A mine."""
    row = conn.execute(
        "insert into lode.mine (code, name, boundary) values (%s, %s, %s::geometry) returning mine_id",
        (code, f"mine {code}", ewkb(boundary).hex()),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_label(
    conn: Connection[Any],
    land_class_code: int,
    geometry: MultiPolygon,
    valid_on: date,
    *,
    is_counted: bool = False,
    interpreter: str | None = None,
) -> int:
    """A label drawn on no scene."""
    row = conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, is_counted, interpreter)"
        " values (%s, %s::geometry, %s, %s, %s) returning label_id",
        (land_class_code, ewkb(geometry).hex(), valid_on, is_counted, interpreter),
    ).fetchone()
    assert row is not None
    return int(row[0])


def publish_drawing(
    conn: Connection[Any], scene_id: int, model_id: int, year: int, drawing: str, *, current: bool = True
) -> int:
    """Publish drawn ground (letters of ``CODES``; anything else was not observed) as a run of the scene."""
    run = runs.request_interpretation(conn, scene_id, model_id)
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    present = [letter for letter in CODES if letter in drawing]
    landcover.insert_landcover(
        conn, run.run_id, year, [(CODES[letter], ewkb(cells(drawing, letter)), 0.9) for letter in present]
    )
    landcover.insert_observation(conn, run.run_id, year, ewkb(cells(drawing, "".join(present))))
    runs.mark_published(conn, claim, figures={})
    if current:
        runs.make_current(conn, run.run_id)
    return run.run_id
