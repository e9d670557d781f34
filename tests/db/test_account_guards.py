"""Edits by hand that no account could follow are refused; what has not been published may be cleaned up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, errors

from db import landcover, runs
from db.connection import connect
from tests.catalogue_rows import (
    CODES,
    add_label,
    add_mine,
    add_model,
    add_scene,
    ewkb,
)
from tests.grids import cells
from tests.overlapping_mines import (
    add_overlapping_mines,
    areas,
    assert_as_from_nothing,
    calls,
    everything,
)
from tests.support import await_waiting

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


@pytest.fixture
def province(conn: Connection[Any]) -> Connection[Any]:
    add_overlapping_mines(conn)
    return conn


def unfinished_run(conn: Connection[Any], drawing: str) -> int:
    """A run whose worker failed after it had stored polygons, and that keeps them."""
    run = runs.request_interpretation(conn, 1, add_model(conn, "unfinished"))
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


def test_polygons_of_a_publication_cost_no_query_each(conn: Connection[Any]) -> None:
    """The run that the transaction holds is noted; rows of any other are looked at."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("xx", "x"))
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
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
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
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
