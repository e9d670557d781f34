"""Regions for tests: rows without a file, and what is derived of them in an order that can be compared."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection
from shapely import MultiPolygon

from tests.catalogue_rows import ewkb


def add_layer(conn: Connection[Any], key: str, *, is_protected: bool = False) -> int:
    """A layer of regions."""
    row = conn.execute(
        "insert into lode.region_layer (key, name, is_protected) values (%s, %s, %s)"
        " on conflict (key) do update set is_protected = excluded.is_protected returning region_layer_id",
        (key, f"layer {key}", is_protected),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_region(conn: Connection[Any], layer: str, code: str, geometry: MultiPolygon) -> int:
    """A region; its layer is made where it is missing."""
    conn.execute(
        "insert into lode.region_layer (key, name) values (%s, %s) on conflict (key) do nothing",
        (layer, layer),
    )
    row = conn.execute(
        "insert into lode.region (region_layer_id, code, name, geom) select region_layer_id, %s, %s,"
        " %s::geometry from lode.region_layer where key = %s returning region_id",
        (code, f"region {code}", ewkb(geometry).hex(), layer),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_label(
    conn: Connection[Any], code: int, valid_on: date, geometry: MultiPolygon, *, is_counted: bool = True
) -> int:
    """A label, which counts."""
    row = conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, is_counted)"
        " values (%s, %s::geometry, %s, %s) returning label_id",
        (code, ewkb(geometry).hex(), valid_on, is_counted),
    ).fetchone()
    assert row is not None
    return int(row[0])


DERIVED = {
    "outside": "select o.year, o.land_class_code, coalesce(o.run_id, 0), coalesce(o.landcover_id, 0),"
    " coalesce(o.label_id, 0), o.area_m2, o.newly_area_m2 from lode.outside_piece o order by 1, 2, 3, 4, 5",
    "ground": "select region_id, year, coalesce(run_id, 0), coalesce(label_id, 0), observed_area_m2,"
    " interpreted_area_m2 from lode.region_ground order by 1, 2, 3, 4",
    "mine": "select region_id, mine_id, is_whole, 0 from lode.region_mine order by 1, 2",
    "mine_area": "select region_id, mine_id, a.year, a.land_class_code, a.area_m2, a.exclusive_area_m2,"
    " a.interpreted_area_m2 from lode.region_mine_area a join lode.region_mine using (region_mine_id)"
    " order by 1, 2, 3, 4",
    "mine_year": "select region_id, mine_id, y.year, y.newly_area_m2 from lode.region_mine_year y"
    " join lode.region_mine using (region_mine_id) order by 1, 2, 3",
    "area": "select region_id, year, land_class_code, mine_count, in_mine_area_m2, outside_mine_area_m2,"
    " interpreted_area_m2 from lode.region_area order by 1, 2, 3",
    "year": "select region_id, year, mine_count, run_count, region_area_m2, observed_area_m2,"
    " interpreted_area_m2, damaged_area_m2, newly_area_m2, cumulative_area_m2 from lode.region_year"
    " order by 1, 2",
}
"""What is derived of regions, by what it is of; areas last."""


def derived(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Everything derived of regions; areas in m2, rounded to a square millimetre's hundredth part."""
    return {
        name: [
            tuple(round(value, 4) if isinstance(value, float) else value for value in row)
            for row in conn.execute(query)
        ]
        for name, query in DERIVED.items()
    }
