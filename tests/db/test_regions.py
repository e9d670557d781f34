"""Damage by region on ground that can be counted by hand, in mines and outside, cut at borders."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest
import shapely
from psycopg import Connection, errors

from db.connection import connect
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import CELL_M2, cells
from tests.regions import add_label, add_layer, add_region, derived

WHOLE = """
    xxxxxx
    xxxxxx
    xxxxxx
"""
WEST = "xxx...\nxxx...\nxxx..."
EAST = "...xxx\n...xxx\n...xxx"


def in_cells(area: float | None) -> float | None:
    return None if area is None else round(area / CELL_M2, 4)


def damage(conn: Connection[Any], column: str = "area_m2") -> dict[tuple[str, int, str], float | None]:
    """Area in cells by region, year and class, without the zero rows."""
    rows = conn.execute(f"select region_code, year, land_class, {column} from lode_api.damage_by_region_year")
    return {(code, year, name): in_cells(area) for code, year, name, area in rows if area is None or area > 0}


def series(conn: Connection[Any], code: str) -> list[tuple[Any, ...]]:
    """Year, active, newly, cumulative in cells, observed fraction."""
    rows = conn.execute(
        "select year, active_area_m2, newly_area_m2, cumulative_area_m2, observed_fraction"
        " from lode_api.active_newly_cumulative_by_region where region_code = %s order by year",
        (code,),
    )
    return [(year, *map(in_cells, areas), round(seen, 6)) for year, *areas, seen in rows]


def publish(conn: Connection[Any], year: int, drawing: str, model: int, month: int = 6) -> int:
    """Publish a drawing as a scene of its own; returns the scene."""
    scene = add_scene(conn, f"s{year}-{month}", date(year, month, 1), cells(WHOLE, "x"))
    publish_drawing(conn, scene, model, year, drawing)
    return scene


def test_mines_are_cut_at_the_border_and_ground_outside_counts(conn: Connection[Any]) -> None:
    """Water is damage in mines only; a pit outside every mine is the region's; each border cuts."""
    add_region(conn, "county", "W", cells(WEST, "x"))
    add_region(conn, "county", "E", cells(EAST, "x"))
    add_region(conn, "province", "P", cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("......\n.xxxx.\n......", "x"))
    publish(conn, 2021, "ppbwii\nwppwdb\nvvdd..", add_model(conn, "net"))
    assert damage(conn, "in_mine_area_m2") == {
        ("W", 2021, "open_pit"): 2,
        ("E", 2021, "water"): 1,
        ("E", 2021, "dump"): 1,
        ("P", 2021, "open_pit"): 2,
        ("P", 2021, "water"): 1,
        ("P", 2021, "dump"): 1,
    }
    assert damage(conn, "outside_mine_area_m2") == {
        ("W", 2021, "open_pit"): 2,
        ("W", 2021, "dump"): 1,
        ("E", 2021, "dump"): 1,
        ("P", 2021, "open_pit"): 2,
        ("P", 2021, "dump"): 2,
    }
    assert damage(conn)["P", 2021, "open_pit"] == 4
    assert damage(conn, "mine_count") == {
        key: pytest.approx(1 / CELL_M2, abs=1e-4) for key in damage(conn, "in_mine_area_m2")
    }
    rows = conn.execute(
        "select distinct region_code, round(observed_fraction::numeric, 6)"
        " from lode_api.damage_by_region_year"
    ).fetchall()
    assert {code: float(seen) for code, seen in rows} == {
        "W": 1,
        "E": pytest.approx(7 / 9, abs=1e-6),
        "P": pytest.approx(16 / 18, abs=1e-6),
    }


def test_a_region_that_a_mine_only_touches_has_no_part_of_it(conn: Connection[Any]) -> None:
    add_region(conn, "county", "W", cells(WEST, "x"))
    add_region(conn, "county", "E", cells(EAST, "x"))
    add_mine(conn, "M1", cells("......\n...xx.\n......", "x"))
    publish(conn, 2021, "ppvvvv\nvvvppv\nvvvvvv", add_model(conn, "net"))
    rows = conn.execute("select region_code from lode_api.mine_in_region where mine_code = 'M1'").fetchall()
    assert rows == [("E",)]
    assert damage(conn, "in_mine_area_m2") == {("E", 2021, "open_pit"): 2}


def test_ground_of_overlapping_mines_counts_once(conn: Connection[Any]) -> None:
    """A region's total is the union; what each mine does to protected ground stands in a row of its own."""
    add_layer(conn, "red_line", is_protected=True)
    add_region(conn, "red_line", "R", cells("..xx..", "x"))
    add_region(conn, "county", "C", cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("xxxx..", "x"))
    add_mine(conn, "M2", cells("...xxx", "x"))
    publish(conn, 2021, "ppppdd", add_model(conn, "net"))
    assert damage(conn) == {
        ("C", 2021, "open_pit"): 4,
        ("C", 2021, "dump"): 2,
        ("R", 2021, "open_pit"): 2,
    }
    rows = conn.execute(
        "select layer, region_code, mine_code, year, land_class, kind, area_m2, share_of_mine_damage,"
        " share_of_region from lode_api.sensitive_overlap order by mine_code"
    ).fetchall()
    assert [(*row[:6], in_cells(row[6]), round(row[7], 6), round(row[8], 6)) for row in rows] == [
        ("red_line", "R", "M1", 2021, "open_pit", "excavated", 2, 0.5, 1),
        ("red_line", "R", "M2", 2021, "open_pit", "excavated", 1, round(1 / 3, 6), 0.5),
    ]


def test_what_an_interpreter_drew_counts_wherever_it_lies(conn: Connection[Any]) -> None:
    """A label decides over the run; outside mines every damage of his counts but water."""
    add_region(conn, "county", "C", cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("x.....", "x"))
    day = date(2021, 7, 1)
    publish(conn, 2021, "pppp..\nbbbb..", add_model(conn, "net"))
    add_label(conn, 5, day, cells(".x....", "x"))
    add_label(conn, 2, day, cells("..x...", "x"))
    add_label(conn, 4, day, cells("......\n....x.", "x"))
    add_label(conn, 8, day, cells("x.....\n.x....", "x"), is_counted=False)
    add_label(conn, 6, day, cells("......\n......\nxxx...", "x"), is_counted=False)
    assert damage(conn) == {
        ("C", 2021, "open_pit"): 1,
        ("C", 2021, "dump"): 1,
        ("C", 2021, "industrial_square"): 1,
        ("C", 2021, "subsidence"): 2,
    }
    assert damage(conn, "interpreted_area_m2") == {
        ("C", 2021, "dump"): 1,
        ("C", 2021, "industrial_square"): 1,
        ("C", 2021, "subsidence"): 2,
    }
    assert series(conn, "C") == [(2021, 5, 5, 5, 0.5)]  # eight cells seen by the run, one by him alone


def test_what_was_not_seen_is_null_with_a_reason(conn: Connection[Any]) -> None:
    """Not observed is neither zero nor undamaged."""
    add_region(conn, "county", "C", cells(WEST, "x"))
    add_region(conn, "county", "far", cells("......" * 6 + "xx", "x"))
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(WHOLE, "x"))
    add_scene(conn, "two", date(2022, 6, 1), cells(WHOLE, "x"))
    publish_drawing(conn, scene, add_model(conn, "net", (0, 6)), 2021, "bb....\nbb....")
    add_label(conn, 5, date(2023, 6, 1), cells("x.....", "x"))
    rows = conn.execute(
        "select region_code, year, land_class, area_m2, reason from lode_api.damage_by_region_year"
        " where land_class in ('open_pit', 'dump') order by 1, 2, 3 desc"
    ).fetchall()
    nobody = "a scene of this year covers a part of it, but no current run observed it"
    nothing = "no scene of this year covers any of it"
    drawn = "only what interpreters drew is known: no current run observed it"
    assert [(*row[:3], in_cells(row[3]), row[4]) for row in rows] == [
        ("C", 2021, "open_pit", 0, None),
        ("C", 2021, "dump", None, "the models of this year do not map this class"),
        ("C", 2022, "open_pit", None, nobody),
        ("C", 2022, "dump", None, nobody),
        ("C", 2023, "open_pit", None, drawn),
        ("C", 2023, "dump", 1, None),
        *[("far", year, name, None, nothing) for year in (2021, 2022, 2023) for name in ("open_pit", "dump")],
    ]
    assert series(conn, "C") == [
        (2021, 0, 0, 0, round(4 / 9, 6)),
        (2022, None, None, 0, 0),
        (2023, 1, 1, 1, round(1 / 9, 6)),
    ]
    assert series(conn, "far") == [(year, None, None, None, 0) for year in (2021, 2022, 2023)]


def test_newly_and_cumulative_ground_counts_once_over_all_years(conn: Connection[Any]) -> None:
    """In mines, in mines on the border and outside; an earlier year that comes late is earlier still."""
    add_region(conn, "county", "W", cells(WEST, "x"))
    add_region(conn, "province", "P", cells(WHOLE, "x"))
    add_mine(conn, "M1", cells("xx....", "x"))
    add_mine(conn, "M2", cells(".xxxx.", "x"))
    model = add_model(conn, "net")
    publish(conn, 2022, "bppppb\nppbbbb\nbbbbbb", model)
    publish(conn, 2023, "ppbbbb\nbpdbbb\nbbbbbd", model)
    assert series(conn, "P") == [(2022, 6, 6, 6, 1), (2023, 5, 3, 9, 1)]
    assert series(conn, "W") == [(2022, 4, 4, 4, 1), (2023, 4, 2, 6, 1)]
    publish(conn, 2021, "pbbbbb\nbppbbb\nbbbbbb", model)
    assert series(conn, "P") == [(2021, 3, 3, 3, 1), (2022, 6, 5, 8, 1), (2023, 5, 1, 9, 1)]
    assert series(conn, "W") == [(2021, 3, 3, 3, 1), (2022, 4, 3, 6, 1), (2023, 4, 0, 6, 1)]


def test_a_region_of_many_vertices_is_not_cut_where_it_is_divided(conn: Connection[Any]) -> None:
    """Mines that span its parts lie wholly inside; areas are those of the plain outline."""
    plain = cells(WHOLE, "x")
    dense = shapely.MultiPolygon(list(shapely.get_parts(shapely.segmentize(plain, 0.00001))))
    add_region(conn, "county", "dense", dense)
    add_region(conn, "province", "plain", plain)
    parts = conn.execute(
        "select count(*) from lode.region_part group by region_id order by region_id"
    ).fetchall()
    assert parts[0][0] > 4
    assert parts[1] == (1,)
    add_mine(conn, "M1", cells("......\n.xxxx.", "x"))
    publish(conn, 2021, "pppppp\npppppp\ndddddd", add_model(conn, "net"))
    assert conn.execute("select bool_and(is_whole) from lode.region_mine").fetchone() == (True,)
    found = damage(conn)
    assert found == {
        (code, 2021, name): area
        for code in ("dense", "plain")
        for name, area in (("open_pit", 12), ("dump", 6))
    }
    assert series(conn, "dense") == series(conn, "plain") == [(2021, 18, 18, 18, 1)]


def test_a_region_that_comes_late_holds_the_same(conn: Connection[Any]) -> None:
    """Before or after the runs: the same totals; what is deleted is gone."""
    model = add_model(conn, "net")
    add_region(conn, "county", "early", cells(WEST, "x"))
    add_mine(conn, "M1", cells("..xx..\n..xx..", "x"))
    publish(conn, 2021, "pppppp\nbbddii\n", model)
    publish(conn, 2022, "ppppww\nbbbbii\n", model)
    late = add_region(conn, "county", "late", cells(WEST, "x"))
    rows = (
        "select land_class, year, area_m2, observed_fraction, mine_count from lode_api.damage_by_region_year"
    )
    early = conn.execute(f"{rows} where region_code = 'early' order by 1, 2").fetchall()
    assert early == conn.execute(f"{rows} where region_code = 'late' order by 1, 2").fetchall()
    assert any(row[2] for row in early)
    conn.execute("delete from lode.region where region_id = %s", (late,))
    assert {code for code, _year, _class in damage(conn)} == {"early"}
    assert conn.execute("select count(distinct region_id) from lode.region_year").fetchone() == (1,)


def test_a_scene_costs_only_the_regions_it_meets(conn: Connection[Any]) -> None:
    """Rows of regions elsewhere are not written again, and the province's only where it was touched."""
    model = add_model(conn, "net")
    for code, drawing in (("W", WEST), ("E", EAST)):
        add_region(conn, "county", code, cells(drawing, "x"))
        add_mine(conn, f"M{code}", cells(drawing.replace("xxx", "xx."), "x"))
    west = add_scene(conn, "west", date(2021, 6, 1), cells("xx....", "x"))
    east = add_scene(conn, "east", date(2021, 6, 1), cells("....xx", "x"))
    publish_drawing(conn, east, model, 2021, "....pp")
    kept = "select region_year_id from lode.region_year join lode.region using (region_id) where code = 'E'"
    before = conn.execute(kept).fetchall()
    pieces = conn.execute("select outside_piece_id from lode.outside_piece").fetchall()
    publish_drawing(conn, west, model, 2021, "pp....")
    assert conn.execute(kept).fetchall() == before != []
    assert pieces
    assert set(pieces) <= set(conn.execute("select outside_piece_id from lode.outside_piece"))


def test_a_region_does_not_go_while_areas_are_derived(conn: Connection[Any], database_url: str) -> None:
    """Rows written for it meanwhile would make a publication fail."""
    add_region(conn, "county", "C", cells(WEST, "x"))
    conn.commit()
    with connect(database_url) as publishing:
        publishing.execute("select lode_api.lock_accounts()")
        conn.execute("set local lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):
            conn.execute("delete from lode.region")
        conn.rollback()
    conn.execute("delete from lode.region_layer")
    assert conn.execute("select count(*) from lode.region").fetchone() == (0,)


def random_ground(generator: random.Random, letters: str, *, rows: int = 3, columns: int = 6) -> str:
    return "\n".join("".join(generator.choice(letters) for _ in range(columns)) for _ in range(rows))


def places(drawing: str, letters: str) -> list[tuple[int, int]]:
    """Row and column of the cells that hold one of the letters."""
    return [
        (row, column)
        for row, line in enumerate(drawing.splitlines())
        for column, letter in enumerate(line)
        if letter in letters
    ]


def ground_of(found: set[tuple[int, int]]) -> shapely.MultiPolygon:
    """The cells at these rows and columns of a drawing of three by six."""
    lines = ("".join("x" if (row, column) in found else "." for column in range(6)) for row in range(3))
    return cells("\n".join(lines), "x")


def random_shape(generator: random.Random) -> shapely.MultiPolygon:
    """Some cells, never none."""
    drawing = random_ground(generator, "x..")
    return cells(drawing if "x" in drawing else "x", "x")


@pytest.mark.parametrize("seed", range(3))
def test_areas_are_those_of_counted_cells(conn: Connection[Any], seed: int) -> None:
    """Random ground, mines and a region; every number again by counting cells."""
    generator = random.Random(100 + seed)
    inside = set(places(random_ground(generator, "xxx."), "x"))
    mines = [places(random_ground(generator, "x..."), "x") for _ in range(3)]
    in_mine = {place for mine in mines for place in mine}
    add_region(conn, "county", "C", ground_of(inside))
    for number, mine in enumerate(mines):
        add_mine(conn, f"M{number}", ground_of(set(mine)))
    model = add_model(conn, "net")
    seen_before: set[tuple[int, int]] = set()
    wanted: dict[tuple[str, int, str], float] = {}
    rows = []
    for year in (2021, 2022, 2023):
        drawing = random_ground(generator, "pdwibv.")
        publish(conn, year, drawing, model)
        damaged: set[tuple[int, int]] = set()
        for letter, name in (
            ("p", "open_pit"),
            ("d", "dump"),
            ("w", "water"),
            ("i", "industrial_square"),
        ):
            found = set(places(drawing, letter)) & inside
            found = found if letter in "pd" else found & in_mine
            damaged |= found
            if found:
                wanted["C", year, name] = len(found)
        newly = damaged - seen_before
        seen_before |= damaged
        observed = inside & set(places(drawing, "pdwibv"))
        share = round(len(observed) / len(inside), 6)
        rows.append((year, len(damaged), len(newly), len(seen_before), pytest.approx(share, abs=2e-6)))
    assert damage(conn) == wanted
    assert series(conn, "C") == rows


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_the_same_as_from_nothing(conn: Connection[Any], seed: int) -> None:
    """Random edits of runs, scenes, labels, mines and regions; then everything derived from nothing."""
    generator = random.Random(seed)
    model = add_model(conn, "net")
    mines = [add_mine(conn, f"M{number}", random_shape(generator)) for number in range(3)]
    regions = [add_region(conn, "county", f"R{number}", random_shape(generator)) for number in range(3)]
    regions.append(add_region(conn, "province", "P", cells(WHOLE, "x")))
    scenes = [
        publish(conn, year, random_ground(generator, "pdwbi."), model, month)
        for year, month in ((2021, 5), (2021, 8), (2022, 5), (2023, 6))
    ]
    labels = [
        add_label(conn, generator.choice((5, 6, 8, 9)), date(2022, 1, 1), random_shape(generator))
        for _ in range(2)
    ]
    ground = {"mine": ("boundary", mines), "region": ("geom", regions), "label": ("geom", labels)}
    for _step in range(12):
        kind = generator.choice(("mine", "region", "label", "label", "scene", "priority", "year", "counted"))
        if kind in ground:
            column, keys = ground[kind]
            conn.execute(
                f"update lode.{kind} set {column} = %s::geometry where {kind}_id = %s",
                (ewkb(random_shape(generator)).hex(), generator.choice(keys)),
            )
        elif kind == "scene":
            conn.execute(
                "update lode.scene set superseded_by = case when superseded_by is null then %s::integer end"
                " where scene_id = %s",
                (scenes[0], generator.choice(scenes[1:])),
            )
        elif kind == "priority":
            conn.execute(
                "update lode.run set priority = %s where scene_id = %s",
                (generator.randint(0, 3), generator.choice(scenes)),
            )
        elif kind == "year":
            conn.execute(
                "update lode.label set valid_on = %s where label_id = %s",
                (date(generator.choice((2021, 2022, 2024)), 3, 1), generator.choice(labels)),
            )
        else:
            conn.execute(
                "update lode.label set is_counted = not is_counted where label_id = %s",
                (generator.choice(labels),),
            )
    conn.execute("delete from lode.mine where mine_id = %s", (mines[0],))
    conn.execute("delete from lode.run where scene_id = %s", (scenes[2],))
    conn.execute("delete from lode.label where label_id = %s", (labels[0],))
    kept_up = derived(conn)
    conn.execute("select lode_api.derive_all()")
    from_nothing = derived(conn)
    for name, rows in from_nothing.items():
        assert kept_up[name] == [
            tuple(value if value is None else pytest.approx(value, rel=1e-9, abs=1e-3) for value in row)
            for row in rows
        ], name
    assert from_nothing["outside"]
    assert from_nothing["year"]
