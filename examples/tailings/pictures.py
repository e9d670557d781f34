"""Draw what the networks answer on their test scenes: pictures.py FOLDER SET ...

Each set has a network of its name; FOLDER/SET.png shows each scene that holds test samples in true colour,
its labels, and the answer of the network. Only ground of the test is coloured in the answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from db.connection import connect
from db.settings import Settings
from inference.predict import predict_scene
from inference.segmentation_model import IGNORED, SegmentationModel, load_segmentation
from inference.training.blocks import TEST
from inference.training.material import material_of_samples
from inference.training.samples import TrainingScene

mpl.use("Agg")
TAILINGS = 7
RGB = ("B04", "B03", "B02")


def true_colour(scene: TrainingScene) -> NDArray[np.float32]:
    """(height, width, 3) 0 to 1: from the 1st to the 99th percentile of each band."""
    grid = scene.source.grid
    values, valid = scene.source.read(0, 0, grid.height_px, grid.width_px)
    low, high = np.percentile(values[:, valid], (1, 99), axis=1)[:, :, None, None]
    return np.clip((values - low) / (high - low), 0, 1).transpose(1, 2, 0)


def answer(scene: TrainingScene, model: SegmentationModel) -> NDArray[np.uint8]:
    """(height, width) class codes that the network gives."""
    strips = predict_scene(scene.source, model, with_probabilities=False)
    return np.concatenate([strip.class_map for strip in strips])


def coloured(classes: NDArray[np.uint8], judged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(height, width, 3): tailings turquoise, other ground grey, what is not judged white."""
    picture = np.full((*classes.shape, 3), 255, np.uint8)
    picture[judged] = (200, 200, 200)
    picture[judged & (classes == TAILINGS)] = (43, 181, 176)
    return picture


folder, names = Path(sys.argv[1]), sys.argv[2:]
url = Settings()
with connect(url) as conn, connect(url, autocommit=True) as reading:
    for name in names:
        model = load_segmentation(conn, name, torch.device("cpu"))
        material = material_of_samples(conn, reading, name, RGB)
        judged_in = {scene.product: scene for scene in material.scenes if (scene.parts == TEST).any()}
        own = material_of_samples(conn, reading, name, model.band_names)
        figure = Figure(figsize=(9, 3.1 * len(judged_in)), layout="constrained")
        axes = figure.subplots(len(judged_in), 3, squeeze=False)
        for row, scene in zip(axes, (each for each in own.scenes if each.product in judged_in), strict=True):
            truth = scene.truth(TEST)
            judged = truth != IGNORED
            panels = (
                (scene.product, true_colour(judged_in[scene.product])),
                ("label", coloured(truth, judged)),
                ("network", coloured(answer(scene, model), judged)),
            )
            for axis, (title, picture) in zip(row, panels, strict=True):
                axis.imshow(picture, interpolation="nearest")
                axis.set_title(title, fontsize=9)
                axis.set_axis_off()
        figure.savefig(folder / f"{name}.png", dpi=70)
