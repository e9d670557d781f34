"""What a year could not judge is not compared: classes its network does not map, thin or unseen years."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db import accounting, runs
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, publish_drawing
from tests.grids import CELL_M2, cells

GROUND = "xxxxxxxxxx"
SUBSIDENCE, TREATED = 8, 9
ALL = tuple(range(8))
WITHOUT_PIT = (0, 1, 2, 5)


def publish(conn: Connection[Any], year: int, drawing: str, codes: tuple[int, ...] = ALL) -> int:
    """One scene of a year and its run by a network that maps these classes."""
    scene = add_scene(conn, f"scene {year}", date(year, 6, 1), cells(GROUND, "x"))
    return publish_drawing(conn, scene, add_model(conn, f"net {year}", codes), year, drawing)


def change(conn: Connection[Any], pair: tuple[int, int], kind: str = "any") -> tuple[float, ...]:
    """New, treated, persisting and unobserved cells of M1."""
    row = conn.execute(
        "select new_area_m2, treated_area_m2, persisting_area_m2, unobserved_area_m2"
        " from lode_api.change_by_mine_year where mine_code = 'M1' and (from_year, to_year) = (%s, %s)"
        " and kind = %s",
        (*pair, kind),
    ).fetchone()
    assert row is not None
    return tuple(round(value / CELL_M2, 3) for value in row)


def kinds(conn: Connection[Any], pair: tuple[int, int]) -> set[str]:
    """Kinds whose change is known."""
    rows = conn.execute(
        "select kind from lode_api.change_by_mine_year where (from_year, to_year) = (%s, %s)", pair
    )
    return {kind for (kind,) in rows}


def polygons(conn: Connection[Any], to_year: int) -> dict[str, float]:
    """Cells of the change layer by what changed."""
    rows = conn.execute(
        "select change, sum(area_m2) from lode.damage_change where to_year = %s group by 1", (to_year,)
    )
    return {name: round(area / CELL_M2, 3) for name, area in rows}


def patches(conn: Connection[Any]) -> dict[str, tuple[bool, int, float]]:
    """Code: whether new, when last seen, cells still damaged."""
    rows = conn.execute("select code, is_new, last_seen_year, damaged_area_m2 from lode.damage_patch")
    return {code: (is_new, year, round(area / CELL_M2, 3)) for code, is_new, year, area in rows}


def test_a_network_that_does_not_map_a_class_treats_none_of_it(conn: Connection[Any]) -> None:
    """Pit of 2021 that the network of 2022 cannot name is not treated; the dump, which it can, is."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "pppddvvvvv")
    publish(conn, 2022, "vvvvdvvvvv", WITHOUT_PIT)
    assert change(conn, (2021, 2022)) == (0, 1, 1, 3)
    assert change(conn, (2021, 2022), "excavated") == (0, 0, 0, 3)
    assert polygons(conn, 2022) == {"treated": 1, "persisting": 1}
    row = conn.execute(
        "select treated_area_m2, restoration_rate, reason from lode_api.restoration_rate where year = 2022"
    ).fetchone()
    assert row is not None
    assert row[0] / CELL_M2 == pytest.approx(1, abs=1e-3)
    assert row[1] == pytest.approx(1 / 5, abs=1e-3)
    assert row[2].startswith("at least; ")
    assert patches(conn)["M1-2021-E1"] == (False, 2021, 3)


def test_a_class_that_nobody_looked_for_before_is_not_new(conn: Connection[Any]) -> None:
    """The pit of 2022 may be old; once a network that maps pits has read 2021's scene, it is new."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "vvvdvvvvvv", WITHOUT_PIT)
    publish(conn, 2022, "ppvddvvvvv")
    assert change(conn, (2021, 2022)) == (1, 0, 1, 2)
    assert polygons(conn, 2022) == {"new": 1, "persisting": 1}
    assert patches(conn)["M1-2022-E1"][0] is False
    assert patches(conn)["M1-2022-O1"][0] is True
    scene = conn.execute("select scene_id from lode.scene where product = 'scene 2021'").fetchone()
    assert scene is not None
    better = publish_drawing(conn, scene[0], add_model(conn, "whole"), 2021, "pvvdvvvvvv", current=False)
    runs.make_current(conn, better)
    assert change(conn, (2021, 2022)) == (2, 0, 2, 0)
    assert patches(conn)["M1-2022-E1"][0] is True


def test_subsidence_that_is_not_drawn_again_is_not_treated(conn: Connection[Any]) -> None:
    """Nobody looked for it; drawn elsewhere in the mine, or drawn as treated, somebody did."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    for year in (2021, 2022, 2023, 2024):
        publish(conn, year, "vvvvvvvvvv")
    add_label(conn, SUBSIDENCE, cells("xxx.......", "x"), date(2022, 7, 1))
    assert change(conn, (2021, 2022), "subsided") == (3, 0, 0, 0)  # drawn for the first time: new
    assert kinds(conn, (2022, 2023)) == {"any", "excavated", "occupied"}
    assert change(conn, (2022, 2023)) == (0, 0, 0, 3)
    add_label(conn, SUBSIDENCE, cells("xx........", "x"), date(2023, 7, 1))
    assert change(conn, (2022, 2023), "subsided") == (0, 1, 2, 0)
    treated_class = conn.execute(
        "select min(land_class_code) from lode.land_class where damage_kind = 'treated'"
    ).fetchone()
    assert treated_class is not None
    add_label(conn, treated_class[0], cells("x.........", "x"), date(2024, 7, 1))
    assert change(conn, (2023, 2024), "subsided") == change(conn, (2023, 2024)) == (0, 1, 0, 1)


def test_a_thin_year_hides_no_change(conn: Connection[Any]) -> None:
    """A sliver of 2022 stands between 2021 and 2023: they are compared with each other as well."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "ppvvvvvvvv")
    publish(conn, 2022, "pv........")
    publish(conn, 2023, "pvvvdddvvv")
    rows = conn.execute(
        "select from_year, to_year, is_consecutive, is_bridging from lode.mine_pair order by 1, 2"
    ).fetchall()
    assert rows == [(2021, 2022, True, False), (2021, 2023, False, True), (2022, 2023, True, False)]
    assert change(conn, (2021, 2023)) == (3, 1, 1, 0)
    assert polygons(conn, 2022) == {"treated": 1, "persisting": 1}
    assert polygons(conn, 2023) == {"new": 3, "treated": 1, "persisting": 1}
    assert patches(conn)["M1-2023-O1"] == (True, 2023, 3)


def test_one_label_of_a_year_between_hides_no_change(conn: Connection[Any]) -> None:
    """The same when all that is known of the year between is a label."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "ppvvvvvvvv")
    add_label(conn, SUBSIDENCE, cells(".........x", "x"), date(2022, 7, 1))
    publish(conn, 2023, "ppppvvvvvv")
    assert change(conn, (2021, 2023)) == (2, 0, 2, 0)


def test_damage_that_a_year_did_not_see_comes_back(conn: Connection[Any]) -> None:
    """Cloud over the pit in 2022: in 2023 it is seen again, and still damaged."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "pppvvvvvvv")
    publish(conn, 2022, "...vvvvvvv")
    assert patches(conn) == {"M1-2021-E1": (False, 2021, 3)}
    publish(conn, 2023, "ppvvvvvvvv")
    assert patches(conn) == {"M1-2021-E1": (False, 2023, 2)}
    publish(conn, 2024, "...vvvvvvv")
    assert patches(conn) == {"M1-2021-E1": (False, 2023, 2)}
    accounting.derive_all(conn)
    assert patches(conn) == {"M1-2021-E1": (False, 2023, 2)}


def test_damage_that_an_interpreter_saw_has_the_day_of_the_label(conn: Connection[Any]) -> None:
    """Not that of the scene beneath it."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "vvvvvvppvv")
    add_label(conn, SUBSIDENCE, cells("xx........", "x"), date(2021, 3, 9))
    rows = conn.execute("select code, first_damaged_on from lode.damage_patch order by code").fetchall()
    assert rows == [("M1-2021-E1", date(2021, 6, 1)), ("M1-2021-S1", date(2021, 3, 9))]


def test_a_year_that_looked_for_no_damage_hides_no_change(conn: Connection[Any]) -> None:
    """A network without any damage class between two that have them: they are compared across it."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "vvvvvvvddd")
    publish(conn, 2022, "vvvvvvvvvv", (0, 1))
    publish(conn, 2023, "pppvvvvvvv")
    assert kinds(conn, (2021, 2022)) == kinds(conn, (2022, 2023)) == set()
    assert change(conn, (2021, 2023)) == (3, 3, 0, 0)
    assert polygons(conn, 2023) == {"new": 3, "treated": 3}


def test_damage_first_seen_in_a_thin_year_is_in_the_map_of_the_next(conn: Connection[Any]) -> None:
    """Between 2021 and 2023 it is new, and the layer of 2023 shows it as the account counts it."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "vvvvvvvvvv")
    publish(conn, 2022, "pp........")
    publish(conn, 2023, "ppvvvvdvvv")
    assert change(conn, (2021, 2023)) == (3, 0, 0, 0)
    assert polygons(conn, 2023) == {"new": 3}


def test_another_class_that_nobody_looked_for_makes_no_patch_old(conn: Connection[Any]) -> None:
    """2021 could not see ponds, but dumps: the dump of 2022 is new, the pond's age is unknown."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    publish(conn, 2021, "vvvvvvvvvv", tuple(range(7)))
    publish(conn, 2022, "ddvvvvttvv")
    rows = conn.execute("select st_xmin(geom), is_new from lode.damage_patch order by 1").fetchall()
    assert [is_new for _west, is_new in rows] == [True, False]


def test_zero_says_when_a_part_was_not_judged(conn: Connection[Any]) -> None:
    """The left half by a network without damage, the right by a whole one: 0 is the least it can be."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    conn.execute("update lode.mine set licence_boundary = boundary")
    for name, codes, drawing in (("left", (0, 1), "vvvvv....."), ("right", ALL, ".....vvvvv")):
        scene = add_scene(conn, name, date(2022, 6, 1), cells(GROUND, "x"))
        publish_drawing(conn, scene, add_model(conn, name, codes), 2022, drawing)
    rows = conn.execute(
        "select distinct area_m2, observed_fraction > 0.999, reason from lode_api.damage_by_mine_year"
    ).fetchall()
    assert rows == [(0.0, True, "at least; the models of a part do not map this class")]
    found = conn.execute("select finding, reason from lode_api.outside_licence_by_mine_year").fetchall()
    assert found == [("none found", "the models of this year do not map every class of damage")]
