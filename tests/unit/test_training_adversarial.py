"""The fast gradient sign step: its length, its direction, what it leaves alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from inference.training.adversarial import fast_gradient_sign, with_adversaries
from inference.training.blocks import TRAIN
from inference.training.loss import SegmentationLoss
from tests.unit.small_training import small_task


def linear_case() -> tuple[nn.Conv2d, SegmentationLoss]:
    network = nn.Conv2d(2, 8, 1)
    torch.manual_seed(1)
    nn.init.normal_(network.weight)
    return network, SegmentationLoss([0, 6], [0, 6], np.ones(2), np.zeros(2))


def test_the_step_is_the_sign_of_the_gradient_times_epsilon() -> None:
    network, loss = linear_case()
    pixels, labels = torch.randn(2, 2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)
    labels[:, :2] = 6
    labels[:, :, 3] = 255
    moved = fast_gradient_sign(network, loss, pixels, labels, 0.25)
    step = moved - pixels
    # by hand: where the truth is 6 its logit must fall against that of 0, elsewhere rise
    direction = (network.weight[0] - network.weight[6]).sign().reshape(1, 2, 1, 1).detach()
    wanted = torch.where((labels == 6)[:, None], direction, -direction) * 0.25
    wanted = torch.where((labels == 255)[:, None], 0.0, wanted)
    torch.testing.assert_close(step, wanted, atol=1e-6, rtol=0)


def test_the_loss_rises_along_the_step() -> None:
    scenes, model, _pixels = small_task()
    loss = SegmentationLoss(model.mapped_outputs, model.mapped_codes, np.ones(3), np.zeros(3))
    pixels, _valid = scenes[0].source.read_normalised(0, 0, 64, 64, model.normalisation)
    labels = scenes[0].truth(TRAIN)[:64, :64]
    windows, classes = torch.from_numpy(pixels)[None], torch.from_numpy(labels)[None]
    values = []
    with torch.no_grad():
        for epsilon in (0.0, 0.002, 0.005, 0.01):
            moved = fast_gradient_sign(model.network, loss, windows, classes, epsilon)
            values.append(float(loss(model.network(moved), classes)))
        backwards = fast_gradient_sign(model.network, loss, windows, classes, -0.005)
        assert float(loss(model.network(backwards), classes)) < values[0]
    assert (np.diff(values) > 0).all()


def test_network_gradients_and_statistics_stay() -> None:
    _scenes, model, _pixels = small_task()
    network = model.network.train()
    before = copy.deepcopy(network.state_dict())
    loss = SegmentationLoss(model.mapped_outputs, model.mapped_codes, np.ones(3), np.zeros(3))
    pixels, labels = torch.randn(6, 2, 32, 32), torch.ones(6, 32, 32, dtype=torch.uint8)
    moved = with_adversaries(
        network, loss, pixels, labels, epsilon=0.1, share=0.5, generator=torch.Generator().manual_seed(1)
    )
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    is_moved = (moved != pixels).flatten(1).any(1)
    assert is_moved.sum() == 3
    assert (moved - pixels).abs().max() == pytest.approx(0.1, abs=1e-6)
    assert not moved.requires_grad


def test_the_mode_comes_back_after_an_error() -> None:
    network, loss = linear_case()
    network.train()
    with pytest.raises(RuntimeError):
        fast_gradient_sign(
            network, loss, torch.randn(1, 5, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8), 0.1
        )
    assert network.training
