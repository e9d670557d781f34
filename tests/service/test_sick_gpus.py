"""A GPU that others have filled, or that fails: this machine's own ailment, no fault of the runs it meets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from db import runs
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from inference import segmentation_model
from inference.blocks import compute_block
from inference.device import DeviceError
from inference.interpret import interpret, perform_run
from inference.model_cache import ModelCache
from inference.tasks import MOST_ATTEMPTS
from service import protocol
from service.aside import Aside
from service.job_runner import JobRunner
from service.metrics import WorkerMetrics
from tests.service.conftest import SIDE_PX
from tests.service.district import NETWORK, split_district
from tests.service.worker_here import counted, spoil
from tests.service.workers import request, statuses

ECC = "CUDA error: uncorrectable ECC error encountered"
FULL = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.57 GiB of which 4.00 "
    "MiB is free. Process 7 has 14.02 GiB memory in use. Of the allocated memory 64.00 MiB is allocated by "
    "PyTorch, and 0 bytes is reserved by PyTorch but unallocated."
)
TOO_SMALL = FULL.replace("20.00 MiB", "20.00 GiB")
FAULTS = [
    torch.OutOfMemoryError(FULL),
    torch.AcceleratorError(ECC),
    RuntimeError("CUDA error: unknown error"),
]


@pytest.fixture
def url(cluster: Cluster, district: str) -> Iterator[str]:
    """Of a copy of the district where each scene is two blocks."""
    with split_district(cluster, district, SIDE_PX // 2, SIDE_PX) as url:
        yield url


@pytest.fixture
def models() -> ModelCache:
    return ModelCache(torch.device("cpu"))


def sicken(url: str, models: ModelCache, error: Exception) -> None:
    """Let the network's forward raise."""

    def fail(_network: torch.nn.Module, _tiles: object) -> None:
        raise error

    with connect(url) as conn:
        models.get(conn, 1).network.register_forward_pre_hook(fail)


def kept(url: str) -> list[tuple[str, int, str | None]]:
    """Status, attempts and error of runs."""
    with connect(url) as conn:
        found = conn.execute("select status, attempt, error from lode.run order by run_id").fetchall()
    return [(status, attempt, error) for status, attempt, error in found]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: str(error)[:24])
def test_a_sick_gpu_costs_neither_a_run_nor_a_block_an_attempt(
    url: str, models: ModelCache, error: Exception
) -> None:
    with connect(url) as conn:
        run_id = runs.request_interpretation(conn, 1, 1).run_id
    sicken(url, models, error)
    with pytest.raises(DeviceError):
        perform_run(url, run_id, models, most_attempts=MOST_ATTEMPTS)
    assert kept(url) == [("requested", 0, None)]
    with pytest.raises(DeviceError):
        compute_block(url, run_id, 0, models, most_attempts=MOST_ATTEMPTS)
    with connect(url) as conn:
        blocks = conn.execute("select status, attempt from lode.run_block order by block").fetchall()
    assert set(blocks) == {("waiting", 0)}


def test_a_network_that_finds_no_room_on_a_gpu_costs_no_attempt(
    url: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_network: object, _device: object) -> None:
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr(segmentation_model, "on_device", full)
    with connect(url) as conn:
        run_id = runs.request_interpretation(conn, 1, 1).run_id
    with pytest.raises(DeviceError):
        perform_run(url, run_id, models, most_attempts=MOST_ATTEMPTS)
    assert kept(url) == [("requested", 0, None)]
    with pytest.raises(DeviceError, match="free memory there"):
        interpret(url, "s001", NETWORK)
    assert len(kept(url)) == 1  # nothing was asked for


def test_a_gpu_that_is_too_small_fails_a_run_at_once(url: str, models: ModelCache) -> None:
    with connect(url) as conn:
        run_id = runs.request_interpretation(conn, 1, 1).run_id
    sicken(url, models, torch.OutOfMemoryError(TOO_SMALL))
    with pytest.raises(UsageError, match="too small"):
        perform_run(url, run_id, models, most_attempts=MOST_ATTEMPTS)
    [(status, attempt, error)] = kept(url)
    assert (status, attempt) == ("failed", 1)
    assert "too small" in (error or "")


@pytest.mark.parametrize("is_queued", [False, True])
def test_by_hand_it_is_said_and_what_is_queued_is_left_to_the_queue(
    url: str, monkeypatch: pytest.MonkeyPatch, is_queued: bool
) -> None:
    if is_queued:
        request(url, "s000")

    def fail(_model: object, _tiles: object) -> None:
        raise torch.AcceleratorError(ECC)

    monkeypatch.setattr(segmentation_model.SegmentationModel, "probabilities", fail)
    with pytest.raises(DeviceError, match=r"the GPU fails .*ECC.*--device cpu"):
        interpret(url, "s000", NETWORK, device_name="cpu")
    [(status, _attempt, error)] = kept(url)
    assert status == ("requested" if is_queued else "failed")
    assert is_queued or "ECC" in (error or "")


def test_a_worker_with_a_sick_gpu_fails_no_run_and_begins_its_engine_anew(
    cluster: Cluster, district: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine that met the fault is ended; two different jobs, and the worker is ailing."""
    met = tmp_path / "met"
    note = f"print(os.getpid(), file=open({str(met)!r}, 'a'))"
    fail = f"(_ for _ in ()).throw(torch.AcceleratorError({ECC!r}))"
    hook = f"lambda *_: ({note}, {fail}) if os.path.exists({str(tmp_path / 'flag')!r}) else None"
    deed = f"import torch; torch.nn.modules.module.register_module_forward_pre_hook({hook})"
    place, flag = spoil(tmp_path, "'LODE_ENGINE_PARENT' in os.environ", deed)
    monkeypatch.setenv("PYTHONPATH", str(place))
    metrics = WorkerMetrics("here")

    async def work(url: str, ids: list[int]) -> None:
        aside = Aside(url, "the test", lambda: None)
        runner = JobRunner("cpu", interprets=True, aside=aside, metrics=metrics)

        async def do(run_id: int) -> str:
            return (await runner.do("interpret_run", {"run_id": run_id}, lambda: False)).end

        try:
            await runner.start()
            assert await do(ids[0]) == protocol.UNWELL
            assert runner.ailing is None
            assert await do(ids[1]) == protocol.UNWELL
            assert runner.ailing is not None
            assert "the GPU fails" in runner.ailing
            assert [(status, attempt) for status, attempt, _error in kept(url)] == [("requested", 0)] * 2
            assert all("ECC" in (error or "") for *_state, error in kept(url))
            flag.unlink()
            await runner.start()
            assert await do(ids[0]) == protocol.DONE
            assert await do(ids[1]) == protocol.DONE
        finally:
            await runner.end()
            aside.close()

    with split_district(cluster, district, None, SIDE_PX) as url:
        monkeypatch.setenv("LODE_DATABASE_URL", url)
        asyncio.run(work(url, request(url, "s000", "s001")))
        assert statuses(url) == {"published": 2}
    assert len(set(met.read_text().split())) == 2
    assert counted(metrics, "lode_worker_engine_restarts_total") == 1
