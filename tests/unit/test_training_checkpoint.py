"""Checkpoints: whole after a kill in any moment of writing, refused where they are another's."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from db.errors import UsageError
from inference.training.checkpoint import (
    CheckpointFile,
    Saved,
    network_tensors,
    optimiser_tensors,
    remove_checkpoint,
    restore_network,
    restore_optimiser,
)

IDENTITY = {"settings": {"learning_rate": 0.1, "seed": 1}, "scenes": ("a", "矿山")}


def file_in(folder: Path) -> CheckpointFile:
    return CheckpointFile(folder / "run.safetensors", IDENTITY)


def state(number: int, length: int = 100_000) -> Saved:
    return Saved({"number": number}, {"w": torch.full((length,), float(number)), "n": torch.tensor(number)})


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A system that writes no longer files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    assert file.load() is None
    figures = {"step": 3, "history": [{"loss": 0.1 + 0.2, "score": 1e-300}]}
    tensors = {"a": torch.randn(3, 4).t(), "b": torch.tensor(2**40), "c": torch.randn(2).to(torch.bfloat16)}
    file.save(Saved(figures, tensors))
    found = file.load()
    assert found is not None
    assert found.figures == figures
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    remove_checkpoint(file.path)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_of_writing_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    rng = np.random.default_rng(1)
    numbers, unfinished, kills = [0], 0, 0
    file.save(state(0))
    # how fast a disk is nobody knows: later kills come after a longer while
    while kills < 25 or (kills < 150 and (numbers[-1] <= 10 or unfinished == 0)):
        kills += 1
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)  # the pool of threads did not come along
            number = numbers[-1]
            while True:
                number += 1
                file.save(state(number))
        time.sleep(rng.uniform(0.005, 0.002 * (24 + kills)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        unfinished += (tmp_path / "run.safetensors.part").exists()
        found = file.load()
        assert found is not None
        number = found.figures["number"]
        assert (found.tensors["w"] == number).all()
        assert found.tensors["n"] == number
        assert number >= numbers[-1]
        numbers.append(number)
    assert numbers[-1] > 10
    assert unfinished > 0  # else no kill met the writing


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    file = file_in(tmp_path)
    with files_up_to(50_000), pytest.raises(UsageError, match=r"run\.safetensors.*there is no older one"):
        file.save(state(1))
    assert list(tmp_path.iterdir()) == []
    file.save(state(1))
    with (
        files_up_to(50_000),
        pytest.raises(UsageError, match=r"could not be written.*older checkpoint is still"),
    ):
        file.save(state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]
    found = file.load()
    assert found is not None
    assert found.figures == {"number": 1}
    file.save(state(2))
    assert torch.equal(file.load().tensors["n"], torch.tensor(2))  # type: ignore[union-attr]


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file_in(tmp_path).save(state(1))
    other = {**IDENTITY, "settings": {"learning_rate": 0.2, "seed": 1}}
    with pytest.raises(UsageError, match=r"another training: settings\.learning_rate was 0\.1, is 0\.2"):
        CheckpointFile(tmp_path / "run.safetensors", other).load()


@pytest.mark.parametrize("kind", ["pickle", "cut", "empty", "weights", "folder"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    file = file_in(tmp_path)
    if kind == "pickle":
        torch.save({"w": torch.zeros(3)}, file.path)
    elif kind == "cut":
        file.save(state(1))
        file.path.write_bytes(file.path.read_bytes()[:-5])
    elif kind == "empty":
        file.path.touch()
    elif kind == "weights":
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(3)}, file.path)
    else:
        file.path.mkdir()
    with pytest.raises(UsageError, match=r"run\.safetensors is no checkpoint of a training"):
        file.load()


def test_two_trainings_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    first, second = file_in(tmp_path).held(), file_in(tmp_path).held()
    with first, pytest.raises(UsageError, match="another training is at work"), second:
        pass
    with file_in(tmp_path).held():
        pass
    lost = CheckpointFile(tmp_path / "nowhere" / "run", IDENTITY).held()
    with pytest.raises(UsageError, match="choose a writable folder"), lost:
        pass


def stepped(network: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    for _ in range(3):
        optimiser.zero_grad()
        network(
            torch.randn(4, 2, 8, 8).contiguous(memory_format=torch.channels_last)
        ).square().mean().backward()
        optimiser.step()


def made() -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = [{"params": [network[0].weight, network[2].weight]}, {"params": [network[0].bias]}]
    return network, torch.optim.AdamW(groups, lr=0.01)


def test_network_and_optimiser_go_on_where_they_were(tmp_path: Path) -> None:
    network, optimiser = made()
    stepped(network, optimiser, 2)
    file_in(tmp_path).save(
        Saved({}, network_tensors("live", network.state_dict()) | optimiser_tensors(optimiser))
    )
    stepped(network, optimiser, 3)
    again, optimiser_again = made()
    saved = file_in(tmp_path).load()
    assert saved is not None
    restore_network(again, "live", saved)
    restore_optimiser(optimiser_again, saved)
    moment = optimiser_again.state[again[2].weight]["exp_avg"]
    assert moment.is_contiguous(memory_format=torch.channels_last)
    stepped(again, optimiser_again, 3)
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_an_optimiser_of_another_network_is_refused(tmp_path: Path) -> None:
    network, optimiser = made()
    stepped(network, optimiser, 2)
    file_in(tmp_path).save(Saved({}, optimiser_tensors(optimiser)))
    saved = file_in(tmp_path).load()
    assert saved is not None
    for other in (nn.Conv2d(2, 8, 3), nn.Sequential(nn.Conv2d(2, 8, 5), nn.Conv2d(8, 3, 3, bias=False))):
        parameters = list(other.parameters()) + [nn.Parameter(torch.zeros(8))] * (
            isinstance(other, nn.Sequential)
        )
        with pytest.raises(UsageError, match="another network"):
            restore_optimiser(torch.optim.AdamW(parameters[:3]), saved)
