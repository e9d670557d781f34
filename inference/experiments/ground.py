"""What the networks of an experiment are trained and tested on, told so that two calls can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.rows import TupleRow

from db.classes import list_classes
from db.connection import connect
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import SPLIT_NAMES
from inference.training.material import Material, material_of_blocks, material_of_samples
from inference.training.scenes import choose_scenes
from inference.training.settings import TrainingSettings
from inference.training.split import check_split


@dataclass(frozen=True)
class Ground:
    """Scenes, labels and split, without their pixels; all as JSON knows it.

    Attributes:
        scenes: product, version and scene_id of each.
        bands: names.
        sample_set: name of the set of samples; None where whole blocks were split.
        split: as stored with every model.
        pixels: labelled pixels by part and class.
        labels: SHA-256 of the labelled pixels and their parts.

    """

    scenes: tuple[dict[str, Any], ...]
    bands: tuple[str, ...]
    sample_set: str | None
    split: dict[str, Any]
    pixels: dict[str, dict[str, int]]
    labels: str

    def of_models(self) -> dict[str, Any]:
        """What every model that was trained on this ground stores of it."""
        return {
            "scenes": list(self.scenes),
            "split": self.split,
            "pixels": self.pixels,
            "bands": list(self.bands),
        }

    def as_json(self) -> dict[str, Any]:
        """All but the split, which is long and follows from the rest."""
        return {
            "scenes": list(self.scenes),
            "bands": list(self.bands),
            "sample_set": self.sample_set,
            "pixels": self.pixels,
            "labels": self.labels,
        }


@contextmanager
def opened_material(
    url: str,
    settings: TrainingSettings,
    products: Sequence[str],
    sample_set: str | None,
    band_names: Sequence[str],
) -> Iterator[tuple[Connection[TupleRow], Material]]:
    """A connection, and the same scenes, labels and split as `train_segmentation` makes of these.

    Args:
        url: of the database.
        settings: block edge and seed of the split are taken from them.
        products: scenes; none: all current ones with labels.
        sample_set: name of the samples instead; None: scenes.
        band_names: bands; none: all that the scenes share.

    Raises:
        UsageError: scenes or labels do not suffice.

    """
    with (
        connect(url, application_name="lode experiment") as conn,
        connect(url, autocommit=True, application_name="lode experiment (reader)") as reading,
    ):
        if sample_set is not None:
            yield conn, material_of_samples(conn, reading, sample_set, band_names)
            return
        chosen = choose_scenes(conn, products, band_names)
        yield conn, material_of_blocks(conn, reading, chosen, settings.block_m, settings.seed_of_split)


def ground_of(conn: Connection[TupleRow], material: Material, sample_set: str | None) -> Ground:
    """Tell what a material is.

    Raises:
        UsageError: it cannot be trained, validated or tested on.

    """
    split = material.ground.as_json()
    check_split(material.counts, split.get("edge_m"))
    names = {each.code: each.key for each in list_classes(conn)}
    digest = hashlib.sha256()
    for scene in material.scenes:
        for values in (scene.labelled.rows, scene.labelled.cols, scene.labelled.classes, scene.parts):
            digest.update(np.ascontiguousarray(values).data)
    return Ground(
        scenes=tuple(
            {"product": scene.product, "version": scene.version, "scene_id": scene.scene_id}
            for scene in material.chosen.scenes
        ),
        bands=tuple(material.chosen.band_names),
        sample_set=sample_set,
        split=split,
        pixels={
            part: {names[code]: int(row[place]) for place, code in enumerate(CLASS_CODES)}
            for part, row in zip(SPLIT_NAMES, material.counts, strict=True)
        },
        labels=digest.hexdigest(),
    )
