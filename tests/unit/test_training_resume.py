"""A training that is really killed, several times, ends with the weights of one that ran through."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.support import REPOSITORY
from tests.unit.small_training import main

EPOCHS = 5


def started(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable, "-m", "tests.unit.small_training", str(folder / "run.safetensors"),
            str(folder / "weights"), str(EPOCHS), "--pause",
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def kill_after(folder: Path, epoch: int, pause_s: float) -> str:
    """Start a training, and SIGKILL it some time after it finished an epoch; what it said until then."""
    process = started(folder)
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith(f"epoch {epoch} "):
            break
    time.sleep(pause_s)
    process.kill()
    said += process.communicate()[0]
    assert process.returncode == -9, said
    return said


def run_here(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a training to its end in this process, on one thread as the others; what it said."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        main(folder / "run.safetensors", folder / "weights", EPOCHS, is_slow=False)
    finally:
        torch.set_num_threads(threads)
    return capsys.readouterr().out


def test_a_killed_training_ends_as_if_nothing_had_happened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    said_through = run_here(whole, capsys)
    said = kill_after(killed, 1, 0.0) + kill_after(killed, 3, 0.3)
    assert not (killed / "weights").exists()
    # what a kill in the middle of writing leaves behind
    (killed / "run.safetensors.part").write_bytes((killed / "run.safetensors").read_bytes()[:1000])
    said_last = run_here(killed, capsys)
    assert "epoch 1 " not in said_last
    assert "epoch 3 " not in said_last
    assert said_last.splitlines()[-1] == said_through.splitlines()[-1]
    assert set((said + said_last).splitlines()) <= set(said_through.splitlines())
    assert (killed / "weights").read_bytes() == (whole / "weights").read_bytes()
    differ = 0
    with (
        safe_open(str(killed / "run.safetensors"), "pt") as ours,
        safe_open(str(whole / "run.safetensors"), "pt") as theirs,
    ):
        assert set(ours.keys()) == set(theirs.keys())
        for name in ours.keys():  # noqa: SIM118
            differ += int(not ours.get_tensor(name).equal(theirs.get_tensor(name)))
    assert differ == 0
