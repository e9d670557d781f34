"""A class map of 4096 x 4096 to published polygons, beside rasterio.features.shapes, shapely and GeoPandas.

    python -m benchmarks.publish [--side-px 4096] [--runs 3]

Both sides begin with the same class map in memory and end with committed polygons in EPSG:4326 with class,
geodesic area and a spatial index. Ours also keeps keys, references and checks of ``lode.landcover``, and
neighbours that fit each other; the peer does not have to. A smooth map has few polygons of many vertices, a
noisy one many of few; ``ratio`` is the worse of the two.
"""

from __future__ import annotations

import math
import time

import click
import geopandas
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from psycopg import Connection, sql
from scipy.ndimage import gaussian_filter, zoom
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from benchmarks.measure import PairedRuns, benchmark_database, note, paired_runs, report
from db.connection import connect
from db.errors import UsageError
from db.landcover import insert_landcover_rows
from inference.polygonise import polygonise
from inference.publish import landcover_rows

ORIGIN_X, ORIGIN_Y, PIXEL_M, SRID = 500_000.0, 4_860_000.0, 2.0, 32645
CLASSES = 8
NOISE = {"smooth": 0.0, "noisy": 0.135}
"""Weight of the fine pattern in each map, against 1 for the coarse one."""
SAMPLE = 2000
"""Polygons of each map whose shapes are compared."""
MOST_APART = {"area_total": 1e-9, "area_of_a_polygon": 1e-5, "shape_of_a_polygon": 1e-4}
"""Relative differences between the two sides that are put down to vertices along straight lines."""


def class_map(side_px: int, noise: float) -> NDArray[np.uint8]:
    """Patches of eight classes: hills of some 40 pixels, and over them ``noise`` of two pixels.

    Without noise outlines are smooth, with it they are ragged, as a network's answer is before small patches
    are merged.
    """
    rng = np.random.default_rng(1)
    coarse = [gaussian_filter(rng.standard_normal((side_px // 8, side_px // 8)), 2.3) for _ in range(CLASSES)]
    fine = rng.standard_normal((CLASSES, side_px // 2, side_px // 2)).astype(np.float32)
    scores = [
        zoom(np.float32(a), 8, order=1) + zoom(gaussian_filter(b, 0.8), 2, order=1) * np.float32(noise)
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
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest, status, token)"
        " select scene_id, model_id, '{}', '-', 'running', gen_random_uuid() from lode.scene, lode.model"
    )
    conn.commit()


def run_ours(url: str, codes: NDArray[np.uint8]) -> float:
    """Publish to ``lode.landcover`` as an interpretation does; returns seconds."""
    with connect(url) as conn:
        conn.execute("truncate lode.landcover cascade")
        conn.commit()
        begun = time.perf_counter()
        patches = polygonise(
            codes, origin_x=ORIGIN_X, origin_y=ORIGIN_Y, resolution_x=PIXEL_M, resolution_y=PIXEL_M
        ).to_wgs84(SRID)
        conn.execute("select from lode.run for update")  # as whoever publishes a run holds it
        insert_landcover_rows(conn, 1, 2021, landcover_rows(patches))
        conn.commit()
        return time.perf_counter() - begun


def run_peer(url: str, codes: NDArray[np.uint8]) -> float:
    """Publish to ``peer_landcover`` in the way GeoPandas' documentation shows; returns seconds."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table if exists peer_landcover")
    transform = Affine(PIXEL_M, 0, ORIGIN_X, 0, -PIXEL_M, ORIGIN_Y)
    begun = time.perf_counter()
    geometries, values = zip(*rasterio.features.shapes(codes, transform=transform), strict=True)
    frame = geopandas.GeoDataFrame(
        {"land_class_code": np.array(values, np.int32)},
        geometry=[shapely.geometry.shape(geometry) for geometry in geometries],
        crs=SRID,
    ).to_crs(4326)
    # GeoPandas makes the spatial index.
    frame.to_postgis("peer_landcover", engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("alter table peer_landcover add column area_m2 double precision")
        connection.exec_driver_sql("update peer_landcover set area_m2 = st_area(geometry::geography)")
    seconds = time.perf_counter() - begun
    engine.dispose()
    return seconds


def stored(
    url: str, table: str, geometry: str
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.object_]]:
    """Class codes, areas in m2 and shapes of a table of polygons."""
    with connect(url) as conn:
        rows = conn.execute(
            sql.SQL("select land_class_code, area_m2, st_asbinary({}) from {}").format(
                sql.Identifier(geometry), sql.Identifier(*table.split("."))
            ),
            binary=True,
        ).fetchall()
    return (
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        shapely.from_wkb([row[2] for row in rows]),
    )


def compare(url: str) -> tuple[int, dict[str, float]]:
    """Check that both tables hold the same polygons; returns their number and how far they are apart.

    All areas are compared, smallest with smallest within each class, and of a sample the shapes. They differ
    a little because ours have more vertices: where three patches meet, and every 500 m along straight lines,
    which are straight on the map and hence not on the ellipsoid.

    Raises:
        UsageError: they are not the same.

    """
    codes, areas, shapes = stored(url, "lode.landcover", "geom")
    peer_codes, peer_areas, peer_shapes = stored(url, "peer_landcover", "geometry")
    if len(codes) != len(peer_codes):
        raise UsageError(f"the two sides differ: {len(codes)} and {len(peer_codes)} polygons")
    order, peer_order = np.lexsort((areas, codes)), np.lexsort((peer_areas, peer_codes))
    if (codes[order] != peer_codes[peer_order]).any():
        raise UsageError("the two sides differ in the number of polygons of a class")
    sample = np.arange(0, len(shapes), max(1, len(shapes) // SAMPLE))
    of_sample, of_peer = shapely.STRtree(peer_shapes).query(
        shapely.point_on_surface(shapes[sample]), predicate="within"
    )
    if (of_sample != np.arange(len(sample))).any() or (codes[sample] != peer_codes[of_peer]).any():
        raise UsageError("a polygon of ours does not lie within exactly one of the peer's, of its class")
    apart = shapely.area(shapely.symmetric_difference(shapes[sample], peer_shapes[of_peer]))
    differences = {
        "area_total": float(abs(areas.sum() / peer_areas.sum() - 1)),
        "area_of_a_polygon": float(abs(areas[order] / peer_areas[peer_order] - 1).max()),
        "shape_of_a_polygon": float((apart / shapely.area(shapes[sample])).max()),
    }
    for what, difference in differences.items():
        if not difference <= MOST_APART[what]:
            raise UsageError(f"the two sides differ: {what} by {difference:.1e}")
    return len(codes), differences


def measure(url: str, codes: NDArray[np.uint8], runs: int) -> tuple[PairedRuns, dict[str, object]]:
    """Both sides on one map: the runs, and a summary with what makes sure that they did the same."""
    both = paired_runs(lambda: run_ours(url, codes), lambda: run_peer(url, codes), runs=runs)
    polygons, differences = compare(url)
    apart = {what: float(f"{value:.1e}") for what, value in differences.items()}
    return both, {"polygons": polygons, **both.summary(), "relative_differences": apart}


@click.command()
@click.option("--side-px", type=click.IntRange(min=256), default=4096, show_default=True)
@click.option("--runs", type=click.IntRange(min=3), default=3, show_default=True)
def main(side_px: int, runs: int) -> None:
    """Measure and print the result as JSON on the last line."""
    side_px = side_px // 16 * 16
    worst, maps = math.inf, {}
    with benchmark_database() as url:
        with connect(url) as conn:
            prepare(conn)
        for name, noise in NOISE.items():
            note(f"{name} map")
            both, maps[name] = measure(url, class_map(side_px, noise), runs)
            worst = min(worst, both.ratio)
    report(
        {
            "benchmark": "publish",
            "measured": "seconds from a class map to committed polygons with geodesic area and index",
            "peer": "rasterio.features.shapes + shapely + geopandas.to_postgis",
            "ratio": round(worst, 2),
            **maps,
            "class_map": {"width_px": side_px, "height_px": side_px},
        }
    )


if __name__ == "__main__":
    main()
