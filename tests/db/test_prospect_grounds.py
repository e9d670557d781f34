"""Ground to prospect on: channels of a scene or a study area, and which of its cells are judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.scenes import scene_by_product
from db.wavelengths import PEGMATITE_WINDOWS_NM
from inference.geology.rasters import GeologySettings, geology_rasters
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.ground import area_ground, ground_of_channels, level_warning, scene_ground
from inference.prospect.learning import without_geology
from tests.prospect_ground import (
    BANDS,
    BY_WAVELENGTH,
    CLOUD,
    COLLAR_PX,
    GRID,
    OFFSET,
    SCALE,
    SIDE,
    add_area,
    add_layer,
    box,
    fill,
    layer_values,
    stored_pixels,
)

NONE = GeologyChoice(bands=())


@pytest.fixture(scope="session")
def ground_database(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A database with a hyperspectral scene, geology, deposits, and a study area of two layers."""
    cluster.create_database("lode_test_prospect_grounds", template=template_database)
    with connect(cluster.url("lode_test_prospect_grounds")) as conn:
        fill(conn, tmp_path_factory.mktemp("scene"))
    return "lode_test_prospect_grounds"


@pytest.fixture
def ground(cluster: Cluster, ground_database: str) -> Iterator[Connection[Any]]:
    """Connection to that database; what a test does to it is rolled back."""
    with connect(cluster.url(ground_database)) as conn:
        yield conn
        conn.rollback()


def test_a_scene_gives_the_bands_of_the_windows_in_order_of_wavelength(ground: Connection[Any]) -> None:
    said: list[str] = []
    found = scene_ground(ground, "scene", geology=NONE, report=said.append)
    assert tuple(channel.name for channel in found.channels) == BY_WAVELENGTH
    assert found.channels[0].kind == "spectral"
    assert found.channels[0].center_nm == pytest.approx(793.402)
    assert found.channels[0].width_nm is not None
    assert said == list(found.notes)
    assert said == [
        "band B190 is left out: it has the value 0.0677 everywhere",
        "band B210 is left out: it holds no value",
    ]
    assert (found.name, found.evidence_area_id, found.geology_digest) == ("scene", None, None)
    assert found.grid == GRID


def test_values_are_reflectance_and_nan_without_data(ground: Connection[Any]) -> None:
    found = scene_ground(ground, "scene", geology=NONE)
    pixels = stored_pixels().astype(np.float64)
    judged = np.ones((SIDE, SIDE), bool)
    judged[:, :COLLAR_PX] = False
    judged[CLOUD[0] : CLOUD[2], CLOUD[1] : CLOUD[3]] = False
    for values, name in zip(found.values, BY_WAVELENGTH, strict=True):
        stored = pixels[BANDS.index(name)]
        expected = np.where(judged & (stored != 0), (stored + OFFSET) * SCALE, np.nan)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert found.values.dtype == np.float32
    assert np.array_equal(found.is_judged, judged)  # where one band lacks data others have it
    valid = judged.copy()
    valid[40:43, 60:64] = False
    assert np.array_equal(found.is_valid, valid)


def test_bands_are_relative_to_pixel_and_scene_and_only_where_asked_for(ground: Connection[Any]) -> None:
    plain = scene_ground(ground, "scene", geology=NONE)
    found = scene_ground(ground, "scene", geology=NONE, is_relative=True)
    near, far = PEGMATITE_WINDOWS_NM
    assert [channel.relative_to_nm for channel in found.channels] == [near, near, far, far]
    assert {channel.relative_to_nm for channel in plain.channels} == {None}
    for places in ([0, 1], [2, 3]):
        ratio = plain.values[places] / plain.values[places].mean(axis=0)
        expected = ratio / np.nanmedian(ratio, axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(found.values[places], expected, rtol=1e-6)
    again = ground_of_channels(ground, scene_by_product(ground, "scene"), found.channels, geology=NONE)
    assert again.channels == found.channels
    np.testing.assert_array_equal(again.values, found.values)


def test_cloud_and_shadow_are_not_judged(ground: Connection[Any]) -> None:
    cloud = box(10, 20, 30, 50)
    ground.execute("update lode.scene set clouded = st_geomfromwkb(%s, 4326)", (shapely.to_wkb(cloud),))
    found = scene_ground(ground, "scene", geology=NONE)
    assert not found.is_judged[10:30, 20:50].any()
    assert found.is_judged.sum() == SIDE * (SIDE - COLLAR_PX) - 20 * 30
    # a patch may hold a few such cells: they must tell a network nothing
    assert np.isnan(found.values[:, ~found.is_judged]).all()
    assert np.isfinite(found.values[:, 60, 70]).any()


def test_a_band_that_is_marked_as_faulty_is_left_out_by_name(ground: Connection[Any]) -> None:
    for position, name in enumerate(BANDS, 1):
        ground.execute(
            "insert into lode.scene_band (scene_id, position, name, center_nm, width_nm, fault)"
            " select s.scene_id, %s, b.name, b.center_nm, b.width_nm, %s from lode.scene s"
            " join lode.sensor_band b using (sensor_id) where b.name = %s",
            (position, "striped" if name == "B070" else None, name),
        )
    found = scene_ground(ground, "scene", geology=NONE)
    assert tuple(channel.name for channel in found.channels) == ("B066", "B185", "B200")
    assert found.notes[0] == "band B070 is left out: striped"
    ground.execute("update lode.scene_band set fault = 'noisy' where name = 'B066'")
    with pytest.raises(UsageError, match=r"no usable band left in 782-902 nm, .*marked as faulty"):
        scene_ground(ground, "scene", geology=NONE)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (((782, 902), (3000, 4000)), r"no band in 3000-4000 nm; its bands lie at 679\.485 to 2338\.19 nm"),
        (((782, 902), (2338, 2339)), r"no usable band left in 2338-2339 nm, .*it holds no values"),
        ((), r"no window of wavelengths"),
    ],
)
def test_windows_without_a_usable_band_are_named(ground: Connection[Any], windows: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scene_ground(ground, "scene", windows_nm=windows, geology=NONE)


def test_a_scene_that_says_no_wavelengths_is_refused(ground: Connection[Any]) -> None:
    for position, name in enumerate(BANDS, 1):
        ground.execute(
            "insert into lode.scene_band (scene_id, position, name) select scene_id, %s, %s from lode.scene",
            (position, name),
        )
    with pytest.raises(UsageError, match=r"says of none of its 7 bands at which wavelength"):
        scene_ground(ground, "scene", geology=NONE)


def test_a_scene_in_degrees_or_unknown_is_refused(ground: Connection[Any]) -> None:
    with pytest.raises(UsageError, match=r"no scene 'x'; there are: scene"):
        scene_ground(ground, "x")
    ground.execute("update lode.scene set srid = 4326")
    with pytest.raises(UsageError, match=r"scene scene lies in EPSG:4326 .*degree.*warp it to UTM"):
        scene_ground(ground, "scene", geology=NONE)


def test_geology_stands_beside_bands_as_it_is_computed(ground: Connection[Any]) -> None:
    settings = GeologySettings(proximity_m=300.0)
    choice = GeologyChoice(("pluton_proximity", "fault_distance_m"), settings)
    found = scene_ground(ground, "scene", geology=choice)
    rasters = geology_rasters(ground, GRID, settings)
    assert [channel.name for channel in found.channels[-2:]] == list(choice.bands)
    assert np.array_equal(found.values[-2], rasters.values[rasters.band_names.index("pluton_proximity")])
    assert np.array_equal(found.values[-1], rasters.values[rasters.band_names.index("fault_distance_m")])
    assert found.geology_digest == rasters.content_digest


@pytest.mark.parametrize("kind", ["fault", "pluton"])
def test_without_faults_or_plutons_there_is_no_geology(ground: Connection[Any], kind: str) -> None:
    ground.execute(f"delete from lode.{kind}")
    for cut_from in (lambda: scene_ground(ground, "scene"), lambda: area_ground(ground, "area")):
        with pytest.raises(UsageError, match=rf"no {kind}s.*lode ingest {kind}s"):
            cut_from()
    assert scene_ground(ground, "scene", geology=NONE).channels


def test_an_area_gives_its_layers_where_it_is_judged(ground: Connection[Any]) -> None:
    found = area_ground(ground, "area", geology=GeologyChoice())
    names = ["Li", "Be", "fault_distance_m", "pluton_distance_m"]
    assert [channel.name for channel in found.channels] == names
    assert [channel.kind for channel in found.channels] == ["evidence", "evidence", "geology", "geology"]
    assert [channel.is_log for channel in found.channels] == [True, True, False, False]
    assert [channel.tells_geology for channel in found.channels] == [False, False, True, True]
    for place in (0, 1):
        contents = np.where(found.is_judged, layer_values(place + 1), np.nan)
        np.testing.assert_allclose(found.values[place], np.log10(contents), rtol=1e-6)
    assert (found.notes, found.processing_level) == ((), None)
    judged = np.ones((SIDE, SIDE), bool)
    judged[:, -10:] = False
    assert np.array_equal(found.is_judged, judged)
    chosen = area_ground(ground, "area", layers=["Be"], raw_contents=True, geology=NONE)
    assert chosen.channels == (Channel("Be", "evidence"),)
    assert np.array_equal(chosen.values[0], np.where(judged, layer_values(2), np.nan), equal_nan=True)
    assert (chosen.scene_id, chosen.name, set(chosen.layer_ids)) == (None, "area", {"Be"})


def test_layers_that_say_nothing_are_left_out(ground: Connection[Any]) -> None:
    area = add_area(ground, "bare")
    add_layer(ground, area, "empty", np.full((SIDE, SIDE), np.nan, np.float32))
    elsewhere = np.full((SIDE, SIDE), np.nan, np.float32)
    elsewhere[:, -5:] = np.arange(5)
    add_layer(ground, area, "elsewhere", elsewhere)
    with pytest.raises(
        UsageError, match=r"no layer of area bare .*layer empty is left out: it holds no value"
    ):
        area_ground(ground, "bare", geology=GeologyChoice())
    add_layer(ground, area, "good", layer_values(3))
    found = area_ground(ground, "bare", geology=NONE)
    assert found.channels == (Channel("good", "evidence", is_log=True),)
    assert len(found.notes) == 2


def test_layers_that_map_geology_are_told_from_what_was_measured(ground: Connection[Any]) -> None:
    ground.execute("update lode.evidence_layer set kind = 'geology' where name = 'Be'")
    found = area_ground(ground, "area", geology=NONE)
    assert [(each.name, each.is_log, each.is_geology) for each in found.channels] == [
        ("Li", True, False),
        ("Be", False, True),
    ]
    assert without_geology(found.channels) == (0,)


def test_contents_without_a_logarithm_are_counted_and_told(ground: Connection[Any]) -> None:
    area = add_area(ground, "poor")
    values = layer_values(3)
    values[0, :4] = [0, -1, 0, 0]
    values[1, -1] = 0  # where nothing is judged
    least = values[values > 0].min()
    known = int(np.isfinite(values[:, :-10]).sum())
    add_layer(ground, area, "Li", values)
    add_layer(ground, area, "nought", -values)
    add_layer(ground, area, "gravity", values - 100)
    ground.execute("update lode.evidence_layer set kind = 'geophysics' where name = 'gravity'")
    said: list[str] = []
    found = area_ground(ground, "poor", layers=["Li", "gravity"], geology=NONE, report=said.append)
    assert found.channels == (Channel("Li", "evidence", is_log=True), Channel("gravity", "evidence"))
    assert found.notes == (
        f"layer Li: 4 of {known} contents are 0 or less; for their logarithm the smallest above 0 is taken, "
        f"{least:g} ppm",
    )
    assert said == list(found.notes)
    np.testing.assert_allclose(found.values[0, 0, :4], np.log10(least), rtol=1e-6)
    assert np.array_equal(found.values[1], np.where(found.is_judged, values - 100, np.nan), equal_nan=True)
    values[:] = np.where(values > 0, 50, values)
    add_layer(ground, area, "even", np.where(np.isnan(values), np.float32(np.nan), np.float32(50)))
    notes = area_ground(ground, "poor", layers=["Li", "even"], geology=NONE).notes
    assert notes[-1] == "layer even is left out: it has the value 50 everywhere"


def test_a_scene_of_another_level_is_warned_of(ground: Connection[Any]) -> None:
    said: list[str] = []
    found = scene_ground(ground, "scene", geology=NONE, report=said.append)
    assert (found.processing_level, level_warning(found)) == ("surface_reflectance", None)
    assert not any(line.startswith("warning") for line in said)
    for level in ("toa_reflectance", "radiance", "digital_number"):
        ground.execute("update lode.scene set processing_level = %s", (level,))
        said.clear()
        found = scene_ground(ground, "scene", geology=NONE, report=said.append)
        assert found.processing_level == level
        assert said[-1] == f"warning: {level_warning(found)}"
        assert f"scene holds {level}, not surface_reflectance" in said[-1]


@pytest.mark.parametrize(
    ("area", "layers", "message"),
    [
        ("x", None, r"no study area 'x'; there are: area"),
        ("area", ["Au", "Li"], r"no layer 'Au'; there are: Li, Be"),
        ("area", ["Li", "Li"], r"name Li more than once"),
    ],
)
def test_unknown_areas_and_layers_are_refused(
    ground: Connection[Any], area: str, layers: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        area_ground(ground, area, layers=layers, geology=NONE)


def test_a_layer_called_like_a_raster_of_geology_is_refused(ground: Connection[Any]) -> None:
    area = add_area(ground, "twice")
    add_layer(ground, area, "fault_distance_m", layer_values(3))
    with pytest.raises(UsageError, match=r"name fault_distance_m more than once"):
        area_ground(ground, "twice", geology=GeologyChoice())
