"""STAC items: which offset counts, where the images lie, and what is refused."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from db.errors import UsageError
from ingest.processing.native import NativeSource
from ingest.products import landsat, stac
from ingest.products.gathering import gather
from ingest.products.product import Product
from tests.ingest_files import write_tiff
from tests.landsat_files import write_landsat
from tests.sentinel2_files import EPSG, HEIGHT, NORTH, SIZES, WEST, WIDTH, stored

EARTH_SEARCH = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3",
    "B08": "nir", "B8A": "nir08", "B11": "swir16",
}  # fmt: skip
Item = dict[str, Any]


def cog(path: Path, pixels: np.ndarray, size_m: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Affine(size_m, 0.0, WEST, 0.0, -size_m, NORTH)
    write_tiff(path, pixels, crs=f"EPSG:{EPSG}", transform=place, nodata=0)


def item_of(properties: Item, assets: Item, collection: str = "sentinel-2-l2a") -> Item:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_45TUG_20230516_0_L2A",
        "collection": collection,
        "geometry": None,
        "properties": {
            "datetime": "2023-05-16T05:23:40.123Z",
            "platform": "sentinel-2b",
            "constellation": "sentinel-2",
            "eo:cloud_cover": 12.5,
            "view:sun_azimuth": 145.5,
            "view:sun_elevation": 59.75,
            "s2:processing_baseline": "05.09",
            **properties,
        },
        "assets": assets,
    }


def earth_search(folder: Path, *, offset: float | None = -0.1, **properties: Any) -> Item:
    """An item as Earth Search has them, its COGs in a folder beside it, and copies that must not be taken."""
    assets: Item = {
        "visual": {"href": "./img/visual.tif", "roles": ["visual"], "eo:bands": [{"name": "red"}]}
    }
    for name, key in EARTH_SEARCH.items():
        cog(folder / "img" / f"{name}.tif", stored(name)[None], SIZES[name])
        numbers = {"nodata": 0, "data_type": "uint16", "spatial_resolution": SIZES[name], "scale": 0.0001}
        assets[key] = {
            "href": f"./img/{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": key, "common_name": "rededge" if "edge" in key else key}],
            "raster:bands": [numbers if offset is None else {**numbers, "offset": offset}],
        }
        assets[f"{key}-jp2"] = {**assets[key], "href": f"s3://sentinel-s2-l2a/tiles/{name}.jp2"}
    cog(folder / "img" / "SCL.tif", np.full((1, HEIGHT // 2, WIDTH // 2), 4, np.uint8), 20)
    assets["scl"] = {"href": "./img/SCL.tif", "roles": ["data"]}
    return item_of(properties, assets)


def read(folder: Path, item: Item) -> Product:
    (folder / "item.json").write_text(json.dumps(item))
    package = gather(str(folder), (), folder)
    (path,) = stac.find(package)
    return stac.read(package, path)


def test_an_item_of_earth_search_is_read_field_by_field(tmp_path: Path) -> None:
    product = read(tmp_path, earth_search(tmp_path))
    assert product.name == "S2B_45TUG_20230516_0_L2A"
    assert product.acquired_at == datetime(2023, 5, 16, 5, 23, 40, 123000, UTC)
    assert (product.sun_azimuth_deg, product.sun_elevation_deg) == (145.5, 59.75)
    assert product.cloud_fraction == 0.125
    (part,) = product.parts
    assert (part.sensor, part.level, part.resolution_m) == ("sentinel2_msi", "surface_reflectance", 10.0)
    assert [layer.band.name for layer in part.layers] == list(EARTH_SEARCH)
    assert part.layers[0].offset == pytest.approx(-1000)
    assert [mask.kind for mask in product.masks] == ["sentinel2_scl"]
    assert len(product.files) == len(EARTH_SEARCH) + 2
    with ExitStack() as stack:
        pixels = NativeSource(part, stack, "x").read_stored(0, 0, HEIGHT, WIDTH)
    for band, layer in zip(pixels, part.layers, strict=True):
        step = SIZES[layer.band.name] // 10
        assert np.array_equal(band, stored(layer.band.name).repeat(step, axis=0).repeat(step, axis=1))


APPLIED = "earthsearch:boa_offset_applied"
BASELINE = "s2:processing_baseline"


@pytest.mark.parametrize(
    ("offset", "properties", "expected", "is_noted"),
    [
        (-0.1, {}, -1000.0, False),
        (-0.1, {APPLIED: True}, 0.0, True),
        (0.0, {APPLIED: True}, 0.0, False),
        (-0.1, {APPLIED: False}, -1000.0, True),
        (None, {}, -1000.0, False),
        (None, {BASELINE: "03.01"}, 0.0, False),
        (None, {BASELINE: "04.00"}, -1000.0, False),
        (0.0, {BASELINE: "02.12"}, 0.0, False),
        (0.0, {}, 0.0, True),
        (-0.1, {BASELINE: "02.12"}, -1000.0, True),
    ],
)
def test_the_offset_of_sentinel2(
    tmp_path: Path, offset: float | None, properties: Item, expected: float, is_noted: bool
) -> None:
    product = read(tmp_path, earth_search(tmp_path, offset=offset, **properties))
    for layer in product.parts[0].layers:
        assert layer.offset == pytest.approx(expected)
        assert layer.scale == pytest.approx(1e-4)
    assert bool(product.notes) == is_noted


@pytest.mark.parametrize(
    ("offset", "properties", "reason"),
    [
        (None, {BASELINE: None}, "in doubt"),
        (None, {BASELINE: "new"}, "no number such as"),
        (0.0, {APPLIED: False}, "no offset was taken out"),
        (float("inf"), {}, "not a number"),
    ],
)
def test_doubtful_offsets_are_refused(
    tmp_path: Path, offset: float | None, properties: Item, reason: str
) -> None:
    with pytest.raises(UsageError, match=rf"item\.json: .*{reason}"):
        read(tmp_path, earth_search(tmp_path, offset=offset, **properties))


def test_an_item_without_raster_bands_in_the_names_of_esa(tmp_path: Path) -> None:
    """As the Planetary Computer has them: absolute addresses, no scale, a picture with the role of data."""
    assets: Item = {
        "visual": {"href": "https://example.org/visual.tif", "roles": ["data"], "eo:bands": [{"name": "B04"}]}
    }
    for name in ("B02", "B03", "B04", "B08"):
        cog(tmp_path / f"T45_{name}_10m.tif", stored(name)[None], 10)
        assets[name] = {
            "href": f"https://example.org/a/T45_{name}_10m.tif?sig=abc",
            "gsd": 10,
            "roles": ["data"],
            "eo:bands": [{"name": name, "center_wavelength": 0.49 if name == "B02" else None}],
        }
    assets["B11"] = {
        "href": "https://example.org/a/T45_B11_20m.tif",
        "roles": ["data"],
        "eo:bands": [{"name": "B11"}],
    }
    properties = {"view:sun_azimuth": None, "view:sun_elevation": None}
    solar = {"s2:mean_solar_zenith": 30.25, "s2:mean_solar_azimuth": 145.5}
    item = item_of({**properties, **solar}, assets)
    product = read(tmp_path, item)
    assert [layer.band.name for layer in product.parts[0].layers] == ["B02", "B03", "B04", "B08"]
    assert product.parts[0].layers[2].files[0].name == "T45_B04_10m.tif"
    assert product.parts[0].layers[0].offset == -1000.0
    assert (product.sun_azimuth_deg, product.sun_elevation_deg) == (145.5, 59.75)
    assert any("without B11" in note for note in product.notes)
    item["assets"]["B02"]["eo:bands"][0]["center_wavelength"] = 0.66
    with pytest.raises(UsageError, match=r"asset B02 is at 0\.66 um"):
        read(tmp_path, item)
    (tmp_path / "T45_B04_10m.tif").unlink()
    item["assets"]["B02"]["eo:bands"][0]["center_wavelength"] = 0.49
    with pytest.raises(UsageError, match=r"images of red do not lie beside .*download"):
        read(tmp_path, item)


def test_an_item_of_version_1_1_takes_the_finest_of_each_band(tmp_path: Path) -> None:
    assets: Item = {}
    for name in ("B02", "B03", "B04", "B08"):
        for size in (20, 10):
            pixels = stored(name) if size == 10 else np.full((HEIGHT // 2, WIDTH // 2), 31_000, np.uint16)
            cog(tmp_path / f"{name}_{size}m.tif", pixels[None], size)
            assets[f"{name}_{size}m"] = {
                "href": f"{name}_{size}m.tif",
                "roles": ["data"],
                "gsd": size,
                "raster:scale": 0.0001,
                "raster:offset": -0.1,
                "bands": [{"name": name, "eo:common_name": "x", "eo:center_wavelength": None}],
            }
    item = {**item_of({"product:type": "S2MSI2A"}, assets, "any"), "stac_version": "1.1.0"}
    part = read(tmp_path, item).parts[0]
    assert [layer.files[0].name for layer in part.layers] == [
        f"{each}_10m.tif" for each in ("B02", "B03", "B04", "B08")
    ]
    assert {round(layer.offset, 6) for layer in part.layers} == {-1000.0}


def landsat_item(name: str) -> Item:
    keys = {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir08": 5, "swir16": 6, "swir22": 7}
    assets: Item = {
        key: {
            "href": f"./{name}_SR_B{band}.TIF",
            "roles": ["reflectance"],
            "eo:bands": [{"name": f"OLI_B{band}", "common_name": key}],
            "raster:bands": [{"nodata": 0, "scale": 2.75e-05, "offset": -0.2}],
        }
        for key, band in keys.items()
    }
    assets["qa_pixel"] = {"href": f"./{name}_QA_PIXEL.TIF", "roles": ["cloud"]}
    assets["lwir11"] = {"href": f"./{name}_ST_B10.TIF", "eo:bands": [{"name": "TIRS_B10"}]}
    extra = {"platform": "landsat-9", "constellation": "landsat", "landsat:correction": "L2SP"}
    return {**item_of(extra, assets, "landsat-c2-l2"), "id": name}


def test_a_landsat_item_and_its_own_metadata(tmp_path: Path) -> None:
    name = write_landsat(tmp_path, "L2SP", forms=[])
    product = read(tmp_path, landsat_item(name))
    (part,) = product.parts
    assert (part.sensor, part.level, part.resolution_m) == ("landsat9_oli", "surface_reflectance", 30.0)
    assert [layer.band.name for layer in part.layers] == [f"B{band}" for band in range(1, 8)]
    assert (20_000 + part.layers[3].offset) * part.layers[3].scale == pytest.approx(0.35)
    assert [mask.kind for mask in product.masks] == ["landsat_qa_pixel"]
    # With the MTL beside it the package is one product, not two.
    write_landsat(tmp_path, "L2SP", forms=["xml"])
    package = gather(str(tmp_path), (), tmp_path)
    assert stac.find(package) == []
    assert len(landsat.find(package)) == 1
    assert stac.find(gather(str(tmp_path / "item.json"), (), tmp_path)) == ["item.json"]


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("../../../etc/passwd.tif", "leaves the package"),
        ("/etc/passwd", "no place beside the item"),
        ("file:///etc/passwd", "no place beside the item"),
        ("..\\..\\x.tif", "no place beside the item"),
        ("s3://bucket/B04_elsewhere.tif", "download them first"),
        ("https://example.org/B04_elsewhere.tif", "download them first"),
        ("./img/not_there.tif", "red .*do not lie beside the item"),
        ("", "no place beside the item"),
    ],
)
def test_images_that_lie_elsewhere_are_refused(tmp_path: Path, href: str, reason: str) -> None:
    item = earth_search(tmp_path)
    item["assets"]["red"]["href"] = href
    with pytest.raises(UsageError, match=rf"item\.json: .*{reason}"):
        read(tmp_path, item)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"properties": None}, "no properties or no assets"),
        ({"assets": []}, "no properties or no assets"),
        ({"stac_version": "0.9.0"}, "version 0.9.0 is not read"),
        ({"id": "x", "collection": "y"}, "does not say its level"),
    ],
)
def test_damaged_items_are_refused(tmp_path: Path, change: Item, reason: str) -> None:
    (tmp_path / "item.json").write_text(json.dumps({**earth_search(tmp_path), **change}))
    package = gather(str(tmp_path / "item.json"), (), tmp_path)
    with pytest.raises(UsageError, match=rf"item\.json: .*{reason}"):
        stac.read(package, "item.json")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"datetime": None}, "datetime is ''"),
        ({"eo:cloud_cover": "much"}, "eo:cloud_cover is 'much'"),
        ({"view:sun_elevation": True}, "view:sun_elevation is True"),
    ],
)
def test_wrong_properties_are_refused(tmp_path: Path, properties: Item, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"item\.json: {reason}"):
        read(tmp_path, earth_search(tmp_path, **properties))


def test_empty_images_are_refused_by_name(tmp_path: Path) -> None:
    item = earth_search(tmp_path)
    (tmp_path / "img" / "B8A.tif").write_bytes(b"")
    with pytest.raises(UsageError, match=r"B8A\.tif: the image is empty"):
        read(tmp_path, item)


def test_other_items_and_other_json_are_not_claimed(tmp_path: Path) -> None:
    other = item_of({"platform": "gaofen-2", "constellation": "gaofen-2"}, {})
    (tmp_path / "gf.json").write_text(json.dumps(other))
    (tmp_path / "catalog.json").write_text('{"type": "Catalog", "stac_version": "1.0.0"}')
    (tmp_path / "cut.json").write_text('{"type": "Feature", "stac_version": "1.0')
    (tmp_path / "empty.json").write_text("")
    assert stac.find(gather(str(tmp_path), (), tmp_path)) == []
    named = gather(str(tmp_path / "gf.json"), (), tmp_path)
    assert stac.find(named) == ["gf.json"]
    with pytest.raises(UsageError, match=r"gf\.json: the platform gaofen-2 .*is not read"):
        stac.read(named, "gf.json")
