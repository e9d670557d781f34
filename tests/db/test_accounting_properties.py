"""Random years of ground: areas and change equal a count of cells; whatever is edited, triggers follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection

from db import accounting
from tests.catalogue_rows import add_label
from tests.drawn_years import (
    COLUMNS,
    DAMAGE,
    NOT_SEEN,
    ROWS,
    World,
    area_of,
    cells_within,
    in_cells,
    random_label,
    random_mask,
    random_seen,
    store,
    store_seen,
)

WORLDS = 8
YEARS = (2021, 2022, 2023)


def corner(number: int) -> tuple[int, int]:
    return number % 4 * (ROWS + 2), number // 4 * (COLUMNS + 2)


def random_world(random: np.random.Generator, name: str) -> World:
    world = World()
    for number in range(2):
        world.mines[f"{name}-M{number}"] = random_mask(random)
    for year in YEARS:
        scenes = [random_seen(random, year) for _ in range(int(random.integers(0, 3)))]
        world.scenes += [seen for seen in scenes if (seen.codes != NOT_SEEN).any()]
        if random.random() < 0.6:
            world.labels.append(random_label(random, year))
    return world


def stored_worlds(conn: Connection[Any], seed: int) -> list[World]:
    random = np.random.default_rng(seed)
    worlds = [random_world(random, f"W{number}") for number in range(WORLDS)]
    for number, world in enumerate(worlds):
        store(conn, world, f"W{number}", corner(number))
    return worlds


def mapped_areas(conn: Connection[Any]) -> dict[tuple[str, int, int], float]:
    rows = conn.execute(
        "select m.code, y.year, a.land_class_code, a.area_m2 from lode.mine_area a"
        " join lode.mine_year y using (mine_year_id) join lode.mine m using (mine_id) where a.area_m2 > 0"
    )
    return {(code, year, land_class): in_cells(area) for code, year, land_class, area in rows}


def test_areas_and_transitions_equal_a_count_of_cells(conn: Connection[Any]) -> None:
    worlds = stored_worlds(conn, 11)
    expected: dict[tuple[str, int, int], int] = {}
    moved: dict[tuple[str, int, int, int, int], int] = {}
    for world in worlds:
        expected |= world.areas()
        moved |= world.transitions()
    assert len(expected) > 100
    found_areas = mapped_areas(conn)
    assert found_areas.keys() ^ expected.keys() == set()
    assert found_areas == pytest.approx(expected, abs=2e-3)
    rows = conn.execute(
        "select m.code, p.from_year, p.to_year, t.from_class_code, t.to_class_code, t.area_m2"
        " from lode.mine_transition t join lode.mine_pair p using (mine_pair_id)"
        " join lode.mine m using (mine_id)"
    )
    found = {tuple(row[:5]): in_cells(row[5]) for row in rows}
    assert len(moved) > 60
    assert found.keys() ^ moved.keys() == set()
    assert found == pytest.approx(moved, abs=2e-3)


def test_damage_follows_from_new_and_treated(conn: Connection[Any]) -> None:
    """damage(y) = damage(y-1) + new - treated over what both years saw, and by kind with conversions."""
    worlds = stored_worlds(conn, 12)
    expected: dict[tuple[str, int, int, str], list[int]] = {}
    for world in worlds:
        for (code, before, after, was, is_now), count in world.transitions().items():
            for kind in ("any", "excavated", "occupied", "subsided"):
                had = was in DAMAGE and kind in ("any", DAMAGE[was])
                has = is_now in DAMAGE and kind in ("any", DAMAGE[is_now])
                new = has and was not in DAMAGE
                treated = had and is_now not in DAMAGE
                sums = expected.setdefault((code, before, after, kind), [0] * 4)
                for place, holds in enumerate((had, has, new, treated)):
                    sums[place] += count * holds
    rows = conn.execute(
        "select m.code, c.from_year, c.to_year, c.damage_kind, c.new_area_m2, c.treated_area_m2,"
        " c.persisting_area_m2, c.converted_from_area_m2, c.converted_to_area_m2, c.unobserved_area_m2,"
        " p.observed_area_m2, y.boundary_area_m2"
        " from lode.mine_change c join lode.mine_pair p using (mine_pair_id)"
        " join lode.mine m on m.mine_id = c.mine_id"
        " join lode.mine_year y on y.mine_id = m.mine_id and y.year = c.to_year"
    ).fetchall()
    assert len(rows) > 30
    for code, before, after, kind, *areas in rows:
        new, treated, kept, converted_from, converted_to, unobserved, observed, whole = map(in_cells, areas)
        had, has, is_new, is_treated = expected.get((code, before, after, kind), [0] * 4)
        assert (new, treated) == pytest.approx((is_new, is_treated), abs=2e-3)
        assert had + new - treated + converted_from - converted_to == pytest.approx(has, abs=2e-3)
        assert kept + treated + converted_to == pytest.approx(had, abs=2e-3)
        assert observed + unobserved == pytest.approx(whole, abs=2e-3)


def test_patches_partition_what_was_ever_damaged(conn: Connection[Any]) -> None:
    """Cumulative counts ground once, new is what no year saw damaged before; codes are distinct."""
    worlds = stored_worlds(conn, 13)
    for world in worlds:
        for code, inside in world.mines.items():
            ever = np.zeros((ROWS, COLUMNS), np.bool_)
            for year in world.years():
                ground = world.year_map(year)
                if not (inside & (ground != NOT_SEEN)).any():
                    continue
                damaged = inside & np.isin(ground, list(DAMAGE))
                row = conn.execute(
                    "select newly_area_m2, cumulative_area_m2, unobserved_damage_area_m2"
                    " from lode.mine_year y join lode.mine m using (mine_id)"
                    " where m.code = %s and y.year = %s",
                    (code, year),
                ).fetchone()
                assert row is not None
                assert in_cells(row[0]) == pytest.approx((damaged & ~ever).sum(), abs=2e-3)
                ever |= damaged
                assert in_cells(row[1]) == pytest.approx(ever.sum(), abs=2e-3)
                unseen = ever & ~world.judged(inside, year)
                assert in_cells(row[2]) == pytest.approx(unseen.sum(), abs=2e-3)
    overlap = conn.execute(
        "select count(*) from lode.damage_patch a join lode.damage_patch b on a.mine_id = b.mine_id"
        " and a.damage_patch_id < b.damage_patch_id"
        " and st_area(st_intersection(a.geom, b.geom)::geography) > 0.1"
    ).fetchone()
    assert overlap == (0,)


def test_change_polygons_add_up_to_the_change(conn: Connection[Any]) -> None:
    """Area of the layer's polygons by mine, years and change equals the row of the account."""
    stored_worlds(conn, 14)
    rows = conn.execute(
        "select m.new_area_m2, m.treated_area_m2, m.persisting_area_m2,"
        " sum(d.area_m2) filter (where d.change = 'new'), sum(d.area_m2) filter (where d.change = 'treated'),"
        " sum(d.area_m2) filter (where d.change = 'persisting')"
        " from lode.mine_change m join lode.mine_pair p using (mine_pair_id)"
        " left join lode.damage_change d"
        "   on (d.mine_id, d.from_year, d.to_year) = (m.mine_id, m.from_year, m.to_year)"
        " where m.damage_kind = 'any' and (p.is_bridging or p.is_consecutive and not exists ("
        "   select from lode.mine_pair o"
        "   where (o.mine_id, o.to_year) = (p.mine_id, p.to_year) and o.is_bridging))"
        " group by m.mine_change_id"
    ).fetchall()
    assert len(rows) > 8
    assert sum(row[0] for row in rows) > 0
    for row in rows:
        assert [value or 0.0 for value in row[3:]] == pytest.approx(row[:3], abs=1.0)


def test_patches_tell_what_became_of_them(conn: Connection[Any]) -> None:
    """Last seen and still damaged: over years that did not see a patch, or could not judge it, as well."""
    worlds = stored_worlds(conn, 15)
    years_unseen = 0
    for number, world in enumerate(worlds):
        for code, inside in world.mines.items():
            years = world.seen_years(inside)
            damaged = {year: inside & np.isin(world.year_map(year), list(DAMAGE)) for year in years}
            rows = conn.execute(
                "select p.code, p.geom, p.first_year, p.last_seen_year, p.damaged_area_m2, p.is_new"
                " from lode.damage_patch p join lode.mine m using (mine_id) where m.code = %s",
                (code,),
            ).fetchall()
            for patch, geom, first_year, last_year, area, is_new in rows:
                mask = cells_within(shapely.from_wkb(geom), corner(number))
                since = [year for year in years if year >= first_year]
                shares = {year: 2 * (mask & damaged[year]).sum() / mask.sum() for year in since}
                if 1 not in shares.values():  # just half is a matter of rounding
                    assert last_year == max(year for year in since if shares[year] > 1), patch
                saw = [year for year in since if (mask & (world.judged(inside, year) | damaged[year])).any()]
                years_unseen += len(since) - len(saw)
                assert in_cells(area) == pytest.approx((mask & damaged[saw[-1]]).sum(), abs=2e-3), patch
                before = [world.year_map(year)[mask] for year in years if year < first_year]
                if all((ground == NOT_SEEN).all() for ground in before):
                    assert not is_new, patch
    assert years_unseen > 3


SNAPSHOTS = {
    "owned": "select r.run_id, o.owned_area_m2 from lode.observation o join lode.run r using (run_id)",
    "year": "select m.code, y.year, y.observed_area_m2, y.interpreted_area_m2, y.newly_area_m2,"
    " y.cumulative_area_m2, y.exclusive_cumulative_area_m2, y.unobserved_damage_area_m2, y.run_ids,"
    " y.first_acquired_on, y.last_acquired_on, st_area(y.blind_geom::geography)"
    " from lode.mine_year y join lode.mine m using (mine_id)",
    "area": "select m.code, y.year, a.land_class_code, a.area_m2, a.exclusive_area_m2, a.interpreted_area_m2,"
    " a.unlicensed_area_m2 from lode.mine_area a join lode.mine_year y using (mine_year_id)"
    " join lode.mine m using (mine_id)",
    "change": "select m.code, c.from_year, c.to_year, c.damage_kind, c.new_area_m2, c.treated_area_m2,"
    " c.persisting_area_m2, c.unobserved_area_m2, c.exclusive_new_area_m2, p.is_consecutive, p.is_bridging,"
    " st_area(p.blind_geom::geography) from lode.mine_change c join lode.mine_pair p using (mine_pair_id)"
    " join lode.mine m on m.mine_id = c.mine_id",
    "transition": "select m.code, p.from_year, p.to_year, p.is_consecutive, t.from_class_code,"
    " t.to_class_code, t.area_m2, t.exclusive_area_m2"
    " from lode.mine_transition t join lode.mine_pair p using (mine_pair_id)"
    " join lode.mine m using (mine_id)",
    "patch": "select code, area_m2, damaged_area_m2, first_damaged_on, last_seen_on, is_new"
    " from lode.damage_patch",
    "polygons": "select code, from_year, to_year, change, area_m2, last_seen_on from lode.damage_change",
    "outside": "select year, land_class_code, run_id, label_id, landcover_id, area_m2, newly_area_m2"
    " from lode.outside_piece",
    "regions": "select region_code, year, land_class, area_m2, in_mine_area_m2, observed_fraction"
    " from lode_api.damage_by_region_year",
    "alerts": "select mine_code, kind, year, level, area_m2, confidence, state from lode_api.damage_alert",
}


def snapshot(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Every derived table, areas rounded to 0.01 m2, in one order."""
    found = {}
    for name, query in SNAPSHOTS.items():
        rows = [
            tuple(round(value, 2) + 0.0 if isinstance(value, float) else value for value in row)
            for row in conn.execute(query)
        ]
        found[name] = sorted(rows, key=repr)
    return found


def close(one: dict[str, list[tuple[Any, ...]]], other: dict[str, list[tuple[Any, ...]]]) -> None:
    """Assert that two snapshots are the same, areas to 0.02 m2."""
    for name, rows in one.items():
        assert len(rows) == len(other[name]), name
        for left, right in zip(rows, other[name], strict=True):
            for was, is_now in zip(left, right, strict=True):
                if isinstance(was, float) and isinstance(is_now, float):
                    assert was == pytest.approx(is_now, abs=0.03), (name, left, right)
                else:
                    assert was == is_now, (name, left, right)


def edit(conn: Connection[Any], random: np.random.Generator, place: tuple[int, int], step: int) -> str:
    """One random edit of the kinds that users make; says which."""

    def one(query: str) -> Any:
        rows = conn.execute(query).fetchall()
        return rows[int(random.integers(len(rows)))][0] if rows else None

    kind = str(
        random.choice(["publish", "withdraw", "supersede", "mine", "label", "remove", "priority", "cloud"])
    )
    year = int(random.choice(YEARS))
    run = one("select run_id from lode.run where is_current order by run_id")
    if kind == "publish":
        store_seen(conn, random_seen(random, year), f"E{step}", place)
    elif kind == "withdraw":
        conn.execute("update lode.run set is_current = false, status = 'withdrawn' where run_id = %s", (run,))
    elif kind == "supersede":
        scenes = [r[0] for r in conn.execute("select scene_id from lode.scene order by scene_id")]
        conn.execute("update lode.scene set superseded_by = %s where scene_id = %s", (scenes[-1], scenes[0]))
    elif kind == "mine":
        mine = one("select mine_id from lode.mine order by mine_id")
        shape = area_of(random_mask(random), place).wkt
        conn.execute(
            "update lode.mine set boundary = st_geomfromtext(%s, 4326) where mine_id = %s", (shape, mine)
        )
    elif kind == "label":
        label = random_label(random, year)
        add_label(conn, 6, area_of(label.mask, place), label.valid_on, is_counted=bool(random.random() < 0.8))
    elif kind == "remove":
        conn.execute(
            "delete from lode.label where label_id = %s",
            (one("select label_id from lode.label order by label_id"),),
        )
    elif kind == "priority":
        conn.execute("update lode.run set priority = priority + 1 where run_id = %s", (run,))
    else:
        conn.execute(
            "update lode.scene set cloud_fraction = 0.5 where scene_id = (select scene_id from lode.run"
            " where run_id = %s)",
            (run,),
        )
    return kind


@pytest.mark.parametrize("seed", [22, 24, 25, 26])
def test_whatever_is_edited_equals_deriving_from_nothing(
    conn: Connection[Any], database_url: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    place = (1, 1)
    world = random_world(random, "W")
    store(conn, world, "W", place)
    conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")
    conn.execute("insert into lode.region_layer (key, name) values ('county', 'Counties')")
    for number in range(2):
        conn.execute(
            "insert into lode.region (region_layer_id, code, name, geom) select region_layer_id, %s, %s,"
            " st_geomfromtext(%s, 4326) from lode.region_layer",
            (f"R{number}", f"R{number}", area_of(random_mask(random), place).wkt),
        )
    done = [edit(conn, random, place, step) for step in range(14)]
    kept_up = snapshot(conn)
    assert kept_up["change"], done
    accounting.derive_all(conn)
    close(kept_up, snapshot(conn))
    conn.commit()
    assert accounting.refresh_all(database_url, jobs=2) == len(world.mines)
    close(kept_up, snapshot(conn))
