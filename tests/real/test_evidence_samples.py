"""Real contents drawn as samples, and the rocks of a real geological map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from psycopg import Connection

from db.geology_near import lithology_near
from db.raster import Grid
from ingest.evidence.contents import read_contents
from ingest.evidence.placed import GriddingSettings, place_samples
from ingest.evidence.point_files import SampleReading, read_samples
from ingest.evidence.point_gridding import grid_samples
from ingest.files import source_file
from ingest.ground import ingest_geology
from ingest.requests import FeatureRequest
from tests.sampled_ground import write_csv
from tests.support import test_data as data


@pytest.mark.parametrize("method", ["kriging", "idw"])
def test_a_seventh_of_a_real_survey_tells_of_the_rest(tmp_path: Path, method: str) -> None:
    """Cells of a map of lithium as samples, of which the others were not shown."""
    with rasterio.open(data("nanling_lithium") / "Idw_Li.tif") as file:
        values, place = file.read(1).astype(float), file.transform
    grid = Grid(32650, place.c, place.f, place.a, -place.e, values.shape[1], values.shape[0])
    known = values > 0
    rows, cols = np.nonzero(known)
    drawn = np.random.default_rng(1).random(len(rows)) < 1 / 7
    x, y = place @ (cols[drawn] + 0.5, rows[drawn] + 0.5)
    path = write_csv(tmp_path / "Li.csv", np.column_stack([x, y]), {"Li": values[known][drawn]})
    samples = read_samples(SampleReading(source_file(path), srid=32650), grid)
    contents = read_contents(samples.table, "Li", kind="geochemistry")
    placed = place_samples(samples, "Li", contents, grid, GriddingSettings(method))
    layer = grid_samples(placed, grid, unit="ppm")
    assert layer.gridding is not None
    assert layer.error is not None
    found, true = np.log(layer.values[known][~drawn]), np.log(values[known][~drawn])
    told = np.isfinite(found)
    assert told.mean() > 0.98
    assert np.corrcoef(found[told], true[told])[0, 1] > 0.75
    # what was not shown is missed by about as much as leaving samples out had said
    missed = np.sqrt(((found - true)[told] ** 2).mean())
    assert missed == pytest.approx(layer.gridding["cross_validation"]["rmse"], rel=0.2)
    assert 0.5 < np.sqrt((((found - true) / layer.error[known][~drawn])[told] ** 2).mean()) < 1.5


def test_rocks_of_a_real_map(conn: Connection[Any]) -> None:
    path = data("bc_bedrock") / "BedrockP.shp"
    fields = {"name": "strat_name", "rock": "rock_type", "age": "strat_age"}
    request = FeatureRequest(source_file(path), fields=fields)
    assert ingest_geology(conn, "lithology", request).stored == 1596
    grid = Grid(26910, 480_000, 5_720_000, 100, 100, 400, 300)
    found = lithology_near(conn, grid)
    assert len({rock for rock, _shape in found}) > 5
    # the map has neither gaps nor overlaps to speak of: its units fill the grid
    box = shapely.box(480_000, 5_690_000, 520_000, 5_720_000)
    parts = shapely.intersection([shape for _rock, shape in found], box)
    assert shapely.area(parts).sum() == pytest.approx(box.area, rel=0.01)
