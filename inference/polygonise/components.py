"""Patches of a class map as a label per pixel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.polygonise.runs import encode_runs, paint_runs


@dataclass(frozen=True)
class Components:
    """The 4-connected patches of a class map.

    ``labels (height, width)`` int32: 1..n in scan order of each patch's first pixel, 0 for not observed.
    ``class_code (n,)`` and ``pixel_count (n,)``: of label i at index i - 1.
    """

    labels: npt.NDArray[np.int32]
    class_code: npt.NDArray[np.uint8]
    pixel_count: npt.NDArray[np.int64]


def label_components(
    class_map: npt.NDArray[np.uint8], *, out: npt.NDArray[np.int32] | None = None
) -> Components:
    """Label the 4-connected patches of equal class in ``class_map (height, width)``, 255 = not observed.

    Map and ``out`` may be memory maps; beside them only the runs of the map are held (8 bytes each). Raises
    ``ValueError`` for a map that is not two-dimensional uint8 and an ``out`` of another shape or type.
    """
    if out is None:
        out = np.empty(class_map.shape, np.int32)
    elif out.shape != class_map.shape or out.dtype != np.int32:
        raise ValueError(
            f"labels are int32 of the class map's shape {class_map.shape}, got {out.dtype} of {out.shape}"
        )
    runs = encode_runs(class_map)
    paint_runs(runs, np.arange(runs.patch_count + 1, dtype=np.int32), out)
    return Components(out, runs.class_code[1:], runs.pixel_count[1:])
