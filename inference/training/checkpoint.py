"""A training's state on disk, so that a killed training goes on as if nothing had happened.

One safetensors file holds all tensors and, in its header, the figures as JSON; nothing in it can run code.
It is written beside the old one and takes its name only when it is safely on the disk, so that whenever the
process dies, and also when the disk is full, one whole checkpoint is there.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks import load_state
from inference.training.differences import differences

FORMAT = "lode training checkpoint 1"
PART, LOCK = ".part", ".lock"
_OPTIMISER = "optimiser"


@dataclass(frozen=True)
class Saved:
    """What is needed to go on after an epoch.

    Attributes:
        figures: numbers and lists, as JSON knows them.
        tensors: by name.

    """

    figures: dict[str, Any]
    tensors: dict[str, Tensor]


class CheckpointFile:
    """The file of one training.

    Args:
        path: of the file; its folder must exist.
        identity: what makes the training this one (settings, data, network), as JSON knows it. A file of
            another training is refused.

    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the file for this process until the block is left, or the process dies.

        Raises:
            UsageError: another process trains with it; its folder is missing or not writable.

        """
        lock = _beside(self.path, LOCK)
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise UsageError(
                f"no checkpoint can be kept at {self.path}: {error.strerror}; choose a writable folder"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UsageError(
                f"another training is at work on the checkpoint {self.path}: wait for it, or choose another"
            ) from error
        try:
            yield
        finally:
            if not self.path.exists():  # stopped before the first checkpoint: nothing stays behind
                lock.unlink(missing_ok=True)
            os.close(handle)

    def save(self, saved: Saved) -> None:
        """Replace what the file holds, at once.

        Raises:
            UsageError: the disk is full or fails; the older checkpoint stays.

        """
        header = {"format": FORMAT, "identity": self._identity, "figures": saved.figures}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in saved.tensors.items()}
        content = save(tensors, {"lode": json.dumps(header)})
        part = _beside(self.path, PART)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            stays = "the older checkpoint is still there" if self.path.exists() else "there is no older one"
            raise UsageError(
                f"the checkpoint {self.path} of {len(content):,} bytes could not be written: "
                f"{error.strerror}; {stays}. Make room, then start the same training again"
            ) from error

    def load(self) -> Saved | None:
        """What was saved last, or None.

        Raises:
            UsageError: no such file format, or the checkpoint of another training.

        """
        if not self.path.exists():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                header = json.loads((file.metadata() or {})["lode"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            found, saved = header["identity"], Saved(header["figures"], tensors)
            is_ours = header["format"] == FORMAT
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{self.path} is no checkpoint of a training, or is damaged ({error}): "
                "remove it to train from the beginning"
            ) from error
        if not is_ours:
            raise UsageError(f"{self.path} was written by another version: remove it to train anew")
        # settings first: people chose them, the rest follows
        differing = sorted(
            differences(found, self._identity), key=lambda line: not line.startswith("settings")
        )
        if differing:
            raise UsageError(
                f"the checkpoint {self.path} belongs to another training: {'; '.join(differing[:3])}. "
                "Train with what it was begun with, or choose another file"
            )
        return saved


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint and what lies beside it, once its training is stored."""
    for each in (_beside(path, PART), path, _beside(path, LOCK)):
        each.unlink(missing_ok=True)


def network_tensors(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's state under names that begin with ``prefix.``."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def named(prefix: str, saved: Saved) -> dict[str, Tensor]:
    """The network's state that was saved under a prefix; empty where there is none."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in saved.tensors.items() if name.startswith(start)}


def restore_network(network: nn.Module, prefix: str, saved: Saved) -> None:
    """Put the state that was saved under a prefix into a network.

    Raises:
        UsageError: it does not fit, or holds NaN.

    """
    load_state(network, named(prefix, saved))


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts of every parameter; the groups come from the settings again."""
    state = optimiser.state_dict()["state"]
    return {
        f"{_OPTIMISER}.{number}.{key}": value
        for number, values in state.items()
        for key, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: Saved) -> None:
    """Give every parameter the moments that were saved.

    They get the parameters' memory format back, so that the arithmetic is the same to the last bit.

    Raises:
        UsageError: they belong to other parameters.

    """
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in named(_OPTIMISER, saved).items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    if sorted(state) != list(range(len(parameters))):
        raise UsageError("the checkpoint's optimiser belongs to another network: train from the beginning")
    for place, parameter in enumerate(parameters):
        for key, value in state[place].items():
            if value.ndim:
                if value.shape != parameter.shape:
                    raise UsageError("the checkpoint's optimiser belongs to another network: train anew")
                state[place][key] = torch.empty_like(parameter).copy_(value)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _sync_folder(folder: Path) -> None:
    """Make the file's new name last as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
