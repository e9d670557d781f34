"""Edits by hand of what accounts stand on: accounts equal deriving from nothing, or the edit is refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, errors

from db import accounting, landcover, runs
from db.connection import connect
from tests.catalogue_rows import (
    CODES,
    add_label,
    add_mine,
    add_model,
    add_scene,
    ewkb,
    publish_drawing,
)
from tests.db.test_accounting_properties import close, snapshot
from tests.grids import CELL_M2, cells
from tests.regions import add_region, derived

WHOLE = "xxxxxxxxxx\n" * 4
MINES = {"M1": "..........\n.xxx......\n.xxx......", "M2": "..........\n...xxx....\n...xxx...."}
DRAWN = {
    date(2021, 5, 1): "ppppddvvvp\nppddwwvvvp\nvvddpppvvb\nvvvvvvvvvb",
    date(2021, 9, 1): "..........\n....ppppdd\n....ppppdd\n....vvvvvv",
    date(2022, 6, 1): "ppppppvvvp\nvpddwwvvvp\nvpddpppvdd\nvvvvvvvddd",
    date(2023, 6, 1): "ppvvvvvvvp\nvpdddwvvvp\nvppppppvdd\nvvvvvvvddd",
}
FAR = 0.05
"""Degrees: nothing that the drawings touch lies there."""


@pytest.fixture
def province(conn: Connection[Any]) -> Connection[Any]:
    """Two mines that overlap, two regions, four scenes of three years, labels in mines and outside."""
    for code, drawing in MINES.items():
        add_mine(conn, code, cells(drawing, "x"))
    add_region(conn, "county", "west", cells("xxxx......\n" * 4, "x"))
    add_region(conn, "county", "all", cells(WHOLE, "x"))
    licence = ewkb(cells("..........\n.x........", "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry where code = 'M1'", (licence,))
    model = add_model(conn, "net", (*range(8), 42))
    for day, drawing in DRAWN.items():
        scene = add_scene(conn, f"{day}", day, cells(WHOLE, "x"))
        publish_drawing(conn, scene, model, day.year, drawing)
    add_label(conn, 6, cells("......xx..", "x"), date(2021, 6, 1), is_counted=True)  # 1, outside mines
    add_label(conn, 8, cells("..........\n.xx.......", "x"), date(2021, 6, 1))  # 2, in a mine
    add_label(conn, 9, cells("..........\n..........\n..xxxx....", "x"), date(2022, 7, 1))  # 3, in both mines
    add_label(conn, 6, cells(".......xx.", "x"), date(2021, 7, 1), is_counted=True)  # 4, over 1
    conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")
    return conn


def everything(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """All that is derived, in an order that can be compared."""
    reasons = conn.execute(
        "select reason, reason_zh from lode.alert where is_current order by 1, 2"
    ).fetchall()
    regions = {f"region {name}": rows for name, rows in derived(conn).items()}
    return {**snapshot(conn), **regions, "reasons": reasons}


def assert_as_from_nothing(conn: Connection[Any], edit: str) -> None:
    """Assert that what triggers kept up equals deriving everything from nothing."""
    kept_up = everything(conn)
    assert kept_up["area"], edit
    accounting.derive_all(conn)
    close(kept_up, everything(conn))


def areas(conn: Connection[Any], code: str, land_class: str) -> dict[int, float]:
    """Cells of a class in a mine, by year."""
    rows = conn.execute(
        "select year, area_m2 from lode_api.damage_by_mine_year where mine_code = %s and land_class = %s"
        " and area_m2 is not null",
        (code, land_class),
    )
    return {year: round(area / CELL_M2, 3) for year, area in rows}


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


def calls(conn: Connection[Any], function: str) -> int:
    """How often this transaction called a function, after ``set local track_functions = 'pl'``."""
    row = conn.execute(
        "select calls from pg_stat_xact_user_functions where schemaname = 'lode_api' and funcname = %s",
        (function,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def test_labels_leave_the_year_map_alone(province: Connection[Any]) -> None:
    province.commit()
    province.execute("set local track_functions = 'pl'")
    add_label(province, 8, cells("xx", "x"), date(2021, 6, 1))
    assert calls(province, "derive_standing") == 1
    assert calls(province, "derive_ownership") == 0
    province.execute("update lode.run set priority = 1 where run_id = 1")
    assert calls(province, "derive_ownership") == 1


POLYGON = (
    "insert into lode.landcover (run_id, land_class_code, geom, area_m2, start_date, end_date)"
    " select {}, 6, geom, area_m2, start_date, end_date from lode.landcover where landcover_id = 1"
)
KEPT, ADDED, SEEN = (
    "its polygons stay as they were published",
    "no polygon is added",
    "what it observed stays",
)
REFUSED = [
    (POLYGON.format(1), f"run 1 is published: {ADDED}"),
    ("update lode.landcover set land_class_code = 1 where landcover_id = 1", KEPT),
    ("update lode.landcover set geom = st_translate(geom, 1, 1) where landcover_id = 1", KEPT),
    ("update lode.landcover set area_m2 = 2 * area_m2 where landcover_id = 1", KEPT),
    ("update lode.landcover set run_id = 2 where landcover_id = 1", KEPT),
    ("update lode.landcover set run_id = 5 where landcover_id = 1", KEPT),
    ("update lode.landcover set run_id = 2 where run_id = 5", KEPT),
    ("update lode.landcover set landcover_id = 1000 where landcover_id = 1", KEPT),
    ("update lode.landcover set start_date = '2020-01-01' where landcover_id = 1", KEPT),
    ("update lode.landcover set land_class_code = 1", KEPT),
    ("delete from lode.landcover where landcover_id = 1", KEPT),
    ("update lode.observation set geom = st_translate(geom, 1, 1) where run_id = 1", f"run 1: {SEEN}"),
    ("update lode.observation set year = 2020 where run_id = 1", SEEN),
    ("update lode.observation set area_m2 = 1 where run_id = 1", SEEN),
    ("update lode.observation set run_id = 5 where run_id = 1", SEEN),
    ("delete from lode.observation where run_id = 1", SEEN),
    (
        "update lode.run set status = 'published' where run_id = 5;"
        "insert into lode.observation (run_id, year, geom, area_m2) select 5, year, geom, area_m2"
        " from lode.observation where run_id = 1",
        SEEN,
    ),
    ("update lode.model set mapped_codes = '{0}' where name = 'net'", "model net: mapped_codes stays"),
    *(
        (
            f"update lode.run set is_current = false, status = '{status}', withdrawn_at = null,"
            " withdrawn_by = null, withdrawn_reason = null where run_id = 1",
            "run 1 is published: it can be published or withdrawn",
        )
        for status in ("requested", "running", "failed")
    ),
    *(
        (f"truncate lode.{table} cascade", "is not truncated")
        for table in (
            *("landcover", "observation", "run", "scene", "label", "mine", "model", "land_class", "sensor"),
        )
    ),
]


def unfinished_run(conn: Connection[Any], drawing: str) -> int:
    """A run whose worker failed after it had stored polygons, and that keeps them."""
    run = runs.request_run(conn, 1, add_model(conn, "unfinished"), {})
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    landcover.insert_landcover(conn, run.run_id, 2021, [(CODES["p"], ewkb(cells(drawing, "p")), None)])
    runs.fail_run(conn, claim, "out of memory")
    return run.run_id


def test_what_no_account_could_follow_is_refused(province: Connection[Any]) -> None:
    """Of published runs and of withdrawn ones, which can be reinstated; errors say what to do instead."""
    assert unfinished_run(province, "pp") == 5
    before = everything(province)
    for state in ("published", "withdrawn"):
        province.commit()
        for edit, said in REFUSED:
            with pytest.raises(errors.CheckViolation) as raised, province.transaction():
                province.execute(edit)
            assert said.replace("published:", f"{state}:") in str(raised.value), edit
            assert raised.value.diag.message_hint, edit
        if state == "published":
            assert before == everything(province)
            for run in (1, 2, 3, 4):
                runs.withdraw_run(province, run, "wrong")
    hint = raised.value.diag.message_hint
    assert hint is not None
    assert hint.endswith("delete from lode.scene where ...")


def test_what_has_not_been_published_can_be_cleaned_up(province: Connection[Any]) -> None:
    run = unfinished_run(province, "pp")
    province.execute(POLYGON.format(run))
    province.execute("update lode.landcover set land_class_code = 1 where run_id = %s", (run,))
    assert province.execute("delete from lode.landcover where run_id = %s", (run,)).rowcount == 2
    province.execute("delete from lode.run where run_id = %s", (run,))
    province.execute("update lode.model set mapped_codes = '{0}' where name = 'unfinished'")
    runs.withdraw_run(province, 2, "wrong")
    province.execute("delete from lode.run where run_id in (2, 3)")
    assert province.execute("select distinct run_id from lode.landcover order by 1").fetchall() == [
        (1,),
        (4,),
    ]
    assert_as_from_nothing(province, "deleted")


def test_a_run_of_another_network_looked_for_other_classes(province: Connection[Any]) -> None:
    other = add_model(province, "other", (0, 6))
    assert areas(province, "M1", "tailings_pond") == {2021: 0, 2022: 0, 2023: 0}
    province.execute("update lode.run set model_id = %s", (other,))
    assert areas(province, "M1", "tailings_pond") == {}
    assert_as_from_nothing(province, "another network")


def test_tables_without_accounts_may_be_emptied(conn: Connection[Any]) -> None:
    """A new database, a benchmark: scenes, mines and training labels, but nothing was interpreted."""
    add_mine(conn, "M1", cells("xx", "x"))
    add_scene(conn, "one", date(2021, 6, 1), cells("xx", "x"))
    add_label(conn, 6, cells("xx", "x"), date(2021, 6, 1))
    conn.commit()
    for table in ("scene", "mine", "label"):
        conn.execute(f"truncate lode.{table} cascade")
        assert conn.execute(f"select count(*) from lode.{table}").fetchone() == (0,)


def test_a_class_that_accounts_speak_of_stays(province: Connection[Any]) -> None:
    """Tailings ponds: none was found, and the accounts say 0 of them."""
    assert areas(province, "M1", "tailings_pond") == {2021: 0, 2022: 0, 2023: 0}
    with pytest.raises(errors.ForeignKeyViolation), province.transaction():
        province.execute("delete from lode.land_class where key = 'tailings_pond'")


def test_a_class_that_runs_looked_for_is_0_where_they_found_none(province: Connection[Any]) -> None:
    province.execute(
        "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour)"
        " values (42, 'leach_pad', 'Leach pad', 'x', 'occupied', '#010203')"
    )
    assert areas(province, "M1", "leach_pad") == {2021: 0, 2022: 0, 2023: 0}


def test_polygons_of_a_publication_cost_no_query_each(conn: Connection[Any]) -> None:
    """The run that the transaction holds is noted; rows of any other are looked at."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("xx", "x"))
    run = runs.request_run(conn, scene, add_model(conn, "net"), {})
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    conn.commit()
    polygons = [(6, ewkb(cells("x", "x")), 0.9)] * 50
    conn.execute("set local track_functions = 'pl'")
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(conn, run.run_id, 2021, polygons)
    assert (calls(conn, "note_publication"), calls(conn, "guard_landcover")) == (1, 0)
    runs.mark_published(conn, claim, figures={})
    with pytest.raises(errors.CheckViolation, match="no polygon is added"), conn.transaction():
        landcover.insert_landcover(conn, run.run_id, 2021, polygons)


INSERT = (
    "insert into lode.landcover (run_id, land_class_code, geom, area_m2, start_date, end_date)"
    " select 1, 6, st_geomfromewkb(%s), 1, '2021-01-01', '2022-01-01'"
)
FORGED = [
    INSERT,
    INSERT + " from (select set_config('lode.publishing', '1', true) as s offset 0) x where s = '1'",
    INSERT + " from (select setval('lode_api.publication', 1) as s offset 0) x where s = 1",
    INSERT + " from (select nextval('lode_api.publication') as s offset 0) x where s > 0",
]


def test_nobody_can_say_that_he_is_publishing_a_published_run(province: Connection[Any]) -> None:
    """A login that may insert polygons and nothing else, in the middle of its own statement."""
    assert unfinished_run(province, "pp") == 5
    province.commit()
    province.execute("create role polygon_writer")
    province.execute("grant usage on schema lode, lode_api to polygon_writer")
    province.execute("grant insert on lode.landcover to polygon_writer")
    province.execute("grant usage on all sequences in schema lode, lode_api to polygon_writer")
    province.execute("set role polygon_writer")
    ground = ewkb(cells("xx", "x"))
    said = r"no polygon is added|permission denied for sequence publication"
    refused = (errors.CheckViolation, errors.InsufficientPrivilege)
    for insert in FORGED:
        with pytest.raises(refused, match=said), province.transaction():
            province.execute(insert, (ground,))
    assert province.execute(INSERT.replace("select 1,", "select 5,"), (ground,)).rowcount == 1
    province.rollback()


def test_polygons_that_are_added_beside_the_publication_are_refused(
    conn: Connection[Any], database_url: str
) -> None:
    """Whoever adds them waits for the publication, and then they would come too late for the areas."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("xx", "x"))
    run = runs.request_run(conn, scene, add_model(conn, "net"), {})
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    conn.commit()
    runs.hold_for_publication(conn, claim)
    polygons = [(6, ewkb(cells("x", "x")), 0.9)]
    landcover.insert_landcover(conn, run.run_id, 2021, polygons)
    with connect(database_url) as other, ThreadPoolExecutor(1) as pool:
        late = pool.submit(landcover.insert_landcover, other, run.run_id, 2021, polygons)
        await_waiting(conn)
        landcover.insert_observation(conn, run.run_id, 2021, ewkb(cells("x", "x")))
        runs.mark_published(conn, claim, figures={})
        runs.make_current(conn, run.run_id)
        conn.commit()
        with pytest.raises(errors.CheckViolation, match="no polygon is added"):
            late.result(timeout=60)
    assert conn.execute("select count(*) from lode.landcover").fetchone() == (1,)


def await_waiting(conn: Connection[Any]) -> None:
    """Wait until some other session waits for a row of this one."""
    for _ in range(300):
        row = conn.execute("select count(*) from pg_locks where not granted").fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.1)
    raise AssertionError("nobody waits for the run that is being published")
