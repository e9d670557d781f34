"""Where networks compute, and what to do when its memory does not suffice or it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from db.errors import MachineError, UsageError

# what the CPU's allocator says; it has no exception class of its own
_CPU_ALLOCATOR = "DefaultCPUAllocator"
# nor have these faults of a GPU, where torch does not raise AcceleratorError
_GPU_FAULT = re.compile(
    r"\b(CUDA( driver)?|HIP|cuDNN|MIOpen) error\b|No CUDA GPUs are available|cudaGetDeviceCount|NVML_SUCCESS"
)
# what a GPU answers to a call that is wrong, or a kernel finds in what it was given: a bug, wherever it runs
_BUG = re.compile(
    r"device-side assert|invalid (configuration )?argument|_(INVALID_VALUE|BAD_PARAM|NOT_SUPPORTED)\b"
)
# of the allocator's message, "Tried to allocate 1.95 GiB. GPU 0 has a total capacity of 14.57 GiB of which
# 1.58 GiB is free. [...] Of the allocated memory 734.07 MiB is allocated by PyTorch, [...]"
_SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB)"
_ASKED, _TOTAL, _HELD = (
    re.compile(words.format(_SIZE))
    for words in ("Tried to allocate {}", "total capacity of {}", "{} is allocated by PyTorch")
)
_BYTES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class DeviceError(MachineError):
    """A GPU of this machine has no memory free now, or fails; its process must be begun anew.

    After an error of CUDA every call fails in the same process; and what it has reserved is free for others
    only when it has ended.
    """

    spoils_process = True


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


def describe_device(device: torch.device, *, is_half: bool = True) -> str:
    """What computes, in words for the record of a run: name and number format.

    Args:
        device: that computes.
        is_half: a GPU computes within `half_precision`.

    """
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {'bf16' if is_half else 'fp32'}"
    return f"CPU, {torch.get_num_threads()} threads, fp32"


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 on a GPU; on a CPU nothing changes, so that figures there stay comparable."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device (or the host) had no memory left for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)
    )


def device_fault(error: BaseException) -> UsageError | None:
    """What to raise for an error of torch that speaks of a GPU and not of the work; None: it does not.

    Returns:
        DeviceError: the GPU's memory is in use, or it fails. UsageError: this process alone wants more memory
        than the whole GPU has, and would as often as it tried.

    """
    said = str(error).strip().split("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        needs = said.split(" If reserved but")[0]
        if _never_fits(said):
            return UsageError(
                f"the GPU is too small for the network and a single window ({needs}): "
                "use a larger one, or --device cpu"
            )
        return DeviceError(
            f"the GPU has not enough memory for a single window and its network now ({needs}): "
            "free memory there, or use --device cpu"
        )
    is_of_gpu = isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and _GPU_FAULT.search(said) is not None
    )
    if not is_of_gpu or _BUG.search(said):
        return None
    return DeviceError(f"the GPU fails ({said}): look at it with nvidia-smi, or use --device cpu")


def _never_fits(said: str) -> bool:
    """Whether a GPU's allocator says that this process alone wants more than the GPU has."""
    found = [pattern.search(said) for pattern in (_ASKED, _TOTAL, _HELD)]
    sizes = [float(each[1]) * _BYTES[each[2]] if each else None for each in found]
    asked, total, held = sizes
    return asked is not None and total is not None and asked + (held or 0) > total


@contextmanager
def device_faults() -> Iterator[None]:
    """Tell faults of a GPU from those of the work in the block of a ``with``, see `device_fault`.

    Raises:
        DeviceError: the GPU's memory is in use, or it fails.
        UsageError: the GPU is too small.

    """
    try:
        yield
    except RuntimeError as error:
        fault = device_fault(error)
        if fault is None:
            raise
        raise fault from error


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
            DeviceError: not even one item fits into what a GPU has free, or the GPU fails.
            UsageError: not even one item fits on the CPU, or into the whole GPU.

        """
        results: list[Tensor] = []
        done = 0
        with device_faults():
            while done < items.shape[0]:
                part = items[done : done + self.batch_size]
                result = self._attempt(part)
                if result is None:
                    self.batch_size = part.shape[0] // 2
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
            if part.shape[0] == 1:
                raise device_fault(error) or UsageError(
                    "the device has not enough memory for a single window: free memory there"
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
