"""The evidence of a study area as methods get it: log ratios, distances, rocks, and what is left out."""

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
from db.evidence import area_by_name, find_layer
from inference.evidence.checks import check_ground
from inference.evidence.favourability import favourability, unmet_rules
from inference.evidence.ground import evidence_ground
from inference.evidence.mineral_system import GeologyRule, MineralSystem, builtin_systems
from inference.evidence.scaling import CLIP
from inference.evidence.types import EvidenceGround, EvidenceSettings
from tests.evidence_area import (
    CONTACT_COL,
    HOLE,
    SIDE,
    UNJUDGED_COLS,
    add_area,
    add_layer,
    at,
    box,
    contents,
    fill,
)

JUDGED = SIDE - UNJUDGED_COLS


def system(*rules: GeologyRule) -> MineralSystem:
    return MineralSystem("drawn", "Drawn", "", ("Cr",), {"Cr": 1.0}, rules)


NO_RULES = system()
PERIDOTITE = GeologyRule("pluton", match=("PERIDOT",), range_m=500.0)


@pytest.fixture(scope="session")
def evidence_database(cluster: Cluster, template_database: str) -> str:
    """A database with a study area, its layers and geology."""
    cluster.create_database("lode_test_evidence_ground", template=template_database)
    with connect(cluster.url("lode_test_evidence_ground")) as conn:
        fill(conn)
    return "lode_test_evidence_ground"


@pytest.fixture
def evidence(cluster: Cluster, evidence_database: str) -> Iterator[Connection[Any]]:
    """Connection to that database; what a test does to it is rolled back."""
    with connect(cluster.url(evidence_database)) as conn:
        yield conn
        conn.rollback()


def raw_of(ground: EvidenceGround, name: str) -> np.ndarray[Any, Any]:
    return ground.raw[ground.names.index(name)]


def test_channels_come_by_kind_and_name_from_layers_and_from_what_is_mapped(
    evidence: Connection[Any],
) -> None:
    said: list[str] = []
    found = evidence_ground(evidence, "area", system(PERIDOTITE), report=said.append)
    assert [(channel.kind, channel.name) for channel in found.channels] == [
        *(("geochemistry", element) for element in ("Co", "Cr", "Cu", "Ni")),
        ("geology", "fault_distance_m"),
        ("geology", "lithology: granite"),
        ("geology", "lithology: peridotite"),
        ("geology", "pluton_distance_m"),  # its only pluton is the rule's: no second channel
        ("geophysics", "magnetic"),
    ]
    assert found.sources == {"geochemistry": [0, 1, 2, 3], "geophysics": [8], "geology": [4, 5, 6, 7]}
    area = area_by_name(evidence, "area")
    assert set(found.layer_ids) == {"Co", "Cr", "Cu", "Ni", "magnetic"}
    layer = find_layer(evidence, area, "Cr")
    assert layer is not None
    assert found.layer_ids["Cr"] == layer.evidence_layer_id
    assert (found.area, found.evidence_area_id) == ("area", area.evidence_area_id)
    assert said == list(found.notes)
    assert not said
    assert [channel.is_stored for channel in found.channels] == [*[True] * 4, *[False] * 4, True]
    assert {channel.transform for channel in found.channels[:4]} == {"clr"}


def test_nothing_is_told_off_judged_ground_or_where_a_layer_has_a_hole(evidence: Connection[Any]) -> None:
    found = evidence_ground(evidence, "area", NO_RULES)
    assert found.is_judged.sum() == SIDE * JUDGED
    assert np.isnan(found.raw[:, :, JUDGED:]).all()
    assert not found.is_known[:, :, JUDGED:].any()
    copper = found.names.index("Cu")
    assert not found.is_known[copper][HOLE].any()
    assert found.is_known[found.names.index("Cr")][HOLE].all()
    assert (found.values[~found.is_known] == 0).all()
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() <= CLIP
    assert found.values.dtype == found.raw.dtype == np.float32


def test_contents_are_log_ratios_by_median_and_deviation(evidence: Connection[Any]) -> None:
    found = evidence_ground(evidence, "area", NO_RULES)
    logs = np.log(np.stack([contents()[each] for each in ("Co", "Cr", "Cu", "Ni")]).astype(np.float64))
    logs = logs[:, :, :JUDGED]
    logs -= np.nanmedian(logs, axis=(1, 2), keepdims=True)
    ratios = logs - np.nanmean(logs, axis=0)
    center = np.nanmedian(ratios, axis=(1, 2), keepdims=True)
    scale = 1.4826 * np.nanmedian(np.abs(ratios - center), axis=(1, 2), keepdims=True)
    expected = np.nan_to_num(np.clip((ratios - center) / scale, -CLIP, CLIP))
    np.testing.assert_allclose(found.values[:4, :, :JUDGED], expected, atol=1e-4)
    np.testing.assert_array_equal(raw_of(found, "Cr")[:, :JUDGED], contents()["Cr"][:, :JUDGED])


def test_units_make_no_difference(evidence: Connection[Any]) -> None:
    before = evidence_ground(evidence, "area", NO_RULES)
    area = area_by_name(evidence, "area")
    add_layer(evidence, area, "Cr", contents()["Cr"] / 10_000, element="Cr", unit="%")
    after = evidence_ground(evidence, "area", NO_RULES)
    np.testing.assert_allclose(after.values, before.values, atol=1e-4)


def test_distances_are_those_to_what_is_mapped(evidence: Connection[Any]) -> None:
    found = evidence_ground(evidence, "area", NO_RULES)
    pluton = raw_of(found, "pluton_distance_m")
    assert (pluton[:, :CONTACT_COL] == 0).all()
    # its edge was drawn in degrees, straight between corners 5 km apart
    np.testing.assert_allclose(pluton[20, CONTACT_COL:JUDGED], 50 + 100 * np.arange(18), atol=2)
    channel = found.channels[found.names.index("pluton_distance_m")]
    assert (channel.unit, channel.transform) == ("m", "log1p_km")
    scaled = (np.log1p(pluton[:, :JUDGED] / 1000) - channel.center) / channel.scale
    np.testing.assert_allclose(
        found.values[found.names.index("pluton_distance_m")][:, :JUDGED], scaled, atol=1e-4
    )
    rock = raw_of(found, "lithology: peridotite")[:, :JUDGED]
    np.testing.assert_array_equal(rock, np.arange(JUDGED)[None] < CONTACT_COL * np.ones((SIDE, 1)))


def test_rules_with_words_get_distances_of_their_own(evidence: Connection[Any]) -> None:
    draw(evidence, "pluton", "lithology", "Biotite GRANITE", box(0, 30, SIDE, 35))
    rules = system(PERIDOTITE, GeologyRule("lithology", match=("granit",), range_m=1.0))
    found = evidence_ground(evidence, "area", rules)
    own = "pluton_distance_m (PERIDOT)"
    assert raw_of(found, own)[20, 32] == pytest.approx(1250, abs=2)
    assert raw_of(found, "pluton_distance_m")[20, 32] == 0
    assert (raw_of(found, "lithology_distance_m (granit)")[:, CONTACT_COL:JUDGED] == 0).all()
    plain = evidence_ground(evidence, "area", NO_RULES)
    assert own not in plain.names
    assert found.geology_digest != plain.geology_digest


def test_the_digest_follows_the_geology_and_nothing_else(evidence: Connection[Any]) -> None:
    first = evidence_ground(evidence, "area", NO_RULES)
    again = evidence_ground(evidence, "area", NO_RULES, layers=["Cr", "Ni"])
    assert first.geology_digest is not None
    assert again.geology_digest == first.geology_digest
    evidence.execute("update lode.lithology set rock = 'gneiss' where rock = 'granite'")
    assert evidence_ground(evidence, "area", NO_RULES).geology_digest != first.geology_digest
    bare = evidence_ground(evidence, "area", NO_RULES, geology=False)
    assert bare.geology_digest is None
    assert not bare.places_of("geology")


def test_what_is_not_mapped_is_told_and_done_without(evidence: Connection[Any]) -> None:
    evidence.execute("delete from lode.fault")
    evidence.execute("delete from lode.lithology")
    found = evidence_ground(evidence, "area", NO_RULES)
    assert [found.names[place] for place in found.places_of("geology")] == ["pluton_distance_m"]
    assert "no faults are mapped near: there is no fault_distance_m" in found.notes
    assert any("no rocks are mapped here" in note for note in found.notes)
    evidence.execute("update lode.pluton set geom = st_translate(geom, 20, 0)")
    assert not evidence_ground(evidence, "area", NO_RULES).places_of("geology")


def test_only_the_commonest_rocks_are_told_apart(evidence: Connection[Any]) -> None:
    evidence.execute("delete from lode.lithology")
    for col in range(15):
        draw(evidence, "lithology", "rock", f"rock {col:02}", box(0, 2 * col, 30 - col, 2 * col + 2))
    draw(evidence, "lithology", "rock", "ROCK 00", box(32, 0, 34, 4))  # written otherwise, the same rock
    found = evidence_ground(evidence, "area", NO_RULES)
    rocks = [name for name in found.names if name.startswith("lithology: ")]
    assert rocks == ["lithology: other", *(f"lithology: rock {col:02}" for col in range(12))]
    other = raw_of(found, "lithology: other")
    assert np.nansum(other) == 2 * (18 + 17 + 16)
    assert np.nansum(raw_of(found, "lithology: rock 00")) == 2 * 30 + 2 * 4
    mapped = sum(raw_of(found, name) for name in rocks)
    assert mapped[0, 0] == 1
    assert np.isnan(mapped[31, 0]), "nobody mapped that ground: it is not known to be none of the rocks"
    place = found.names.index("lithology: other")
    assert found.is_known[place, 0, 0]
    assert not found.is_known[place, 31, 0]


def test_the_smaller_of_overlapping_units_counts(evidence: Connection[Any]) -> None:
    draw(evidence, "lithology", "rock", "dyke", box(10, 10, 12, 12))
    found = evidence_ground(evidence, "area", NO_RULES)
    assert raw_of(found, "lithology: dyke")[:, :JUDGED].sum() == 4
    assert (raw_of(found, "lithology: peridotite")[10:12, 10:12] == 0).all()


def test_contents_of_0_count_as_half_the_smallest(evidence: Connection[Any]) -> None:
    values = contents()["Cr"]
    values[:2, :5] = 0
    add_layer(evidence, area_by_name(evidence, "area"), "Cr", values, element="Cr")
    found = evidence_ground(evidence, "area", NO_RULES)
    least = values[:, :JUDGED][values[:, :JUDGED] > 0].min() / 2
    assert found.notes == (
        f"layer Cr: 10 of {SIDE * JUDGED} contents are 0 or less; they count as {least:g} ppm, half the "
        "smallest above 0",
    )
    assert (raw_of(found, "Cr")[:2, :5] == 0).all()
    place = found.names.index("Cr")
    assert found.values[place, 0, 0] < found.values[place, 5, 5]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.full((SIDE, SIDE), np.nan), "it holds no value"),
        (np.full((SIDE, SIDE), 7.5), "it has the value 7.5 everywhere"),
        (np.full((SIDE, SIDE), 1e6) + np.random.default_rng(1).random((SIDE, SIDE)) * 0.1, "1e+06"),
        (np.where(np.arange(SIDE) < JUDGED, 0.0, 5.0) * np.ones((SIDE, 1)), "the value 0 everywhere"),
        (np.where(np.arange(SIDE) < 9, -1.0, 0.0) * np.ones((SIDE, 1)), "no content is above 0"),
        (np.where(np.arange(SIDE) < JUDGED, np.nan, 5.0) * np.ones((SIDE, 1)), "it holds no value"),
    ],
)
def test_layers_that_tell_nothing_are_left_out_by_name(
    evidence: Connection[Any], values: np.ndarray[Any, Any], why: str
) -> None:
    add_layer(evidence, area_by_name(evidence, "area"), "Zn", values.astype(np.float32), element="Zn")
    found = evidence_ground(evidence, "area", NO_RULES)
    assert "Zn" not in found.names
    assert "Zn" not in found.layer_ids
    (note,) = found.notes
    assert note.startswith("layer Zn is left out: ")
    assert why in note


def test_a_map_that_is_0_nearly_everywhere_is_scaled_by_its_deviation(evidence: Connection[Any]) -> None:
    granite = np.zeros((SIDE, SIDE), np.float32)
    granite[:4, :10] = 1
    granite[4, :10] = 0.3
    add_layer(evidence, area_by_name(evidence, "area"), "Granite", granite, kind="geology", unit=None)
    found = evidence_ground(evidence, "area", NO_RULES)
    place = found.names.index("Granite")
    assert found.channels[place].scale == pytest.approx(granite[:, :JUDGED].std(), rel=1e-4)
    assert 1 < found.values[place, 0, 0] < CLIP
    assert found.values[place, 30, 30] == 0


def test_codes_become_a_channel_each(evidence: Connection[Any]) -> None:
    codes = np.repeat([[3.0], [7.0], [np.nan], [12.0]], SIDE // 4, axis=0) * np.ones((1, SIDE))
    area = area_by_name(evidence, "area")
    layer = add_layer(evidence, area, "strata", codes.astype(np.float32), kind="geology", unit=None)
    found = evidence_ground(evidence, "area", NO_RULES)
    assert [name for name in found.names if name.startswith("strata")] == [
        "strata: 12",
        "strata: 3",
        "strata: 7",
    ]
    seven = found.names.index("strata: 7")
    assert (found.values[seven, 10:20, :JUDGED] == 1).all()
    assert found.values[seven].sum() == 10 * JUDGED
    assert not found.is_known[seven, 20:30].any()
    assert found.layer_ids["strata"] == layer.evidence_layer_id


def test_one_layer_of_geochemistry_is_taken_by_its_logarithm(evidence: Connection[Any]) -> None:
    found = evidence_ground(evidence, "area", NO_RULES, layers=["Cr", "magnetic"])
    channel = found.channels[0]
    assert (channel.name, channel.transform) == ("Cr", "log")
    assert channel.center == pytest.approx(np.median(np.log(contents()["Cr"][:, :JUDGED])), rel=1e-5)
    assert found.notes[0].startswith("Cr is the only layer of geochemistry")


def test_channels_and_layers_can_be_left_out(evidence: Connection[Any]) -> None:
    found = evidence_ground(evidence, "area", NO_RULES, leave_out=["Cu", "fault_distance_m"])
    assert not {"Cu", "fault_distance_m"} & set(found.names)
    with pytest.raises(UsageError, match="no 'Pb' to leave out; there are: Co, Cr"):
        evidence_ground(evidence, "area", NO_RULES, leave_out=["Pb"])
    with pytest.raises(UsageError, match="has no layer 'Pb'"):
        evidence_ground(evidence, "area", NO_RULES, layers=["Pb"])
    with pytest.raises(UsageError, match="no study area 'elsewhere'"):
        evidence_ground(evidence, "elsewhere", NO_RULES)


def test_contents_that_never_meet_are_named_before_training(evidence: Connection[Any]) -> None:
    area = add_area(evidence, "split")
    west, east = np.arange(SIDE) < 10, np.arange(SIDE) >= 10
    for name, where in (("Cr", west), ("Ni", east)):
        values = np.where(where, contents()[name], np.nan).astype(np.float32)
        add_layer(evidence, area, name, values, element=name)
    add_layer(evidence, area, "k", contents()["Cu"], kind="geophysics")
    found = evidence_ground(evidence, "split", NO_RULES)
    with pytest.raises(UsageError) as told:
        check_ground(found, EvidenceSettings(), builtin_systems()["chromite_podiform"])
    assert "layer Cr overlaps no other layer of geochemistry" in str(told.value)
    assert "layer Ni overlaps no other layer of geochemistry" in str(told.value)
    assert "none of the ore elements of chromite_podiform" in str(told.value)


def test_favourability_is_the_mean_of_what_the_rules_say(evidence: Connection[Any]) -> None:
    rules = (
        GeologyRule("pluton", match=("peridot",), range_m=500.0, weight=3.0),
        GeologyRule("lithology", match=("granite",), weight=1.0),
        GeologyRule("layer", name="Magnetic", weight=1.0, direction="low"),
        GeologyRule("fault", match=("strike-slip",), range_m=100.0),
        GeologyRule("layer", name="gravity"),
    )
    ground = evidence_ground(evidence, "area", system(*rules))
    found = favourability(evidence, ground, system(*rules))
    assert [part.rule for part in found.parts] == list(rules[:3])
    assert len(found.notes) == 2
    assert found.notes[0].startswith("near fault (strike-slip), range 100 m: none is mapped within 100 km")
    assert found.notes[1].startswith("high gravity: the area has no such layer")
    pluton, granite, low = found.parts
    np.testing.assert_allclose(
        pluton.value[20, 21:25], np.exp(-(np.arange(1, 5) * 100 + 50) / 500), rtol=5e-3
    )
    assert set(np.unique(granite.value[:, :JUDGED])) == {0, 1}
    field = ground.raw[ground.names.index("magnetic")]
    weakest = np.unravel_index(np.nanargmin(field), field.shape)
    assert low.value[weakest] == 1
    expected = (3 * pluton.value + granite.value + low.value) / 5
    np.testing.assert_allclose(found.value[:, :JUDGED], expected[:, :JUDGED], rtol=1e-5)
    assert np.isnan(found.value[:, JUDGED:]).all()
    assert sum(found.shares(20, 30)) == pytest.approx(1)
    assert found.shares(20, 30)[0] == pytest.approx(3 * pluton.value[20, 30] / (5 * found.value[20, 30]))


def test_without_any_geology_that_is_asked_for_favourability_is_refused(evidence: Connection[Any]) -> None:
    asked = system(
        GeologyRule("pluton", match=("syenite",), range_m=10.0), GeologyRule("layer", match=("x",))
    )
    ground = evidence_ground(evidence, "area", asked)
    with pytest.raises(
        UsageError, match=r"no rule of drawn can be applied to area:\n- near pluton \(syenite\)"
    ):
        favourability(evidence, ground, asked)
    (problem,) = unmet_rules(evidence, ground, asked)
    assert problem.startswith("no rule of drawn can be applied to area:")
    said: list[str] = []
    assert not unmet_rules(evidence, ground, system(*asked.geology, PERIDOTITE), said.append)
    assert [line.split(":")[0] for line in said] == ["favourability"] * 2


def draw(conn: Connection[Any], table: str, column: str, said: str, shape: shapely.Geometry) -> None:
    query = f"insert into lode.{table} ({column}, geom) values (%s, st_geomfromwkb(%s, 4326))"
    conn.execute(query.encode(), (said, shapely.to_wkb(shape)))


def test_words_may_hold_what_sql_and_psycopg_read_otherwise(evidence: Connection[Any]) -> None:
    line = shapely.MultiLineString([[at(0, 30), at(40, 30)]])
    draw(evidence, "fault", "fault_type", "50 % 'sure'", line)
    rule = GeologyRule("fault", match=("50 % 'SURE",), range_m=10.0)
    found = evidence_ground(evidence, "area", system(rule))
    assert raw_of(found, "fault_distance_m (50 % 'SURE)")[20, 30] == pytest.approx(50, abs=1)
