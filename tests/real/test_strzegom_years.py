"""Three real years, two of them with an offset that their files do not state, come out comparable."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from tests.conftest import RunLode
from tests.scenes import reflectance
from tests.support import test_data

DAYS = {"20210619": "2021-06-19", "20220719": "2022-07-19", "20230301": "2023-03-01"}
RED = 2
CONIFERS, WATER, QUARRY = 1, 8, 10


def median_red(image: np.ndarray, day: str, land: int) -> float:
    """Median over ground that experts labelled on that day."""
    with rasterio.open(test_data("strzegom") / "labels" / f"strzegom_{day}_33u.tif") as file:
        labels = file.read(1)
    return float(np.nanmedian(image[RED][labels == land]))


# Summer to summer most ground can be compared; the winter scene has only its darkest ground in common.
@pytest.mark.parametrize(
    ("day", "method", "offset"),
    [("20220719", "irmad", 0), ("20220719", "irmad", -1000), ("20230301", "dark", 0)],
)
def test_red_over_forest_is_alike(
    run_lode: RunLode, database_url: str, day: str, method: str, offset: int
) -> None:
    """Whether the offset is said or not: the reference brings it out."""
    folder = test_data("strzegom") / "scenes"
    first = "strzegom_20210619_33u"
    common = ("--sensor", "sentinel2_msi", "--scale", "0.0001")
    run_lode(
        "ingest",
        "scene",
        str(folder / f"{first}.tif"),
        *common,
        "--acquired-on",
        "2021-06-19",
        "--offset",
        "0",
    )
    _, reference = reflectance(database_url, first)
    run_lode(
        "ingest", "scene", str(folder / f"strzegom_{day}_33u.tif"), *common,
        "--acquired-on", DAYS[day], "--offset", str(offset), "--reference", first, "--normalise", method,
    )  # fmt: skip
    scene, fitted = reflectance(database_url, f"strzegom_{day}_33u")
    steps = {step["step"]: step for step in scene.steps}
    assert steps["registered"]["rmse_px"] < 0.8
    assert steps["normalised"]["method"] == method
    for land in (CONIFERS, WATER):
        before, after = median_red(reference, "20210619", land), median_red(fitted, day, land)
        assert after == pytest.approx(before, abs=0.012)
    # As stored, forest of 2022 and 2023 is seven times as bright in red.
    with rasterio.open(folder / f"strzegom_{day}_33u.tif") as file:
        raw = file.read().astype(np.float32) * 1e-4
    assert median_red(raw, day, CONIFERS) > 7 * median_red(reference, "20210619", CONIFERS)
    # What is bright stays bright: quarries do not vanish with the offset.
    assert median_red(fitted, day, QUARRY) > 0.1


def test_seasons_too_far_apart_are_refused_with_advice(run_lode: RunLode) -> None:
    folder = test_data("strzegom") / "scenes"
    common = ("--sensor", "sentinel2_msi", "--scale", "0.0001", "--offset", "0")
    run_lode(
        "ingest", "scene", str(folder / "strzegom_20210619_33u.tif"), *common, "--acquired-on", "2021-06-19"
    )
    done = run_lode(
        "ingest", "scene", str(folder / "strzegom_20230301_33u.tif"), *common, "--acquired-on", "2023-03-01",
        "--reference", "strzegom_20210619_33u",
    )  # fmt: skip
    assert done.returncode == 1
    assert "--normalise dark" in done.stderr
