"""How loops over pixels, runs and vertices are compiled."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

DType = TypeVar("DType", bound=np.generic)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function at its first call; without the GIL, so that a worker's heartbeat thread goes on.

    Machine code is kept beside the sources or in the user's cache, so only the first call ever waits for the
    compiler. Call only compiled functions of the same file: numba looks at that file alone to see whether
    its cache is stale.
    """
    try:
        return cast("Callable[Arguments, Result]", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # No place to keep it can be written (a service without a home over a read-only installation): numba
        # refuses to cache. The same code, compiled anew in each process.
        return cast("Callable[Arguments, Result]", numba.njit(nogil=True)(function))


def read_only(array: npt.NDArray[DType]) -> npt.NDArray[DType]:
    """View any array (a memory map too, without reading it) as a plain, contiguous, read-only one.

    Writeable and read-only arrays are two types to numba, and each would be compiled for by itself.
    """
    view = np.ascontiguousarray(np.asarray(array)).view()
    view.flags.writeable = False
    return view
