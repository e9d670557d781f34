"""Why a training ends early: patience, a loss that is no number, a checkpoint that cannot be kept."""

from __future__ import annotations

import copy
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import UsageError
from inference.training.augmentation import Augmentation
from inference.training.faults import loss_is_lost
from inference.training.loss import SegmentationLoss
from inference.training.run import Epoch
from inference.training.samples import Place
from inference.training.settings import TrainingSettings
from inference.training.trainer import fit
from tests.unit.segmentation_models import model_of, source_of_pixels
from tests.unit.small_training import SETTINGS, small_task

QUICK = replace(SETTINGS, augmentation=Augmentation.none())


class BrokenAbove(nn.Module):
    """A 1x1 network that answers NaN for the whole batch when any of its values is above a limit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, tiles: Tensor) -> Tensor:
        broken = torch.where(tiles > 20, torch.nan, tiles)
        answer: Tensor = self.norm(self.conv(broken))
        return answer


def trained(
    settings: TrainingSettings, network: nn.Module | None = None, spoilt: tuple[int, int] | None = None,
    checkpoint: Path | None = None,
) -> list[Epoch]:  # fmt: skip
    scenes, fresh, pixels = small_task()
    if spoilt is not None:
        values, _valid = scenes[0].source.read(0, 0, 192, 192)
        values[0, *spoilt] = 1e4
        scenes = [replace(scenes[0], source=source_of_pixels(values))]
    model = fresh if network is None else model_of(
        network, bands=2, normalisation=fresh.normalisation, mapped_codes=(0, 1, 6)
    )  # fmt: skip
    history, _best = fit(model, scenes, pixels, settings, 48, lambda _epoch: None, checkpoint=checkpoint)
    return history


def test_a_loss_that_is_no_number_says_at_which_sample() -> None:
    torch.manual_seed(1)
    with pytest.raises(UsageError) as refusal:
        trained(replace(QUICK, epochs=20), BrokenAbove(), spoilt=(100, 80))
    message = str(refusal.value)
    assert "loss became nan, its gradient nan, in step" in message
    row, col = (int(message.split(f"{name} ")[1].split(",")[0].split(" ")[0]) for name in ("row", "col"))
    assert "at the sample scene drawn, row" in message
    assert row <= 100 < row + 32
    assert col <= 80 < col + 32


def test_weights_that_are_lost_and_samples_that_are_odd_are_told_apart() -> None:
    loss = SegmentationLoss([0, 6], [0, 6], np.ones(2), np.zeros(2))
    pixels, labels = torch.zeros(3, 2, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)
    pixels[1, 0, 2, 2] = -9.0
    places = tuple(Place("a", number, 7) for number in range(3))
    network = nn.Conv2d(2, 8, 1)
    odd = loss_is_lost("lost", network, loss, pixels, labels, places)
    assert (
        "no sample fails alone; the most extreme of the batch: scene a, row 1, col 7 (values up to 9"
        in str(odd)
    )
    with torch.no_grad():
        network.weight.fill_(torch.nan)
    lost = loss_is_lost("lost", network, loss, pixels, labels, places)
    assert "every sample of the batch fails, so the weights are lost" in str(lost)


def test_without_progress_patience_ends_it() -> None:
    # a learning rate that changes no weight: the score of the first epoch is never beaten
    still = replace(QUICK, learning_rate=1e-30, weight_decay=0.0, epochs=9, patience=2)

    torch.manual_seed(1)
    history = trained(still, nn.Conv2d(2, 8, 1))
    assert len({epoch.validation_mean_iou for epoch in history}) == 1
    assert len(history) == 3
    torch.manual_seed(1)
    assert len(trained(replace(still, patience=None, epochs=5), nn.Conv2d(2, 8, 1))) == 5


def test_a_full_disk_stops_the_training_and_room_lets_it_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    settings = replace(QUICK, epochs=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UsageError, match="could not be written"):
            trained(settings, nn.Conv2d(2, 8, 1), checkpoint=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    network = nn.Conv2d(2, 8, 1)
    first = trained(settings, copy.deepcopy(network), checkpoint=path)
    # it was finished: nothing is trained again, and the history is the one of before
    assert trained(settings, copy.deepcopy(network), checkpoint=path) == first
    with pytest.raises(UsageError, match=r"another training: .*first_weights was"):
        trained(settings, nn.Conv2d(2, 8, 1), checkpoint=path)
    with pytest.raises(UsageError, match=r"another training: settings\.epochs was 2, is 3"):
        trained(replace(settings, epochs=3), network, checkpoint=path)


def test_a_checkpoint_of_other_windows_is_refused(tmp_path: Path) -> None:
    """A sample set made anew may hold the same labels in windows that lie elsewhere."""
    places = np.array([(row, col) for row in range(0, 192, 32) for col in range(0, 192, 32)])
    boxes = np.column_stack((places, places + 32))

    def of_windows(windows: NDArray[np.int64]) -> None:
        scenes, model, pixels = small_task()
        one = replace(QUICK, epochs=1)
        fit(model, scenes, pixels, one, 8, lambda _: None, boxes=[windows], checkpoint=tmp_path / "run")

    of_windows(boxes)
    of_windows(boxes)
    with pytest.raises(UsageError, match="another training: windows was"):
        of_windows(boxes[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "unknown loss 'hinge': choose one of cross_entropy, focal"),
        ({"focal_gamma": -1.0}, "focal_gamma is -1.0"),
        ({"adversarial_epsilon": -0.1}, "adversarial_epsilon is -0.1"),
        ({"adversarial_epsilon": float("inf")}, "adversarial_epsilon is inf"),
        ({"adversarial_share": 0.0}, "adversarial_share is 0.0: it must be above 0"),
        ({"repeats": 0}, "repeats is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"gradient_norm": 0.0}, "gradient_norm is 0.0"),
        ({"backbone": "huge"}, "unknown backbone 'huge'"),
        ({"architecture": "vgg"}, "unknown architecture 'vgg'"),
        ({"architecture": "unet", "backbone": "resnet50"}, "unet has an encoder of its own"),
    ],
)
def test_choices_that_do_not_exist_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingSettings(**changes)  # type: ignore[arg-type]


def test_the_default_backbone_is_the_architectures_own() -> None:
    assert TrainingSettings().chosen_backbone == "resnet50"
    assert TrainingSettings(architecture="unet").chosen_backbone == "plain"
    assert TrainingSettings(architecture="unet", backbone="small").chosen_backbone == "small"
