"""One training of the few-labels comparison: a share of the labels, from nothing or from a backbone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.networks import build_network
from inference.normalisation import Normalisation
from inference.pretraining.label_shares import LabelShare
from inference.segmentation_model import CLASS_CODES, SegmentationModel, on_device
from inference.training.baselines import majority_baseline, pixel_baseline
from inference.training.blocks import TEST
from inference.training.first_weights import start_from
from inference.training.judging import figures_as_json, judge
from inference.training.material import Material
from inference.training.settings import TrainingSettings
from inference.training.statistics import training_normalisation
from inference.training.trainer import fit


@dataclass(frozen=True)
class Given:
    """What both starts of a share and seed are given alike.

    Attributes:
        material: with all labels.
        share: the labels that are left.
        settings: with its seed.
        device: where it computes.
        names: key of each class code.

    """

    material: Material
    share: LabelShare
    settings: TrainingSettings
    device: torch.device
    names: Mapping[int, str]

    @property
    def codes(self) -> tuple[int, ...]:
        """Classes with training labels."""
        return tuple(int(code) for code in np.flatnonzero(self.share.pixels))

    def normalisation(self) -> Normalisation:
        """Statistics of the training ground around the labels that are left."""
        rng = np.random.default_rng(self.settings.seed)
        bands = self.material.chosen.band_names
        return training_normalisation(self.share.scenes, self.material.ground, bands, rng)


def train_once(given: Given, weights: Path | None) -> dict[str, Any]:
    """Train and judge on the test part; the model itself is not kept.

    Args:
        given: labels and settings.
        weights: of a pretrained backbone; None: random ones.

    Returns:
        Figures as in the registry, with ``blocks``, and ``seconds``.

    """
    begun = time.monotonic()
    chosen, settings = given.material.chosen, given.settings
    with torch.random.fork_rng([given.device] if given.device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = build_network(
            settings.architecture,
            in_channels=len(chosen.band_names),
            classes=len(CLASS_CODES),
            backbone=settings.chosen_backbone,
            **settings.options,
        )
        if weights is not None:
            start_from(network, weights, chosen.band_names)
        model = SegmentationModel(
            model_id=0,
            name="few labels",
            network=on_device(network, given.device).eval(),
            device=given.device,
            band_names=chosen.band_names,
            normalisation=given.normalisation(),
            class_codes=CLASS_CODES,
            mapped_codes=given.codes,
            tile_px=settings.suitable_tile_px(chosen.shortest_edge_px),
            resolution_m=chosen.resolution_m,
            processing_level=chosen.scenes[0].processing_level,
        )
        pixels = [int(given.share.pixels[code]) for code in given.codes]
        history, best_epoch = fit(
            model,
            given.share.scenes,
            pixels,
            settings,
            settings.windows_per_epoch or 256,
            lambda _epoch: None,
        )
    told = judge(model, given.share.scenes, TEST, settings.overlap_px).as_json(dict(given.names))
    kept = (
        "mean_iou",
        "mean_iou_without_background",
        "overall_accuracy",
        "by_class",
        "class_codes",
        "blocks",
    )
    return {name: told[name] for name in kept} | {
        "best_epoch": best_epoch,
        "validation_mean_iou": history[best_epoch - 1].validation_mean_iou,
        "seconds": round(time.monotonic() - begun, 1),
    }


def plain_answers(given: Given) -> dict[str, Any]:
    """The commonest class everywhere, and a per-pixel regression, on the same labels and test pixels."""
    rng = np.random.default_rng(given.settings.seed)
    names = dict(given.names)
    scenes, codes = given.share.scenes, given.codes
    return {
        "majority_class": figures_as_json(majority_baseline(scenes, codes), names)["mean_iou"],
        "pixel_regression": figures_as_json(pixel_baseline(scenes, codes, given.normalisation(), rng), names)[
            "mean_iou"
        ],
    }
