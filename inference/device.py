"""Where networks compute, and what to do when its memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from db.errors import UsageError

# what the CPU's allocator says; it has no exception class of its own
_CPU_ALLOCATOR = "DefaultCPUAllocator"


def choose_device(name: str | None = None) -> torch.device:
    """The device called ``name`` (``cpu``, ``cuda``, ``cuda:1``); without a name CUDA where there is one.

    Raises:
        UsageError: no such device here.

    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: use cpu, cuda or cuda:<number>") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported: use cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} is not here: {torch.cuda.device_count()} CUDA devices were found")
    return device


def describe_device(device: torch.device) -> str:
    """What computes, in words for the record of a run: name and number format."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), bf16"
    return f"CPU, {torch.get_num_threads()} threads, fp32"


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 on a GPU; on a CPU nothing changes, so that figures there stay comparable."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device (or the host) had no memory left for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)
    )


class BatchRunner:
    """Runs batches through a function; when memory runs out it halves the batch and goes on.

    Args:
        function: takes (n, ...) and gives (n, ...), item by item independent of the others.
        batch_size: items at once, at first.

    Attributes:
        batch_size: items at once, as far as they fit until now.

    """

    def __init__(self, function: Callable[[Tensor], Tensor], batch_size: int) -> None:
        if batch_size < 1:
            raise UsageError(f"batch size is {batch_size}: it must be at least 1")
        self._function = function
        self.batch_size = batch_size

    def __call__(self, items: Tensor) -> Tensor:
        """The function's results for all items, in order.

        Raises:
            UsageError: not even one item fits.

        """
        results: list[Tensor] = []
        done = 0
        while done < items.shape[0]:
            part = items[done : done + self.batch_size]
            result = self._attempt(part)
            if result is None:
                self._halve(part.shape[0])
            else:
                results.append(result)
                done += part.shape[0]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _attempt(self, part: Tensor) -> Tensor | None:
        try:
            return self._function(part)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise UsageError(
                "the device has not enough memory for a single window: free memory there, or use --device cpu"
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.batch_size = tried // 2
