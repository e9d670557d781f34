"""`lode train pretrain`: scenes of the database, without labels, become a backbone in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from psycopg import Connection
from psycopg.rows import TupleRow
from torch.distributed import is_torchelastic_launched

from db.connection import connect
from db.errors import UsageError
from db.scenes import list_scenes, scene_by_product
from inference.device import choose_device, describe_device
from inference.pretraining.backbone_file import require_free, write_backbone
from inference.pretraining.blocks import Outline
from inference.pretraining.fitting import Fitted, Round, fit_backbone
from inference.pretraining.ground import pretraining_ground
from inference.pretraining.left_out import ground_of_test
from inference.pretraining.network import new_autoencoder
from inference.pretraining.settings import PretrainingSettings
from inference.segmentation_model import on_device
from inference.training.checkpoint import remove_checkpoint
from inference.training.scenes import Chosen, chosen_of, training_sources


@dataclass(frozen=True)
class PretrainingReport:
    """Who hears how a pretraining goes on.

    Attributes:
        line: takes a line of text.
        round: takes the figures of each round.

    """

    line: Callable[[str], None]
    round: Callable[[Round], None]


def pretrain(
    url: str,
    out: Path,
    settings: PretrainingSettings,
    *,
    products: Sequence[str] = (),
    band_names: Sequence[str] = (),
    left_out: Sequence[str] = (),
    left_out_ground: Sequence[Outline] = (),
    device_name: str | None = None,
    checkpoint: Path | None = None,
    report: PretrainingReport,
) -> Fitted:
    """Pretrain a backbone on scenes of the database and write it to a file; reads no labels.

    Args:
        url: libpq URL of the database.
        out: safetensors file to write; must not be there.
        settings: how.
        products: scenes; none: all current ones.
        band_names: bands; none: all that the scenes share.
        left_out: models or sample sets whose test ground is not to be seen.
        left_out_ground: further ground that is not to be seen.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        checkpoint: file to save to after each round, and to go on from where it is there; removed once the
            backbone is written. None: none.
        report: hears of the progress.

    Raises:
        UsageError: the file is there, scenes do not suffice, the training diverged. Nothing is written then.

    """
    if is_torchelastic_launched():
        raise UsageError("pretraining runs in one process: start it without torchrun, with --device cuda")
    require_free(out)
    device = choose_device(device_name)
    with (
        connect(url, application_name="lode pretrain") as conn,
        connect(url, autocommit=True, application_name="lode pretrain (reader)") as reading,
    ):
        chosen = _chosen(conn, products, band_names)
        hidden = [*left_out_ground, *(each for name in left_out for each in ground_of_test(conn, name))]
        conn.rollback()  # a training of hours keeps no transaction open
        settings = replace(settings, tile_px=settings.suitable_tile_px(chosen.shortest_edge_px))
        tile_px = settings.tile_px or 0
        ground = pretraining_ground(
            training_sources(reading, chosen),
            chosen.band_names,
            tile_px,
            block_m=settings.block_m,
            left_out=hidden,
            seed=settings.seed,
        )
        report.line(
            f"{len(chosen.scenes)} scenes, bands {', '.join(chosen.band_names)}, windows of {tile_px} px, "
            f"{describe_device(device)}"
        )
        report.line(
            f"blocks of {ground.grid.edge_m:g} m: {ground.blocks}, of which {len(ground.held_out)} held out"
            + (f"; without the test ground of {', '.join(left_out)}" if left_out else "")
        )
        if checkpoint is not None and checkpoint.exists():
            report.line(f"going on from {checkpoint}")
        identity: dict[str, Any] = {
            "scenes": _told(chosen),
            "bands": list(chosen.band_names),
            "normalisation": ground.normalisation.as_json(),
            "left_out": [f"{each.srid} {each.shape.wkt}" for each in hidden],
        }
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            network = new_autoencoder(settings.backbone, len(chosen.band_names))
            on_device(network, device)
            fitted = fit_backbone(
                network, ground, settings, device, report.round, checkpoint=checkpoint, identity=identity
            )
    write_backbone(
        out,
        network.backbone,
        {
            "backbone": settings.backbone,
            "bands": list(chosen.band_names),
            "normalisation": ground.normalisation.as_json(),
            "processing_level": chosen.scenes[0].processing_level,
            "resolution_m": chosen.resolution_m,
            "scenes": identity["scenes"],
            "settings": settings.as_json(),
            "ground": ground.as_json(),
            "left_out": sorted(left_out),
            "left_out_m2": sum(each.shape.area for each in hidden),
            "steps": fitted.steps,
            "rounds": [
                {"loss": each.loss, "validation_loss": each.validation_loss} for each in fitted.rounds
            ],
            "best_round": fitted.best_round,
            "validation_loss": fitted.validation_loss,
            "plain_loss": fitted.plain_loss,
            "versions": {each: version(each) for each in ("lode", "torch")},
        },
    )
    if checkpoint is not None:
        remove_checkpoint(checkpoint)
    report.line(
        f"{out}: backbone {settings.backbone}, round {fitted.best_round}, validation loss "
        f"{fitted.validation_loss:.3f} (mean of the visible pixels {fitted.plain_loss:.3f})"
    )
    if fitted.validation_loss >= fitted.plain_loss:
        report.line(
            "the backbone fills in no better than the mean of the visible pixels: it has learned little; "
            "train longer, or bring more scenes"
        )
    return fitted


def _chosen(conn: Connection[TupleRow], products: Sequence[str], band_names: Sequence[str]) -> Chosen:
    """The scenes, labelled or not."""
    scenes = [scene_by_product(conn, product) for product in dict.fromkeys(products)] or list_scenes(conn)
    if not scenes:
        raise UsageError("there is no scene to learn from: bring one with `lode ingest scene`")
    return chosen_of(scenes, band_names)


def _told(chosen: Chosen) -> list[dict[str, Any]]:
    return [
        {"product": scene.product, "version": scene.version, "sha256": scene.sha256}
        for scene in chosen.scenes
    ]
