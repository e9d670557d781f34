"""Edits beside a publication or beside each other: who comes second sees what the first did."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, errors

from db import landcover, runs
from db.connection import connect
from db.errors import UsageError
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import cells
from tests.overlapping_mines import areas, assert_as_from_nothing
from tests.regions import add_region
from tests.support import await_waiting

GROUND = "xxxxxxxxxx"
ALL = (*range(8), 42)


@pytest.fixture
def mine(conn: Connection[Any]) -> Connection[Any]:
    """A mine with a published year of bare vegetation and the scene of another year, committed."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    first = add_scene(conn, "first", date(2021, 6, 1), cells(GROUND, "x"))
    publish_drawing(conn, first, add_model(conn, "net", ALL), 2021, "vvvvvvvvvv")
    add_scene(conn, "second", date(2022, 6, 1), cells(GROUND, "x"))
    conn.commit()
    return conn


def scene_of(conn: Connection[Any], product: str) -> int:
    row = conn.execute("select scene_id from lode.scene where product = %s", (product,)).fetchone()
    assert row is not None
    return int(row[0])


def patient(url: str) -> Connection[Any]:
    """Another session; it waits for some seconds, so that a test that fails also ends."""
    other = connect(url)
    other.execute("set lock_timeout = '20s'")
    other.commit()
    return other


def beside(conn: Connection[Any], url: str, waits: Callable[[Connection[Any]], object]) -> None:
    """Do this in another session, which has to wait for what this one did; commit this one, then it."""
    with patient(url) as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waits, other)
        await_waiting(conn)
        conn.commit()
        waiting.result(timeout=60)
        other.commit()


def test_the_first_publication_sees_what_its_network_maps(mine: Connection[Any], database_url: str) -> None:
    """The classes of a network without runs are corrected beside its first publication."""
    model = add_model(mine, "late", (0, 1))
    scene = scene_of(mine, "second")
    mine.commit()
    mine.execute("update lode.model set mapped_codes = '{0,1,2,3,4,5,6,7}' where model_id = %s", (model,))
    beside(mine, database_url, lambda other: publish_drawing(other, scene, model, 2022, "vvvvvvvvvv"))
    assert areas(mine, "M1", "open_pit") == {2021: 0, 2022: 0}
    assert_as_from_nothing(mine, "published second")


def test_the_classes_of_a_network_stay_once_it_is_being_published(
    mine: Connection[Any], database_url: str
) -> None:
    model = add_model(mine, "late", (0, 1))
    scene = scene_of(mine, "second")
    mine.commit()
    publish_drawing(mine, scene, model, 2022, "vvvvvvvvvv")
    with pytest.raises(errors.CheckViolation, match="mapped_codes stays as it was trained"):
        beside(
            mine,
            database_url,
            lambda other: other.execute(
                "update lode.model set mapped_codes = '{0,1,6}' where model_id = %s", (model,)
            ),
        )
    assert areas(mine, "M1", "open_pit") == {2021: 0}


LEACH_PAD = (
    "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, colour)"
    " values (42, 'leach_pad', 'Leach pad', 'x', 'occupied', '#010203')"
)


def test_a_class_that_comes_beside_a_publication(mine: Connection[Any], database_url: str) -> None:
    """The network that is being published for the first time looked for it, and found none."""
    mine.execute("update lode.run set is_current = false")  # no other run looked for it
    model = add_model(mine, "late", ALL)
    mine.commit()
    publish_drawing(mine, scene_of(mine, "second"), model, 2022, "vvvvvvvvvv")
    beside(mine, database_url, lambda other: other.execute(LEACH_PAD))
    assert areas(mine, "M1", "leach_pad") == {2022: 0}
    assert_as_from_nothing(mine, "class came second")


def label(conn: Connection[Any]) -> None:
    """A training label over two cells: it counts where networks do not map its class."""
    add_label(conn, 6, cells("..xx......", "x"), date(2021, 7, 1))


def test_a_label_beside_a_class_that_networks_no_longer_map(mine: Connection[Any], database_url: str) -> None:
    mine.execute("update lode.land_class set is_mapped = false where land_class_code = 6")
    beside(mine, database_url, label)
    assert areas(mine, "M1", "open_pit") == {2021: 2}
    assert_as_from_nothing(mine, "label came second")


def test_a_class_that_networks_no_longer_map_beside_a_label(mine: Connection[Any], database_url: str) -> None:
    label(mine)
    edit = "update lode.land_class set is_mapped = false where land_class_code = 6"
    beside(mine, database_url, lambda other: other.execute(edit))
    assert areas(mine, "M1", "open_pit") == {2021: 2}
    assert_as_from_nothing(mine, "class came second")


def test_a_training_label_does_not_wait_for_a_publication(mine: Connection[Any], database_url: str) -> None:
    with connect(database_url) as publishing:
        publishing.execute("select lode_api.lock_accounts()")
        mine.execute("set local lock_timeout = '200ms'")
        label(mine)
        with pytest.raises(errors.LockNotAvailable):
            add_label(mine, 6, cells("..xx......", "x"), date(2021, 7, 1), is_counted=True)
        mine.rollback()


def test_the_code_and_the_outline_of_a_region_in_one_transaction(
    mine: Connection[Any], database_url: str
) -> None:
    """As GIS clients save them: the region's row is locked by the first, areas derived by the second."""
    add_region(mine, "county", "all", cells(GROUND, "x"))
    mine.commit()
    mine.execute("update lode.region set code = code || 'x'")
    with patient(database_url) as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(publish_drawing, other, scene_of(mine, "second"), 1, 2022, "ppvvvvvvvv")
        await_waiting(mine)
        mine.execute("update lode.region set geom = st_translate(geom, 0.0001, 0)")
        mine.commit()
        waiting.result(timeout=60)
        other.commit()
    assert areas(mine, "M1", "open_pit") == {2021: 0, 2022: 2}
    assert_as_from_nothing(mine, "published second")


def test_a_run_that_is_deleted_while_it_is_published(mine: Connection[Any], database_url: str) -> None:
    """The one waits for the run's row, the other for the accounting lock: one gives way, and is told why."""
    scene = scene_of(mine, "second")
    run = runs.request_interpretation(mine, scene, 1)
    claim = runs.claim_run(mine, run.run_id, device="drawn", versions={})
    mine.commit()
    runs.hold_for_publication(mine, claim)
    landcover.insert_landcover(mine, run.run_id, 2022, [(1, ewkb(cells(GROUND, "x")), 0.9)])
    landcover.insert_observation(mine, run.run_id, 2022, ewkb(cells(GROUND, "x")))
    runs.mark_published(mine, claim, figures={})
    delete = "delete from lode.run where scene_id = %s"
    with patient(database_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute("set deadlock_timeout = '60s'")  # it looked before there was a circle
        waiting = pool.submit(other.execute, delete, (scene,))
        await_waiting(mine)
        with pytest.raises(UsageError, match=f"run {run.run_id} is being deleted by somebody who waits"):
            runs.make_current(mine, run.run_id)
        mine.rollback()
        assert waiting.result(timeout=60).rowcount == 1
        other.commit()
    assert areas(mine, "M1", "open_pit") == {2021: 0}


def test_a_run_that_is_preferred_is_not_locked_before_areas_may_be_derived(
    mine: Connection[Any], database_url: str
) -> None:
    """Who derives may want its row: to let it stand for its scene, or to delete it."""
    newer = runs.request_interpretation(mine, scene_of(mine, "first"), add_model(mine, "newer"))
    claim = runs.claim_run(mine, newer.run_id, device="drawn", versions={})
    runs.hold_for_publication(mine, claim)
    landcover.insert_landcover(mine, newer.run_id, 2021, [(6, ewkb(cells(GROUND, "x")), 0.9)])
    landcover.insert_observation(mine, newer.run_id, 2021, ewkb(cells(GROUND, "x")))
    runs.mark_published(mine, claim, figures={})
    mine.commit()
    with connect(database_url) as holder:
        holder.execute("select lode_api.lock_accounts()")
        with patient(database_url) as other, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(runs.set_priority, other, 1, 1)
            await_waiting(holder)
            mine.execute("set local lock_timeout = '200ms'")
            mine.execute("select from lode.run for update")  # no row is locked by who waits
            mine.rollback()
            holder.rollback()
            waiting.result(timeout=60)
            other.commit()
    runs.make_current(mine, newer.run_id)
    assert areas(mine, "M1", "open_pit") == {2021: 10}


@pytest.mark.parametrize(
    "choice",
    [
        lambda conn, run: runs.withdraw_run(conn, run, "another reason"),
        lambda conn, run: runs.make_current(conn, run),
    ],
    ids=["withdraw", "make current"],
)
def test_a_choice_beside_a_withdrawal(
    mine: Connection[Any], database_url: str, choice: Callable[[Connection[Any], int], object]
) -> None:
    """Who waits for the withdrawal finds the run withdrawn, as if it had come later."""
    scene = scene_of(mine, "first")
    run = publish_drawing(mine, scene, add_model(mine, "other", ALL), 2021, "pppvvvvvvv", current=False)
    mine.commit()
    runs.withdraw_run(mine, run, "clouds")
    with pytest.raises(UsageError, match=f"run {run} is withdrawn; only a published run can"):
        beside(mine, database_url, lambda other: choice(other, run))
    found = mine.execute("select withdrawn_reason, is_current from lode.run where run_id = %s", (run,))
    assert found.fetchone() == ("clouds", False)
