"""A GeoTIFF scene into PostGIS: ``ingest.loader`` against raster2pgsql piped into psql.

Both read the same file and end with the same committed table: tiles of 256 x 256 px, primary key, spatial
index, raster constraints, overviews 2, 4 and 8, statistics. Ours also attaches the table to its parent. The
overviews differ in quality (ours are averages, raster2pgsql takes the nearest pixel), not in size. The
scene is noise in four bands of uint16, which no compression shrinks, as imagery hardly shrinks either.

Usage: python -m benchmarks.load [--megabytes 512] [--runs 3]
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import rasterio
from psycopg import sql
from rasterio.transform import from_origin
from rasterio.windows import Window

from benchmarks.measure import benchmark_database, find_program, note, paired_runs, report
from db.connection import connect
from db.errors import UsageError
from db.raster import RASTER_SCHEMA, RasterReader
from ingest.loader import load_raster

BANDS = 4
TILE_PX = 256
FACTORS = (2, 4, 8)
OURS, PEER = "scene_1", "peer"


def write_noisy_scene(path: Path, megabytes: int) -> int:
    """Write a square scene of uint16 noise (1 to 59,999, nodata 0), tiled and not compressed.

    Returns:
        Its side in pixels.

    """
    side_px = int((megabytes * 1e6 / 2 / BANDS) ** 0.5)
    random = np.random.default_rng(1)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side_px,
        height=side_px,
        count=BANDS,
        dtype="uint16",
        nodata=0,
        crs="EPSG:32633",
        transform=from_origin(500000, 5700000, 2, 2),
        tiled=True,
        blockxsize=TILE_PX,
        blockysize=TILE_PX,
    ) as scene:
        for top in range(0, side_px, TILE_PX):
            rows = min(TILE_PX, side_px - top)
            pixels = random.integers(1, 60000, (BANDS, rows, side_px), dtype=np.uint16)
            scene.write(pixels, window=Window(0, top, side_px, rows))
    os.sync()  # or the disk would write it during the first run
    return side_px


def load_ours(url: str, path: Path) -> float:
    """Load the scene with our loader; returns the seconds from opening the file to the commit."""
    _drop(url, OURS)
    began = time.perf_counter()
    with connect(url) as conn, rasterio.open(path) as scene:
        load_raster(
            conn,
            scene,
            parent="scene_tile",
            owner_id=1,
            table=OURS,
            tile_px=TILE_PX,
            overview_factors=FACTORS,
        )
        conn.commit()
    return time.perf_counter() - began


def load_peer(url: str, path: Path) -> float:
    """Load the scene with raster2pgsql; returns the seconds until psql has ended."""
    raster2pgsql = find_program("raster2pgsql", package="postgis")
    psql = find_program("psql", package="postgresql-client")
    _drop(url, PEER)
    factors = ",".join(map(str, FACTORS))
    options = ["-Y", "-I", "-C", "-M", "-l", factors, "-t", f"{TILE_PX}x{TILE_PX}"]
    began = time.perf_counter()
    with subprocess.Popen(
        [raster2pgsql, *options, str(path), f"{RASTER_SCHEMA}.{PEER}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as made:
        subprocess.run(
            [psql, "-q", "-X", "-v", "ON_ERROR_STOP=1", url],
            stdin=made.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    if made.returncode:
        raise UsageError(f"raster2pgsql ended with code {made.returncode}")
    return time.perf_counter() - began


def _drop(url: str, table: str) -> None:
    """Drop what the run before left, and have the server write out all else, so that runs begin alike."""
    with connect(url, autocommit=True) as conn:
        for name in (table, *(f"o_{factor}_{table}" for factor in FACTORS)):
            conn.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(RASTER_SCHEMA, name)))
        conn.execute("checkpoint")


def verify(url: str, path: Path) -> None:
    """Compare every pixel of both tables with the file, and the sizes of their overviews."""
    with connect(url) as conn, rasterio.open(path) as scene:
        for table in (OURS, PEER):
            note(f"verifying {RASTER_SCHEMA}.{table}")
            reader = RasterReader(conn, table)
            if reader.overviews != FACTORS:
                raise UsageError(f"{table} has overviews {reader.overviews} instead of {FACTORS}")
            for top in range(0, scene.height, TILE_PX):
                rows = min(TILE_PX, scene.height - top)
                expected = scene.read(window=Window(0, top, scene.width, rows))
                if not np.array_equal(reader.read(top, 0, rows, scene.width), expected):
                    raise UsageError(f"rows from {top} of {table} differ from the file")


@click.command()
@click.option("--megabytes", default=512, show_default=True, help="Size of the scene.")
@click.option("--runs", default=3, show_default=True, help="Pairs of runs.")
def main(megabytes: int, runs: int) -> None:
    """Measure loading and print the result as JSON on the last line."""
    with benchmark_database() as url, tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        path = Path(folder) / "scene.tif"
        side_px = write_noisy_scene(path, megabytes)
        runs_of_both = paired_runs(lambda: load_ours(url, path), lambda: load_peer(url, path), runs=runs)
        verify(url, path)
        size = path.stat().st_size
        report(
            {
                "benchmark": "load",
                "measured": "seconds from GeoTIFF to committed table with key, index, constraints, overviews",
                "peer": "raster2pgsql -Y -I -C -M -l 2,4,8 -t 256x256 | psql",
                **runs_of_both.summary(),
                "ours_megabytes_per_s": round(size / 1e6 / runs_of_both.ours_median_s, 1),
                "peer_megabytes_per_s": round(size / 1e6 / runs_of_both.peer_median_s, 1),
                "scene": {"bands": BANDS, "width_px": side_px, "height_px": side_px, "bytes": size},
                "pixels_equal": True,
            }
        )


if __name__ == "__main__":
    main()
