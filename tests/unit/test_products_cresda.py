"""Packages of the Gaofen and Ziyuan satellites: instruments, parts, times, and what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.products import cresda
from ingest.products.cresda_times import geometry_of
from ingest.products.gathering import gather
from ingest.products.instruments import image_of
from ingest.products.product import Product
from ingest.products.recognition import read_product
from ingest.simulate.packages import write_image, write_polynomials, write_side_file
from ingest.simulate.pushbroom import Camera

AT = datetime(2022, 7, 14, 5, 15, 10, tzinfo=UTC)
CAMERA = Camera((508_000.0, 4_860_800.0), 3.24, 40, 40, 6.0)


def write_part(folder: Path, stem: str, satellite: str, sensor: str, bands: str, count: int) -> None:
    azimuth, elevation = sun_position(AT, 87.1, 43.9)
    folder.mkdir(exist_ok=True)
    write_image(folder / f"{stem}.tiff", np.ones((count, 40, 40), np.uint16))
    write_polynomials(folder / f"{stem}.rpb", CAMERA.polynomials(-100, 900))
    write_side_file(
        folder / f"{stem}.xml", CAMERA, satellite=satellite, sensor=sensor, product_id=1, acquired_at=AT,
        sun_azimuth_deg=azimuth, sun_elevation_deg=elevation, bands=bands, cloud_percent=12,
        is_new_layout=False,
    )  # fmt: skip


def product_of(folder: Path) -> Product:
    return read_product(gather(str(folder), (), folder.parent))


# Satellite, sensor; by part: ending of its name, band numbers, role, instrument, camera, common names.
FOUR = ("blue", "green", "red", "nir")
PACKAGES = {
    "GF1 PMS2": ("GF1", "PMS2", [
        ("-MSS2", "1,2,3,4", "multispectral", "gf1_pms", "PMS2", FOUR),
        ("-PAN2", "5", "panchromatic", "gf1_pan", "PMS2", ("pan",)),
    ]),
    "GF1 WFV4": ("GF1", "WFV4", [("", "1,2,3,4", "multispectral", "gf1_wfv", "WFV4", FOUR)]),
    "GF1C": ("GF1C", "PMS", [
        ("-MUX", "1,2,3,4", "multispectral", "gf1c_pms", "", FOUR),
        ("-PAN", "5", "panchromatic", "gf1c_pan", "", ("pan",)),
    ]),
    "GF2 PMS1": ("GF2", "PMS1", [
        ("-MSS1", "1,2,3,4", "multispectral", "gf2_pms", "PMS1", FOUR),
        ("-PAN1", "5", "panchromatic", "gf2_pan", "PMS1", ("pan",)),
    ]),
    "GF6 PMS": ("GF6", "PMS", [
        ("-MUX", "1,2,3,4", "multispectral", "gf6_pms", "", FOUR),
        ("-PAN", "5", "panchromatic", "gf6_pan", "", ("pan",)),
    ]),
    "GF6 WFV": ("GF6", "WFV", [
        ("", "1,2,3,4,5,6,7,8", "multispectral", "gf6_wfv", "",
         (*FOUR, "rededge071", "rededge075", "coastal", "yellow")),
    ]),
    "GF7": ("GF7", "DLC", [
        ("-BWDMUX", "1,2,3,4", "multispectral", "gf7_mux", "", FOUR),
        ("-FWDPAN", "5", "forward", "gf7_pan", "FWD", ("pan",)),
        ("-BWDPAN", "5", "backward", "gf7_pan", "BWD", ("pan",)),
    ]),
    "ZY3-02": ("ZY302", "TMS", [
        ("-MUX", "1,2,3,4", "multispectral", "zy3_mux", "ZY3-02", FOUR),
        ("-NAD", "1", "panchromatic", "zy3_pan", "ZY3-02", ("pan",)),
    ]),
    "ZY3 MUX": ("ZY3", "MUX", [("", "1,2,3,4", "multispectral", "zy3_mux", "ZY3-01", FOUR)]),
    "ZY1-02D VNIC": ("ZY1E", "VNIC", [
        ("-MUX", "1,2,3,4,5,6,7,8", "multispectral", "zy1_02d_vnic", "",
         (*FOUR, "coastal", "yellow", "rededge071", "nir09")),
        ("-PAN", "1", "panchromatic", "zy1_02d_vnic_pan", "", ("pan",)),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("key", PACKAGES)
def test_every_instrument_is_known_by_its_side_files(key: str, tmp_path: Path) -> None:
    satellite, sensor, parts = PACKAGES[key]
    folder = tmp_path / "package"
    stem = f"{satellite}_{sensor}_E87.1_N43.9_20220714_L1A0000000001"
    for ending, bands, _role, _key, _camera, names in parts:
        write_part(folder, stem + ending, satellite, sensor, bands, len(names))
    product = product_of(folder)
    assert product.name == stem
    assert product.acquired_at == AT
    assert {(p.role, p.sensor, p.camera) for p in product.parts} == {(r, s, c) for _, _, r, s, c, _ in parts}
    by_sensor = {(part.sensor, part.camera): part for part in product.parts}
    for _, _, role, sensor_key, camera, names in parts:
        part = by_sensor[sensor_key, camera]
        assert part.role == role
        assert tuple(layer.band.common_name for layer in part.layers) == names
        assert [layer.index for layer in part.layers] == list(range(1, len(names) + 1))
        assert part.level == "digital_number"
        assert (part.width_px, part.height_px) == (40, 40)
        assert part.rpc is not None
    assert product.parts[0].role == "multispectral"
    assert product.cloud_fraction == pytest.approx(0.12)
    assert product.view_zenith_deg == pytest.approx(CAMERA.view_zenith_deg, abs=0.01)
    assert product.notes == ()


def test_instruments_that_are_not_known() -> None:
    assert image_of("GF2", "PMS3", "MSS1") is None
    assert image_of("GF4", "PMI", "") is None
    assert image_of("ZY1E", "AHSI", "") is None
    assert image_of("GF7", "DLC", "XYZ") is None


@pytest.mark.parametrize(("zone", "hours"), [("Beijing time", 8), ("UTC", 0)])
@pytest.mark.parametrize("is_zenith", [True, False])
def test_the_sun_tells_what_times_and_angles_mean(zone: str, hours: int, is_zenith: bool) -> None:
    azimuth, elevation = sun_position(AT, 87.1, 43.9)
    values = {
        "CenterTime": f"2022-07-14 {AT.hour + hours:02d}:15:10",
        "SolarAzimuth": f"{azimuth:.3f}",
        "SolarZenith": f"{90 - elevation if is_zenith else elevation:.3f}",
        "SatelliteZenith": "83.5",
        "SatelliteAzimuth": "101",
    }
    for corner in ("TopLeft", "TopRight", "BottomRight", "BottomLeft"):
        values |= {f"{corner}Longitude": "87.1", f"{corner}Latitude": "43.9"}
    found = geometry_of(values, "x.xml")
    assert found.acquired_at == AT
    assert found.times_in == zone
    assert found.sun_elevation_deg == pytest.approx(elevation, abs=0.01)
    assert found.view_zenith_deg == pytest.approx(6.5)
    # An hour that fits neither reading would falsify every reflectance.
    values["CenterTime"] = "2022-07-14 20:15:10"
    with pytest.raises(UsageError, match="beside the direction that it states"):
        geometry_of(values, "x.xml")


def test_two_products_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    for number in (1, 2):
        write_part(folder, f"GF2_PMS1_L1A{number}-MSS1", "GF2", "PMS1", "1,2,3,4", 4)
    with pytest.raises(UsageError, match="holds 2 products; bring in one after the other"):
        product_of(folder)
    named = gather(str(folder / "GF2_PMS1_L1A2-MSS1.tiff"), (), tmp_path)
    assert read_product(named).name == "GF2_PMS1_L1A2"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[: len(raw) // 2], "is damaged or no XML"),
        (lambda raw: raw[:30], "is damaged or no XML"),
        (lambda raw: bytes(len(raw)), "is damaged or no XML"),
        (lambda _: b"<", "the XML is empty"),
    ],
)
def test_a_damaged_xml_refuses_its_own_product_only(
    tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    folder = tmp_path / "package"
    for name in ("GF2_PMS1_L1A1-MSS1", "GF2_PMS1_L1A2-MSS1"):
        write_part(folder, name, "GF2", "PMS1", "1,2,3,4", 4)
    path = folder / "GF2_PMS1_L1A2-MSS1.xml"
    path.write_bytes(damage(path.read_bytes()))
    package = gather(str(folder), (), tmp_path)
    good, bad = cresda.find(package)
    assert cresda.read(package, good).name == "GF2_PMS1_L1A1"
    with pytest.raises(UsageError, match=said):
        cresda.read(package, bad)


def test_an_image_of_the_whole_package_needs_no_part_of_its_own(tmp_path: Path) -> None:
    """The new layout has an XML without an image for the package as a whole."""
    folder = tmp_path / "package"
    write_part(folder, "GF2_PMS1_L1A1-MSS1", "GF2", "PMS1", "1,2,3,4", 4)
    text = (folder / "GF2_PMS1_L1A1-MSS1.xml").read_text()
    (folder / "GF2_PMS1_L1A1.xml").write_text(text)
    product = product_of(folder)
    assert [part.role for part in product.parts] == ["multispectral"]
    assert "GF2_PMS1_L1A1.xml" in {file.name for file in product.files}


@pytest.mark.parametrize(
    ("element", "value", "said"),
    [
        ("CenterTime", "yesterday", "not a date and time"),
        ("SolarZenith", "nan", "not a number"),
        ("ImageGSD", "", "does not state ImageGSD"),
        ("ImageGSD", "32400", "cannot be"),
        ("WidthInPixels", "-4", "cannot be"),
        ("Bands", "1,2,3", "lists the bands"),
        ("Bands", "4,3,2,1", "expected in order"),
        ("CenterTime", "0001-01-01 00:00:00", "cannot be"),
        ("CenterTime", "2021-07-14 13:15:10", "apart"),
        ("SolarAzimuth", "-400", "cannot be"),
        ("SatelliteZenith", "12345", "cannot be"),
        ("ImageGSD", "0.4", "corners lie so far apart"),
        ("TopLeftLatitude", "143.9", "no longitudes and latitudes"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, element: str, value: str, said: str) -> None:
    folder = tmp_path / "package"
    write_part(folder, "GF2_PMS1_L1A1-MSS1", "GF2", "PMS1", "1,2,3,4", 4)
    path = folder / "GF2_PMS1_L1A1-MSS1.xml"
    lines = [
        f"<{element}>{value}</{element}>" if f"<{element}>" in line else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=said):
        product_of(folder)


def test_parts_of_two_scenes_and_images_without_side_files(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    write_part(folder, "GF2_PMS1_L1A1-MSS1", "GF2", "PMS1", "1,2,3,4", 4)
    write_part(folder, "GF2_PMS1_L1A1-PAN1", "GF2", "PMS1", "5", 1)
    pan = folder / "GF2_PMS1_L1A1-PAN1.xml"
    text = pan.read_text()
    pan.write_text(text.replace("<SatelliteID>GF2", "<SatelliteID>GF1"))
    with pytest.raises(UsageError, match="of two scenes"):
        product_of(folder)
    pan.write_text("")
    with pytest.raises(UsageError, match="the XML is empty"):
        product_of(folder)
    pan.unlink()
    with pytest.raises(UsageError, match=r"PAN1.tiff: the XML of the same name is missing"):
        product_of(folder)


def test_view_direction_of_the_camera() -> None:
    """The simulated camera that these packages come from looks where it says."""
    east, north = CAMERA.ground(np.array([19.5]), np.array([19.5]), np.array([1000.0]))
    low_east, low_north = CAMERA.ground(np.array([19.5]), np.array([19.5]), np.array([0.0]))
    # Higher ground is seen nearer to the satellite's side.
    toward = math.degrees(math.atan2(float(east[0] - low_east[0]), float(north[0] - low_north[0]))) % 360
    assert toward == pytest.approx(CAMERA.view_azimuth_deg, abs=0.1)
    reach = math.hypot(float(east[0] - low_east[0]), float(north[0] - low_north[0]))
    assert math.degrees(math.atan(reach / 1000)) == pytest.approx(CAMERA.view_zenith_deg, abs=0.01)
