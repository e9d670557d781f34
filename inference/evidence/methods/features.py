"""Cells as rows of a table, options as they were given, stored arrays as they must be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from db.errors import UsageError
from inference.evidence.types import HIDDEN_KINDS, EvidenceGround

CELLS_AT_ONCE = 1 << 16
"""Cells that are judged together, which bounds the memory."""


def hidden_table(ground: EvidenceGround) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Geochemistry and geophysics of the cells that are scored.

    Returns:
        values (cells, channels) float32, scaled, 0 where not known, which is the median of the ground; and
        what is known (cells, channels).

    Raises:
        UsageError: no cell has any.

    """
    places = ground.places_of(*HIDDEN_KINDS)
    is_scored = ground.is_scored
    if not is_scored.any():
        raise UsageError(
            f"study area {ground.area} has no cell with geochemistry or geophysics on its judged ground: "
            "ingest layers that lie there"
        )
    is_known = np.ascontiguousarray(ground.is_known[places][:, is_scored].T)
    values = np.where(is_known, ground.values[places][:, is_scored].T, np.float32(0))
    return np.ascontiguousarray(values, np.float32), is_known


def as_map(values: NDArray[Any], is_there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values (cells,) or (cells, channels) as (height, width) or (channels, height, width), NaN elsewhere."""
    found = np.full((*values.shape[1:], *is_there.shape), np.nan, np.float32)
    found[..., is_there] = values.T
    return found


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Places of ``most`` of ``count`` rows at the most, in order, the same in every call.

    Drawn, and not every n-th: rows are cells line by line, of which a step can meet the same columns.
    """
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False)).astype(np.int64)


def require_options(options: Mapping[str, Any], method: str, known: Sequence[str]) -> None:
    """Refuse options that a method does not have.

    Raises:
        UsageError: names the first of them, and those there are.

    """
    for name in options:
        if name not in known:
            choices = f"choose among {', '.join(known)}" if known else "it has none"
            raise UsageError(f"unknown option {name!r} of the method {method}: {choices}")


def count_option(options: Mapping[str, Any], name: str, default: int, *, least: int, most: int) -> int:
    """A whole number among the options.

    Raises:
        UsageError: something else, or one out of range.

    """
    found = options.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise UsageError(f"option {name} is {found!r}: give a whole number from {least} to {most}")
    return found


def number_option(
    options: Mapping[str, Any], name: str, default: float, *, above: float, most: float
) -> float:
    """A number among the options.

    Raises:
        UsageError: something else, or one out of range.

    """
    found = options.get(name, default)
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)
    if not is_number or not above < found <= most:
        raise UsageError(f"option {name} is {found!r}: give a number above {above:g}, {most:g} at the most")
    return float(found)


def stored_array(
    state: Mapping[str, NDArray[Any]],
    name: str,
    shape: tuple[int | None, ...],
    dtype: DTypeLike,
    method: str,
) -> NDArray[Any]:
    """An array of a stored model, checked.

    Args:
        state: all of them.
        name: of the one.
        shape: it must have; None: any size above 0.
        dtype: it must have.
        method: for messages.

    Raises:
        UsageError: it is not there, has another shape or type, or holds NaN or Inf.

    """
    found = state.get(name)
    if found is None:
        raise UsageError(f"the weights are not those of a {method}: {name} is missing; train it again")
    is_alike = found.ndim == len(shape) and all(
        got > 0 if wanted is None else got == wanted for got, wanted in zip(found.shape, shape, strict=False)
    )
    if not is_alike or found.dtype != np.dtype(dtype):
        wanted_text = " x ".join("any" if size is None else str(size) for size in shape)
        raise UsageError(
            f"the weights are not those of this {method}: {name} is {found.dtype} {found.shape}, it must be "
            f"{np.dtype(dtype)} of {wanted_text or 'one number'}; train it again"
        )
    if not np.isfinite(found).all():
        raise UsageError(f"the weights of the {method} hold NaN or Inf in {name}: train it again")
    return found
