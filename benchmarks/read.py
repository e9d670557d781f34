"""Windows of a raster table as arrays: ``RasterReader`` against GDAL's PostGISRaster driver.

Both read the same list of random windows from the same table, each with one open connection (GDAL in one
process with one open dataset, in mode 2) and with the cache it has by default: ours keeps 128 MB of tiles,
GDAL a twentieth of the memory. Windows have sides of 256 to 1024 px and any offset. Only the reading
counts, not the opening. The checksums of all windows must be equal.

Usage: python -m benchmarks.read [--megabytes 512] [--windows 40] [--runs 3]
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import click
import numpy as np
from psycopg.conninfo import conninfo_to_dict

from benchmarks.load import BANDS, OURS, load_ours, write_noisy_scene
from benchmarks.measure import benchmark_database, find_python_with, paired_runs, report
from db.connection import connect
from db.errors import UsageError
from db.raster import RASTER_SCHEMA, RasterReader

Windows = list[tuple[int, int, int, int]]

# Runs in the system's Python: the wheels of rasterio and GDAL's own bindings cannot share a process.
_READ_WITH_GDAL = """
import json, sys, time, zlib
from osgeo import gdal
gdal.UseExceptions()
task = json.load(sys.stdin)
dataset = gdal.Open(task["name"])
checksum, seconds = 0, 0.0
for row, col, height, width in task["windows"]:
    began = time.perf_counter()
    pixels = dataset.ReadAsArray(col, row, width, height)
    seconds += time.perf_counter() - began
    checksum = zlib.crc32(pixels.tobytes(), checksum)
print(json.dumps({"seconds": seconds, "checksum": checksum, "version": gdal.__version__}))
"""


def random_windows(side_px: int, count: int) -> Windows:
    """Windows (row, col, height, width) inside a square scene; the same ones each time."""
    random = np.random.default_rng(2)
    windows: Windows = []
    for height, width in random.integers(256, min(side_px, 1024) + 1, (count, 2)).tolist():
        row, col = random.integers(0, (side_px - height + 1, side_px - width + 1)).tolist()
        windows.append((row, col, height, width))
    return windows


def read_ours(url: str, windows: Windows) -> tuple[float, int]:
    """Read all windows with our reader; returns seconds and checksum."""
    checksum, seconds = 0, 0.0
    with connect(url) as conn:
        reader = RasterReader(conn, OURS)
        for window in windows:
            began = time.perf_counter()
            pixels = reader.read(*window)
            seconds += time.perf_counter() - began
            checksum = zlib.crc32(pixels.tobytes(), checksum)
    return seconds, checksum


def read_peer(url: str, windows: Windows) -> tuple[float, int, str]:
    """Read all windows with GDAL; returns seconds, checksum and GDAL's version."""
    python = find_python_with("osgeo.gdal", package="python3-gdal")
    parts = conninfo_to_dict(url)
    server = " ".join(f"{key}='{parts[key]}'" for key in ("host", "port", "user", "dbname"))
    name = f"PG:{server} schema='{RASTER_SCHEMA}' table='{OURS}' mode=2"
    read = subprocess.run(
        [python, "-c", _READ_WITH_GDAL],
        input=json.dumps({"name": name, "windows": windows}),
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(read.stdout)
    return float(result["seconds"]), int(result["checksum"]), str(result["version"])


@click.command()
@click.option("--megabytes", default=512, show_default=True, help="Size of the scene.")
@click.option("--windows", default=40, show_default=True, help="Number of windows.")
@click.option("--runs", default=3, show_default=True, help="Pairs of runs.")
def main(megabytes: int, windows: int, runs: int) -> None:
    """Measure reading and print the result as JSON on the last line."""
    with benchmark_database() as url, tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        path = Path(folder) / "scene.tif"
        side_px = write_noisy_scene(path, megabytes)
        load_ours(url, path)
        chosen = random_windows(side_px, windows)
        checksums: set[int] = set()
        versions: set[str] = set()

        def ours() -> float:
            seconds, checksum = read_ours(url, chosen)
            checksums.add(checksum)
            return seconds

        def peer() -> float:
            seconds, checksum, version = read_peer(url, chosen)
            checksums.add(checksum)
            versions.add(version)
            return seconds

        runs_of_both = paired_runs(ours, peer, runs=runs)
        if len(checksums) != 1:
            raise UsageError(f"the windows differ between the two readers: checksums {sorted(checksums)}")
        read_bytes = sum(height * width for _, _, height, width in chosen) * BANDS * 2
        report(
            {
                "benchmark": "read",
                "measured": f"seconds for {windows} random windows of 256 to 1024 px",
                "peer": f"GDAL {', '.join(versions)} PostGISRaster, mode=2",
                **runs_of_both.summary(),
                "ours_megabytes_per_s": round(read_bytes / 1e6 / runs_of_both.ours_median_s, 1),
                "peer_megabytes_per_s": round(read_bytes / 1e6 / runs_of_both.peer_median_s, 1),
                "window_bytes": read_bytes,
                "scene": {"bands": BANDS, "width_px": side_px, "height_px": side_px},
                "pixels_equal": True,
            }
        )


if __name__ == "__main__":
    main()
