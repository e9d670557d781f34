"""Processes that trainings run in: what they say is heard, and none outlives the one that began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from inference.prospect.experiment.processes import tell, trainings_in
from tests.support import REPOSITORY

ALONE = """
import time, os, sys
from tests.unit.test_prospect_experiment_processes import last_for
from inference.prospect.experiment.processes import trainings_in
if __name__ == "__main__":
    with trainings_in(2, print) as processes:
        processes.submit(last_for, 600.0, sys.argv[1])
        time.sleep(600)
"""


def threads_of(name: str) -> tuple[int, int]:
    tell(f"{name} began")
    return torch.get_num_threads(), os.getpid()


def last_for(seconds: float, noted: str = "") -> None:
    if noted:
        Path(noted).write_text(str(os.getpid()))
    time.sleep(seconds)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until_gone(process: int) -> None:
    for _ in range(100):
        if not is_running(process):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} is still running")


def test_one_at_a_time_is_done_here() -> None:
    said: list[str] = []
    with trainings_in(1, said.append) as processes:
        assert processes.submit(threads_of, "a").result()[1] == os.getpid()
    assert said == ["a began"]
    with pytest.raises(ZeroDivisionError), trainings_in(1, said.append) as processes:
        processes.submit(divmod, 1, 0)


@pytest.mark.timeout(90)
def test_processes_share_the_cores_and_are_heard_here() -> None:
    said: list[str] = []
    with trainings_in(2, said.append) as processes:
        found = [each.result() for each in wait([processes.submit(threads_of, name) for name in "ab"]).done]
    assert {threads for threads, _process in found} == {max(1, torch.get_num_threads() // 2)}
    assert os.getpid() not in {process for _threads, process in found}
    assert sorted(said) == ["a began", "b began"]
    for _threads, process in found:
        until_gone(process)


@pytest.mark.timeout(90)
def test_a_mistake_here_ends_what_is_running_there(tmp_path: Path) -> None:
    noted = tmp_path / "process"
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), trainings_in(2, print) as processes:
        running = processes.submit(last_for, 600.0, str(noted))
        while not noted.exists():
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert isinstance(running.exception(), BrokenProcessPool)
    assert time.monotonic() - begun < 60
    until_gone(int(noted.read_text()))


@pytest.mark.timeout(90)
def test_no_process_outlives_a_killed_one(tmp_path: Path) -> None:
    script, noted = tmp_path / "alone.py", tmp_path / "process"
    script.write_text(ALONE)
    beginner = subprocess.Popen(
        [sys.executable, str(script), str(noted)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    try:
        while not (noted.exists() and noted.read_text()):
            assert beginner.poll() is None
            time.sleep(0.05)
    finally:
        beginner.send_signal(signal.SIGKILL)
        beginner.wait()
    until_gone(int(noted.read_text()))
