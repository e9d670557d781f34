"""Edits by hand of what accounts stand on: what is derived equals deriving from nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db import runs
from db.connection import connect
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, publish_drawing
from tests.grids import cells
from tests.overlapping_mines import (
    WHOLE,
    add_overlapping_mines,
    areas,
    assert_as_from_nothing,
    calls,
    everything,
)

FAR = 0.05
"""Degrees: nothing that the drawings touch lies there."""


SMALL_PITS = (
    "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour, min_patch_m2)"
    " values (43, 'borrow_pit', 'Borrow pit', 'x', 'excavated', '#010203', 100)"
)
FOLLOWED = [
    # labels that leave where they were
    f"update lode.label set geom = st_translate(geom, {FAR}, 0) where label_id = 1",
    f"update lode.label set geom = st_translate(geom, {FAR}, 0), is_counted = false where label_id = 1",
    f"update lode.label set geom = st_translate(geom, {FAR}, 0), is_counted = false where label_id = 4",
    f"update lode.label set geom = st_translate(geom, {FAR}, 0), land_class_code = 6 where label_id = 2",
    f"update lode.label set geom = st_translate(geom, {FAR}, 0), valid_on = '2022-02-02' where label_id = 1",
    f"update lode.label set geom = st_translate(geom, {FAR}, 0), valid_on = '2023-02-02' where label_id <> 2",
    "update lode.label set is_counted = false where label_id = 4",
    "delete from lode.label where label_id in (1, 2)",
    # days of scenes, within the year and beyond
    "update lode.scene set acquired_on = '2021-12-31' where scene_id = 1",
    "update lode.scene set acquired_on = '2022-01-01' where scene_id = 1",
    "update lode.scene set acquired_on = '2022-12-31' where scene_id = 2",
    "update lode.scene set acquired_on = '2020-06-01' where scene_id = 3",
    "update lode.scene set acquired_on = acquired_on + 400",
    "update lode.scene set acquired_on = '2023-01-01', superseded_by = 2 where scene_id = 1",
    "update lode.run set is_current = false;"
    "update lode.scene set acquired_on = '2019-01-01' where scene_id = 1;"
    "update lode.run set is_current = true",
    # runs that stand for another scene, and runs that go, or what they observed
    "update lode.run set is_current = false where run_id = 4;"
    "update lode.run set scene_id = 4, parameters_digest = 'other' where run_id = 1",
    "delete from lode.run where run_id in (1, 4)",
    # what networks say, as far as it may be said anew
    "update lode.landcover set mean_probability = 0.2 where run_id = 3 and land_class_code = 6",
    "update lode.landcover set mean_probability = null",
    # classes and periods
    "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour)"
    " values (42, 'leach_pad', 'Leach pad', 'x', 'occupied', '#010203')",
    "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour)"
    " values (43, 'leach_pad', 'Leach pad', 'x', 'occupied', '#010203');"
    "update lode.land_class set land_class_code = 42 where land_class_code = 43",
    "update lode.land_class set name = name || ' (new)', name_zh = key",
    # the smallest patch of a kind, by a class that comes and by one that goes
    "update lode.land_class set min_patch_m2 = 1e6 where damage_kind = 'excavated';" + SMALL_PITS,
    f"{SMALL_PITS};update lode.land_class set min_patch_m2 = 1e6"
    " where damage_kind = 'excavated' and land_class_code <> 43;"
    "delete from lode.land_class where land_class_code = 43",
    "truncate lode.report_period",
]


@pytest.fixture
def province(conn: Connection[Any]) -> Connection[Any]:
    add_overlapping_mines(conn)
    return conn


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_edited_equals_deriving_from_nothing(province: Connection[Any], part: int) -> None:
    """Each edit by itself, and nothing of it is left in the database for the next."""
    before = everything(province)
    for edit in FOLLOWED[part::3]:
        with province.transaction(force_rollback=True):
            province.execute(edit)
            assert_as_from_nothing(province, edit)
    assert before == everything(province)
    assert len(before["reasons"]) > 2


def test_a_scene_of_another_year_takes_its_ground_there(province: Connection[Any]) -> None:
    """Also what was withdrawn: it counts in the right year when it is reinstated."""
    assert areas(province, "M1", "dump") == {2021: 3, 2022: 2, 2023: 2}
    runs.withdraw_run(province, 2, "seen wrong")
    province.execute("update lode.scene set acquired_on = '2024-02-29' where scene_id in (1, 2)")
    assert areas(province, "M1", "dump") == {2022: 2, 2023: 2, 2024: 4}
    rows = province.execute(
        "select distinct o.run_id, o.year, l.start_date, l.end_date from lode.observation o"
        " join lode.landcover l using (run_id) order by 1"
    ).fetchall()
    assert rows == [
        (run, year, date(year, 1, 1), date(year + 1, 1, 1))
        for run, year in ((1, 2024), (2, 2024), (3, 2022), (4, 2023))
    ]
    runs.reinstate_run(province, 2)
    runs.make_current(province, 2)
    assert_as_from_nothing(province, "reinstated")


def test_a_day_that_is_corrected_beside_a_publication(conn: Connection[Any], database_url: str) -> None:
    """The correction sees no run yet, and the publication began with the old day."""
    add_mine(conn, "M1", cells(WHOLE, "x"))
    scene = add_scene(conn, "one", date(2021, 12, 31), cells(WHOLE, "x"))
    model = add_model(conn, "net")
    conn.commit()
    run = publish_drawing(conn, scene, model, 2021, "pppp", current=False)
    with connect(database_url) as other:
        other.execute("update lode.scene set acquired_on = '2022-01-01' where scene_id = %s", (scene,))
        other.commit()
    runs.make_current(conn, run)
    assert areas(conn, "M1", "open_pit") == {2022: 4}
    assert_as_from_nothing(conn, "corrected")


def test_labels_leave_the_year_map_alone(province: Connection[Any]) -> None:
    province.commit()
    province.execute("set local track_functions = 'pl'")
    add_label(province, 8, cells("xx", "x"), date(2021, 6, 1))
    assert calls(province, "derive_standing") == 1
    assert calls(province, "derive_ownership") == 0
    province.execute("update lode.run set priority = 1 where run_id = 1")
    assert calls(province, "derive_ownership") == 1


def test_a_run_of_another_network_looked_for_other_classes(province: Connection[Any]) -> None:
    other = add_model(province, "other", (0, 6))
    assert areas(province, "M1", "tailings_pond") == {2021: 0, 2022: 0, 2023: 0}
    province.execute("update lode.run set model_id = %s", (other,))
    assert areas(province, "M1", "tailings_pond") == {}
    assert_as_from_nothing(province, "another network")


def test_a_class_that_runs_looked_for_is_0_where_they_found_none(province: Connection[Any]) -> None:
    province.execute(
        "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour)"
        " values (42, 'leach_pad', 'Leach pad', 'x', 'occupied', '#010203')"
    )
    assert areas(province, "M1", "leach_pad") == {2021: 0, 2022: 0, 2023: 0}
