"""A whole simulated district on disk: terrain to scenes, labels, mines, geology and truth."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from shapely import MultiPolygon

from db.errors import UsageError
from ingest.simulate import outputs
from ingest.simulate.landscape import make_landscape
from ingest.simulate.mines import boundary, paint_year
from ingest.simulate.optics import make_textures
from ingest.simulate.plans import YEARS
from ingest.simulate.swaths import plan_swaths
from ingest.simulate.truth import MineArea, count_areas, mine_index, treated_areas, write_truth
from ingest.simulate.write import RESOLUTION_M, place_district

SMALLEST_PX = 384
LARGEST_PX = 10_000
_PIXEL_M2 = RESOLUTION_M**2


@dataclass(frozen=True)
class Scene:
    """A simulated scene; `cloud` and `shadow` are outlines in EPSG:32645, None under a clear sky.

    `clouds` is the cloud mask that came with the product: both, with slightly generous outlines.
    """

    product: str
    path: Path
    sensor: str
    acquired_on: date
    cloud: MultiPolygon | None
    shadow: MultiPolygon | None
    clouds: Path | None


@dataclass(frozen=True)
class District:
    """Files of a simulated district, all in EPSG:32645.

    `truth_maps` holds a class map per year, `truth_areas` the JSON of exact areas; `mine_areas` and
    `treated_areas` are what that JSON says per mine, class and year.
    """

    folder: Path
    years: tuple[int, ...]
    scenes: list[Scene]
    labels: Path
    mines: Path
    licences: Path
    faults: Path
    plutons: Path
    deposits: Path
    truth_maps: dict[int, Path]
    truth_areas: Path
    truth_treated: Path
    truth_clouds: Path
    mine_areas: list[MineArea]
    treated_areas: list[MineArea]


def simulate_district(
    folder: Path,
    *,
    seed: int = 7,
    width_px: int = 1600,
    height_px: int = 1200,
    progress: Callable[[str], None] | None = None,
) -> District:
    """Make a mining district and write it below `folder`.

    Args:
        folder: Made if missing; files of an earlier simulation there are replaced.
        seed: Same seed and size, same pixels.
        width_px: Columns of 2 m, 384 to 10,000.
        height_px: Rows of 2 m, 384 to 10,000.
        progress: Called with a line of text before each step.

    Raises:
        UsageError: If a size or the seed is out of range.

    """
    for name, size in (("width_px", width_px), ("height_px", height_px)):
        if not SMALLEST_PX <= size <= LARGEST_PX:
            raise UsageError(f"{name} is {size}; choose {SMALLEST_PX} to {LARGEST_PX} pixels of 2 m.")
    if seed < 0:
        raise UsageError(f"The seed is {seed}; choose 0 or more.")
    tell = progress or (lambda _: None)
    shape = (height_px, width_px)
    for part in ("scenes", "truth"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    land = make_landscape(seed, shape, tell)
    terrain, geology, base, sites = land.terrain, land.geology, land.base, land.sites

    placement = place_district(shape)
    textures = make_textures(seed)
    writer = outputs.Writer(folder, placement, seed)
    footprints: list[np.ndarray] = []
    truth = outputs.YearlyTruth()
    for year in YEARS:
        tell(f"{year}: mines")
        ground, masks = paint_year(seed, base, land.rivers, sites, land.villages, year)
        footprints = masks if not footprints else [a | b for a, b in zip(footprints, masks, strict=True)]
        swaths = plan_swaths(seed, shape, year)
        for swath in swaths:
            tell(f"{year}: scene of {swath.acquired_on}")
            writer.scene(ground, geology, terrain.plain, textures, swath)
        tell(f"{year}: labels and truth")
        writer.labels(ground, sites, swaths, year)
        truth.maps[year] = writer.class_map(ground, year)
        truth.classes[year], truth.treated[year] = ground.land_class, ground.treated
        del ground

    tell("mines and areas")
    boundaries = [boundary(site, mask, shape) for site, mask in zip(sites, footprints, strict=True)]
    number = mine_index(boundaries, shape)
    codes = [site.code for site in sites]
    areas: list[MineArea] = []
    treated: list[MineArea] = []
    for year in YEARS:
        areas += count_areas(year, truth.classes[year], number, codes, _PIXEL_M2)
        treated += treated_areas(year, truth.treated[year], number, codes, _PIXEL_M2)
    mines, licences = writer.mines(sites, boundaries)
    faults, plutons, deposits = writer.geology(geology)
    truth_areas = folder / "truth" / "areas.json"
    write_truth(truth_areas, areas, treated, truth.totals(_PIXEL_M2), writer.scene_facts, _PIXEL_M2)
    return District(
        folder=folder,
        years=YEARS,
        scenes=[
            Scene(
                done.product,
                done.path,
                outputs.SENSOR,
                done.swath.acquired_on,
                done.cloud,
                done.shadow,
                writer.cloud_mask(done),
            )
            for done in writer.scenes
        ],
        labels=writer.write_labels(),
        mines=mines,
        licences=licences,
        faults=faults,
        plutons=plutons,
        deposits=deposits,
        truth_maps=truth.maps,
        truth_areas=truth_areas,
        truth_treated=writer.treated(truth.treated, sites, number),
        truth_clouds=writer.clouds(),
        mine_areas=areas,
        treated_areas=treated,
    )
