"""What the figure of an experiment shows: test places, their labels, and the networks' answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

from db.classes import list_classes
from db.registry import ModelRecord
from db.scene_bands import scene_bands
from db.scenes import Scene
from inference.experiments.figure import PictureRow, draw_experiment, stretched
from inference.experiments.places import ShownPlace, choose_places
from inference.predict import predict_scene
from inference.scene_checks import source_of
from inference.scene_source import SceneSource
from inference.segmentation_model import SegmentationModel, load_segmentation
from inference.training.blocks import TEST
from inference.training.material import Material

PLACES = 4
EDGE_TILES = 1.5
STRETCH_PERCENT = (1.0, 99.0)
SAMPLES_ACROSS, SAMPLE_PX = 5, 96
COLOURS = ("red", "green", "blue")


def draw_material(
    conn: Connection[TupleRow],
    material: Material,
    models: Sequence[tuple[str, ModelRecord]],
    seed: int,
    device: torch.device,
    path: Path,
) -> Path | None:
    """Draw what networks answer on some test places; None where no test place can be shown.

    Args:
        conn: connection.
        material: what the networks were trained and tested on.
        models: title of the column and model, in order.
        seed: of the choice among equal places.
        device: where to predict.
        path: of the picture.

    """
    if not models:
        return None
    edge_px = round(models[0][1].tile_px * EDGE_TILES)
    truths = [scene.truth(TEST) for scene in material.scenes]
    grids = [scene.source.grid for scene in material.scenes]
    places = choose_places(truths, grids, edge_px, PLACES, seed)
    if not places:
        return None
    answers: list[list[NDArray[np.uint8]]] = [[] for _ in places]
    for _, record in models:
        model = load_segmentation(conn, record.name, device)
        for place, found in zip(places, answers, strict=True):
            found.append(answer_at(material.scenes[place.scene].source, model, place))
    rows = []
    for number, (place, found) in enumerate(zip(places, answers, strict=True), 1):
        scene = material.chosen.scenes[place.scene]
        title = f"{number}\n{scene.acquired_on:%Y-%m-%d}"
        label = truths[place.scene][place.rows, place.cols]
        rows.append(PictureRow(title, true_colour(conn, scene, place), label, tuple(found)))
    metres = grids[places[0].scene].resolution_x * edge_px
    seeds = sorted({int(record.training["settings"]["seed"]) for _, record in models})
    caption = (
        f"Test places of {metres:,.0f} m that show most classes, chosen before any answer was seen; models "
        f"of seed {', '.join(map(str, seeds))}. Labels of test ground only."
    )
    titles = [title for title, _ in models]
    return draw_experiment(rows, titles, list_classes(conn), caption, path)


def answer_at(source: SceneSource, model: SegmentationModel, place: ShownPlace) -> NDArray[np.uint8]:
    """(height, width) class codes that a network gives a window of a scene, 255 where not observed."""
    needed = np.zeros((source.grid.height_px, source.grid.width_px), bool)
    needed[place.rows, place.cols] = True
    strips = [
        strip.class_map[:, place.cols]
        for strip in predict_scene(source, model, needed=needed, with_probabilities=False)
    ]
    answer: NDArray[np.uint8] = np.concatenate(strips)[place.rows]
    return answer


def true_colour(conn: Connection[TupleRow], scene: Scene, place: ShownPlace) -> NDArray[np.float32]:
    """(height, width, 3) colours of a window; stretched as the whole scene, of which a grid is sampled.

    Where the bands do not say which is red, green and blue the first three (or the first) are taken.
    """
    source = source_of(conn, scene, _colour_bands(conn, scene))
    samples = [source.read(*window) for window in _sample_windows(source)]
    known = np.concatenate([values[:, valid] for values, valid in samples], axis=1)
    if known.shape[1] == 0:
        return np.ones((place.height, place.width, 3), np.float32)
    dark, bright = np.percentile(known, STRETCH_PERCENT, axis=1)
    # what is clouded does not count for the stretch, but is shown
    open_sky = replace(source, clouded=None)
    values, valid = open_sky.read(place.row, place.col, place.height, place.width)
    return stretched(values, valid, dark, bright)


def _colour_bands(conn: Connection[TupleRow], scene: Scene) -> tuple[str, ...]:
    by_colour = {band.common_name: band.name for band in scene_bands(conn, scene) if band.common_name}
    by_colour |= {name: name for name in scene.band_names if name in COLOURS}
    if all(colour in by_colour for colour in COLOURS):
        return tuple(by_colour[colour] for colour in COLOURS)
    first = scene.band_names
    return tuple(first[:3]) if len(first) >= 3 else (first[0],) * 3


def _sample_windows(source: SceneSource) -> list[tuple[int, int, int, int]]:
    """Row, column, height and width of windows spread over a scene."""
    grid = source.grid
    height, width = min(SAMPLE_PX, grid.height_px), min(SAMPLE_PX, grid.width_px)
    rows = np.linspace(0, grid.height_px - height, SAMPLES_ACROSS).astype(int).tolist()
    cols = np.linspace(0, grid.width_px - width, SAMPLES_ACROSS).astype(int).tolist()
    return [(row, col, height, width) for row in sorted(set(rows)) for col in sorted(set(cols))]
