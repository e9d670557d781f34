"""What a hyperspectral image needs before orthorectification: a detector's stripes run along its columns."""

from __future__ import annotations

import math
import shutil
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from db.local_disk import lacks_room
from ingest.files import SourceFile
from ingest.opening import reading
from ingest.preprocess.bad_bands import BandFigures, BandStatistics, find_bad_bands, find_overlaps
from ingest.preprocess.destriping import StripeStatistics
from ingest.processing.source import FloatArray
from ingest.processing.treatment import Treatment
from ingest.products.product import Band, Part

_STRIP_BYTES = 64 << 20
_SPARE_BYTES = 1 << 30


def corrected_hyperspectral(
    dataset: Any, part: Part, treatment: Treatment, stack: ExitStack, workspace: Path
) -> tuple[Any, Part, list[dict[str, Any]], BandFigures]:
    """Find bad bands and take stripes out of an image in sensor geometry.

    The image is read twice, strip by strip; the corrected one is a working file.

    Args:
        dataset: the image, one band per layer of the part.
        part: what it is.
        treatment: whether stripes are taken out.
        stack: closes the working file in the end.
        workspace: private folder for it.

    Returns:
        The image to go on with, the part as it is now (bands with their faults), the steps for the
        catalogue, and the figures of the bands.

    Raises:
        UsageError: the image cannot be read, or the working file never fits on the disk.
        LocalDiskError: the disk has no room for it now.

    """
    file = part.layers[0].files[0]
    indexes = [layer.index for layer in part.layers]
    nodata = 0.0 if part.nodata is None else part.nodata
    bands, stripes = BandStatistics(len(indexes)), StripeStatistics(len(indexes), dataset.width)
    for _row, strip in _strips(dataset, indexes, nodata, file):
        bands.update(strip)
        stripes.update(strip)
    figures = bands.finish()
    part, steps = _bad_bands(part, figures)
    if not treatment.destripe:
        return dataset, part, steps, figures
    destriping = stripes.finish()
    target = _working_file(dataset, len(indexes), workspace, file)
    with _without_place():
        out = rasterio.open(target, "w", **_profile(dataset, len(indexes)))
    with out:
        for row, strip in _strips(dataset, indexes, nodata, file):
            out.write(destriping.apply(strip), window=Window(0, row, dataset.width, strip.shape[1]))
    text = f"{part.role}: stripes along the detector's columns taken out of {file.name}"
    steps.append({"step": "destriped", "role": part.role, **destriping.as_json(), "text": text})
    layers = [replace(layer, index=place) for place, layer in enumerate(part.layers, 1)]
    corrected = replace(part, layers=tuple(layers), nodata=math.nan)
    with _without_place():
        opened = stack.enter_context(rasterio.open(target))
    return opened, corrected, steps, figures


def overlaps_marked(
    bands: Sequence[Band], figures: Sequence[BandFigures]
) -> tuple[tuple[Band, ...], list[dict[str, Any]]]:
    """Mark bands that the other of two spectrometers sees better.

    Args:
        bands: of all spectrometers, one after the other.
        figures: of each spectrometer.

    Returns:
        The bands, and the step for the catalogue.

    """
    if len(figures) < 2 or any(band.center_nm is None or band.width_nm is None for band in bands):
        return tuple(bands), []
    found = find_overlaps(
        np.array([band.center_nm for band in bands], float),
        np.array([band.width_nm for band in bands], float),
        np.concatenate([each.snr for each in figures]),
        {place for place, band in enumerate(bands) if band.fault is not None},
    )
    marked = list(bands)
    for bad in found:
        marked[bad.index] = replace(marked[bad.index], fault=bad.reason)
    listed = [bands[bad.index].name for bad in found]
    text = f"{len(found)} bands of the spectrometers' overlap marked as not to be used"
    return tuple(marked), [{"step": "bad_bands", "role": "overlap", "bands": listed, "text": text}]


@contextmanager
def _without_place() -> Iterator[None]:
    """Images in sensor geometry have no place on the map: no reason to warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _bad_bands(part: Part, figures: BandFigures) -> tuple[Part, list[dict[str, Any]]]:
    bands = [layer.band for layer in part.layers]
    if any(band.center_nm is None or band.width_nm is None for band in bands):
        return part, []
    found = find_bad_bands(
        np.array([band.center_nm for band in bands], float),
        np.array([band.width_nm for band in bands], float),
        figures,
    )
    for bad in found:
        band = bands[bad.index]
        bands[bad.index] = replace(band, fault=band.fault or bad.reason)
    listed = [{"band": bands[bad.index].name, "reason": bad.reason} for bad in found]
    text = f"{part.role}: {len(found)} of {len(bands)} bands marked as not to be used"
    layers = tuple(replace(layer, band=band) for layer, band in zip(part.layers, bands, strict=True))
    return replace(part, layers=layers), [
        {"step": "bad_bands", "role": part.role, "bands": listed, "text": text}
    ]


def _strips(
    dataset: Any, indexes: list[int], nodata: float, file: SourceFile
) -> Iterator[tuple[int, FloatArray]]:
    """First row and pixels (bands, height, width) of the image, NaN without data."""
    rows = max(1, min(256, _STRIP_BYTES // (len(indexes) * dataset.width * 4)))
    for row in range(0, dataset.height, rows):
        height = min(rows, dataset.height - row)
        with reading(file):
            stored = dataset.read(indexes, window=Window(0, row, dataset.width, height))
        strip = stored.astype(np.float32)
        strip[stored == nodata] = np.nan
        yield row, strip


def _profile(dataset: Any, band_count: int) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "dtype": "float32",
        "count": band_count,
        "width": dataset.width,
        "height": dataset.height,
        "interleave": "band",
        "BIGTIFF": "IF_SAFER",
    }


def _working_file(dataset: Any, band_count: int, workspace: Path, file: SourceFile) -> Path:
    needed = dataset.width * dataset.height * band_count * 4
    free = shutil.disk_usage(workspace).free
    if free < needed + _SPARE_BYTES:
        raise lacks_room(
            workspace,
            needed + _SPARE_BYTES,
            f"{file.name}: needs {needed >> 20} MiB for a working file in {workspace.parent}, which has "
            f"{free >> 20} MiB free; make room or point TMPDIR elsewhere",
        )
    return workspace / f"destriped-{uuid.uuid4().hex}.tif"
