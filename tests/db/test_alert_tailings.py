"""Growth of tailings ponds: over ground where somebody looked for ponds before, whatever the water did."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from tests.alert_rows import BARE, District
from tests.grids import CELL_M2

SPRING_2021 = date(2021, 5, 1)
AUTUMN_2021 = date(2021, 9, 1)
SPRING_2022 = date(2022, 5, 1)
SPRING_2023 = date(2023, 5, 1)
WITHOUT_PONDS = (0, 1, 2, 3, 4, 5, 6)
POND = "tttbbb\nbbbbbb\nbbbbbb"


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    """Every growth of a pond is severe, and nothing else is of interest."""
    made = District(conn)
    made.rules(("tailings_growth", "severe", CELL_M2 / 2, None))
    return made


def only(district: District, *columns: str) -> tuple[Any, ...]:
    """These columns of the only alert; its area in cells."""
    (row,) = district.alerts(*columns)
    return tuple(
        round(value / CELL_M2, 4) if name == "area_m2" else value
        for name, value in zip(columns, row, strict=True)
    )


def test_a_pond_that_nobody_looked_for_before_has_not_grown(district: District) -> None:
    """The earlier network calls it bare, dump or water: a notice without a share, whatever the rules say."""
    for before in (BARE, "dddbbb\nbbbbbb\nbbbbbb", "wwwbbb\nbbbbbb\nbbbbbb"):
        with district.conn.transaction(force_rollback=True):
            district.publish(SPRING_2021, before, codes=WITHOUT_PONDS)
            district.publish(SPRING_2022, POND)
            assert only(district, "level", "area_m2", "share", "from_year", "reason", "reason_zh") == (
                *("notice", 3, None, 2021),
                "Tailings pond of 30,024 m2 in 2022, not looked for in 2021: it may be older",
                "2022年见尾矿库30,024平方米，2021年未识别该地类，可能早已存在",
            )
            district.rules(("tailings_growth", "notice", None, 0.1))
            assert district.alerts("level") == []  # there is no share that could be compared
            district.rules(("tailings_growth", "notice", 3.1 * CELL_M2, None))
            assert district.alerts("level") == []


def test_once_it_was_looked_for_it_grows(district: District) -> None:
    district.publish(SPRING_2021, BARE, codes=WITHOUT_PONDS)
    district.publish(SPRING_2022, POND)
    district.publish(SPRING_2023, "tttttb\nbbbbbb\nbbbbbb")
    raised = district.alerts("year", "level", "round((area_m2 / share)::numeric)")
    assert raised == [(2022, "notice", None), (2023, "severe", round(3 * CELL_M2))]


def test_half_of_the_mine_was_looked_at(district: District) -> None:
    """What lies under the network without ponds is said, and is no growth."""
    district.publish(SPRING_2021, "tbb...\nbbb...\nbbb...")
    district.publish(AUTUMN_2021, "...bbb\n...bbb\n...bbb", codes=WITHOUT_PONDS)
    district.publish(SPRING_2022, "ttttbb\nbbbtbb\nbbbtbb")
    assert only(district, "level", "area_m2", "share", "reason", "reason_zh") == (
        *("severe", 2, pytest.approx(2, rel=1e-6)),
        "The tailings pond grew by 20,016 m2 from 2021 to 2022, 200.0 % of the 10,008 m2 before;"
        " another 30,024 m2 lie where it was not looked for in 2021",
        "2021年至2022年尾矿库扩大20,016平方米，为原有10,008平方米的200.0%，另有30,024平方米所在地面2021年未识别尾矿库",
    )
    district.rules(("tailings_growth", "warning", 2.5 * CELL_M2, None))
    level, area, reason = only(district, "level", "area_m2", "reason")
    assert (level, area) == ("notice", 3)
    assert reason.startswith("Tailings pond of 30,024 m2 in 2022, not looked for in 2021")


def test_an_interpreter_looked_where_the_network_could_not(district: District) -> None:
    """Ground that an interpreter called bare in 2021 is judged; a pond that one drew stays no growth."""
    district.publish(SPRING_2021, BARE, codes=WITHOUT_PONDS)
    district.publish(SPRING_2022, POND)
    district.label(0, ".xx...\n......\n......", SPRING_2021)
    assert only(district, "level", "area_m2", "share") == ("severe", 2, None)
    district.label(7, ".xx...\n......\n......", SPRING_2021)
    assert only(district, "level", "area_m2") == ("notice", 1)


def test_water_is_told_apart_on_the_ground_of_the_alert(district: District) -> None:
    """Water that touched the pond may be the pond; other water is said too; no other water counts."""
    district.publish(SPRING_2021, "twbbww\nbbbbbb\nwbbbbw")
    district.publish(SPRING_2022, "tttbtw\nbbbbbb\nwbbbbw")
    ((moved,),) = district.conn.execute(
        "select sum(area_m2) from lode.mine_transition where from_class_code = 2 and to_class_code = 7"
    ).fetchall()
    assert round(moved / CELL_M2, 4) == 2
    area, share, reason, reason_zh = only(district, "area_m2", "share", "reason", "reason_zh")
    assert (area, share) == (3, pytest.approx(3, rel=1e-6))
    assert reason.endswith(
        "; 10,008 m2 of it had been water beside the pond; 10,008 m2 of it had been other water"
    )
    assert reason_zh.endswith("，其中10,008平方米原为库边水域，其中10,008平方米原为其他水域")


def test_water_of_parts_that_are_left_out_is_left_out(district: District) -> None:
    """Where the pond's only new ground of water is smaller than a mapped pond, none had been water."""
    district.conn.execute(
        "update lode.land_class set min_patch_m2 = %s where key = 'tailings_pond'", (1.5 * CELL_M2,)
    )
    district.publish(SPRING_2021, "bbbbbb\nbbbbbb\nbbbbbw")
    district.publish(SPRING_2022, "ttbbbb\nbbbbbb\nbbbbbt")
    assert only(district, "area_m2", "share", "reason") == (
        *(2, None),
        "The tailings pond grew by 20,016 m2 from 2021 to 2022, there was none before",
    )


def test_a_pond_under_water_before_is_said(district: District) -> None:
    """No pond was seen, so no water lay beside it."""
    district.publish(SPRING_2021, "wwwbbb\nbbbbbb\nbbbbbb")
    district.publish(SPRING_2022, "ttbbbb\nbbbbbb\nbbbbbb")
    assert only(district, "area_m2", "reason") == (
        2,
        "The tailings pond grew by 20,016 m2 from 2021 to 2022, there was none before;"
        " 20,016 m2 of it had been other water",
    )
