"""The processes of a training: one, or several that torchrun started, through Lightning Fabric."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.distributed import is_torchelastic_launched

from db.errors import UsageError
from inference.device import choose_device

LONGEST_WAIT = timedelta(days=7)
"""How long processes wait for each other: the first judges alone, on large ground for hours. Where one dies
torchrun ends the others at once."""


def training_device(name: str | None) -> torch.device:
    """The device of this process: as `choose_device`, but each process of torchrun takes its own GPU.

    Raises:
        UsageError: no such device here, or one GPU named for several processes.

    """
    if not is_torchelastic_launched() or name == "cpu":
        return choose_device(name)
    if name not in (None, "cuda"):
        raise UsageError(f"device {name!r} under torchrun: use cuda, for a GPU a process, or cpu")
    if name is None and not torch.cuda.is_available():
        return choose_device("cpu")
    return choose_device(f"cuda:{os.environ['LOCAL_RANK']}")


def is_first_process() -> bool:
    """Whether this process speaks and stores for all; true where there is no other."""
    return not is_torchelastic_launched() or os.environ["RANK"] == "0"


def make_fabric(device: torch.device) -> Fabric:
    """Fabric for this process's device: bf16 on GPUs, fp32 on a CPU; DDP when torchrun started several.

    Args:
        device: where this process computes, see `training_device`.

    """
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    precision = "bf16-mixed" if device.type == "cuda" else "32-true"
    if not is_torchelastic_launched():
        devices = [device.index or 0] if device.type == "cuda" else 1
        # Fabric types its precisions one by one, as literals
        fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    else:
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        fabric = Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=world // local,
            strategy=DDPStrategy(timeout=LONGEST_WAIT),
            precision=precision,  # type: ignore[arg-type]  # literals, as above
        )
    fabric.launch()
    return fabric
