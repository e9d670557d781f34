"""Confidence of alerts: what other scenes of the year say, computed by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from tests.alert_rows import BARE, District

BEFORE = date(2021, 5, 1)
EARLY = date(2022, 5, 1)
LATE = date(2022, 9, 1)
LATER = date(2022, 8, 1)
NEXT = date(2023, 5, 1)

PIT = "ppppbb\nbbbbbb\nbbbbbb"


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    """The year before, without damage; every test adds scenes of the year of the alert."""
    made = District(conn)
    made.publish(BEFORE, BARE)
    return made


def judged(district: District, kind: str = "new_damage", year: int = 2022) -> tuple[float, int]:
    """Confidence and agreeing scenes of the only alert of that kind and year."""
    ((confidence, count),) = district.conn.execute(
        "select confidence, agreeing_scene_count from lode_api.damage_alert where kind = %s and year = %s",
        (kind, year),
    ).fetchall()
    return confidence, count


def test_one_scene_is_as_sure_as_its_polygons(district: District) -> None:
    district.publish(LATE, PIT, probability=0.9)
    assert judged(district) == (0.9, 0)


def test_polygons_weigh_by_area(district: District) -> None:
    """Three cells of 0.9 and one of 0.5."""
    run = district.publish(LATE, "pppdbb\nbbbbbb\nbbbbbb", probability=0.9)
    district.conn.execute(
        "update lode.landcover set mean_probability = 0.5 where run_id = %s and land_class_code = 5", (run,)
    )
    district.conn.execute("select lode_api.derive_alerts(array[%s], '{2022}')", (district.mine_id,))
    assert judged(district) == (pytest.approx((3 * 0.9 + 0.5) / 4, abs=1e-4), 0)


def test_a_second_scene_that_agrees_raises_it(district: District) -> None:
    """1 - (1 - 0.9)(1 - 0.8): the earlier scene owns no ground, its map still counts as a witness."""
    district.publish(LATE, PIT, probability=0.9)
    early = district.publish(EARLY, "dddbbb\nbbbbbb\nbbbbbb", probability=0.8)
    assert judged(district) == (pytest.approx(0.98), 1)
    district.publish(LATER, "ppbbbb\nbbbbbb\nbbbbbb", probability=0.5)
    assert judged(district) == (pytest.approx(0.99), 2), "half of the ground is enough"
    district.conn.execute("update lode.run set is_current = false where run_id = %s", (early,))
    assert judged(district) == (pytest.approx(1 - 0.1 * 0.5), 1)


def test_a_second_scene_that_disagrees_lowers_it(district: District) -> None:
    """0.9 (1 - 0.8 / 2); a third that agrees raises what is lowered."""
    district.publish(LATE, PIT, probability=0.9)
    district.publish(EARLY, "pbbbbb\nbbbbbb\nbbbbbb", probability=0.8)
    assert judged(district) == (pytest.approx(0.54), 0)
    district.publish(LATER, PIT, probability=0.6)
    assert judged(district) == (pytest.approx((1 - 0.1 * 0.4) * 0.6), 1)


def test_a_scene_that_saw_less_than_half_says_nothing(district: District) -> None:
    district.publish(LATE, PIT, probability=0.9)
    district.publish(EARLY, "b.....\nbbbbbb\nbbbbbb", probability=0.8)
    assert judged(district) == (0.9, 0)


def test_the_next_year_that_still_sees_it_is_a_witness(district: District) -> None:
    """1 - (1 - 0.9)(1 - 0.6); a next year without it may mean that it was treated, and says nothing."""
    district.publish(LATE, PIT, probability=0.9)
    run = district.publish(NEXT, "bbppdd\nbbbbbb\nbbbbbb", probability=0.6)
    assert judged(district) == (pytest.approx(0.96), 1)
    district.conn.execute("update lode.run set is_current = false where run_id = %s", (run,))
    assert judged(district) == (0.9, 0)
    district.publish(date(2023, 6, 1), "pbbbbb\nbbbbbb\nbbbbbb", probability=0.6)
    assert judged(district) == (0.9, 0)


def test_a_superseded_scene_is_no_witness(district: District) -> None:
    district.publish(LATE, PIT, probability=0.9)
    district.publish(EARLY, PIT, probability=0.8)
    district.conn.execute(
        "update lode.scene set superseded_by = (select scene_id from lode.scene where acquired_on = %s)"
        " where acquired_on = %s",
        (LATE, EARLY),
    )
    assert judged(district) == (0.9, 0)


def test_a_pond_is_witnessed_by_a_pond(district: District) -> None:
    """A second scene that calls the ground a dump agrees that it is damaged, not that it is pond."""
    district.publish(LATE, "ttttbb\nbbbbbb\nbbbbbb", probability=0.9)
    district.publish(EARLY, "ddddbb\nbbbbbb\nbbbbbb", probability=0.8)
    assert judged(district, "new_damage") == (pytest.approx(0.98), 1)
    assert judged(district, "tailings_growth") == (pytest.approx(0.54), 0)


def test_interpreted_ground_is_certain(district: District) -> None:
    """Two of four cells were drawn by an interpreter: their half is certain whatever a scene says."""
    district.publish(LATE, PIT, probability=0.9)
    district.label(6, "xx....\n......\n......", LATE)
    assert judged(district) == (pytest.approx(0.5 + 0.5 * 0.9), 0)
    district.publish(EARLY, BARE, probability=0.8)
    assert judged(district) == (pytest.approx(0.5 + 0.5 * 0.54), 0)
    district.label(6, "..xx..\n......\n......", LATE)
    assert judged(district) == (1.0, 0)
    assert district.alerts("run_ids") == [([],)]


def test_outside_the_licence_is_judged_the_same_way(district: District) -> None:
    district.license_("......\nxxxxxx\nxxxxxx")
    district.publish(LATE, PIT, probability=0.9)
    district.publish(EARLY, PIT, probability=0.8)
    district.publish(NEXT, PIT, probability=0.5)
    assert judged(district, "outside_licence") == (pytest.approx(1 - 0.1 * 0.2 * 0.5), 2)
    assert judged(district, "outside_licence", 2023) == (0.5, 0)


def test_a_probability_of_one_or_none_is_a_number(district: District) -> None:
    """A run may store 1, or nothing: then it counts as one half."""
    district.publish(LATE, PIT, probability=0.9)
    early = district.publish(EARLY, PIT, probability=1.0)
    assert judged(district) == (1.0, 1)
    district.conn.execute("update lode.landcover set mean_probability = null where run_id = %s", (early,))
    district.conn.execute("select lode_api.derive_alerts(array[%s], '{2022}')", (district.mine_id,))
    assert judged(district) == (pytest.approx(0.95), 1)


def test_a_network_that_could_not_find_it_does_not_disagree(district: District) -> None:
    """It maps neither pits nor ponds and shows bare ground: nothing follows; what it maps it may deny."""
    district.publish(LATE, PIT, probability=0.9)
    district.publish(EARLY, BARE, probability=0.8, codes=(0, 1, 2, 5))
    assert judged(district) == (0.9, 0)
    district.publish(LATER, "ddddbb\nbbbbbb\nbbbbbb", probability=0.8, codes=(0, 5))
    assert judged(district) == (pytest.approx(0.98), 1), "damage of another kind agrees"
    district.publish(LATER, BARE, probability=0.8, codes=(0, 6))
    assert judged(district) == (pytest.approx(0.98 * 0.6), 1)
