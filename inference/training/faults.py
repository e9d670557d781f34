"""Why a loss is no number: which window of the batch is to blame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from db.errors import UsageError
from inference.device import half_precision
from inference.training.loss import SegmentationLoss
from inference.training.samples import Place


def loss_is_lost(
    lost: str,
    network: nn.Module,
    loss: SegmentationLoss,
    pixels: Tensor,
    labels: Tensor,
    places: tuple[Place, ...],
) -> UsageError:
    """The error to raise when a loss became NaN or infinite; names a sample.

    A batch's normalisation mixes its windows, so that one bad window spoils all answers. Therefore each is
    shown alone to the averaged network, which the batch has not touched.

    Args:
        lost: what became of the loss and when, in words.
        network: the averaged network, in evaluation mode.
        loss: the loss.
        pixels: (n, bands, h, w), as they were shown.
        labels: (n, h, w).
        places: where each window lies.

    """
    failing = []
    with torch.no_grad():
        for number in range(len(places)):
            one = slice(number, number + 1)
            with half_precision(pixels.device):
                logits = network(pixels[one].contiguous(memory_format=torch.channels_last))
            is_finite = torch.isfinite(logits).all() & torch.isfinite(loss(logits.float(), labels[one]))
            if not bool(is_finite):
                failing.append(number)
    extremes = pixels.abs().flatten(1).amax(1).nan_to_num(nan=torch.inf)
    number = failing[0] if failing else int(extremes.argmax())
    reach = f"values up to {float(extremes[number]):.3g} standard deviations"
    if len(failing) == len(places):
        sample = (
            f"every sample of the batch fails, so the weights are lost; the first: {places[number]}, {reach}"
        )
    elif failing:
        others = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
        sample = f"at the sample {places[number]} ({reach}){others}"
    else:
        sample = f"no sample fails alone; the most extreme of the batch: {places[number]} ({reach})"
    return UsageError(
        f"{lost}: {sample}. Train with a smaller --lr, and check the scene there for extreme values"
    )
