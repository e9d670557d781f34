"""What nobody knows is told apart from what was looked for and not found: licence, protection, samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.assessments.report import assessment_report
from db.assessments.seal import seal_assessment
from db.connection import connect
from db.embedded import Cluster
from reporting.mine_page import mine_page
from reporting.mine_report import gather_mine
from reporting.overview_page import overview_page
from reporting.overview_report import gather_damage
from reporting.reasons import chinese
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import copied_database
from tests.grids import CELL_M2, cells
from tests.page_tables import Tables
from tests.regions import add_layer, add_region

YEARS = {2021: "pvvvvv", 2022: "pvvv..", 2023: "pppvvv"}
"""2022 did not see two of six cells; 2023 has two more cells of pit."""


@pytest.fixture(scope="module")
def seen_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    """A mine without a licence, without protected land; nobody looked in 2020 and 2024."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_mine(made, "M1", cells("xxxxxx", "x"))
            model_id = add_model(made, "net")
            for year, drawing in YEARS.items():
                scene_id = add_scene(made, str(year), date(year, 6, 1), cells(drawing, "pv"))
                publish_drawing(made, scene_id, model_id, year, drawing)
            add_scene(made, "2020", date(2020, 6, 1), cells("." * 40 + "x", "x"))
            blind = add_model(made, "only vegetation", (1,))
            scene_id = add_scene(made, "2024", date(2024, 6, 1), cells("xxxxxx", "x"))
            publish_drawing(made, scene_id, blind, 2024, "vvvvvv")
        yield url


@pytest.fixture
def seen(seen_url: str) -> Iterator[Connection[Any]]:
    with connect(seen_url) as made:
        yield made
        made.rollback()


def license_first(conn: Connection[Any], drawing: str) -> None:
    boundary = ewkb(cells(drawing, "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry", (boundary,))


def section(conn: Connection[Any], name: str, language: Any = "en") -> str:
    """A section of the mine's page."""
    return part_of(mine_page(conn, gather_mine(conn, "M1"), language), name)


def part_of(page: str, name: str) -> str:
    """A section of a page."""
    (found,) = re.findall(rf'<section[^>]* id="{name}".*?</section>', page, flags=re.DOTALL)
    return str(found)


def said(conn: Connection[Any], name: str, language: Any = "en") -> dict[int, str]:
    """What the last column of a section's table of years says."""
    (table,) = [key for key in ("outside_licence_years", "sensitive_years") if key.startswith(name)]
    page = mine_page(conn, gather_mine(conn, "M1"), language)
    return {int(row[0]): row[-1] for row in Tables(page).texts[table][1:]}


def test_without_a_licence_boundary_nobody_can_say_what_lies_outside(seen: Connection[Any]) -> None:
    assert {(row["finding"], row["unlicensed_area_m2"]) for row in rows(seen, "outside_licence_years")} == {
        ("no licence boundary", None)
    }
    english, both = section(seen, "outside"), section(seen, "outside", "both")
    assert "The database holds no licence boundary of this mine" in english
    assert "数据库中没有该矿山的采矿权边界" in both
    assert "no damage" not in english.lower()


def rows(conn: Connection[Any], table: str) -> list[dict[str, Any]]:
    return gather_mine(conn, "M1").rows(table)


def test_outside_the_licence_every_year_says_what_is_known(seen: Connection[Any]) -> None:
    """Nobody looked in 2020 and 2024; none found in 2021; in a part of 2022; found in 2023."""
    license_first(seen, "xx....")
    found = [
        (row["year"], row["finding"], row["unlicensed_area_m2"])
        for row in rows(seen, "outside_licence_years")
    ]
    assert found == [
        (2020, "not observed", None),
        (2021, "none found", 0),
        (2022, "none found", 0),
        (2023, "found", pytest.approx(CELL_M2, rel=1e-4)),
        (2024, "not observed", None),
    ]
    assert said(seen, "outside") == {
        2020: "Not observed: nobody knows whether there is any.no scene of this year covers it",
        2021: "No damage outside the licence: all of the mine was observed.",
        2022: "None was found in what was observed; of the rest nothing is known."
        "the rest is under cloud or outside the scenes",
        2023: "Damage was found outside the licence.",
        2024: "Not observed: nobody knows whether there is any.nobody looked for damage in this year",
    }
    told = said(seen, "outside", "zh")
    assert told[2021] == "矿区完整观测，未发现采矿权外损毁。"
    assert told[2022] == "已观测部分未发现采矿权外损毁，其余部分情况不明。其余部分被云遮挡或在影像范围之外"
    assert told[2024] == "未观测，是否存在采矿权外损毁不明。该年度未作损毁解译"


def test_unknown_areas_are_marked_and_zeros_are_zeros(seen: Connection[Any]) -> None:
    license_first(seen, "xx....")
    page = mine_page(seen, gather_mine(seen, "M1"), "en")
    tables = Tables(page)
    for name in ("outside_licence", "damage"):
        (line,) = [row for row in tables.texts[name] if row[0] == "Dump"]
        assert line[2:] == ["?", "0.00", "0.00", "0.00", "?"]
    assert "? 2024: <span>the models of this year do not map this class</span>" in page
    assert "? 2020: <span>no scene of this year covers it</span>" in page


def test_a_class_that_no_model_maps_keeps_the_year_from_being_wholly_known(seen: Connection[Any]) -> None:
    license_first(seen, "xxxxxx")
    add_model(seen, "no dumps", (1, 6))
    scene_id = add_scene(seen, "2025", date(2025, 6, 1), cells("xxxxxx", "x"))
    model_id = seen.execute("select model_id from lode.model where name = 'no dumps'").fetchone()
    assert model_id is not None
    publish_drawing(seen, scene_id, model_id[0], 2025, "pvvvvv")
    assert said(seen, "outside")[2025] == (
        "None was found in what was observed; of the rest nothing is known."
        "the models of this year do not map every class of damage"
    )


def test_without_a_protected_layer_nobody_can_say_what_lies_in_one(seen: Connection[Any]) -> None:
    assert {row["finding"] for row in rows(seen, "sensitive_years")} == {"no protected layer"}
    assert "The database holds no protected layer" in section(seen, "sensitive")
    assert "数据库中没有敏感区图层，无法判断损毁是否位于敏感区内。" in section(seen, "sensitive", "zh")
    add_layer(seen, "empty", is_protected=True)
    add_layer(seen, "county")
    add_region(seen, "county", "C1", cells("xxxxxx", "x"))
    assert {row["finding"] for row in rows(seen, "sensitive_years")} == {"no protected layer"}


def test_a_mine_apart_from_protected_ground_needs_no_observation(seen: Connection[Any]) -> None:
    add_layer(seen, "farmland", is_protected=True)
    add_region(seen, "farmland", "F1", cells("." * 20 + "x", "x"))
    assert {row["finding"] for row in rows(seen, "sensitive_years")} == {"apart"}
    assert "The mine has no ground in the protected layers of the database (1)." in section(seen, "sensitive")


def test_on_protected_ground_every_year_says_what_is_known(seen: Connection[Any]) -> None:
    add_layer(seen, "farmland", is_protected=True)
    add_region(seen, "farmland", "F1", cells("..xxxx", "x"))
    assert said(seen, "sensitive") == {
        2020: "Not observed: nobody knows whether there is any.no scene of this year covers it",
        2021: "No damage in protected areas: all of the mine was observed.",
        2022: "None was found in what was observed; of the rest nothing is known."
        "the rest is under cloud or outside the scenes",
        2023: "Damage was found in protected areas.",
        2024: "Not observed: nobody knows whether there is any.nobody looked for damage in this year",
    }
    assert said(seen, "sensitive", "zh")[2020] == "未观测，敏感区内有无损毁不明。该年度没有覆盖该矿山的影像"
    assert [row["year"] for row in rows(seen, "sensitive")] == [2023]


def assess(conn: Connection[Any], name: str, answers: dict[str, list[int | None]]) -> None:
    """An assessment by class of 2023: a point for each answer (class code; None: cannot tell; -1: none)."""
    row = conn.execute(
        "insert into lode.assessment (name, year, stratified_by, scope, total_area_m2, seed)"
        " values (%s, 2023, 'class', 'drawn', %s, 1) returning assessment_id",
        (name, 6 * CELL_M2),
    ).fetchone()
    assert row is not None
    number = 0
    for key, given in answers.items():
        stratum = conn.execute(
            "insert into lode.assessment_stratum (assessment_id, land_class_code, area_m2, sample_count)"
            " select %s, land_class_code, %s, %s from lode.land_class where key = %s"
            " returning assessment_stratum_id",
            (row[0], 3 * CELL_M2, len(given), key),
        ).fetchone()
        assert stratum is not None
        for answer in given:
            number += 1
            point = conn.execute(
                "insert into lode.sample_point (assessment_id, assessment_stratum_id, number, geom)"
                " values (%s, %s, %s, 'srid=4326;point(87.0001 43.8999)') returning sample_point_id",
                (row[0], stratum[0], number),
            ).fetchone()
            assert point is not None
            if answer != -1:
                conn.execute(
                    "insert into lode.sample_answer (sample_point_id, interpreter, land_class_code)"
                    " values (%s, 'Li', %s)",
                    (point[0], answer),
                )
    seal_assessment(conn, row[0])


def test_estimates_show_points_answered_of_drawn_and_every_warning(seen: Connection[Any]) -> None:
    """All that `lode assess report` warns of, in English and Chinese, on both pages that show estimates."""
    assess(seen, "spring", {"open_pit": [6, 6, 6, None, -1], "vegetation": [1, 1, 1, 6]})
    warnings = assessment_report(seen, "spring").warnings
    assert len(warnings) >= 3
    names = {each.key: each.name_zh for each in gather_mine(seen, "M1").classes}
    for page in (
        mine_page(seen, gather_mine(seen, "M1"), "both"),
        overview_page(gather_damage(seen), "both"),
    ):
        shown = part_of(page, "uncertainty")
        lines = {row[0]: row for row in Tables(shown).texts["uncertainty"]}
        assert lines["Open pit露天采场"][-1] == "3 / 5"
        assert lines["Vegetation植被"][-1] == "4 / 4"
        for warning in warnings:
            told = chinese(warning, names)
            assert told is not None, warning
            assert warning in shown
            assert told in shown


def test_a_row_without_an_estimate_says_why(seen: Connection[Any]) -> None:
    assess(seen, "thin", {"open_pit": [6, -1, -1], "vegetation": [1, 1, 6]})
    page = mine_page(seen, gather_mine(seen, "M1"), "both")
    estimates = rows(seen, "uncertainty")
    assert {row["estimated_area_m2"] for row in estimates} == {None}
    reason = estimates[0]["reason"]
    assert reason == "fewer than two points with a reference class in stratum open_pit (1 of 3)"
    assert page.count(f'<span lang="en">{reason}</span>') == len(estimates) == 2
    assert page.count("有参考类别的样点不足两个的层：露天采场（3个中1个）") == 2


def test_every_reason_that_a_view_may_give_has_its_chinese(seen: Connection[Any]) -> None:
    """Sentences are read from the definitions of the views: a new one needs its Chinese."""
    definitions = seen.execute(
        "select c.relname, pg_get_viewdef(c.oid) from pg_class c"
        " where c.relnamespace = 'lode_api'::regnamespace and c.relkind = 'v'"
    ).fetchall()
    missing = []
    for view, definition in definitions:
        for block in re.findall(r"CASE(?:(?!\bCASE\b).)*?END AS reason", definition, flags=re.DOTALL):
            for sentence in re.findall(r"(?:THEN|ELSE) '((?:[^']|'')+ [^']*(?:''[^']*)*)'::text", block):
                text = sentence.replace("''", "'").removeprefix("at least; ")
                if text and chinese(text, {}) is None:
                    missing.append((view, text))
    assert missing == []
    assert sum("END AS reason" in definition for _view, definition in definitions) >= 6
