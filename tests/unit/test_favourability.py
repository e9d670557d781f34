"""Rules about layers and known distances, without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from db.errors import UsageError
from inference.evidence.favourability import Favourability, favourability
from inference.evidence.mineral_system import GeologyRule, MineralSystem
from inference.evidence.types import EvidenceGround
from tests.unit.evidence_toys import toy_ground

SHAPE = (4, 5)
RISING = np.arange(20.0).reshape(SHAPE)
CONN: Any = Mock(spec=[])  # nothing may be asked of the database


def ground_of(is_known: np.ndarray[Any, Any] | None = None) -> EvidenceGround:
    values = {
        ("geochemistry", "granite"): RISING + 1,
        ("geology", "Granite map"): RISING,
        ("geology", "fault_distance_m"): 100 * RISING,
        ("geology", "pluton_distance_m (granit)"): 100 * np.maximum(RISING - 9, 0),
        ("geophysics", "K"): -RISING,
    }
    ground = toy_ground(values, is_known)
    channels = tuple(
        replace(channel, is_stored="distance" not in channel.name) for channel in ground.channels
    )
    return replace(ground, channels=channels)


def found_of(*rules: GeologyRule, ground: EvidenceGround | None = None) -> Favourability:
    asked = MineralSystem("drawn", "Drawn", "", (), {"Li": 1.0}, rules)
    return favourability(CONN, ground_of() if ground is None else ground, asked)


def test_a_feature_favours_by_its_distance() -> None:
    found = found_of(GeologyRule("fault", range_m=500.0))
    np.testing.assert_allclose(found.value, np.exp(-RISING / 5), rtol=1e-5)
    (part,) = found.parts
    assert (part.name, part.unit) == ("fault_distance_m", "m")
    np.testing.assert_array_equal(part.found, 100 * RISING)


def test_without_a_range_only_the_inside_counts() -> None:
    found = found_of(GeologyRule("pluton", match=("granit",)))
    np.testing.assert_array_equal(found.value, RISING <= 9)


def test_a_layer_favours_by_its_rank() -> None:
    high = found_of(GeologyRule("layer", name="k"))
    low = found_of(GeologyRule("layer", name="K", direction="low"))
    np.testing.assert_allclose(high.value, 1 - RISING / 19, rtol=1e-6)
    np.testing.assert_allclose(low.value, RISING / 19, rtol=1e-6)
    assert high.parts[0].found[0, 1] == -1


def test_rounding_gives_no_rank() -> None:
    granite = np.where(RISING < 14, 1e-8 * np.cos(RISING), RISING).astype(np.float32)
    found = found_of(GeologyRule("layer", name="map"), ground=toy_ground({("geophysics", "map"): granite}))
    np.testing.assert_allclose(found.value[RISING < 14], 6.5 / 19, rtol=1e-6)
    np.testing.assert_allclose(found.value[RISING >= 14], np.arange(14, 20) / 19, rtol=1e-6)


def test_words_mean_surveys_and_maps_but_never_contents() -> None:
    found = found_of(GeologyRule("layer", match=("GRANIT",)))
    assert found.parts[0].name == "Granite map"
    both = found_of(GeologyRule("layer", match=("granit", "k")))
    assert both.parts[0].name == "Granite map, K"
    np.testing.assert_allclose(both.value, 0.5)
    named = found_of(GeologyRule("layer", name="granite"))
    np.testing.assert_allclose(named.value, RISING / 19, rtol=1e-6)


def test_weights_count_and_so_do_shares() -> None:
    rules = (GeologyRule("fault", range_m=500.0, weight=3.0), GeologyRule("layer", name="K"))
    found = found_of(*rules)
    near, rank = np.exp(-RISING / 5), 1 - RISING / 19
    np.testing.assert_allclose(found.value, (3 * near + rank) / 4, rtol=1e-5)
    assert found.shares(0, 0) == pytest.approx([0.75, 0.25])
    assert found_of(GeologyRule("layer", name="K")).shares(3, 4) == [0.0]  # nothing to share out


def test_where_a_layer_holds_nothing_the_others_count_alone() -> None:
    known = np.ones((5, *SHAPE), bool)
    known[4, 0] = False
    ground = ground_of(known)
    found = found_of(GeologyRule("fault", range_m=500.0), GeologyRule("layer", name="K"), ground=ground)
    np.testing.assert_allclose(found.value[0], np.exp(-RISING[0] / 5), rtol=1e-5)
    alone = found_of(GeologyRule("layer", name="K"), ground=ground)
    assert np.isnan(alone.value[0]).all()
    assert np.nanmin(alone.value) == 0
    assert np.nanmax(alone.value) == 1


def test_off_judged_ground_it_is_not_known() -> None:
    judged = np.ones(SHAPE, bool)
    judged[:, 0] = False
    ground = ground_of()
    ground = replace(ground, is_judged=judged, is_known=ground.is_known & judged)
    found = found_of(GeologyRule("layer", name="K"), ground=ground)
    assert np.isnan(found.value[:, 0]).all()
    assert np.isfinite(found.value[:, 1:]).all()


def test_rules_about_layers_that_are_not_there_are_named() -> None:
    found = found_of(GeologyRule("layer", name="gravity"), GeologyRule("layer", name="K"))
    assert found.notes == ("high gravity: the area has no such layer, so that the rule is left out",)
    with pytest.raises(UsageError, match="no rule of drawn can be applied to toy:\n- high gravity"):
        found_of(GeologyRule("layer", name="gravity"))
