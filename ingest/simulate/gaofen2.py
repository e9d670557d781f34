"""Three years of a simulated district as packages of Gaofen-2, with all that is true about them.

The camera looks at the district's 2 m ground through haze and cloud; pixels become digital numbers with the
coefficients published for Gaofen-2 PMS1 (2021, 2022) and an invented set for 2023, for which none are
published; the polynomials of 2022 and 2023 are wrong by a known bias. The terrain is the same in all years.
"""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely import box

from db.errors import UsageError
from ingest.preprocess.solar import earth_sun_distance_au, sun_position
from ingest.simulate.fields import FloatMap, stream
from ingest.simulate.gaofen2_truth import same_ground, terrain_map, traps, write_map
from ingest.simulate.ground import Ground
from ingest.simulate.illumination import Sun, irradiance
from ingest.simulate.landscape import Landscape, make_landscape
from ingest.simulate.mines import paint_year
from ingest.simulate.optics import PATH_REFLECTANCE, ground_reflectance, make_textures, overcast
from ingest.simulate.packages import write_image, write_polynomials, write_side_file
from ingest.simulate.pushbroom import Camera, Points, to_geographic
from ingest.simulate.swaths import Cloud, Swath, make_cloud
from ingest.simulate.write import RESOLUTION_M, Placement, place_district

GSD_M = 3.24
PAN_TIMES = 4
SMALLEST_PX, LARGEST_PX = 500, 6000
_PAN_WEIGHTS = np.array((0.24, 0.28, 0.28, 0.20), np.float32)
_BANDS = ("blue", "green", "red", "nir")
_SNOW = np.array((0.63, 0.63, 0.62, 0.58), np.float32)
_BRIGHT_TAILINGS = np.array((0.40, 0.44, 0.47, 0.49), np.float32)
_LARGEST_NUMBER = 4095
_STRIP_LINES = 256


@dataclass(frozen=True)
class Year:
    """One acquisition.

    Attributes:
        acquired_at: UTC.
        haze: multiplies the path reflectance.
        clouds: sizes of the clouds, as shares of the district's side.
        roll_deg: of the camera.
        bias_px: lines and samples by which the polynomials of the multispectral image are wrong.
        gain: radiance per digital number, W m-2 sr-1 um-1: four bands and panchromatic.
        esun: solar irradiance, W m-2 um-1: the same five.
        has_snow: whether snow lies on the heights.
        is_new_layout: of the XML.

    """

    acquired_at: datetime
    haze: float
    clouds: tuple[float, ...]
    roll_deg: float
    bias_px: tuple[float, float]
    gain: tuple[float, float, float, float, float]
    esun: tuple[float, float, float, float, float]
    has_snow: bool
    is_new_layout: bool


_ESUN = (1941.76, 1853.73, 1541.79, 1086.47, 1364.26)
_GAIN_2021 = (0.1374, 0.1784, 0.1723, 0.1894, 0.1884)
_INVENTED_GAIN_2023 = (0.1412, 0.1731, 0.1768, 0.1850, 0.1902)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


PLAN = {
    2021: Year(_utc("2021-07-18T05:12:40+00:00"), 0.7, (), 3.0, (0.0, 0.0), _GAIN_2021, _ESUN, False, False),
    2022: Year(
        _utc("2022-07-14T05:15:10+00:00"),
        1.15,
        (0.09, 0.06),
        6.5,
        (2.4, -1.7),
        _GAIN_2021,
        _ESUN,
        True,
        False,
    ),
    2023: Year(
        _utc("2023-07-21T05:09:55+00:00"),
        0.9,
        (0.055, 0.045),
        -5.0,
        (-3.1, 2.2),
        _INVENTED_GAIN_2023,
        _ESUN,
        False,
        True,
    ),
}


@dataclass(frozen=True)
class SimulatedPackage:
    """A package and its truth, on the district's 2 m grid in EPSG:32645.

    Attributes:
        year: of acquisition.
        folder: the package.
        product: its name.
        reflectance: GeoTIFF of reflectance at the top of the atmosphere * 10,000, four bands.
        clouds: GeoTIFF, 1 cloud (at least 12 % opaque), 2 shadow.
        bias_m: how far east and north an orthorectification with the wrong polynomials lies beside the truth.

    """

    year: int
    folder: Path
    product: str
    reflectance: Path
    clouds: Path
    bias_m: tuple[float, float]


@dataclass(frozen=True)
class Gaofen2Simulation:
    """What ``simulate_gaofen2`` wrote.

    Attributes:
        packages: one a year.
        terrain: elevation model, m above the ellipsoid, EPSG:32645.
        calibration: CSV with the invented coefficients of 2023.
        unchanged: GeoTIFF on the 2 m grid, 1 where the ground is the same in all years and lies under no
            snow; without regard to clouds.
        changed: GeoTIFF on the 2 m grid, 1 where the land cover class of 2023 is not that of 2021.

    """

    packages: tuple[SimulatedPackage, ...]
    terrain: Path
    calibration: Path
    unchanged: Path
    changed: Path


def simulate_gaofen2(
    folder: Path,
    *,
    seed: int = 7,
    side_px: int = 1200,
    progress: Callable[[str], None] | None = None,
) -> Gaofen2Simulation:
    """Simulate the packages of three years.

    Args:
        folder: made if missing; files of an earlier simulation there are replaced.
        seed: same seed and size, same pixels.
        side_px: side of the district in pixels of 2 m, 500 to 6,000; the image of 3.24 m has half as many.
        progress: called with a line of text before each step.

    Raises:
        UsageError: a size or the seed is out of range.

    """
    if not SMALLEST_PX <= side_px <= LARGEST_PX:
        raise UsageError(f"the side is {side_px}; choose {SMALLEST_PX} to {LARGEST_PX} pixels of 2 m")
    if seed < 0:
        raise UsageError(f"the seed is {seed}; choose 0 or more")
    tell = progress or (lambda _: None)
    shape = (side_px, side_px)
    truth = folder / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    land = make_landscape(seed, shape, tell)
    placement = place_district(shape)
    base_m = land.base.height_m
    grounds = {
        year: paint_year(seed, land.base, land.rivers, land.sites, land.villages, year)[0] for year in PLAN
    }
    packages = []
    for year, plan in PLAN.items():
        tell(f"{year}: package of {plan.acquired_at:%Y-%m-%d}")
        scene = _Acquisition(seed, year, plan, land, grounds[year], placement, base_m)
        packages.append(scene.write(folder, truth))
    write_map(folder / "terrain.tif", terrain_map(base_m), placement, cell_px=4)
    same, changed = same_ground(seed, grounds)
    write_map(truth / "unchanged.tif", same.astype(np.uint8)[None], placement)
    write_map(truth / "changed.tif", changed.astype(np.uint8)[None], placement)
    facts = {str(p.year): {"bias_m": p.bias_m, "product": p.product} for p in packages}
    (truth / "packages.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    calibration = folder / "calibration_2023.csv"
    calibration.write_text(_calibration_table(PLAN[2023]), encoding="utf-8")
    return Gaofen2Simulation(
        tuple(packages), folder / "terrain.tif", calibration, truth / "unchanged.tif", truth / "changed.tif"
    )


class _Acquisition:
    """One year's image: light and air over the ground, then the camera."""

    def __init__(
        self,
        seed: int,
        year: int,
        plan: Year,
        land: Landscape,
        ground: Ground,
        placement: Placement,
        height_m: FloatMap,
    ) -> None:
        self._year, self._plan, self._placement, self._height_m = year, plan, placement, height_m
        self._rng = stream(seed, "gaofen2", year)
        self._seed, self._land, self._ground = seed, land, ground
        side = ground.shape[0]
        middle_m = RESOLUTION_M * side / 2
        roll = math.tan(math.radians(plan.roll_deg))
        # The image is centred on the district at its mean height, which relief displaces across the track.
        centre = placement.origin_x_m + middle_m, placement.origin_y_m - middle_m
        fits = 0.8 * RESOLUTION_M * side - 2 * abs(roll) * float(np.ptp(height_m))
        size = 4 * int(fits / GSD_M / 4)
        camera = Camera(centre, GSD_M, size, size, plan.roll_deg)
        east, north = camera.ground(
            np.array([(size - 1) / 2]), np.array([(size - 1) / 2]), np.array([float(height_m.mean())])
        )
        shifted = 2 * centre[0] - float(east[0]), 2 * centre[1] - float(north[0])
        self._camera = Camera(shifted, GSD_M, size, size, plan.roll_deg)
        lon, lat = to_geographic(*centre)
        self._lon_lat = float(lon), float(lat)
        azimuth, elevation = sun_position(plan.acquired_at, lon, lat)
        self._sun = Sun(math.radians(azimuth), math.radians(elevation))
        self._clouds = self._make_clouds(ground.shape)

    def _make_clouds(self, shape: tuple[int, int]) -> list[Cloud]:
        """Clouds spread over the image's middle, apart from each other."""
        clouds = []
        for number, size in enumerate(self._plan.clouds):
            turn = 2 * math.pi * number / max(1, len(self._plan.clouds)) + float(self._rng.uniform(0, 1.5))
            place = tuple(
                0.5 * n + 0.19 * n * f(turn) for n, f in zip(shape, (math.sin, math.cos), strict=True)
            )
            clouds.append(make_cloud(self._rng, shape, self._sun, size, (place[0], place[1])))
        return clouds

    def _reflectance(self) -> FloatMap:
        """Reflectance at the top of the atmosphere (4, height, width) on the district's grid."""
        shape = self._ground.shape
        swath = Swath(
            acquired_on=date(2021, 7, 18),
            camera="PMS1",
            side=0,
            sun=self._sun,
            footprint=box(0, 0, shape[1], shape[0]),
            haze=self._plan.haze,
            wetness=0.0,
            gain=(1.0, 1.0, 1.0, 1.0),
            cloud=None,
        )
        surface = ground_reflectance(
            self._ground,
            self._land.geology,
            self._land.terrain.plain,
            make_textures(self._seed),
            swath,
            (0, shape[0]),
            (0, shape[1]),
        )
        tailings, snow = traps(self._seed, self._height_m)
        surface[:, tailings] = _BRIGHT_TAILINGS[:, None]
        if self._plan.has_snow:
            surface[:, snow] = _SNOW[:, None]
        surface *= irradiance(self._ground.height_m, self._sun, RESOLUTION_M)
        for cloud in self._clouds:
            overcast(surface, cloud, 0, 0)
        veil = (PATH_REFLECTANCE * self._plan.haze)[:, None, None].astype(np.float32)
        return np.asarray(veil + (1 - 1.5 * veil) * surface, dtype=np.float32)

    def _cloud_map(self) -> NDArray[np.uint8]:
        found = np.zeros(self._ground.shape, np.uint8)
        for value, name in ((2, "shadow"), (1, "opacity")):
            for cloud in self._clouds:
                opacity: FloatMap = getattr(cloud, name)
                rows, columns = (
                    (cloud.shadow_rows, cloud.shadow_columns) if value == 2 else (cloud.rows, cloud.columns)
                )
                found[rows, columns][opacity > 0.12] = value
        return found

    def _numbers(self, reflectance: FloatMap) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Digital numbers of the multispectral (4, lines, samples) and panchromatic (1, ...) image."""
        fine = self._camera.finer(PAN_TIMES)
        plan = self._plan
        distance = earth_sun_distance_au(plan.acquired_at)
        light = math.sin(self._sun.elevation) / (math.pi * distance**2)
        factor = np.array(plan.esun) * light / np.array(plan.gain)
        ms = np.empty((4, self._camera.lines, self._camera.samples), np.uint16)
        pan = np.empty((1, fine.lines, fine.samples), np.uint16)
        for top in range(0, fine.lines, _STRIP_LINES):
            count = min(_STRIP_LINES, fine.lines - top)
            line, sample = (a.astype(float) for a in np.mgrid[top : top + count, 0 : fine.samples])
            row, column = fine.seen(line, sample, self._height_m, self._placement)
            values = _sampled(reflectance, row, column)
            pan[0, top : top + count] = self._counted(np.tensordot(_PAN_WEIGHTS, values, 1) * factor[4])
            blocks = values.reshape(4, count // PAN_TIMES, PAN_TIMES, fine.samples // PAN_TIMES, PAN_TIMES)
            means = blocks.mean(axis=(2, 4)) * factor[:4, None, None]
            ms[:, top // PAN_TIMES : (top + count) // PAN_TIMES] = self._counted(means)
        return ms, pan

    def _counted(self, signal: NDArray[Any]) -> NDArray[np.uint16]:
        """Whole digital numbers with the detector's noise; 0 is kept for no data."""
        noise = self._rng.standard_normal(signal.shape, dtype=np.float32)
        noisy = signal + noise * np.sqrt(1.0 + 0.004 * np.maximum(signal, 0))
        counted: NDArray[np.uint16] = np.clip(np.rint(noisy), 1, _LARGEST_NUMBER).astype(np.uint16)
        return counted

    def write(self, folder: Path, truth: Path) -> SimulatedPackage:
        """Write the package and its truth."""
        plan = self._plan
        reflectance = self._reflectance()
        ms, pan = self._numbers(reflectance)
        lon, lat = self._lon_lat
        number = 5_700_000 + self._year
        product = f"GF2_PMS1_E{lon:.1f}_N{lat:.1f}_{plan.acquired_at:%Y%m%d}_L1A{number:010d}"
        package = folder / product
        shutil.rmtree(package, ignore_errors=True)
        package.mkdir()
        clouds = self._cloud_map()
        low, high = float(self._height_m.min()) - 60, float(self._height_m.max()) + 60
        for suffix, camera, pixels, bands, times in (
            ("MSS1", self._camera, ms, "1,2,3,4", 1),
            ("PAN1", self._camera.finer(PAN_TIMES), pan, "5", PAN_TIMES),
        ):
            stem = package / f"{product}-{suffix}"
            write_image(stem.with_name(stem.name + ".tiff"), pixels)
            # The fine pixels' first centre lies (times - 1) / 2 fine pixels before the coarse one's.
            write_polynomials(
                stem.with_name(stem.name + ".rpb"),
                camera.polynomials(low, high),
                line_bias_px=plan.bias_px[0] * times,
                sample_bias_px=plan.bias_px[1] * times,
            )
            write_side_file(
                stem.with_name(stem.name + ".xml"),
                camera,
                satellite="GF2",
                sensor="PMS1",
                product_id=number,
                acquired_at=plan.acquired_at,
                sun_azimuth_deg=math.degrees(self._sun.azimuth) % 360,
                sun_elevation_deg=math.degrees(self._sun.elevation),
                bands=bands,
                cloud_percent=round(100 * float(np.mean(clouds == 1))),
                is_new_layout=plan.is_new_layout,
            )
        scaled = np.clip(np.rint(reflectance * 10_000), 0, 65535).astype(np.uint16)
        write_map(truth / f"reflectance_{self._year}.tif", scaled, self._placement)
        write_map(truth / f"clouds_{self._year}.tif", clouds[None], self._placement)
        return SimulatedPackage(
            self._year,
            package,
            product,
            truth / f"reflectance_{self._year}.tif",
            truth / f"clouds_{self._year}.tif",
            self._bias_m(),
        )

    def _bias_m(self) -> tuple[float, float]:
        """Where an orthorectification with the biased polynomials puts the ground beside where it lies."""
        middle = np.array([(self._camera.lines - 1) / 2.0])
        height = np.array([float(self._height_m.mean())])
        true = self._camera.ground(middle, middle, height)
        # The polynomials name line + bias for ground that the image holds at line.
        wrong = self._camera.ground(middle - self._plan.bias_px[0], middle - self._plan.bias_px[1], height)
        return float(wrong[0][0] - true[0][0]), float(wrong[1][0] - true[1][0])


def _sampled(image: FloatMap, row: Points, column: Points) -> NDArray[np.float32]:
    return np.stack(
        [
            ndimage.map_coordinates(band, (row, column), np.float32, order=1, mode="nearest", prefilter=False)
            for band in image
        ]
    )


def _calibration_table(plan: Year) -> str:
    lines = ["sensor,camera,band,year,gain,offset,esun,source"]
    keys = [("gf2_pms", band) for band in _BANDS] + [("gf2_pan", "pan")]
    for (sensor, band), gain, esun in zip(keys, plan.gain, plan.esun, strict=True):
        lines.append(f"{sensor},PMS1,{band},2023,{gain},0,{esun},invented for the simulation")
    return "\n".join(lines) + "\n"
