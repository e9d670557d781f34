"""What the catalogue keeps of a scene: its row, and the steps its pixels went through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from db.scenes import NewScene
from ingest.clouds import Clouds
from ingest.crs import file_crs
from ingest.declaration import Statement
from ingest.figures import SceneFigures
from ingest.files import SourceFile
from ingest.footprint import footprint
from ingest.scene_facts import SceneFacts
from ingest.view import SceneView

TILE_PX = 256
"""Edge of a tile, pixels."""


def new_scene(
    file: SourceFile,
    statement: Statement,
    found: SceneFacts,
    view: SceneView,
    figures: SceneFigures,
    clouds: Clouds | None,
    warnings: Sequence[str],
    sha256: str,
) -> NewScene:
    """The catalogue row of a scene, with every step that was taken.

    Raises:
        UsageError: its footprint cannot be drawn.

    """
    grid = found.plan.grid
    outline = footprint(figures, grid, file_crs(f"EPSG:{grid.srid}", file.name), file.name)
    cloud_fraction = None if figures.clouded_px is None else figures.clouded_px / figures.valid_px
    if clouds is not None:
        warnings = (*warnings, *_cloud_warnings(clouds, cloud_fraction or 0.0))
    return NewScene(
        product=statement.product,
        sensor_id=found.sensor.sensor_id,
        acquired_on=statement.acquired_on,
        grid=grid,
        band_names=found.naming.names,
        dtype_name=view.dtype.name,
        nodata=view.nodata.value,
        value_offset=found.meaning.value_offset,
        value_scale=found.meaning.value_scale,
        processing_level=found.meaning.processing_level,
        valid_fraction=figures.valid_px / figures.total_px,
        sha256=sha256,
        source_name=file.name,
        tile_px=TILE_PX,
        steps=[found.declared, *_steps(found, view, figures, statement.resampling, warnings)],
        footprint=outline,
        cloud_fraction=cloud_fraction,
        clouded=None if clouds is None else clouds.inside(outline),
    )


def _cloud_warnings(clouds: Clouds, cloud_fraction: float) -> list[str]:
    warnings = []
    if clouds.repaired:
        warnings.append(f"{clouds.repaired} of {clouds.count} cloud outlines were invalid and made valid")
    if clouds.count and cloud_fraction == 0:
        warnings.append(f"none of the {clouds.count} cloud outlines touches a valid pixel of the scene")
    if cloud_fraction == 1:
        warnings.append("the whole scene lies under cloud or shadow: nothing of it counts as observed")
    return warnings


def _steps(
    found: SceneFacts, view: SceneView, figures: SceneFigures, resampling: str, warnings: Sequence[str]
) -> list[dict[str, Any]]:
    """What was done to the pixels, and what the user is told about it (``text``)."""
    steps: list[dict[str, Any]] = []
    if found.naming.origin != "--bands":
        steps.append({"step": "bands", "text": f"bands named by {found.naming.origin}"})
    plan, grid = found.plan, found.plan.grid
    if plan.reason is not None and plan.is_turned:
        steps.append({"step": "turned", "text": f"{plan.reason}: turned north-up, no pixel was changed"})
    elif plan.reason is not None:
        steps.append(
            {
                "step": "warped",
                "source_crs": plan.source.name,
                "resampling": resampling,
                "text": f"{plan.reason}: warped to EPSG:{grid.srid} at {grid.resolution_x:g} m, "
                f"{grid.width_px} x {grid.height_px} pixels ({resampling})",
            }
        )
    if figures.replaced:
        text = f"{figures.replaced} values are not finite (NaN, infinite): stored as nodata"
        steps.append({"step": "not_finite", "count": figures.replaced, "text": text})
    steps += [{"step": "pixels", "text": note} for note in (*view.notes, *view.nodata.notes)]
    return steps + [{"step": "warning", "text": f"warning: {text}"} for text in (*plan.notes, *warnings)]
