"""`lode train segmentation`: labels and scenes of the database become a network in the registry."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
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
from db.registry import ModelRecord, NewModel, model_by_name, require_free_name
from inference.device import describe_device
from inference.networks import build_network
from inference.samples.ground import SampleGround
from inference.segmentation_model import CLASS_CODES, SEGMENTATION, SegmentationModel, on_device
from inference.training.baselines import majority_baseline, pixel_baseline
from inference.training.blocks import SPLIT_NAMES, TEST, TRAIN, Split
from inference.training.calibrating import model_temperature
from inference.training.checkpoint import remove_checkpoint
from inference.training.first_weights import start_from
from inference.training.judging import figures_as_json, judge
from inference.training.keeping import keep_model
from inference.training.material import Material, material_of_blocks, material_of_samples
from inference.training.processes import make_fabric, training_device
from inference.training.samples import TrainingScene
from inference.training.scenes import choose_scenes
from inference.training.settings import TrainingSettings
from inference.training.split import check_split
from inference.training.statistics import training_normalisation
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


def train_segmentation(
    url: str,
    name: str,
    settings: TrainingSettings,
    *,
    products: Sequence[str] = (),
    sample_set: str | None = None,
    band_names: Sequence[str] = (),
    device_name: str | None = None,
    checkpoint: Path | None = None,
    first_weights: Path | None = None,
    report: TrainingReport,
) -> ModelRecord:
    """Train a network on labelled scenes of the database and store it in the registry.

    Started by torchrun, several processes train one network; the first stores it.

    Args:
        url: libpq URL of the database.
        name: of the model; must be free.
        settings: how.
        products: scenes; none: all current ones with labels.
        sample_set: train on the windows and the split of this set instead.
        band_names: bands; none: all that the scenes share.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        checkpoint: file to save to after each epoch, and to go on from where it is there; removed once the
            network is stored. Processes on several machines need it on a disk they share. None: none.
        first_weights: safetensors file to start from, see `start_from`; None: random weights.
        report: hears of the progress; of several processes the first one's alone.

    Raises:
        UsageError: the name is taken, scenes or labels do not suffice, the training diverged. Nothing is
            stored then.

    """
    if sample_set is not None and products:
        raise UsageError("a sample set says which scenes it is of: give either --samples or --scene")
    if sample_set is not None and settings.block_m is not None:
        raise UsageError("a sample set has its own split: give either --samples or --block-m")
    device = training_device(device_name)
    fabric = make_fabric(device)
    if fabric.global_rank:
        report = TrainingReport(lambda _line: None, lambda _epoch: None)
    begun = time.monotonic()
    # pixels are read in a transaction of their own, which a training of hours does not keep open
    with (
        connect(url, application_name="lode train") as conn,
        connect(url, autocommit=True, application_name="lode train (reader)") as reading,
    ):
        require_free_name(conn, name)
        names = {each.code: each.key for each in list_classes(conn)}
        if sample_set is not None:
            material = material_of_samples(conn, reading, sample_set, band_names)
        else:
            chosen = choose_scenes(conn, products, band_names)
            material = material_of_blocks(conn, reading, chosen, settings.block_m, settings.seed_of_split)
        settings = replace(settings, tile_px=_tile_px(settings, material))
        edge_m = material.ground.grid.edge_m if isinstance(material.ground, Split) else None
        check_split(material.counts, edge_m)
        _tell(material, names, settings, device, report)
        if checkpoint is not None and checkpoint.exists():
            report.line(f"going on from {checkpoint}")
        new = _train(name, material, settings, fabric, checkpoint, first_weights, names, report)
        if new is not None:
            new = replace(new, training={**new.training, "seconds": round(time.monotonic() - begun, 1)})
            keep_model(url, new, report.line)
            if checkpoint is not None:
                remove_checkpoint(checkpoint)
        fabric.barrier()
    with connect(url, application_name="lode train") as conn:
        return model_by_name(conn, name)


def _tile_px(settings: TrainingSettings, material: Material) -> int:
    """Edge of the windows: that of the sample set, or one that suits scenes and backbone."""
    if isinstance(material.ground, Split):
        return settings.suitable_tile_px(material.chosen.shortest_edge_px)
    if settings.tile_px not in (None, material.ground.tile_px):
        raise UsageError(
            f"the samples of {material.ground.name} have windows of {material.ground.tile_px} px, asked for "
            f"are {settings.tile_px} px: leave --tile-px out, or build another set"
        )
    return material.ground.tile_px


def _train(
    name: str,
    material: Material,
    settings: TrainingSettings,
    fabric: Fabric,
    checkpoint: Path | None,
    first_weights: Path | None,
    names: dict[int, str],
    report: TrainingReport,
) -> NewModel | None:
    """The trained model; None in processes other than the first."""
    chosen, scenes, device = material.chosen, material.scenes, fabric.device
    rng = np.random.default_rng(settings.seed)
    normalisation = training_normalisation(scenes, material.ground, chosen.band_names, rng)
    options = {"backbone": settings.chosen_backbone, **settings.options}
    tile_px = _tile_px(settings, material)
    mapped_codes = tuple(int(code) for code in np.flatnonzero(material.counts[TRAIN]))
    # named, or each process would begin to work on every GPU there is
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = build_network(
            settings.architecture, in_channels=len(chosen.band_names), classes=len(CLASS_CODES), **options
        )
        begun_with = None
        if first_weights is not None:
            begun_with = start_from(network, first_weights, chosen.band_names)
            report.line(begun_with.text)
        model = SegmentationModel(
            model_id=0,
            name=name,
            network=on_device(network, device).eval(),
            device=device,
            band_names=chosen.band_names,
            normalisation=normalisation,
            class_codes=CLASS_CODES,
            mapped_codes=mapped_codes,
            tile_px=tile_px,
            resolution_m=chosen.resolution_m,
            processing_level=chosen.scenes[0].processing_level,
        )
        boxes = None if isinstance(material.ground, Split) else material.ground.training_boxes()
        windows = settings.windows_per_epoch or covering_windows(scenes, tile_px)
        pixels = [int(material.counts[TRAIN][code]) for code in mapped_codes]
        history, best_epoch = fit(
            model,
            scenes,
            pixels,
            settings,
            windows,
            report.epoch,
            boxes=boxes,
            checkpoint=checkpoint,
            fabric=fabric,
        )
    if fabric.global_rank:
        return None
    temperature = model_temperature(model, scenes)
    model = replace(model, temperature=temperature.value)
    metrics = judge(model, scenes, TEST, settings.overlap_px).as_json(names)
    metrics["calibration"]["temperature"] = temperature.as_json()
    metrics["baselines"] = {
        "majority_class": figures_as_json(majority_baseline(scenes, mapped_codes), names),
        "pixel_regression": figures_as_json(pixel_baseline(scenes, mapped_codes, normalisation, rng), names),
    }
    return NewModel(
        name=name,
        task=SEGMENTATION,
        architecture=settings.architecture,
        options=options,
        class_codes=CLASS_CODES,
        mapped_codes=mapped_codes,
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
            "split": material.ground.as_json(),
            "pixels": _named_counts(material.counts, names),
            "windows_per_epoch": windows,
            "best_epoch": best_epoch,
            "device": describe_device(device),
            "first_weights": begun_with.as_json() if begun_with is not None else None,
        },
        history=[epoch.as_json() for epoch in history],
        metrics=metrics,
        versions={"python": platform.python_version()} | {each: version(each) for each in PACKAGES},
        weights=weights_to_bytes(model.network),
        temperature=temperature.value,
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


def _changes(material: Material, ground: SampleGround) -> Iterator[str]:
    """What became of a sample set since it was made; its windows stay where they are."""
    old = [scene.product for scene in material.chosen.scenes if scene.superseded_by is not None]
    if old:
        yield f"newer versions replaced the scenes {', '.join(old)}: build the samples again to use them"
    for part, row in zip(SPLIT_NAMES, material.counts, strict=True):
        then, now = ground.pixels_when_made(part), int(row.sum())
        if then != now:
            yield (
                f"{part}: {now:,} labelled pixels, {then:,} when the samples were made; labels have changed "
                "since, or other bands have data elsewhere"
            )


def _tell(
    material: Material,
    names: dict[int, str],
    settings: TrainingSettings,
    device: torch.device,
    report: TrainingReport,
) -> None:
    """Say what will be trained on, and which classes cannot be judged."""
    chosen, ground = material.chosen, material.ground
    report.line(
        f"{len(chosen.scenes)} scenes, bands {', '.join(chosen.band_names)}, windows of {settings.tile_px} "
        f"px, {describe_device(device)}"
    )
    if isinstance(ground, Split):
        parts = list(ground.parts.values())
        split = ", ".join(f"{parts.count(number)} {name}" for number, name in enumerate(SPLIT_NAMES))
        report.line(f"blocks of {ground.grid.edge_m:g} m: {split}")
    else:
        held = [sample.split for samples in ground.samples for sample in samples]
        split = ", ".join(f"{held.count(name)} {name}" for name in SPLIT_NAMES)
        report.line(f"samples of {ground.name}: {split}")
        for line in _changes(material, ground):
            report.line(line)
    for code in CLASS_CODES:
        counts = [int(count) for count in material.counts[:, code]]
        if sum(counts) and not all(counts):
            absent = " and ".join(name for name, count in zip(SPLIT_NAMES, counts, strict=True) if not count)
            report.line(f"{names[code]}: too few places with labels, none for {absent}")
