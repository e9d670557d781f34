"""The mining province in the database: mines, scenes and their polygons, regions, labels, an assessment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from benchmarks.tianshan import (
    CELL_M,
    NORTH_M,
    PIXEL_M,
    SCENES_A_ROW,
    SIDE_PX,
    SRID,
    WEST_M,
    YEARS,
    Ground,
    Scenery,
    blob,
    corner_m,
    in_degrees,
    middle_m,
    mines,
    scene_count,
)
from db import runs
from db.assessments.draw import SampleDesign, draw_assessment
from db.labels import ewkb_hex
from db.landcover import insert_landcover_rows, insert_observation
from db.regions import RegionLayer, upsert_layer
from inference.publish import landcover_rows

ASSESSMENT = "made up 2022"
ASSESSED_YEAR = 2022
SAMPLE_POINTS = 600
WRONG_EVERY = 9
"""Every so manieth point is found to be of another class than the map says."""

COUNTIES_A_SCENE = 2
COUNTY_VERTICES = 400
RED_LINE_EVERY = 25
LABEL_EVERY = 40
SUBSIDENCE, TREATED_PIT = 8, 9


def insert_mines(conn: Connection[Any], count: int) -> None:
    """Mines of the province, in one statement."""
    listed = list(mines(count))
    conn.execute(
        "insert into lode.mine (code, name, mining_method, boundary, licence_boundary)"
        " select m.code, 'mine ' || m.code, 'open_cast', m.boundary::geometry, m.licence::geometry"
        " from unnest(%s::text[], %s::text[], %s::text[]) as m(code, boundary, licence)",
        (
            [mine.code for mine in listed],
            [ewkb_hex(mine.boundary) for mine in listed],
            [None if mine.licence is None else ewkb_hex(mine.licence) for mine in listed],
        ),
    )


def insert_model(conn: Connection[Any]) -> int:
    """A registry row without weights, which maps all eight classes."""
    row = conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values ('made up',"
        " 'segmentation', 'none', '{}', '{0,1,2,3,4,5,6,7}', '{0,1,2,3,4,5,6,7}', '{a}', 2, 64, '{}', '{}',"
        " '[]', '{}', '{}') returning model_id"
    ).fetchone()
    if row is None:
        raise RuntimeError("the model was not stored")
    return int(row[0])


def store_scenes(conn: Connection[Any], scenery: Scenery, count: int, model_id: int) -> Iterator[int]:
    """Store and publish a scene for every place and year, without deriving what stands on them.

    The triggers of ``lode.run`` are switched off meanwhile: whoever refreshes afterwards derives. The caller
    commits after each.

    Returns:
        The number of polygons, scene by scene.

    """
    for place in range(scene_count(count)):
        for year in YEARS:
            ground = scenery.of_place(year, place, count)
            conn.execute("alter table lode.run disable trigger user")
            yield publish_scene(
                conn,
                ground,
                product=f"T{place:03d}-{year}",
                acquired_on=date(year, 7, 1),
                place=place,
                model_id=model_id,
            )
    conn.execute("alter table lode.run enable trigger user")


def publish_scene(
    conn: Connection[Any], ground: Ground, *, product: str, acquired_on: date, place: int, model_id: int
) -> int:
    """Publish a scene; areas, change, regions and alerts are derived by triggers. The caller commits.

    Returns:
        The number of polygons.

    """
    scene_id = _insert_scene(conn, product, acquired_on, ground, place)
    run = runs.request_interpretation(conn, scene_id, model_id)
    claim = runs.claim_run(conn, run.run_id, device="none", versions={})
    runs.hold_for_publication(conn, claim)
    patches = ground.at(place)
    stored = insert_landcover_rows(conn, run.run_id, acquired_on.year, landcover_rows(patches))
    outline = patches.observation.to_ewkb(4326, as_one=True).to_list()[0]
    insert_observation(conn, run.run_id, acquired_on.year, outline)
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    return stored


def _insert_scene(conn: Connection[Any], product: str, acquired_on: date, ground: Ground, place: int) -> int:
    x, y = corner_m(place)
    north, south = y - ground.rows.start * CELL_M, y - ground.rows.stop * CELL_M
    square = shapely.segmentize(shapely.box(x, south, x + SIDE_PX * PIXEL_M, north), 500.0)
    row = conn.execute(
        "insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x, origin_y,"
        " resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type, processing_level,"
        " cloud_fraction, valid_fraction, sha256, source_name, tile_table, tile_px)"
        " select %(name)s, sensor_id, %(day)s, %(outline)s::geometry, %(srid)s, %(x)s, %(y)s, 2, 2,"
        " %(width)s, %(height)s, '{a}', '8BUI', 'digital_number', %(clouds)s, 1, md5(%(name)s), 'made up',"
        " 'none_' || %(name)s, 256 from lode.sensor where key = 'gf2_pms' returning scene_id",
        {
            "name": product,
            "day": acquired_on,
            "outline": ewkb_hex(in_degrees(shapely.get_coordinates(square))),
            "srid": SRID,
            "x": x,
            "y": north,
            "width": SIDE_PX,
            "height": round((north - south) / PIXEL_M),
            "clouds": ground.cloud_fraction,
        },
    ).fetchone()
    if row is None:
        raise RuntimeError("the scene was not stored")
    return int(row[0])


def insert_regions(conn: Connection[Any], count: int, *, seed: int = 3) -> None:
    """Two layers: counties side by side over all scenes, and a red line, which is protected.

    Borders of counties wind through mines; the red line takes a part of one mine in 25.
    """
    random = np.random.default_rng(seed)
    counties = upsert_layer(conn, RegionLayer("county", "Counties", "县"))
    _insert_regions(conn, counties, "C", _counties(count, random))
    red_line = upsert_layer(
        conn, RegionLayer("red_line", "Ecological red line", "生态红线", is_protected=True)
    )
    places = (middle_m(number) for number in range(0, count, RED_LINE_EVERY))
    _insert_regions(
        conn,
        red_line,
        "R",
        [blob((x + 0.3 * CELL_M, y), 0.5 * CELL_M, random, edges=COUNTY_VERTICES) for x, y in places],
    )


def _counties(count: int, random: np.random.Generator) -> list[shapely.MultiPolygon]:
    """Strips from north to south whose common borders wind."""
    scenes = scene_count(count)
    wide = min(scenes, SCENES_A_ROW)
    high = -(-scenes // SCENES_A_ROW)
    side_m = SIDE_PX * PIXEL_M
    north, south = NORTH_M + 500, NORTH_M - high * side_m - 500
    y = np.linspace(north, south, COUNTY_VERTICES)
    borders = []
    for number in range(wide * COUNTIES_A_SCENE + 1):
        walk = np.cumsum(random.normal(0, 30.0, COUNTY_VERTICES))
        middle = WEST_M + number * side_m / COUNTIES_A_SCENE
        if number in (0, wide * COUNTIES_A_SCENE):
            middle += -1000 if number == 0 else 1000
        borders.append(np.column_stack([middle + np.clip(walk, -900, 900), y]))
    return [in_degrees(np.concatenate([left, right[::-1]])) for left, right in pairwise(borders)]


def _insert_regions(
    conn: Connection[Any], layer_id: int, letter: str, outlines: Iterable[shapely.MultiPolygon]
) -> None:
    listed = [ewkb_hex(outline) for outline in outlines]
    codes = [f"{letter}{number:03d}" for number in range(len(listed))]
    conn.execute(
        "insert into lode.region (region_layer_id, code, name, geom)"
        " select %s, r.code, 'region ' || r.code, r.geom::geometry"
        " from unnest(%s::text[], %s::text[]) as r(code, geom)",
        (layer_id, codes, listed),
    )


def insert_labels(conn: Connection[Any], count: int, *, seed: int = 4) -> int:
    """What interpreters drew in one mine of 40: a subsidence in 2022, of which a part is treated in 2023.

    Accounts follow by triggers. The caller commits.

    Returns:
        The number of labels.

    """
    random = np.random.default_rng(seed)
    rows = []
    for number in range(LABEL_EVERY // 2, count, LABEL_EVERY):
        place = middle_m(number)
        rows.append((SUBSIDENCE, date(2022, 8, 1), ewkb_hex(blob(place, 0.12 * CELL_M, random))))
        rows.append((TREATED_PIT, date(2023, 8, 1), ewkb_hex(blob(place, 0.08 * CELL_M, random))))
    conn.execute(
        "insert into lode.label (land_class_code, valid_on, geom, interpreter, is_counted)"
        " select l.code, l.valid_on, l.geom::geometry, 'Li', true"
        " from unnest(%s::integer[], %s::date[], %s::text[]) as l(code, valid_on, geom)",
        [list(column) for column in zip(*rows, strict=True)] if rows else ([], [], []),
    )
    return len(rows)


def insert_assessment(conn: Connection[Any]) -> int:
    """An assessment of one year whose points are all answered, some otherwise than the map says.

    Returns:
        The number of points.

    """
    draw_assessment(
        conn, ASSESSMENT, SampleDesign(year=ASSESSED_YEAR, per_stratum=30, total=SAMPLE_POINTS, seed=5)
    )
    return conn.execute(
        "insert into lode.sample_answer (sample_point_id, interpreter, land_class_code)"
        " select p.sample_point_id, 'Li',"
        " case when p.number %% %s = 0 then (s.land_class_code + 1) %% 8 else s.land_class_code end"
        " from lode.sample_point p"
        " join lode.assessment_stratum s on s.assessment_stratum_id = p.assessment_stratum_id",
        (WRONG_EVERY,),
    ).rowcount
