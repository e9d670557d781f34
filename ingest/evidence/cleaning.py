"""Which cells of a layer hold no value, said by the file, by the user, or by their absurdity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from db.errors import UsageError

ABSURD = 1e30
"""No measured value is as large; programs write such numbers (-3.4e38) where there is none."""

SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, -32768.0)
"""Numbers that programs write for no value."""

REPEATED = 0.01
"""A lowest value below 0 that so large a share of the cells have is no measurement either."""


def valid_values(
    dataset: Any, band: int, window: Window, nodata: Sequence[float]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Read a band with NaN where it has no value.

    Args:
        dataset: rasterio dataset.
        band: number of the band, from 1.
        window: part of it that is read.
        nodata: what the user says marks no value, beside what the file declares; ``nan``: the number that the
            file declares is a value.

    Returns:
        Values (rows, columns) as the file means them (its scale and offset applied), and notes.

    """
    raw = dataset.read(band, window=window)
    flags = dataset.mask_flag_enums[band - 1]
    if any(np.isnan(value) for value in nodata) and MaskFlags.nodata in flags:
        valid = np.ones(raw.shape, bool)
    else:
        valid = dataset.read_masks(band, window=window) != 0
    notes = []
    for value in nodata:
        if np.isnan(value):
            continue
        with np.errstate(over="ignore"):
            marked = raw == (raw.dtype.type(value) if raw.dtype.kind == "f" else value)
        if not marked.any():
            notes.append(f"warning: no cell over the area holds --nodata {value:g}")
        valid &= ~marked
    values = raw.astype(np.float64)
    valid &= np.isfinite(values)
    values[~valid] = np.nan
    scale, offset = dataset.scales[band - 1], dataset.offsets[band - 1]
    absurd = valid & (np.fmax(np.abs(values), np.abs(values * scale + offset)) > ABSURD)
    if absurd.any():
        notes.append(
            f"{int(absurd.sum())} cells hold absurd numbers such as {values[absurd][0]:.2g} that the file "
            "does not declare: they have no value"
        )
    values[absurd] = np.nan
    if (scale, offset) != (1.0, 0.0):
        values = values * scale + offset
        notes.append(f"the file's own scale {scale:g} and offset {offset:g} are applied")
    return values, tuple(notes)


def check_lowest(
    values: npt.NDArray[np.float64], *, kind: str, nodata: Sequence[float], name: str
) -> tuple[str, ...]:
    """Look whether the lowest values are marks of no value that nobody declared.

    Args:
        values: values, NaN where there is none.
        kind: what they are evidence of; contents of elements cannot be negative.
        nodata: what the user said marks no value.
        name: the file.

    Returns:
        Warnings.

    Raises:
        UsageError: contents of an element have such a lowest value.

    """
    known = values[np.isfinite(values)]
    if known.size == 0 or any(np.isnan(value) for value in nodata):
        return ()
    lowest = float(known.min())
    count = int(np.count_nonzero(known == lowest))
    if lowest >= 0:
        return ()
    is_suspicious = lowest in SENTINELS or (count > 1 and count >= REPEATED * known.size)
    advice = (
        f"if it marks cells without value say --nodata {lowest:g}; if it is a value, as of logarithms, say "
        "--nodata nan"
    )
    if kind == "geochemistry" and is_suspicious:
        raise UsageError(
            f"{name}: its lowest value is {lowest:g}, in {count} of {known.size} cells, and no element's "
            f"content is below 0: {advice}"
        )
    if kind == "geochemistry":
        return (
            f"warning: its lowest value is {lowest:g}: contents are never below 0; are these logarithms?",
        )
    if is_suspicious and lowest <= -99:
        return (f"warning: its lowest value is {lowest:g}, in {count} of {known.size} cells: {advice}",)
    return ()
