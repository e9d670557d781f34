"""Real side files of Gaofen-1 and Gaofen-2, field by field beside STAC items that others derived from them.

Where the items are wrong (times called UTC that are Beijing's, a zenith called elevation, width and height
swapped, 101 % of cloud) the test says so and checks what is right.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.calibration import coefficients
from db.connection import connect
from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.products.gathering import gather
from ingest.products.product import Part, Product
from ingest.products.recognition import read_product
from ingest.products.rpb import read_rpb, rpb_text
from ingest.simulate.packages import write_image
from tests.support import test_data

ITEMS = {
    "GF1_PMS1": "GAOFEN-1/PMS1/MetadataExtractorsTests_GF1_PMS1_E69.4_N33.3_20220624_L1A0006547030.json",
    "GF1_WFV3": "GAOFEN-1/WFV3/MetadataExtractorsTests_GF1_WFV3_E89.0_N23.9_20200523_L1A0004819525.json",
    "GF2_PMS1": "GAOFEN-2/PMS/MetadataExtractorsTests_GF2_PMS1_W91.0_N17.6_20200510_L1A0004793969.json",
    "GF2_PMS2_2018": "GAOFEN-2/PMS/MetadataExtractorsTests_GF2_PMS2_E120.2_S0.0_20181002_L1A0003492622.json",
    "GF2_PMS2_2023": "GAOFEN-2/PMS/MetadataExtractorsTests_GF2_PMS2_W72.3_S36.7_20230213_L1A2147483647.json",
}


def item_of(key: str) -> tuple[dict[str, Any], Path]:
    """The STAC item, and the folder of its side files."""
    path = test_data("gaofen_products") / ITEMS[key]
    item = json.loads(path.read_text(encoding="utf-8"))
    folder = (path.parent / item["assets"]["MSS-metadata"]["href"]).parent
    return item, folder


def with_pixels(folder: Path, target: Path) -> Path:
    """A copy of the side files in which every empty image has a few pixels, so that it is read to the end."""
    target.mkdir()
    for file in folder.iterdir():
        if file.suffix in (".xml", ".rpb"):
            shutil.copy(file, target / file.name)
        elif file.suffix == ".tiff":
            write_image(target / file.name, np.ones((4, 8, 8), np.uint16))
    for rpb in target.glob("*MSS*.rpb"):
        if rpb.stat().st_size == 0:
            # One real product came without; the panchromatic image's polynomials hold for it at a quarter.
            [pan] = target.glob("*PAN*.rpb")
            package = gather(str(target), (), target)
            rpc = read_rpb(package.files[pan.name])
            rpc.line_off, rpc.samp_off = (rpc.line_off + 0.5) / 4 - 0.5, (rpc.samp_off + 0.5) / 4 - 0.5
            rpc.line_scale, rpc.samp_scale = rpc.line_scale / 4, rpc.samp_scale / 4
            rpb.write_text(rpb_text(rpc), encoding="ascii")
    return target


def product_of(key: str, tmp_path: Path) -> tuple[dict[str, Any], Product]:
    item, folder = item_of(key)
    copy = with_pixels(folder, tmp_path / folder.name)
    return item, read_product(gather(str(copy), (), tmp_path))


@pytest.mark.parametrize("key", ITEMS)
def test_field_by_field(key: str, tmp_path: Path) -> None:
    item, product = product_of(key, tmp_path)
    said = item["properties"]
    assert product.name == item["id"]
    assert product.metadata["SatelliteID"].replace("GF", "gaofen-") == said["platform"]
    assert str(product.metadata["SensorID"]).lower() == said["instruments"][0]
    assert int(product.metadata["OrbitID"]) == said["sat:absolute_orbit"]
    level = product.metadata["ProductLevel"]
    assert level.replace("LEVEL", "L") == said["processing:level"]

    # The items call Beijing's times UTC.
    start, end = (datetime.fromisoformat(said[f"{name}_datetime"]) for name in ("start", "end"))
    off = timedelta(hours=8)
    second = timedelta(seconds=1)
    assert start - off - second <= product.acquired_at <= end - off + second
    assert product.acquired_at.utcoffset() == timedelta(0)
    assert product.metadata["times_in"] == "Beijing time"

    # The items call the sun's zenith angle its elevation; the sun itself says which one it is.
    assert product.sun_azimuth_deg == pytest.approx(said["view:sun_azimuth"], abs=0.01)
    assert product.sun_elevation_deg == pytest.approx(90 - said["view:sun_elevation"], abs=0.01)
    west, south, east, north = item["bbox"]
    azimuth, elevation = sun_position(product.acquired_at, (west + east) / 2, (south + north) / 2)
    assert product.sun_elevation_deg == pytest.approx(elevation, abs=1)
    assert product.sun_azimuth_deg == pytest.approx(azimuth, abs=3)

    cloud = said["eo:cloud_cover"]
    assert product.cloud_fraction == (pytest.approx(cloud) if cloud <= 1 else None)
    assert product.view_zenith_deg is not None
    assert 0 <= product.view_zenith_deg < 35
    assert min(part.resolution_m for part in product.parts) == pytest.approx(said["gsd"])

    for part in product.parts:
        check_part(part, item["assets"]["PAN" if part.role == "panchromatic" else "MSS"], item)
    expected = {asset["filename"] for name, asset in item["assets"].items() if "-" not in name}
    expected |= {
        asset["filename"] for name, asset in item["assets"].items() if name.endswith(("-metadata", "-rpb"))
    }
    assert {file.name for file in product.files} >= expected
    assert all(len(file.sha256) == 64 for file in product.files)


def check_part(part: Part, asset: dict[str, Any], item: dict[str, Any]) -> None:
    # proj:shape is height, width by the standard; these items hold width, height.
    assert [part.width_px, part.height_px] == asset["proj:shape"]
    assert part.resolution_m == pytest.approx(asset["gsd"])
    bands = [layer.band for layer in part.layers]
    assert [band.common_name for band in bands] == [band["common_name"] for band in asset["eo:bands"]]
    for band, stated in zip(bands, asset["eo:bands"], strict=True):
        # The items take the panchromatic band for 450 to 890 nm, the data centre states 450 to 900 nm.
        assert band.center_nm == pytest.approx(1000 * stated["center_wavelength"], abs=6)
        assert band.width_nm == pytest.approx(1000 * stated["full_width_half_max"], abs=11)
    assert part.corners is not None
    lon, lat = zip(*part.corners, strict=True)
    west, south, east, north = item["bbox"]
    # The items' box is that of the multispectral image; the panchromatic one ends hundreds of lines earlier.
    near = 1e-6 if part.role == "multispectral" else 0.04 * max(east - west, north - south)
    assert [min(lon), min(lat), max(lon), max(lat)] == pytest.approx([west, south, east, north], abs=near)


@pytest.mark.parametrize("key", ITEMS)
def test_solar_irradiance_of_the_bands(key: str, tmp_path: Path, database_url: str) -> None:
    """Irradiance in the catalogue is that of the items; coefficients change from year to year."""
    item, product = product_of(key, tmp_path)
    with connect(database_url) as conn:
        for part in product.parts:
            names = [layer.band.name for layer in part.layers]
            found = coefficients(conn, part.sensor, part.camera, names, min(product.acquired_at.year, 2022))
            stated = item["assets"]["PAN" if part.role == "panchromatic" else "MSS"]["eo:bands"]
            for ours, theirs in zip(found, stated, strict=True):
                assert ours.esun == pytest.approx(theirs["solar_illumination"], rel=0.02)


@pytest.mark.parametrize("key", ITEMS)
def test_packages_without_pixels_are_refused(key: str, tmp_path: Path) -> None:
    _, folder = item_of(key)
    with pytest.raises(UsageError, match=r"the image is empty|rational polynomials are empty"):
        read_product(gather(str(folder), (), tmp_path))
