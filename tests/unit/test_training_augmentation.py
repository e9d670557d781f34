"""Augmentation: labels and pixels move together, nothing chosen changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from db.errors import UsageError
from inference.training import samples
from inference.training.augmentation import Augmentation, affine, augmented, turned
from inference.training.samples import WindowSampler
from tests.unit.small_training import small_task

NOTHING = Augmentation.none()


def batch(n: int = 4, edge: int = 24, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 8, (n, edge, edge), generator=generator, dtype=torch.uint8)
    labels[torch.rand(n, edge, edge, generator=generator) < 0.2] = 255
    return torch.randn(n, 3, edge, edge, generator=generator), labels


def painted(edge: int = 64) -> tuple[Tensor, Tensor]:
    """A window whose first band is the class (0 or 6) of large smooth shapes, for a look after resampling."""
    rows, cols = np.indices((edge, edge)) / edge
    shape = (np.sin(7 * rows + 3 * cols) + np.cos(5 * cols * rows) > 0.6).astype(np.uint8) * 6
    labels = torch.from_numpy(shape)[None]
    return labels.float()[:, None], labels


@given(seed=st.integers(0, 2**32), n=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_nothing_chosen_changes_nothing(seed: int, n: int) -> None:
    pixels, labels = batch(n)
    same, same_labels = augmented(pixels, labels, torch.Generator().manual_seed(seed), NOTHING)
    assert torch.equal(same, pixels)
    assert torch.equal(same_labels, labels)


def test_an_affine_of_nothing_changes_nothing() -> None:
    pixels, labels = batch(4)
    zero, one = torch.zeros(4), torch.ones(4)
    same, same_labels = affine(pixels, labels, zero, one, zero)
    torch.testing.assert_close(same, pixels, atol=1e-4, rtol=0)
    assert torch.equal(same_labels, labels)


def test_quarter_turns_and_mirrors_are_what_they_say() -> None:
    pixels, labels = batch(8)
    turns = torch.tensor([0, 1, 2, 3] * 2)
    mirrored = torch.tensor([False] * 4 + [True] * 4)
    new, new_labels = turned(pixels, labels, turns, mirrored)
    for number in range(8):
        for old, found in ((pixels, new), (labels, new_labels)):
            wanted = np.rot90(old[number].numpy(), int(turns[number]), (-2, -1))
            wanted = wanted[..., ::-1] if mirrored[number] else wanted
            np.testing.assert_array_equal(found[number].numpy(), wanted)


def test_an_affine_turn_by_a_quarter_is_the_quarter_turn() -> None:
    pixels, labels = batch(2)
    angle = torch.tensor([90.0, -90.0])
    found, found_labels = affine(pixels, labels, angle, torch.ones(2), torch.zeros(2))
    wanted, wanted_labels = turned(pixels, labels, torch.tensor([1, 3]), torch.tensor([False, False]))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    assert (found_labels == wanted_labels).float().mean() > 0.99


def test_growing_shows_the_middle_and_shrinking_ignores_what_is_beyond() -> None:
    _pixels, labels = batch(1, 32)
    labels = torch.full_like(labels, 3)
    labels[:, 8:24, 8:24] = 5
    pixels = labels.float()[:, None]
    zero = torch.zeros(1)
    _, grown = affine(pixels, labels, zero, torch.tensor([2.0]), zero)
    assert (grown == 5).all()
    _, shrunk = affine(pixels, labels, zero, torch.tensor([0.5]), zero)
    assert (shrunk == 5).sum() == 8 * 8
    assert (shrunk == 3).sum() == 16 * 16 - 8 * 8
    assert (shrunk == 255).sum() == 32 * 32 - 16 * 16
    assert (shrunk[0, 12:20, 12:20] == 5).all()


def test_a_shear_leans_vertical_lines() -> None:
    labels = torch.zeros(1, 33, 33, dtype=torch.uint8)
    labels[:, :, 16] = 6
    _, leant = affine(labels.float()[:, None], labels, torch.zeros(1), torch.ones(1), torch.tensor([45.0]))
    rows, cols = torch.nonzero(leant[0] == 6, as_tuple=True)
    assert torch.equal(cols - 16, rows - 16)
    assert len(rows) == 33


@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.5, 2.0),
    shear=st.floats(-45, 45),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_labels_and_pixels_move_together(angle: float, scale: float, shear: float, seed: int) -> None:
    pixels, labels = painted()
    generator = torch.Generator().manual_seed(seed)
    pixels, labels = augmented(pixels, labels, generator, replace(NOTHING, is_mirrored=True))
    moved, moved_labels = affine(
        pixels, labels, torch.tensor([angle]), torch.tensor([scale]), torch.tensor([shear])
    )
    is_labelled = moved_labels[0] != 255
    classes = torch.where(moved[0, 0] > 3, 6, 0)  # bilinear: the class is wrong at borders at most
    assert set(moved_labels.unique().tolist()) <= {0, 6, 255}
    agree = (classes == moved_labels[0])[is_labelled].float().mean()
    assert agree > 0.97
    if scale <= 1:  # it lost what is beyond
        inside = is_labelled.float().mean()
        assert inside == pytest.approx(scale**2, abs=0.08) or angle or shear


@pytest.mark.parametrize("name", ["gain", "band_gain", "offset", "band_offset", "noise"])
def test_light_changes_pixels_by_as_much_as_chosen_and_no_labels(name: str) -> None:
    pixels, labels = torch.ones(64, 3, 16, 16), batch(64, 16)[1]
    changed, same = augmented(
        pixels, labels, torch.Generator().manual_seed(4), replace(NOTHING, **{name: 0.1})
    )
    assert torch.equal(same, labels)
    difference = changed - pixels
    assert difference.std() == pytest.approx(0.1, rel=0.3)
    assert difference.mean().abs() < 0.05
    is_even_within_bands = difference.flatten(2).std(dim=2).max() < 1e-6
    is_even_over_bands = difference.mean((2, 3)).std(dim=1).max() < 1e-6
    assert is_even_within_bands == (name != "noise")
    assert is_even_over_bands == (name in ("gain", "offset"))


def test_haze_takes_contrast_and_brightens() -> None:
    pixels, labels = batch(64, 16)
    hazy, _ = augmented(
        pixels, labels, torch.Generator().manual_seed(4), replace(NOTHING, haze_share=1.0, haze_most=0.5)
    )
    contrast = hazy.flatten(1).std(dim=1) / pixels.flatten(1).std(dim=1)
    assert contrast.max() <= 1 + 1e-6
    assert contrast.min() < 0.6
    assert contrast.min() >= 0.5
    lifted = (hazy - pixels * contrast[:, None, None, None]).mean((1, 2, 3))
    torch.testing.assert_close(lifted, 1 - contrast, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"affine_share": 1.5}, "affine_share is 1.5: it must be at most 1"),
        ({"turn_degrees": 181.0}, "turn_degrees is 181"),
        ({"shear_degrees": -1.0}, "shear_degrees is -1"),
        ({"scale": 0.5}, "scale is 0.5: it must be at least 1"),
        ({"noise": float("nan")}, "noise is nan"),
    ],
)
def test_what_is_no_augmentation_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation(**changes)  # type: ignore[arg-type]


def test_repeats_show_each_window_so_often_and_never_a_batch_twice() -> None:
    scenes, model, _pixels = small_task()
    sampler = WindowSampler(scenes, [0, 1, 6], model.normalisation, 32)
    batches = list(sampler.located_batches(18, 4, np.random.default_rng(1), repeats=3))
    assert [len(one) for one in batches] == [4] * 18
    shown = [pixels.tobytes() for one in batches for pixels in one.pixels]
    counts = {window: shown.count(window) for window in shown}
    assert {count % 3 for count in counts.values()} == {0}  # 6 where chance drew a place twice
    assert max(counts.values()) <= 6
    assert len({one.pixels.tobytes() for one in batches}) == 18
    for one in batches:
        for pixels, labels, place in zip(one.pixels, one.labels, one.places, strict=True):
            source, _valid = scenes[0].source.read_normalised(
                place.row, place.col, 32, 32, model.normalisation
            )
            np.testing.assert_array_equal(pixels, source)
            truth = scenes[0].truth(0)[place.row : place.row + 32, place.col : place.col + 32]
            np.testing.assert_array_equal(labels, truth)
    assert len(list(sampler.located_batches(7, 4, np.random.default_rng(1), repeats=3))) == 7


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, model, _pixels = small_task()
    sampler = WindowSampler(scenes, [0, 1, 6], model.normalisation, 32)
    drawn = []
    for threads in (1, 4):
        monkeypatch.setattr(samples, "reading_threads", lambda threads=threads: threads)
        drawn.append(list(sampler.located_batches(6, 5, np.random.default_rng(1))))
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.places == other.places
