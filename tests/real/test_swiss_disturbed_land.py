"""Disturbed land in Ticino, drawn by experts over seventy years: area by commune, class and year.

Data: swiss-territorial-data-lab, anthropogenic activities (MIT). 448 polygons, EPSG:2056, with the spellings
people really wrote. Communes have no outlines there: each stands for the hull round its own polygons, so
communes overlap, and ground in two of them counts in both.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from db.regions import RegionLayer
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.regions import ingest_regions
from ingest.requests import FeatureRequest
from tests.ingest_files import write_vector
from tests.support import test_data

CLASSES = {
    "Site d'extraction": "open_pit",
    "Remblais": "dump",
    "Remblais, décharge": "dump",
    "Dépôt de matériel": "dump",
    "Dépot de matériel": "dump",
    "Depôt de matériel": "dump",
    "Depot de materiel": "dump",
    "Dépôt de maériel": "dump",
}
IGNORED = ("Construction", "Autre")
HULL_MARGIN_M = 50.0
MAX_EDGE_M = 1000.0
"""Longer edges are divided before the transformation, by ingest and here, so that they stay straight."""

GEOD = pyproj.Geod(ellps="WGS84")
TO_WGS84 = pyproj.Transformer.from_crs(2056, 4326, always_xy=True)


def wgs84(shapes: Any) -> Any:
    return shapely.transform(
        shapely.segmentize(shapely.force_2d(shapes), MAX_EDGE_M),
        lambda xy: np.column_stack(TO_WGS84.transform(xy[:, 0], xy[:, 1])),
    )


def area_m2(shape: shapely.Geometry) -> float:
    return 0.0 if shape.is_empty else abs(GEOD.geometry_area_perimeter(shape)[0])


def drawn() -> tuple[Path, Any, dict[str, Any]]:
    """The file, its shapes in EPSG:2056, and its columns."""
    path = test_data("swiss_disturbed_land") / "sda" / "sda_ground_truth.gpkg"
    meta, _ids, wkb, columns = pyogrio.raw.read(path)
    return path, shapely.from_wkb(wkb), dict(zip(meta["fields"], columns, strict=True))


def hulls(shapes: Any, communes: Any) -> dict[str, shapely.Geometry]:
    """Hull of the polygons of each commune, with a margin, EPSG:2056."""
    names = sorted({name for name in communes if name is not None})
    return {
        name: shapely.convex_hull(shapely.union_all(shapely.force_2d(shapes[communes == name]))).buffer(
            HULL_MARGIN_M
        )
        for name in names
    }


def expected(shapes: Any, columns: dict[str, Any], outlines: dict[str, Any]) -> dict[Any, float]:
    """Area by commune, year and class, m2: later labels of a year take their ground from earlier ones."""
    by_year: dict[int, list[int]] = defaultdict(list)
    for row, name in enumerate(columns["SousClasse"]):
        if name in CLASSES:
            by_year[int(columns["year"][row])].append(row)
    ground = wgs84(shapes)
    found: dict[Any, float] = defaultdict(float)
    for year, rows in by_year.items():
        taken = shapely.Polygon()
        for row in reversed(rows):
            left = shapely.difference(ground[row], taken)
            taken = shapely.union(taken, ground[row])
            for commune, outline in outlines.items():
                if shapely.intersects(outline, left):
                    key = (commune, year, CLASSES[columns["SousClasse"][row]])
                    found[key] += area_m2(shapely.intersection(outline, left))
    return {key: area for key, area in found.items() if area > 1}


def test_area_by_commune_class_and_year(conn: Connection[Any], tmp_path: Path) -> None:
    path, shapes, columns = drawn()
    outlines = hulls(shapes, columns["Comune"])
    assert len(outlines) == 31
    communes = write_vector(
        tmp_path / "communes.gpkg",
        list(outlines.values()),
        {"nr": [f"TI{n:02}" for n in range(31)], "commune": list(outlines)},
        crs="EPSG:2056",
    )
    fields = {"code": "nr", "name": "commune"}
    done = ingest_regions(
        conn, FeatureRequest(source_file(communes), fields=fields), RegionLayer("commune", "Communes")
    )
    assert done.stored == 31
    table = tmp_path / "classes.toml"
    lines = [f'"{theirs}" = "{ours}"' for theirs, ours in CLASSES.items()]
    ignored = ", ".join(f'"{name}"' for name in IGNORED)
    table.write_text(f"ignore = [{ignored}]\n[classes]\n" + "\n".join(lines), "utf-8")
    about = LabelRequest(classes_file=source_file(table), is_counted=True)
    fields = {"class": "SousClasse", "valid_on": "year"}
    with pytest.raises(UsageError, match="has Z values"):
        ingest_labels(conn, FeatureRequest(source_file(path), fields=fields), about)
    outcome = ingest_labels(conn, FeatureRequest(source_file(path), fields=fields, repair=True), about)
    assert (outcome.stored, outcome.ignored) == (336, 112)
    stated = wgs84(np.array(list(outlines.values())))
    wanted = expected(shapes, columns, dict(zip(outlines, stated, strict=True)))
    rows = conn.execute(
        "select region_name, year, land_class, area_m2, interpreted_area_m2, in_mine_area_m2,"
        " observed_fraction from lode_api.damage_by_region_year where area_m2 > 1"
    ).fetchall()
    found = {(name, year, key): area for name, year, key, area, *_more in rows}
    assert found == pytest.approx(wanted, rel=1e-6)
    assert len(found) > 60
    assert len({year for _name, year, _key in found}) > 15
    assert all(row[4] == pytest.approx(row[3]) and row[5] == 0 and 0 < row[6] <= 1 for row in rows)
    # Without the rules the sums would differ: labels of a year overlap, and hulls of communes do.
    raw = sum(area_m2(shape) for shape in wgs84(shapes[np.isin(columns["SousClasse"], list(CLASSES))]))
    kept = conn.execute("select sum(area_m2) from lode.outside_piece").fetchone()
    assert kept is not None
    assert kept[0] < raw * (1 - 1e-6)
    assert any(a.overlaps(b) for a in outlines.values() for b in outlines.values())
