"""The parts of a training: loss, augmentation, sampling, averaging, plain answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from db.errors import UsageError
from inference.normalisation import Normalisation
from inference.training.augmentation import augmented
from inference.training.baselines import majority_baseline, pixel_baseline
from inference.training.blocks import TEST, TRAIN, VALIDATION, BlockGrid, LabelledPixels, Split
from inference.training.label_maps import LabelMap
from inference.training.loss import SegmentationLoss, class_weights, prior_shifts
from inference.training.samples import TrainingScene, WindowSampler
from inference.training.settings import TrainingSettings
from inference.training.statistics import observed_labels, training_normalisation
from inference.training.trainer import average_into, schedule
from tests.unit.segmentation_models import noise, source_of_pixels

EVEN = np.ones(2)
NONE = np.zeros(2)


def plain_loss(weights: NDArray[np.float64] = EVEN, shifts: NDArray[np.float64] = NONE) -> SegmentationLoss:
    return SegmentationLoss([0, 6], [0, 6], weights, shifts)


def test_loss_of_a_perfect_answer_is_nothing_and_of_an_even_one_is_known() -> None:
    labels = torch.tensor([[[0, 6], [6, 6]]], dtype=torch.uint8)
    right = torch.zeros(1, 8, 2, 2)
    right[0, 0, 0, 0] = 50
    right[0, 6] = torch.tensor([[0.0, 50], [50, 50]])
    assert plain_loss()(right, labels) == pytest.approx(0, abs=1e-5)
    even = plain_loss()(torch.zeros(1, 8, 2, 2), labels)
    dice = np.mean([(2 * 0.5 + 1) / (2 + 1 + 1), (2 * 1.5 + 1) / (2 + 3 + 1)])
    assert even == pytest.approx(np.log(2) + 1 - dice)


def test_unlabelled_pixels_and_unlabelled_classes_do_not_count() -> None:
    labels = torch.tensor([[[0, 255], [6, 255]]], dtype=torch.uint8)
    logits = torch.randn(1, 8, 2, 2, requires_grad=True)
    changed = logits.detach().clone()
    changed[:, :, :, 1] = 1e4
    changed[:, [1, 2, 3, 4, 5, 7]] = 1e4
    loss = plain_loss()(logits, labels)
    assert plain_loss()(changed, labels) == pytest.approx(loss.item())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, :, 1] == 0).all()
    assert (logits.grad[:, [1, 2, 3, 4, 5, 7]] == 0).all()
    nothing = plain_loss()(logits, torch.full((1, 2, 2), 255, dtype=torch.uint8))
    assert nothing == 0
    nothing.backward()


def test_shifts_make_up_for_even_sampling() -> None:
    """Where pixels say nothing, the network must learn the labels' own shares, not those it was shown."""
    shown, labelled = np.array([500.0, 500.0]), np.array([900.0, 100.0])
    weights = class_weights(labelled)
    loss = plain_loss(weights, prior_shifts(shown, labelled, weights))
    labels = torch.tensor([0] * 500 + [6] * 500, dtype=torch.uint8).reshape(1, 1, 1000)
    bias = torch.zeros(8, requires_grad=True)
    optimiser = torch.optim.LBFGS([bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value: torch.Tensor = nn.functional.cross_entropy(
            bias[[0, 6]].expand(1000, 2) + loss.shifts, (labels.flatten() == 6).long(), weight=loss.weights
        )
        value.backward()
        return value

    optimiser.step(closure)
    shares = torch.softmax(bias.detach()[[0, 6]], dim=0)
    torch.testing.assert_close(shares, torch.tensor([0.9, 0.1]), atol=1e-3, rtol=0)


def test_augmentation_moves_labels_with_their_pixels() -> None:
    labels = (noise(1, 64, 64)[0] > 0).astype(np.uint8).repeat(4, 0).repeat(4, 1)[:64, :64] * 6
    labels[:, 40:] = 255
    pixels = torch.from_numpy(np.stack([labels.astype(np.float32), noise(1, 64, 64)[0]]))[None].repeat(
        32, 1, 1, 1
    )
    batch = torch.from_numpy(labels)[None].repeat(32, 1, 1)
    moved, moved_labels = augmented(pixels, batch, torch.Generator().manual_seed(1))
    assert moved.shape == pixels.shape
    assert moved_labels.shape == batch.shape
    assert set(moved_labels.unique().tolist()) == {0, 6, 255}
    different = 0
    for values, classes in zip(moved[:, 0], moved_labels, strict=True):
        # light and haze change, but class 6 must stay brighter than class 0, border pixels aside
        bright, dark = values[classes == 6], values[classes == 0]
        contrast = bright.median() - dark.median()
        assert contrast > 1.5
        assert (bright > dark.median() + contrast / 2).float().mean() > 0.9
        different += int((classes != batch[0]).any())
    assert different > 20


def test_augmentation_repeats_for_a_seed() -> None:
    pixels, labels = torch.randn(4, 2, 32, 32), torch.zeros(4, 32, 32, dtype=torch.uint8)
    first, second = (augmented(pixels, labels, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def striped_scene() -> tuple[TrainingScene, Split]:
    """A scene of 96 x 96 px; blocks of 32 px; labels of 0 and 6 everywhere, one polygon a 8 x 8 px."""
    polygons = np.kron(np.arange(1, 145).reshape(12, 12), np.ones((8, 8), int)).astype(np.int32)
    classes = np.where(polygons % 5 == 0, 6, 0).astype(np.uint8)
    pixels = np.stack([classes * 100.0 + 300, noise(1, 96, 96)[0] * 10 + 500]).astype(np.float32)
    source = source_of_pixels(pixels)
    block_grid = BlockGrid(32645, 64.0)
    labelled = LabelledPixels.of_scene(LabelMap(classes, polygons), source.grid, block_grid)
    keys = np.unique(labelled.blocks)
    split = Split(block_grid, {int(key): place % 3 for place, key in enumerate(keys)})
    return TrainingScene(source, "drawn", labelled, split.part_of_pixels(labelled)), split


def test_training_windows_never_show_labels_of_held_out_blocks() -> None:
    scene, _split = striped_scene()
    normalisation = Normalisation(("b1", "b2"), (0.0, 0.0), (8.0, 8.0), ((0.0, 0.0),) * 2, (0.0, 0.0))
    shown = np.zeros((96, 96), bool)
    # a window's pixels tell where it lies: both bands carry the place
    rows, cols = np.indices((96, 96)).astype(np.float32)
    placed = source_of_pixels(np.stack([rows, cols]))
    sampler = WindowSampler(
        [TrainingScene(placed, "drawn", scene.labelled, scene.parts)], [0, 6], normalisation, 48
    )
    for pixels, labels in sampler.batches(50, 4, np.random.default_rng(1)):
        for window, classes in zip(pixels, labels, strict=True):
            labelled = classes != 255
            assert labelled.any()
            shown[*(window[:, labelled] * 8).round().astype(int)] = True
    training = scene.truth(TRAIN) != 255
    assert not (shown & ~training).any()
    assert (shown & training).sum() > 0.9 * training.sum()


def test_rare_classes_are_met_more_often_than_they_are() -> None:
    scene, _split = striped_scene()
    normalisation = Normalisation(("b1", "b2"), (0.0, 0.0), (1.0, 1.0), ((0.0, 0.0),) * 2, (0.0, 0.0))
    sampler = WindowSampler([scene], [0, 6], normalisation, 8)
    met = sampler.met_pixels(400, np.random.default_rng(1))
    labelled = np.array([(scene.truth(TRAIN) == code).sum() for code in (0, 6)])
    assert labelled[1] / labelled.sum() < 0.25
    assert met[1] / met.sum() > 1.3 * labelled[1] / labelled.sum()


def test_a_scene_smaller_than_the_window_is_mirrored_but_not_labelled_twice() -> None:
    scene, _split = striped_scene()
    normalisation = Normalisation(("b1", "b2"), (0.0, 0.0), (1.0, 1.0), ((0.0, 0.0),) * 2, (0.0, 0.0))
    [(pixels, labels)] = WindowSampler([scene], [0, 6], normalisation, 128).batches(
        1, 2, np.random.default_rng(1)
    )
    assert pixels.shape == (2, 2, 128, 128)
    assert (labels[:, 96:] == 255).all()
    np.testing.assert_array_equal(pixels[0, :, 96:, :96], pixels[0, :, 95:63:-1, :96])


def test_statistics_are_of_training_blocks_alone() -> None:
    scene, split = striped_scene()
    keys = split.grid.keys_of_pixels(scene.source.grid, *(axis.ravel() for axis in np.indices((96, 96))))
    is_training = (split.part_of_blocks(keys) == TRAIN).reshape(96, 96)
    pixels, _ = scene.source.read(0, 0, 96, 96)
    pixels[:, ~is_training] = 1e6
    spoilt = TrainingScene(source_of_pixels(pixels), "drawn", scene.labelled, scene.parts)
    found = training_normalisation([spoilt], split, ("b1", "b2"), np.random.default_rng(1))
    assert found.means[1] == pytest.approx(pixels[1, is_training].mean(), rel=0.01)
    assert max(found.means) < 1000
    constant = TrainingScene(source_of_pixels(pixels * 0 + 1), "drawn", scene.labelled, scene.parts)
    with pytest.raises(UsageError, match="a constant band"):
        training_normalisation([constant], split, ("b1", "b2"), np.random.default_rng(1))


def test_labels_on_pixels_without_data_are_dropped() -> None:
    pixels = np.ones((1, 4, 4), np.uint8)
    pixels[0, 0] = 0
    labels = LabelMap(np.full((4, 4), 6, np.uint8), np.ones((4, 4), np.int32))
    kept = observed_labels(source_of_pixels(pixels, nodata=0), labels)
    assert (kept.classes[0] == 255).all()
    assert (kept.polygons[0] == 0).all()
    assert (kept.classes[1:] == 6).all()


def test_plain_answers() -> None:
    scene, split = striped_scene()
    normalisation = training_normalisation([scene], split, ("b1", "b2"), np.random.default_rng(1))
    majority = majority_baseline([scene], [0, 6])
    test = scene.truth(TEST)
    assert majority.overall_accuracy == pytest.approx((test == 0).sum() / (test != 255).sum())
    assert majority.recall[6] == 0
    # the first band is the class itself, so a look at each pixel suffices
    assert pixel_baseline([scene], [0, 6], normalisation, np.random.default_rng(1)).mean_iou > 0.99


def test_the_schedule_rises_and_falls_to_nothing() -> None:
    shares = [schedule(step / 200) for step in range(201)]
    peak = int(np.argmax(shares))
    assert 5 <= peak <= 15
    assert shares[peak] == pytest.approx(1, abs=0.02)
    assert (np.diff(shares[:peak]) > 0).all()
    assert (np.diff(shares[peak:]) <= 0).all()
    assert shares[-1] == pytest.approx(0)
    assert schedule(1.7) == pytest.approx(0)


def test_averaged_weights_follow_the_live_ones() -> None:
    live, averaged = (nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)) for _ in range(2))
    live[1](live[0](torch.randn(4, 1, 3, 3)))
    for step in range(1, 500):
        average_into(averaged, live, step)
    for old, new in zip(averaged.state_dict().values(), live.state_dict().values(), strict=True):
        torch.testing.assert_close(old, new, atol=1e-3, rtol=1e-3)


def test_splits_are_masks_without_gaps() -> None:
    scene, _split = striped_scene()
    truths = [scene.truth(part) != 255 for part in (TRAIN, VALIDATION, TEST)]
    assert (np.sum(truths, axis=0) <= 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile_px": 100}, "multiple of 16"),
        ({"tile_px": 16}, "at least 32"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"block_m": -5.0}, "block_m is -5.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"overlap_px": -1}, "overlap_px is -1"),
        ({"tile_px": 64, "overlap_px": 64}, "overlap_px is 64: it must be at most 63"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingSettings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("backbone", "edge_px", "tile_px"),
    [
        ("small", 401, 64),
        ("small", 1151, 128),
        ("small", 100, 64),
        ("resnet50", 1151, 128),
        ("resnet50", 9000, 256),
    ],
)
def test_windows_suit_backbone_and_scenes(backbone: str, edge_px: int, tile_px: int) -> None:
    assert TrainingSettings(backbone=backbone).suitable_tile_px(edge_px) == tile_px
