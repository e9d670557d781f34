"""Every step of preprocessing on its own: megabytes a second and how much memory it takes at its peak.

Orthorectification is measured against GDAL's warper given the whole image at once, with the same polynomials
and elevation model, in the same run; both read the same file and end with the same pixels in memory.
The other steps have no peer. Their input is a made landscape in four bands, or in 150 for those of
hyperspectral scenes, as float32; finding parameters and applying them are measured apart. Megabytes are those
of the input as the step gets it, memory is what the process takes beyond what it held before the step.

Usage: python -m benchmarks.preprocess [--side 2000] [--ortho-side 4000] [--chain-side 4000] [--runs 3]
[--only STEP ...]
"""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.warp import reproject
from scipy import ndimage

from benchmarks.chain import chain
from benchmarks.landscape import BANDS, CENTER_NM, HYPERSPECTRAL_BANDS, landscape, spectra
from benchmarks.measure import note, paired_runs, report, status_bytes
from db.errors import UsageError
from ingest.files import source_file
from ingest.opening import open_raster
from ingest.preprocess.orthorectification import OrthoSource, ortho_grid
from ingest.preprocess.rpc_model import fit
from ingest.preprocess.terrain import open_terrain

FloatArray = npt.NDArray[np.float32]
Work = Callable[[], object]

SRID = 32645
CENTRE_M = (508_000.0, 4_860_800.0)
GSD_M = 3.2
HEADING_DEG = 193.0
VIEW_DEG = 12.0
STRIP_ROWS = 256
LOWEST_M, HIGHEST_M = 500.0, 900.0


@dataclass(frozen=True)
class Measurement:
    """Seconds of every run of a step, and its memory.

    Attributes:
        input_bytes: size of the input.
        runs_s: seconds, run by run.
        peak_bytes: memory taken beyond what was held before; None where the system does not tell.

    """

    input_bytes: int
    runs_s: tuple[float, ...]
    peak_bytes: int | None

    def summary(self) -> dict[str, object]:
        """Figures for ``report``."""
        seconds = statistics.median(self.runs_s)
        return {
            "megabytes_per_s": round(self.input_bytes / 1e6 / seconds, 1),
            "seconds": round(seconds, 3),
            "input_megabytes": round(self.input_bytes / 1e6, 1),
            "peak_megabytes": None if self.peak_bytes is None else round(self.peak_bytes / 1e6, 1),
        }


@dataclass
class Peak:
    """Memory taken beyond what was held before, in bytes, once it is known."""

    taken_bytes: int | None = None


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the process's largest resident memory inside the block (Linux)."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)  # or memory that was freed and kept would hide what the step takes
    peak, before = Peak(), status_bytes("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = None
    yield peak
    after = status_bytes("VmHWM")
    if before is not None and after is not None:
        peak.taken_bytes = max(0, after - before)


def measure(work: Work, input_bytes: int, runs: int) -> Measurement:
    """Run a step once to warm up, watching its memory, and then some times against the clock."""
    with peak_memory() as peak:
        work()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return Measurement(input_bytes, tuple(seconds), peak.taken_bytes)


def polynomials(side_px: int) -> RPC:
    """Those of a square image of a descending pass that looks aside, over the heights of the model."""
    line, sample, height = (
        each.ravel()
        for each in np.meshgrid(
            np.linspace(-50.0, side_px + 50.0, 11),
            np.linspace(-50.0, side_px + 50.0, 11),
            np.linspace(LOWEST_M - 100.0, HIGHEST_M + 100.0, 7),
            indexing="ij",
        )
    )
    turn = math.radians(HEADING_DEG)
    ahead = (line - side_px / 2) * GSD_M
    right = (sample - side_px / 2) * GSD_M - height * math.tan(math.radians(VIEW_DEG))
    lon, lat = Transformer.from_crs(SRID, 4326, always_xy=True).transform(
        CENTRE_M[0] + ahead * math.sin(turn) + right * math.cos(turn),
        CENTRE_M[1] + ahead * math.cos(turn) - right * math.sin(turn),
    )
    return fit(lon, lat, height, line, sample)[0]


def write_acquisition(folder: Path, side_px: int) -> tuple[Path, Path]:
    """Write an image of uint16 in sensor geometry, and an elevation model of 30 m around it."""
    random = np.random.default_rng(1)
    image, model = folder / "image.tif", folder / "dem.tif"
    options: dict[str, Any] = {
        "driver": "GTiff",
        "photometric": "MINISBLACK",
        "alpha": "NO",
    }
    size = {"width": side_px, "height": side_px, "count": BANDS, "dtype": "uint16"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(image, "w", **options, **size) as dataset:
            dataset.write(random.integers(1, 2000, (BANDS, side_px, side_px), dtype=np.uint16))
    reach = 0.8 * GSD_M * side_px + 1_000.0
    cells = round(2 * reach / 30)
    relief = ndimage.gaussian_filter(random.normal(size=(cells, cells)), 10)
    heights = np.interp(relief, [relief.min(), relief.max()], [LOWEST_M, HIGHEST_M]).astype(np.float32)
    place = Affine(30.0, 0.0, CENTRE_M[0] - reach, 0.0, -30.0, CENTRE_M[1] + reach)
    options |= {"transform": place, "crs": f"EPSG:{SRID}"}
    with rasterio.open(model, "w", **options, width=cells, height=cells, count=1, dtype="float32") as dataset:
        dataset.write(heights, 1)
    return image, model


def orthorectification(side_px: int, runs: int) -> dict[str, object]:
    """Strips of ours against the whole image at once by GDAL's warper; bilinear, with terrain."""
    rpc = polynomials(side_px)
    with tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        image, model = write_acquisition(Path(folder), side_px)
        file = source_file(image)
        with open_raster(file) as dataset, open_terrain(source_file(model)) as terrain:
            grid = ortho_grid(
                rpc, side_px, side_px, resolution_m=GSD_M, height_m=700.0, name="image", terrain=terrain
            )
            bands = range(1, BANDS + 1)
            source = OrthoSource(dataset, bands, rpc, grid, terrain=terrain, height_m=700.0)
            with peak_memory() as peak:
                for row in range(0, grid.height_px, STRIP_ROWS):
                    source.read(row, min(STRIP_ROWS, grid.height_px - row))
            found: dict[str, FloatArray] = {}

            def ours() -> float:
                began = time.perf_counter()
                pixels = np.empty((BANDS, grid.height_px, grid.width_px), np.float32)
                for row in range(0, grid.height_px, STRIP_ROWS):
                    pixels[:, row : row + STRIP_ROWS] = source.read(
                        row, min(STRIP_ROWS, grid.height_px - row)
                    )
                found["ours"] = pixels
                return time.perf_counter() - began

            def peer() -> float:
                began = time.perf_counter()
                pixels = np.full((BANDS, grid.height_px, grid.width_px), np.nan, np.float32)
                reproject(
                    dataset.read(),
                    pixels,
                    rpcs=rpc,
                    src_crs=CRS.from_epsg(4326),
                    src_nodata=0,
                    dst_transform=Affine(GSD_M, 0.0, grid.origin_x, 0.0, -GSD_M, grid.origin_y),
                    dst_crs=CRS.from_epsg(grid.srid),
                    dst_nodata=math.nan,
                    resampling=Resampling.bilinear,
                    tolerance=0.0,  # as gdalwarp does with an elevation model
                    RPC_DEM=str(model),
                    RPC_DEMINTERPOLATION="bilinear",
                    XSCALE=1,
                    YSCALE=1,
                )
                found["peer"] = pixels
                return time.perf_counter() - began

            both = paired_runs(ours, peer, runs=runs)
            same = np.isclose(found["ours"], found["peer"], rtol=0, atol=0.05, equal_nan=True).mean()
    size = BANDS * side_px * side_px * 2
    return {
        **Measurement(size, both.ours_s, peak.taken_bytes).summary(),
        "peer": "GDAL's warper, the whole image at once (rasterio.warp.reproject)",
        "peer_megabytes_per_s": round(size / 1e6 / both.peer_median_s, 1),
        **both.summary(),
        "pixels_equal_share": round(float(same), 6),
    }


def multispectral_steps(side_px: int) -> Iterator[tuple[str, Work, int]]:
    """Name, work and input bytes of every step of four bands."""
    from ingest.preprocess.calibration import LinearCalibration
    from ingest.preprocess.cloud_filling import feather_weights, fit_filling
    from ingest.preprocess.cloud_mask import find_clouds
    from ingest.preprocess.dark_object import fit_dark_object
    from ingest.preprocess.histogram_matching import match_histograms
    from ingest.preprocess.irmad import irmad
    from ingest.preprocess.pansharpening import fit_brovey, fit_gram_schmidt
    from ingest.preprocess.registration import register

    image = landscape(side_px)
    other = (image * np.float32(0.9) + np.float32(0.01)).astype(np.float32)
    other += np.random.default_rng(4).normal(0.0, 0.002, other.shape).astype(np.float32)
    size = image.nbytes
    valid = np.ones(image.shape[1:], bool)
    clouds = image[0] > 0.5
    stored = np.clip(image * 10_000, 0, 65_535).astype(np.uint16)
    yield "calibration", lambda: LinearCalibration.of_stored(BANDS, -100.0, 1e-4).apply(stored), stored.nbytes
    dark = fit_dark_object(image, sun_elevation_deg=50.0, method="dos")
    yield "dark_object_fit", lambda: fit_dark_object(image, sun_elevation_deg=50.0, method="dos"), size
    yield "dark_object", lambda: dark.apply(image), size
    pan = image.mean(axis=0)
    brovey, schmidt = fit_brovey(image, pan), fit_gram_schmidt(image, pan)
    both = size + pan.nbytes
    yield "pansharpening_fit", lambda: fit_gram_schmidt(image, pan), both
    yield "brovey", lambda: brovey.apply(image, pan), both
    yield "gram_schmidt", lambda: schmidt.apply(image, pan), both
    yield (
        "find_clouds",
        lambda: find_clouds(image, resolution_m=16.0, sun_azimuth_deg=150.0, sun_elevation_deg=50.0),
        size,
    )
    filling = fit_filling(image, other, clouds)
    weights = feather_weights(clouds, 4.0, 60.0)
    yield "cloud_filling_fit", lambda: fit_filling(image, other, clouds), 2 * size
    yield "cloud_filling", lambda: filling.apply(image, other, weights), 2 * size
    fixed = image.mean(axis=0)
    moving = np.roll(fixed, (3, -5), axis=(0, 1))
    yield (
        "register",
        lambda: register(_reader(moving), _reader(fixed), (side_px, side_px)),
        moving.nbytes + fixed.nbytes,
    )
    normal = irmad(other, image, valid & ~clouds)
    yield "irmad_fit", lambda: irmad(other, image, valid & ~clouds), 2 * size
    yield "irmad", lambda: normal.apply(other), size
    matching = match_histograms(other, image, valid)
    yield "histogram_matching_fit", lambda: match_histograms(other, image, valid), 2 * size
    yield "histogram_matching", lambda: matching.apply(other), size


def hyperspectral_steps(side_px: int) -> Iterator[tuple[str, Work, int]]:
    """Name, work and input bytes of every step of hyperspectral scenes."""
    from ingest.preprocess.bad_bands import BandStatistics
    from ingest.preprocess.destriping import StripeStatistics
    from ingest.preprocess.mnf import fit_mnf
    from ingest.preprocess.quac import fit_quac
    from ingest.preprocess.savitzky_golay import fit_smoothing

    cube = spectra(side_px)
    size = cube.nbytes

    def stripes() -> Any:
        statistics_of = StripeStatistics(HYPERSPECTRAL_BANDS, side_px)
        statistics_of.update(cube)
        return statistics_of.finish()

    def band_figures() -> object:
        figures = BandStatistics(HYPERSPECTRAL_BANDS)
        figures.update(cube)
        return figures.finish()

    yield "bad_bands", band_figures, size
    destriping = stripes()
    yield "destriping_fit", stripes, size
    yield "destriping", lambda: destriping.apply(cube), size
    denoising = fit_mnf(cube)
    yield "mnf_fit", lambda: fit_mnf(cube), size
    yield "mnf", lambda: denoising.apply(cube), size
    smoothing = fit_smoothing(CENTER_NM, np.ones(HYPERSPECTRAL_BANDS, bool))
    yield "savitzky_golay", lambda: smoothing.apply(cube), size
    correction = fit_quac(cube, CENTER_NM)
    yield "quac_fit", lambda: fit_quac(cube, CENTER_NM), size
    yield "quac", lambda: correction.apply(cube), size


def _reader(image: FloatArray) -> Callable[[int, int, int, int], FloatArray]:
    return lambda row, col, height, width: image[row : row + height, col : col + width]


@click.command()
@click.option("--side", default=2000, show_default=True, help="Width and height of the made scene, pixels.")
@click.option("--ortho-side", default=4000, show_default=True, help="The same of the image to orthorectify.")
@click.option(
    "--chain-side", default=4000, show_default=True, help="The same of the package brought in whole."
)
@click.option("--runs", default=3, show_default=True, help="Runs of every step.")
@click.option("--only", multiple=True, help="Measure only this step; may be repeated.")
def main(side: int, ortho_side: int, chain_side: int, runs: int, only: Sequence[str]) -> None:
    """Measure every step and print the result as JSON on the last line."""
    result: dict[str, object] = {}
    if not only or "orthorectification" in only:
        result["orthorectification"] = orthorectification(ortho_side, runs)
    own = {"orthorectification", "chain"}
    every = (multispectral_steps(side), hyperspectral_steps(max(64, side // 5)))
    for steps in every if not only or set(only) - own else ():
        for name, work, input_bytes in steps:
            if only and name not in only:
                continue
            result[name] = measure(work, input_bytes, runs).summary()
            note(f"{name}: {result[name]}")
    if not only or "chain" in only:
        result["chain"] = chain(landscape(chain_side), runs)
    if missing := set(only) - set(result):
        raise UsageError(f"there is no step {', '.join(sorted(missing))}")
    report(
        {
            "benchmark": "preprocess",
            "measured": "megabytes of input a second, step by step",
            "scene": {
                "bands": BANDS,
                "side_px": side,
                "ortho_side_px": ortho_side,
                "chain_side_px": chain_side,
            },
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "steps": result,
        }
    )


if __name__ == "__main__":
    main()
