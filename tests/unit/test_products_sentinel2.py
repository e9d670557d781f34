"""Sentinel-2 as ESA delivers it: what the metadata say, and whether the right pixels come out."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.opening import open_raster, reading
from ingest.preprocess.product_masks import CLEAR, CLOUD, NODATA, SHADOW, SNOW, decode_mask
from ingest.processing.native import NativeSource
from ingest.products import sentinel2
from ingest.products.gathering import gather
from ingest.products.product import Product
from tests.sentinel2_files import EPSG, HEIGHT, NORTH, SIZES, WEST, WIDTH, stored, write_jp2, write_safe


def read(safe: Path) -> Product:
    package = gather(str(safe), (), safe.parent)
    (path,) = sentinel2.find(package)
    return sentinel2.read(package, path)


def image(safe: Path, ending: str) -> Path:
    (found,) = safe.glob(f"GRANULE/*/IMG_DATA/**/*{ending}.jp2")
    return found


@pytest.fixture(scope="module")
def l2a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_safe(tmp_path_factory.mktemp("l2a"))


def test_level_2a_is_read_field_by_field(l2a: Path) -> None:
    product = read(l2a)
    assert product.name == l2a.name.removesuffix(".SAFE")
    assert product.acquired_at == datetime(2023, 5, 16, 5, 23, 40, 123456, UTC)
    assert product.sun_azimuth_deg == 145.5
    assert product.sun_elevation_deg == 59.75
    # Azimuths 358 and 4 lie about 1, not about 181.
    assert product.view_azimuth_deg == pytest.approx(1.0, abs=1e-9)
    assert product.view_zenith_deg == pytest.approx(6.0, abs=0.02)
    assert product.cloud_fraction == 0.125
    assert product.metadata["processing_baseline"] == "05.09"
    assert product.metadata["tile"] == "45TUG"
    assert product.metadata["spacecraft"] == "Sentinel-2B"
    (part,) = product.parts
    assert (part.role, part.sensor, part.level) == ("multispectral", "sentinel2_msi", "surface_reflectance")
    assert (part.width_px, part.height_px, part.resolution_m, part.nodata) == (WIDTH, HEIGHT, 10.0, 0.0)
    assert [layer.band.name for layer in part.layers] == [name for name in SIZES if name != "B10"]
    assert {(layer.offset, layer.scale) for layer in part.layers} == {(-1000.0, 1e-4)}
    red = part.layers[3].band
    assert (red.common_name, red.center_nm) == ("red", 664.9)  # the product's own wavelength
    names = {file.name: file for file in product.files}
    # 12 bands, SCL, and both metadata; decoys of other sizes are not needed.
    assert len(names) == 15
    side = names["MTD_MSIL2A.xml"]
    assert side.sha256 == hashlib.sha256((l2a / "MTD_MSIL2A.xml").read_bytes()).hexdigest()


def test_every_band_comes_from_its_native_size_onto_one_grid(l2a: Path) -> None:
    part = read(l2a).parts[0]
    with ExitStack() as stack:
        source = NativeSource(part, stack, "x")
        assert source.grid == Grid(EPSG, WEST, NORTH, 10.0, 10.0, WIDTH, HEIGHT)
        window = source.read_stored(7, 13, 40, 90)
    for band, layer in zip(window, part.layers, strict=True):
        step = SIZES[layer.band.name] // 10
        whole = stored(layer.band.name).repeat(step, axis=0).repeat(step, axis=1)
        assert np.array_equal(band, whole[7:47, 13:103]), layer.band.name


def test_the_scene_classification_is_the_mask(l2a: Path) -> None:
    (mask,) = read(l2a).masks
    assert mask.kind == "sentinel2_scl"
    with open_raster(mask.file) as dataset, reading(mask.file):
        codes = decode_mask(mask.kind, dataset.read(mask.index))
    by_class = [NODATA, CLEAR, CLEAR, SHADOW, CLEAR, CLEAR, CLEAR, CLEAR, CLOUD, CLOUD, CLOUD, SNOW]
    assert codes.ravel()[:12].tolist() == by_class


def test_level_1c_has_thirteen_bands_and_a_raster_mask(tmp_path: Path) -> None:
    offsets = {name: -1000.0 - place for place, name in enumerate(SIZES)}
    product = read(write_safe(tmp_path, "1C", offsets=offsets))
    (part,) = product.parts
    assert part.level == "toa_reflectance"
    assert {layer.band.name: layer.offset for layer in part.layers} == offsets
    with ExitStack() as stack:
        pixels = NativeSource(part, stack, "x").read_stored(0, 0, HEIGHT, WIDTH)
    assert np.array_equal(pixels[7], stored("B08"))
    (mask,) = product.masks
    assert mask.kind == "sentinel2_classification"
    with open_raster(mask.file) as dataset, reading(mask.file):
        codes = decode_mask(mask.kind, dataset.read())
    assert codes[:, 0].tolist() == [CLOUD] * 5 + [SNOW] * 2 + [CLEAR] * 3


@pytest.mark.parametrize("level", ["1C", "2A"])
def test_before_baseline_four_there_is_no_offset(tmp_path: Path, level: str) -> None:
    product = read(write_safe(tmp_path, level, baseline="03.01"))
    assert {(layer.offset, layer.scale) for layer in product.parts[0].layers} == {(0.0, 1e-4)}
    assert bool(product.masks) == (level == "2A")
    assert any("GML" in note for note in product.notes) == (level == "1C")


def test_quantification_is_read_and_not_assumed(tmp_path: Path) -> None:
    safe = write_safe(tmp_path, changes=[('unit="none">10000<', 'unit="none">20000<')])
    assert read(safe).parts[0].layers[0].scale == 1 / 20000


@pytest.mark.parametrize(
    ("ending", "reason"), [("B03_10m", "B03_10m"), ("B09_60m", "B09_60m"), ("SCL_20m", "SCL_20m")]
)
def test_missing_and_empty_images_are_refused_by_name(tmp_path: Path, ending: str, reason: str) -> None:
    safe = write_safe(tmp_path)
    image(safe, ending).write_bytes(b"")
    with pytest.raises(UsageError, match=rf"{reason}\.jp2: the image is empty"):
        read(safe)
    image(safe, ending).unlink()
    with pytest.raises(UsageError, match=rf"MTD_MSIL2A\.xml: .*{reason}\.jp2 is missing"):
        read(safe)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([('<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>', "")], "BOA_ADD_OFFSET of B04"),
        ([("BOA_ADD_OFFSET", "OTHER")], "BOA_ADD_OFFSET of B01, B02"),
        ([('"3">-1000<', '"3">nan<')], "BOA_ADD_OFFSET is 'nan'"),
        ([('"none">10000<', '"none">inf<')], "BOA_QUANTIFICATION_VALUE is 'inf'"),
        ([('"none">10000<', '"none">0<')], "which cannot be"),
        ([("BOA_QUANTIFICATION_VALUE", "OTHER")], "does not state BOA_QUANTIFICATION_VALUE"),
        ([("<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>", "")], "does not state PROCESSING_BASELINE"),
        ([("2023-05-16T05:16:51.024Z", "yesterday")], "PRODUCT_START_TIME is 'yesterday'"),
        ([("2023-05-16T05:16:51.024Z", "2023-05-21T05:16:51.024Z")], "do not belong together"),
        ([("Level-2A_User_Product", "Level-2B_User_Product")], "holds Level-2B_User_Product"),
        ([("<IMAGE_FILE>GRANULE/", "<IMAGE_FILE>../../GRANULE/")], "outside the product"),
        ([("</Granule_List>", '<Granule granuleIdentifier="b"/></Granule_List>')], "holds 2 granules"),
        ([("IMAGE_FILE>", "IMAGE_ID>")], "lists no images"),
        ([("</n1:General_Info>", "")], "damaged or no XML"),
    ],
)
def test_wrong_product_metadata_are_refused(
    tmp_path: Path, changes: list[tuple[str, str]], reason: str
) -> None:
    safe = write_safe(tmp_path, changes=changes)
    with pytest.raises(UsageError, match=reason) as error:
        read(safe)
    assert "MTD_" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("Mean_Sun_Angle>", "Other>")], "does not state Mean_Sun_Angle"),
        ([(">30.25<", ">NaN<")], "ZENITH_ANGLE of Mean_Sun_Angle is 'NaN'"),
        ([(">30.25<", ">930.25<")], "cannot be"),
        ([("Level-2A_Tile_ID", "Level-1C_Tile_ID")], "no granule metadata of Sentinel-2 Level-2A"),
        ([("05:23:40.123456Z", "")], "SENSING_TIME"),
        ([('resolution="10"', 'resolution="11"')], "size of its 10 m bands"),
    ],
)
def test_wrong_granule_metadata_are_refused(
    tmp_path: Path, changes: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(UsageError, match=rf"MTD_TL\.xml: .*{reason}"):
        read(write_safe(tmp_path, tile_changes=changes))


def test_xml_with_entities_is_not_read(tmp_path: Path) -> None:
    safe = write_safe(tmp_path)
    side = safe / "MTD_MSIL2A.xml"
    first, rest = side.read_text().split("\n", 1)
    side.write_text(f'{first}\n<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n{rest}')
    with pytest.raises(UsageError, match="document type"):
        read(safe)


def test_an_empty_product_metadata_is_refused_by_name(tmp_path: Path) -> None:
    safe = write_safe(tmp_path)
    (safe / "MTD_MSIL2A.xml").write_bytes(b"")
    with pytest.raises(UsageError, match=r"MTD_MSIL2A\.xml: the file is empty"):
        read(safe)


def test_bands_of_another_zone_are_refused_when_they_are_opened(tmp_path: Path) -> None:
    safe = write_safe(tmp_path)
    write_jp2(image(safe, "B05_20m"), stored("B05")[None], 20.0, epsg=32646)
    part = read(safe).parts[0]
    with ExitStack() as stack, pytest.raises(UsageError, match="EPSG:32646"):
        NativeSource(part, stack, "x")


def test_two_products_are_both_listed_and_others_are_not(tmp_path: Path, l2a: Path) -> None:
    write_safe(tmp_path, "1C")
    write_safe(tmp_path, "2A")
    (tmp_path / "MTD_other.xml").write_text("<Level-1C_User_Product/>")
    found = sentinel2.find(gather(str(tmp_path), (), tmp_path))
    assert sorted(path.rpartition("/")[2] for path in found) == ["MTD_MSIL1C.xml", "MTD_MSIL2A.xml"]
    package = gather(str(l2a / "MTD_MSIL2A.xml"), (), tmp_path)
    assert sentinel2.find(package) == ["MTD_MSIL2A.xml"]
    assert sentinel2.read(package, "MTD_MSIL2A.xml").files == read(l2a).files
