"""Records of models that contradict themselves are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from inference.models.exchange.consistency import check_figures, digest_of
from inference.training.judging import figures_as_json
from inference.training.metrics import SegmentationMetrics

NAMES = {code: f"class_{code}" for code in range(8)}


@pytest.fixture
def metrics() -> dict[str, Any]:
    blocks = np.random.default_rng(1).integers(0, 50, (3, 8, 8))
    blocks[:, 5] = 0  # a class that the reference lacks
    told = figures_as_json(SegmentationMetrics(tuple(range(8)), blocks.sum(axis=0)), NAMES)
    return told | {"blocks": [{"key": str(n), "confusion": each.tolist()} for n, each in enumerate(blocks)]}


def test_figures_that_were_measured_agree(metrics: dict[str, Any]) -> None:
    check_figures(metrics, "it")
    check_figures({}, "it")
    check_figures({"mean_iou": 0.7}, "it")


@pytest.mark.parametrize("name", ["mean_iou", "mean_dice_without_background", "overall_accuracy", "kappa"])
def test_a_figure_that_was_raised_is_noticed(metrics: dict[str, Any], name: str) -> None:
    metrics[name] += 1e-3
    with pytest.raises(UsageError, match=f"tells {name} .*, its confusion matrix gives"):
        check_figures(metrics, "it")
    metrics[name] = None
    with pytest.raises(UsageError, match=f"tells {name} None"):
        check_figures(metrics, "it")


def test_blocks_that_do_not_add_up_are_noticed(metrics: dict[str, Any]) -> None:
    metrics["blocks"][1]["confusion"][2][3] += 1
    with pytest.raises(UsageError, match="do not add up"):
        check_figures(metrics, "it")


def test_the_digest_is_of_the_content_not_of_its_order(metrics: dict[str, Any]) -> None:
    content = {"record": metrics, "scenes": [1, 2]}
    assert digest_of(content) == digest_of(dict(reversed(content.items())) | {"digest": "x"})
    assert digest_of(content) != digest_of(content | {"scenes": [2, 1]})
