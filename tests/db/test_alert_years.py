"""With which earlier year alerts compare: the one that saw more, and could judge."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from tests.alert_rows import BARE, District
from tests.grids import CELL_M2

WITHOUT_DUMPS = (0, 1, 2, 3, 4, 6, 7)
PIT = "ppppbb\nbbbbbb\nbbbbbb"


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    """Every new damage raises a notice."""
    made = District(conn)
    made.rules(("new_damage", "notice", CELL_M2 / 2, None), ("tailings_growth", "notice", CELL_M2 / 2, None))
    return made


def day(year: int) -> date:
    return date(year, 5, 1)


def raised(district: District, kind: str = "new_damage") -> list[tuple[int, int, float]]:
    """Earlier year, year and area in cells of the alerts of that kind."""
    return [
        (before, year, round(area / CELL_M2, 4))
        for what, before, year, area in district.alerts("kind", "from_year", "year", "area_m2")
        if what == kind
    ]


def test_a_thin_year_between_hides_nothing(district: District) -> None:
    """2022 saw a sixth of the mine: 2023 is judged by 2021, and agrees with mine_change."""
    district.publish(day(2021), "tbbbbb\nbbbbbb\nbbbbbb")
    district.publish(day(2022), "......\n......\nbbb...")
    assert raised(district) == []
    district.publish(day(2023), "tttppp\ndddddd\nbbbbbb")
    assert raised(district) == [(2021, 2023, 11)]
    assert raised(district, "tailings_growth") == [(2021, 2023, 2)]
    ((area, counted, drawn),) = district.conn.execute(
        "select a.area_m2, c.new_area_m2, st_area(a.geom::geography) from lode.alert a"
        " join lode.mine_change c"
        " on (c.mine_id, c.from_year, c.to_year) = (a.mine_id, a.from_year, a.to_year)"
        " where a.kind = 'new_damage' and c.damage_kind = 'any'"
    ).fetchall()
    assert area == pytest.approx(counted, rel=1e-6)
    assert drawn == pytest.approx(counted, rel=1e-6)


def test_the_year_before_counts_where_it_saw_as_much(district: District) -> None:
    """Periods of reports, however long, raise nothing."""
    district.conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")
    district.publish(day(2021), BARE)
    district.publish(day(2022), "pppbbb\nbbbbbb\nbbbbbb")
    district.publish(day(2023), "ppppbb\nbbbbbb\nbbbbbb")
    assert raised(district) == [(2021, 2022, 3), (2022, 2023, 1)]


def test_a_thin_year_that_is_withdrawn_or_filled_up(district: District) -> None:
    """The alert follows: the same one, now compared with another year."""
    conn = district.conn
    district.publish(day(2021), BARE)
    thin = district.publish(day(2022), "pp....\n......\n......")
    district.publish(day(2023), PIT)
    assert raised(district) == [(2021, 2022, 2), (2021, 2023, 4)]
    conn.execute("update lode_api.damage_alert set state = 'confirmed' where year = 2023")
    district.commit()
    (kept,) = conn.execute("select alert_id, reviewed_at from lode.alert where to_year = 2023").fetchall()
    conn.execute("update lode.run set is_current = false where run_id = %s", (thin,))
    district.commit()
    assert raised(district) == [(2021, 2023, 4)]
    district.publish(date(2022, 7, 1), "ppbbbb\nbbbbbb\nbbbbbb")
    district.commit()
    assert raised(district) == [(2021, 2022, 2), (2022, 2023, 2)]
    (row,) = conn.execute("select alert_id, reviewed_at from lode.alert where to_year = 2023").fetchall()
    assert row == kept
    query = (
        "select kind, to_year, from_year, level, round(area_m2), confidence, unreviewed_area_m2, reason"
        " from lode.alert order by 1, 2"
    )
    kept_up = conn.execute(query).fetchall()
    conn.execute("select lode_api.derive_all()")
    assert conn.execute(query).fetchall() == kept_up


def test_a_class_that_nobody_looked_for_before_is_not_new(district: District) -> None:
    """The dump may have been there in 2021 and 2022, whose networks do not map dumps; the pit was not."""
    district.publish(day(2021), BARE, codes=WITHOUT_DUMPS)
    district.publish(day(2022), BARE, codes=WITHOUT_DUMPS)
    district.publish(day(2023), "dddpbb\nbbbbbb\nbbbbbb")
    assert raised(district) == [(2022, 2023, 1)]


def test_an_earlier_year_that_could_judge_says_that_it_is_new(district: District) -> None:
    """2021 mapped dumps and saw none, 2022 could not tell; drawn by an interpreter in 2022 it is not new."""
    district.publish(day(2021), BARE)
    district.publish(day(2022), BARE, codes=WITHOUT_DUMPS)
    district.publish(day(2023), "dddpbb\nbbbbbb\nbbbbbb")
    assert raised(district) == [(2022, 2023, 4)]
    ((reason, reason_zh),) = district.alerts("reason", "reason_zh")
    assert reason.endswith("; 30,024 m2 of it not seen in 2022 or not looked for")
    assert reason_zh.endswith("，其中30,024平方米2022年未观测或未识别")
    district.label(5, "xxx...\n......\n......", day(2022))
    assert raised(district) == [(2021, 2022, 3), (2022, 2023, 1)]
