"""EnMAP: tiles with tags become one scene; a delivery is read from its metadata."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from db.errors import UsageError
from ingest.processing.native import NativeSource
from ingest.products.enmap import find, read
from ingest.products.gathering import gather
from ingest.products.package import Package

SIDE = 4
WAVELENGTHS = np.concatenate([np.linspace(418.2, 993.1, 91), np.linspace(902.3, 2445.5, 133)])
EMPTY = range(130, 136)


def write_tile(path: Path, column: float, row: float, **changed: Any) -> Path:
    """A tile whose pixels are all 100 * its column + its row, band by band one more."""
    said: dict[str, Any] = {
        "wavelengths": WAVELENGTHS,
        "units": "Nanometers",
        "start_time": "2022-07-24T10:45:26",
        "crs": "EPSG:32633",
        "pixel_m": 30.0,
        "nodata": -32768.0,
    } | changed
    count = len(said["wavelengths"])
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.full((count, SIDE, SIDE), 100 * column + row, np.float32)
    pixels += np.arange(count, dtype=np.float32)[:, None, None]
    pixels[EMPTY[0] - 1 : EMPTY[-1]] = -32768
    size = said["pixel_m"]
    place = Affine(size, 0, 360_000 + column * size, 0, -size, 5_800_000 - row * size)
    with rasterio.open(
        path, "w", "GTiff", SIDE, SIDE, count, said["crs"], place, "float32", said["nodata"]
    ) as file:
        file.write(pixels)
        if said["start_time"] is not None:
            file.update_tags(start_time=said["start_time"])
        for band, wavelength in enumerate(said["wavelengths"], 1):
            file.update_tags(
                band,
                wavelength=f"{wavelength:.6g}",
                fwhm="0.007" if said["units"] == "Micrometers" else "7",
                wavelength_units=said["units"],
                bbl="0" if band in EMPTY else "1",
            )
    return path


def package_of(folder: Path) -> Package:
    return gather(str(folder), (), folder)


def product_of(folder: Path) -> Any:
    package = package_of(folder)
    (path,) = find(package)
    return read(package, path)


def test_tiles_are_one_product(tmp_path: Path) -> None:
    write_tile(tmp_path / "enmap_x_tile_0_0.tif", 0, 0)
    write_tile(tmp_path / "enmap_x_tile_8_4.tif", 8, 4)
    product = product_of(tmp_path)
    assert product.name == "enmap_x_20220724T104526"
    assert product.acquired_at == datetime(2022, 7, 24, 10, 45, 26, tzinfo=UTC)
    (part,) = product.parts
    assert (part.sensor, part.level, part.nodata, part.resolution_m) == (
        "enmap_hsi",
        "surface_reflectance",
        -32768,
        30,
    )
    assert [layer.band.name for layer in part.layers][::223] == ["B001", "B224"]
    assert [layer.index for layer in part.layers] == list(range(1, 225))
    assert {(layer.offset, layer.scale) for layer in part.layers} == {(0.0, 1e-4)}
    assert part.layers[91].band.center_nm == 902.3
    assert part.layers[0].band.width_nm == 7
    assert [place for place, layer in enumerate(part.layers, 1) if layer.band.fault] == list(EMPTY)
    assert {len(layer.files) for layer in part.layers} == {2}
    assert [file.name for file in product.files] == ["enmap_x_tile_0_0.tif", "enmap_x_tile_8_4.tif"]
    assert len(product.files[0].sha256) == 64


def test_gaps_between_tiles_are_nodata_and_each_tile_lies_in_its_place(tmp_path: Path) -> None:
    write_tile(tmp_path / "enmap_x_tile_0_0.tif", 0, 0)
    write_tile(tmp_path / "enmap_x_tile_8_4.tif", 8, 4)
    (part,) = product_of(tmp_path).parts
    with ExitStack() as stack:
        source = NativeSource(part, stack, "x")
        assert (source.grid.width_px, source.grid.height_px) == (12, 8)
        pixels = source.read_stored(0, 0, 8, 12)
    expected = np.full((8, 12), -32768.0)
    expected[:4, :4], expected[4:, 8:] = 9, 8 * 100 + 4 + 9
    assert np.array_equal(pixels[9], expected)


def test_what_lies_beside_the_tiles_is_no_tile(tmp_path: Path) -> None:
    write_tile(tmp_path / "images" / "enmap_x_tile_0_0.tif", 0, 0)
    labels = tmp_path / "labels" / "enmap_x_tile_0_0.tif"
    write_tile(labels, 0, 0, wavelengths=WAVELENGTHS[:1])
    (tmp_path / "enmap_bands.csv").write_text("band\n")
    (tmp_path / "enmap_broken.tif").write_bytes(b"II*\0" + bytes(40))
    (tmp_path / "enmap_none.tif").write_bytes(b"")
    product = product_of(tmp_path)
    assert [file.name for file in product.files] == ["images/enmap_x_tile_0_0.tif"]
    assert product.name == "enmap_x_tile_0_0_20220724T104526"
    assert find(package_of(labels.parent)) == []


def test_a_named_tile_stands_alone(tmp_path: Path) -> None:
    write_tile(tmp_path / "enmap_x_tile_0_0.tif", 0, 0)
    other = write_tile(tmp_path / "enmap_x_tile_8_4.tif", 8, 4)
    package = gather(str(other), (), tmp_path)
    assert find(package) == ["enmap_x_tile_8_4.tif"]
    product = read(package, "enmap_x_tile_8_4.tif")
    assert [file.name for file in product.files] == ["enmap_x_tile_8_4.tif"]


def test_tiles_are_known_by_their_wavelengths_too(tmp_path: Path) -> None:
    write_tile(tmp_path / "a.tif", 0, 0, wavelengths=WAVELENGTHS / 1000, units="Micrometers")
    write_tile(tmp_path / "aviris.tif", 0, 0, wavelengths=np.linspace(366, 2500, 224))
    product = product_of(tmp_path)
    assert [file.name for file in product.files] == ["a.tif"]
    assert product.parts[0].layers[91].band.center_nm == pytest.approx(902.3)
    assert product.parts[0].layers[0].band.width_nm == pytest.approx(7)


def test_a_time_with_a_zone_becomes_utc(tmp_path: Path) -> None:
    write_tile(tmp_path / "enmap.tif", 0, 0, start_time="2022-07-24T12:45:26+02:00")
    assert product_of(tmp_path).acquired_at == datetime(2022, 7, 24, 10, 45, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("place", "changed", "said"),
    [
        ((4, 0), {"start_time": "2022-07-25T10:45:26"}, "tiles of two scenes"),
        ((4, 0), {"crs": "EPSG:32632"}, "EPSG:32633 and EPSG:32632"),
        ((4, 0), {"pixel_m": 10.0}, "different pixels"),
        ((4.5, 0), {}, "4.500 columns and 0.000 rows"),
        ((0, 4.25), {}, "0.000 columns and 4.250 rows"),
        ((4, 0), {"wavelengths": WAVELENGTHS[:223]}, "224 and 223 bands"),
        ((4, 0), {"wavelengths": WAVELENGTHS + 1}, "wavelengths"),
        ((4, 0), {"nodata": -9999.0}, "nodata values differ"),
    ],
)
def test_tiles_of_different_scenes_are_refused_and_named(
    tmp_path: Path, place: tuple[float, float], changed: dict[str, Any], said: str
) -> None:
    write_tile(tmp_path / "enmap_1.tif", 0, 0)
    write_tile(tmp_path / "enmap_2.tif", *place, **changed)
    with pytest.raises(UsageError, match=r"enmap_1\.tif and enmap_2\.tif") as caught:
        product_of(tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"start_time": None}, "start_time is ''"),
        ({"start_time": "yesterday"}, "start_time is 'yesterday'"),
        ({"wavelengths": np.sort(WAVELENGTHS)}, "band 91 lies at"),
        ({"wavelengths": WAVELENGTHS / 1000}, "band 1 lies at 0.4182 nm"),
        ({"wavelengths": WAVELENGTHS[:200]}, "has 200 bands"),
    ],
)
def test_tags_that_cannot_be_are_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    write_tile(tmp_path / "enmap.tif", 0, 0, **changed)
    with pytest.raises(UsageError, match=f"enmap.tif: .*{said}"):
        product_of(tmp_path)
