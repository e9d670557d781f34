"""The figure of an experiment: which places it shows, and that each panel shows what it is to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from db.classes import LandClass
from db.raster import Grid
from inference.experiments import figure as drawing
from inference.experiments.figure import PictureRow, draw_experiment, experiment_figure, stretched
from inference.experiments.pictures import answer_at
from inference.experiments.places import ShownPlace, choose_places
from inference.predict import predict_scene
from tests.unit.segmentation_models import PixelNetwork, model_of, noise, source_of_pixels

GRID = Grid(32645, 0.0, 2000.0, 2.0, 2.0, 160, 96)
CLASSES = [
    LandClass(code, f"class_{code}", f"class {code}", f"类{code}", "none", colour, code < 8, 100.0)
    for code, colour in enumerate(
        ("#102030", "#405060", "#708090", "#a0b0c0", "#d0e0f0", "#112233", "#445566", "#778899", "#aabbcc")
    )
]


def truth(*patches: tuple[int, int, int, int]) -> np.ndarray:
    """(96, 160) map with squares of 16 px: class, row, column, edge."""
    drawn = np.full((96, 160), 255, np.uint8)
    for code, row, col, edge in patches:
        drawn[row : row + edge, col : col + edge] = code
    return drawn


def test_the_place_with_most_classes_comes_first_and_then_what_was_not_shown():
    first = truth((1, 0, 0, 16), (2, 0, 16, 16), (6, 0, 130, 16))
    second = truth((3, 60, 60, 16), (1, 60, 80, 16), (7, 76, 70, 16))
    # the second scene lies elsewhere
    grids = [GRID, replace(GRID, origin_x=10_000.0)]
    places = choose_places([first, second], grids, 32, 3, seed=1)
    shown = [set(np.unique((first, second)[p.scene][p.rows, p.cols]).tolist()) - {255} for p in places]
    assert shown[0] == {1, 3, 7}
    assert sorted(map(sorted, shown[1:])) == [[1, 2], [6]]
    assert all((p.height, p.width) == (32, 32) for p in places)


def test_no_two_places_are_on_the_same_ground():
    same = truth((1, 0, 0, 16), (2, 0, 16, 16))
    places = choose_places([same, same], [GRID, GRID], 32, 4, seed=1)
    boxes = [(p.row, p.col) for p in places]
    assert all(abs(a[0] - b[0]) >= 32 or abs(a[1] - b[1]) >= 32 for a in boxes for b in boxes if a is not b)
    assert choose_places([truth()], [GRID], 32, 4, seed=1) == []


def test_a_small_scene_is_one_place():
    tiny = np.zeros((20, 24), np.uint8)
    (place,) = choose_places([tiny], [replace(GRID, width_px=24, height_px=20)], 64, 4, seed=1)
    assert place == ShownPlace(0, 0, 0, 20, 24)


def test_an_answer_is_the_piece_of_the_scenes_answer():
    source = source_of_pixels(noise(3, 80, 100))
    model = model_of(PixelNetwork())
    whole = np.concatenate([strip.class_map for strip in predict_scene(source, model)])
    place = ShownPlace(0, 30, 41, 32, 40)
    np.testing.assert_array_equal(answer_at(source, model, place), whole[30:62, 41:81])


def test_the_stretch_ends_at_black_and_full_and_leaves_gaps_white():
    values = np.array([[[0.0, 10.0, 20.0]]] * 3, np.float32)
    valid = np.array([[True, True, False]])
    colours = stretched(values, valid, np.full(3, 0.0), np.full(3, 10.0))
    np.testing.assert_allclose(colours[0, :, 0], [0.0, 1.0, 1.0])
    flat = stretched(values, valid, np.full(3, 5.0), np.full(3, 5.0))
    assert np.isfinite(flat).all()


def rows() -> list[PictureRow]:
    label = np.array([[0, 1], [255, 6]], np.uint8)
    answers = (np.array([[0, 0], [0, 0]], np.uint8), np.array([[255, 1], [7, 6]], np.uint8))
    return [PictureRow("1\n2023", np.full((2, 2, 3), 0.5, np.float32), label, answers)]


def panels(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes]


def test_panels_show_classes_in_their_colours():
    figure = experiment_figure(rows(), ["DL", "SE-DL"], CLASSES, "caption")
    assert [axis.get_title() for axis in figure.axes] == ["scene", "label", "DL", "SE-DL"]
    scene, label, dl, se = panels(figure)
    assert (scene == 0.5).all()
    assert label[0, 1].tolist() == [0x40, 0x50, 0x60]
    assert label[1, 0].tolist() == [0x8F] * 3
    assert (dl == [0x10, 0x20, 0x30]).all()
    assert se[0, 0].tolist() == [255] * 3
    assert se[1].tolist() == [[0x77, 0x88, 0x99], [0x44, 0x55, 0x66]]
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(entries) == 9  # the mapped classes, and where there is no label
    assert entries[-1] == "no test label"
    with pytest.raises(ValueError, match="no place"):
        experiment_figure([], ["DL"], CLASSES, "")


def test_chinese_names_are_shown_where_a_font_knows_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drawing, "chinese_font", lambda: None)
    plain = experiment_figure(rows(), ["a", "b"], CLASSES, "")
    assert plain.legends[0].get_texts()[1].get_text() == "class 1"
    monkeypatch.setattr(drawing, "chinese_font", lambda: "Noto Sans CJK SC")
    both = experiment_figure(rows(), ["a", "b"], CLASSES, "")
    assert both.legends[0].get_texts()[1].get_text() == "class 1 类1"


def test_the_file_is_a_picture(tmp_path: Path):
    path = draw_experiment(rows(), ["DL", "SE-DL"], CLASSES, "caption", tmp_path / "x.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]
