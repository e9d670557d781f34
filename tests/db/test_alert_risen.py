"""What an inspector confirmed or rejected is shown again when there is more of it, or when it moved."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection, errors

from db.alerts.reviews import TO_REVIEW, alert_list, alert_reviews, review_alert
from tests.alert_rows import BARE, District
from tests.grids import CELL_M2

BEFORE = date(2021, 5, 1)
EARLY = date(2022, 5, 1)
LATE = date(2022, 9, 1)
SEVENTEEN = "pppppp\npppppp\npppppb"
AS_QGIS_SENDS_IT = (
    """UPDATE "lode"."alert" SET "state"='confirmed' WHERE "alert_id"=%s""",
    """UPDATE "lode_api"."damage_alert" SET "state"='confirmed' WHERE "ogc_fid"=%s""",
    """UPDATE "lode_api"."damage_alert" SET "note"='looked again' WHERE "ogc_fid"=%s""",
)
CASES = (  # drawn when it was reviewed and later; cells outside what was reviewed; whether it has risen
    (SEVENTEEN, "pppppp\npppppp\npppppp", 1, False),  # a seventeenth more, too little for an alert
    (SEVENTEEN, "pppppp\npppppp\nbppppp", 1, False),  # a seventeenth elsewhere
    (SEVENTEEN, "pppppp\nbbbbbb\nbbbbbb", 0, False),  # less
    ("pppppp\nppppbb\nbbbbbb", "pppppp\npppppp\nbbbbbb", 2, True),  # a fifth more
    ("pppppp\nppppbb\nbbbbbb", "bbpppp\npppppp\nbbbbbb", 2, True),  # as much, a fifth elsewhere
    ("pppppp\nppppbb\nbbbbbb", "ddpppp\nddddbb\nbbbbbb", 0, False),  # of another kind
)


@pytest.fixture
def district(conn: Connection[Any]) -> District:
    """The year before, without damage, and one rule: three cells."""
    made = District(conn)
    made.rules(("new_damage", "notice", 3 * CELL_M2, None))
    made.publish(BEFORE, BARE)
    return made


def only(district: District, *columns: str) -> tuple[Any, ...]:
    """These columns of the only alert."""
    (row,) = district.alerts(*columns)
    return row


def test_more_ground_or_other_ground(district: District) -> None:
    """More than a tenth of what was reviewed; the review itself stays. From nothing it comes out the same."""
    conn = district.conn
    for before, after, unreviewed, risen in CASES:
        with conn.transaction(force_rollback=True):
            district.publish(EARLY, before)
            conn.execute("update lode_api.damage_alert set state = 'rejected', note = 'shadow'")
            facts = only(district, "has_risen_since_review", "is_to_review", "unreviewed_area_m2", "rank")
            assert facts == (False, False, 0, None)
            district.publish(LATE, after)
            facts = only(district, "has_risen_since_review", "is_to_review", "state", "note", "rank")
            assert facts == (risen, risen, "rejected", "shadow", 1 if risen else None), after
            kept_up = only(district, "unreviewed_area_m2", "area_m2")
            assert round(kept_up[0] / CELL_M2, 6) == unreviewed
            conn.execute("select lode_api.derive_all()")
            assert only(district, "unreviewed_area_m2", "area_m2") == pytest.approx(kept_up, abs=1e-3)


def test_ground_elsewhere_that_would_raise_an_alert_by_itself(district: District) -> None:
    """One cell of seventeen is less than a tenth, and a rule asks for half a cell."""
    district.publish(EARLY, SEVENTEEN)
    district.conn.execute("update lode_api.damage_alert set state = 'confirmed'")
    district.publish(LATE, "pppppp\npppppp\nbppppp")
    assert only(district, "has_risen_since_review") == (False,)
    district.conn.execute("update lode.alert_rule set threshold_m2 = %s", (CELL_M2 / 2,))
    assert only(district, "has_risen_since_review", "level") == (True, "notice")
    district.conn.execute("insert into lode.alert_rule (kind, level, threshold_m2) values"
                          " ('outside_licence', 'notice', 1)")  # fmt: skip
    district.conn.execute("update lode.alert_rule set threshold_m2 = null, threshold_fraction = 0.1"
                          " where kind = 'new_damage'")  # fmt: skip
    assert only(district, "has_risen_since_review") == (False,)


def test_slivers_along_an_edge_are_no_other_ground(district: District) -> None:
    """A sixth of it lies elsewhere, in a part smaller than a mapped patch."""
    district.publish(EARLY, "pppppp\nbbbbbb\nbbbbbb")
    district.conn.execute("update lode_api.damage_alert set state = 'confirmed'")
    district.publish(LATE, "pppppb\npbbbbb\nbbbbbb")
    assert only(district, "has_risen_since_review") == (True,)
    district.conn.execute("update lode.land_class set min_patch_m2 = %s", (1.5 * CELL_M2,))
    district.conn.execute("select lode_api.derive_all()")
    assert only(district, "has_risen_since_review", "unreviewed_area_m2") == (False, 0)
    district.publish(date(2022, 9, 2), "pppppp\npbbbbb\nbbbbbb")  # as small, but a sixth more in all
    assert only(district, "has_risen_since_review", "unreviewed_area_m2") == (True, 0)


def test_who_saves_the_same_again_has_looked_again(district: District) -> None:
    """As QGIS sends it: who, when and what was reviewed are written anew, and what was written stays."""
    conn = district.conn
    district.publish(EARLY, "ppppbb\nbbbbbb\nbbbbbb")
    conn.execute("update lode.alert set state = 'confirmed'")
    district.commit()
    for more, statement in enumerate(AS_QGIS_SENDS_IT, start=1):
        district.publish(LATE, "pppppp\npbbbbb\nbbbbbb".replace("b", "p", 2 * more))
        district.commit()
        alert_id, stamped, risen, unreviewed = only(
            *(district, "ogc_fid", "reviewed_at", "has_risen_since_review", "unreviewed_area_m2")
        )
        assert (risen, unreviewed > 0) == (True, True)
        conn.execute(statement.replace("%s", str(alert_id)).encode())
        area, reviewed_area, reviewed_at, *facts = only(
            *(district, "area_m2", "reviewed_area_m2", "reviewed_at"),
            *("has_risen_since_review", "unreviewed_area_m2", "state", "reviewed_by = session_user"),
        )
        assert area == reviewed_area == pytest.approx((7 + 2 * more) * CELL_M2)
        assert reviewed_at > stamped
        assert facts == [False, 0, "confirmed", True]
        district.commit()
    history = conn.execute(
        "select state, round((area_m2 / %s)::numeric, 6)::float,"
        " round((st_area(geom::geography) / %s)::numeric, 6)::float, reviewed_by = session_user"
        " from lode.alert_review order by alert_review_id",
        (CELL_M2, CELL_M2),
    ).fetchall()
    assert history == [("confirmed", cells, cells, True) for cells in (4, 9, 11, 13)]


def test_derivation_is_no_review(district: District) -> None:
    """Nothing is stamped where a run, a rule or everything is derived again."""
    district.publish(EARLY, SEVENTEEN)
    district.conn.execute("update lode.alert set state = 'confirmed'")
    district.commit()
    stamp = only(district, "reviewed_at", "reviewed_area_m2")
    district.publish(LATE, "pppppp\npppppp\npppppp")
    district.conn.execute("update lode.alert_rule set level = 'severe'")
    district.conn.execute("select lode_api.derive_all()")
    district.commit()
    assert only(district, "reviewed_at", "reviewed_area_m2") == stamp
    assert district.conn.execute("select count(*) from lode.alert_review").fetchone() == (1,)


def test_lists_show_what_has_risen_with_what_is_open(district: District) -> None:
    district.publish(EARLY, "ppppbb\nbbbbbb\nbbbbbb")
    district.conn.execute("update lode.alert set state = 'rejected'")
    assert alert_list(district.conn, states=TO_REVIEW).rows == []
    district.publish(LATE, "pppppp\nbbbbbb\nbbbbbb")
    (row,) = alert_list(district.conn, states=TO_REVIEW).rows
    assert row == alert_list(district.conn, states=["risen"]).rows[0]
    assert alert_list(district.conn, states=["open"]).rows == []
    assert alert_list(district.conn, states=["confirmed"]).rows == []
    alert_id = row[0]
    review_alert(district.conn, alert_id, "rejected")
    assert alert_list(district.conn, states=TO_REVIEW).rows == []
    review_alert(district.conn, alert_id, "open", "somebody else shall look")
    assert len(alert_list(district.conn, states=TO_REVIEW).rows) == 1
    report = alert_reviews(district.conn, alert_id)
    said = [dict(zip(report.columns, each, strict=True)) for each in report.rows]
    assert [(each["state"], round(each["area_m2"] / CELL_M2, 3), each["note"]) for each in said] == [
        ("rejected", 4, None),
        ("rejected", 6, None),
        ("open", 6, "somebody else shall look"),
    ]


def test_reviews_are_not_written_by_hand(district: District) -> None:
    conn = district.conn
    district.publish(EARLY, SEVENTEEN)
    conn.execute("update lode.alert set state = 'confirmed'")
    for statement in (
        "update lode.alert_review set note = 'it was not me'",
        "update lode.alert_review set alert_id = null",
        "delete from lode.alert_review",
        "insert into lode.alert_review (alert_id, mine_code, kind, to_year, state, reviewed_by, level,"
        " area_m2, confidence, reason, reason_zh, geom) select alert_id, 'M1', kind, to_year, 'rejected',"
        " 'me', level, 1, 1, '', '', geom from lode.alert",
    ):
        with pytest.raises(errors.CheckViolation, match="never changed"), conn.transaction():
            conn.execute(statement)
    assert conn.execute("select state, note from lode.alert_review").fetchall() == [("confirmed", None)]


def test_a_rejection_stays_while_its_run_goes_and_comes_back(district: District) -> None:
    """Withdrawn, everything derived from nothing, reinstated: the same alert, rejected, not risen."""
    conn = district.conn
    run = district.publish(EARLY, SEVENTEEN)
    conn.execute("update lode_api.damage_alert set state = 'rejected', note = 'snow'")
    district.commit()
    kept = ("ogc_fid", "state", "note", "reviewed_by", "reviewed_at", "reviewed_area_m2", "first_raised_at")
    before = only(district, *kept)
    conn.execute("update lode.run set is_current = false where run_id = %s", (run,))
    district.commit()
    conn.execute("select lode_api.derive_all()")
    district.commit()
    assert only(district, "is_current", "is_to_review") == (False, False)
    conn.execute("update lode.run set is_current = true where run_id = %s", (run,))
    district.commit()
    assert only(district, *kept) == before
    assert only(district, "is_current", "has_risen_since_review") == (True, False)


def test_another_code_of_the_mine_changes_no_review(district: District) -> None:
    conn = district.conn
    district.publish(EARLY, SEVENTEEN)
    conn.execute("update lode.alert set state = 'confirmed', note = 'visited'")
    district.commit()
    query = "select a.*, xmin from lode.alert a"
    before = conn.execute(query).fetchall()
    conn.execute("update lode.mine set code = 'Z9'")
    district.commit()
    assert conn.execute(query).fetchall() == before
    assert only(district, "mine_code", "state", "has_risen_since_review") == ("Z9", "confirmed", False)


def test_a_mine_that_goes_says_which_reviewed_alerts_go_with_it(district: District) -> None:
    """What was said of them is kept."""
    conn = district.conn
    district.publish(EARLY, SEVENTEEN)
    conn.execute("update lode.alert set state = 'rejected', note = 'snow'")
    said: list[str] = []
    conn.add_notice_handler(lambda diag: said.append(f"{diag.severity}: {diag.message_primary}"))
    conn.execute("delete from lode.mine")
    (warning,) = [line for line in said if line.startswith("WARNING")]
    assert "(notice new_damage of 2022), rejected by" in warning
    assert warning.endswith("goes with its mine")
    assert conn.execute("select count(*) from lode.alert").fetchone() == (0,)
    kept = conn.execute(
        "select alert_id, mine_code, kind, from_year, to_year, state, note, round(area_m2 / %s) from"
        " lode.alert_review",
        (CELL_M2,),
    ).fetchall()
    assert kept == [(None, "M1", "new_damage", 2021, 2022, "rejected", "snow", 17)]
