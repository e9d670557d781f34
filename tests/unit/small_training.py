"""A training that takes seconds, for tests that run it here, in processes, and that kill them.

Run as a program it trains and writes the weights of the best epoch: python -m tests.unit.small_training
CHECKPOINT WEIGHTS EPOCHS [--pause]. It says each epoch on standard output.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from inference.networks import build_network
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import TRAIN
from inference.training.label_maps import LabelMap
from inference.training.processes import is_first_process
from inference.training.samples import TrainingScene
from inference.training.settings import TrainingSettings
from inference.training.split import make_split, pixels_by_part
from inference.training.statistics import training_normalisation
from inference.training.trainer import Epoch, fit
from inference.weights import weights_to_bytes
from tests.unit.segmentation_models import model_of, noise, source_of_pixels

SETTINGS = TrainingSettings(backbone="small", tile_px=32, epochs=3, batch_size=8, seed=3)
WINDOWS = 48

Given = tuple[list[TrainingScene], SegmentationModel, list[int]]


def small_task() -> Given:
    """Patches of three classes that differ in brightness, in noise; a quarter of them unlabelled."""
    rng = np.random.default_rng(1)
    polygons = np.kron(np.arange(1, 257).reshape(16, 16), np.ones((12, 12), int)).astype(np.int32)
    kinds = rng.integers(0, 3, 257)[polygons]
    pixels = noise(2, 192, 192) * 0.3 + np.stack([kinds, 2 - kinds]).astype(np.float32)
    classes = np.array([0, 1, 6], np.uint8)[kinds]
    unlabelled = np.isin(polygons, rng.choice(256, 64, replace=False))
    labels = LabelMap(np.where(unlabelled, np.uint8(255), classes), np.where(unlabelled, 0, polygons))
    source = source_of_pixels(pixels)
    split, [labelled] = make_split([(labels, source.grid)], None, 1)
    scene = TrainingScene(source, "drawn", labelled, split.part_of_pixels(labelled))
    counts = pixels_by_part([(labelled, scene.parts)])
    normalisation = training_normalisation([scene], split, ("b1", "b2"), np.random.default_rng(1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network("se_cot_deeplabv3plus", in_channels=2, backbone="small")
    model = model_of(network, bands=2, normalisation=normalisation, mapped_codes=(0, 1, 6))
    return [scene], model, [int(counts[TRAIN][code]) for code in (0, 1, 6)]


def main(checkpoint: Path, weights: Path, epochs: int, is_slow: bool) -> None:
    scenes, model, pixels = small_task()
    settings = TrainingSettings(
        backbone="small", tile_px=32, epochs=epochs, batch_size=8, seed=3, repeats=3,
        adversarial_epsilon=0.05, loss="focal",
    )  # fmt: skip

    def tell(epoch: Epoch) -> None:
        print(f"epoch {epoch.epoch} {epoch.loss!r}", flush=True)
        if is_slow:  # so that a kill meets it between epochs as well as in them
            time.sleep(0.2)

    history, best = fit(model, scenes, pixels, settings, 16, tell, checkpoint=checkpoint)
    if "RANK" in os.environ:
        parameters = hashlib.sha256(
            b"".join(p.detach().numpy().tobytes() for p in model.network.parameters())
        )
        print("parameters", parameters.hexdigest(), flush=True)
    if is_first_process():
        weights.write_bytes(weights_to_bytes(model.network))
        print("finished", [epoch.epoch for epoch in history], best, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "--pause" in sys.argv)
