"""Simulated packages: read back by the readers and projected by their polynomials they give the truth."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from click.testing import CliRunner
from pyproj import Transformer
from scipy import ndimage

from db.calibration import Coefficients
from db.errors import UsageError
from ingest.calibration_command import parse_calibration
from ingest.preprocess.calibration import reflectance_factors
from ingest.preprocess.rpc_model import locate, project
from ingest.preprocess.solar import sun_position
from ingest.preprocess.solar_spectrum import solar_irradiance
from ingest.products import cresda
from ingest.products.gathering import gather
from ingest.products.product import Part, Product
from ingest.simulate.gaofen2 import Gaofen2Simulation, simulate_gaofen2
from ingest.simulate.package_ahsi import AhsiSimulation, simulate_ahsi
from ingest.simulate.pushbroom import Camera, to_geographic
from ingest.simulate_command import simulate

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

YEARS = (2021, 2022, 2023)
BIAS_PX = {2021: (0.0, 0.0), 2022: (2.4, -1.7), 2023: (-3.1, 2.2)}
PUBLISHED = Path("db/migrations/reference/calibration.csv")
Pixels = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def gaofen(tmp_path_factory: pytest.TempPathFactory) -> Gaofen2Simulation:
    return simulate_gaofen2(tmp_path_factory.mktemp("gf2"), seed=7, side_px=600)


@pytest.fixture(scope="module")
def ahsi(tmp_path_factory: pytest.TempPathFactory) -> AhsiSimulation:
    return simulate_ahsi(tmp_path_factory.mktemp("ahsi"), seed=7, size_px=72)


@pytest.fixture(scope="module")
def products(gaofen: Gaofen2Simulation) -> dict[int, Product]:
    return {each.year: read(each.folder) for each in gaofen.packages}


def read(folder: Path) -> Product:
    package = gather(str(folder), (), folder)
    (path,) = cresda.find(package)
    return cresda.read(package, path)


def part_of(product: Product, role: str) -> Part:
    return next(part for part in product.parts if part.role == role)


def pixels(path: Path) -> npt.NDArray[np.float64]:
    with rasterio.open(path) as file:
        values: npt.NDArray[np.float64] = file.read().astype(np.float64)
    return values


def on_map(path: Path, east: Pixels, north: Pixels) -> Pixels:
    """Values (bands, points) of a north-up GeoTIFF, bilinear between its pixels' centres."""
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32645
        step, values = file.res[0], file.read().astype(np.float64)
        row, column = (file.transform.f - north) / step - 0.5, (east - file.transform.c) / step - 0.5
    return np.stack([ndimage.map_coordinates(band, (row, column), order=1) for band in values])


def pixel_means(path: Path, part: Part, step_px: int, parts: int, terrain: Path) -> tuple[Pixels, ...]:
    """Line and sample of some pixels of an image, and what a map holds on average below them."""
    assert part.rpc is not None
    assert part.height_px is not None
    assert part.width_px is not None
    line, sample = (
        each.ravel().astype(float)
        for each in np.mgrid[8 : part.height_px - 8 : step_px, 8 : part.width_px - 8 : step_px]
    )
    total: Pixels = np.zeros(0)
    offsets = (np.arange(parts) + 0.5) / parts - 0.5
    for down in offsets:
        for right in offsets:
            east, north = seen(part, line + down, sample + right, terrain)
            values = on_map(path, east, north)
            total = values if not total.size else total + values
    return line, sample, total / parts**2


def seen(part: Part, line: Pixels, sample: Pixels, terrain: Path) -> tuple[Pixels, Pixels]:
    """Easting and northing that pixels see on the terrain, by the package's own polynomials."""
    to_metres = Transformer.from_crs(4326, 32645, always_xy=True)
    height = np.full(line.shape, float(pixels(terrain).mean()))
    for _ in range(8):
        east, north = to_metres.transform(*locate(part.rpc, line, sample, height))
        height = on_map(terrain, east, north)[0]
    return east, north


def test_polynomials_are_the_cameras() -> None:
    camera = Camera((508_000.0, 4_860_800.0), 3.24, 1400, 1400, 6.5)
    rpc = camera.polynomials(300.0, 1500.0)
    rng = np.random.default_rng(1)
    line, sample = rng.uniform(0, 1399, 500), rng.uniform(0, 1399, 500)
    height = rng.uniform(300, 1500, 500)
    east, north = camera.ground(line, sample, height)
    at_line, at_sample = project(rpc, *to_geographic(east, north), height)
    assert np.abs(at_line - line).max() < 0.05
    assert np.abs(at_sample - sample).max() < 0.05
    back = camera.image(east, north, height)
    np.testing.assert_allclose(back, (line, sample), atol=1e-6)


def test_higher_ground_moves_away_from_the_satellite() -> None:
    camera = Camera((508_000.0, 4_860_800.0), 3.24, 1001, 1001, 6.5)
    middle = np.array([500.0])
    low, high = (np.array(camera.ground(middle, middle, np.array([h]))) for h in (0.0, 1000.0))
    # The ray from a point of the ground up to the satellite leads towards it.
    east, north = (high - low)[:, 0]
    assert math.hypot(east, north) == pytest.approx(1000 * math.tan(math.radians(6.5)), rel=1e-6)
    assert math.degrees(math.atan2(east, north)) % 360 == pytest.approx(camera.view_azimuth_deg, abs=0.01)
    # A descending pass that looks to its samples' growing side, the east: the satellite stands in the west.
    assert camera.view_azimuth_deg == pytest.approx(283, abs=1)


def test_packages_read_back(gaofen: Gaofen2Simulation, products: dict[int, Product]) -> None:
    for each in gaofen.packages:
        product = products[each.year]
        assert product.name == each.product == each.folder.name
        assert [(part.sensor, part.camera) for part in product.parts] == [
            ("gf2_pms", "PMS1"),
            ("gf2_pan", "PMS1"),
        ]
        for part in product.parts:
            with rasterio.open(part.layers[0].files[0].path) as file:
                assert (file.width, file.height) == (part.width_px, part.height_px)
                assert file.count == len(part.layers)
                assert file.dtypes[0] == "uint16"
                assert file.crs is None
                assert file.transform.is_identity
        ms, pan = (part_of(product, role) for role in ("multispectral", "panchromatic"))
        assert (pan.width_px, pan.height_px) == (4 * (ms.width_px or 0), 4 * (ms.height_px or 0))
        assert not product.notes


def test_layouts_differ(gaofen: Gaofen2Simulation) -> None:
    texts = {each.year: (each.folder / f"{each.product}-MSS1.xml").read_text() for each in gaofen.packages}
    assert [("ReceiveStationID" in texts[year]) for year in YEARS] == [False, False, True]


def test_side_files_are_in_beijing_time_and_agree_with_the_sun(
    gaofen: Gaofen2Simulation, products: dict[int, Product]
) -> None:
    product = products[2021]
    assert product.acquired_at == datetime(2021, 7, 18, 5, 12, 40, tzinfo=UTC)
    assert product.metadata["times_in"] == "Beijing time"
    text = next(gaofen.packages[0].folder.glob("*MSS1.xml")).read_text()
    assert "<CenterTime>2021-07-18 13:12:40</CenterTime>" in text
    assert "<ReceiveTime>2021-07-18 05:12:40</ReceiveTime>" in text
    azimuth, elevation = sun_position(product.acquired_at, 87.1, 43.9)
    assert product.sun_azimuth_deg == pytest.approx(azimuth, abs=0.1)
    assert product.sun_elevation_deg == pytest.approx(elevation, abs=0.1)
    assert product.view_zenith_deg == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize("year", YEARS)
def test_numbers_are_the_planted_reflectance(
    gaofen: Gaofen2Simulation, products: dict[int, Product], year: int
) -> None:
    product, package = products[year], gaofen.packages[YEARS.index(year)]
    part = part_of(product, "multispectral")
    assert part.rpc is not None
    # What is planted into the polynomials is taken out again: then they are the camera's.
    part.rpc.line_off -= BIAS_PX[year][0]
    part.rpc.samp_off -= BIAS_PX[year][1]
    try:
        line, sample, truth = pixel_means(package.reflectance, part, 6, 4, gaofen.terrain)
    finally:
        part.rpc.line_off += BIAS_PX[year][0]
        part.rpc.samp_off += BIAS_PX[year][1]
    numbers = pixels(part.layers[0].files[0].path)[:, line.astype(int), sample.astype(int)]
    factors = reflectance_factors(coefficients(gaofen, year), product.acquired_at, elevation_of(product))
    found = factors.apply(numbers[:, :, None])[:, :, 0]
    relative = found / (truth / 10_000) - 1
    assert np.abs(np.median(relative, axis=1)).max() < 0.002
    assert np.quantile(np.abs(relative), 0.9, axis=1).max() < 0.015
    # Beside where they belong, the pixels differ more: line and sample are not swapped, nor turned round.
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        beside = pixels(part.layers[0].files[0].path)[:, line.astype(int) + down, sample.astype(int) + right]
        off = factors.apply(beside[:, :, None])[:, :, 0] / (truth / 10_000) - 1
        assert np.abs(off).mean() > 1.5 * np.abs(relative).mean()


def elevation_of(product: Product) -> float:
    assert product.sun_elevation_deg is not None
    return product.sun_elevation_deg


def coefficients(gaofen: Gaofen2Simulation, year: int) -> list[Coefficients]:
    """Those published for the year, or the invented ones of 2023 that come with the packages."""
    file = gaofen.calibration if year == 2023 else PUBLISHED
    rows = [
        row
        for row in parse_calibration(file.name, file.read_bytes())
        if (row.sensor, row.camera, row.coefficients.year) == ("gf2_pms", "PMS1", year)
    ]
    by_band = {row.coefficients.band: row.coefficients for row in rows}
    return [by_band[band] for band in ("blue", "green", "red", "nir")]


def test_no_coefficients_are_published_for_2023(gaofen: Gaofen2Simulation) -> None:
    with PUBLISHED.open(newline="") as file:
        assert not [row for row in csv.DictReader(file) if row["year"] == "2023" and "gf2" in row["sensor"]]
    rows = parse_calibration("calibration_2023.csv", gaofen.calibration.read_bytes())
    assert {(row.sensor, row.coefficients.band) for row in rows} == {
        *(("gf2_pms", band) for band in ("blue", "green", "red", "nir")),
        ("gf2_pan", "pan"),
    }


def test_bias_in_metres_is_that_in_pixels(gaofen: Gaofen2Simulation, products: dict[int, Product]) -> None:
    for package in gaofen.packages:
        part = part_of(products[package.year], "multispectral")
        assert part.rpc is not None
        assert part.height_px is not None
        line, sample = np.array([part.height_px / 2]), np.array([part.height_px / 2])
        height = np.array([float(pixels(gaofen.terrain).mean())])
        biased = locate(part.rpc, line, sample, height)
        unbiased = locate(
            part.rpc, line + BIAS_PX[package.year][0], sample + BIAS_PX[package.year][1], height
        )
        to_metres = Transformer.from_crs(4326, 32645, always_xy=True)
        east, north = (
            float(a[0] - b[0])
            for a, b in zip(to_metres.transform(*biased), to_metres.transform(*unbiased), strict=True)
        )
        np.testing.assert_allclose(package.bias_m, (east, north), atol=0.05)
    assert gaofen.packages[0].bias_m == (0.0, 0.0)
    assert math.hypot(*gaofen.packages[1].bias_m) == pytest.approx(3.24 * math.hypot(2.4, 1.7), rel=0.01)


def test_clouds_are_bright_and_shadows_dark(gaofen: Gaofen2Simulation) -> None:
    shares = []
    for package in gaofen.packages:
        clouds, reflectance = pixels(package.clouds)[0], pixels(package.reflectance)
        shares.append(float(np.mean(clouds == 1)))
        if shares[-1] == 0:
            continue
        blue = {value: float(np.median(reflectance[0][clouds == value])) for value in (0, 1, 2)}
        assert blue[1] > 1.5 * blue[0]
        assert blue[2] < blue[0]
    assert shares[0] == 0
    assert 0.02 < shares[1] < 0.15
    assert 0.01 < shares[2] < 0.10


def test_changed_and_unchanged_ground_are_apart(gaofen: Gaofen2Simulation) -> None:
    changed, same = pixels(gaofen.changed)[0] == 1, pixels(gaofen.unchanged)[0] == 1
    assert changed.mean() > 0.002
    assert same.mean() > 0.2
    assert not (changed & same).any()


@pytest.mark.parametrize(("kind", "size_px", "count"), [("ahsi", 72, 1), ("gf2", 600, 3)])
def test_command_writes_packages_and_same_seed_gives_same_bytes(
    gaofen: Gaofen2Simulation, ahsi: AhsiSimulation, tmp_path: Path, kind: str, size_px: int, count: int
) -> None:
    arguments = [str(tmp_path / "made"), "--kind", kind, "--size-px", str(size_px), "--seed", "7"]
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 0, result.output
    said = [line.partition(": ")[2] for line in result.output.splitlines() if line[:2] == "20"]
    folders = [Path(text) for text in said if text.startswith(str(tmp_path))]
    assert len(folders) == count
    assert all(folder.is_dir() for folder in folders)
    first = (ahsi.terrain if kind == "ahsi" else gaofen.terrain).parent
    assert digests(first) == digests(tmp_path / "made")


def test_another_seed_gives_other_ground(ahsi: AhsiSimulation, tmp_path: Path) -> None:
    other = simulate_ahsi(tmp_path, seed=8, size_px=72)
    assert (pixels(other.surface) != pixels(ahsi.surface)).mean() > 0.5


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_ahsi_reads_back_with_its_wavelengths(ahsi: AhsiSimulation) -> None:
    product = read(ahsi.package)
    assert product.name == ahsi.product
    assert product.acquired_at == datetime(2022, 7, 15, 5, 21, 33, tzinfo=UTC)
    assert [(part.role, part.sensor, len(part.layers), part.resolution_m) for part in product.parts] == [
        ("vnir", "zy1_02d_ahsi", 76, 30.0),
        ("swir", "zy1_02d_ahsi", 90, 30.0),
    ]
    facts = json.loads(ahsi.facts.read_text())
    for part in product.parts:
        centers = [layer.band.center_nm for layer in part.layers]
        assert centers == facts[part.role]["center_nm"]
    assert facts["vnir"]["center_nm"][-1] > facts["swir"]["center_nm"][0]
    assert not product.notes
    # One file stands for all, also for those that do not have the product's name.
    assert read(next(ahsi.package.glob("*-SW.xml"))).files == product.files


def test_ahsi_radiance_is_the_planted_reflectance(ahsi: AhsiSimulation) -> None:
    product, facts = read(ahsi.package), json.loads(ahsi.facts.read_text())
    first = 0
    for part in product.parts:
        known = facts[part.role]
        line, sample, truth = pixel_means(ahsi.top, part, 3, 3, ahsi.terrain)
        truth = truth[first : first + len(part.layers)] / 10_000
        first += len(part.layers)
        stored = pixels(part.layers[0].files[0].path)[:, line.astype(int), sample.astype(int)]
        found = reflectance_factors(
            [
                Coefficients(
                    str(number),
                    layer.scale,
                    layer.offset * layer.scale,
                    solar_irradiance(center, known["width_nm"]),
                    2022,
                    "",
                )
                for number, (layer, center) in enumerate(zip(part.layers, known["center_nm"], strict=True))
            ],
            product.acquired_at,
            elevation_of(product),
        ).apply(stored[:, :, None])[:, :, 0]
        unfit = {*known["dead"], *known["noisy"], *known["water_vapour"], *map(int, known["stripes"])}
        good = [n - 1 for n in range(1, len(part.layers) + 1) if n not in unfit]
        off = found[good].mean(axis=1) / truth[good].mean(axis=1) - 1
        assert np.abs(off).max() < 0.01
        correlation = [np.corrcoef(found[n], truth[n])[0, 1] for n in good]
        assert min(correlation) > 0.9
        for number in known["dead"]:
            assert len(np.unique(stored[number - 1])) == 1
        for number in known["water_vapour"]:
            assert truth[number - 1].mean() < 0.05


def test_ahsi_stripes_and_noise_are_where_the_facts_say(ahsi: AhsiSimulation) -> None:
    product, facts = read(ahsi.package), json.loads(ahsi.facts.read_text())
    for part in product.parts:
        numbers = pixels(part.layers[0].files[0].path)
        known = facts[part.role]

        def roughness(number: int, cube: Pixels = numbers) -> float:
            columns = cube[number - 1].mean(axis=0)
            return float(np.abs(np.diff(columns, 2)).mean() / max(1.0, columns.mean()))

        for number in map(int, known["stripes"]):
            clean = next(
                n
                for n in range(number + 1, number + 9)
                if str(n) not in known["stripes"] and n not in known["dead"]
            )
            assert roughness(number) > 1.5 * roughness(clean)
        for number in known["noisy"]:
            band = numbers[number - 1]
            assert np.diff(band, axis=0).std() / math.sqrt(2) > 0.2 * band.mean()


def test_sizes_and_folders_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size is 39; choose 40 to 1000"):
        simulate_ahsi(tmp_path, size_px=39)
    with pytest.raises(UsageError, match="seed is -1"):
        simulate_ahsi(tmp_path, seed=-1)
    with pytest.raises(UsageError, match="side is 499"):
        simulate_gaofen2(tmp_path, side_px=499)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(simulate, [str(tmp_path / "file")])
    assert isinstance(result.exception, UsageError)
    assert "is a file" in str(result.exception)
