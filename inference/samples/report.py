"""`lode samples show`: what a sample set holds, and whether its parts leak into each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.rows import TupleRow

from db.classes import list_classes
from db.samples import SPLITS, Sample, SampleSet, count_lost_labels, polygons_of_set, samples_of_set
from db.scenes import Scene, scene_by_id
from inference.samples.leaks import Windows, close_pairs

LEAKS_NAMED = 5
"""Leaking pairs that a warning names one by one."""


@dataclass(frozen=True)
class ClassRow:
    """What a set holds of a class, each a figure for training, validation and test.

    Attributes:
        key: English key of the class.
        samples: samples with pixels of it.
        polygons: labels; one too large for a window may count in several parts.
        pixels: labelled pixels, each counted once.

    """

    key: str
    samples: tuple[int, ...]
    polygons: tuple[int, ...]
    pixels: tuple[int, ...]


@dataclass(frozen=True)
class SetReport:
    """A sample set as it is shown.

    Attributes:
        sample_set: the row of the catalogue.
        products: scenes by name.
        samples: samples of each split.
        groups: mines, blocks or groups of scenes of each split.
        rows: classes that occur.
        leaks: pairs of samples of two splits that overlap or touch.
        close: pairs that do not, but are nearer to each other than the set's gap.
        warnings: what to know before training on it.

    """

    sample_set: SampleSet
    products: tuple[str, ...]
    samples: tuple[int, ...]
    groups: tuple[tuple[str, ...], ...]
    rows: tuple[ClassRow, ...]
    leaks: int
    close: int
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--format json``."""
        found = self.sample_set
        return {
            "name": found.name,
            "created_at": found.created_at.isoformat(),
            "tile_px": found.tile_px,
            "resolution_m": found.resolution_m,
            "split_rule": found.split_rule,
            "seed": found.seed,
            "gap_m": found.gap_m,
            "scenes": list(self.products),
            "samples": dict(zip(SPLITS, self.samples, strict=True)),
            "groups": {split: list(keys) for split, keys in zip(SPLITS, self.groups, strict=True)},
            "classes": {
                row.key: {
                    what: dict(zip(SPLITS, getattr(row, what), strict=True))
                    for what in ("samples", "polygons", "pixels")
                }
                for row in self.rows
            },
            "leaks": self.leaks,
            "closer_than_gap": self.close,
            "parameters": found.parameters,
            "warnings": list(self.warnings),
        }


def report_of(conn: Connection[TupleRow], found: SampleSet) -> SetReport:
    """Read a set from the database and check it for leaks.

    The check looks at where the samples lie now, so it also judges sets that someone edited.
    """
    samples = samples_of_set(conn, found.sample_set_id)
    scene_ids = sorted({*found.scene_ids, *(sample.scene_id for sample in samples)})
    scenes = {scene_id: scene_by_id(conn, scene_id) for scene_id in scene_ids}
    leaks, close = leaking_pairs(samples, scenes, found.gap_m)
    warnings = [
        *_leak_lines(samples, scenes, leaks, close, found.gap_m),
        *found.parameters.get("warnings", ()),
    ]
    lost = count_lost_labels(conn, found.sample_set_id)
    if lost:
        warnings.append(f"{lost} labels of the set were deleted since: build it again")
    old = [scene.product for scene in scenes.values() if scene.superseded_by is not None]
    if old:
        warnings.append(
            f"newer versions replaced the scenes {', '.join(old)}: build the set again to use them"
        )
    return SetReport(
        sample_set=found,
        products=tuple(scene.product for scene in scenes.values()),
        samples=tuple(sum(sample.split == split for sample in samples) for split in SPLITS),
        groups=tuple(
            tuple(sorted({sample.group_key for sample in samples if sample.split == split}))
            for split in SPLITS
        ),
        rows=_rows(conn, found, samples),
        leaks=len(leaks),
        close=len(close),
        warnings=tuple(warnings),
    )


def leaking_pairs(
    samples: Sequence[Sample], scenes: dict[int, Scene], gap_m: float
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of samples of two splits on the same ground, in whatever scenes and years.

    Args:
        samples: the samples.
        scenes: by key, all that the samples lie in.
        gap_m: ground wanted between them, m.

    Returns:
        Places of those that overlap or touch, and of those that are only nearer than the gap.

    """
    numbers = {scene_id: number for number, scene_id in enumerate(scenes)}
    windows = Windows(
        np.array([numbers[sample.scene_id] for sample in samples], np.int64),
        np.array(
            [(s.row_px, s.col_px, s.row_px + s.height_px, s.col_px + s.width_px) for s in samples], np.int64
        ).reshape(-1, 4),
        np.array([SPLITS.index(sample.split) for sample in samples], np.int64),
    )
    grids = [scene.grid for scene in scenes.values()]
    touching = [(int(a), int(b)) for a, b in close_pairs(windows, grids, 0.0)]
    near = [(int(a), int(b)) for a, b in close_pairs(windows, grids, gap_m)]
    return touching, sorted(set(near) - set(touching))


def _leak_lines(
    samples: Sequence[Sample],
    scenes: dict[int, Scene],
    leaks: Sequence[tuple[int, int]],
    close: Sequence[tuple[int, int]],
    gap_m: float,
) -> list[str]:
    lines = []
    if leaks:
        lines.append(f"LEAK: {len(leaks)} pairs of samples of two splits overlap or touch")
    for first, second in leaks[:LEAKS_NAMED]:
        a, b = (
            f"{sample.split} at row {sample.row_px}, column {sample.col_px} of "
            f"{scenes[sample.scene_id].product}"
            for sample in (samples[first], samples[second])
        )
        lines.append(f"LEAK: {a} and {b}")
    if close:
        lines.append(f"{len(close)} pairs of samples of two splits are nearer than {gap_m:g} m to each other")
    return lines


def _rows(conn: Connection[TupleRow], found: SampleSet, samples: Sequence[Sample]) -> tuple[ClassRow, ...]:
    polygons = polygons_of_set(conn, found.sample_set_id)
    names = {each.code: each.key for each in list_classes(conn)}
    rows = []
    for place, code in enumerate(found.class_codes):
        held = [[sample for sample in samples if sample.split == split] for split in SPLITS]
        row = ClassRow(
            key=names.get(code, str(code)),
            samples=tuple(sum(sample.class_pixels[place] > 0 for sample in each) for each in held),
            polygons=tuple(polygons.get((split, code), 0) for split in SPLITS),
            pixels=tuple(sum(sample.own_class_pixels[place] for sample in each) for each in held),
        )
        if sum(row.samples):
            rows.append(row)
    return tuple(rows)
