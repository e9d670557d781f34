"""The same publications in another order give the same figures to the bit and the same outlines to the byte.

Scenes see ground of many small polygons; mines, a licence and regions cut them askew. Each time the runs are
published in another order and their polygons stored in another order. In between, some publications are
rolled back and some runs are withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

from db import accounting, landcover, runs
from db.connection import connect
from tests.catalogue_rows import CODES, add_label, add_mine, add_model, add_scene, ewkb
from tests.drawn_years import area_of, drawing
from tests.grids import cells
from tests.regions import add_layer, add_region

ROWS, COLUMNS = 6, 8
YEARS = (2021, 2022, 2023)
SCENES_A_YEAR = 3
ORDERS = 3

FIGURES = (
    "active_newly_cumulative",
    "active_newly_cumulative_by_region",
    "active_newly_cumulative_by_year",
    "change_by_mine_year",
    "change_by_year",
    "damage_alert",
    "damage_by_mine_year",
    "damage_by_region_year",
    "damage_by_year",
    "evidence_by_label",
    "mine_in_region",
    "mine_ranking",
    "mine_summary",
    "outside_licence",
    "outside_licence_by_mine_year",
    "region_summary",
    "restoration_rate",
    "sensitive_overlap",
    "transition_by_mine_year",
)
KEYS = ("ogc_fid", "run_ids", "first_raised_at", "updated_at")
"""What the database counts up or stamps."""

GROUND = {
    "owned": "select s.product, o.owned_area_m2, st_asewkb(o.owned) from lode.observation o"
    " join lode.run r on r.run_id = o.run_id and r.is_current join lode.scene s on s.scene_id = r.scene_id",
    "damage": "select mine_id, year, damage_kind, area_m2, st_asewkb(geom) from lode.mine_damage",
    "patches": "select code, area_m2, damaged_area_m2, last_seen_on, st_asewkb(geom) from lode.damage_patch",
    "change": "select code, from_year, to_year, change, area_m2, st_asewkb(geom) from lode.damage_change",
    "outside": "select year, land_class_code, label_id, area_m2, newly_area_m2, st_asewkb(geom),"
    " st_asewkb(newly_geom) from lode.outside_piece",
    "years": "select mine_id, year, observed_area_m2, exclusive_observed_area_m2, interpreted_area_m2,"
    " newly_area_m2, cumulative_area_m2, unobserved_damage_area_m2, exclusive_newly_area_m2,"
    " exclusive_cumulative_area_m2, st_asewkb(blind_geom) from lode.mine_year",
    "areas": "select y.mine_id, y.year, a.land_class_code, a.area_m2, a.judged_area_m2, a.unlicensed_area_m2,"
    " a.mean_probability from lode.mine_area a join lode.mine_year y using (mine_year_id)",
    "maps of small scale": "select s.product, g.zoom, g.land_class_code, g.area_m2, g.mean_probability,"
    " st_asewkb(g.geom) from lode.landcover_general g join lode.run r on r.run_id = g.run_id and r.is_current"
    " join lode.scene s on s.scene_id = r.scene_id",
    "alerts": "select mine_id, kind, to_year, area_m2, confidence, st_asewkb(geom) from lode.alert"
    " where is_current",
}


@dataclass(frozen=True)
class Publication:
    """A run that is to be published; one of another model may be published before it, and withdrawn."""

    scene_id: int
    model_id: int
    withdrawn_model_id: int
    year: int
    polygons: tuple[tuple[int, bytes, float], ...]
    footprint: bytes


def askew(*corners: tuple[float, float]) -> shapely.MultiPolygon:
    """A polygon whose corners are given in rows and columns of the grid; no edge follows a cell's."""
    (west, south, east, north) = cells("\n".join(["x" * COLUMNS] * ROWS), "x").bounds
    ring = [
        (west + column / COLUMNS * (east - west), north - row / ROWS * (north - south))
        for row, column in corners
    ]
    return shapely.MultiPolygon([shapely.Polygon(ring)])


def prepared(conn: Connection[Any], seed: int) -> list[Publication]:
    """Mines, regions, labels and scenes; the publications to come, in the order of their scenes."""
    random = np.random.default_rng(seed)
    add_mine(conn, "M0", askew((0.3, 0.2), (0.4, 5.3), (4.2, 5.6), (5.7, 2.1), (3.1, 0.4)))
    add_mine(conn, "M1", askew((1.1, 3.7), (0.2, 7.7), (4.6, 7.6), (5.2, 4.4)))
    conn.execute(
        "update lode.mine set licence_boundary = %s::geometry where code = 'M0'",
        (ewkb(askew((0.6, 0.9), (0.5, 3.9), (3.8, 4.1), (4.4, 1.3))).hex(),),
    )
    add_region(conn, "county", "W", askew((-1, -1), (-1, 4.3), (7, 3.2), (7, -1)))
    add_region(conn, "county", "E", askew((-1, 4.3), (-1, 9), (7, 9), (7, 3.2)))
    add_layer(conn, "farmland", is_protected=True)
    add_region(conn, "farmland", "F", askew((2.2, 1.7), (1.4, 6.1), (5.1, 6.8), (4.9, 2.3)))
    add_label(conn, 8, askew((1.2, 2.2), (1.3, 4.4), (2.8, 4.7), (2.6, 2.1)), date(2022, 3, 1))
    add_label(conn, 10, askew((2.3, 1.2), (2.2, 3.1), (4.1, 3.4), (3.9, 1.1)), date(2023, 3, 1))
    add_label(conn, 9, askew((2.4, 3.0), (2.2, 5.2), (3.7, 5.4), (3.8, 2.9)), date(2023, 4, 1))
    conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")
    conn.execute("update lode.alert_rule set threshold_m2 = 5000 where threshold_m2 is not null")
    models = add_model(conn, "all"), add_model(conn, "few", (0, 1, 2, 3, 4, 6)), add_model(conn, "withdrawn")
    return [
        publication(conn, random, models, year, number) for year in YEARS for number in range(SCENES_A_YEAR)
    ]


def publication(
    conn: Connection[Any], random: np.random.Generator, models: tuple[int, int, int], year: int, number: int
) -> Publication:
    """A scene, and what its run is to publish: each connected patch a polygon."""
    all_codes, few_codes, withdrawn = models
    is_few = year == YEARS[1] and number == 0
    codes = random.integers(0, 5 if is_few else 8, (ROWS, COLUMNS))
    codes[random.random((ROWS, COLUMNS)) < 0.2] = -1
    codes[:, random.integers(0, COLUMNS)] = -1
    text = drawing(codes, (0, 0))
    letters = [letter for letter in CODES if letter in text]
    polygons = tuple(
        (CODES[letter], ewkb(shapely.MultiPolygon([part])), float(random.random()))
        for letter in letters
        for part in cells(text, letter).geoms
    )
    day = date(year, int(random.integers(1, 13)), int(random.integers(1, 29)))
    scene = add_scene(conn, f"s{year}-{number}", day, area_of(np.ones((ROWS, COLUMNS), np.bool_), (0, 0)))
    return Publication(
        scene,
        few_codes if is_few else all_codes,
        withdrawn,
        year,
        polygons,
        ewkb(cells(text, "".join(letters))),
    )


def publish(conn: Connection[Any], wanted: Publication, polygons: Sequence[tuple[int, bytes, float]]) -> int:
    """Publish a run, its polygons in the order given; returns its key."""
    run = runs.request_interpretation(conn, wanted.scene_id, wanted.model_id)
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(conn, run.run_id, wanted.year, polygons)
    landcover.insert_observation(conn, run.run_id, wanted.year, wanted.footprint)
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    return run.run_id


def publish_all(conn: Connection[Any], wanted: Sequence[Publication], random: np.random.Generator) -> None:
    """Publish runs in a random order, and between them some that are rolled back or withdrawn."""

    def mixed(one: Publication) -> list[tuple[int, bytes, float]]:
        return [one.polygons[place] for place in random.permutation(len(one.polygons))]

    waiting = [wanted[place] for place in random.permutation(len(wanted))]
    withdrawn = set()
    while waiting:
        other = waiting[int(random.integers(len(waiting)))]
        chance = random.random()
        if chance < 0.4:
            conn.execute("savepoint before")
            publish(conn, other, mixed(other))
            conn.execute("rollback to savepoint before")
        elif chance < 0.7 and other.scene_id not in withdrawn:
            gone = publish(conn, replace(other, model_id=other.withdrawn_model_id), mixed(other))
            conn.execute(
                "update lode.run set is_current = false, status = 'withdrawn' where run_id = %s", (gone,)
            )
            withdrawn.add(other.scene_id)
        one = waiting.pop()
        publish(conn, one, mixed(one))


def content(conn: Connection[Any]) -> dict[str, list[str]]:
    """Every figure with all its digits, every outline byte for byte; rows in one order."""
    found = {}
    for view in FIGURES:
        rows = conn.execute(f"select (to_jsonb(v) - %s::text[])::text from lode_api.{view} v", (list(KEYS),))
        found[view] = sorted(row[0] for row in rows)
    for name, query in GROUND.items():
        found[name] = sorted(map(repr, conn.execute(query)))
    return found


def assert_same(found: dict[str, list[str]], expected: dict[str, list[str]]) -> None:
    for name, rows in expected.items():
        assert rows, f"{name}: nothing to compare"
        assert found[name] == rows, name


@pytest.fixture
def wanted(conn: Connection[Any]) -> list[Publication]:
    made = prepared(conn, 7)
    conn.commit()
    return made


def test_figures_do_not_depend_on_the_order_of_publications(
    conn: Connection[Any], database_url: str, wanted: list[Publication]
) -> None:
    for one in wanted:
        publish(conn, one, one.polygons)
    expected = content(conn)
    conn.rollback()
    for order in range(ORDERS):
        publish_all(conn, wanted, np.random.default_rng(order))
        assert_same(content(conn), expected)
        accounting.derive_all(conn)
        assert_same(content(conn), expected)
        if order < ORDERS - 1:
            conn.rollback()
    conn.commit()
    with connect(database_url, autocommit=True) as other:
        other.execute("vacuum")  # what is stored next fills the room that the others left
    accounting.refresh_all(database_url, jobs=2)
    assert_same(content(conn), expected)
