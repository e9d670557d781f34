"""What the windows of a sample set hold: labelled pixels by class, each counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.labels import Label
from db.samples import SPLITS, Sample
from inference.samples.pieces import Pieces
from inference.samples.windows import Placed
from inference.segmentation_model import CLASS_CODES, IGNORED
from inference.training.label_maps import UNLABELLED, LabelMap
from inference.training.scenes import Chosen


@dataclass(frozen=True)
class Counted:
    """Samples of a set as they are stored, with what did not get in.

    Attributes:
        samples: the samples.
        places: (samples,) place of each among the windows.
        few: windows left out because they hold too few labelled pixels.
        labelled: (classes,) labelled pixels of all scenes.

    """

    samples: list[Sample]
    places: NDArray[np.int64]
    few: int
    labelled: NDArray[np.int64]

    def by_split(self) -> NDArray[np.int64]:
        """(splits, classes) labelled pixels, each counted once."""
        counts = np.zeros((len(SPLITS), len(CLASS_CODES)), np.int64)
        for sample in self.samples:
            counts[SPLITS.index(sample.split)] += sample.own_class_pixels
        return counts


def sample_truth(drawn: LabelMap, label_ids: NDArray[np.int64], sample: Sample) -> NDArray[np.uint8]:
    """What a network may learn from a sample, or is judged by.

    Labels that belong to another part are left out after all were drawn: left out before, they would uncover
    what lies under them.

    Args:
        drawn: all labels of the sample's scene on its grid.
        label_ids: (polygons,) key of the label that is polygon 1, 2, ... of the map.
        sample: the sample.

    Returns:
        (height, width) class codes, 255 where nothing counts.

    """
    box = (
        slice(sample.row_px, sample.row_px + sample.height_px),
        slice(sample.col_px, sample.col_px + sample.width_px),
    )
    counts = np.concatenate(([False], np.isin(label_ids, sample.label_ids)))
    return np.where(counts[drawn.polygons[box]], drawn.classes[box], np.uint8(IGNORED))


def count_samples(
    placed: Placed,
    pieces: Pieces,
    parts: NDArray[np.int64],
    chosen: Chosen,
    labels: Sequence[Sequence[Label]],
    drawn: Callable[[int], LabelMap],
    fewest_px: int,
) -> Counted:
    """Count what each window holds of its own part's labels; those that hold too little are left out."""
    windows = placed.windows
    samples, places, few = [], [], 0
    labelled = np.zeros(len(CLASS_CODES), np.int64)
    column = np.full(256, 0, np.int64)
    column[list(CLASS_CODES)] = np.arange(len(CLASS_CODES))
    of_part = [set(pieces.labels[parts[pieces.groups] == part].tolist()) for part in range(len(SPLITS))]
    for number, scene in enumerate(chosen.scenes):
        truth = drawn(number)
        is_labelled = truth.polygons != UNLABELLED
        labelled += np.bincount(column[truth.classes[is_labelled]], minlength=len(CLASS_CODES))
        keys = np.array([0, *(label.label_id for label in labels[number])], np.int64)
        counts_for = np.array([np.isin(keys, list(each)) for each in of_part])
        is_seen = np.zeros(truth.polygons.shape, bool)
        here = np.flatnonzero(windows.scenes == number)
        for place in here[np.lexsort((windows.boxes[here, 1], windows.boxes[here, 0]))].tolist():
            top, left, bottom, right = windows.boxes[place].tolist()
            part = int(windows.parts[place])
            box = (slice(top, bottom), slice(left, right))
            polygons = truth.polygons[box]
            counting = (polygons != UNLABELLED) & counts_for[part][polygons]
            if counting.sum() < fewest_px:
                few += 1
                continue
            classes = column[truth.classes[box]]
            own = counting & ~is_seen[box]
            is_seen[box] |= counting
            samples.append(
                Sample(
                    scene_id=scene.scene_id,
                    row_px=top,
                    col_px=left,
                    height_px=bottom - top,
                    width_px=right - left,
                    split=SPLITS[part],
                    group_key=pieces.keys[placed.groups[place]],
                    label_ids=keys[np.unique(polygons[counting])].tolist(),
                    class_pixels=np.bincount(classes[counting], minlength=len(CLASS_CODES)).tolist(),
                    own_class_pixels=np.bincount(classes[own], minlength=len(CLASS_CODES)).tolist(),
                )
            )
            places.append(place)
    return Counted(samples, np.array(places, np.int64), few, labelled)
