"""Decoys on test ground: where they are asked for, and how far ore ranks above them.

Patches of one dyke are nearly one observation. So intervals come from drawing places: ground of ore, or of
decoys, that hangs together or under patches that overlap. Two rows are compared on the same drawn places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from db.connection import connect
from db.registry import ModelRecord
from inference.device import choose_device
from inference.prospect.dataset import PatchSet, cut
from inference.prospect.experiment.planted import Planted, near
from inference.prospect.experiment.rows import ends_of, over_seeds
from inference.prospect.experiment.training import Bench
from inference.prospect.figures import RESAMPLES
from inference.prospect.patches import LEAST_VALID, positions, window_counts
from inference.prospect.split import MARGIN_PX
from inference.prospect.trained import ProspectModel, load_prospect_model
from inference.training.blocks import TEST, BlockGrid

SHARE = 0.2
"""Of a patch's cells that lie near a decoy, at least; what makes a patch positive too."""
_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Places:
    """Patches that models are asked about.

    Attributes:
        rows, cols: (n,) first row and column of each.
        places: (n,) number of the place it belongs to.

    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    places: NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many places there are."""
        return len(np.unique(self.places))


@dataclass(frozen=True)
class Answers:
    """What a row's models say of ore and decoys on test ground.

    Attributes:
        probabilities: of each seed, by ``ore`` or letter (n,).
        thresholds: of each seed.

    """

    probabilities: Sequence[Mapping[str, NDArray[np.float64]]]
    thresholds: Sequence[float]


def decoy_patches(patches: PatchSet, home: Planted, edge_m: float, stride_px: int) -> dict[str, Places]:
    """Patches over decoys on test ground, by letter.

    They lie as the set's patches do, hold as much ground near a decoy as a positive patch holds near a
    deposit, and none near a true dyke. The block of their middle holds patches of the test and of no other
    part. No patch of training or validation covers a cell of them, or of the cells round them; and where such
    a patch covers a cell of decoy ground, all that hangs together with it is left out, for it was learned as
    barren: so the set keeps ore apart, too.

    Args:
        patches: the set.
        home: the district.
        edge_m: edge of the blocks, m.
        stride_px: from one patch of the set to the next, cells.

    """
    ground, patch_px = patches.ground, patches.patch_px
    height, width = ground.is_judged.shape
    rows, cols = positions(height, width, patch_px, stride_px)
    blocks = BlockGrid(ground.grid.srid, edge_m).keys_of_pixels(
        ground.grid, rows + patch_px // 2, cols + patch_px // 2
    )
    is_test = np.isin(blocks, patches.blocks[patches.parts == TEST])
    is_test &= ~np.isin(blocks, patches.blocks[patches.parts != TEST])
    is_shown = patches.parts != TEST
    shown = _covered((height, width), patches.rows[is_shown], patches.cols[is_shown], patch_px, MARGIN_PX)
    is_free = is_test & (window_counts(shown, rows, cols, patch_px) == 0)
    is_free &= window_counts(ground.is_valid, rows, cols, patch_px) >= LEAST_VALID * patch_px**2
    is_free &= window_counts(near(home.ore, home.srid, ground.grid), rows, cols, patch_px) == 0
    found = {}
    for letter, shapes in home.decoys.items():
        around = near(shapes, home.srid, ground.grid)
        pieces, _count = ndimage.label(around, structure=_NEIGHBOURS)
        was_shown = around & np.isin(pieces, pieces[shown & around])
        chosen = is_free & (window_counts(was_shown, rows, cols, patch_px) == 0)
        chosen &= window_counts(around, rows, cols, patch_px) >= SHARE * patch_px**2
        found[letter] = _grouped(around, rows[chosen], cols[chosen], patch_px)
    return found


def ore_patches(patches: PatchSet, home: Planted) -> Places:
    """The positive patches of the test."""
    is_ore = (patches.parts == TEST) & patches.is_positive
    around = near(home.ore, home.srid, patches.ground.grid)
    return _grouped(around, patches.rows[is_ore], patches.cols[is_ore], patches.patch_px)


def answers_of(
    bench: Bench, records: Sequence[ModelRecord], patches: PatchSet, asked: Mapping[str, Places]
) -> Answers:
    """What the models of a row say.

    Args:
        bench: where the models are.
        records: of the seeds.
        patches: the set.
        asked: the ore, and decoys by letter.

    """
    every, thresholds = [], []
    for record in records:
        with connect(bench.url, application_name="lode experiment") as conn:
            model = load_prospect_model(conn, record.name, choose_device(bench.device_name))
        every.append({kind: _probabilities(model, patches, at) for kind, at in asked.items()})
        thresholds.append(model.threshold)
    return Answers(every, thresholds)


def decoy_figures(answers: Answers, asked: Mapping[str, Places]) -> dict[str, dict[str, Any]]:
    """Figures of a row by ``ore`` or letter.

    Returns:
        ``patches``, ``places``; mean probability and share called ore, over the seeds; for decoys also the
        area under the ROC curve of ore against them, with its interval.

    """
    found: dict[str, dict[str, Any]] = {}
    for kind, at in asked.items():
        said = [each[kind] for each in answers.probabilities]
        called = [each >= threshold for each, threshold in zip(said, answers.thresholds, strict=True)]
        found[kind] = {
            "patches": len(at.rows),
            "places": at.count,
            "mean_probability": over_seeds([_mean(each) for each in said]),
            "called": over_seeds([_mean(each) for each in called]),
        }
        if kind != "ore":
            areas = _areas(answers, asked, kind)
            found[kind]["roc_auc"] = over_seeds(
                [None] * len(said) if areas is None else areas.of_seeds.tolist()
            ) | _ends(None if areas is None else areas.drawn(0), asked["ore"], at)
    return found


def decoy_differences(
    first: Answers, others: Mapping[str, Answers], asked: Mapping[str, Places]
) -> list[dict[str, Any]]:
    """The first row's area under the ROC curve of ore against decoys minus each other row's.

    Places of ore, places of decoys, and the seeds of each row are drawn anew; both rows are judged on the
    same drawn places.

    Returns:
        ``minus``, ``decoys`` (the letter), ``ore_places``, ``places``, and ``roc_auc``: value, low and high;
        no ends with too few places of either.

    """
    found = []
    for name, answers in others.items():
        for kind, at in asked.items():
            if kind == "ore":
                continue
            pair = _areas(first, asked, kind), _areas(answers, asked, kind)
            value, drawn = None, None
            if pair[0] is not None and pair[1] is not None:
                value = float(pair[0].of_seeds.mean() - pair[1].of_seeds.mean())
                drawn = pair[0].drawn(0) - pair[1].drawn(1)
            found.append(
                {
                    "minus": name,
                    "decoys": kind,
                    "ore_places": asked["ore"].count,
                    "places": at.count,
                    "roc_auc": {"value": value, **_ends(drawn, asked["ore"], at)},
                }
            )
    return found


@dataclass(frozen=True)
class _Areas:
    """Areas under the ROC curve of ore against decoys.

    Attributes:
        of_seeds: (seeds,).
        of_draws: (resamples, seeds) when places are drawn anew; the draws are the same for all rows.

    """

    of_seeds: NDArray[np.float64]
    of_draws: NDArray[np.float64]

    def drawn(self, stream: int) -> NDArray[np.float64]:
        """(resamples,) means over seeds, which are drawn anew, too; another stream gives other draws."""
        count = self.of_draws.shape[1]
        seeds = np.random.default_rng((1, stream)).integers(count, size=(RESAMPLES, count))
        means: NDArray[np.float64] = np.take_along_axis(self.of_draws, seeds, axis=1).mean(axis=1)
        return means


def _areas(answers: Answers, asked: Mapping[str, Places], kind: str) -> _Areas | None:
    """Areas of a row; None where there is no ore or no decoy."""
    ore, false = _members(asked["ore"]), _members(asked[kind])
    if ore.size == 0 or false.size == 0:
        return None
    rng = np.random.default_rng(0)
    of_ore, of_false = (
        rng.multinomial(len(each), np.full(len(each), 1 / len(each)), RESAMPLES) for each in (ore, false)
    )
    pairs = (of_ore @ ore.sum(axis=1)) * (of_false @ false.sum(axis=1))
    of_seeds, of_draws = [], []
    for said in answers.probabilities:
        true, wrong = said["ore"][:, None], said[kind][None, :]
        wins = (true > wrong) + 0.5 * (true == wrong)
        of_seeds.append(wins.mean())
        of_draws.append(((of_ore @ (ore @ wins @ false.T)) * of_false).sum(axis=1) / pairs)
    return _Areas(np.array(of_seeds), np.stack(of_draws, axis=1))


def _members(at: Places) -> NDArray[np.float64]:
    """(places, n): 1 where a patch belongs to a place."""
    is_of_place = np.unique(at.places)[:, None] == at.places[None, :]
    return np.asarray(is_of_place, np.float64)


def _ends(drawn: NDArray[np.float64] | None, ore: Places, decoys: Places) -> dict[str, float | None]:
    """Ends of an interval; None with too few places, see `inference.prospect.ore_blocks.LEAST_BLOCKS`."""
    return ends_of(np.empty(0) if drawn is None else drawn, min(ore.count, decoys.count))


def _grouped(
    around: NDArray[np.bool_], rows: NDArray[np.int64], cols: NDArray[np.int64], patch_px: int
) -> Places:
    """Patches with their places: what hangs together by the ground round the shapes or by patches."""
    joined = around | _covered(around.shape, rows, cols, patch_px)
    pieces, _count = ndimage.label(joined, structure=_NEIGHBOURS)
    return Places(rows, cols, np.asarray(pieces[rows, cols], np.int64))


def _covered(
    shape: tuple[int, ...],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    patch_px: int,
    margin: int = 0,
) -> NDArray[np.bool_]:
    """(height, width): cells under patches, and those within a margin of them."""
    found = np.zeros(shape, bool)
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        found[
            max(row - margin, 0) : row + patch_px + margin, max(col - margin, 0) : col + patch_px + margin
        ] = True
    return found


def _probabilities(model: ProspectModel, patches: PatchSet, at: Places) -> NDArray[np.float64]:
    if len(at.rows) == 0:
        return np.zeros(0)
    values = patches.ground.values_of(model.channels)
    cells = model.normalisation.standardise(cut(values, at.rows, at.cols, patches.patch_px), axis=-1)
    return model.patch_probabilities(cells).astype(np.float64)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
