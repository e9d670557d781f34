"""The table of the central Tianshan's land damage 2021-2023 comes out of ``change_by_year``.

Source: the areas published for 1,555 mines, 1,325 of them open-cast: new and treated damage by legal kind.
Here they are planted as ground of known geodesic area and go through publication, labels and derivation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from tests import planted_province as planted
from tests.conftest import copied_database

KM2 = 0.005
"""Half of the last digit of the published areas."""

SCENES = {
    2021: [(82.0, 83.313), (83.207, 84.4)],
    2023: [(82.0, 82.91), (82.87, 83.7), (83.61, 84.4)],
}
"""Western and eastern edges of each year's scenes, degrees: they cut through mines, and overlap."""

PUBLISHED = {
    # kind: new km2, share in per cent; treated km2, share in per cent
    "excavated": (49.09, 42.56, 3.13, 28.02),
    "occupied": (66.26, 57.44, 6.83, 61.15),
    "subsided": (0.0, 0.0, 1.21, 10.83),
    "any": (115.35, 100.0, 11.17, 100.0),
}


@pytest.fixture(scope="module")
def province() -> planted.Province:
    return planted.plant()


@pytest.fixture(scope="module")
def conn(cluster: Cluster, template_database: str, province: planted.Province) -> Iterator[Connection[Any]]:
    with copied_database(cluster, template_database) as url, connect(url) as connection:
        planted.insert_mines(connection, province)
        # Before the scenes: each mine is then derived as its scenes come, and not once more for its labels.
        planted.insert_labels(connection, province)
        connection.commit()
        connection.execute("analyze")
        for year, edges in SCENES.items():
            planted.publish_year(connection, province, year, edges)
        connection.execute("analyze")
        yield connection


def test_the_published_table_comes_out_of_change_by_year(conn: Connection[Any]) -> None:
    """New and treated area by kind, with shares, to the last published digit."""
    rows = conn.execute(
        "select kind, new_area_km2, 100 * new_share, treated_area_km2, 100 * treated_share, mine_count,"
        " observed_fraction, net_area_m2 from lode_api.change_by_year"
        " where (from_year, to_year) = (2021, 2023)"
    ).fetchall()
    assert {row[0] for row in rows} == set(PUBLISHED)
    for kind, new, new_share, treated, treated_share, mine_count, observed, net in rows:
        published = PUBLISHED[kind]
        assert (new, treated) == pytest.approx((published[0], published[2]), abs=KM2), kind
        assert (round(new_share, 2), round(treated_share, 2)) == (published[1], published[3]), kind
        assert net / 1e6 == pytest.approx(published[0] - published[2], abs=2 * KM2)
        assert mine_count == planted.MINES
        assert observed == pytest.approx(1, abs=1e-9)
    assert conn.execute("select distinct from_year, to_year from lode_api.change_by_year").fetchall() == [
        planted.YEARS
    ]
    method = conn.execute("select count(*) from lode.mine where mining_method = 'open_cast'").fetchone()
    assert method == (planted.OPEN_CAST,)


def test_every_mine_changes_as_planted(conn: Connection[Any], province: planted.Province) -> None:
    """Totals could be right by chance: each mine's own area by kind is what its strips hold."""
    kinds = dict(conn.execute("select land_class_code, damage_kind from lode.land_class").fetchall())
    is_damage = {"excavated", "occupied", "subsided"}.__contains__
    expected: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for strip in province.strips:
        before, after = kinds[strip.before], kinds[strip.after]
        area = planted.area_m2(strip.ground)
        mine = planted.code(strip.mine)
        if is_damage(after) and not is_damage(before):
            expected[mine, after][0] += area
        if is_damage(before) and not is_damage(after):
            expected[mine, before][1] += area
            expected[mine, before][2] += area if after == "treated" else 0.0
    claims_more = {planted.code(mine) for mine in range(0, planted.MINES, 25)}
    rows = conn.execute(
        "select mine_code, kind, new_area_m2, treated_area_m2, interpreted_treated_area_m2"
        " from lode_api.change_by_mine_year where kind <> 'any'"
    ).fetchall()
    found = {(mine, kind): areas for mine, kind, *areas in rows if mine not in claims_more}
    assert {key for key in expected if key[0] not in claims_more} <= set(found)
    for key, areas in found.items():
        assert areas == pytest.approx(expected[key], abs=0.5), key


def test_change_is_an_identity_in_every_mine(conn: Connection[Any]) -> None:
    """damage(2023) = damage(2021) + new - treated + converted here - converted away, for every kind."""
    row = conn.execute(
        "select count(*), max(abs(damage_from_area_m2 + net_area_m2 + converted_from_area_m2"
        " - converted_to_area_m2 - damage_to_area_m2)),"
        " sum(converted_to_area_m2) filter (where kind = 'excavated') / 1e6"
        " from lode_api.change_by_mine_year"
    ).fetchone()
    assert row is not None
    assert row[0] >= 3 * planted.MINES
    assert row[1] < 1e-3
    assert row[2] >= planted.CONVERTED_KM2 - KM2


def test_sums_over_mines_count_shared_ground_once(conn: Connection[Any]) -> None:
    """Mines that claim a neighbour's ground make the plain sum larger than what is reported."""
    row = conn.execute(
        "select (select sum(new_area_m2) from lode_api.change_by_mine_year where kind = 'any') / 1e6,"
        " (select new_area_km2 from lode_api.change_by_year where kind = 'any')"
    ).fetchone()
    assert row is not None
    assert row[0] > row[1] + 0.5
