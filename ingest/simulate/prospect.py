"""A simulated district to prospect for pegmatites in: a hyperspectral package, geology, deposits and truth.

Neither spectra nor geology alone find the ore. Dykes with spodumene or beryl lie near plutons and faults,
mostly covered; decoys have the same spectra far from both, or the same geology without an ore mineral.
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from shapely import Polygon

from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.simulate.ahsi_camera import (
    CELL_M,
    CELLS,
    GSD_M,
    LitGround,
    aimed_camera,
    write_map,
    write_package,
    write_reflectance,
)
from ingest.simulate.fields import FloatMap, Mask, fractal_noise, stream
from ingest.simulate.illumination import Sun, irradiance
from ingest.simulate.mineral_spectra import CLEAR, PEGMATITE_GROUND, Air
from ingest.simulate.prospect_dykes import (
    FAULT_FREE_M,
    FAULT_REACH_M,
    PLUTON_FREE_M,
    PLUTON_REACH_M,
    Dyke,
    place_dykes,
    wanted_clusters,
)
from ingest.simulate.prospect_files import write_dykes, write_geology
from ingest.simulate.prospect_geology import (
    GeologyPlan,
    ProspectGeology,
    make_prospect_geology,
    measure,
)
from ingest.simulate.prospect_ground import LARGEST_COVER, LEAST_COVER, prospect_ground
from ingest.simulate.pushbroom import Camera, to_geographic

SMALLEST_PX, LARGEST_PX = 200, 1000
NOISE = 2.5
"""Noise of the image, as a multiple of that of ``simulate_ahsi``: a signal-to-noise ratio near 170."""

_EDGE_M = 300.0
_WATER_SHARE = 0.01
_BANK_M = 40.0
_ATTEMPTS = 12


@dataclass(frozen=True)
class _District:
    """What tells one district from the other."""

    centre_m: tuple[float, float]
    acquired_at: datetime
    air: Air
    height_m: tuple[float, float]
    mix: dict[str, float]
    geology: GeologyPlan
    product_id: int


DISTRICTS = {
    1: _District(
        centre_m=(508_000.0, 4_860_800.0),
        acquired_at=datetime.fromisoformat("2022-06-12T05:19:21+00:00"),
        air=CLEAR,
        height_m=(900.0, 130.0),
        mix={
            "vegetation": 0.6,
            "sericite": 1.0,
            "phengite": 1.5,
            "chlorite": 0.9,
            "carbonate": 0.8,
            "iron_oxide": 0.8,
            "goethite": 1.3,
            "haematite": 1.0,
            "clay_soil": 0.5,
            "smectite_soil": 0.4,
        },
        geology=GeologyPlan(25.0, -1, 1.0, (68.0,), 2100.0, has_parallel=True),
        product_id=2_000_001,
    ),
    2: _District(
        centre_m=(568_000.0, 4_815_800.0),
        acquired_at=datetime.fromisoformat("2022-09-21T05:23:02+00:00"),
        air=Air(haze_depth=0.30, haze_reflectance=0.018),
        height_m=(1250.0, 160.0),
        mix={
            "vegetation": 0.35,
            "sericite": 1.3,
            "phengite": 0.9,
            "chlorite": 0.8,
            "carbonate": 1.3,
            "iron_oxide": 1.1,
            "goethite": 0.8,
            "haematite": 1.3,
            "clay_soil": 0.2,
            "smectite_soil": 0.7,
        },
        geology=GeologyPlan(-55.0, 1, 1.3, (52.0, -38.0), 2700.0, has_parallel=False),
        product_id=2_000_002,
    ),
}
"""By number; they lie 75 km apart, so that the largest do not touch."""


@dataclass(frozen=True)
class ProspectSimulation:
    """What ``simulate_prospect`` wrote; all in EPSG:32645.

    Attributes:
        package: folder of the AHSI package.
        product: its name.
        terrain: elevation model, m above the ellipsoid, cells of 10 m.
        faults, plutons: GeoJSON as ``lode ingest faults`` and ``plutons`` take it.
        deposits: GeoJSON of the true dykes as points, with commodity lithium or beryllium.
        surface: GeoTIFF on a north-up grid of 30 m, 166 bands (VNIR, then SWIR): reflectance of the ground
            with the light of its slope * 10,000, uint16.
        ore: GeoJSON of the true dykes' outlines.
        decoys: GeoJSON of the outlines of decoys; ``kind`` is spectrum_without_geology or
            geology_without_spectrum.
        facts: JSON: how many of what, the rules of their places, and what ``simulate_ahsi`` says of bands.

    """

    package: Path
    product: str
    terrain: Path
    faults: Path
    plutons: Path
    deposits: Path
    surface: Path
    ore: Path
    decoys: Path
    facts: Path


def simulate_prospect(
    folder: Path,
    *,
    seed: int = 7,
    size_px: int = 400,
    district: int = 1,
    progress: Callable[[str], None] | None = None,
) -> ProspectSimulation:
    """Simulate a district to prospect in.

    Args:
        folder: made if missing; files of an earlier simulation there are replaced.
        seed: same seed, size and district, same pixels.
        size_px: lines and samples of 30 m, 200 to 1,000. A thousand takes 2.2 GB of memory.
        district: 1, or 2: another place, geology, mix of ground, sun and haze, to transfer to.
        progress: called with a line of text before each step.

    Raises:
        UsageError: a size, the seed or the district is out of range.

    """
    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise UsageError(f"the size is {size_px}; choose {SMALLEST_PX} to {LARGEST_PX} pixels of 30 m")
    if seed < 0:
        raise UsageError(f"the seed is {seed}; choose 0 or more")
    if district not in DISTRICTS:
        raise UsageError(f"the district is {district}; choose 1 or 2")
    tell = progress or (lambda _: None)
    plan, key = DISTRICTS[district], (seed, "prospect", district)
    (folder / "truth").mkdir(parents=True, exist_ok=True)

    tell("terrain, geology and dykes")
    side = CELLS * (math.ceil(1.25 * size_px) + 8)
    base, relief = plan.height_m
    noise = fractal_noise(stream(*key, "terrain"), (side, side), 450.0, 6, 0.42)
    height: FloatMap = (base + relief * noise).astype(np.float32)
    origin = _corner(plan.centre_m, side * CELL_M)
    centre = origin[0] + side * CELL_M / 2, origin[1] - side * CELL_M / 2
    camera = aimed_camera(centre, size_px, float(height.mean()))
    footprint = _footprint(camera, float(height.mean()))
    # Every image has a lake: a scene without dark ground is not to be corrected from itself.
    shore = float(np.quantile(height[side // 5 : -side // 5, side // 5 : -side // 5], _WATER_SHARE))
    dry = (height > shore + _BANK_M)[1::CELLS, 1::CELLS]
    geology, dykes = _lay_out(key, plan, footprint, size_px * GSD_M, origin, dry)

    tell("ground")
    lon, lat = to_geographic(*centre)
    azimuth, elevation = sun_position(plan.acquired_at, lon, lat)
    sun = Sun(math.radians(azimuth), math.radians(elevation))
    amounts = prospect_ground(key, height, shore, plan.mix, geology, dykes, origin)
    amounts *= irradiance(height, sun, CELL_M)
    ground = LitGround(amounts, height, origin, sun, plan.acquired_at, PEGMATITE_GROUND, plan.air)

    tell("package")
    package, bands = write_package(
        folder, ground, camera, key=(*key, "camera"), product_id=plan.product_id, noise=NOISE
    )
    tell("truth")
    terrain, surface = folder / "terrain.tif", folder / "truth" / "surface.tif"
    write_map(terrain, height, origin)
    write_reflectance(surface, ground)
    faults, plutons = write_geology(folder, geology)
    deposits, ore, decoys = write_dykes(folder, dykes)
    facts = folder / "truth" / "facts.json"
    about = _about(seed, size_px, district, footprint, geology, dykes)
    facts.write_text(json.dumps({**about, **bands}, indent=1), encoding="utf-8")
    return ProspectSimulation(
        package, package.name, terrain, faults, plutons, deposits, surface, ore, decoys, facts
    )


def _corner(centre_m: tuple[float, float], side_m: float) -> tuple[float, float]:
    """Upper left corner of a square, on multiples of the pixel."""
    west, north = centre_m[0] - side_m / 2, centre_m[1] + side_m / 2
    return GSD_M * round(west / GSD_M), GSD_M * round(north / GSD_M)


def _footprint(camera: Camera, height_m: float) -> Polygon:
    """Ground that the image shows."""
    lines = np.array([0, 0, camera.lines - 1, camera.lines - 1], float)
    samples = np.array([0, camera.samples - 1, camera.samples - 1, 0], float)
    east, north = camera.ground(lines, samples, np.full(4, height_m))
    return Polygon(np.column_stack([east, north]))


def _lay_out(
    key: tuple[int, str, int],
    plan: _District,
    footprint: Polygon,
    side_m: float,
    origin_m: tuple[float, float],
    dry: Mask,
) -> tuple[ProspectGeology, list[Dyke]]:
    """The first geology that has room for all clusters; of some without, the one with most room."""
    inner = footprint.buffer(-_EDGE_M)
    wanted = sum(wanted_clusters(inner).values())
    tried: list[tuple[ProspectGeology, list[Dyke]]] = []
    for attempt in range(_ATTEMPTS):
        rng = stream(*key, "geology", attempt)
        geology = make_prospect_geology(rng, plan.geology, footprint, side_m)
        distances = measure(geology, origin_m, len(dry) * GSD_M)
        tried.append((geology, place_dykes(rng, geology, distances, inner, dry)))
        if len({dyke.cluster for dyke in tried[-1][1]}) == wanted:
            break
    return max(tried, key=lambda each: len({dyke.cluster for dyke in each[1]}))


def _about(
    seed: int,
    size_px: int,
    district: int,
    footprint: Polygon,
    geology: ProspectGeology,
    dykes: list[Dyke],
) -> dict[str, Any]:
    """Facts about the district that are not about bands."""
    clusters = {(dyke.kind, dyke.cluster) for dyke in dykes}
    return {
        "is_simulated": True,
        "seed": seed,
        "size_px": size_px,
        "district": district,
        "image_km2": round(footprint.area / 1e6, 2),
        "faults": len(geology.faults),
        "plutons": len(geology.plutons),
        "dykes": dict(sorted(Counter(dyke.kind for dyke in dykes).items())),
        "clusters": dict(sorted(Counter(kind for kind, _ in clusters).items())),
        "minerals": dict(sorted(Counter(dyke.mineral for dyke in dykes if dyke.kind == "ore").items())),
        "rules": {
            "favoured_pluton_m": PLUTON_REACH_M,
            "favoured_fault_m": FAULT_REACH_M,
            "decoy_pluton_m": PLUTON_FREE_M,
            "decoy_fault_m": FAULT_FREE_M,
            "cover": [LEAST_COVER, LARGEST_COVER],
            "noise": NOISE,
        },
        "mix": DISTRICTS[district].mix,
        "air": asdict(DISTRICTS[district].air),
    }
