"""A GeoTIFF and the TOML file that describes it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC
from rasterio.transform import Affine

from db.errors import UsageError
from ingest.products.described import find, read
from ingest.products.gathering import gather

PLACE = Affine(8.0, 0, 500_000, 0, -8.0, 4_000_000)
RPCS = RPC(
    height_off=100.0,
    height_scale=500.0,
    lat_off=36.0,
    lat_scale=0.1,
    line_den_coeff=[1.0] + [0.0] * 19,
    line_num_coeff=[0.0, 0.0, -1.0] + [0.0] * 17,
    line_off=1.5,
    line_scale=2.0,
    long_off=117.0,
    long_scale=0.1,
    samp_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[0.0, 1.0] + [0.0] * 18,
    samp_off=2.5,
    samp_scale=3.0,
)
RPB = """satId = "X";
bandId = "P";
SpecId = "RPC00B";
BEGIN_GROUP = IMAGE
    errBias = 1.0;
    errRand = 0.0;
    lineOffset = 1.5;
    sampOffset = 2.5;
    latOffset = 36.0;
    longOffset = 118.0;
    heightOffset = 100;
    lineScale = 2.0;
    sampScale = 3.0;
    latScale = 0.1;
    longScale = 0.1;
    heightScale = 500;
""" + "".join(
    f"    {name}Coef = (\n" + ",\n".join(str(float(term == place)) for term in range(20)) + ");\n"
    for name, place in (("lineNum", 2), ("lineDen", 0), ("sampNum", 1), ("sampDen", 0))
)
RPB += "END_GROUP = IMAGE\nEND;\n"

WHOLE = """
sensor = "gf2_pms"
acquired = 2023-05-06T11:12:13+08:00
level = "toa_reflectance"
product = "GF2 of May"
camera = "PMS1"
scale = 0.0001
offset = -1000
nodata = 0
sun_azimuth_deg = 140.5
sun_elevation_deg = 61
view_zenith_deg = 4.5
view_azimuth_deg = 100
cloud_percent = 25
cloud_mask = "clouds.tif"

[[bands]]
name = "blue"
common_name = "blue"
center_nm = 485
width_nm = 70
esun = 1945.3

[[bands]]
name = "green"
gain = 0.5
bias = 3.0

[[bands]]
name = "red"
scale = 0.001
fault = "dead"
"""
SHORT = 'sensor = "x"\nacquired = 2023-05-06\nlevel = "radiance"\nbands = ["a", "b", "c"]\n'


def describe(folder: Path, text: str, *, name: str = "scene", **profile: Any) -> Path:
    said: dict[str, Any] = {"crs": "EPSG:32650", "transform": PLACE, "dtype": "uint16"} | profile
    with rasterio.open(
        folder / f"{name}.tif", "w", driver="GTiff", width=6, height=4, count=3, **said
    ) as file:
        file.write(np.ones((3, 4, 6), said["dtype"]))
    (folder / f"{name}.toml").write_text(text)
    return folder


def product_of(folder: Path) -> Any:
    package = gather(str(folder), (), folder)
    (path,) = find(package)
    return read(package, path)


def test_every_key_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "clouds.tif").write_bytes(b"II*\0mask")
    product = product_of(describe(tmp_path, WHOLE))
    assert product.name == "GF2 of May"
    assert product.acquired_at == datetime(2023, 5, 6, 3, 12, 13, tzinfo=UTC)
    assert (product.sun_azimuth_deg, product.sun_elevation_deg) == (140.5, 61)
    assert (product.view_zenith_deg, product.view_azimuth_deg, product.cloud_fraction) == (4.5, 100, 0.25)
    assert [(mask.kind, mask.file.name) for mask in product.masks] == [("cloud_mask", "clouds.tif")]
    assert [file.name for file in product.files] == ["scene.toml", "scene.tif", "clouds.tif"]
    assert product.notes == ()
    (part,) = product.parts
    assert (part.sensor, part.camera, part.level, part.nodata) == ("gf2_pms", "PMS1", "toa_reflectance", 0)
    assert (part.width_px, part.height_px, part.resolution_m, part.rpc) == (6, 4, 8, None)
    blue, green, red = part.layers
    assert (blue.band.common_name, blue.band.center_nm, blue.band.width_nm) == ("blue", 485, 70)
    assert (blue.offset, blue.scale, blue.esun, blue.index) == (-1000, 0.0001, 1945.3, 1)
    # gain * stored + bias = (stored + offset) * scale
    assert (10 + green.offset) * green.scale == 0.5 * 10 + 3
    assert (red.offset, red.scale, red.band.fault, red.index) == (-1000, 0.001, "dead", 3)


def test_a_short_description_has_defaults_and_says_so(tmp_path: Path) -> None:
    product = product_of(describe(tmp_path, SHORT))
    assert product.name == "scene"
    assert product.acquired_at == datetime(2023, 5, 6, 12, tzinfo=UTC)
    assert "noon UTC" in product.notes[0]
    assert {(layer.offset, layer.scale) for layer in product.parts[0].layers} == {(0.0, 1.0)}
    assert product.parts[0].nodata is None


def test_sentinel_2_needs_no_level_but_its_offset(tmp_path: Path) -> None:
    text = SHORT.replace('"x"', '"sentinel2_msi"').replace('level = "radiance"\n', "")
    with pytest.raises(UsageError, match=r"scene\.toml: offset is missing"):
        product_of(describe(tmp_path, text))
    product = product_of(describe(tmp_path, "offset = -1000\n" + text))
    assert product.parts[0].level == "surface_reflectance"
    assert {(layer.offset, layer.scale) for layer in product.parts[0].layers} == {(-1000.0, 1e-4)}
    assert any("taken as surface_reflectance" in note for note in product.notes)
    before = product_of(describe(tmp_path, text.replace("2023", "2021")))
    assert before.parts[0].layers[0].offset == 0


def test_polynomials_come_from_an_rpb_else_from_the_tiff(tmp_path: Path) -> None:
    bare = {"crs": None, "transform": None, "rpcs": RPCS}
    text = "resolution_m = 4\n" + SHORT
    (part,) = product_of(describe(tmp_path, text, **bare)).parts
    assert (part.rpc.long_off, part.rpc.line_off, part.resolution_m) == (117, 1.5, 4)
    (tmp_path / "other.rpb").write_text(RPB)
    product = product_of(describe(tmp_path, 'rpb = "other.rpb"\n' + text, **bare))
    assert product.parts[0].rpc.long_off == 118
    assert "other.rpb" in {file.name for file in product.files}
    # Polynomials left over in an orthorectified image mean nothing.
    assert product_of(describe(tmp_path, SHORT, rpcs=RPCS)).parts[0].rpc is None
    with pytest.raises(UsageError, match="state resolution_m"):
        product_of(describe(tmp_path, SHORT, **bare))


def test_an_image_that_lies_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        describe(tmp_path, SHORT, crs=None, transform=None)
    with pytest.raises(UsageError, match="neither georeferenced"):
        product_of(tmp_path)


def test_a_toml_file_without_an_image_is_no_description(tmp_path: Path) -> None:
    (tmp_path / "classes.toml").write_text("[classes]\n")
    assert find(gather(str(tmp_path), (), tmp_path)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sensor", "sensr", "sensr is not known; did you mean sensor"),
        ("sensor", "zzz", "zzz is not known; there are: sensor"),
        ('sensor = "x"\n', "", "sensor is missing"),
        ('level = "radiance"\n', "", "level is missing"),
        ("acquired = 2023-05-06\n", "", "acquired is missing"),
        ("2023-05-06", '"6 May"', "acquired is '6 May', not a date"),
        ("2023-05-06", "2023-05-06T10:00:00", "acquired needs a time zone"),
        ("radiance", "radiants", "level 'radiants' is not known"),
        ('"x"', "7", "sensor is 7, not a text"),
        ('"x"', '" "', "sensor is empty"),
        ('["a", "b", "c"]', '["a", "b"]', "lists 2 bands, the image has 3"),
        ('["a", "b", "c"]', '["a", "b", "a"]', "two bands of the name a"),
        ('["a", "b", "c"]', '["a", "b", 3]', "band 3 is 3"),
        ('["a", "b", "c"]', '["a", {name = "b", centre_nm = 5}, "c"]', "did you mean center_nm"),
        ('["a", "b", "c"]', '["a", {name = "b", gain = 2, offset = 1}, "c"]', "band 2: state gain with bias"),
        ('bands = ["a", "b", "c"]\n', "", "bands is missing"),
        ("level", "scale = 0\nlevel", "scale is 0; it must be above 0"),
        ("level", "offset = nan\nlevel", "offset is nan, not a finite number"),
        ("level", "scale = true\nlevel", "scale is True"),
        ("level", "bias = 3\nlevel", "state gain with bias"),
        ("level", "cloud_percent = 101\nlevel", "cloud_percent is 101"),
        ("level", "sun_elevation_deg = -2\nlevel", "sun_elevation_deg is -2"),
        ("level", "resolution_m = 2\nlevel", "resolution_m is 2, and the image's own pixels have 8"),
        ("level", 'cloud_mask = "none.tif"\nlevel', "'none.tif' does not lie beside it"),
        ("level", 'cloud_mask = "../scene.tif"\nlevel', "does not lie beside it"),
        ("level =", "level", "is no TOML"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SHORT
    describe(tmp_path, SHORT.replace(old, new, 1))
    with pytest.raises(UsageError, match=f"scene.toml.*{said}"):
        product_of(tmp_path)
