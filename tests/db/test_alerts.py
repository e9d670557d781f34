"""Alerts on ground whose areas and probabilities can be counted by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from psycopg import Connection, errors

from tests.alert_rows import BARE, District
from tests.catalogue_rows import CODES, ewkb
from tests.grids import CELL_M2, cells

SPRING_2021 = date(2021, 5, 1)
SPRING_2022 = date(2022, 5, 1)
AUTUMN_2022 = date(2022, 9, 1)
SPRING_2023 = date(2023, 5, 1)


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    return District(conn)


def in_cells(area_m2: float) -> float:
    return round(area_m2 / CELL_M2, 4)


def test_new_damage_is_what_the_year_saw_first(district: District) -> None:
    """Ground that was damaged before is not new, whatever kind it has now."""
    district.publish(SPRING_2021, "dbbbbb\nbbbbbb\nbbbbbb")
    run = district.publish(SPRING_2022, "pppbbb\nbbbbbb\nbbbbdd")
    ((*facts, area, share, reason, reason_zh),) = district.alerts(
        *("mine_code", "kind", "level", "level_rank", "from_year", "year", "state", "is_current"),
        *("run_ids", "start_date", "end_date", "area_m2", "share", "reason", "reason_zh"),
    )
    assert facts == [
        *("M1", "new_damage", "notice", 1, 2021, 2022, "open", True),
        *([run], date(2022, 1, 1), date(2023, 1, 1)),
    ]
    assert in_cells(area) == 4
    assert share == pytest.approx(4 / 18, rel=1e-6)
    assert reason == (
        "New damage of 40,032 m2 from 2021 to 2022, 22.2 % of the mine:"
        " excavated 20,016 m2, occupied 20,016 m2"
    )
    assert reason_zh == (
        "2021年至2022年新增损毁40,032平方米，占矿区面积22.2%：挖损20,016平方米，压占20,016平方米"
    )
    (same,) = district.conn.execute(
        "select st_area(st_symdifference(a.geom, %s::geometry)::geography) from lode.alert a",
        (ewkb(cells(".xx...\n......\n....xx", "x")).hex(),),
    ).fetchone() or (None,)
    assert same == pytest.approx(0, abs=1e-3)


def test_damage_of_the_first_year_observed_is_of_unknown_age(district: District) -> None:
    district.publish(SPRING_2022, "pppppp\npppppp\npppppp")
    assert district.alerts("kind") == []


def test_ground_smaller_than_a_mapped_patch_raises_nothing(district: District) -> None:
    """One cell alone is below the smallest patch, two together are not."""
    district.rules(("new_damage", "notice", 0, None), ("outside_licence", "notice", 0, None))
    district.conn.execute(
        "update lode.land_class set min_patch_m2 = %s where damage_kind <> 'none'",
        (1.5 * CELL_M2,),
    )
    district.license_("......\nxxxxxx\nxxxxxx")
    district.publish(SPRING_2021, BARE)
    district.publish(SPRING_2022, "pbbbbb\nbbbbbb\nbbbbbb")
    assert district.alerts("kind") == []
    district.publish(SPRING_2023, "pbbbpp\nbbpbbb\nbbpbbb")
    raised = district.alerts("kind", "year", "area_m2")
    assert [(kind, year, in_cells(area)) for kind, year, area in raised] == [
        ("new_damage", 2023, 4),
        ("outside_licence", 2023, 2),
    ]


def test_ground_under_cloud_is_new_when_it_was_bare_before(district: District) -> None:
    """What 2022 did not see is compared with 2021: bare ground there is new, damaged ground is not."""
    district.publish(SPRING_2021, "bbpbbb\nbbbbbb\nbbbbb.")
    district.publish(SPRING_2022, "b..bbb\nbbbbbb\nbbbbb.")
    district.publish(SPRING_2023, "pppbbb\nbbbbbb\nbbbbbp")
    assert [row[:2] for row in district.alerts("kind", "year")] == [("new_damage", 2023)]
    ((area, reason, reason_zh),) = district.alerts("area_m2", "reason", "reason_zh")
    assert in_cells(area) == 2
    assert reason.endswith("excavated 20,016 m2; 10,008 m2 of it not seen in 2022")
    assert reason_zh.endswith("挖损20,016平方米，其中10,008平方米2022年未观测")


def test_ground_damaged_again_after_treatment_is_new(district: District) -> None:
    """As mine_change counts it, although the ground had been seen damaged before."""
    district.publish(SPRING_2021, "ppbbbb\nbbbbbb\nbbbbbb")
    district.publish(SPRING_2022, BARE)
    district.publish(SPRING_2023, "ppbbbb\nbbbbbb\nbbbbbb")
    ((year, area, counted),) = district.conn.execute(
        "select a.to_year, a.area_m2, c.new_area_m2 from lode.alert a join lode.mine_change c"
        " on (c.mine_id, c.from_year, c.to_year, c.damage_kind) = (a.mine_id, a.from_year, a.to_year, 'any')"
    ).fetchall()
    assert (year, in_cells(area), in_cells(counted)) == (2023, 2, 2)


def test_damage_outside_the_licence(district: District) -> None:
    """By year, with its share of the mine's damage; without a licence boundary nobody is outside."""
    district.publish(SPRING_2021, "ppppbb\npbbbbb\nbwbbbv")
    assert district.alerts("kind") == []
    district.license_("......\nxxxxxx\nxxxxxx")
    ((kind, level, from_year, year, area, share, reason, reason_zh),) = district.alerts(
        "kind", "level", "from_year", "year", "area_m2", "share", "reason", "reason_zh"
    )
    assert (kind, level, from_year, year) == ("outside_licence", "warning", None, 2021)
    assert in_cells(area) == 4
    assert share == pytest.approx(4 / 6, rel=1e-6)
    assert reason == (
        "Damage of 40,032 m2 outside the licence in 2021, 66.7 % of the mine's damage; mostly open pit"
    )
    assert reason_zh == "2021年许可范围外损毁40,032平方米，占该矿损毁面积66.7%，主要为露天采场"
    district.license_("xxxxxx\nxxxxxx\nxxxxxx")
    assert district.alerts("kind") == []


def test_a_tailings_pond_grows_over_ground_both_years_saw(district: District) -> None:
    """What the earlier year did not see may have been pond already."""
    district.publish(SPRING_2021, "bbtt..\nbbwt..\nbbbb..")
    district.publish(SPRING_2022, "btttt.\nbtttt.\nbbbbb.")
    ((area, share, level, reason, reason_zh),) = [
        row[1:]
        for row in district.alerts("kind", "area_m2", "share", "level", "reason", "reason_zh")
        if row[0] == "tailings_growth"
    ]
    assert in_cells(area) == 3
    assert share == pytest.approx(1, rel=1e-6)
    assert level == "warning"
    assert reason == (
        "The tailings pond grew by 30,024 m2 from 2021 to 2022, 100.0 % of the 30,024 m2 before;"
        " 10,008 m2 of it had been water beside the pond"
    )
    assert reason_zh == (
        "2021年至2022年尾矿库扩大30,024平方米，为原有30,024平方米的100.0%，其中10,008平方米原为库边水域"
    )


def test_a_pond_where_there_was_none_exceeds_every_share(district: District) -> None:
    district.rules(("tailings_growth", "severe", None, 99.0))
    district.publish(SPRING_2021, BARE)
    district.publish(SPRING_2022, "tbbbbb\nbbbbbb\nbbbbbb")
    assert district.alerts("level", "share", "reason") == [
        ("severe", None, "The tailings pond grew by 10,008 m2 from 2021 to 2022, there was none before")
    ]


def test_the_highest_level_whose_thresholds_all_hold(district: District) -> None:
    """Five cells are new, 27.8 % of the mine. A rule that is edited, switched off or deleted is followed."""
    district.publish(SPRING_2021, BARE)
    district.publish(SPRING_2022, "pppppb\nbbbbbb\nbbbbbb")
    cell = CELL_M2
    district.rules(("new_damage", "notice", 5.01 * cell, None))
    assert district.alerts("level") == []
    district.rules(
        ("new_damage", "notice", 1 * cell, None),
        ("new_damage", "severe", 4.99 * cell, 0.28),
        ("new_damage", "warning", None, 0.27),
        ("tailings_growth", "severe", 0, None),
    )
    assert district.alerts("kind", "level", "level_rank") == [("new_damage", "warning", 2)]
    district.conn.execute("update lode.alert_rule set threshold_fraction = 0.27 where level = 'severe'")
    assert district.alerts("level") == [("severe",)]
    district.conn.execute("update lode.alert_rule set is_enabled = false where level = 'severe'")
    assert district.alerts("level") == [("warning",)]
    district.conn.execute("delete from lode.alert_rule where level = 'warning'")
    assert district.alerts("level") == [("notice",)]
    district.conn.execute("truncate lode.alert_rule")
    assert district.alerts("level") == []


def test_rules_that_mean_nothing_are_refused(district: District) -> None:
    for rule in (
        ("new_damage", "notice", None, None),
        ("new_damage", "notice", -1, None),
        ("new_damage", "notice", float("nan"), None),
        ("new_damage", "notice", None, float("inf")),
        ("new_damage", "alarm", 1, None),
        ("flood", "notice", 1, None),
    ):
        with pytest.raises(errors.CheckViolation), district.conn.transaction():
            district.rules(rule)


def test_rank_is_by_level_then_area_times_confidence_within_a_year(conn: Connection[Any]) -> None:
    district = District(conn)
    district.rules(
        ("new_damage", "notice", 0, None),
        ("tailings_growth", "severe", 0, None),
        ("outside_licence", "notice", 0, None),
    )
    district.license_("xx....\nxxxxxx\nxxxxxx")
    district.publish(SPRING_2021, BARE)
    district.publish(SPRING_2022, "bbbbbb\npppppp\nbbbbbt")
    district.publish(SPRING_2023, "bbpppb\npppppp\nbbbbtt", probability=0.5)
    ranked = conn.execute(
        "select year, rank, kind, round((area_m2 / %s)::numeric, 3)::float from lode_api.damage_alert"
        " order by year, rank",
        (CELL_M2,),
    ).fetchall()
    assert ranked == [
        (2022, 1, "tailings_growth", 1),
        (2022, 2, "new_damage", 7),
        (2023, 1, "tailings_growth", 1),
        (2023, 2, "new_damage", 4),
        (2023, 3, "outside_licence", 3),
    ]
    conn.execute("update lode.alert set state = 'rejected' where kind = 'tailings_growth'")
    ranks = conn.execute(
        "select year, rank, kind from lode_api.damage_alert where rank is not null order by 1, 2"
    )
    assert ranks.fetchall() == [
        (2022, 1, "new_damage"),
        (2023, 1, "new_damage"),
        (2023, 2, "outside_licence"),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_maps_give_the_areas_that_cells_count(district: District, seed: int) -> None:
    """Two maps of a year each, with gaps; then every area is a count of cells."""
    random = np.random.default_rng(seed)
    district.rules(
        *((kind, "notice", 0, None) for kind in ("new_damage", "outside_licence", "tailings_growth"))
    )
    district.license_("xxx...\nxxx...\nxxx...")
    before, after = random.choice(list("bvpdtt."), size=(2, 3, 6))
    for day, ground in ((SPRING_2021, before), (SPRING_2022, after)):
        district.publish(day, "\n".join("".join(row) for row in ground))
    damaged, seen = np.isin([before, after], list("pdt")), np.array([before, after]) != "."
    outside = np.arange(6)[None, :] >= 3
    expected = {
        ("new_damage", 2022): (damaged[1] & ~damaged[0] & seen[0]).sum(),
        ("outside_licence", 2021): (damaged[0] & outside).sum(),
        ("outside_licence", 2022): (damaged[1] & outside).sum(),
        ("tailings_growth", 2022): ((after == "t") & (before != "t") & seen[0]).sum(),
    }
    found = {(kind, year): in_cells(area) for kind, year, area in district.alerts("kind", "year", "area_m2")}
    assert found == {key: count for key, count in expected.items() if count}
    ((drawn,),) = district.conn.execute(
        "select max(abs(st_area(geom::geography) - area_m2)) from lode.alert"
    ).fetchall()
    assert drawn < 1e-3


@pytest.mark.parametrize("seed", [3, 9, 10])
def test_what_is_kept_up_equals_deriving_from_nothing(district: District, seed: int) -> None:
    """Scenes of four years come in any order, some twice a year, with gaps; one is withdrawn.

    2022 saw little of the mine, and some networks map no ponds or no dumps; with the first seed all saw
    nearly everything and map everything.
    """
    random = np.random.default_rng(seed)
    conn = district.conn
    district.rules(
        *((kind, "notice", 0, None) for kind in ("new_damage", "outside_licence", "tailings_growth"))
    )
    days = [date(year, month, 1) for year in (2021, 2022, 2023) for month in (5, 8)] + [date(2024, 5, 1)]
    gaps = {2021: 0, 2022: 0.85, 2023: 0.3, 2024: 0}
    for at, day in enumerate(random.permutation(days)):
        codes = None if seed == 3 else (tuple(range(8)), (0, 1, 2, 5, 6), (0, 1, 2, 6, 7))[random.integers(3)]
        letters = [letter for letter in "bvpdttw" if codes is None or CODES[letter] in codes]
        ground = random.choice([*letters, "."], size=(3, 6))
        if seed > 3:
            ground[random.random((3, 6)) < gaps[day.year]] = "."
            ground[2, 5] = "b"
        drawing = "\n".join("".join(row) for row in ground)
        district.publish(day, drawing, probability=random.uniform(0.3, 1), codes=codes)
        if at == 2:
            district.license_("xxx...\nxxx...\nxxx...")
    conn.execute(
        "update lode.run set is_current = false where run_id = (select min(run_id) + 1 from lode.run)"
    )
    conn.execute("update lode.run set priority = 1 where run_id = (select min(run_id) + 2 from lode.run)")
    query = (
        "select kind, to_year, from_year, level, round(area_m2), round(share::numeric, 6), confidence,"
        " agreeing_scene_count, run_ids, reason, reason_zh, round(st_area(geom::geography))"
        " from lode.alert where is_current order by 1, 2"
    )
    kept_up = conn.execute(query).fetchall()
    assert len(kept_up) > 4
    bridges = conn.execute("select count(*) from lode.mine_pair where is_bridging").fetchone()
    assert bridges == ((0,) if seed == 3 else (1,))
    assert any("not looked for" in row[9] for row in kept_up) == (seed > 3)
    district.commit()
    conn.execute("set local lode.deriving_alerts = 'on'")
    conn.execute("delete from lode.alert")
    conn.execute("select lode_api.derive_all()")
    assert conn.execute(query).fetchall() == kept_up


def test_deriving_twice_writes_nothing(district: District) -> None:
    """Neither by the same mines again, nor from nothing: keys, moments and row versions stay."""
    district.license_("xxx...\nxxx...\nxxx...")
    district.publish(SPRING_2021, "bbbbbb\nbttbbb\nbbbbbb")
    district.publish(SPRING_2022, "ppbbpp\nbtttbb\nbbbbdd")
    district.publish(AUTUMN_2022, "ppbbpp\nbbttbb\nbbbbdd", probability=0.7)
    district.publish(SPRING_2023, "ppppbb\nbtttbb\nbbbbbb")
    district.commit()
    query = "select xmin, a.* from lode.alert a order by alert_id"
    before = district.conn.execute(query).fetchall()
    assert {row[3] for row in before} == {"new_damage", "outside_licence", "tailings_growth"}
    district.conn.execute("select lode_api.derive_alerts(array[%s], '{2021}')", (district.mine_id,))
    district.commit()
    assert district.conn.execute(query).fetchall() == before
    district.conn.execute("select lode_api.derive_all()")
    district.commit()
    assert district.conn.execute(query).fetchall() == before
