"""A class map of 4096 x 4096 to polygons in PostGIS, beside rasterio.features.shapes and GeoPandas.

    python -m benchmarks.polygonise [--side-px 4096] [--runs 3]

Both sides begin with the same class map in memory and end with committed polygons in EPSG:4326 with their
geodesic area and a spatial index. Ours also keeps neighbours fitting each other; the peer does not have to.
"""

from __future__ import annotations

import time

import click
import geopandas
import numpy as np
import rasterio.features
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from psycopg import Connection
from scipy.ndimage import gaussian_filter, zoom
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from benchmarks.measure import benchmark_database, paired_runs, report
from db.connection import connect
from db.errors import UsageError
from db.landcover import insert_landcover
from inference.polygonise import polygonise

ORIGIN_X, ORIGIN_Y, PIXEL_M, SRID = 500_000.0, 4_860_000.0, 2.0, 32645
CLASSES = 8


def class_map(side_px: int) -> NDArray[np.uint8]:
    """Patches of eight classes with ragged edges, like a network's answer before small ones are merged."""
    rng = np.random.default_rng(1)
    coarse = [gaussian_filter(rng.standard_normal((side_px // 8, side_px // 8)), 2.5) for _ in range(CLASSES)]
    fine = rng.standard_normal((CLASSES, side_px // 2, side_px // 2)).astype(np.float32)
    scores = [
        zoom(np.float32(a), 8, order=1) + zoom(gaussian_filter(b, 0.8), 2, order=1) * 0.12
        for a, b in zip(coarse, fine, strict=True)
    ]
    codes: NDArray[np.uint8] = np.argmax(scores, axis=0).astype(np.uint8)
    return codes


def prepare(conn: Connection[tuple[object, ...]]) -> None:
    """A scene, a model and a run that the polygons can belong to."""
    conn.execute(
        "insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x, origin_y,"
        " resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type, processing_level,"
        " valid_fraction, sha256, source_name, tile_table, tile_px) select 'map', sensor_id, '2021-06-01',"
        " st_geomfromtext('multipolygon(((87 43,88 43,88 44,87 43)))', 4326), 32645, 0, 0, 2, 2, 1, 1, '{a}',"
        " '8BUI', 'digital_number', 1, '-', 'map', 'none', 256 from lode.sensor limit 1"
    )
    conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values ('net',"
        " 'segmentation', '-', '{}', '{0}', '{0}', '{a}', 2, 64, '{}', '{}', '[]', '{}', '{}')"
    )
    conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest)"
        " select scene_id, model_id, '{}', '-' from lode.scene, lode.model"
    )
    conn.commit()


def run_ours(url: str, codes: NDArray[np.uint8]) -> tuple[float, int]:
    """Seconds and number of polygons."""
    with connect(url) as conn:
        conn.execute("delete from lode.landcover")
        conn.commit()
        begun = time.perf_counter()
        patches = polygonise(
            codes, origin_x=ORIGIN_X, origin_y=ORIGIN_Y, resolution_x=PIXEL_M, resolution_y=PIXEL_M
        ).to_wgs84(SRID)
        rows = zip(patches.class_code.tolist(), patches.polygons.to_ewkb(4326).to_list(), strict=True)
        stored = insert_landcover(conn, 1, 2021, ((code, wkb, None) for code, wkb in rows))
        conn.commit()
        return time.perf_counter() - begun, stored


def run_peer(url: str, codes: NDArray[np.uint8]) -> tuple[float, int]:
    """Seconds and number of polygons."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    transform = Affine(PIXEL_M, 0, ORIGIN_X, 0, -PIXEL_M, ORIGIN_Y)
    begun = time.perf_counter()
    found = list(rasterio.features.shapes(codes, transform=transform))
    frame = geopandas.GeoDataFrame(
        {"land_class_code": [int(value) for _, value in found]},
        geometry=[shapely.geometry.shape(geometry) for geometry, _ in found],
        crs=SRID,
    ).to_crs(4326)
    frame.to_postgis("peer_landcover", engine, if_exists="replace")
    with engine.begin() as connection:
        connection.exec_driver_sql("alter table peer_landcover add column area_m2 double precision")
        connection.exec_driver_sql("update peer_landcover set area_m2 = st_area(geometry::geography)")
    seconds = time.perf_counter() - begun
    engine.dispose()
    return seconds, len(frame)


def area_m2(url: str, table: str) -> float:
    """Sum of the areas of a table of polygons, m2."""
    with connect(url) as conn:
        row = conn.execute(f"select sum(area_m2) from {table}".encode()).fetchone()
    if row is None:
        raise UsageError(f"{table} is empty")
    return float(str(row[0]))


@click.command()
@click.option("--side-px", type=click.IntRange(min=256), default=4096, show_default=True)
@click.option("--runs", type=click.IntRange(min=3), default=3, show_default=True)
def main(side_px: int, runs: int) -> None:
    """Measure and print the result as JSON on the last line."""
    codes = class_map(side_px // 16 * 16)
    with benchmark_database() as url:
        with connect(url) as conn:
            prepare(conn)
        counts: set[int] = set()

        def ours() -> float:
            seconds, count = run_ours(url, codes)
            counts.add(count)
            return seconds

        def peer() -> float:
            seconds, count = run_peer(url, codes)
            counts.add(count)
            return seconds

        both = paired_runs(ours, peer, runs=runs)
        difference = abs(area_m2(url, "lode.landcover") / area_m2(url, "peer_landcover") - 1)
        if len(counts) != 1 or difference > 1e-6:
            raise UsageError(f"the two sides differ: {counts} polygons, area by {difference:.1e}")
        report(
            {
                "benchmark": "polygonise",
                "measured": "seconds from a class map to committed polygons with geodesic area and index",
                "peer": "rasterio.features.shapes + geopandas.to_postgis",
                **both.summary(),
                "polygons": counts.pop(),
                "class_map": {"width_px": codes.shape[1], "height_px": codes.shape[0]},
            }
        )


if __name__ == "__main__":
    main()
