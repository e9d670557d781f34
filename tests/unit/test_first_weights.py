"""Starting a training from a file: what fits is loaded, what does not is named, other files are refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks import build_network
from inference.training.first_weights import start_from


def network(bands: int = 3, architecture: str = "deeplabv3plus", backbone: str = "small") -> nn.Module:
    return build_network(architecture, in_channels=bands, backbone=backbone)


def saved(folder: Path, state: dict[str, Tensor]) -> Path:
    path = folder / "weights.safetensors"
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, path)
    return path


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in second)


def test_a_whole_network_is_taken_over(tmp_path: Path) -> None:
    old, new = network(), network()
    path = saved(tmp_path, old.state_dict())
    report = start_from(new, path)
    assert same(new.state_dict(), old.state_dict())
    assert set(report.matched) == set(old.state_dict())
    assert (report.missing, report.unexpected, report.reshaped) == ((), (), ())
    assert report.as_json()["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_backbone_alone_fills_the_backbone(tmp_path: Path) -> None:
    old, new = network(), network(architecture="se_cot_deeplabv3plus")
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    report = start_from(new, saved(tmp_path, old.get_submodule("backbone").state_dict()))
    after = new.state_dict()
    for name, tensor in after.items():
        inside = name.startswith("backbone.")
        assert (name in report.matched) == inside
        assert (name in report.missing) == (not inside)
        assert torch.equal(tensor, old.state_dict()[name] if inside else before[name])
    assert f"{len(report.missing)} not in the file" in report.text


def test_names_may_carry_the_prefix_of_data_parallel(tmp_path: Path) -> None:
    old, new = network(), network()
    start_from(new, saved(tmp_path, {f"module.{name}": each for name, each in old.state_dict().items()}))
    assert same(new.state_dict(), old.state_dict())


def test_other_bands_and_unknown_names_are_left_out_and_told(tmp_path: Path) -> None:
    old, new = network(3), network(5)
    state = old.state_dict() | {"auxiliary.weight": torch.zeros(2)}
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    report = start_from(new, saved(tmp_path, state))
    assert report.unexpected == ("auxiliary.weight",)
    assert report.reshaped
    for name in report.reshaped:
        assert new.state_dict()[name].shape[1] == 5
        assert torch.equal(new.state_dict()[name], before[name])
    assert set(report.matched) | set(report.reshaped) == set(before)
    assert f"1 of another shape ({report.reshaped[0]})" in report.text


@pytest.mark.parametrize("other", [("fcn", "small"), ("unet", "small"), ("deeplabv3plus", "mobilenet_v2")])
def test_another_network_is_refused_and_nothing_changes(tmp_path: Path, other: tuple[str, str]) -> None:
    new = network(architecture=other[0], backbone=other[1])
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    state = {f"stage.{name}": each for name, each in network().state_dict().items()}
    with pytest.raises(UsageError, match=r"of another network than this .*--architecture"):
        start_from(new, saved(tmp_path, state))
    assert same(new.state_dict(), before)


def test_numbers_that_are_none_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    old, new = network(), network()
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    state = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    last = list(state)[-1]
    state[last] = torch.full_like(state[last], torch.nan)
    with pytest.raises(UsageError, match="NaN"):
        start_from(new, saved(tmp_path, state))
    assert same(new.state_dict(), before)


class Attack:
    """Runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path, touched = tmp_path / "weights.pth", tmp_path / "touched"
    path.write_bytes(pickle.dumps(Attack(touched)))
    with pytest.raises(UsageError, match="pickles and are not opened"):
        start_from(network(), path)
    torch.save({"conv": torch.zeros(3)}, path)
    with pytest.raises(UsageError, match="pickles and are not opened"):
        start_from(network(), path)
    assert not touched.exists()


def test_a_file_that_is_cut_off_or_missing_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, network().state_dict())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match="no safetensors file"):
        start_from(network(), path)
    with pytest.raises(UsageError, match="cannot be read"):
        start_from(network(), tmp_path / "nowhere.safetensors")
    with pytest.raises(UsageError, match="cannot be read"):
        start_from(network(), tmp_path)
