"""Figures of a segmentation, all from one confusion matrix over all pixels judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.segmentation_model import IGNORED

BACKGROUND = 0


def confusion_matrix(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], codes: Sequence[int]
) -> NDArray[np.int64]:
    """(classes, classes): pixels by reference class (row) and predicted class (column).

    Pixels whose reference or prediction is 255 are left out.

    Raises:
        ValueError: a code that is not among ``codes``.

    """
    place = np.full(256, -1, np.int64)
    place[list(codes)] = np.arange(len(codes))
    judged = (reference != IGNORED) & (predicted != IGNORED)
    rows, cols = place[reference[judged]], place[predicted[judged]]
    if (rows < 0).any() or (cols < 0).any():
        raise ValueError(f"a class is none of {list(codes)}")
    counts = np.bincount(rows * len(codes) + cols, minlength=len(codes) ** 2)
    return counts.reshape(len(codes), len(codes))


@dataclass(frozen=True)
class SegmentationMetrics:
    """What a confusion matrix says; per class NaN where the reference lacks the class.

    Attributes:
        codes: class code of each row and column.
        confusion: (classes, classes) pixels, reference in rows.

    """

    codes: tuple[int, ...]
    confusion: NDArray[np.int64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(classes,) classes that the reference holds."""
        present: NDArray[np.bool_] = self.confusion.sum(axis=1) > 0
        return present

    @property
    def precision(self) -> NDArray[np.float64]:
        """(classes,) share of the pixels called so that are so; 0 for a class never called."""
        return self._ratio(self._hits, np.maximum(self.confusion.sum(axis=0), 1))

    @property
    def recall(self) -> NDArray[np.float64]:
        """(classes,) share of the pixels that are so that were called so."""
        return self._ratio(self._hits, self.confusion.sum(axis=1))

    @property
    def iou(self) -> NDArray[np.float64]:
        """(classes,) intersection over union."""
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - self._hits
        return self._ratio(self._hits, union)

    @property
    def dice(self) -> NDArray[np.float64]:
        """(classes,) Dice coefficient, which is the F1 of pixels: 2 IoU / (1 + IoU)."""
        return self._ratio(2 * self._hits, self.confusion.sum(axis=0) + self.confusion.sum(axis=1))

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that the reference holds, background included; NaN where it holds none."""
        return _mean(self.iou)

    @property
    def mean_iou_without_background(self) -> float:
        """The same without class 0."""
        return _mean(self.iou[np.array(self.codes) != BACKGROUND])

    @property
    def overall_accuracy(self) -> float:
        """Share of all pixels judged that were called right; NaN where none was judged."""
        total = self.confusion.sum()
        return float(self._hits.sum() / total) if total else float("nan")

    @property
    def _hits(self) -> NDArray[np.int64]:
        return np.diagonal(self.confusion)

    def _ratio(self, part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
        ratios = np.full(len(self.codes), np.nan)
        np.divide(part, whole, out=ratios, where=self.present)
        return ratios

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """For the registry; NaN becomes null.

        Args:
            names: key of each class code, e.g. ``{6: "open_pit"}``.

        """
        columns = {"precision": self.precision, "recall": self.recall, "iou": self.iou, "dice": self.dice}
        pixels = self.confusion.sum(axis=1)
        by_class = {
            names[code]: {"code": code, "pixels": int(pixels[place])}
            | {figure: or_null(values[place]) for figure, values in columns.items()}
            for place, code in enumerate(self.codes)
        }
        return {
            "pixels": int(self.confusion.sum()),
            "overall_accuracy": or_null(self.overall_accuracy),
            "mean_iou": or_null(self.mean_iou),
            "mean_iou_without_background": or_null(self.mean_iou_without_background),
            "by_class": by_class,
            "class_codes": list(self.codes),
            "confusion": self.confusion.tolist(),
        }


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def or_null(value: float) -> float | None:
    """A figure for JSON, which knows no NaN."""
    return None if np.isnan(value) else float(value)
