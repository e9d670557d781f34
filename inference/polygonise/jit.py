"""How the loops over runs and vertices of this package are compiled.

``cache``: machine code is kept beside the sources, so that only the first call ever waits for the compiler.
``nogil``: a worker's heartbeat thread goes on while a scene is being polygonised.
"""

from typing import TypeVar

import numba
import numpy as np
import numpy.typing as npt

DType = TypeVar("DType", bound=np.generic)

compiled = numba.njit(cache=True, nogil=True)


def read_only(array: npt.NDArray[DType]) -> npt.NDArray[DType]:
    """View any array (a memory map too, without reading it) as a plain, contiguous, read-only one.

    Writeable and read-only arrays are two types to numba, and each would be compiled for by itself.
    """
    view = np.ascontiguousarray(np.asarray(array)).view()
    view.flags.writeable = False
    return view
