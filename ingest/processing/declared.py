"""A plain GeoTIFF and what its user says about it, as the material of a scene."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.windows import Window

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.pixels import is_nodata
from db.scenes import Acquisition
from ingest.preprocess.calibration import LinearCalibration
from ingest.processing.material import AsDelivered, Material
from ingest.processing.shifted import ShiftedSource
from ingest.processing.source import FloatArray, WindowSource
from ingest.products.product import Band
from ingest.scene_facts import SceneFacts
from ingest.view import SceneView


class ViewSource(WindowSource):
    """The pixels of a file on the grid that was planned for them."""

    def __init__(self, view: SceneView) -> None:
        self._view = view

    @property
    def grid(self) -> Grid:
        """The grid."""
        return self._view.grid

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return self._view.band_count

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of stored values (bands, height, width), NaN without data."""
        window = Window(col, row, width, height)
        stored: Any = self._view.dataset.read(window=window)
        pixels: FloatArray = stored.astype(np.float32)
        nodata = self._view.nodata
        if nodata.value is not None and (nodata.in_source or self._view.is_warped):
            pixels[is_nodata(stored, nodata.value)] = np.nan
        if nodata.has_mask:
            pixels[:, self._view.dataset.dataset_mask(window=window) == 0] = np.nan
        pixels[~np.isfinite(pixels)] = np.nan
        return pixels


def _as_delivered(view: SceneView, found: SceneFacts) -> AsDelivered | None:
    """The pixels as they would be stored without processing; None where only a mask tells nodata."""
    if view.nodata.has_mask or (view.nodata.value is None and view.dtype.kind == "f"):
        return None
    indexes = view.indexes

    def read(row: int, height: int) -> Any:
        return view.read(indexes, window=Window(0, row, view.width, height))

    meaning = found.meaning
    return AsDelivered(read, view.dtype, view.nodata.value, meaning.value_offset, meaning.value_scale, 256)


def declared_material(view: SceneView, found: SceneFacts, name: str) -> Material:
    """What processing of a declared file begins with.

    Raises:
        UsageError: its values are said to be digital numbers or radiance, which say nothing of other dates.

    """
    level = found.meaning.processing_level
    if level not in ("toa_reflectance", "surface_reflectance"):
        raise UsageError(
            f"{name}: holds {level}, and only reflectance can be processed; say what its numbers mean with "
            "--level, --offset and --scale, or describe it in a TOML file with its calibration"
        )
    bands = {band.name: band for band in found.sensor.bands}
    source = ViewSource(view)
    return Material(
        name=name,
        bands=tuple(
            Band(band, bands[band].common_name, bands[band].center_nm, bands[band].width_nm)
            for band in found.naming.names
        ),
        source=source,
        moved=lambda d_row, d_col: (ShiftedSource(source, d_row, d_col), None),
        calibration=LinearCalibration.of_stored(
            len(found.naming.names), found.meaning.value_offset, found.meaning.value_scale
        ),
        level=level,  # type: ignore[arg-type]  # one of the two above
        masks=(),
        acquisition=Acquisition(),
        as_delivered=_as_delivered(view, found),
        panchromatic=None,
        steps=(),
        block_rows=256,
    )
