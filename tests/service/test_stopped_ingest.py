"""A worker that is stopped while a scene comes in, and that does not stop by itself: it costs no attempt."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from service.worker import Worker
from tests.service.worker_here import until, work_here
from tests.source_files import described_tiff
from tests.source_runs import Sources


def test_an_ingest_whose_engine_was_ended_for_it_is_given_back(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = "fetch.after"
    described_tiff(tmp_path / "inbox" / "d1.tif")
    sources = Sources(database_url, tmp_path)
    sources.scan(sources.add("folder", tmp_path / "inbox"))
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    monkeypatch.setenv("LODE_HOLD_AT", point)
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path))
    monkeypatch.setattr("service.job_runner.RELEASE_S", 0.3)

    async def during(worker: Worker) -> None:
        await until(lambda: any(tmp_path.glob(f"{point}.*")), "the engine is stuck")
        assert [(item["status"], item["attempt"]) for item in sources.items()] == [("fetched", 1)]
        for _ in range(2):  # the second time: now
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.1)
        await until(lambda: not worker._runner._engine.is_running, "its engine is ended", 10)

    work_here(database_url, during, grace_s=60.0)
    assert [(item["status"], item["attempt"]) for item in sources.items()] == [("found", 0)]
    assert len(sources.jobs("ingest_item")) == 1
