"""A scene and a network become published land cover: read -> predict -> merge -> outline -> publish."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import psycopg
import torch
from psycopg import Connection

from db import runs
from db.blocks import Block
from db.connection import connect
from db.errors import UsageError
from db.locks import end_when_silent
from db.points import reached
from db.registry import model_by_name
from db.scenes import scene_by_product
from db.watch import require_current, require_unchanged
from inference.attempts import run_attempt
from inference.beat import Beat, no_beat, patiently
from inference.blocks import Work, classify, load_staged, read_work
from inference.device import choose_device, describe_device, device_faults
from inference.maps import Maps, mapped_file
from inference.model_cache import ModelCache
from inference.publish import Interpretation, observed, outline, publish

VERSIONS = {name: version(name) for name in ("lode", "torch", "numpy", "numba", "shapely", "pyproj")}
"""Of what computes here, as this process began: newer ones may be installed over its files meanwhile."""

HOLD_INTERVAL_S = 5.0
"""How often one who computes by hand sees, at a beat, that the run is still held, seconds."""


@dataclass(frozen=True)
class Outcome:
    """What an interpretation did.

    Attributes:
        run_id: the run.
        product, model: names of its scene and its network.
        was_published_before: nothing was computed, the run existed.
        is_current: it stands for its scene.
        figures: pixels, patches, areas, seconds of each stage; empty when nothing was computed.
        device: what computed it.

    """

    run_id: int
    product: str
    model: str
    was_published_before: bool
    is_current: bool
    figures: dict[str, int | float]
    device: str


def interpret(
    url: str,
    product: str,
    model_name: str,
    *,
    overlap_px: int | None = None,
    batch_size: int | None = None,
    device_name: str | None = None,
    become_current: bool = False,
    progress: Beat = no_beat,
) -> Outcome:
    """Interpret a scene and publish the result, unless this was done before.

    Args:
        url: libpq URL of the database.
        product: the scene's product name; its newest version is taken.
        model_name: the network.
        overlap_px: pixels shared by neighbouring windows; None: a quarter of the window.
        batch_size: windows at once; does not change the result. None: by window size and device.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        become_current: stand for the scene even if another run already does.
        progress: takes the stage, units done and units in all.

    Raises:
        UsageError: unknown scene or model, a scene the network cannot take, nothing observed, another
            worker at the same run, a GPU that is full or fails, a database of another version of Lode.
            Nothing is published then.

    """
    models = ModelCache(choose_device(device_name))
    with device_faults(), connect(url, application_name="lode infer") as conn:
        require_current(conn)
        scene = scene_by_product(conn, product)
        model = models.get(conn, model_by_name(conn, model_name).model_id)
        run = runs.request_interpretation(
            conn, scene.scene_id, model.model_id, overlap_px=overlap_px, becomes_current=become_current
        )
        conn.commit()
        if run.status != "published":
            with _held(url, conn, run.run_id, progress) as beat:
                run = runs.run_by_id(conn, run.run_id)  # as whoever held it before left it
                conn.commit()
                if run.status != "published":
                    return perform_run(url, run.run_id, models, beat=beat, batch_size=batch_size)
    with connect(url, application_name="lode infer") as conn:
        current = run.is_current or (become_current and runs.make_current(conn, run.run_id))
    return Outcome(run.run_id, scene.product, model.name, True, current, {}, describe_device(models.device))


class _Hold:
    """Holds a run by a connection; where that is lost, a beat makes it anew and takes the run again.

    When somebody else has the run meanwhile, the newer token decides who publishes.

    Args:
        url: libpq URL of the database.
        conn: holds the run now.
        run_id: the run.
        beat: where beats go on to.

    """

    def __init__(self, url: str, conn: Connection[Any], run_id: int, beat: Beat) -> None:
        self._url = url
        self._conn = conn
        self._run_id = run_id
        self._beat = beat
        self._next_at = time.monotonic() + HOLD_INTERVAL_S

    def beat(self, stage: str, done: int, total: int) -> None:
        """See to the hold, and pass the beat on."""
        if time.monotonic() >= self._next_at:
            with suppress(psycopg.OperationalError, UsageError):  # again at a later beat
                self._see_to_it()
            self._next_at = time.monotonic() + HOLD_INTERVAL_S
        self._beat(stage, done, total)

    def close(self) -> None:
        """Close the connection; its locks go with it."""
        self._conn.close()

    def _see_to_it(self) -> None:
        if runs.is_heard(self._conn):
            return
        self._conn.close()
        conn = connect(self._url, application_name="lode infer")
        if runs.hold(conn, self._run_id):
            self._conn = conn
        else:
            conn.close()


@contextmanager
def _held(url: str, conn: Connection[Any], run_id: int, beat: Beat) -> Iterator[Beat]:
    """Hold a run against others who type the same, by beats as well; the connection is closed at the end.

    Raises:
        UsageError: somebody else is at it.

    """
    worker = runs.worker_of(conn, run_id)
    if worker is not None:
        raise UsageError(
            f"run {run_id} is being computed by a worker ({worker}): wait for it (lode_api.queue shows how "
            f"far it is), or cancel it with `lode run cancel {run_id}`"
        )
    with runs.working_on(conn, run_id):
        held = _Hold(url, conn, run_id, beat)
        try:
            yield held.beat
        finally:
            held.close()
            conn.close()  # its locks go with it: there is none to give back


def perform_run(
    url: str,
    run_id: int,
    models: ModelCache,
    *,
    most_attempts: int | None = None,
    beat: Beat = no_beat,
    batch_size: int | None = None,
) -> Outcome:
    """Compute a run and publish it; blocks that are staged are not computed again.

    Args:
        url: libpq URL of the database.
        run_id: the run.
        models: networks on a device.
        most_attempts: after so many the run fails; None: a person calls, as often as they like, and who is
            told when it fails.
        beat: hears of the progress, and may end the work.
        batch_size: windows at once; None: by window size and device.

    Raises:
        SupersededError: the run is published, cancelled or withdrawn, or was given to another worker.
        UsageError: the scene or the network cannot work, nothing was observed.
        OutdatedError: the database was upgraded; the attempt was given back.
        InterruptionError: the beat ended it. Nothing is published then, nor in any other of these cases.

    """
    claim = patiently(lambda: _claim(url, run_id, models.device, most_attempts), beat)
    with run_attempt(url, claim, most_attempts):
        work = patiently(lambda: read_work(url, run_id, models), beat)
        begun = time.perf_counter()
        maps = work.maps(0, work.scene.grid.height_px)
        _fill(url, work, maps, beat, batch_size)
        if not observed(maps.class_map):
            raise UsageError(f"scene {work.scene.product}: nothing was observed, there is nothing to publish")
        predicted = time.perf_counter()
        interpretation = _outline(work, maps, beat)
        interpretation.figures["predict_s"] = round(predicted - begun, 3)
        interpretation.figures["outline_s"] = round(time.perf_counter() - predicted, 3)
        figures = _publish(url, claim, work, interpretation, beat)
    current = patiently(lambda: _is_current(url, run_id), beat)
    return Outcome(
        run_id,
        work.scene.product,
        work.model.name,
        False,
        current,
        figures,
        describe_device(models.device),
    )


def _claim(url: str, run_id: int, device: torch.device, most_attempts: int | None) -> runs.Claim:
    with connect(url, application_name="lode infer") as conn:
        require_unchanged(conn)
        return runs.claim_run(
            conn, run_id, device=describe_device(device), versions=VERSIONS, most_attempts=most_attempts
        )


def _is_current(url: str, run_id: int) -> bool:
    with connect(url, application_name="lode infer") as conn:
        return runs.run_by_id(conn, run_id).is_current


def _fill(url: str, work: Work, maps: Maps, beat: Beat, batch_size: int | None) -> None:
    """Enter what the network says of all blocks into the maps: from the stage, or computed here."""
    in_all = sum(work.windows_of(block) for block in work.blocks)
    done = 0
    for block in work.blocks:
        beat("loading", done, in_all)
        if not patiently(_loading(url, work, block, maps), beat):
            classify(url, work, block, maps, beat=_counting_from(beat, done, in_all), batch_size=batch_size)
        done += work.windows_of(block)


def _loading(url: str, work: Work, block: Block, maps: Maps) -> Callable[[], bool]:
    return lambda: load_staged(url, work, block, maps)


def _counting_from(beat: Beat, before: int, in_all: int) -> Beat:
    """A beat that counts the windows of all blocks."""

    def counting(stage: str, done: int, total: int) -> None:
        if stage == "classifying":
            done, total = before + done, in_all
        beat(stage, done, total)

    return counting


def _outline(work: Work, maps: Maps, beat: Beat) -> Interpretation:
    grid = work.scene.grid
    pixel_m2 = grid.resolution_x * grid.resolution_y
    return outline(
        maps.class_map,
        maps.probability,
        list(work.model.class_codes),
        grid,
        {code: math.ceil(area / pixel_m2) for code, area in work.plan.min_patch_m2.items()},
        work.plan.max_segment_m,
        mapped_file((grid.height_px, grid.width_px)),
        progress=lambda: beat("outlining", 0, 0),
    )


def _publish(
    url: str, claim: runs.Claim, work: Work, interpretation: Interpretation, beat: Beat
) -> dict[str, int | float]:
    """Publish in one transaction, which is begun anew where the database went away in the middle of it."""
    begun = time.perf_counter()
    figures: dict[str, int | float] = {}

    def once() -> None:
        with connect(url, application_name=runs.publishing_name(claim)) as conn:
            with conn.transaction():
                end_when_silent(conn)
                stored = publish(
                    conn,
                    claim,
                    year=work.scene.acquired_on.year,
                    grid=work.scene.grid,
                    tile_px=work.scene.tile_px,
                    interpretation=interpretation,
                    progress=beat,
                )
                if stored is not None:  # else the answer to the commit was lost, not the commit
                    figures.update(stored)
                reached("publish.before_commit")
            reached("publish.after_commit")

    patiently(once, beat)
    return {**figures, "publish_s": round(time.perf_counter() - begun, 3)}
