"""Two processes of torchrun train one network together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from db.errors import UsageError
from inference.training.processes import is_first_process, make_fabric, training_device
from inference.training.trainer import _check_processes
from tests.support import REPOSITORY


def run_two(folder: Path, epochs: int) -> str:
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
            "tests.unit.small_training", str(folder / "run"), str(folder / "weights"), str(epochs),
        ],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    said = run_two(tmp_path, 2)
    lines = [line for line in said.splitlines() if line.startswith(("epoch", "finished"))]
    assert [line.split()[0] for line in lines] == ["epoch", "epoch", "finished"]
    first, second = (float(line.split()[2]) for line in lines[:2])
    assert second < first
    parameters = [line.split()[1] for line in said.splitlines() if line.startswith("parameters")]
    assert len(parameters) == 2
    assert len(set(parameters)) == 1
    assert (tmp_path / "weights").stat().st_size > 10_000


WAITING = """
import datetime, os, sys, time
from pathlib import Path
import torch
from inference.training import processes
assert processes.LONGEST_WAIT > datetime.timedelta(days=1)
processes.LONGEST_WAIT = datetime.timedelta(seconds=float(sys.argv[1]))
place = Path(sys.argv[2])
(place / os.environ["RANK"]).touch()
while len(list(place.iterdir())) < 2:  # to find each other has to take less than that, too
    time.sleep(0.01)
fabric = processes.make_fabric(torch.device("cpu"))
if fabric.global_rank == 0:
    time.sleep(12)  # as if it judged
try:
    fabric.barrier()
except RuntimeError:
    print("did not wait", flush=True)
"""


def test_the_others_wait_as_long_as_told_while_the_first_judges(tmp_path: Path) -> None:
    """Days, not the half hour that is usual: told to wait a few seconds, they give up."""
    program = tmp_path / "waiting.py"
    program.write_text(WAITING)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(program), "3", str(meeting)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert "did not wait" in done.stdout, done.stderr[-2000:]


def test_one_process_is_the_first() -> None:
    assert is_first_process()
    assert training_device("cpu") == torch.device("cpu")
    assert make_fabric(torch.device("cpu")).world_size == 1


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    _check_processes(16, 4)
    for batch_size, processes in ((10, 4), (4, 4)):
        with pytest.raises(UsageError, match=r"cannot be shared by 4 processes: train with --batch"):
            _check_processes(batch_size, processes)
