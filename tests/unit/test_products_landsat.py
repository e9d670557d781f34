"""Landsat Collection 2 as USGS delivers it: meaning of the values, and the traps of its metadata."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.opening import open_raster, reading
from ingest.preprocess.product_masks import CLEAR, CLOUD, decode_mask
from ingest.processing.native import NativeSource
from ingest.products import landsat
from ingest.products.gathering import gather
from ingest.products.product import Product
from tests.landsat_files import EPSG, HEIGHT, NORTH, WEST, WIDTH, stored, write_landsat

IMAGE, CONTENTS = "IMAGE_ATTRIBUTES", "PRODUCT_CONTENTS"
SURFACE = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"


def read(folder: Path) -> Product:
    package = gather(str(folder), (), folder)
    (path,) = landsat.find(package)
    return landsat.read(package, path)


def test_level_1_is_read_field_by_field(tmp_path: Path) -> None:
    name = write_landsat(tmp_path)
    product = read(tmp_path)
    assert product.name == name
    assert product.acquired_at == datetime(2022, 1, 14, 14, 34, 30, 439074, UTC)
    assert (product.sun_azimuth_deg, product.sun_elevation_deg) == (252.5, 30.0)
    assert product.view_zenith_deg == pytest.approx(0.0, abs=0.01)
    assert product.cloud_fraction == pytest.approx(0.7565)
    assert product.metadata["processing_level"] == "L1TP"
    assert product.metadata["scene_id"] == "LC90010702022014LGN00"
    assert any("thermal" in note for note in product.notes)
    oli, pan = product.parts
    assert (oli.role, oli.sensor, oli.level) == ("multispectral", "landsat9_oli", "toa_reflectance")
    assert [layer.band.name for layer in oli.layers] == ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9"]
    assert (oli.width_px, oli.height_px, oli.resolution_m, oli.nodata) == (WIDTH, HEIGHT, 30.0, 0.0)
    assert (pan.role, pan.sensor, pan.resolution_m) == ("panchromatic", "landsat9_pan", 15.0)
    assert (pan.width_px, pan.height_px) == (2 * WIDTH, 2 * HEIGHT)
    # Nine images, the mask, and the one metadata file that was read.
    assert len(product.files) == 11
    assert product.files[0].name.endswith("_MTL.xml")


def test_level_1_becomes_reflectance_as_usgs_says(tmp_path: Path) -> None:
    write_landsat(tmp_path)
    for part in read(tmp_path).parts:
        with ExitStack() as stack:
            source = NativeSource(part, stack, "x")
            pixels = source.read_window(0, 0, source.grid.height_px, source.grid.width_px)
        for band, layer in zip(pixels, part.layers, strict=True):
            truth = stored(int(layer.band.name[1:])).astype(float)
            # The sun stands 30 degrees high, whose sine is one half.
            expected = (truth * 2e-5 - 0.1) / 0.5
            got = (band + layer.offset) * layer.scale
            assert np.isnan(got[0, 0])
            assert np.allclose(got.ravel()[1:], expected.ravel()[1:], atol=1e-6), layer.band.name
    assert source.grid == Grid(EPSG, WEST, NORTH, 15.0, 15.0, 2 * WIDTH, 2 * HEIGHT)


@pytest.mark.parametrize("form", ["xml", "json", "txt"])
def test_level_2_takes_its_own_coefficients_in_every_form(tmp_path: Path, form: str) -> None:
    name = write_landsat(tmp_path, "L2SP", craft="8", forms=[form])
    product = read(tmp_path)
    (part,) = product.parts
    assert product.name == name
    assert (part.sensor, part.level) == ("landsat8_oli", "surface_reflectance")
    assert [layer.band.name for layer in part.layers] == [f"B{band}" for band in range(1, 8)]
    for layer in part.layers:
        # The Level 1 coefficients stand under the same names further down; and the sun does not count here.
        assert (20_000 + layer.offset) * layer.scale == pytest.approx(20_000 * 2.75e-5 - 0.2, abs=1e-9)
    with ExitStack() as stack:
        pixels = NativeSource(part, stack, "x").read_stored(0, 0, HEIGHT, WIDTH)
    assert np.array_equal(pixels[4], stored(5))


def test_coefficients_of_level_1_never_stand_in_for_those_of_level_2(tmp_path: Path) -> None:
    write_landsat(tmp_path, "L2SP", change={(SURFACE, "REFLECTANCE_ADD_BAND_4"): None})
    with pytest.raises(UsageError, match="REFLECTANCE_ADD_BAND_4 in LEVEL2_SURFACE"):
        read(tmp_path)


def test_the_pixel_quality_is_the_mask(tmp_path: Path) -> None:
    write_landsat(tmp_path)
    (mask,) = read(tmp_path).masks
    with open_raster(mask.file) as dataset, reading(mask.file):
        codes = decode_mask(mask.kind, dataset.read(mask.index))
    assert set(np.unique(codes)) == {CLEAR, CLOUD}
    assert np.argwhere(codes == CLOUD)[[0, -1]].tolist() == [[3, 10], [5, 13]]


def test_unknown_cloud_and_a_rolled_satellite(tmp_path: Path) -> None:
    write_landsat(tmp_path, change={(IMAGE, "CLOUD_COVER"): "-1.00", (IMAGE, "ROLL_ANGLE"): "12.000"})
    product = read(tmp_path)
    assert product.cloud_fraction is None
    # sin(zenith) = (6371 + 705) / 6371 * sin(12 degrees)
    assert product.view_zenith_deg == pytest.approx(13.353, abs=0.01)
    assert any("rolled by 12" in note for note in product.notes)


def test_one_product_however_many_forms_and_the_named_one_first(tmp_path: Path) -> None:
    name = write_landsat(tmp_path)
    (tmp_path / "other_MTL.txt").write_text("nothing of the kind")
    assert landsat.find(gather(str(tmp_path), (), tmp_path)) == [f"{name}_MTL.xml"]
    named = gather(str(tmp_path / f"{name}_MTL.txt"), (), tmp_path)
    assert landsat.find(named) == [f"{name}_MTL.txt"]
    (tmp_path / f"{name}_MTL.xml").write_bytes(b"")
    assert landsat.find(gather(str(tmp_path), (), tmp_path)) == [f"{name}_MTL.json"]
    write_landsat(tmp_path, "L2SP", forms=["xml"])
    assert len(landsat.find(gather(str(tmp_path), (), tmp_path))) == 2


def test_missing_and_empty_images_are_refused_by_name(tmp_path: Path) -> None:
    name = write_landsat(tmp_path)
    for ending in ("B3", "B8", "QA_PIXEL"):
        image = tmp_path / f"{name}_{ending}.TIF"
        whole = image.read_bytes()
        image.write_bytes(b"")
        with pytest.raises(UsageError, match=rf"{ending}\.TIF: the image is empty"):
            read(tmp_path)
        image.unlink()
        with pytest.raises(UsageError, match=rf"_MTL\.xml: .*{ending}\.TIF is missing"):
            read(tmp_path)
        image.write_bytes(whole)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ((IMAGE, "SPACECRAFT_ID"), "LANDSAT_7", "is of LANDSAT_7"),
        ((IMAGE, "SENSOR_ID"), "TIRS", "thermal bands only"),
        ((IMAGE, "SUN_ELEVATION"), "-4.0", "at night"),
        ((IMAGE, "SUN_ELEVATION"), "nan", "not a number"),
        ((IMAGE, "SUN_ELEVATION"), None, "does not state SUN_ELEVATION"),
        ((IMAGE, "SUN_ELEVATION"), "120", "cannot be"),
        ((IMAGE, "SCENE_CENTER_TIME"), "noon", "no time"),
        ((CONTENTS, "COLLECTION_NUMBER"), "01", "Collection 01"),
        ((CONTENTS, "PROCESSING_LEVEL"), "L3", "level L3"),
        ((CONTENTS, "FILE_NAME_BAND_4"), "../B4.TIF", "is missing"),
        ((CONTENTS, "FILE_NAME_BAND_4"), None, "does not state FILE_NAME_BAND_4"),
        (("LEVEL1_RADIOMETRIC_RESCALING", "REFLECTANCE_MULT_BAND_2"), "0", "cannot be"),
        (("LEVEL1_RADIOMETRIC_RESCALING", "REFLECTANCE_ADD_BAND_2"), "inf", "not a number"),
    ],
)
def test_wrong_metadata_are_refused(
    tmp_path: Path, key: tuple[str, str], value: str | None, reason: str
) -> None:
    write_landsat(tmp_path, forms=["txt"], change={key: value})
    with pytest.raises(UsageError, match=rf"_MTL\.txt: .*{reason}"):
        read(tmp_path)


def test_damaged_metadata_are_refused(tmp_path: Path) -> None:
    name = write_landsat(tmp_path, forms=["txt"])
    side = tmp_path / f"{name}_MTL.txt"
    whole = side.read_text()
    side.write_text(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="cut short"):
        read(tmp_path)
    side.write_text(whole.replace("END_GROUP = IMAGE_ATTRIBUTES", "END_GROUP = OTHER"))
    with pytest.raises(UsageError, match="not closed in order"):
        read(tmp_path)
    side.write_text(whole.replace("LANDSAT_METADATA_FILE", "L1_METADATA_FILE"))
    with pytest.raises(UsageError, match="Collection 1"):
        read(tmp_path)
    side.unlink()
    (tmp_path / f"{name}_MTL.json").write_text('{"LANDSAT_METADATA_FILE": {"PRODUCT')
    with pytest.raises(UsageError, match=r"_MTL\.json: is damaged"):
        read(tmp_path)
    (tmp_path / f"{name}_MTL.json").write_bytes(b"")
    with pytest.raises(UsageError, match=r"_MTL\.json: the file is empty"):
        read(tmp_path)
