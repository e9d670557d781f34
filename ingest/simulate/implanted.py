"""A real hyperspectral scene with minerals mixed in at known places: implanted targets.

No open data hold real hyperspectral pixels together with mapped lithium ore and geology. So laboratory
spectra of spodumene and lepidolite are mixed into pixels of a real EnMAP scene, and faults, plutons and
decoys are planted beside them. Light, air, ground and noise are real, ore and geology are not; all that is
written says "implanted".

Mixing is linear (areal): a pixel of which a share s is bare ore shows (1 - s) of what it showed, and s of the
mineral. That leaves out what intimate mixtures do, and rock that is not pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from db.raster.pixels import is_nodata
from ingest.products.enmap_delivery import SCALE
from ingest.products.product import Band
from ingest.simulate.fields import stream
from ingest.simulate.implanted_geology import BARREN, COMMODITIES, RULES, lay_out
from ingest.simulate.implanted_scene import (
    LEAST_BRIGHT,
    RealScene,
    bright_pixels,
    read_scene,
    spectra_text,
    valid_ground,
    write_scene,
    write_shares,
)
from ingest.simulate.prospect_dykes import Dyke
from ingest.simulate.prospect_files import write_dykes, write_geology
from ingest.simulate.prospect_geology import STEP_M
from ingest.simulate.prospect_ground import LARGEST_COVER, LEAST_COVER
from ingest.simulate.spectral_library import LibrarySpectrum, at_bands, library_spectrum

SAMPLES = {
    "spodumene": "Spodumene HS210.3B",
    "lepidolite": "Lepidolite NMNH88526-1",
    "muscovite": "Muscovite GDS120 Pegma M.",
}
"""Samples of the USGS library splib06 by mineral; the last is a pegmatite's, too."""
MINERALS = tuple(SAMPLES)
NAME = "enmap_implanted"
"""Of the scene's file; what its product is called begins so."""
DEPOSIT_TYPE = "implanted pegmatite"
_UNEVEN = 0.05

Pixels = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ImplantedSimulation:
    """What ``simulate_implanted`` wrote, on the grid and in the CRS of the real scene.

    Attributes:
        scene: GeoTIFF of surface reflectance with wavelengths, as ``lode ingest scene`` takes it.
        product: the name that it gets there.
        srid: EPSG code of the CRS.
        faults, plutons: GeoJSON as ``lode ingest faults`` and ``plutons`` take it.
        deposits: GeoJSON of the true dykes as points.
        ore: GeoJSON of the true dykes' outlines.
        decoys: GeoJSON of the outlines of decoys; ``kind`` as in `ingest.simulate.prospect`.
        shares: GeoTIFF, a band for each of `MINERALS`: share of each pixel that is that mineral, 0..1.
        spectra: CSV: reflectance of each mineral in each band.
        facts: JSON: counts, rules and where spectra and pixels are from.

    """

    scene: Path
    product: str
    srid: int
    faults: Path
    plutons: Path
    deposits: Path
    ore: Path
    decoys: Path
    shares: Path
    spectra: Path
    facts: Path


def simulate_implanted(
    folder: Path,
    *,
    scene_folder: Path,
    spectra_folder: Path,
    seed: int = 7,
    progress: Callable[[str], None] | None = None,
) -> ImplantedSimulation:
    """Implant ore and decoys in a real EnMAP scene.

    Args:
        folder: made if missing; files of an earlier call there are replaced.
        scene_folder: EnMAP Level 2A, a delivery or tiles of one scene; all of it is held in memory.
        spectra_folder: spectral libraries (.sli with .hdr) with the samples of `SAMPLES`.
        seed: same seed and input, same files.
        progress: called with a line of text before each step.

    Raises:
        UsageError: the seed is negative, there is no such scene or spectrum, a band has no width, or there is
            no room for ore.

    """
    if seed < 0:
        raise UsageError(f"the seed is {seed}; choose 0 or more")
    tell = progress or (lambda _: None)
    tell("real scene")
    scene = read_scene(scene_folder)
    spectra = {name: library_spectrum(spectra_folder, sample) for name, sample in SAMPLES.items()}
    seen = np.stack([_in_bands(spectrum, scene.bands) for spectrum in spectra.values()])
    tell("implanted geology and dykes")
    inner, side = valid_ground(scene), max(scene.grid.height_px, scene.grid.width_px)
    bright = np.zeros((side, side), bool)
    bright[: scene.grid.height_px, : scene.grid.width_px] = bright_pixels(scene)
    origin = scene.grid.origin_x, scene.grid.origin_y
    geology, dykes = lay_out(seed, inner, bright, origin, side * STEP_M)
    if not any(dyke.kind == "ore" for dyke in dykes):
        raise UsageError(f"{scene_folder}: has no room for ore; take a larger scene without cloud")
    tell("mixing")
    shares = dyke_shares(seed, dykes, scene.grid, scene.is_valid)
    stored = scene.stored.copy()
    implant(stored, shares, seen, scene.nodata)

    tell("files")
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    srid = scene.grid.srid
    write_scene(folder / f"{NAME}.tif", scene, stored)
    faults, plutons = write_geology(folder, geology, srid)
    deposits, ore, decoys = write_dykes(
        folder, dykes, srid=srid, commodities=COMMODITIES, deposit_type=DEPOSIT_TYPE
    )
    shares_path, spectra_path = folder / "truth" / "shares.tif", folder / "truth" / "spectra.csv"
    write_shares(shares_path, scene.grid, MINERALS, shares)
    spectra_path.write_text(spectra_text(scene.bands, MINERALS, seen), encoding="utf-8")
    facts = folder / "truth" / "facts.json"
    about = _about(seed, scene, spectra, geology_counts=(len(geology.faults), len(geology.plutons)))
    about |= _counts(dykes, shares)
    facts.write_text(json.dumps(about, indent=1), encoding="utf-8")
    return ImplantedSimulation(
        scene=folder / f"{NAME}.tif",
        product=f"{NAME}_{scene.product.acquired_at:%Y%m%dT%H%M%S}",
        srid=srid,
        faults=faults,
        plutons=plutons,
        deposits=deposits,
        ore=ore,
        decoys=decoys,
        shares=shares_path,
        spectra=spectra_path,
        facts=facts,
    )


def mixed(values: Floats, shares: Floats, spectra: Floats) -> Floats:
    """Pixels with minerals mixed in linearly, by area.

    Args:
        values: (bands, pixels) reflectance.
        shares: (minerals, pixels) share of each pixel that is that mineral; together at most 1.
        spectra: (minerals, bands) reflectance.

    Returns:
        (bands, pixels).

    """
    found: Floats = (1 - shares.sum(axis=0)) * values + spectra.T @ shares
    return found


def implant(stored: Pixels, shares: Floats, spectra: Floats, nodata: float) -> None:
    """Mix minerals into pixels as they are stored, in place; pixels without a share are not touched.

    Args:
        stored: (bands, height, width) reflectance * 10,000.
        shares: (minerals, height, width).
        spectra: (minerals, bands) reflectance.
        nodata: stored values that stay as they are.

    """
    rows, cols = np.nonzero(shares.sum(axis=0) > 0)
    before = stored[:, rows, cols]
    after = mixed(before * SCALE, shares[:, rows, cols], spectra) / SCALE
    if stored.dtype.kind != "f":
        limits = np.iinfo(stored.dtype)
        after = np.clip(np.rint(after), limits.min, limits.max)
    stored[:, rows, cols] = np.where(is_nodata(before, nodata), before, after.astype(stored.dtype))


def dyke_shares(seed: int, dykes: Sequence[Dyke], grid: Grid, is_valid: NDArray[np.bool_]) -> Floats:
    """Share of each pixel that is each mineral (minerals, height, width).

    A pixel shows as much of a dyke as lies in it, times the dyke's own bare share (1 less what covers it,
    0.15 to 0.60), which differs by some 0.05 from pixel to pixel.

    Args:
        seed: of these differences.
        dykes: of all kinds.
        grid: of the pixels.
        is_valid: (height, width) elsewhere the share is 0.

    """
    shares = np.zeros((len(MINERALS), grid.height_px, grid.width_px))
    uneven = _UNEVEN * stream(seed, "implanted", "cover").standard_normal(shares.shape[1:])
    for dyke in dykes:
        west, south, east, north = dyke.outline.bounds
        left, right = (int((x - grid.origin_x) // grid.resolution_x) for x in (west, east))
        top, bottom = (int((grid.origin_y - y) // grid.resolution_y) for y in (north, south))
        rows, cols = (axis.ravel() for axis in np.mgrid[top : bottom + 1, left : right + 1])
        x, y = grid.origin_x + cols * grid.resolution_x, grid.origin_y - rows * grid.resolution_y
        pixels = shapely.box(x, y - grid.resolution_y, x + grid.resolution_x, y)
        inside = shapely.area(shapely.intersection(pixels, dyke.outline)) / shapely.area(pixels)
        bare = 1 - np.clip(dyke.cover + uneven[rows, cols], LEAST_COVER, LARGEST_COVER)
        shares[MINERALS.index(dyke.mineral), rows, cols] += inside * bare
    return np.asarray(shares * is_valid)


def _in_bands(spectrum: LibrarySpectrum, bands: Sequence[Band]) -> Floats:
    """Reflectance of a mineral in every band.

    Raises:
        UsageError: a band has no wavelength or width, or the spectrum does not reach it.

    """
    centers, widths = [], []
    for band in bands:
        if band.center_nm is None or band.width_nm is None:
            raise UsageError(
                f"band {band.name} has no wavelength or no width (full width at half maximum), and what it "
                "sees of a mineral is not known: take a scene that tells both of every band"
            )
        centers.append(band.center_nm)
        widths.append(band.width_nm)
    return at_bands(spectrum, centers, widths)


def _about(
    seed: int, scene: RealScene, spectra: dict[str, LibrarySpectrum], geology_counts: tuple[int, int]
) -> dict[str, Any]:
    """What is real, what is not, and the rules."""
    return {
        "data": "implanted",
        "is_implanted": True,
        "real": f"pixels of {scene.product.name}",
        "not_real": "ore, decoys, faults and plutons",
        "seed": seed,
        "width_px": scene.grid.width_px,
        "height_px": scene.grid.height_px,
        "valid_km2": round(float(scene.is_valid.sum()) * (STEP_M / 1000) ** 2, 2),
        "samples": {mineral: spectrum.name for mineral, spectrum in spectra.items()},
        "implanted_faults": geology_counts[0],
        "implanted_plutons": geology_counts[1],
        "rules": {
            "favoured_pluton_m": RULES.pluton_reach_m,
            "favoured_fault_m": RULES.fault_reach_m,
            "decoy_pluton_m": RULES.pluton_free_m,
            "decoy_fault_m": RULES.fault_free_m,
            "bare_share": [round(1 - LARGEST_COVER, 2), round(1 - LEAST_COVER, 2)],
            "decoy_mineral_in_favoured_geology": BARREN,
            "least_reflectance_at_860_nm": LEAST_BRIGHT,
        },
    }


def _counts(dykes: Sequence[Dyke], shares: Floats) -> dict[str, Any]:
    """How much was implanted."""
    clusters = {(dyke.kind, dyke.cluster) for dyke in dykes}
    return {
        "implanted_dykes": dict(sorted(Counter(dyke.kind for dyke in dykes).items())),
        "implanted_clusters": dict(sorted(Counter(kind for kind, _ in clusters).items())),
        "implanted_pixels": {
            mineral: int((band > 0).sum()) for mineral, band in zip(MINERALS, shares, strict=True)
        },
    }
