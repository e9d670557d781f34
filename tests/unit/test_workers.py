"""How many tests run at once."""

from __future__ import annotations

import pytest

from tests.workers import GIB, worker_count


@pytest.mark.parametrize(
    ("cores", "memory_gib", "workers"),
    [
        (2, 24, 2),  # a small runner of continuous integration
        (8, 7.6, 2),  # a laptop sold with 8 GB: memory decides
        (16, 15.4, 6),
        (64, 256, 12),
        (64, 8, 3),
        (1, 64, 1),
        (4, 1, 1),  # less than it would like is no reason to run none
    ],
)
def test_cores_and_memory_bound_the_workers(cores: int, memory_gib: float, workers: int) -> None:
    assert worker_count(cores, int(memory_gib * GIB)) == workers
