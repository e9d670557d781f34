"""Gold mining in the Amazon basin, 2018 to 2025: 45,000 polygons, new and cumulative damage by year.

Data: Amazon Mining Watch (Earth Genome, CC-BY-4.0). Each yearly file holds what is new in its period; drawn
on a patch grid of its own year, so later files meet earlier ones along their edges.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from psycopg import Connection
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from db.errors import UsageError
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.requests import FeatureOutcome, FeatureRequest
from tests.regions import add_region
from tests.support import test_data

GEOD = pyproj.Geod(ellps="WGS84")
PERIODS = {
    "201800": date(2018, 7, 1),
    "201900": date(2019, 7, 1),
    "202000": date(2020, 7, 1),
    "202100": date(2021, 7, 1),
    "202200": date(2022, 7, 1),
    "202300": date(2023, 7, 1),
    "202400": date(2024, 7, 1),
    "202502": date(2025, 5, 15),
    "202503": date(2025, 8, 15),
}
"""Day that stands for each period: the files' ``year`` is a code (year, then quarter or 00), no year."""

YEARS = range(2018, 2026)
REGIONS = {
    "basin": shapely.box(-80, -20, -44, 10),
    "tapajos": shapely.box(-57.9, -7.3, -55.7, -5.8),
    "madre_de_dios": shapely.box(-70.6, -13.3, -69.5, -12.4),
    "nowhere": shapely.box(-65, -20, -64, -19.5),
}


def ingest(conn: Connection[Any], path: Path, day: date, **request: Any) -> FeatureOutcome:
    about = LabelRequest(
        valid_on=day, class_name="open_pit", interpreter="amazon mining watch", is_counted=True
    )
    return ingest_labels(conn, FeatureRequest(source_file(path), **request), about)


def groups_of(shapes: Any) -> list[Any]:
    """Indices of shapes that meet one another, group by group: a union never reaches beyond its group."""
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(shapes),) * 2)
    count, groups = connected_components(graph, directed=False)
    order = np.argsort(groups, kind="stable")
    found: list[Any] = np.split(order, np.searchsorted(groups[order], np.arange(1, count)))
    return found


def area_m2(shapes: Any) -> float:
    """Geodesic area of the union of a few shapes."""
    shape = shapes[0] if len(shapes) == 1 else shapely.union_all(shapes)
    return 0.0 if shape.is_empty else abs(GEOD.geometry_area_perimeter(shape)[0])


def expected(shapes: Any, years: Any, region: shapely.Geometry) -> list[tuple[float, float, float]]:
    """Active, newly and cumulative area by year inside a region, m2: areas of unions."""
    inside = shapely.intersects(region, shapes)
    shapes, years = shapely.intersection(shapes[inside], region), years[inside]
    active, newly = dict.fromkeys(YEARS, 0.0), dict.fromkeys(YEARS, 0.0)
    for group in groups_of(shapes):
        before = 0.0
        for year in np.unique(years[group]):
            active[year] += area_m2(shapes[group[years[group] == year]])
            cumulative = area_m2(shapes[group[years[group] <= year]])
            newly[year] += cumulative - before
            before = cumulative
    cumulative_areas = np.cumsum([newly[year] for year in YEARS])
    return [
        (active[year], newly[year], float(area)) for year, area in zip(YEARS, cumulative_areas, strict=True)
    ]


def test_new_and_cumulative_damage_by_year(conn: Connection[Any]) -> None:
    folder = test_data("amazon_mining_watch")
    add_region(conn, "basin", "basin", shapely.MultiPolygon([REGIONS["basin"]]))
    shapes, years = [], []
    for period, day in PERIODS.items():
        path = folder / f"mining_{period}_simplified.geojson"
        outcome = ingest(conn, path, day)
        _meta, _ids, wkb, columns = pyogrio.raw.read(path)
        assert outcome.stored == len(wkb)
        assert set(columns[-1]) == {int(period)}
        shapes.append(shapely.from_wkb(wkb))
        years.append(np.full(len(wkb), day.year))
    for name, box in REGIONS.items():  # one region stood there before the labels, the others come after them
        if name != "basin":
            add_region(conn, "cell", name, shapely.MultiPolygon([box]))
    drawn, when = np.concatenate(shapes), np.concatenate(years)
    assert len(drawn) == 45_011
    for name, box in REGIONS.items():
        rows = conn.execute(
            "select active_area_m2, newly_area_m2, cumulative_area_m2, observed_fraction"
            " from lode_api.active_newly_cumulative_by_region where region_code = %s order by year",
            (name,),
        ).fetchall()
        if name == "nowhere":
            assert rows == [(None, None, None, 0)] * 8
            continue
        wanted = expected(drawn, when, box)
        scale = wanted[-1][2]
        for row, numbers in zip(rows, wanted, strict=True):
            assert row[:3] == pytest.approx(numbers, rel=1e-6, abs=1e-6 * scale)
            assert 0 < row[3] < 1
        classes = conn.execute(
            "select year, area_m2, interpreted_area_m2, in_mine_area_m2 from lode_api.damage_by_region_year"
            " where region_code = %s and land_class = 'open_pit' order by year",
            (name,),
        ).fetchall()
        for (_year, area, interpreted, in_mines), row in zip(classes, rows, strict=True):
            assert (area, interpreted, in_mines) == pytest.approx((row[0], row[0], 0), rel=1e-12)


def test_invalid_rings_are_refused_and_repaired_when_asked(conn: Connection[Any]) -> None:
    path = test_data("amazon_mining_watch") / "amazon_basin_2019diff_unsimplified_with_invalid_rings.geojson"
    day = date(2019, 7, 1)
    with pytest.raises(UsageError, match=r"89 of 5970 features .* Ring Self-intersection\["):
        ingest(conn, path, day)
    conn.rollback()
    assert conn.execute("select count(*) from lode.label").fetchone() == (0,)
    box = REGIONS["basin"]
    add_region(conn, "basin", "basin", shapely.MultiPolygon([box]))
    outcome = ingest(conn, path, day, repair=True)
    assert (outcome.stored, outcome.repaired) == (5970, 89)
    wkb = pyogrio.raw.read(path)[2]
    valid = shapely.make_valid(shapely.from_wkb(wkb), method="structure", keep_collapsed=False)
    row = conn.execute(
        "select area_m2 from lode_api.damage_by_region_year where land_class = 'open_pit'"
    ).fetchone()
    assert row is not None
    wanted = sum(area_m2(valid[group]) for group in groups_of(valid))
    assert row[0] == pytest.approx(wanted, rel=1e-6)
