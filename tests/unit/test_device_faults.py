"""Faults of a GPU, told from those of the work: what torch raises there, from a network's forward on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from db.errors import RetryError, UsageError
from db.machine_faults import machine_fault
from inference.device import BatchRunner, DeviceError, device_faults
from service import protocol
from service.engine import _gpu_memory
from service.outcomes import carry_out

SHARED = (
    "CUDA out of memory. Tried to allocate 1.95 GiB. GPU 0 has a total capacity of 14.57 GiB of which 1.58 "
    "GiB is free. Process 2493055 has 12.02 GiB memory in use. Including non-PyTorch memory, this process "
    "has 966.00 MiB memory in use. Of the allocated memory 734.07 MiB is allocated by PyTorch, and 33.93 MiB "
    "is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for Memory "
    "Management  (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)
TOO_SMALL = SHARED.replace("734.07 MiB", "12.90 GiB")
ASYNCHRONOUS = "\nCUDA kernel errors might be asynchronously reported at some other API call, so the"
ECC = "CUDA error: uncorrectable ECC error encountered" + ASYNCHRONOUS

OF_THE_GPU = [
    torch.OutOfMemoryError(SHARED),
    torch.OutOfMemoryError("XPU out of memory."),
    torch.AcceleratorError(ECC),
    torch.AcceleratorError("CUDA error: out of memory"),  # there was not even room for a context
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("CUDA driver error: unknown error"),
    RuntimeError("No CUDA GPUs are available"),
]
BUGS = [
    torch.AcceleratorError("CUDA error: device-side assert triggered" + ASYNCHRONOUS),
    torch.AcceleratorError("CUDA error: invalid configuration argument" + ASYNCHRONOUS),
    RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("CUDA error: said by somebody else"),
]


class Failing(torch.nn.Module):
    """A network whose forward raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tried: list[int] = []

    def forward(self, tiles: Tensor) -> Tensor:
        self.tried.append(tiles.shape[0])
        raise self.error


def run(network: torch.nn.Module) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        BatchRunner(network, 4)(torch.zeros(4, 1))
        return {}

    return work


@pytest.mark.parametrize("error", OF_THE_GPU, ids=lambda error: str(error)[:40])
def test_a_gpu_that_is_full_or_fails_is_this_machines_fault_and_spoils_the_process(error: Exception) -> None:
    with pytest.raises(DeviceError, match="GPU") as caught:
        run(Failing(error))()
    assert machine_fault(caught.value) is caught.value
    assert "\n" not in str(caught.value)
    assert "PYTORCH_ALLOC_CONF" not in str(caught.value)
    outcome = carry_out(run(Failing(error)))
    assert (outcome.end, outcome.is_spoilt) == (protocol.UNWELL, True)
    with pytest.raises(DeviceError), device_faults():  # as where a network is moved to the device
        raise error


def test_a_batch_is_halved_down_to_a_window_before_a_full_gpu_is_said() -> None:
    network = Failing(torch.OutOfMemoryError(SHARED))
    with pytest.raises(
        DeviceError, match=r"not enough memory for a single window .*Process 2493055 has 12.02 GiB"
    ):
        run(network)()
    assert network.tried == [4, 2, 1]


def test_a_gpu_that_is_too_small_is_a_refusal() -> None:
    """Otherwise the job went round for ever."""
    with pytest.raises(UsageError, match="too small") as caught:
        run(Failing(torch.OutOfMemoryError(TOO_SMALL)))()
    assert not isinstance(caught.value, RetryError)
    assert carry_out(run(Failing(torch.OutOfMemoryError(TOO_SMALL)))).end == protocol.REFUSED


@pytest.mark.parametrize("error", BUGS, ids=lambda error: str(error)[:40])
def test_what_a_gpu_says_of_the_work_is_a_bug_and_ends_the_process(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        run(Failing(error))()
    assert caught.value is error
    outcome = carry_out(run(Failing(error)))
    assert (outcome.end, outcome.is_spoilt) == (protocol.BROKEN, True)


def test_an_engine_whose_gpu_fails_goes_on_with_its_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its worker takes it for hung, and the job's own error is never heard."""

    def fail(_device: str) -> None:
        raise torch.AcceleratorError(ECC)

    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", fail)
    assert _gpu_memory() == {}


def test_a_window_that_does_not_fit_on_the_cpu_is_refused() -> None:
    def greedy(tiles: Tensor) -> Tensor:
        return tiles + torch.empty(1 << 60)

    with pytest.raises(UsageError, match="not enough memory for a single window") as caught:
        BatchRunner(greedy, 4)(torch.zeros(4, 1))
    assert not isinstance(caught.value, RetryError)
