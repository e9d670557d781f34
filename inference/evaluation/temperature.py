"""Temperature scaling: one number that makes a network's probabilities mean what they say.

Logits are divided by it before the softmax (Guo et al. 2017, On calibration of modern neural networks,
https://arxiv.org/abs/1706.04599). No answer changes, only how sure it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from db.errors import UsageError

SAMPLE_PIXELS = 400_000
FLATTEST, SHARPEST = 1e-3, 50.0
"""Nats from the mean logit of a pixel to its best: no pixel is sure, every pixel is (1 - e^-50 is 1)."""
_CHUNK = 1 << 17


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by; above 1 makes probabilities more modest.

    Attributes:
        value: the temperature.
        pixels: labelled pixels it was fitted to; 0: it was not fitted.
        nll_before, nll_after: mean negative log likelihood of those pixels without and with it, nats.

    """

    value: float = 1.0
    pixels: int = 0
    nll_before: float = 0.0
    nll_after: float = 0.0

    def apply(self, logits: Tensor, dim: int = 1) -> Tensor:
        """Calibrated logits, float32, the largest of each pixel moved to 0.

        Args:
            logits: any shape, any floating type.
            dim: axis of the classes.

        """
        # the largest goes first: a huge logit over a small temperature is infinite, and its softmax NaN
        wide = logits.float()
        return (wide - wide.amax(dim=dim, keepdim=True)) / self.value

    def probabilities(self, logits: Tensor, dim: int = 1) -> Tensor:
        """Softmax of the calibrated logits, float32."""
        return torch.softmax(self.apply(logits, dim), dim=dim)

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Temperature:
        """What `as_json` stored.

        Raises:
            UsageError: it is not that.

        """
        try:
            read = cls(
                float(stored["value"]),
                int(stored["pixels"]),
                float(stored["nll_before"]),
                float(stored["nll_after"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the stored temperature cannot be read ({error!r}): calibrate again") from error
        if not (math.isfinite(read.value) and read.value > 0):
            raise UsageError(f"the stored temperature is {read.value}, not a number above 0: calibrate again")
        return read


class LogitSample:
    """Labelled pixels drawn evenly from all that are added, window by window.

    What is kept depends on the pixels and their order, not on how they are cut into windows.

    Args:
        pixels: how many to keep at most.
        seed: of the draw.

    """

    def __init__(self, pixels: int = SAMPLE_PIXELS, seed: int = 0) -> None:
        self._limit = pixels
        self._rng = np.random.default_rng(seed)
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._tickets: list[Tensor] = []  # random; the smallest are kept
        self._held = 0

    def add(self, logits: Tensor, labels: Tensor, ignored: int = 255) -> None:
        """Add pixels.

        Args:
            logits: (n, classes, ...), any floating type, on any device.
            labels: (n, ...) place of the true class among the outputs, not its code; ``ignored`` where
                unlabelled.
            ignored: see ``labels``.

        Raises:
            ValueError: shapes that do not fit, or a label that is the place of no output.
            UsageError: logits of labelled pixels are not finite.

        """
        classes = logits.shape[1]
        if labels.shape != (logits.shape[0], *logits.shape[2:]):
            raise ValueError(f"labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}")
        is_labelled = labels != ignored
        known = labels[is_labelled].long()
        if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < classes:
            raise ValueError(f"labels from {known.min()} to {known.max()} are no places of {classes} outputs")
        chosen = logits.detach().movedim(1, -1)[is_labelled.to(logits.device)].float()
        _require_finite(chosen)
        tickets = torch.from_numpy(self._rng.random(len(chosen)))
        self._logits.append(chosen.cpu())
        self._labels.append(known.cpu())
        self._tickets.append(tickets)
        self._held += len(chosen)
        if self._held > 2 * self._limit:
            self._prune()

    def temperature(self) -> Temperature:
        """The temperature that fits the sample best, see `fit_temperature`."""
        if not self._held:
            return Temperature()
        self._prune()
        return fit_temperature(self._logits[0], self._labels[0])

    def _prune(self) -> None:
        tickets = torch.cat(self._tickets)
        kept = tickets.argsort()[: self._limit].sort().values
        self._tickets = [tickets[kept]]
        self._logits = [torch.cat(self._logits)[kept]]
        self._labels = [torch.cat(self._labels)[kept]]
        self._held = len(kept)


def fit_temperature(logits: Tensor, labels: Tensor) -> Temperature:
    """The temperature under which the labels are most likely; never worse than none.

    The negative log likelihood is convex in the inverse of the temperature, so that its one minimum is where
    the slope changes sign, and a root of that finds it whatever the size of the logits.

    It is 1 where labels say nothing of it: none, one output only, or every answer right (then the likelihood
    grows for ever as the temperature falls, and no mistake says how sure is too sure). Where a network is
    worse than chance the temperature becomes so high that all classes are as likely.

    Args:
        logits: (pixels, classes), finite, any floating type; logarithms of probabilities will do.
        labels: (pixels,) place of the true class among the outputs.

    Raises:
        UsageError: logits are not finite.

    """
    _require_finite(logits)
    # relative to the best, in float64: exponentials neither overflow nor lose the difference
    wide = logits.double()
    below = wide - wide.amax(dim=1, keepdim=True) if wide.numel() else wide
    truth = labels.long()[:, None]
    pixels = len(below)
    spreads = -below.mean(dim=1)
    spreads = spreads[spreads > 0]
    if not len(spreads):
        nll = math.log(below.shape[1]) if pixels else 0.0
        return Temperature(1.0, pixels, nll, nll)
    before = _mean(below, truth, lambda part, true: _losses(part, true, 1.0))
    if not (below.gather(1, truth) < 0).any():
        return Temperature(1.0, pixels, before, before)

    def slope(log_sharpness: float) -> float:
        """Of the mean negative log likelihood by the inverse temperature; rises with it."""
        return _mean(below, truth, lambda part, true: _slopes(part, true, math.exp(log_sharpness)))

    flattest, sharpest = (
        math.log(FLATTEST / float(spreads.max())),
        math.log(SHARPEST / float(spreads.min())),
    )
    if slope(flattest) >= 0:
        best = flattest
    elif slope(sharpest) <= 0:
        best = sharpest
    else:
        best = brentq(slope, flattest, sharpest, xtol=1e-6)
    after = _mean(below, truth, lambda part, true: _losses(part, true, math.exp(best)))
    if after > before:  # by rounding, or logits flatter than the flattest
        return Temperature(1.0, pixels, before, before)
    return Temperature(math.exp(-best), pixels, before, after)


def _require_finite(logits: Tensor) -> None:
    broken = int((~torch.isfinite(logits)).any(dim=1).sum())
    if broken:
        raise UsageError(
            f"the logits of {broken} of {len(logits)} labelled pixels are not finite: "
            "predict in bfloat16 or float32, and check the scenes for extreme values"
        )


def _mean(below: Tensor, truth: Tensor, of_pixels: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Mean over pixels, a part of them at a time."""
    parts = (slice(first, first + _CHUNK) for first in range(0, len(below), _CHUNK))
    return sum(float(of_pixels(below[part], truth[part]).sum()) for part in parts) / len(below)


def _losses(below: Tensor, truth: Tensor, sharpness: float) -> Tensor:
    scaled = below * sharpness
    return scaled.logsumexp(dim=1) - scaled.gather(1, truth)[:, 0]


def _slopes(below: Tensor, truth: Tensor, sharpness: float) -> Tensor:
    shares = torch.softmax(below * sharpness, dim=1)
    return (shares * below).sum(dim=1) - below.gather(1, truth)[:, 0]
