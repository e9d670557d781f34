"""Focal loss beside Dice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inference.training.loss import SegmentationLoss


def loss_of(gamma: float, weights: tuple[float, float] = (1.0, 1.0)) -> SegmentationLoss:
    return SegmentationLoss([0, 6], [0, 6], np.array(weights), np.zeros(2), gamma)


def logits_of(shares: list[float]) -> Tensor:
    """(1, 8, 1, pixels) logits whose softmax over classes 0 and 6 gives class 6 these shares."""
    logits = torch.zeros(1, 8, 1, len(shares), dtype=torch.float64)
    logits[0, 6, 0] = torch.logit(torch.tensor(shares, dtype=torch.float64))
    return logits


def test_it_is_the_formula() -> None:
    labels = torch.tensor([[[6, 6, 0]]], dtype=torch.uint8)
    logits = logits_of([0.9, 0.3, 0.2])
    right, weights = np.array([0.9, 0.3, 0.8]), np.array([2.0, 2.0, 0.5])
    focal = (weights * (1 - right) ** 2 * -np.log(right)).sum() / weights.sum()
    plain = (weights * -np.log(right)).sum() / weights.sum()
    difference = loss_of(0.0, (0.5, 2.0))(logits, labels) - loss_of(2.0, (0.5, 2.0))(logits, labels)
    assert difference.item() == pytest.approx(plain - focal, abs=1e-6)


def test_without_an_exponent_it_is_cross_entropy() -> None:
    labels = torch.tensor([[[6, 6, 0]]], dtype=torch.uint8)
    logits = logits_of([0.9, 0.3, 0.2])
    nearly = loss_of(1e-9, (0.5, 2.0))(logits, labels)
    assert nearly.item() == pytest.approx(loss_of(0.0, (0.5, 2.0))(logits, labels).item(), abs=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_sure_answers_right_and_wrong_have_finite_slopes(gamma: float) -> None:
    labels = torch.tensor([[[6, 0]]], dtype=torch.uint8)
    logits = torch.zeros(1, 8, 1, 2)
    logits[0, 6] = 80.0
    logits.requires_grad_()
    loss_of(gamma)(logits, labels).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 6, 0, 1] > 0.1  # the wrong one is still corrected


def test_right_pixels_count_less() -> None:
    slopes = []
    for gamma in (0.0, 2.0):
        logits = logits_of([0.95, 0.4]).requires_grad_()
        entropy = loss_of(gamma)._of_pixels(logits[0, [0, 6], 0].t().float(), torch.tensor([1, 1]))
        entropy.backward()
        assert logits.grad is not None
        slopes.append(float(logits.grad[0, 6, 0, 0] / logits.grad[0, 6, 0, 1]))
    assert slopes[1] < 0.2 * slopes[0]
