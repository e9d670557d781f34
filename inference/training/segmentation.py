"""`lode train segmentation`: labels and scenes of the database become a network in the registry."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from db.classes import list_classes
from db.connection import connect
from db.errors import UsageError
from db.labels import labels_of_scene
from db.registry import ModelRecord, NewModel, model_by_name, require_free_name, store_model
from inference.device import describe_device
from inference.networks import build_network
from inference.segmentation_model import CLASS_CODES, SEGMENTATION, SegmentationModel, on_device
from inference.training.baselines import majority_baseline, pixel_baseline
from inference.training.blocks import SPLIT_NAMES, TEST, TRAIN, Split
from inference.training.checkpoint import remove_checkpoint
from inference.training.evaluation import evaluate
from inference.training.label_maps import label_map
from inference.training.processes import make_fabric, training_device
from inference.training.samples import TrainingScene
from inference.training.scenes import Chosen, choose_scenes, training_sources
from inference.training.settings import TrainingSettings
from inference.training.split import check_split, make_split, pixels_by_part
from inference.training.statistics import observed_labels, training_normalisation
from inference.training.trainer import Epoch, fit
from inference.weights import weights_to_bytes

PACKAGES = ("lightning-fabric", "lode", "numpy", "rasterio", "safetensors", "shapely", "torch")


@dataclass(frozen=True)
class TrainingReport:
    """Who hears how a training goes on.

    Attributes:
        line: takes a line of text.
        epoch: takes the figures of each epoch.

    """

    line: Callable[[str], None]
    epoch: Callable[[Epoch], None]


@dataclass(frozen=True)
class _Prepared:
    """Everything a training needs; from here on no labels are read."""

    chosen: Chosen
    scenes: list[TrainingScene]
    split: Split
    counts: NDArray[np.int64]

    @property
    def mapped_codes(self) -> tuple[int, ...]:
        return tuple(int(code) for code in np.flatnonzero(self.counts[TRAIN]))


def train_segmentation(
    url: str,
    name: str,
    settings: TrainingSettings,
    *,
    products: Sequence[str] = (),
    band_names: Sequence[str] = (),
    device_name: str | None = None,
    checkpoint: Path | None = None,
    report: TrainingReport,
) -> ModelRecord:
    """Train a network on labelled scenes of the database and store it in the registry.

    Started by torchrun, several processes train one network; the first stores it.

    Args:
        url: libpq URL of the database.
        name: of the model; must be free.
        settings: how.
        products: scenes; none: all current ones with labels.
        band_names: bands; none: all that the scenes share.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        checkpoint: file to save to after each epoch, and to go on from where it is there; removed once the
            network is stored. Processes on several machines need it on a disk they share. None: none.
        report: hears of the progress; of several processes the first one's alone.

    Raises:
        UsageError: the name is taken, scenes or labels do not suffice, the training diverged. Nothing is
            stored then.

    """
    device = training_device(device_name)
    fabric = make_fabric(device)
    if fabric.global_rank:
        report = TrainingReport(lambda _line: None, lambda _epoch: None)
    begun = time.monotonic()
    with connect(url, application_name="lode train") as conn:
        require_free_name(conn, name)
        chosen = choose_scenes(conn, products, band_names)
        names = {each.code: each.key for each in list_classes(conn)}
        tile_px = settings.suitable_tile_px(chosen.shortest_edge_px)
        settings = replace(settings, tile_px=tile_px)
        # read in a transaction of its own, which a training of hours does not keep open
        with connect(url, autocommit=True, application_name="lode train (reader)") as reading:
            drawn = {scene.scene_id: labels_of_scene(conn, scene.scene_id) for scene in chosen.scenes}
            conn.rollback()
            sources = training_sources(reading, chosen)
            maps = []
            for scene, source in zip(chosen.scenes, sources, strict=True):
                labels = drawn[scene.scene_id]
                polygons = [label.geometry for label in labels]
                codes = [label.land_class_code for label in labels]
                maps.append((observed_labels(source, label_map(codes, polygons, scene.grid)), scene.grid))
            if not any(labels.polygons.any() for labels, _ in maps):
                raise UsageError(
                    "no label of a class that networks know (codes 0 to 7) covers a pixel with data of "
                    f"{', '.join(scene.product for scene in chosen.scenes)}: check where the labels lie"
                )
            split, pixels = make_split(maps, settings.block_m, settings.seed)
            scenes = [
                TrainingScene(source, scene.product, part, split.part_of_pixels(part))
                for source, scene, part in zip(sources, chosen.scenes, pixels, strict=True)
            ]
            counts = pixels_by_part([(scene.labelled, scene.parts) for scene in scenes])
            check_split(counts, split.grid.edge_m)
            prepared = _Prepared(chosen, scenes, split, counts)
            _tell(prepared, names, settings, device, report)
            if checkpoint is not None and checkpoint.exists():
                report.line(f"going on from {checkpoint}")
            new = _train(name, prepared, settings, fabric, checkpoint, names, report)
        if new is not None:
            new = replace(new, training={**new.training, "seconds": round(time.monotonic() - begun, 1)})
            store_model(conn, new)
            conn.commit()
            if checkpoint is not None:
                remove_checkpoint(checkpoint)
        fabric.barrier()
        return model_by_name(conn, name)


def _train(
    name: str,
    prepared: _Prepared,
    settings: TrainingSettings,
    fabric: Fabric,
    checkpoint: Path | None,
    names: dict[int, str],
    report: TrainingReport,
) -> NewModel | None:
    """The trained model; None in processes other than the first."""
    chosen, scenes, device = prepared.chosen, prepared.scenes, fabric.device
    rng = np.random.default_rng(settings.seed)
    normalisation = training_normalisation(scenes, prepared.split, chosen.band_names, rng)
    options = {"backbone": settings.chosen_backbone, **settings.options}
    tile_px = settings.suitable_tile_px(chosen.shortest_edge_px)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = build_network(
            settings.architecture, in_channels=len(chosen.band_names), classes=len(CLASS_CODES), **options
        )
        model = SegmentationModel(
            model_id=0,
            name=name,
            network=on_device(network, device).eval(),
            device=device,
            band_names=chosen.band_names,
            normalisation=normalisation,
            class_codes=CLASS_CODES,
            mapped_codes=prepared.mapped_codes,
            tile_px=tile_px,
            resolution_m=chosen.resolution_m,
            processing_level=chosen.scenes[0].processing_level,
        )
        windows = settings.windows_per_epoch or covering_windows(scenes, tile_px)
        pixels = [int(prepared.counts[TRAIN][code]) for code in model.mapped_codes]
        history, best_epoch = fit(
            model, scenes, pixels, settings, windows, report.epoch, checkpoint=checkpoint, fabric=fabric
        )
    if fabric.global_rank:
        return None
    test = evaluate(model, scenes, TEST, settings.overlap_px)
    metrics = test.as_json(names) | {
        "baselines": {
            "majority_class": majority_baseline(scenes, model.mapped_codes).as_json(names),
            "pixel_regression": pixel_baseline(scenes, model.mapped_codes, normalisation, rng).as_json(names),
        }
    }
    return NewModel(
        name=name,
        task=SEGMENTATION,
        architecture=settings.architecture,
        options=options,
        class_codes=CLASS_CODES,
        mapped_codes=model.mapped_codes,
        band_names=model.band_names,
        resolution_m=model.resolution_m,
        tile_px=tile_px,
        normalisation=normalisation.as_json(),
        training={
            "settings": settings.as_json(),
            "processing_level": model.processing_level,
            "scenes": [
                {"product": s.product, "version": s.version, "scene_id": s.scene_id} for s in chosen.scenes
            ],
            "split": prepared.split.as_json(),
            "pixels": _named_counts(prepared.counts, names),
            "windows_per_epoch": windows,
            "best_epoch": best_epoch,
            "device": describe_device(device),
        },
        history=[epoch.as_json() for epoch in history],
        metrics=metrics,
        versions={"python": platform.python_version()} | {each: version(each) for each in PACKAGES},
        weights=weights_to_bytes(model.network),
    )


def covering_windows(scenes: Sequence[TrainingScene], tile_px: int) -> int:
    """Windows of an epoch: as many as it takes to cover the training labels, at least 256."""
    chunks = 0
    for scene in scenes:
        training = scene.parts == TRAIN
        rows, cols = scene.labelled.rows[training] // tile_px, scene.labelled.cols[training] // tile_px
        chunks += len(set(zip(rows.tolist(), cols.tolist(), strict=True)))
    return max(chunks, 256)


def _named_counts(counts: NDArray[np.int64], names: dict[int, str]) -> dict[str, Any]:
    return {
        part: {names[code]: int(row[place]) for place, code in enumerate(CLASS_CODES)}
        for part, row in zip(SPLIT_NAMES, counts, strict=True)
    }


def _tell(
    prepared: _Prepared,
    names: dict[int, str],
    settings: TrainingSettings,
    device: torch.device,
    report: TrainingReport,
) -> None:
    """Say what will be trained on, and which classes cannot be judged."""
    parts = list(prepared.split.parts.values())
    split = ", ".join(f"{parts.count(number)} {name}" for number, name in enumerate(SPLIT_NAMES))
    chosen = prepared.chosen
    report.line(
        f"{len(chosen.scenes)} scenes, bands {', '.join(chosen.band_names)}, windows of {settings.tile_px} "
        f"px, {describe_device(device)}"
    )
    report.line(f"blocks of {prepared.split.grid.edge_m:g} m: {split}")
    for code in CLASS_CODES:
        held = [int(count) for count in prepared.counts[:, code]]
        if sum(held) and not all(held):
            absent = " and ".join(name for name, count in zip(SPLIT_NAMES, held, strict=True) if not count)
            report.line(f"{names[code]}: too few blocks with labels, none for {absent}")
