"""A whole Gaofen-2 package into the database: from side files to tiles with overviews, as a user types it.

The image is a made landscape of digital numbers in sensor geometry; it is calibrated, orthorectified at one
height, searched for clouds and loaded. Memory is the peak of the whole process (its largest resident set).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.measure import benchmark_database, note, status_bytes
from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.simulate.packages import write_image, write_polynomials, write_side_file
from ingest.simulate.pushbroom import Camera

AT = datetime(2021, 7, 18, 5, 12, 40, tzinfo=UTC)
NUMBER_PER_REFLECTANCE = 3500


def write_package(folder: Path, reflectance: np.ndarray) -> int:
    """Write a package whose image shows a landscape; its image's size in bytes.

    Args:
        folder: where it goes.
        reflectance: four bands (4, side, side).

    """
    side = reflectance.shape[1]
    camera = Camera((508_000.0, 4_860_800.0), 3.24, side, side, 6.0)
    azimuth, elevation = sun_position(AT, 87.1, 43.9)
    stem = folder / "GF2_PMS1_E87.1_N43.9_20210718_L1A0000000001-MSS1"
    numbers = np.clip(reflectance * NUMBER_PER_REFLECTANCE, 1, 4095).astype(np.uint16)
    write_image(stem.with_suffix(".tiff"), numbers)
    write_polynomials(stem.with_suffix(".rpb"), camera.polynomials(-100.0, 900.0))
    write_side_file(
        stem.with_suffix(".xml"),
        camera,
        satellite="GF2",
        sensor="PMS1",
        product_id=1,
        acquired_at=AT,
        sun_azimuth_deg=azimuth,
        sun_elevation_deg=elevation,
        bands="1,2,3,4",
        cloud_percent=3,
        is_new_layout=False,
    )
    return int(numbers.nbytes)


def chain(reflectance: np.ndarray, runs: int) -> dict[str, object]:
    """Bring a package in some times; figures like those of the steps.

    Args:
        reflectance: what the image shows (4, side, side).
        runs: how often.

    """
    seconds, peaks = [], []
    folder = Path(tempfile.mkdtemp(prefix="lode-benchmark-"))
    try:
        size = write_package(folder, reflectance)
        with benchmark_database() as url:
            for run in range(runs):
                began = time.perf_counter()
                peaks.append(_ingest(url, folder, f"run {run}"))
                seconds.append(time.perf_counter() - began)
                note(f"chain: {seconds[-1]:.1f} s, {peaks[-1] / 1e6:.0f} MB")
                _forget(url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = statistics.median(seconds)
    return {
        "megabytes_per_s": round(size / 1e6 / middle, 1),
        "seconds": round(middle, 1),
        "input_megabytes": round(size / 1e6, 1),
        "peak_megabytes": round(max(peaks) / 1e6, 1),
    }


def _ingest(url: str, folder: Path, product: str) -> int:
    """Bring it in, in a process of its own; that process's peak memory in bytes (Linux, else 0).

    The peak is asked for while it runs: what the system tells of an ended process counts this process too,
    from which it was started.
    """
    command = [sys.executable, "-m", "lode", "ingest", "scene", str(folder), "--product", product]
    peak = 0
    with subprocess.Popen(
        command, env={**os.environ, "LODE_DATABASE_URL": url}, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, status_bytes("VmHWM", process.pid) or 0)
            time.sleep(0.02)
    if process.returncode != 0:
        raise UsageError(f"{' '.join(command)} ended with {process.returncode}")
    return peak


def _forget(url: str) -> None:
    """Let the next run bring the same content in again."""
    from db.connection import connect

    with connect(url) as conn:
        conn.execute("delete from lode.scene_band")
        conn.execute("delete from lode.scene")
        conn.commit()
