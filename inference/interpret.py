"""A scene and a network become published land cover: read -> predict -> merge -> outline -> publish."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from psycopg import Connection

from db import runs
from db.connection import connect
from db.errors import UsageError
from db.landcover import smallest_patches_m2
from db.raster.grid import Grid
from db.scenes import Scene, scene_by_product
from inference.device import choose_device, describe_device
from inference.predict import default_overlap_px, predict_scene
from inference.publish import Interpretation, observed, outline, publish
from inference.scene_checks import open_source
from inference.scene_source import SceneSource
from inference.segmentation_model import SegmentationModel, load_segmentation

MAX_SEGMENT_M = 500.0
"""Outlines get a vertex at least this often, so that they still fit each other in EPSG:4326."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What an interpretation did.

    Attributes:
        run_id: the run.
        was_published_before: nothing was computed, the run existed.
        is_current: it stands for its scene.
        figures: pixels, patches, areas, seconds of each stage; empty when nothing was computed.
        device: what computed it.

    """

    run_id: int
    was_published_before: bool
    is_current: bool
    figures: dict[str, int | float]
    device: str


def interpret(
    url: str,
    product: str,
    model_name: str,
    *,
    overlap_px: int | None = None,
    batch_size: int | None = None,
    device_name: str | None = None,
    become_current: bool = False,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Outcome:
    """Interpret a scene and publish the result, unless this was done before.

    Args:
        url: libpq URL of the database.
        product: the scene's product name; its newest version is taken.
        model_name: the network.
        overlap_px: pixels shared by neighbouring windows; None: a quarter of the window.
        batch_size: windows at once; does not change the result. None: by window size and device.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        become_current: stand for the scene even if another run already does.
        progress: takes the stage, units done and units in all.

    Raises:
        UsageError: unknown scene or model, a scene the network cannot take, nothing observed, another
            worker at the same run. Nothing is published then.

    """
    device = choose_device(device_name)
    with connect(url, application_name="lode infer") as conn:
        scene = scene_by_product(conn, product)
        model = load_segmentation(conn, model_name, device)
        overlap = default_overlap_px(model.tile_px) if overlap_px is None else overlap_px
        patches_m2 = smallest_patches_m2(conn)
        parameters = {
            "overlap_px": overlap,
            "tile_px": model.tile_px,
            "max_segment_m": MAX_SEGMENT_M,
            "min_patch_m2": {str(code): area for code, area in sorted(patches_m2.items())},
        }
        run = runs.request_run(conn, scene.scene_id, model.model_id, parameters)
        conn.commit()
        if run.status == "published":
            current = _already_published(conn, run, become_current)
            return Outcome(run.run_id, True, current, {}, describe_device(device))
        with runs.working_on(conn, run.run_id), _attempt(conn, run.run_id, device) as claim:
            figures = _compute(
                url, conn, claim, scene, model, overlap, batch_size, patches_m2, become_current, progress
            )
        current = runs.run_by_id(conn, run.run_id).is_current
    return Outcome(run.run_id, False, current, figures, describe_device(device))


def _already_published(conn: Connection[Any], run: runs.Run, become_current: bool) -> bool:
    if become_current and runs.make_current(conn, run.run_id):
        conn.commit()
        return True
    return run.is_current


@contextmanager
def _attempt(conn: Connection[Any], run_id: int, device: torch.device) -> Iterator[runs.Claim]:
    """One attempt of a run; a failure is recorded with its reason before it is passed on."""
    versions = {name: version(name) for name in ("lode", "torch", "numpy", "numba", "shapely", "pyproj")}
    claim = runs.claim_run(conn, run_id, device=describe_device(device), versions=versions)
    conn.commit()
    try:
        yield claim
    except BaseException as error:
        if not conn.closed:
            conn.rollback()
            runs.fail_run(conn, claim, str(error) or type(error).__name__)
            conn.commit()
        raise


def _compute(
    url: str,
    conn: Connection[Any],
    claim: runs.Claim,
    scene: Scene,
    model: SegmentationModel,
    overlap_px: int,
    batch_size: int | None,
    patches_m2: dict[int, float],
    become_current: bool,
    progress: Progress,
) -> dict[str, int | float]:
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lode-infer-") as folder:
        # On disk, not in memory: a scene of 30,000 x 30,000 pixels and eight classes takes 9 GB.
        maps = _Maps(Path(folder), scene.grid, len(model.class_codes))
        begun = time.perf_counter()
        with connect(url, application_name="lode infer (reader)") as reading:
            source = open_source(reading, scene, model)
            _predict(source, model, maps, overlap_px, batch_size, progress)
        seconds["predict_s"] = time.perf_counter() - begun
        if not observed(maps.class_map):
            raise UsageError(f"scene {scene.product}: nothing was observed, there is nothing to publish")

        begun = time.perf_counter()
        progress("outlining", 0, 0)
        pixel_m2 = scene.grid.resolution_x * scene.grid.resolution_y
        interpretation = outline(
            maps.class_map,
            maps.probability,
            list(model.class_codes),
            scene.grid,
            {code: math.ceil(area / pixel_m2) for code, area in patches_m2.items()},
            MAX_SEGMENT_M,
            maps.confidence,
        )
        seconds["outline_s"] = time.perf_counter() - begun
        return _publish(conn, claim, scene, interpretation, seconds, become_current, progress)


def _publish(
    conn: Connection[Any],
    claim: runs.Claim,
    scene: Scene,
    interpretation: Interpretation,
    seconds: dict[str, float],
    become_current: bool,
    progress: Progress,
) -> dict[str, int | float]:
    interpretation.figures.update({name: round(value, 3) for name, value in seconds.items()})
    begun = time.perf_counter()
    with conn.transaction():
        figures = publish(
            conn,
            claim,
            scene_id=scene.scene_id,
            year=scene.acquired_on.year,
            grid=scene.grid,
            tile_px=scene.tile_px,
            interpretation=interpretation,
            become_current=become_current,
            progress=lambda stage: progress(stage, 0, 0),
        )
    return {**figures, "publish_s": round(time.perf_counter() - begun, 3)}


class _Maps:
    """Class map, probabilities and confidence of a scene, as files that the system pages in and out."""

    def __init__(self, folder: Path, grid: Grid, classes: int) -> None:
        height, width = grid.height_px, grid.width_px
        self.class_map = _mapped(folder / "class_map", (height, width))
        self.probability = _mapped(folder / "probability", (classes, height, width))
        self.confidence = _mapped(folder / "confidence", (height, width))


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.memmap(path, np.uint8, "w+", shape=shape)


def _predict(
    source: SceneSource,
    model: SegmentationModel,
    maps: _Maps,
    overlap_px: int,
    batch_size: int | None,
    progress: Progress,
) -> None:
    strips = predict_scene(
        source,
        model,
        overlap_px=overlap_px,
        batch_size=batch_size,
        progress=lambda done, total: progress("classifying", done, total),
    )
    for strip in strips:
        rows = slice(strip.row, strip.row + len(strip.class_map))
        maps.class_map[rows] = strip.class_map
        if strip.probabilities is None:
            raise TypeError("the prediction came without probabilities")
        maps.probability[:, rows] = strip.probabilities
