"""Channels, and what can be asked for of a set of patches."""

from __future__ import annotations

import math

import pytest

from db.errors import UsageError
from db.raster import Grid
from inference.geology.rasters import BANDS, GeologySettings
from inference.prospect.channels import GEOLOGY_KINDS, Channel, GeologyChoice
from inference.prospect.dataset_command import KINDS_OF_GEOLOGY
from inference.prospect.grids import require_metres
from inference.prospect.request import SetRequest
from inference.prospect.split import Parallel


@pytest.mark.parametrize(
    ("channel", "stored"),
    [
        (
            Channel("B050", "spectral", 801.5, 6.5),
            {"name": "B050", "kind": "spectral", "center_nm": 801.5, "width_nm": 6.5},
        ),
        (
            Channel("B050", "spectral", 801.5, 6.5, relative_to_nm=(782.0, 902.0)),
            {
                "name": "B050",
                "kind": "spectral",
                "center_nm": 801.5,
                "width_nm": 6.5,
                "relative_to_nm": (782.0, 902.0),
            },
        ),
        (Channel("Li", "evidence"), {"name": "Li", "kind": "evidence"}),
        (Channel("Li", "evidence", is_log=True), {"name": "Li", "kind": "evidence", "is_log": True}),
        (
            Channel("Li", "evidence", is_log=True, least=0.5),
            {"name": "Li", "kind": "evidence", "is_log": True, "least": 0.5},
        ),
        (Channel("fault_distance_m", "geology"), {"name": "fault_distance_m", "kind": "geology"}),
    ],
)
def test_a_channel_is_read_as_it_was_written(channel: Channel, stored: dict[str, object]) -> None:
    assert channel.as_json() == stored
    assert Channel.from_json(stored) == channel


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"name": "a"},
        {"name": "a", "kind": "x"},
        {"name": "a", "kind": "geology", "center_nm": "?"},
        {"name": "a", "kind": "evidence", "is_log": "yes"},
        {"name": "a", "kind": "evidence", "is_log": True, "least": 0},
        {"name": "a", "kind": "evidence", "is_log": True, "least": math.nan},
        {"name": "a", "kind": "spectral", "relative_to_nm": [900, 800]},
        {"name": "a", "kind": "spectral", "relative_to_nm": 800},
        ["a"],
    ],
)
def test_what_is_no_channel_is_refused(stored: object) -> None:
    with pytest.raises(UsageError, match="a stored channel cannot be read"):
        Channel.from_json(stored)  # type: ignore[arg-type]


def test_every_raster_of_geology_can_be_asked_for_once() -> None:
    assert tuple(GEOLOGY_KINDS) == KINDS_OF_GEOLOGY
    assert sorted(band for bands in GEOLOGY_KINDS.values() for band in bands) == sorted(BANDS)
    settings = GeologySettings(proximity_m=500.0)
    choice = GeologyChoice.of_kinds(["proximity", "density", "proximity"], settings)
    assert choice.bands == ("fault_proximity", "pluton_proximity", "fault_density")
    assert choice.settings == settings
    assert choice.channels[0] == Channel("fault_proximity", "geology")
    assert GeologyChoice.of_kinds([], settings).channels == ()
    assert GeologyChoice().bands == ("fault_distance_m", "pluton_distance_m")


def test_unknown_and_double_rasters_of_geology_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no raster of geology magma; there are fault_distance_m, "):
        GeologyChoice(("magma",))
    with pytest.raises(UsageError, match=r"named twice"):
        GeologyChoice(("fault_density", "fault_density"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"product": None}, r"either a scene \(--scene\) or a study area \(--area\)"),
        ({"area": "a"}, r"either a scene \(--scene\) or a study area \(--area\)"),
        ({"layers": ("Li",)}, r"--layer names layers of a study area"),
        ({"buffer_m": -1.0}, r"the buffer is -1 m"),
        ({"buffer_m": math.nan}, r"the buffer is nan m"),
        ({"patch_px": 0}, r"the patch is 0 cells wide"),
        ({"patch_px": 65}, r"the patch is 65 cells wide: it must be 1 to 64"),
        ({"stride_px": 0}, r"the stride is 0"),
        ({"stride_px": 11}, r"the stride is 11: it must be 1 to 10"),
        ({"positive_share": 0.0}, r"the share is 0: it must be above 0 and at most 1"),
        ({"positive_share": 1.01}, r"the share is 1\.01"),
        ({"positive_share": math.nan}, r"the share is nan"),
        ({"negatives": 0}, r"negatives is 0"),
        ({"seed": -1}, r"the seed is -1"),
        ({"seed": 1 << 31}, r"the seed is 2147483648"),
    ],
)
def test_what_no_set_can_be_made_with_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SetRequest(**({"name": "a", "product": "scene"} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(("patch_px", "step_px"), [(1, 1), (3, 1), (10, 5)])
def test_patches_overlap_by_half_where_nothing_else_is_said(patch_px: int, step_px: int) -> None:
    assert SetRequest("a", "scene", patch_px=patch_px).step_px == step_px


def test_a_parallel_lies_on_the_globe() -> None:
    with pytest.raises(UsageError, match="the parallel is 91"):
        Parallel("north", 91.0)
    with pytest.raises(UsageError, match="the parallel is nan"):
        Parallel("south", math.nan)


@pytest.mark.parametrize(
    ("srid", "message"),
    [
        (4326, r"the scene lies in EPSG:4326 \(WGS 84\), whose unit is degree: distances need metres"),
        (2263, r"whose unit is US survey foot"),
        (4978, r"EPSG:4978"),
        (999_999, r"EPSG:999999, which PROJ does not know"),
    ],
)
def test_a_grid_that_is_not_in_metres_is_refused(srid: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_metres(Grid(srid, 0, 0, 1, 1, 5, 5), "the scene")
    require_metres(Grid(32645, 0, 0, 1, 1, 5, 5), "the scene")
