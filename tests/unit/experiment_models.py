"""Models of an experiment as the registry would give them, with figures that a test can compute by hand."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.registry import ModelRecord
from inference.experiments.ground import Ground
from inference.experiments.plan import Plan
from inference.experiments.presets import PRESETS
from inference.experiments.rows import Row, chosen_rows
from inference.experiments.runner import model_name
from inference.training.judging import figures_as_json
from inference.training.metrics import SegmentationMetrics

CODES = tuple(range(8))
NAMES = {0: "background", 1: "vegetation"} | {code: f"class_{code}" for code in range(2, 8)}
GROUND = Ground(
    scenes=({"product": "P", "version": 1, "scene_id": 1},),
    bands=("red", "nir"),
    sample_set=None,
    split={"srid": 32645, "edge_m": 100.0, "blocks": [[0, 0, "train"], [1, 0, "test"]]},
    pixels={part: dict.fromkeys(NAMES.values(), 10) for part in ("train", "validation", "test")},
    labels="0" * 64,
)


def block(*hits: float, pixels: int = 100) -> NDArray[np.int64]:
    """(8, 8) confusion: of the pixels of class k a share hits[k] is right, the others are the next class."""
    matrix = np.zeros((8, 8), np.int64)
    for code, share in enumerate(hits):
        right = round(share * pixels)
        matrix[code, code] += right
        matrix[code, (code + 1) % len(hits)] += pixels - right
    return matrix


def metrics_of(*blocks: NDArray[np.int64], **more: Any) -> dict[str, Any]:
    """What is stored of a model with these confusions by block."""
    total = np.sum(blocks, axis=0)
    figures = figures_as_json(SegmentationMetrics(CODES, total), NAMES)
    told = [{"key": f"{number},0", "confusion": each.tolist()} for number, each in enumerate(blocks)]
    return figures | {"blocks": told} | more


def plan_of(*networks: str, seeds: int = 2, **changes: Any) -> Plan:
    """A comparison of some networks."""
    values: dict[str, Any] = {
        "experiment": "comparison",
        "preset": "small",
        "rows": chosen_rows("comparison", networks),
        "seeds": tuple(range(1, seeds + 1)),
        "settings": PRESETS["small"].settings(7),
        "ground": GROUND,
        "is_simulated": True,
    }
    return Plan(**{**values, **changes})


def record_of(
    plan: Plan, row: Row, seed: int, metrics: dict[str, Any], name: str = "comparison"
) -> ModelRecord:
    """The model that the plan's training of a row would store."""
    settings = plan.settings_of(row, seed)
    ground = {key: value for key, value in plan.ground.of_models().items() if key != "bands"}
    return ModelRecord(
        model_id=seed,
        name=model_name(name, row, seed),
        task="segmentation",
        architecture=row.architecture,
        options={"backbone": settings.chosen_backbone},
        class_codes=list(CODES),
        mapped_codes=list(CODES),
        band_names=list(plan.ground.bands),
        resolution_m=2.0,
        tile_px=128,
        normalisation={},
        training={"settings": settings.as_json(), **ground, "best_epoch": 2, "seconds": 10.0 * seed}
        | {"device": "CPU"},
        history=[{"epoch": 1, "windows": 300}, {"epoch": 2, "windows": 300}],
        metrics=metrics,
        versions={},
        trained_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        temperature=1.0,
        licence=None,
        retired_at=None,
        retired_reason=None,
    )
