"""Matching: which channels of other ground a network can be fed with, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from db.errors import UsageError
from db.raster import Grid
from db.scenes import SceneBand
from inference.prospect.channels import Channel
from inference.prospect.matching import (
    EvidenceFacts,
    Match,
    check_level,
    check_spacing,
    match_bands,
    match_layers,
    matched_values,
)


def wanted(*centers_nm: float, width_nm: float | None = 10.0) -> list[Channel]:
    return [Channel(f"t{center:g}", "spectral", center, width_nm) for center in centers_nm]


def band(center_nm: float, fault: str | None = None, name: str | None = None) -> SceneBand:
    return SceneBand(name or f"b{center_nm:g}", None, center_nm, 12.0, fault)


def matched(
    channels: Sequence[Channel], bands: Sequence[SceneBand], without: frozenset[str] = frozenset()
) -> tuple[Match, ...]:
    return match_bands(channels, bands, scene="other", model="net", without=without)


def test_a_band_within_half_a_band_width_is_taken() -> None:
    first, second = matched(wanted(800, 850), [band(845), band(804.9), band(790)])
    assert (first.sources, first.weights, first.centers_nm) == (("b804.9",), (1.0,), (804.9,))
    assert second.sources == ("b845",)  # half of 10 nm off: still taken


def test_between_two_bands_values_are_interpolated_where_they_are_near_enough() -> None:
    (match,) = matched(wanted(800), [band(792.5), band(812.5)])  # 20 nm apart: two band widths
    assert match.sources == ("b792.5", "b812.5")
    assert match.weights == pytest.approx((0.625, 0.375))
    with pytest.raises(UsageError, match="scene other has no usable band for 800 nm, which model net"):
        matched(wanted(800), [band(792.5), band(812.6)])


def test_nothing_is_extrapolated() -> None:
    with pytest.raises(UsageError, match="800 nm, 900 nm"):
        matched(wanted(800, 850, 900), [band(806), band(846), band(894)])


def test_faulty_bands_are_not_taken_and_named() -> None:
    bands = [band(790), band(800, "stripes"), band(810)]
    (match,) = matched(wanted(800), bands)
    assert match.sources == ("b790", "b810")
    with pytest.raises(UsageError, match=r"not used were b800 \(stripes\): take a scene"):
        matched(wanted(800), [band(780), band(800, "stripes"), band(820)])
    with pytest.raises(UsageError, match=r"not used were b790 \(no values\)"):
        matched(wanted(790), [band(790)], frozenset({"b790"}))


def test_bands_without_a_width_are_matched_by_that_of_the_scene() -> None:
    (match,) = matched(wanted(800, width_nm=None), [band(806)])
    assert match.sources == ("b806",)
    with pytest.raises(UsageError, match="no usable band for 800 nm"):
        matched(wanted(800, width_nm=None), [band(806.1)])


def test_the_scene_of_training_matches_itself() -> None:
    bands = [band(800, name="a"), band(800, name="b"), band(810, name="c")]
    channels = [Channel(each.name, "spectral", each.center_nm, each.width_nm) for each in bands]
    assert [match.sources for match in matched(channels, bands)] == [("a",), ("b",), ("c",)]


def test_a_scene_without_wavelengths_is_told_so() -> None:
    with pytest.raises(UsageError, match="says of none of its bands at which wavelength"):
        matched(wanted(800), [SceneBand("red"), SceneBand("nir")])


def held(elements: Mapping[str, str | None]) -> dict[str, EvidenceFacts]:
    """Layers of these elements, in ppm."""
    return {name: EvidenceFacts("geochemistry", element, "ppm") for name, element in elements.items()}


def test_layers_are_matched_by_name_then_by_element() -> None:
    channels = [Channel("Li_ppm", "evidence"), Channel("Cs", "evidence"), Channel("Ta_ppm", "evidence")]
    layers = held({"Cs": None, "lithium": "Li", "caesium": "Cs", "Ta_ppm": None, "other": None})
    trained_on = held({"Li_ppm": "Li", "Cs": "Cs"})
    found = match_layers(channels, trained_on, layers, area="there", model="net")
    assert [match.sources for match in found] == [("lithium",), ("Cs",), ("Ta_ppm",)]


def test_layers_that_are_missing_or_doubled_are_refused() -> None:
    channels = [Channel("Li_ppm", "evidence"), Channel("B", "evidence")]
    with pytest.raises(UsageError, match=r"study area there has no layer Li_ppm \(Li\), B, which model net"):
        match_layers(channels, held({"Li_ppm": "Li"}), held({"Cs": "Cs"}), area="there", model="net")
    with pytest.raises(UsageError, match=r"2 layers of Li \(one, two\): call the one .* Li_ppm"):
        two = held({"one": "Li", "two": "Li"})
        match_layers(channels[:1], held({"Li_ppm": "Li"}), two, area="there", model="net")


def test_one_layer_is_not_two_channels() -> None:
    channels = [Channel("Li_ppm", "evidence"), Channel("Li2O", "evidence")]
    trained_on = held({"Li_ppm": "Li", "Li2O": "Li"})
    with pytest.raises(UsageError, match=r"layer lithium .* the only one for the channels Li_ppm and Li2O"):
        match_layers(channels, trained_on, held({"lithium": "Li"}), area="there", model="net")


def match_one(
    here: EvidenceFacts, there: EvidenceFacts, *, is_log: bool = True
) -> tuple[tuple[str, ...], list[str]]:
    """The layer Li of an area for the channel Li of a network, and what is told."""
    said: list[str] = []
    (match,) = match_layers(
        [Channel("Li", "evidence", is_log=is_log)],
        {"Li": there},
        {"Li": here},
        area="there",
        model="net",
        report=said.append,
    )
    return match.sources, said


LITHIUM = EvidenceFacts("geochemistry", "Li", "ppm")


def test_a_layer_must_be_in_the_unit_of_training() -> None:
    for unit in ("ppm", "PPM", "g/t", "mg / kg", "\u00b5g/g", "\u03bcg/g"):
        assert match_one(replace(LITHIUM, unit=unit), LITHIUM) == (("Li",), [])
    for unit in ("ppb", "%", "ppm log", "mg/t"):
        with pytest.raises(UsageError, match=rf"layer Li of study area there is in {unit}, .* was in ppm: "):
            match_one(replace(LITHIUM, unit=unit), LITHIUM, is_log=False)
    gravity = EvidenceFacts("geophysics", None, "mGal")
    with pytest.raises(UsageError, match="is in MGal, that of model net was in mGal"):
        match_one(replace(gravity, unit="MGal"), gravity, is_log=False)


def test_a_unit_that_one_side_does_not_tell_is_warned_of() -> None:
    nothing = replace(LITHIUM, unit=None)
    assert match_one(nothing, nothing) == (("Li",), [])
    sources, (said,) = match_one(nothing, LITHIUM)
    assert sources == ("Li",)
    assert said.startswith("warning: whether layers of study area there are in the units of model net is not")
    assert said.endswith("Li (unknown here, ppm in training)")
    assert match_one(LITHIUM, EvidenceFacts(element="Li"))[1][0].endswith(
        "Li (ppm here, unknown in training)"
    )


def test_a_layer_of_another_element_or_kind_is_not_taken_for_its_name() -> None:
    with pytest.raises(UsageError, match="layer Li of study area there holds Be, that of model net held Li"):
        match_one(replace(LITHIUM, element="Be"), LITHIUM)
    physics = replace(LITHIUM, kind="geophysics")
    with pytest.raises(UsageError, match="is of kind geophysics, and model net takes the logarithm"):
        match_one(physics, physics)
    assert match_one(physics, physics, is_log=False) == (("Li",), [])
    (said,) = match_one(physics, LITHIUM, is_log=False)[1]
    assert said.endswith("is of kind geophysics, that of model net was of kind geochemistry")


def test_another_level_is_refused() -> None:
    check_level("surface_reflectance", "surface_reflectance", scene="s", model="m")
    with pytest.raises(UsageError, match="scene s holds toa_reflectance, model m was trained on surface"):
        check_level("toa_reflectance", "surface_reflectance", scene="s", model="m")
    with pytest.raises(UsageError, match="does not say at which level"):
        check_level("toa_reflectance", None, scene="s", model="m")


def test_another_spacing_is_refused_in_either_direction() -> None:
    for edges in ((30.0, 30.0), (31.4, 28.6)):
        check_spacing(Grid(32644, 0, 0, *edges, 5, 5), 30.0, ground="scene s", model="m")
    for edges in ((31.6, 30.0), (30.0, 28.4), (10.0, 10.0)):
        with pytest.raises(UsageError, match=r"scene s has cells of .* m, model m was trained on 30 m"):
            check_spacing(Grid(32644, 0, 0, *edges, 5, 5), 30.0, ground="scene s", model="m")


def test_values_are_put_in_the_order_of_the_network() -> None:
    channels = [Channel("a", "spectral", 790.0), Channel("b", "spectral", 810.0), Channel("a", "geology")]
    values = np.array([[[1.0, np.nan]], [[5.0, 5.0]], [[100.0, 200.0]]], np.float32)
    matches = [
        Match(Channel("a", "geology"), ("a",)),
        Match(Channel("x", "spectral", 805.0), ("a", "b"), (0.25, 0.75)),
        Match(Channel("y", "spectral", 810.0), ("b",)),
    ]
    made = matched_values(matches, channels, values)
    np.testing.assert_array_equal(made, [[[100, 200]], [[4, np.nan]], [[5, 5]]])


def test_a_match_is_stored_with_what_it_was_made_of() -> None:
    match = Match(Channel("x", "spectral", 805.0, 10.0), ("a", "b"), (0.25, 0.75), (790.0, 810.0))
    assert match.as_json() == {
        "name": "x",
        "kind": "spectral",
        "center_nm": 805.0,
        "width_nm": 10.0,
        "sources": ["a", "b"],
        "weights": [0.25, 0.75],
        "source_centers_nm": [790.0, 810.0],
    }
