"""Calibration: whether of the pixels called with 80 % probability 80 % are right.

The expected calibration error (ECE) is the mean distance between probability and share of hits over bins of
probability, weighted by their pixels (Naeini et al. 2015, AAAI; Guo et al. 2017, On calibration of modern
neural networks, https://arxiv.org/abs/1706.04599). Guo's looks at the class that is called; the classwise one
at the probability of every class, called or not (Kull et al. 2019, https://arxiv.org/abs/1910.12656).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.segmentation_model import IGNORED
from inference.training.metrics import or_null

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Sums over pixels in bins of equal width, (low, high]; all arrays (classes, bins).

    Attributes:
        pixels: how many.
        probability: sum of what was claimed.
        hits: how many were so.

    """

    pixels: NDArray[np.int64]
    probability: NDArray[np.float64]
    hits: NDArray[np.int64]

    def __add__(self, other: Bins) -> Bins:
        return Bins(self.pixels + other.pixels, self.probability + other.probability, self.hits + other.hits)

    @property
    def pooled(self) -> Bins:
        """(1, bins): all classes together."""
        sums = (each.sum(axis=0, keepdims=True) for each in (self.pixels, self.probability, self.hits))
        return Bins(*sums)

    @property
    def mean_probability(self) -> NDArray[np.float64]:
        """(classes, bins) NaN where a bin is empty."""
        return _ratio(self.probability, self.pixels)

    @property
    def hit_rate(self) -> NDArray[np.float64]:
        """(classes, bins) NaN where a bin is empty."""
        return _ratio(self.hits, self.pixels)

    @property
    def error(self) -> NDArray[np.float64]:
        """(classes,) expected calibration error, 0 to 1; NaN without pixels."""
        distances = np.abs(self.probability - self.hits).sum(axis=1)
        pixels = self.pixels.sum(axis=1)
        return _ratio(distances, pixels)


@dataclass(frozen=True)
class Calibration:
    """Probabilities held against what was so; those of parts of a test set add up.

    Attributes:
        codes: class code of each place.
        called: of the called class, by that class: Guo's bins, and summed over classes his diagram.
        claimed: of the probability of every class, called or not.

    """

    codes: tuple[int, ...]
    called: Bins
    claimed: Bins

    @classmethod
    def nothing(cls, codes: Sequence[int], bins: int = BINS) -> Calibration:
        """Of no pixel, to add to."""
        shape = (len(codes), bins)
        empty = Bins(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64))
        return cls(tuple(codes), empty, empty)

    def __add__(self, other: Calibration) -> Calibration:
        if self.codes != other.codes or self.bins != other.bins:
            raise ValueError(
                f"calibration of classes {self.codes} in {self.bins} bins does not add to that of "
                f"{other.codes} in {other.bins}"
            )
        return Calibration(self.codes, self.called + other.called, self.claimed + other.claimed)

    @property
    def bins(self) -> int:
        """Number of bins."""
        return int(self.called.pixels.shape[1])

    @property
    def pixels(self) -> int:
        """Pixels judged."""
        return int(self.called.pixels.sum())

    @property
    def ece(self) -> float:
        """Expected calibration error of the called class."""
        return float(self.called.pooled.error[0])

    @property
    def overconfidence(self) -> float:
        """Mean probability of the called class minus the share of hits: above 0 claims too much."""
        pixels = self.pixels
        return float((self.called.probability.sum() - self.called.hits.sum()) / pixels) if pixels else np.nan

    @property
    def ece_of_called(self) -> NDArray[np.float64]:
        """(classes,) error where the class is called; NaN where it never is."""
        return self.called.error

    @property
    def classwise_ece(self) -> NDArray[np.float64]:
        """(classes,) error of the class's probability over all pixels; NaN where the reference lacks it.

        Small for a rare class whatever the network says, as most pixels have little of it and are not it.
        """
        is_present = self.claimed.hits.sum(axis=1) > 0
        return np.where(is_present, self.claimed.error, np.nan)

    @property
    def mean_classwise_ece(self) -> float:
        """Mean over the classes that the reference holds; NaN where it holds none."""
        errors = self.classwise_ece
        known = errors[~np.isnan(errors)]
        return float(known.mean()) if known.size else float("nan")

    def table(self) -> list[dict[str, float | int | None]]:
        """The reliability diagram as rows, one a bin: pixels, mean probability and share of hits."""
        pooled = self.called.pooled
        return [
            {
                "low": place / self.bins,
                "high": (place + 1) / self.bins,
                "pixels": int(pooled.pixels[0, place]),
                "probability": or_null(pooled.mean_probability[0, place]),
                "hit_rate": or_null(pooled.hit_rate[0, place]),
            }
            for place in range(self.bins)
        ]

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """For the registry; NaN becomes null.

        Args:
            names: key of each class code, e.g. ``{6: "open_pit"}``.

        """
        by_class = {
            names[code]: {
                "code": code,
                "ece_of_called": or_null(self.ece_of_called[place]),
                "classwise_ece": or_null(self.classwise_ece[place]),
            }
            for place, code in enumerate(self.codes)
        }
        return {
            "pixels": self.pixels,
            "ece": or_null(self.ece),
            "overconfidence": or_null(self.overconfidence),
            "mean_classwise_ece": or_null(self.mean_classwise_ece),
            "by_class": by_class,
            "reliability": self.table(),
        }


def calibration_of(
    probabilities: Tensor, reference: NDArray[np.uint8], codes: Sequence[int], bins: int = BINS
) -> Calibration:
    """Hold probabilities against the reference.

    A pixel of a class that the network cannot answer is a miss, whatever was called there.

    Args:
        probabilities: (n, classes, ...), any floating type, 0..1; what is not labelled may hold anything.
        reference: (n, ...) class codes, 255 where unlabelled or not observed.
        codes: class code of each output.
        bins: how many, of equal width.

    Raises:
        ValueError: shapes that do not fit, no bins, probabilities that are none (logits are not).

    """
    expected = (len(reference), len(codes), *reference.shape[1:])
    if tuple(probabilities.shape) != expected or bins < 1:
        raise ValueError(
            f"probabilities {tuple(probabilities.shape)} in {bins} bins do not fit {len(codes)} classes and "
            f"a reference of {reference.shape}"
        )
    is_judged = torch.from_numpy(reference != IGNORED).to(probabilities.device)
    shares = probabilities.movedim(1, -1)[is_judged].double().cpu().numpy()
    truth = reference[reference != IGNORED]
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("probabilities are not all between 0 and 1: are they logits?")

    answers = np.array(codes, np.uint8)
    edges = np.arange(1, bins) / bins
    places = np.searchsorted(edges, shares, side="left")
    called = shares.argmax(axis=1)
    pixels = np.arange(truth.size)
    of_called = _sums(
        called, places[pixels, called], shares[pixels, called], answers[called] == truth, len(codes), bins
    )
    every = np.broadcast_to(np.arange(len(codes)), shares.shape)
    of_all = _sums(
        every.ravel(), places.ravel(), shares.ravel(), (truth[:, None] == answers).ravel(), len(codes), bins
    )
    return Calibration(tuple(codes), of_called, of_all)


def _sums(
    classes: NDArray[np.int64],
    places: NDArray[np.int64],
    shares: NDArray[np.float64],
    is_hit: NDArray[np.bool_],
    number: int,
    bins: int,
) -> Bins:
    cells, size, shape = classes * bins + places, number * bins, (number, bins)
    return Bins(
        np.bincount(cells, minlength=size).reshape(shape),
        np.bincount(cells, weights=shares, minlength=size).reshape(shape).astype(np.float64),
        np.bincount(cells[is_hit], minlength=size).reshape(shape),
    )


def _ratio(part: NDArray[Any], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    ratios = np.full(part.shape, np.nan)
    np.divide(part, pixels, out=ratios, where=pixels > 0)
    return ratios
