"""A mining province of the size of the central Tianshan: scenes of land cover polygons, mines, three years.

The ground is made up: fields of noise, sieved and outlined as an interpretation is, so that polygons have as
many vertices and holes as those of 2 m scenes have: damage in patches inside the mines, and round them
undamaged ground that hangs together through the whole scene. One scene's ground is laid side by side as often
as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from psycopg import Connection
from scipy.ndimage import gaussian_filter, zoom

from db.landcover import insert_landcover, insert_observation
from inference.polygonise import polygonise, sieve

SRID = 32645
PIXEL_M = 2.0
SIDE_PX = 4096
MINES_A_SIDE = 12
YEARS = (2021, 2022, 2023)
CLASSES = 8
WEST_M, NORTH_M = 300_000.0, 4_860_000.0
SCENES_A_ROW = 6
MIN_PATCH_PX = 100
ROUGHNESS = 0.15
YEARLY_CHANGE = 0.25

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Ground:
    """Polygons of one scene in one year, relative to its upper left corner, in metres of its grid.

    Attributes:
        codes: class code of each polygon.
        outlines: MultiPolygons.

    """

    codes: npt.NDArray[np.uint8]
    outlines: npt.NDArray[np.object_]


def _field(random: np.random.Generator, coarse_px: int, sigma: float) -> npt.NDArray[np.float32]:
    side = SIDE_PX // coarse_px
    noise = gaussian_filter(random.standard_normal((side, side)).astype(np.float32), sigma)
    return np.asarray(zoom(noise / noise.std(), coarse_px, order=1), np.float32)


def class_maps(seed: int = 1) -> list[Codes]:
    """Class maps (side, side) of the years: mines are islands of damage in undamaged ground."""
    random = np.random.default_rng(seed)
    scores = np.stack([_field(random, 8, 2.0) for _ in range(CLASSES)])
    scores[:2] += _remoteness()
    rough = np.stack([_field(random, 2, 1.0) for _ in range(CLASSES)])
    maps = []
    for year in range(len(YEARS)):
        if year:
            scores += YEARLY_CHANGE * np.stack([_field(random, 8, 3.0) for _ in range(CLASSES)])
        codes = np.argmax(scores + ROUGHNESS * rough, axis=0).astype(np.uint8)
        maps.append(sieve_codes(codes))
    return maps


def _remoteness() -> npt.NDArray[np.float32]:
    """What undamaged ground has in advance (side, side): nothing inside a mine, much beyond its edge."""
    cell_px = SIDE_PX / MINES_A_SIDE
    offset = (np.arange(SIDE_PX) % cell_px) / cell_px - 0.5
    distance = np.hypot(offset[:, None], offset[None, :])
    return np.asarray(np.clip((distance - 0.30) / 0.10, 0.0, 1.0) * 3.5, np.float32)


def sieve_codes(codes: Codes) -> Codes:
    """The map without patches below 400 m2."""
    sieved = codes.copy()
    sieve(codes, dict.fromkeys(range(CLASSES), MIN_PATCH_PX), out=sieved)
    return sieved


def grounds() -> list[Ground]:
    """The polygons of a scene, for each year."""
    found = []
    for codes in class_maps():
        patches = polygonise(codes, origin_x=0.0, origin_y=0.0, resolution_x=PIXEL_M, resolution_y=PIXEL_M)
        outlines = shapely.from_wkb(patches.polygons.to_ewkb(SRID).to_list())
        found.append(Ground(np.asarray(patches.class_code), outlines))
    return found


def corner_m(scene: int) -> tuple[float, float]:
    """Upper left corner of a scene on the grid, m."""
    side_m = SIDE_PX * PIXEL_M
    return WEST_M + scene % SCENES_A_ROW * side_m, NORTH_M - scene // SCENES_A_ROW * side_m


_TO_WGS84 = pyproj.Transformer.from_crs(SRID, 4326, always_xy=True)


def _placed(outlines: Any, scene: int) -> Any:
    x, y = corner_m(scene)

    def move(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(_TO_WGS84.transform(xy[:, 0] + x, xy[:, 1] + y))

    return shapely.set_srid(shapely.transform(outlines, move), 4326)


def publish_scene(conn: Connection[Any], ground: Ground, *, scene: int, year: int, model_id: int) -> int:
    """Publish a scene's polygons; areas and change are derived in the same transaction.

    Returns:
        The number of polygons.

    """
    square = shapely.segmentize(shapely.box(0, -SIDE_PX * PIXEL_M, SIDE_PX * PIXEL_M, 0), 500.0)
    outline = shapely.to_wkb(_placed(shapely.MultiPolygon([square]), scene), include_srid=True)
    with conn.transaction():
        run_id = _insert_run(conn, f"T{scene:03d}-{year}", year, outline, model_id)
        outlines = shapely.to_wkb(_placed(ground.outlines, scene), include_srid=True)
        rows = ((int(code), wkb, 0.9) for code, wkb in zip(ground.codes, outlines, strict=True))
        stored = insert_landcover(conn, run_id, year, rows)
        insert_observation(conn, run_id, year, outline)
        conn.execute(
            "update lode.run set status = 'published', is_current = true where run_id = %s", (run_id,)
        )
    return stored


def _insert_run(conn: Connection[Any], product: str, year: int, outline: bytes, model_id: int) -> int:
    row = conn.execute(
        "with s as (insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x,"
        " origin_y, resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type,"
        " processing_level, valid_fraction, sha256, source_name, tile_table, tile_px)"
        " select %(name)s, sensor_id, make_date(%(year)s, 7, 1), %(outline)s::geometry, %(srid)s, 0, 0, 2, 2,"
        " 1, 1, '{a}', '8BUI', 'digital_number', 1, md5(%(name)s), 'made up', 'none_' || %(name)s, 256"
        " from lode.sensor where key = 'gf2_pms' returning scene_id)"
        " insert into lode.run (scene_id, model_id, parameters, parameters_digest, status, token)"
        " select scene_id, %(model)s, '{}', '-', 'running', gen_random_uuid() from s returning run_id",
        {"name": product, "year": year, "outline": outline.hex(), "srid": SRID, "model": model_id},
    ).fetchone()
    return int(row[0]) if row else 0


def insert_model(conn: Connection[Any]) -> int:
    """A registry row without weights, which maps all eight classes."""
    row = conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values ('made up',"
        " 'segmentation', 'none', '{}', '{0,1,2,3,4,5,6,7}', '{0,1,2,3,4,5,6,7}', '{a}', 2, 64, '{}', '{}',"
        " '[]', '{}', '{}') returning model_id"
    ).fetchone()
    return int(row[0]) if row else 0


def insert_mines(conn: Connection[Any], count: int, *, seed: int = 2) -> None:
    """Mines with ragged boundaries, 144 a scene; some overlap, most have a smaller licence."""
    random = np.random.default_rng(seed)
    rows = list(_mines(random, count))
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "insert into lode.mine (code, name, mining_method, boundary, licence_boundary)"
            " values (%s, %s, 'open_cast', %s::geometry, %s::geometry)",
            rows,
        )


def _mines(random: np.random.Generator, count: int) -> Iterator[tuple[str, str, str, str | None]]:
    cell_m = SIDE_PX * PIXEL_M / MINES_A_SIDE
    for number in range(count):
        scene, place = divmod(number, MINES_A_SIDE**2)
        x = (place % MINES_A_SIDE + 0.5) * cell_m
        y = -(place // MINES_A_SIDE + 0.5) * cell_m
        angles = np.sort(random.uniform(0, 2 * np.pi, 40))
        radius = cell_m * random.uniform(0.42, 0.52) * random.uniform(0.9, 1.1, 40)
        ring = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
        boundary = shapely.MultiPolygon([shapely.Polygon(ring)])
        licence = None
        if random.random() < 0.8:
            share = random.uniform(0.85, 1.0)
            inner = np.column_stack([x + share * (ring[:, 0] - x), y + share * (ring[:, 1] - y)])
            licence = shapely.MultiPolygon([shapely.Polygon(inner)])
        shapes = [None if shape is None else _hex(shape, scene) for shape in (boundary, licence)]
        yield f"T{number:05d}", f"mine {number}", str(shapes[0]), shapes[1]


def _hex(shape: shapely.MultiPolygon, scene: int) -> str:
    return str(shapely.to_wkb(_placed(shape, scene), hex=True, include_srid=True))
