"""Decoys of `lode experiment geology`: where they are asked for, and how rows are compared on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inference.prospect.dataset import PatchSet
from inference.prospect.experiment.decoys import (
    Answers,
    Places,
    decoy_differences,
    decoy_figures,
    decoy_patches,
)
from inference.prospect.experiment.planted import Planted, near
from inference.training.blocks import BlockGrid
from tests.unit.prospect_patches import PATCH_PX, drawn_set

NONE = np.array([], object)


EDGE_M = 3 * PATCH_PX * 30.0


def set_in_blocks() -> PatchSet:
    """The drawn set, moved to where the blocks of its parts lie on the grid of blocks."""
    patches = drawn_set()
    grid = replace(patches.ground.grid, origin_x=1389 * EDGE_M, origin_y=11_000 * EDGE_M)
    middles = patches.rows + PATCH_PX // 2, patches.cols + PATCH_PX // 2
    blocks = BlockGrid(grid.srid, EDGE_M).keys_of_pixels(grid, *middles)
    return replace(patches, ground=replace(patches.ground, grid=grid), blocks=blocks)


def squares(*places: tuple[int, int]) -> NDArray[np.object_]:
    """Outlines a metre inside the cell in the middle of patches of the drawn set, by row and column."""
    grid, edge = set_in_blocks().ground.grid, PATCH_PX * 30.0
    found = []
    for row, col in places:
        west, north = grid.origin_x + (col + 0.5) * edge, grid.origin_y - (row + 0.5) * edge
        found.append(shapely.box(west - 14, north - 14, west + 14, north + 14))
    return np.array(found, object)


def decoys_at(*places: tuple[int, int], ore: NDArray[np.object_] = NONE, stride_px: int = 1) -> Places:
    patches = set_in_blocks()
    clusters = np.zeros(len(ore), np.int64)
    home = Planted("scene", patches.ground.grid.srid, ore, clusters, {"A": squares(*places)})
    return decoy_patches(patches, home, EDGE_M, stride_px)["A"]


def test_decoys_are_asked_for_on_test_ground_away_from_ore_and_what_was_shown() -> None:
    # columns 6 to 8 of patches are of the test; a decoy in the middle one keeps 100 m within them
    inside = decoys_at((4, 7))
    grid = set_in_blocks().ground.grid
    covered = near(squares((4, 7)), grid.srid, grid)
    assert len(inside.rows) > 0
    assert inside.count == 1
    for row, col in zip(inside.rows, inside.cols, strict=True):
        assert covered[row : row + PATCH_PX, col : col + PATCH_PX].mean() >= 0.2
        # no cell of it, nor one beside it, was shown
        assert col - 1 >= 6 * PATCH_PX
        assert col + PATCH_PX + 1 <= 9 * PATCH_PX
    # the ground of a decoy reaches under patches of another part: it was learned as barren
    assert len(decoys_at((4, 6)).rows) == 0
    # it hangs together with ground that was shown, though it does not reach there itself
    assert len(decoys_at((4, 7), (4, 8)).rows) == 0
    # elsewhere than on the test
    assert len(decoys_at((4, 4)).rows) == 0
    assert len(decoys_at((4, 7), ore=squares((4, 7))).rows) == 0
    # they lie as the set's patches do, and what hangs together is one place
    assert len(decoys_at((4, 7), stride_px=2).rows) < len(inside.rows)
    assert decoys_at((1, 7), (9, 7)).count == 2


def answers(*every: tuple[list[float], list[float]]) -> Answers:
    return Answers([{"ore": np.array(ore), "A": np.array(false)} for ore, false in every], [0.5] * len(every))


def asked(ore_places: list[int], decoy_places: list[int]) -> dict[str, Places]:
    return {
        kind: Places(np.arange(len(each)), np.arange(len(each)), np.array(each, np.int64))
        for kind, each in (("ore", ore_places), ("A", decoy_places))
    }


def test_rows_are_compared_on_decoys_over_drawn_places() -> None:
    about = asked([0, 0, 1, 2, 3, 4, 5], [0, 1, 1, 2, 3, 4, 5])
    good = answers(([0.9] * 7, [0.1] * 7), ([0.9] * 7, [0.2] * 7))
    mixed = answers(
        ([0.6, 0.5, 0.9, 0.4, 0.7, 0.8, 0.3], [0.1, 0.5, 0.3, 0.6, 0.7, 0.2, 0.4]),
        ([0.5, 0.5, 0.8, 0.3, 0.6, 0.9, 0.4], [0.2, 0.6, 0.2, 0.4, 0.6, 0.3, 0.5]),
    )
    figures = decoy_figures(mixed, about)
    area = figures["A"]["roc_auc"]
    truth = np.repeat([True, False], 7)
    for said, value in zip(mixed.probabilities, area["values"], strict=True):
        assert value == pytest.approx(roc_auc_score(truth, np.concatenate([said["ore"], said["A"]])))
    assert (figures["ore"]["places"], figures["A"]["places"], figures["A"]["patches"]) == (6, 6, 7)
    assert figures["ore"]["called"]["values"] == pytest.approx([5 / 7, 5 / 7])
    assert area["low"] < area["mean"] < area["high"]
    [apart] = decoy_differences(good, {"mixed": mixed}, about)
    assert (apart["minus"], apart["decoys"], apart["ore_places"], apart["places"]) == ("mixed", "A", 6, 6)
    found = apart["roc_auc"]
    assert found["value"] == pytest.approx(1 - area["mean"])
    # good is right whatever is drawn, so that the difference is as uncertain as the other row is
    assert found["low"] == pytest.approx(1 - area["high"], abs=0.05)
    assert found["high"] == pytest.approx(1 - area["low"], abs=0.05)
    # as many patches in two places tell no interval; without decoys there is nothing to tell
    few = asked([0] * 4 + [1] * 3, [0, 1, 1, 2, 3, 4, 5])
    assert decoy_differences(good, {"mixed": mixed}, few)[0]["roc_auc"]["low"] is None
    nothing = answers(([0.9], []))
    [unknown] = decoy_differences(nothing, {"mixed": nothing}, asked([0], []))
    assert unknown["roc_auc"] == {"value": None, "low": None, "high": None}
    assert decoy_figures(nothing, asked([0], []))["A"]["roc_auc"]["mean"] is None


def test_patches_of_a_place_are_drawn_together() -> None:
    """Twenty alike patches of a place are one observation: they narrow no interval."""
    places, ore, false = list(range(6)), [0.2, 0.9, 0.4, 0.8, 0.6, 0.7], [0.5, 0.1, 0.3, 0.75, 0.65, 0.2]

    def ends(times: int) -> tuple[float, float]:
        said, at = answers((times * ore, times * false)), asked(times * places, times * places)
        area = decoy_figures(said, at)["A"]["roc_auc"]
        return area["low"], area["high"]

    assert ends(20) == pytest.approx(ends(1))


def test_seeds_are_drawn_too() -> None:
    places = list(range(6))
    one = [0.9] * 6, [0.1] * 6
    other = [0.1] * 6, [0.9] * 6
    area = decoy_figures(answers(one, one, other), asked(places, places))["A"]["roc_auc"]
    assert (area["low"], area["high"]) == (0.0, 1.0)
