"""Named points at which tests hold a process: nothing in service, a wait when asked for."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from db import points
from tests.service.workers import wait_for


@pytest.fixture(autouse=True)
def _nothing_met() -> None:
    points._met.clear()


def reached_aside(*names: str) -> threading.Thread:
    def go() -> None:
        for name in names:
            points.reached(name)

    thread = threading.Thread(target=go)
    thread.start()
    return thread


def sign_of(folder: Path, point: str) -> Path:
    return folder / f"{point}.{os.getpid()}"


def test_in_service_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LODE_HOLD_AT", raising=False)
    monkeypatch.delenv("LODE_HOLD_FOLDER", raising=False)
    points.reached("publish.before_commit")


@pytest.mark.parametrize("taken_away", ["sign", "folder"])
def test_held_until_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, taken_away: str) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    monkeypatch.setenv("LODE_HOLD_AT", "publish.writing")
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(folder))
    thread = reached_aside("infer.windows", "publish.writing")
    wait_for(sign_of(folder, "publish.writing").exists, "it is held", 30)
    assert thread.is_alive()
    assert [each.name for each in folder.iterdir()] == [f"publish.writing.{os.getpid()}"]
    if taken_away == "sign":
        sign_of(folder, "publish.writing").unlink()
    else:
        shutil.rmtree(folder)
    thread.join(30)
    assert not thread.is_alive()
    points.reached("publish.writing")  # only the first time


def test_held_the_third_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LODE_HOLD_AT", "infer.windows@3")
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path))
    points.reached("infer.windows")
    points.reached("infer.windows")
    assert list(tmp_path.iterdir()) == []
    thread = reached_aside("infer.windows")
    wait_for(sign_of(tmp_path, "infer.windows").exists, "it is held", 30)
    sign_of(tmp_path, "infer.windows").unlink()
    thread.join(30)
    assert not thread.is_alive()


def test_nobody_is_held_without_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LODE_HOLD_AT", "infer.windows")
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path / "gone"))
    points.reached("infer.windows")
