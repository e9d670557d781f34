"""Reports say what the views say, refuse what is not there, and keep their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.reports import page_rows, regions, views
from db.reports.report import Report
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.regions import add_region


@pytest.fixture(scope="module")
def account(cluster: Cluster, template_database: str) -> Iterator[Connection[Any]]:
    with copied_database(cluster, template_database) as url, connect(url) as connection:
        fill(connection)
        yield connection


def fill(conn: Connection[Any]) -> None:
    for code, drawing in (("M1", "xxx"), ("m2", "...xxx")):
        add_mine(conn, code, cells(drawing, "x"))
    conn.execute("update lode.mine set licence_boundary = boundary where code = 'M1'")
    model = add_model(conn, "net")
    for year, drawing in ((2021, "ppdvvv"), (2022, "pddvvp"), (2023, "ppp...")):
        scene = add_scene(conn, str(year), date(year, 6, 1), cells("xxxxxx", "x"))
        publish_drawing(conn, scene, model, year, drawing)
    add_label(conn, 1, cells("....x", "x"), date(2022, 7, 1), is_counted=True, interpreter="Li")
    add_region(conn, "county", "C1", cells("xxxxxx", "x"))


Make = Callable[[Connection[Any]], Report]

REPORTS: list[tuple[str, Make, int]] = [
    # view, report, rows on the account above
    ("damage_by_mine_year", views.damage_report, 2 * 3 * 6),
    ("damage_by_year", views.damage_by_year, 3 * 6),
    ("change_by_mine_year", views.change_report, 3 * 3),
    ("change_by_year", views.change_by_year, 2 * 4),
    ("transition_by_mine_year", lambda conn: views.transition_report(conn, "M1"), 3 + 2),
    ("active_newly_cumulative", views.series_report, 2 * 3),
    ("active_newly_cumulative_by_year", views.series_by_year, 3),
    ("restoration_rate", views.restoration_report, 2 * 3),
    ("outside_licence", views.outside_licence_report, 3 * 6),
    ("outside_licence_by_mine_year", views.licence_findings, 2 * 3),
    ("sensitive_overlap_by_mine_year", views.sensitive_findings, 2 * 3),
    ("data_gap", views.gap_report, 1),
    ("mine_ranking", views.ranking_report, 3),
    ("evidence", lambda conn: views.evidence_report(conn, "M1", 2021), 2),
    ("evidence_by_run", lambda conn: page_rows.evidence_runs(conn, "M1"), 3),
    ("evidence_by_label", lambda conn: page_rows.evidence_labels(conn, "m2"), 1),
    ("mine_summary", lambda conn: page_rows.summary_rows(conn, "M1"), 1),
    ("mine_in_region", lambda conn: regions.region_mines_report(conn, regions.find_region(conn, "C1")), 2),
    (
        "damage_by_region_year",
        lambda conn: regions.region_damage_report(conn, regions.find_region(conn, "C1")),
        3 * 6,
    ),
    (
        "active_newly_cumulative_by_region",
        lambda conn: regions.region_series_report(conn, regions.find_region(conn, "C1")),
        3,
    ),
]


@pytest.mark.parametrize(("view", "make", "count"), REPORTS, ids=[view for view, *_ in REPORTS])
def test_a_report_has_the_columns_and_rows_of_its_view(
    account: Connection[Any], view: str, make: Make, count: int
) -> None:
    """All columns but the key and the outline; nothing that a view states is left out."""
    report = make(account)
    cursor = account.execute(f"select * from lode_api.{view} limit 0")
    assert list(report.columns) == [
        column.name for column in cursor.description or () if column.name not in {"ogc_fid", "geom"}
    ]
    assert len(report.rows) == count


def test_filters_and_order(account: Connection[Any]) -> None:
    """Mines in the order of their bytes, whatever the database's collation says of capitals."""
    report = views.damage_report(account, ["m2", "M1"], [2022])
    assert [row[0] for row in report.rows] == ["M1"] * 6 + ["m2"] * 6
    assert {row[2] for row in report.rows} == {2022}
    change = views.change_report(account, ["M1"], (2022, 2023))
    assert {row[2:4] for row in change.rows} == {(2022, 2023)}
    ranking = views.ranking_report(account, (2021, 2022))
    assert [(row[0], row[3]) for row in ranking.rows] == [(1, "m2"), (2, "M1")]
    evidence = views.evidence_report(account, "M1", 2021, "dump")
    assert [row[2] for row in evidence.rows] == ["dump"]
    gaps = views.gap_report(account, years=[2023])
    assert [row[0] for row in gaps.rows] == ["m2"]
    assert gaps.rows == views.gap_report(account).rows


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda conn: views.damage_report(conn, ["M9"]), "no mine has the code M9; mines known: M1, m2"),
        (lambda conn: views.evidence_report(conn, "M9", 2021), "no mine has the code M9"),
        (lambda conn: views.transition_report(conn, "M'; --"), "no mine has the code M'; --"),
        (
            lambda conn: views.damage_report(conn, years=[2021, 1999]),
            "no scene was acquired in 1999; years known: 2021, 2022, 2023",
        ),
        (
            lambda conn: views.change_report(conn, pair=(2021, 2023)),
            "no mine has a change from 2021 to 2023; pairs known: 2021-2022, 2022-2023; .*report_period",
        ),
        (
            lambda conn: views.ranking_report(conn, (2022, 2021)),
            "no mine has a change from 2022 to 2021; pairs known: 2021-2022, 2022-2023$",
        ),
        (
            lambda conn: views.evidence_report(conn, "M1", 2021, "pit"),
            "no class has the key 'pit'; .*open_pit",
        ),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    account: Connection[Any], make: Make, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make(account)


def test_a_period_of_years_can_be_asked_for_once_it_is_wanted(account: Connection[Any]) -> None:
    """A row in lode.report_period adds a pair, which ranking of consecutive years still refuses."""
    with account.transaction(force_rollback=True):
        account.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")
        change = views.change_report(account, pair=(2021, 2023))
        assert {row[0] for row in change.rows} == {"M1"}
        with pytest.raises(UsageError, match="no mine has a change from 2021 to 2023"):
            views.ranking_report(account, (2021, 2023))


def test_an_empty_database_says_what_to_do(conn: Connection[Any]) -> None:
    """Reports of nothing are empty; what is asked for by name is refused with the next step."""
    assert views.damage_report(conn).rows == []
    assert views.change_by_year(conn).rows == []
    assert views.series_by_year(conn).rows == []
    with pytest.raises(UsageError, match="mines known: none; `lode ingest mines FILE`"):
        views.damage_report(conn, ["M1"])
    with pytest.raises(UsageError, match="years known: none; `lode ingest scene FILE`"):
        views.damage_report(conn, years=[2021])
