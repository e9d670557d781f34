"""Blocks of a large scene: some rows are classified by themselves and wait in the database for publication.

A block's rows are the same whoever computes them, and its windows are composed into batches by themselves:
so it does not matter which worker computes which block, or how often.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from db import blocks, runs
from db.blocks import Block, BlockClaim
from db.connection import connect
from db.errors import UsageError
from db.local_disk import temporary_folder
from db.locks import end_when_silent
from db.points import reached
from db.scenes import Scene, scene_by_id
from db.watch import require_unchanged
from inference.attempts import block_attempt
from inference.beat import Beat, no_beat, patiently
from inference.device import describe_device
from inference.maps import Maps, no_room
from inference.model_cache import ModelCache
from inference.predict import predict_scene
from inference.scene_checks import open_source
from inference.segmentation_model import SegmentationModel
from inference.windows import WindowPlan

STAGED_ROWS = 256
"""Rows in one row of the stage."""


@dataclass(frozen=True)
class Work:
    """What a run is to do, with its scene, its network on the device and its blocks."""

    plan: runs.RunPlan
    scene: Scene
    model: SegmentationModel
    blocks: list[Block]

    def maps(self, first_row: int, rows: int) -> Maps:
        """Room for what the network says of some rows; for their outline, which is drawn later, room is left.

        Raises:
            LocalDiskError: there is none now.
            RetryError: there never is: the disk is smaller.

        """
        width, classes = self.scene.grid.width_px, len(self.model.class_codes)
        size = rows * width * (classes + 2)
        if size > shutil.disk_usage(temporary_folder()).free:
            raise no_room(size)
        return Maps(first_row, rows, width, classes)

    def windows_of(self, block: Block) -> int:
        """Windows over the rows of a block."""
        grid = self.scene.grid
        plan = WindowPlan(grid.height_px, grid.width_px, self.model.tile_px, self.plan.overlap_px)
        return len(plan.bands_touching(*rows_of(block))) * len(plan.cols)


@dataclass(frozen=True)
class StagedBlock:
    """What became of a block.

    Attributes:
        run_id, block: which one.
        product, model: names of scene and network.
        rows: rows that were staged.
        seconds: from the claim to the end.
        is_last: all blocks of the run are staged now, and its publication waits in the queue.

    """

    run_id: int
    block: int
    product: str
    model: str
    rows: int
    seconds: float
    is_last: bool


def rows_of(block: Block) -> tuple[int, int]:
    """First row and end of a block, in the scene."""
    return block.first_row_px, block.first_row_px + block.row_count_px


def worker_name(device: torch.device) -> str:
    """Who computes: host, process and device."""
    return f"{socket.gethostname()}, process {os.getpid()}, {describe_device(device)}"


def read_work(url: str, run_id: int, models: ModelCache) -> Work:
    """What a run is to do; takes its network to the device.

    Raises:
        UsageError: no such run, or a network that cannot work.

    """
    with connect(url, application_name="lode infer") as conn:
        plan = runs.run_plan(conn, run_id)
        scene = scene_by_id(conn, plan.scene_id)
        return Work(plan, scene, models.get(conn, plan.model_id), blocks.blocks_of(conn, run_id))


def compute_block(
    url: str,
    run_id: int,
    block: int,
    models: ModelCache,
    *,
    most_attempts: int,
    beat: Beat = no_beat,
    batch_size: int | None = None,
) -> StagedBlock:
    """Classify the rows of a block and stage the answer, all of it or nothing.

    Args:
        url: libpq URL of the database.
        run_id: the run.
        block: number of the block.
        models: networks on a device.
        most_attempts: after so many the run fails.
        beat: hears of the progress, and may end the work.
        batch_size: windows at once; None: by window size and device.

    Raises:
        SupersededError: it is staged, was given to another worker, or the run waits for it no more.
        OutdatedError: the database was upgraded; the attempt was given back.
        UsageError: the scene or the network cannot work.
        InterruptionError: the beat ended it.

    """
    begun = time.monotonic()
    claim = patiently(lambda: _claim(url, run_id, block, models.device, most_attempts), beat)
    with block_attempt(url, claim, most_attempts):
        work = patiently(lambda: read_work(url, run_id, models), beat)
        mine = next((each for each in work.blocks if each.block == block), None)
        if mine is None:
            raise UsageError(f"run {run_id} has no block {block}; it has {len(work.blocks)}")
        maps = work.maps(mine.first_row_px, mine.row_count_px)
        classify(url, work, mine, maps, beat=beat, batch_size=batch_size)
        is_last = patiently(lambda: _stage(url, claim, mine, maps, beat), beat)
    return StagedBlock(
        run_id,
        block,
        work.scene.product,
        work.model.name,
        mine.row_count_px,
        time.monotonic() - begun,
        is_last,
    )


def _claim(url: str, run_id: int, block: int, device: torch.device, most_attempts: int) -> BlockClaim:
    with connect(url, application_name="lode infer") as conn:
        require_unchanged(conn)
        return blocks.claim_block(
            conn, run_id, block, worker=worker_name(device), most_attempts=most_attempts
        )


def classify(
    url: str, work: Work, block: Block, maps: Maps, *, beat: Beat = no_beat, batch_size: int | None = None
) -> None:
    """Classify the rows of a block; begins again with its first row when the database went away meanwhile.

    Args:
        url: libpq URL of the database.
        work: the run.
        block: the rows.
        maps: takes the answer.
        beat: hears of windows done and windows in all, and may end the work.
        batch_size: windows at once; None: by window size and device.

    Raises:
        UsageError: the network cannot take the scene.
        RetryError: the database stayed away.
        InterruptionError: the beat ended it.

    """

    def progress(done: int, total: int) -> None:
        beat("classifying", done, total)
        if done:
            reached("infer.windows")

    def once() -> None:
        # Each read by itself: a transaction of an hour would keep the server from clearing up.
        with connect(url, autocommit=True, application_name="lode infer (reader)") as reading:
            source = open_source(reading, work.scene, work.model)
            strips = predict_scene(
                source,
                work.model,
                overlap_px=work.plan.overlap_px,
                batch_size=batch_size,
                rows=rows_of(block),
                progress=progress,
            )
            with closing(strips):  # before the connection, which its thread reads on
                for strip in strips:
                    if strip.probabilities is None:
                        raise TypeError("the prediction came without probabilities")
                    maps.put(strip.row, strip.class_map, strip.probabilities)

    patiently(once, beat)


def _stage(url: str, claim: BlockClaim, block: Block, maps: Maps, beat: Beat) -> bool:
    """Stage a block, all of it or nothing; whether it was the run's last."""
    first, end = rows_of(block)
    with connect(url, application_name=blocks.staging_name(claim.run_id, claim.block)) as conn:
        beat("staging", 0, end - first)
        with conn.transaction():
            end_when_silent(conn)
            is_wanted = blocks.begin_staging(conn, claim)
        with conn.transaction():
            end_when_silent(conn)
            blocks.keep_run(conn, claim)
            require_unchanged(conn)
            for row in range(first, end, STAGED_ROWS) if is_wanted else ():
                behind = min(row + STAGED_ROWS, end)
                class_map, probability = maps.get(row, behind)
                blocks.stage_rows(conn, claim, row, class_map.tobytes(), probability.tobytes())
                beat("staging", behind - first, end - first)
            is_last = blocks.finish_block(conn, claim)
            reached("stage.before_commit")
        reached("stage.after_commit")
    return is_last


def load_staged(url: str, work: Work, block: Block, maps: Maps) -> bool:
    """Enter what was staged of a block into maps.

    False: it is not there as a whole, or another version of Lode computed it, as before an upgrade.
    """
    first, end = rows_of(block)
    width, classes = work.scene.grid.width_px, len(work.model.class_codes)
    with connect(url, application_name="lode infer") as conn:
        states = {each.block: each for each in blocks.blocks_of(conn, block.run_id)}
        if block.block not in states or not states[block.block].is_usable:
            return False
        row = first
        for part in blocks.staged_rows(conn, block.run_id, block.block):
            if part.row_px != row:
                return False
            rows = len(part.class_map) // width
            maps.put(
                row,
                np.frombuffer(part.class_map, np.uint8).reshape(rows, width),
                np.frombuffer(part.probability, np.uint8).reshape(classes, rows, width),
            )
            row += rows
    return row == end
