"""Work shared out to as many threads as PyTorch has, each of which works alone.

PyTorch shares each operation out and waits for all threads at its end; where a chain of small operations is
done for one piece of the data after another, threads that take whole pieces wait once, and what lies between
two operations stays in the cache of one core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What ``work`` gives for each item, in order; the first item is worked on in the calling thread.

    PyTorch has one thread meanwhile, in the whole process, and as many as before afterwards; gradients are
    recorded where they are in the calling thread. An error is raised once all have ended.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    is_inference, is_recorded = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def alike(item: Item) -> Result:
        with torch.inference_mode(is_inference), torch.set_grad_enabled(is_recorded):
            return work(item)

    torch.set_num_threads(1)
    try:
        others = [_pool(threads).submit(alike, item) for item in items[1:]]
        try:
            first = work(items[0])
        finally:
            wait(others)
        return [first, *(other.result() for other in others)]
    finally:
        torch.set_num_threads(threads)


def shares(count: int, least: int = 1) -> list[slice]:
    """``count`` things in as many runs of like length as PyTorch has threads, each of ``least`` or more."""
    parts = max(1, min(torch.get_num_threads(), count // least))
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "share")


os.register_at_fork(after_in_child=_pool.cache_clear)
