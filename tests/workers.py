"""How many tests may run at once on this machine (``make test``: pytest-xdist, a process per worker).

Each worker makes its own cluster, temporary folders and copies of databases, so nothing is shared but the
processor, the memory and the disk.
"""

from __future__ import annotations

from typing import Final

GIB: Final = 1024**3

WORKER_BYTES: Final = 2 * GIB
"""A worker at its largest: torch, its cluster, and a training, a QGIS or a browser that a test starts."""

SPARED_BYTES: Final = 2 * GIB
"""What the rest of a desktop keeps."""

MOST_WORKERS: Final = 12
"""More would wait for the few longest tests, each beside a cluster that it hardly used."""

THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What tells torch, BLAS and numba how many threads to start in each worker and in what it starts."""


def worker_count(cores: int, memory_bytes: int) -> int:
    """Workers for a machine.

    Args:
        cores: that this process may use.
        memory_bytes: of the machine, or of the container where that has less.

    Returns:
        One per core as far as the memory reaches, at least 1.

    """
    by_memory = (memory_bytes - SPARED_BYTES) // WORKER_BYTES
    return max(1, min(cores, by_memory, MOST_WORKERS))
