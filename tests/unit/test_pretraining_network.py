"""What a masked training may see and what its loss may count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from db.errors import UsageError
from inference.pretraining.masks import hidden_patches
from inference.pretraining.network import hidden_loss, new_autoencoder
from inference.pretraining.settings import PretrainingSettings
from tests.unit.pretrained_ground import fresh


@pytest.mark.parametrize("backbone", ["small", "mobilenet_v2", "resnet50"])
def test_the_answer_at_hidden_pixels_does_not_depend_on_them(backbone: str) -> None:
    torch.manual_seed(1)
    network = new_autoencoder(backbone, 3).eval()
    pixels, hidden = torch.randn(2, 3, 32, 48), torch.zeros(2, 32, 48, dtype=torch.bool)
    hidden[:, 8:24, :16] = True
    others = torch.where(hidden[:, None], torch.full_like(pixels, 50.0), pixels)
    with torch.inference_mode():
        answer = network(pixels, hidden)
        assert answer.shape == pixels.shape
        assert torch.equal(answer, network(others, hidden))
        seen = others.clone()
        seen[:, :, 0, 20] += 1.0  # what is visible does count
        assert not torch.equal(answer, network(seen, hidden))


def test_the_loss_counts_hidden_pixels_with_data_only() -> None:
    pixels = torch.zeros(1, 2, 4, 4)
    answer = torch.zeros(1, 2, 4, 4)
    answer[0, :, 0, 0], answer[0, :, 3, 3] = 0.5, 7.0
    counted = torch.zeros(1, 4, 4, dtype=torch.bool)
    counted[0, 0, :2] = True
    assert float(hidden_loss(answer, pixels, counted)) == pytest.approx(0.5 * 0.5**2 / 2)
    counted[0, 3, 3] = True  # linear beyond one
    assert float(hidden_loss(answer, pixels, counted)) == pytest.approx((0.125 + 6.5) / 3)


def test_what_is_no_number_and_not_counted_changes_no_gradient() -> None:
    network = fresh().train()
    pixels, hidden = torch.randn(2, 2, 32, 32), torch.zeros(2, 32, 32, dtype=torch.bool)
    hidden[:, :16] = True
    counted = hidden.clone()
    counted[:, 4:8] = False
    target = pixels.clone()
    target[:, :, 4:8] = torch.nan
    hidden_loss(network(pixels, hidden), target, counted).backward()  # type: ignore[no-untyped-call]
    gradients = [each.grad.clone() for each in network.parameters() if each.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(each).all()) for each in gradients)
    none = torch.zeros_like(counted)
    assert float(hidden_loss(network(pixels, hidden), target, none).detach()) == 0.0


def test_patches_are_whole_and_their_share_is_as_asked() -> None:
    rng = np.random.default_rng(1)
    hidden = hidden_patches(rng, 200, 128, 16, 0.60, 0.75)
    patches = hidden.reshape(200, 8, 16, 8, 16)
    assert (patches.all(axis=(2, 4)) == patches.any(axis=(2, 4))).all()
    shares = hidden.mean(axis=(1, 2))
    assert 0.59 <= shares.min() < 0.62
    assert 0.73 < shares.max() <= 0.76
    few = hidden_patches(rng, 50, 32, 16, 0.01, 0.99).mean(axis=(1, 2))
    assert set(few.tolist()) <= {0.25, 0.5, 0.75}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": "plain"}, "unknown backbone 'plain'"),
        ({"tile_px": 40}, "tile_px is 40: it must be a multiple of 16"),
        ({"tile_px": 96, "patch_px": 20}, "of 20, the patches' edge"),
        ({"tile_px": 32, "patch_px": 32}, "less than four patches"),
        ({"patch_px": 6}, "patch_px is 6: it must be a multiple of 4"),
        ({"batch_size": 1}, "batch_size is 1: it must be at least 2"),
        ({"windows": 0}, "windows is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: it must be positive"),
        ({"least_hidden": 0.8}, "share of hidden patches is 0.8 to 0.75"),
        ({"most_hidden": 1.0}, "share of hidden patches is 0.6 to 1.0"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PretrainingSettings(**changes)  # type: ignore[arg-type]
