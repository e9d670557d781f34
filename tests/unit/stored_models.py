"""Models as the registry holds them, with figures computed by the evaluation from drawn confusions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from db.registry import ModelRecord
from inference.evaluation.bootstrap import bootstrap_intervals
from inference.evaluation.boundary import boundary_counts
from inference.evaluation.calibration import calibration_of
from inference.evaluation.figures import OF_ALL, confusion_figures
from inference.evaluation.temperature import Temperature
from inference.segmentation_model import CLASS_CODES
from inference.training.metrics import SegmentationMetrics

NAMES = dict(
    enumerate(
        (
            "background",
            "vegetation",
            "water",
            "haul_road",
            "industrial_square",
            "dump",
            "open_pit",
            "tailings_pond",
        )
    )
)
SHARES = np.array([0.4, 0.25, 0.03, 0.05, 0.05, 0.1, 0.12, 0.0])
SPLIT = {
    "srid": 32645,
    "edge_m": 500.0,
    "blocks": [
        [col, 8000, part] for col, part in enumerate(["train"] * 6 + ["validation"] * 2 + ["test"] * 12)
    ],
}
TRAINED_AT = datetime.datetime(2026, 11, 20, 14, 2, tzinfo=datetime.UTC)


def block_confusions(skill: float, seed: int = 0, blocks: int = 12) -> NDArray[np.int64]:
    """(blocks, 8, 8): the reference depends on nothing but ``blocks``; ``skill`` is the share called right.

    Road is found worst, and taken for pit; no tailings are there. Blocks differ in how hard they are.
    """
    ground, luck = np.random.default_rng(99), np.random.default_rng(seed)
    found = np.zeros((blocks, 8, 8), np.int64)
    for block in range(blocks):
        pixels = ground.multinomial(2000, SHARES / SHARES.sum())
        hardness = ground.normal(0, 0.08)
        for code, count in enumerate(pixels):
            right = np.clip(skill - hardness - (0.35 if code == 3 else 0) + luck.normal(0, 0.005), 0, 1)
            others = np.where(np.arange(8) == code, 0.0, np.where(np.arange(8) == 7, 0.0, 1.0))
            if code == 3:
                others[6] = 20.0
            chances = others / others.sum() * (1 - right)
            chances[code] = right
            found[block, code] = luck.multinomial(count, chances)
    return found


def figures_of(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """All figures of one confusion matrix, as stored."""
    means = {name: float(confusion_figures(confusion, CLASS_CODES)[name]) for name in OF_ALL}
    told = {name: None if np.isnan(value) else value for name, value in means.items()}
    return SegmentationMetrics(CLASS_CODES, confusion).as_json(NAMES) | told


def metrics_of(
    skill: float = 0.85, seed: int = 0, *, blocks: int = 12, baseline: float = 0.6, sharpness: float = 6.0
) -> dict[str, Any]:
    """Metrics with everything that this version stores."""
    confusions = block_confusions(skill, seed, blocks)
    plain = {
        "majority_class": block_confusions(0.3, 1, blocks),
        "pixel_regression": block_confusions(baseline, 2, blocks),
    }
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (1, 40, 40)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    noisy = np.eye(3)[truth[0]].transpose(2, 0, 1)[None] + rng.normal(0, 0.6, (1, 3, 320, 320))
    logits = torch.from_numpy(noisy * sharpness)
    after = calibration_of(torch.softmax(logits / 2, dim=1), truth, (0, 1, 2))
    before = calibration_of(torch.softmax(logits, dim=1), truth, (0, 1, 2))
    outlines = boundary_counts(truth[0], noisy[0].argmax(axis=0).astype(np.uint8), CLASS_CODES)
    return figures_of(confusions.sum(axis=0)) | {
        "boundary": outlines.as_json(NAMES),
        "calibration": {
            "temperature": Temperature(2.0, 4000, 0.5, 0.4).as_json(),
            "before": before.as_json(NAMES),
            "after": after.as_json(NAMES),
        },
        "intervals": bootstrap_intervals(confusions, CLASS_CODES, resamples=500).as_json(NAMES),
        "blocks": [
            {"key": f"{place + 8},8000", "confusion": matrix.tolist()}
            for place, matrix in enumerate(confusions)
        ],
        "baselines": {key: figures_of(each.sum(axis=0)) for key, each in plain.items()},
        "labels_sha256": "a" * 64,
    }


def training_of(**changes: Any) -> dict[str, Any]:
    """What is stored of a training."""
    pixels = {
        part: {name: int(count * share) for name, share in zip(NAMES.values(), SHARES, strict=True)}
        for part, count in (("train", 60_000), ("validation", 20_000), ("test", 24_000))
    }
    return {
        "settings": {
            "epochs": 20,
            "seed": 1,
            "learning_rate": 2e-3,
            "loss": "cross_entropy",
            "block_m": None,
        },
        "processing_level": "digital_number",
        "scenes": [{"product": "GF2_20200714", "version": 1, "scene_id": 1}],
        "split": SPLIT,
        "pixels": pixels,
        "windows_per_epoch": 256,
        "best_epoch": 17,
        "device": "CPU, 2 threads, fp32",
        "seconds": 812.4,
        **changes,
    }


def history_of(epochs: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "loss": 2.0 / epoch,
            "validation_mean_iou": 0.7 - 0.5 / epoch,
            "seconds": 40.0 * epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def record_of(name: str = "pits", metrics: dict[str, Any] | None = None, **changes: Any) -> ModelRecord:
    """A row of the registry; it answers all classes but tailings."""
    values: dict[str, Any] = {
        "model_id": 1,
        "name": name,
        "task": "segmentation",
        "architecture": "se_cot_deeplabv3plus",
        "options": {"backbone": "small"},
        "class_codes": list(CLASS_CODES),
        "mapped_codes": list(CLASS_CODES[:7]),
        "band_names": ["blue", "nir"],
        "resolution_m": 2.0,
        "tile_px": 64,
        "normalisation": {},
        "training": training_of(),
        "history": history_of(),
        "metrics": metrics_of() if metrics is None else metrics,
        "versions": {"lode": "0.1.0", "torch": "2.13.0"},
        "trained_at": TRAINED_AT,
        "temperature": 2.0,
        "licence": None,
        "retired_at": None,
        "retired_reason": None,
    }
    return ModelRecord(**{**values, **changes})


def names_of(codes: Sequence[int]) -> list[str]:
    return [NAMES[code] for code in codes]
