"""From a class map to published rows: polygons, probability tiles, observation, areas - one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from db import blocks, landcover, runs
from db.landcover_rows import LandcoverRows
from db.points import reached
from db.raster import Grid, RasterWriter
from db.runs import Claim
from db.watch import require_unchanged
from inference.polygonise import NOT_OBSERVED, Patches, polygonise, sieve

PROBABILITY_STEPS = 200
"""Stored probability is probability * 200 as 8-bit integer."""

PROBABILITY_NODATA = 255

STRIP_PX = 256
"""Rows handled at a time where a scene is walked through."""

PATCHES_AT_A_TIME = 1000
"""Patches encoded at a time: the server stores some while the next are encoded."""


@dataclass(frozen=True)
class Interpretation:
    """What a network said of a whole scene, after small patches were merged.

    ``class_map (height, width)`` uint8, 255 not observed; ``probability (classes, height, width)`` uint8 in
    steps of 1/200, 255 not observed; ``patches`` in EPSG:4326.
    """

    class_map: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.uint8]
    patches: Patches
    figures: dict[str, int | float]


def outline(
    class_map: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.uint8],
    class_codes: list[int],
    grid: Grid,
    min_patch_px: Mapping[int, int],
    max_segment_m: float,
    confidence: npt.NDArray[np.uint8],
    progress: Callable[[], None] = lambda: None,
) -> Interpretation:
    """Merge small patches in place and outline the rest.

    Args:
        class_map: ``(height, width)`` uint8 class codes, 255 not observed; may be a memory map; overwritten.
        probability: ``(classes, height, width)`` uint8 in steps of 1/200.
        class_codes: class code of each band of ``probability``.
        grid: the scene's grid.
        min_patch_px: smallest patch of each class, pixels.
        max_segment_m: longest stretch of outline without a vertex, m.
        confidence: ``(height, width)`` uint8 to be filled with the probability of the final class.
        progress: called between steps of seconds to a minute; what it raises ends the work.

    """
    progress()
    sieved = sieve(class_map, min_patch_px, out=class_map)
    progress()
    band_of_code = np.zeros(256, np.intp)
    band_of_code[class_codes] = np.arange(len(class_codes))
    for top in range(0, grid.height_px, STRIP_PX):
        rows = slice(top, min(top + STRIP_PX, grid.height_px))
        band = band_of_code[class_map[rows]]
        confidence[rows] = np.take_along_axis(probability[:, rows], band[np.newaxis], axis=0)[0]
    progress()
    patches = polygonise(
        class_map,
        origin_x=grid.origin_x,
        origin_y=grid.origin_y,
        resolution_x=grid.resolution_x,
        resolution_y=grid.resolution_y,
        max_segment_m=max_segment_m,
        confidence=confidence,
    )
    progress()
    patches = patches.to_wgs84(grid.srid)
    figures: dict[str, int | float] = {
        "observed_px": int(patches.pixel_count.sum()),
        "patches": len(patches),
        "merged_patches": sieved.merged_patches,
        "changed_px": sieved.changed_px,
    }
    return Interpretation(class_map, probability, patches, figures)


def publish(
    conn: Connection[Any],
    claim: Claim,
    *,
    year: int,
    grid: Grid,
    tile_px: int,
    interpretation: Interpretation,
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> dict[str, int | float] | None:
    """Make everything of a run visible at once; the caller commits, and until then nobody sees anything.

    It stands for its scene when that was asked for, or when nothing else does. What its blocks staged goes.

    Args:
        conn: connection in a transaction of its own.
        claim: the attempt that computed it; publication is refused when it is no longer the newest.
        year: calendar year of acquisition.
        grid: the scene's grid.
        tile_px: edge of the probability tiles, pixels.
        interpretation: what to publish.
        progress: takes the name of each stage, units done and units in all; what it raises ends the work.

    Returns:
        Figures of the run, as stored with it; None: this very attempt has published before, there was nothing
        to do.

    Raises:
        SupersededError: the run was given to another worker, cancelled or published by another.
        OutdatedError: the database was upgraded since it was computed.

    """
    if not runs.hold_for_publication(conn, claim):
        return None
    require_unchanged(conn)
    progress("storing polygons", 0, 0)
    stored = landcover.insert_landcover_rows(conn, claim.run_id, year, landcover_rows(interpretation.patches))
    outline_ewkb = interpretation.patches.observation.to_ewkb(4326, as_one=True).to_list()[0]
    area_m2 = landcover.insert_observation(conn, claim.run_id, year, outline_ewkb)
    reached("publish.writing")
    writer = RasterWriter(
        conn,
        parent="probability",
        owner_id=claim.run_id,
        table=f"probability_{claim.run_id}",
        grid=grid,
        dtype=np.dtype(np.uint8),
        band_count=len(interpretation.probability),
        nodata=PROBABILITY_NODATA,
        tile_px=tile_px,
        storage="lz4",
        comment=f"Probability of each class, times {PROBABILITY_STEPS}, of run {claim.run_id}",
    )
    for top in range(0, grid.height_px, STRIP_PX):
        progress("storing probabilities", top, grid.height_px)
        writer.write_rows(np.ascontiguousarray(interpretation.probability[:, top : top + STRIP_PX]))
    progress("deriving areas", 0, 0)
    figures = {**interpretation.figures, "polygons": stored, "observed_area_m2": area_m2}
    runs.mark_published(conn, claim, figures=figures)
    runs.stand_for_scene(conn, claim.run_id)  # after all that is written: others wait from here on
    blocks.clear_stage(conn, claim.run_id)
    writer.finish()  # last: until the commit it keeps other publications from finishing
    return figures


def landcover_rows(patches: Patches) -> Iterator[LandcoverRows]:
    """Patches in EPSG:4326, their confidence in steps of 1/200, part by part as the database takes them."""
    for first in range(0, len(patches), PATCHES_AT_A_TIME):
        part = slice(first, first + PATCHES_AT_A_TIME)
        ewkb = patches.polygons[part].to_ewkb(4326)
        yield LandcoverRows(
            patches.class_code[part],
            ewkb.buffer,
            ewkb.offsets,
            patches.mean_confidence[part] / PROBABILITY_STEPS,
        )


def observed(class_map: npt.NDArray[np.uint8]) -> bool:
    """Whether any pixel of the map was observed."""
    return any(
        bool((class_map[top : top + STRIP_PX] != NOT_OBSERVED).any())
        for top in range(0, len(class_map), STRIP_PX)
    )
