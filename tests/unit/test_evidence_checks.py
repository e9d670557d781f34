"""What stands in the way of a training is named before it begins, all at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from db.errors import UsageError
from inference.evidence.checks import check_ground
from inference.evidence.ground import OVERLAPS_NONE
from inference.evidence.mineral_system import MineralSystem, builtin_systems
from inference.evidence.types import EvidenceGround, EvidenceSettings
from tests.unit.evidence_toys import settings_of, smooth_field, toy_ground

SHAPE = (24, 30)
CHROMITE = builtin_systems()["chromite_podiform"]
CONTENTS = (("geochemistry", "Cr"), ("geochemistry", "Ni"))
EVERYTHING = (*CONTENTS, ("geophysics", "k"), ("geology", "fault_distance_m"))


def ground_of(
    *channels: tuple[str, str],
    known: dict[str, tuple[slice, slice]] | None = None,
    shape: tuple[int, int] = SHAPE,
) -> EvidenceGround:
    """Channels of positive values, known in a part of the ground where that is said."""
    values = {
        each: np.exp(smooth_field(shape, 2, place)) for place, each in enumerate(channels or EVERYTHING)
    }
    is_known = np.ones((len(values), *shape), bool)
    for place, (_kind, name) in enumerate(values):
        if known is not None and name in known:
            is_known[place] = False
            is_known[place][known[name]] = True
    return toy_ground(values, is_known)


def problems(
    ground: EvidenceGround,
    settings: EvidenceSettings | None = None,
    system: MineralSystem | None = CHROMITE,
) -> list[str]:
    with pytest.raises(UsageError) as told:
        check_ground(ground, settings_of() if settings is None else settings, system)
    head, *listed = str(told.value).split("\n- ")
    return listed or [head.partition(": ")[2]]


def test_good_evidence_passes_without_a_word_but_for_elements_that_are_missing() -> None:
    said: list[str] = []
    check_ground(ground_of(), settings_of(), CHROMITE, said.append)
    assert said == [
        "warning: of the ore elements of chromite_podiform Co, Ir, Os, Ru, Mg are not among the layers; the "
        "anomaly is that of Cr, Ni"
    ]
    said.clear()
    check_ground(ground_of(), settings_of(), report=said.append)
    assert not said


def test_every_problem_is_named_at_once() -> None:
    ground = ground_of(("geochemistry", "Pb"), ("geophysics", "k"), shape=(10, 30))
    ground.raw[0, 2, 3] = -4
    found = problems(ground, settings_of(window_px=16, patch_px=5, width=30, heads=8))
    assert len(found) == 5
    for said, each in zip(
        ("none of the ore elements", "negative contents", "smaller than a window", "do not divide", "heads"),
        found,
        strict=True,
    ):
        assert said in each


@pytest.mark.parametrize("channels", [(("geology", "a"), ("geology", "b")), (("spectral", "s"),)])
def test_something_must_be_there_to_guess(channels: tuple[tuple[str, str], ...]) -> None:
    ground = replace(
        ground_of(*channels), notes=("layer Cr is left out: it holds no value on judged ground",)
    )
    (said,) = problems(ground, system=None)
    assert said.startswith("there is no geochemistry and no geophysics with values that differ")
    assert "(layer Cr is left out: it holds no value on judged ground)" in said


def test_one_channel_alone_is_refused_and_one_source_is_warned_of() -> None:
    (said,) = problems(ground_of(("geochemistry", "Cr")))
    assert said.startswith("Cr is its only channel: one source with one channel")
    told: list[str] = []
    check_ground(ground_of(*CONTENTS), settings_of(), report=told.append)
    assert len(told) == 1
    assert told[0].startswith("warning: geochemistry is the only source (2 channels)")
    told.clear()
    check_ground(ground_of(*CONTENTS, ("geophysics", "k")), settings_of(), report=told.append)
    assert told == [
        "warning: there is no geology among the evidence: nothing says which rock is to be expected where"
    ]


def test_windows_must_fit_the_area() -> None:
    (said,) = problems(ground_of(), settings_of(window_px=32, patch_px=5))[:1]
    assert said == (
        "its grid of 30 x 24 cells of 100 m is smaller than a window of 32 x 32: the largest window that "
        "fits is --window 20"
    )
    check_ground(ground_of(), settings_of(window_px=24), CHROMITE)
    said = problems(ground_of(shape=(3, 40)), settings_of(window_px=4, patch_px=4))[0]
    assert "a side of it holds no two patches of 4 cells" in said
    check_ground(ground_of(shape=(3, 40)), settings_of("pca", window_px=4), CHROMITE)  # has no windows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_px": 5}, "patches of 5 cells do not divide a window of 16: take --window 15, or --patch 4"),
        ({"heads": 3}, "a width of 16 is no multiple of 3 heads and of 4: take 12"),
        ({"width": 18, "heads": 1}, "a width of 18 is no multiple of 1 heads and of 4: take 16"),
        ({"decoder_width": 10}, "a decoder width of 10 is no multiple of 2 heads and of 4: take 8"),
    ],
)
def test_sizes_must_divide_one_another(changes: dict[str, int], said: str) -> None:
    assert said in problems(ground_of(), settings_of(**changes))
    check_ground(ground_of(), settings_of("mahalanobis", **changes), CHROMITE)


def test_what_was_found_elsewhere_is_told_with_the_rest() -> None:
    with pytest.raises(UsageError, match=r"for 2 reasons:\n- Cr is its only channel.*\n- no rule applies$"):
        check_ground(ground_of(("geochemistry", "Cr")), settings_of(), others=["no rule applies"])


def test_ground_without_a_value_or_too_small_is_refused() -> None:
    ground = ground_of()
    nothing = replace(ground, is_judged=np.zeros(SHAPE, bool), is_known=np.zeros_like(ground.is_known))
    assert "no cell of its grid is judged" in problems(nothing)[0]
    unknown = replace(ground, is_known=np.zeros_like(ground.is_known))
    assert "no judged cell holds geochemistry or geophysics" in problems(unknown)[0]
    here = (slice(0, 10), slice(0, 12))
    little = ground_of(known={"Cr": here, "Ni": here, "k": here})
    (said,) = problems(little)
    assert said == "120 of its cells hold values, fewer than a window of 16 x 16: take --window 8"


def test_layers_that_do_not_overlap_are_named() -> None:
    west, east = (slice(None), slice(0, 15)), (slice(None), slice(15, 30))
    (said,) = problems(ground_of(("geochemistry", "Cr"), ("geophysics", "k"), known={"Cr": west, "k": east}))[
        :1
    ]
    assert said.startswith("no two of its layers are known at the same cell (Cr, k)")
    (said,) = problems(ground_of(known={"Cr": west, "Ni": west, "k": east}))
    assert said.startswith("layer k overlaps no other layer of geochemistry or geophysics")
    (said,) = problems(
        ground_of(*CONTENTS, ("geology", "rock"), known={"Cr": west, "Ni": west, "rock": east})
    )
    assert said.startswith("no cell is known from two sources (geochemistry, geology each lie elsewhere)")
    noted = replace(ground_of(), notes=(f"layer Co {OVERLAPS_NONE}",))
    (said,) = problems(noted)
    assert said.startswith("layer Co overlaps no other layer of geochemistry")


def test_negative_contents_are_named_and_those_of_geophysics_are_values() -> None:
    ground = ground_of()
    ground.raw[0, :2, 0] = -9999
    ground.raw[2, 5, 5] = -3
    (said,) = problems(ground)
    assert said.startswith("layer Cr holds 2 negative contents, down to -9999, and no content is")
    assert "--nodata -9999" in said


def test_an_oxide_counts_as_its_element() -> None:
    ground = ground_of()
    oxides = tuple(
        replace(channel, element="Cr2O3" if channel.name == "Cr" else None) for channel in ground.channels
    )
    check_ground(replace(ground, channels=oxides), settings_of(), CHROMITE)
    (said,) = problems(ground_of(("geochemistry", "Pb"), ("geophysics", "k")))
    assert said.startswith("none of the ore elements of chromite_podiform (Cr, Ni, Co, ")
    assert "which hold Pb: ingest one of them" in said


def test_there_must_be_geology_to_do_without_it() -> None:
    (said,) = problems(ground_of(*CONTENTS), settings_of("vit_no_geology"))
    assert said == "there is no geology to leave out: take --method vit"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "svm"}, "there is no method 'svm': there are vit, vit_no_fusion"),
        ({"window_px": 0}, "window_px is 0: give a whole number from 1 on"),
        ({"heads": 2.5}, "heads is 2.5"),
        ({"groups": 1}, "groups is 1: give a whole number from 2 on"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"mask_least": 0.8}, "masks of 0.8 to 0.75"),
        ({"mask_most": 1.0}, "masks of 0.6 to 1.0"),
        ({"validation_share": 0.0}, "validation_share is 0.0"),
        ({"time_limit_s": 0.0}, "time_limit_s is 0.0"),
        ({"block_px": 0}, "block_px is 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"windows": True}, "windows is True"),
    ],
)
def test_settings_that_nothing_can_take_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as told:
        EvidenceSettings(**changes)  # type: ignore[arg-type]
    assert said in str(told.value)


def test_groups_that_no_window_has_patches_for_are_named() -> None:
    """A model of them could be trained and never search."""
    (found,) = problems(ground_of(), settings_of("vit", window_px=8, patch_px=8, groups=4))
    assert "4 groups cannot be dealt from the 1 patches" in found


def test_no_window_of_a_single_patch_is_advised() -> None:
    found = "; ".join(problems(ground_of(shape=(7, 40)), settings_of("vit", window_px=16, patch_px=4)))
    assert "holds no two patches" in found
    assert "--window 4" not in found


@pytest.mark.parametrize("limit", [float("inf"), float("nan"), 0.0])
def test_time_limits_without_an_end_are_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="time_limit_s"):
        EvidenceSettings(time_limit_s=limit)
