"""Training a network: each epoch its steps, its score on the validation blocks, its checkpoint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prefetch import prefetched
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import VALIDATION
from inference.training.checkpoint import CheckpointFile
from inference.training.evaluation import evaluate
from inference.training.loss import SegmentationLoss, class_weights, prior_shifts
from inference.training.processes import make_fabric
from inference.training.run import Epoch, TrainingRun
from inference.training.samples import TrainingScene, WindowSampler
from inference.training.schedule import average_into, schedule
from inference.training.set_sampler import SetSampler
from inference.training.settings import TrainingSettings
from inference.weights import weights_to_bytes

__all__ = ["Epoch", "average_into", "fit", "schedule"]

BATCHES_AHEAD = 3
WINDOWS_COUNTED = 2000  # to learn how often each class is met


def fit(
    model: SegmentationModel,
    scenes: Sequence[TrainingScene],
    pixels_by_class: Sequence[int],
    settings: TrainingSettings,
    windows_per_epoch: int,
    on_epoch: Callable[[Epoch], None],
    *,
    boxes: Sequence[NDArray[np.int64]] | None = None,
    checkpoint: Path | None = None,
    fabric: Fabric | None = None,
) -> tuple[list[Epoch], int]:
    """Train; afterwards ``model.network`` holds the weights of the best epoch.

    On a CPU the same seed gives the same weights, unless a time limit cut the schedule short. With a
    checkpoint that holds also for a training that was killed and started again, at any moment: every random
    number of an epoch follows from the seed and the epoch, and an epoch that was not finished is done again.

    In a training of several processes all call this alike; each draws windows of its own, and the first alone
    judges, saves and hears of the epochs.

    Args:
        model: with a fresh network.
        scenes: with their split.
        pixels_by_class: labelled training pixels of each mapped class.
        settings: how.
        windows_per_epoch: windows drawn an epoch.
        on_epoch: called after each epoch.
        boxes: for each scene the windows of a sample set to train on, see `SetSampler`; None: windows lie
            anywhere around training labels.
        checkpoint: file to save to after each epoch, and to go on from where it is there; None: none.
        fabric: of this process; None: made for the model's device.

    Returns:
        Figures of each epoch, also of those before a kill, and the best epoch.

    Raises:
        UsageError: the loss is no longer finite, the device's memory does not hold a batch, or the checkpoint
            belongs to another training or cannot be written.

    """
    fabric = fabric or make_fabric(model.device)
    _check_processes(settings.batch_size, fabric.world_size)
    parts = (scenes, model.mapped_codes, model.normalisation, model.tile_px)
    sampler = WindowSampler(*parts) if boxes is None else SetSampler(*parts, boxes)
    pixels = np.array(pixels_by_class, np.float64)
    weights = class_weights(pixels)
    met = sampler.met_pixels(WINDOWS_COUNTED, np.random.default_rng(settings.seed))
    shifts = prior_shifts(met, pixels, weights)
    loss = SegmentationLoss(model.mapped_outputs, model.mapped_codes, weights, shifts, settings.gamma)
    steps = max(1, math.ceil(windows_per_epoch * settings.repeats / settings.batch_size))
    file = None
    if checkpoint is not None:
        identity = _identity(model, scenes, settings, windows_per_epoch, fabric.world_size, boxes)
        file = CheckpointFile(checkpoint, identity)
    gpus = [model.device] if model.device.type == "cuda" else []
    with (
        torch.random.fork_rng(gpus),
        file.held() if file and fabric.global_rank == 0 else nullcontext(),
    ):
        run = TrainingRun(model, loss.to(model.device), settings, steps, fabric)
        saved = file.load() if file else None
        if saved is not None:
            run.restore(saved)
        for number in run.epochs_left():
            rng = np.random.default_rng((settings.seed, number, fabric.global_rank))
            batches = sampler.located_batches(steps, run.batch_size, rng, settings.repeats)
            with prefetched(batches, BATCHES_AHEAD) as ahead:
                run.train(number, ahead)
            first = fabric.global_rank == 0
            score = evaluate(model, scenes, VALIDATION, settings.overlap_px).mean_iou if first else 0.0
            epoch = run.judged(number, float(fabric.broadcast(score)))
            if first:
                if file is not None:
                    file.save(run.saved())
                on_epoch(epoch)
    model.network.load_state_dict(run.best_state)
    return run.history, run.best_epoch


def _check_processes(batch_size: int, processes: int) -> None:
    if batch_size % processes or batch_size // processes < 2:
        raise UsageError(
            f"a batch of {batch_size} windows cannot be shared by {processes} processes: "
            f"train with --batch {max(2, -(-batch_size // processes)) * processes}"
        )


def _identity(
    model: SegmentationModel,
    scenes: Sequence[TrainingScene],
    settings: TrainingSettings,
    windows_per_epoch: int,
    processes: int,
    boxes: Sequence[NDArray[np.int64]] | None,
) -> dict[str, Any]:
    """What makes a training this one: a checkpoint of another must not be gone on with."""
    labels, windows = hashlib.sha256(), hashlib.sha256()
    for scene in scenes:
        for values in (scene.labelled.rows, scene.labelled.cols, scene.labelled.classes, scene.parts):
            labels.update(np.ascontiguousarray(values).data)
    for here in boxes or ():
        windows.update(repr(here.tolist()).encode())
    return {
        "settings": settings.as_json(),
        "windows_per_epoch": windows_per_epoch,
        "processes": processes,
        "scenes": [scene.product for scene in scenes],
        "labels": labels.hexdigest(),
        "windows": None if boxes is None else windows.hexdigest(),
        "bands": model.band_names,
        "classes": model.mapped_codes,
        "normalisation": model.normalisation.as_json(),
        "tile_px": model.tile_px,
        "first_weights": hashlib.sha256(weights_to_bytes(model.network)).hexdigest(),
    }
