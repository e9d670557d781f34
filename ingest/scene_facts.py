"""What is known of a scene file before its pixels are read: instrument, bands, meaning, grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rasterio.enums import ColorInterp

from db.errors import UsageError
from db.sensors import Sensor
from ingest.bands import BandNaming, name_bands
from ingest.declaration import Statement, ValueMeaning, value_meaning
from ingest.files import SourceFile
from ingest.gridding import GridPlan, plan_grid


@dataclass(frozen=True)
class SceneFacts:
    """What is known of a file before its pixels are read."""

    sensor: Sensor
    naming: BandNaming
    meaning: ValueMeaning
    plan: GridPlan
    declared: dict[str, Any]


def read_facts(dataset: Any, file: SourceFile, statement: Statement, sensor: Sensor) -> SceneFacts:
    """Find out what can be known, and refuse what can be refused, before a pixel is read.

    Raises:
        UsageError: bands, declaration, CRS or grid cannot be right.

    """
    if ColorInterp.palette in dataset.colorinterp:
        raise UsageError(
            f"{file.name}: its pixels are numbers of a colour table, no measurements; "
            "a class map is read by `lode ingest labels`"
        )
    alpha = [band for band, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha]
    naming = name_bands(
        sensor,
        dataset.count,
        dataset.descriptions,
        stated=statement.bands,
        file_name=file.name,
        alpha_bands=alpha,
    )
    is_float = dataset.dtypes[0].startswith("float")
    meaning = value_meaning(statement, sensor, is_float=is_float)
    plan = plan_grid(
        dataset, file.name, nominal_resolution_m=sensor.resolution_m, resolution_m=statement.resolution_m
    )
    grid = plan.grid
    nodata = statement.nodata if statement.nodata is not None else dataset.nodatavals[0]
    is_resampled = plan.reason is not None and not plan.is_turned
    declared = {
        "step": "declared",
        "sensor": sensor.key,
        "acquired_on": statement.acquired_on.isoformat(),
        "bands": list(naming.names),
        "processing_level": meaning.processing_level,
        "value_offset": meaning.value_offset,
        "value_scale": meaning.value_scale,
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        "resampling": statement.resampling if is_resampled else None,
        "grid": [grid.srid, grid.origin_x, grid.origin_y, grid.resolution_x, grid.resolution_y],
        "size_px": [grid.width_px, grid.height_px],
    }
    return SceneFacts(sensor, naming, meaning, plan, declared)
