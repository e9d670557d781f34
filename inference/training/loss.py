"""Class-weighted cross entropy or focal loss, plus Dice, over labelled pixels only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from inference.segmentation_model import IGNORED

WEIGHT_RANGE = (0.5, 2.0)
_SMALLEST_ERROR = 1e-6  # the slope of error ** gamma has no end at 0 where gamma is below 1


class SegmentationLoss(nn.Module):
    """Mean cross entropy, weighted by class, plus 1 - mean soft Dice of the classes in the batch.

    Windows are drawn evenly by class and rare classes weigh more, so a plain loss would teach the network
    that rare classes are common, and mapped areas of rare classes would be too large. Therefore the loss
    sees the logits shifted by the logarithm of how much more often (times weight) a class is met in training
    than among all labels (Menon et al. 2021, https://arxiv.org/abs/2007.07314); the logits themselves then
    stand for the labels' own shares.

    The focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002) multiplies the cross entropy of a pixel
    by (1 - probability of its class) ** gamma, so that what is right already counts less. Its probabilities
    come out less certain than they should be; a temperature makes up for it.

    Outputs of classes that were never labelled take no part: no pixel tells what they should be.

    Args:
        outputs: places of the trained classes among the logits.
        codes: their class codes, in the same order.
        weights: (trained classes,) weight of each in the cross entropy.
        shifts: (trained classes,) what is added to the logits before the loss, see `prior_shifts`.
        focal_gamma: exponent of the focal loss; 0 is plain cross entropy.

    Shapes:
        logits (n, classes, h, w), labels (n, h, w) class codes with 255 ignored -> scalar

    """

    place_of_code: Tensor
    weights: Tensor
    shifts: Tensor
    outputs: Tensor

    def __init__(
        self,
        outputs: Sequence[int],
        codes: Sequence[int],
        weights: NDArray[np.float64],
        shifts: NDArray[np.float64],
        focal_gamma: float = 0.0,
    ) -> None:
        super().__init__()
        self.focal_gamma = focal_gamma
        place = torch.full((256,), IGNORED, dtype=torch.long)
        place[list(codes)] = torch.arange(len(codes))
        self.register_buffer("place_of_code", place)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("shifts", torch.tensor(shifts, dtype=torch.float32))
        self.register_buffer("outputs", torch.tensor(list(outputs), dtype=torch.long))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch; 0 where nothing is labelled."""
        target = self.place_of_code[labels.long()]
        is_labelled = target != IGNORED
        # only labelled pixels: with sparse labels they are a small part of the batch
        target = target[is_labelled]
        if target.numel() == 0:
            return logits.sum() * 0.0
        chosen = logits.permute(0, 2, 3, 1)[is_labelled].index_select(1, self.outputs).float() + self.shifts
        truth = F.one_hot(target, chosen.shape[1]).to(chosen.dtype)
        shares = torch.softmax(chosen, dim=1)
        sizes = truth.sum(dim=0)
        dice = (2 * (shares * truth).sum(dim=0) + 1) / (shares.sum(dim=0) + sizes + 1)
        return self._of_pixels(chosen, target) + 1 - dice[sizes > 0].mean()

    def _of_pixels(self, chosen: Tensor, target: Tensor) -> Tensor:
        """Weighted mean over pixels: logits (pixels, trained classes), target (pixels,)."""
        if not self.focal_gamma:
            return F.cross_entropy(chosen, target, weight=self.weights)
        entropy = F.cross_entropy(chosen, target, reduction="none")
        error = (1 - torch.exp(-entropy)).clamp_min(_SMALLEST_ERROR)
        weights = self.weights[target]
        return (weights * error**self.focal_gamma * entropy).sum() / weights.sum()


def class_weights(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that lift rare classes: the inverse root of their share, between 0.5 and 2 times the mean.

    The root, because the windows are drawn evenly by class already.

    Args:
        pixels: (classes,) labelled training pixels, all positive.

    """
    raw = 1 / np.sqrt(pixels / pixels.sum())
    limited: NDArray[np.float64] = np.clip(raw / raw.mean(), *WEIGHT_RANGE)
    return limited


def prior_shifts(
    met: NDArray[np.float64], pixels: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithm of each class's share as met in training, times its weight, over its share of all labels.

    Args:
        met: (classes,) labelled pixels in drawn windows, all positive.
        pixels: (classes,) labelled training pixels, all positive.
        weights: (classes,) of the loss.

    """
    shifts: NDArray[np.float64] = np.log(weights * met / met.sum()) - np.log(pixels / pixels.sum())
    return shifts
