"""A simulated district to prospect in, through the whole chain as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from db.connection import connect
from db.scenes import Scene
from ingest.simulate.prospect import simulate_prospect
from tests.conftest import RunLode
from tests.scenes import reflectance

PRODUCT = re.compile(r"^stored scene (\S+) version", re.MULTILINE)


def outlines(path: Path) -> tuple[NDArray[np.object_], dict[str, NDArray[np.object_]]]:
    meta, _, geometry, columns = pyogrio.raw.read(path)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def inside(scene: Scene, shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Cells of the scene whose middle lies in one of some shapes."""
    grid = scene.grid
    transform = Affine(grid.resolution_x, 0, grid.origin_x, 0, -grid.resolution_y, grid.origin_y)
    return ~geometry_mask(list(shapes), (grid.height_px, grid.width_px), transform)


def depth(spectrum: NDArray[np.float64], nm: NDArray[np.float64], center: float, reach: float) -> float:
    """Depth of an absorption below the straight line between its shoulders, as a share of that line."""
    low, middle, high = (int(np.abs(nm - at).argmin()) for at in (center - reach, center, center + reach))
    share = (nm[middle] - nm[low]) / (nm[high] - nm[low])
    return float(1 - spectrum[middle] / ((1 - share) * spectrum[low] + share * spectrum[high]))


def test_a_district_through_the_chain(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    made = simulate_prospect(tmp_path / "made", seed=7, size_px=200)
    done = run_lode("ingest", "scene", made.package, "--dem", made.terrain, "--atmosphere", "quac")
    assert done.returncode == 0, done.stderr
    stored = PRODUCT.search(done.stdout)
    assert stored is not None
    assert stored.group(1) == made.product
    for kind, path in (("faults", made.faults), ("plutons", made.plutons), ("deposits", made.ore)):
        done = run_lode("ingest", kind, path)
        assert done.returncode == 0, done.stderr

    scene, values = reflectance(database_url, made.product)
    assert scene.processing_level == "surface_reflectance"
    shown = json.loads(run_lode("scene", "show", made.product, "--format", "json").stdout)
    bands, facts = shown["bands"], json.loads(made.facts.read_text())
    nm = np.array([band["center_nm"] for band in bands])
    assert np.allclose(nm, facts["vnir"]["center_nm"] + facts["swir"]["center_nm"])
    for letter, part in (("V", "vnir"), ("S", "swir")):
        for place in facts[part]["dead"]:
            assert next(b["fault"] for b in bands if b["name"] == f"{letter}{place:03d}") == "dead"
    assert "water vapour" in {band["fault"] for band in bands}
    selected = json.loads(run_lode("scene", "bands", made.product, "--pegmatite", "--format", "json").stdout)
    assert 30 <= len(selected) <= 40
    assert facts["is_simulated"] is True

    # What is delivered shows the absorptions of the ore, weak as it is.
    ore, about = outlines(made.ore)
    decoys, false = outlines(made.decoys)
    fine = [place for place, band in enumerate(bands) if band["fault"] is None]
    nm, values = nm[fine], values[fine]
    clear = np.isfinite(values).all(axis=0)
    anything = inside(scene, np.concatenate([ore, decoys]))

    def mean(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = values[:, cells & clear].mean(axis=1, dtype=np.float64)
        return found

    # A quick correction leaves each band a gain of its own: against the background that is out.
    background = mean(~anything)
    by_mineral = {m: inside(scene, ore[about["mineral"] == m]) for m in ("spodumene", "beryl")}
    by_mineral["barren"] = inside(scene, decoys[false["mineral"] == "barren"])
    at_2207, at_830 = (
        {m: depth(mean(cells) / background, nm, center, reach) for m, cells in by_mineral.items()}
        for center, reach in ((2207, 60), (830, 55))
    )
    assert at_2207["spodumene"] > 0.025
    assert abs(at_2207["barren"]) < 0.5 * at_2207["spodumene"]
    assert at_830["beryl"] > 0.05
    assert max(abs(at_830["barren"]), abs(at_830["spodumene"])) < 0.4 * at_830["beryl"]

    with connect(database_url) as conn:
        rows = conn.execute(
            "select commodity, count(*), bool_and(st_covers(body, geom)), sum(st_area(body::geography)) "
            "from lode.deposit group by 1 order by 1"
        ).fetchall()
    assert [(row[0], row[2]) for row in rows] == [("beryllium", True), ("lithium", True)]
    assert sum(row[1] for row in rows) == len(ore)
    assert abs(sum(row[3] for row in rows) / shapely.area(ore).sum() - 1) < 0.01
