"""A training whose network cannot be stored: full disks, and a kill in the middle of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from db.connection import connect, retrying
from tests.db.trials import QUICK, Trial


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A system that writes no longer files, as a full disk would; the database's own are not of this one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_at_the_checkpoint(untouched: Trial) -> None:
    with files_up_to(10_000):
        error = untouched.refused()
    assert "could not be written" in error
    assert "Make room, then start the same training again" in error


def test_a_training_that_stops_before_its_first_checkpoint_leaves_no_lock(untouched: Trial) -> None:
    untouched.refused("--lr", "1e30")


FULL = """
create function lode.full_disk() returns trigger language plpgsql as
$$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
create trigger full_disk before insert on lode.model_weights execute function lode.full_disk();
"""
NO_LONGER_FULL = "drop function lode.full_disk() cascade"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts to store as ever, without ten seconds of pauses between them."""
    monkeypatch.setattr("inference.training.keeping.retrying", partial(retrying, first_pause_s=0.01))


def test_a_full_disk_at_the_store_loses_no_training(trial: Trial, impatient: None) -> None:
    """The server's own error; the checkpoint stays, so that the same command stores what was trained."""
    checkpoint = trial.folder / "run"
    with trial.changing() as conn:
        conn.execute(FULL)
    code, _said, error = trial.train("--checkpoint", checkpoint)
    assert code == 1
    assert "disk is full" in error
    assert trial.stored() == (0, 0)
    assert checkpoint.exists()
    with trial.changing() as conn:
        conn.execute(NO_LONGER_FULL)
    code, said, error = trial.train("--checkpoint", checkpoint)
    assert code == 0, error
    assert f"going on from {checkpoint}" in said
    assert "epoch 1/1" not in said
    assert trial.stored() == (1, 1)
    assert list(trial.folder.iterdir()) == []


def test_a_full_disk_at_the_store_is_said_plainly(trial: Trial, impatient: None) -> None:
    with trial.changing() as conn:
        conn.execute(FULL)
    code, said, error = trial.train()
    assert code == 1
    assert "gave up after 6 attempts: the database's disk is full" in error
    assert "epoch 1/1" in said


SLOW = """
create function lode.slow() returns trigger language plpgsql as
$$ begin perform pg_sleep(60); return null; end $$;
create trigger slow after insert on lode.model_weights execute function lode.slow();
"""
STORING = (
    "select pid from pg_stat_activity where application_name = 'lode train' and wait_event = 'PgSleep'"
    " and datname = current_database()"
)


def test_a_run_killed_while_it_stores_leaves_no_model(trial: Trial) -> None:
    checkpoint = trial.folder / "run"
    with trial.changing() as conn:
        conn.execute(SLOW)
    command = [
        sys.executable, "-m", "lode", "train", "segmentation", "--name", "x", *QUICK,
        "--checkpoint", str(checkpoint),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with connect(trial.url, autocommit=True) as conn:
        for _ in range(1800):
            storing = conn.execute(STORING).fetchall()
            if storing or process.poll() is not None:
                break
            time.sleep(0.1)
        process.kill()
        if storing:  # a server sleeps on when nobody listens any more
            conn.execute("select pg_terminate_backend(pid) from unnest(%s) pid", ([storing[0][0]],))
        _, error = process.communicate(timeout=60)
        assert storing, error
        assert process.returncode == -9, error
        conn.execute("drop function lode.slow() cascade")
    assert trial.stored() == (0, 0)
    assert checkpoint.exists()
    code, said, error = trial.train("--checkpoint", checkpoint)
    assert code == 0, error
    assert "epoch 1/1" not in said
    assert trial.stored() == (1, 1)
    assert list(trial.folder.iterdir()) == []
