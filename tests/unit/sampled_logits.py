"""Logits whose labels were drawn from known probabilities."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def drawn(shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A class for each row of probabilities, drawn with them."""
    places = (rng.random((len(shares), 1)) > shares.cumsum(axis=1)).sum(axis=1)
    drawn_places: NDArray[np.int64] = np.minimum(places, shares.shape[1] - 1)
    return drawn_places


def planted(temperature: float, pixels: int, seed: int, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits (pixels, classes) that are too large by a factor, and labels as likely as without it."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, (pixels, classes))
    labels = drawn(torch.softmax(torch.from_numpy(true), dim=1).numpy(), rng)
    return torch.from_numpy(true * temperature), torch.from_numpy(labels)
