"""Ten real scenes round five Brazilian mines: those of one mine are held out together."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import rasterio
import shapely
from psycopg import Connection

from db.scenes import list_scenes
from inference.samples.scenes import scene_groups
from tests.catalogue_rows import add_scene
from tests.support import test_data


# Scenes 27 and 28 lie about 100 m apart at one mine; no other scenes are that near without an overlap.
@pytest.mark.parametrize(
    ("gap_m", "expected"),
    [
        (50.0, [{"12", "13", "14"}, {"15", "71"}, {"24"}, {"27"}, {"28"}, {"43", "44"}]),
        (1000.0, [{"12", "13", "14"}, {"15", "71"}, {"24"}, {"27", "28"}, {"43", "44"}]),
    ],
)
def test_overlapping_scenes_are_one_group(
    conn: Connection[Any], gap_m: float, expected: list[set[str]]
) -> None:
    paths = sorted((test_data("brazil_tailings") / "scenes").glob("img_*.tif"))
    assert len(paths) == 10
    for path in paths:
        with rasterio.open(path) as file:
            outline = shapely.MultiPolygon([shapely.box(*file.bounds)])
        add_scene(conn, path.stem.removeprefix("img_"), date(2021, 7, 1), outline)
    scenes = list_scenes(conn)
    groups: dict[str, set[str]] = {}
    for scene, name in zip(scenes, scene_groups(conn, scenes, gap_m), strict=True):
        groups.setdefault(name, set()).add(scene.product)
    assert sorted(groups.values(), key=min) == expected
