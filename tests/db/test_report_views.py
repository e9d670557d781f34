"""The views of reports on ground that can be counted by hand; areas in cells."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import CELL_M2, cells
from tests.regions import add_region

WHOLE = "xxxxxx\nxxxxxx\nxxxxxx"
SUBSIDENCE, TREATED_PIT = 8, 9


def add_year(conn: Connection[Any], year: int, drawing: str, *, footprint: str = WHOLE, day: int = 1) -> int:
    """A scene of the year and its current run by a network that maps what networks can."""
    known = conn.execute("select model_id from lode.model where name = 'net'").fetchone()
    model_id = known[0] if known else add_model(conn, "net")
    scene_id = add_scene(conn, f"{year}-{day}", date(year, 6, day), cells(footprint, "x"))
    return publish_drawing(conn, scene_id, model_id, year, drawing)


def add_label(conn: Connection[Any], class_code: int, drawing: str, year: int, counted: bool = False) -> int:
    row = conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, interpreter, is_counted)"
        " values (%s, %s::geometry, %s, 'Li', %s) returning label_id",
        (class_code, ewkb(cells(drawing, "x")).hex(), date(year, 7, 1), counted),
    ).fetchone()
    assert row is not None
    return int(row[0])


def in_cells(value: Any) -> Any:
    """Areas in cells, other values as they are."""
    return round(value / CELL_M2, 3) if isinstance(value, float) else value


def read(conn: Connection[Any], columns: str, view: str, where: str = "true") -> list[tuple[Any, ...]]:
    rows = conn.execute(f"select {columns} from lode_api.{view} where {where} order by ogc_fid").fetchall()
    return [tuple(in_cells(value) for value in row) for row in rows]


def test_damage_that_only_interpreters_know_has_rows_where_they_drew_it(conn: Connection[Any]) -> None:
    """Subsidence takes ground from the network's map, is marked as interpreted, and has no zero rows."""
    add_mine(conn, "M1", cells("xxxxxx", "x"))
    add_mine(conn, "M2", cells("......\nxxxxxx", "x"))
    add_year(conn, 2021, "pppvvv\nvvvvvv\nvvvvvv")
    add_label(conn, SUBSIDENCE, "..xx..", 2021)
    columns = "mine_code, land_class, kind, area_m2, interpreted_area_m2, is_interpreted"
    assert read(conn, columns, "damage_by_mine_year", "area_m2 > 0") == [
        ("M1", "open_pit", "excavated", 2, 0, False),
        ("M1", "subsidence", "subsided", 2, 2, True),
    ]
    assert read(conn, "mine_code", "damage_by_mine_year", "kind = 'subsided'") == [("M1",)]
    assert read(conn, "land_class, area_m2, is_interpreted", "damage_by_year", "area_m2 > 0") == [
        ("open_pit", 2, False),
        ("subsidence", 2, True),
    ]


def test_a_class_that_an_interpreter_decides_is_counted_apart(conn: Connection[Any]) -> None:
    """A counted label of a mapped class: in area_m2, and again in interpreted_area_m2."""
    add_mine(conn, "M1", cells("xxxxxx", "x"))
    add_year(conn, 2021, "pppvvv")
    add_label(conn, 6, "..xx..", 2021, counted=True)
    columns = "area_m2, interpreted_area_m2, is_interpreted, reason"
    assert read(conn, columns, "damage_by_mine_year", "land_class = 'open_pit'") == [(4, 2, False, None)]


def test_every_gap_has_its_own_reason(conn: Connection[Any]) -> None:
    """What was not observed, wholly or in part, is never passed over, and says why."""
    mines = {
        "M0": "x",
        "M1": ".x\n.x",
        "M2": "..x",
        "M3": "...xx",
        "M4": "....x",
        "M5": "......x",
        "M6": "........x",
        "M7": "........xx",
    }
    for code, drawing in mines.items():
        add_mine(conn, code, cells(drawing, "x"))
    add_year(conn, 2021, "pb.b", footprint="xxxx")  # the third cell lies under cloud
    add_scene(conn, "waiting", date(2021, 8, 1), cells("....x", "x"))
    add_label(conn, SUBSIDENCE, "........x", 2021)
    rows = conn.execute(
        "select mine_code, round(observed_fraction::numeric, 3)::float, reason from lode_api.data_gap"
        " order by ogc_fid"
    ).fetchall()
    assert rows == [
        ("M1", 0.5, "the rest is under cloud or outside the scenes"),
        ("M2", 0.0, "scenes of this year cover it, but only cloud or nodata was seen there"),
        ("M3", 0.5, "a part was not observed; a scene that no current run interpreted covers the mine"),
        ("M4", 0.0, "a scene of this year covers it, but no current run observed it"),
        ("M5", 0.0, "no scene of this year covers it"),
        ("M7", 0.5, "only what interpreters drew is known: no current run observed it"),
    ]
    assert read(conn, "boundary_area_m2, unobserved_area_m2", "data_gap", "mine_code = 'M3'") == [(2, 1)]
    damage = conn.execute(
        "select mine_code, area_m2, reason from lode_api.damage_by_mine_year"
        " where land_class = 'open_pit' and mine_code in ('M2', 'M3', 'M6') order by ogc_fid"
    ).fetchall()
    assert damage == [
        ("M2", None, rows[1][2]),
        ("M3", 0.0, None),
        ("M6", None, "only what interpreters drew is known: no current run observed it"),
    ]


def test_change_of_a_mine_by_kind(conn: Connection[Any]) -> None:
    """Each kind of change on one row of ground: what is new, treated, kept, converted, and not seen."""
    add_mine(conn, "M1", cells(WHOLE, "x"))
    add_year(conn, 2021, "pppddv\npdvvvv\nvvvvvv")
    add_year(conn, 2022, "pdvdpw\nvdivvv\nvvvvv.")
    add_label(conn, TREATED_PIT, "......\nx.....", 2022)
    columns = (
        "kind, new_area_m2, treated_area_m2, persisting_area_m2, converted_from_area_m2,"
        " converted_to_area_m2, interpreted_treated_area_m2, net_area_m2, damage_from_area_m2,"
        " damage_to_area_m2, unobserved_area_m2, is_consecutive"
    )
    assert read(conn, columns, "change_by_mine_year") == [
        ("any", 2, 2, 5, 0, 0, 1, 0, 7, 7, 1, True),
        ("excavated", 1, 2, 1, 1, 1, 1, -1, 4, 3, 1, True),
        ("occupied", 1, 0, 2, 1, 1, 0, 1, 3, 4, 1, True),
    ]
    fractions = conn.execute("select distinct observed_fraction from lode_api.change_by_mine_year").fetchall()
    assert fractions[0][0] == pytest.approx(17 / 18, rel=1e-6)


def test_change_of_a_year_counts_shared_ground_once(conn: Connection[Any]) -> None:
    """Two mines claim the same new pit; a kind nobody looked for is null, not zero."""
    add_mine(conn, "M1", cells("xxxx", "x"))
    add_mine(conn, "M2", cells("..xxxx", "x"))
    add_mine(conn, "M3", cells("......xx", "x"))  # never observed
    add_year(conn, 2021, "vvvvdd")
    add_year(conn, 2022, "vpppdv")
    columns = (
        "kind, new_area_m2, new_share, treated_area_m2, treated_share, net_area_m2, mine_count,"
        " observed_fraction"
    )
    rows = conn.execute(f"select {columns} from lode_api.change_by_year order by ogc_fid").fetchall()
    found = {
        kind: [in_cells(new), share, in_cells(treated), part] for kind, new, share, treated, part, *_ in rows
    }
    assert found == {
        "any": [3, 1, 1, 1],
        "excavated": [3, 1, 0, 0],
        "occupied": [0, 0, 1, 1],
        "subsided": [None, None, None, None],
    }
    assert [in_cells(row[5]) for row in rows] == [2, 3, -1, None]
    assert {row[6] for row in rows} == {2}
    assert [row[7] for row in rows] == pytest.approx([6 / 8] * 4, rel=1e-6)
    assert read(conn, "mine_code, new_area_m2", "change_by_mine_year", "kind = 'any'") == [
        ("M1", 3),
        ("M2", 2),
    ]


def test_transitions_fill_what_both_years_saw(conn: Connection[Any]) -> None:
    """Cells of the matrix, and shares that add up to one."""
    add_mine(conn, "M1", cells("xxxxxx", "x"))
    add_year(conn, 2021, "ppddvv")
    add_year(conn, 2022, "pdddp.")
    rows = read(conn, "from_class, to_class, to_class_name_zh, area_m2", "transition_by_mine_year")
    assert sorted(rows) == [
        ("dump", "dump", "堆放场", 2),
        ("open_pit", "dump", "堆放场", 1),
        ("open_pit", "open_pit", "露天采场", 1),
        ("vegetation", "open_pit", "露天采场", 1),
    ]
    shares = conn.execute("select sum(share), max(share) from lode_api.transition_by_mine_year").fetchone()
    assert shares == pytest.approx((1, 2 / 5), rel=1e-6)


def test_active_newly_and_cumulative_series(conn: Connection[Any]) -> None:
    """Cumulative never falls, not even in a year that saw nothing; ground damaged twice counts once."""
    add_mine(conn, "M1", cells("xxxx", "x"))
    add_mine(conn, "M2", cells("..xxxx", "x"))
    add_year(conn, 2020, "vvvv", footprint="xxxx")
    add_year(conn, 2021, "ppvvvv")
    add_year(conn, 2022, "vpdvvd")
    add_scene(conn, "2023", date(2023, 6, 1), cells(WHOLE, "x"))
    add_year(conn, 2024, "pvdddd")
    columns = "mine_code, year, active_area_m2, newly_area_m2, cumulative_area_m2"
    assert read(conn, columns, "active_newly_cumulative") == [
        ("M1", 2020, 0, 0, 0),
        ("M1", 2021, 2, 2, 2),
        ("M1", 2022, 2, 1, 3),
        ("M1", 2023, None, None, 3),
        ("M1", 2024, 3, 1, 4),
        ("M2", 2020, 0, 0, 0),
        ("M2", 2021, 0, 0, 0),
        ("M2", 2022, 2, 2, 2),
        ("M2", 2023, None, None, 2),
        ("M2", 2024, 4, 2, 4),
    ]
    columns = "year, active_area_m2, newly_area_m2, cumulative_area_m2, observed_mine_count, mine_count"
    assert read(conn, columns, "active_newly_cumulative_by_year") == [
        (2020, 0, 0, 0, 2, 2),
        (2021, 2, 2, 2, 2, 2),
        (2022, 3, 2, 4, 2, 2),
        (2023, None, None, 4, 0, 2),
        (2024, 5, 2, 6, 2, 2),
    ]


def test_restoration_is_what_was_seen_undamaged(conn: Connection[Any]) -> None:
    """Of four cells ever damaged two are green again; what a cloud hides is not taken for restored."""
    add_mine(conn, "M1", cells("xxxxxx", "x"))
    add_mine(conn, "M2", cells("......\n......\nx.....", "x"))
    add_year(conn, 2021, "ppdvvv\n......\nv.....")
    add_year(conn, 2022, "vpvpvv\n......\nv.....")
    add_year(conn, 2023, ".vvvvv\n......\nv.....")
    add_scene(conn, "2024", date(2024, 6, 1), cells("x", "x"))
    add_label(conn, TREATED_PIT, "x", 2022)
    columns = "year, cumulative_damage_area_m2, treated_area_m2, interpreted_treated_area_m2"
    assert read(conn, columns, "restoration_rate", "mine_code = 'M1'") == [
        (2021, 3, 0, 0),
        (2022, 4, 2, 1),
        (2023, 4, 3, 0),
        (2024, None, None, None),
    ]
    rows = conn.execute(
        "select mine_code, year, restoration_rate, reason from lode_api.restoration_rate order by ogc_fid"
    ).fetchall()
    assert [row[2] for row in rows[:3]] == pytest.approx([0, 0.5, 0.75], abs=1e-6)
    assert [row[3] for row in rows] == [
        None,
        None,
        "at least; the rest is under cloud or outside the scenes",
        "a scene of this year covers it, but no current run observed it",
        *["no damage was ever seen"] * 3,
        "no scene of this year covers it",
    ]
    assert [row[2] for row in rows[3:]] == [None] * 5


def test_ranking_by_new_damage(conn: Connection[Any]) -> None:
    """Equal areas share a rank; confidence is the mean probability of the later damage, drawn ground 1."""
    for code, drawing in (("M1", "xx"), ("M2", "..xx"), ("M3", "....xx"), ("M4", "......\nxxxx..")):
        add_mine(conn, code, cells(drawing, "x"))
    add_year(conn, 2021, "vvvvpd\nppvv..")
    run_id = add_year(conn, 2022, "vpvppd\nppvv..")
    add_label(conn, SUBSIDENCE, "......\n.xx...", 2022)
    conn.execute(
        "update lode.landcover set mean_probability = 0.6 where run_id = %s and land_class_code = 5",
        (run_id,),
    )
    conn.execute("select lode_api.derive_all()")
    rows = conn.execute(
        "select mine_code, rank, new_area_m2, share, confidence, damaged_area_m2, mineral"
        " from lode_api.mine_ranking order by rank, mine_code"
    ).fetchall()
    assert [
        (code, rank, in_cells(new), in_cells(damaged)) for code, rank, new, _s, _c, damaged, _m in rows
    ] == [
        ("M1", 1, 1, 1),
        ("M2", 1, 1, 1),
        ("M4", 1, 1, 3),
        ("M3", 4, 0, 2),
    ]
    assert [row[3] for row in rows] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-6)
    assert [row[4] for row in rows] == pytest.approx([0.9, 0.9, 2.9 / 3, 0.75], abs=1e-6)


def test_damage_outside_the_licence(conn: Connection[Any]) -> None:
    """Of two pits and two dumps one dump lies outside; mines without a licence have no rows."""
    for code, drawing in (("M1", "xxxxxx"), ("M2", "......\nxxxxxx")):
        add_mine(conn, code, cells(drawing, "x"))
    conn.execute(
        "update lode.mine set licence_boundary = %s::geometry where code = 'M1'",
        (ewkb(cells("xxx", "x")).hex(),),
    )
    add_year(conn, 2021, "pddpvv\npppppp")
    add_scene(conn, "2022", date(2022, 6, 1), cells(WHOLE, "x"))
    rows = conn.execute(
        "select mine_code, year, land_class, unlicensed_area_m2, share_of_damage, observed_fraction"
        " from lode_api.outside_licence where kind = 'excavated' or land_class = 'dump' order by ogc_fid"
    ).fetchall()
    assert [(*row[:3], in_cells(row[3])) for row in rows] == [
        ("M1", 2021, "water", 0),
        ("M1", 2021, "dump", 0),
        ("M1", 2021, "open_pit", 1),
        ("M1", 2022, "water", None),
        ("M1", 2022, "dump", None),
        ("M1", 2022, "open_pit", None),
    ]
    assert [row[4] for row in rows[:3]] == pytest.approx([0, 0, 0.25], abs=1e-6)
    assert [row[4:] for row in rows[3:]] == [(None, 0)] * 3


VIEWS = {
    "report_year",
    "observation_by_mine_year",
    "damage_by_mine_year",
    "damage_by_year",
    "active_newly_cumulative",
    "active_newly_cumulative_by_year",
    "restoration_rate",
    "outside_licence",
    "outside_licence_by_mine_year",
    "data_gap",
    "evidence",
    "evidence_by_run",
    "evidence_by_label",
    "sensitive_overlap_by_mine_year",
    "mine_in_region",
    "region_summary",
    "mine_summary",
    "change_by_mine_year",
    "change_by_year",
    "transition_by_mine_year",
    "mine_ranking",
}


def test_every_view_has_a_key_and_is_described(conn: Connection[Any]) -> None:
    """Clients take the first column as key: an integer, there once in every row; and read the comments."""
    for code, drawing in (("M1", "xxxx"), ("M2", "..xxxx"), ("M3", ".......x")):
        add_mine(conn, code, cells(drawing, "x"))
    conn.execute("update lode.mine set licence_boundary = boundary")
    for year, drawing in ((2021, "ppddvv"), (2022, "pdvdpv"), (2024, "ppppp.")):
        add_year(conn, year, drawing)
    add_label(conn, SUBSIDENCE, "....x", 2022)
    conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2024)")
    add_region(conn, "county", "C1", cells("xxx", "x"))
    add_region(conn, "county", "C2", cells("...xxx", "x"))
    for view in sorted(VIEWS):
        row = conn.execute(
            "select count(*), count(ogc_fid), count(distinct ogc_fid), min(pg_typeof(ogc_fid)::text)"
            f" from lode_api.{view}"
        ).fetchone()
        assert row is not None
        assert row[0] > 0, view
        assert row[0] == row[1] == row[2], view
        assert row[3] in {"integer", "bigint"}, view
        first = conn.execute(f"select * from lode_api.{view} limit 0").description
        assert first is not None
        assert first[0].name == "ogc_fid"
        undescribed = conn.execute(
            "select a.attname from pg_attribute a where a.attrelid = %s::regclass and a.attnum > 0"
            " and col_description(a.attrelid, a.attnum) is null",
            (f"lode_api.{view}",),
        ).fetchall()
        assert undescribed == [], view
    pairs = read(
        conn, "from_year, to_year, is_consecutive", "change_by_mine_year", "mine_code = 'M1' and kind = 'any'"
    )
    assert sorted(pairs) == [(2021, 2022, True), (2021, 2024, False), (2022, 2024, True)]
    assert read(conn, "from_year, to_year", "mine_ranking", "mine_code = 'M1'") == [
        (2021, 2022),
        (2022, 2024),
    ]
