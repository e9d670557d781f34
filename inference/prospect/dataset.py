"""Sets of patches: made from a scene or a study area and known deposits, stored, and read again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.connection import Report
from db.errors import UsageError
from db.evidence import list_areas
from db.prospect_sets import (
    SPLITS,
    NewProspectSet,
    Patch,
    ProspectSet,
    patches_of_set,
    prospect_set_by_name,
    read_deposits,
    require_free_set_name,
    store_prospect_set,
)
from db.scenes import scene_by_id
from inference.geology.rasters import GeologySettings
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.contents import with_least
from inference.prospect.deposits import PositiveGround, choose_deposits, positive_ground
from inference.prospect.ground import Ground, area_ground, ground_of_channels, level_warning, scene_ground
from inference.prospect.patches import (
    LEAST_VALID,
    Candidates,
    Patches,
    candidate_patches,
    cut,
    draw_negatives,
)
from inference.prospect.request import SetRequest
from inference.prospect.split import MARGIN_PX, UNUSED, PatchSplit, split_patches
from inference.samples.leaks import Windows, outlines
from inference.training.blocks import TEST, TRAIN, VALIDATION, block_key, block_place

__all__ = ["TEST", "TRAIN", "VALIDATION", "PatchSet", "SetRequest", "cut", "load_set", "make_set"]

FEWEST_PLACES = 3
"""Figures of a part with fewer places of positive ground hang on one or two deposits."""
_MOSTLY = 0.5
_SQUARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class PatchSet:
    """A stored set with its ground; arrays (patches,) in the order of the keys.

    Attributes:
        name, prospect_set_id: of the set.
        ground: what the patches are cut from.
        patch_px: edge of the patches, cells.
        rows, cols: first row and column on the ground's grid.
        is_positive: whether a patch counts as ore-bearing.
        parts: 0 training, 1 validation, 2 test.
        blocks: key of the block of ground the patch lies in, see `inference.training.blocks.block_place`.

    """

    name: str
    prospect_set_id: int
    ground: Ground
    patch_px: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    is_positive: NDArray[np.bool_]
    parts: NDArray[np.uint8]
    blocks: NDArray[np.int64]


def make_set(conn: Connection[Any], request: SetRequest, *, report: Report = lambda _line: None) -> PatchSet:
    """Cut patches, give each a label and a part, and store them in the caller's transaction.

    Args:
        conn: connection inside a transaction.
        request: what is wanted.
        report: hears of the progress.

    Raises:
        UsageError: the name is taken; ground, deposits or patches do not suffice. Nothing is stored then.

    """
    require_free_set_name(conn, request.name)
    deposits = choose_deposits(read_deposits(conn), request.deposits)
    ground = _with_least(_ground(conn, request, report))
    near = positive_ground(deposits, ground.grid, ground.is_judged, request.buffer_m, ground.name)
    report(f"{len(near.deposit_ids)} of {len(deposits)} deposits lie on judged ground of {ground.name}")
    candidates = candidate_patches(
        ground,
        near.is_positive,
        patch_px=request.patch_px,
        stride_px=request.step_px,
        positive_share=request.positive_share,
    )
    split = split_patches(
        candidates.patches,
        ground.grid,
        near.pieces,
        block_m=request.block_m,
        parallel=request.parallel,
        seed=request.seed,
    )
    in_a_part = split.parts != UNUSED
    kept = np.flatnonzero(in_a_part)
    kept = kept[
        draw_negatives(
            candidates.patches.chosen(kept),
            split.parts[kept],
            split.blocks[kept],
            request.negatives,
            request.seed,
        )
    ]
    patches, parts = candidates.patches.chosen(kept), split.parts[kept]
    parameters = {
        **request.as_json(),
        "least_valid": LEAST_VALID,
        "block_m": split.edge_m,
        "block_srid": ground.grid.srid,
        "gap_px": 2 * MARGIN_PX if request.parallel is None else request.patch_px,
        "layer_ids": dict(ground.layer_ids),
        "patches": _patch_counts(patches, parts),
        "places": dict(zip(SPLITS, split.places, strict=True)),
        "left_out": _left_out(candidates, split, near, kept.size, ground),
        "warnings": _warnings(ground, near, candidates, split, patches, parts, request),
    }
    new = NewProspectSet(
        name=request.name,
        scene_id=ground.scene_id,
        evidence_area_id=ground.evidence_area_id,
        patch_px=request.patch_px,
        spacing_m=ground.grid.resolution_x,
        channels=tuple(channel.as_json() for channel in ground.channels),
        deposit_ids=near.deposit_ids,
        buffer_m=request.buffer_m,
        positive_share=request.positive_share,
        split_rule="block" if request.parallel is None else request.parallel.side,
        seed=request.seed,
        geology_digest=ground.geology_digest,
        parameters=parameters,
    )
    return _stored(conn, new, ground, patches, parts, split.blocks[kept])


def load_set(conn: Connection[Any], name: str, *, report: Report = lambda _line: None) -> PatchSet:
    """Read a set and its ground again.

    Deposits that were deleted or moved since are no matter, for labels are stored with the patches.

    Args:
        conn: connection; geology rasters that were dropped are stored again, the caller commits.
        name: of the set.
        report: hears of what is worth knowing.

    Raises:
        UsageError: no such set; its geology or its layers are not what they were.

    """
    stored = prospect_set_by_name(conn, name)
    channels = [Channel.from_json(each) for each in stored.channels]
    again = f"make the set again under another name with `lode prospect dataset`, or remove {name!r} first"
    if stored.scene_id is not None:
        scene = scene_by_id(conn, stored.scene_id)
        if scene.superseded_by is not None:
            report(
                f"scene {scene.product} has a newer version than version {scene.version}, which {name} is of"
            )
        ground = ground_of_channels(conn, scene, channels, geology=_geology(stored), report=report)
    else:
        [area] = [each for each in list_areas(conn) if each.evidence_area_id == stored.evidence_area_id]
        ground = ground_of_channels(conn, area, channels, geology=_geology(stored), report=report)
        were = stored.parameters.get("layer_ids", {})
        changed = sorted(layer for layer, key in ground.layer_ids.items() if were.get(layer) != key)
        if changed:
            raise UsageError(
                f"layers of area {area.name} were brought in again since {name!r} was made "
                f"({', '.join(changed)}), so that its patches hold other values now: {again}"
            )
    if ground.geology_digest != stored.geology_digest:
        raise UsageError(
            f"faults or plutons near {ground.name} have changed since {name!r} was made, and with them the "
            f"distances in its patches: {again}"
        )
    patches = patches_of_set(conn, stored.prospect_set_id)
    return PatchSet(
        stored.name,
        stored.prospect_set_id,
        _with_least(ground),
        stored.patch_px,
        np.array([patch.row_px for patch in patches], np.int64),
        np.array([patch.col_px for patch in patches], np.int64),
        np.array([patch.is_positive for patch in patches], bool),
        np.array([SPLITS.index(patch.split) for patch in patches], np.uint8),
        np.array([_block_of_text(patch.block_key) for patch in patches], np.int64),
    )


def _ground(conn: Connection[Any], request: SetRequest, report: Report) -> Ground:
    if request.product is not None:
        return scene_ground(
            conn,
            request.product,
            windows_nm=request.windows_nm,
            is_relative=request.is_relative,
            geology=request.geology,
            report=report,
        )
    return area_ground(
        conn,
        str(request.area),
        layers=request.layers,
        raw_contents=request.raw_contents,
        geology=request.geology,
        report=report,
    )


def _with_least(ground: Ground) -> Ground:
    """The same ground, whose logarithms say which content was the least."""
    return replace(ground, channels=with_least(ground.channels, ground.values, ground.is_judged))


def _geology(stored: ProspectSet) -> GeologyChoice:
    """The rasters of geology that a stored set was cut from."""
    said = stored.parameters.get("geology", {})
    bands = tuple(channel["name"] for channel in stored.channels if channel.get("kind") == "geology")
    default = GeologySettings()
    return GeologyChoice(
        bands,
        GeologySettings(
            proximity_m=float(said.get("proximity_m", default.proximity_m)),
            density_radius_m=float(said.get("density_radius_m", default.density_radius_m)),
        ),
    )


def _stored(
    conn: Connection[Any],
    new: NewProspectSet,
    ground: Ground,
    patches: Patches,
    parts: NDArray[np.uint8],
    blocks: NDArray[np.int64],
) -> PatchSet:
    rows = [
        Patch(row, col, is_positive, share, SPLITS[part], _block_text(block))
        for row, col, is_positive, share, part, block in zip(
            patches.rows.tolist(),
            patches.cols.tolist(),
            patches.is_positive.tolist(),
            patches.shares.tolist(),
            parts.tolist(),
            blocks.tolist(),
            strict=True,
        )
    ]
    ends = patches.rows + patches.patch_px, patches.cols + patches.patch_px
    boxes = np.column_stack((patches.rows, patches.cols, *ends))
    windows = Windows(np.zeros(len(patches), np.int64), boxes, parts.astype(np.int64))
    set_id = store_prospect_set(conn, new, rows, outlines(windows, [ground.grid]))
    return PatchSet(
        new.name,
        set_id,
        ground,
        patches.patch_px,
        patches.rows,
        patches.cols,
        patches.is_positive,
        parts,
        blocks,
    )


def _block_text(key: int) -> str:
    """``column,row`` of a block, as it is stored."""
    return ",".join(map(str, block_place(key)))


def _block_of_text(text: str) -> int:
    col, row = map(int, text.split(","))
    return block_key(col, row)


def _patch_counts(patches: Patches, parts: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    return {
        split: {
            "positive": int((patches.is_positive & (parts == part)).sum()),
            "negative": int((~patches.is_positive & (parts == part)).sum()),
        }
        for part, split in enumerate(SPLITS)
    }


def _left_out(
    candidates: Candidates, split: PatchSplit, near: PositiveGround, kept: int, ground: Ground
) -> dict[str, Any]:
    """What was left out, counted: patches by reason, deposits by reason, channels with their reason."""
    unused, is_positive = split.parts == UNUSED, candidates.patches.is_positive
    return {
        "patches_without_values": candidates.without_values,
        "patches_between": candidates.between,
        "positive_near_another_part": int((unused & is_positive).sum()),
        "negative_near_another_part": int((unused & ~is_positive).sum()),
        "negative_not_drawn": int((~unused).sum()) - kept,
        "deposits_outside": near.outside,
        "deposits_unjudged": near.unjudged,
        "deposits_between_centres": near.between_centres,
        "channels": list(ground.notes),
    }


def _warnings(
    ground: Ground,
    near: PositiveGround,
    candidates: Candidates,
    split: PatchSplit,
    patches: Patches,
    parts: NDArray[np.uint8],
    request: SetRequest,
) -> list[str]:
    """What to know before training on the set."""
    said: list[str] = []
    level = level_warning(ground)
    if level is not None:
        said.append(level)
    grid = ground.grid
    if abs(grid.resolution_x / grid.resolution_y - 1) > _SQUARE_TOLERANCE:
        said.append(
            f"cells are {grid.resolution_x:g} m wide and {grid.resolution_y:g} m high; the graph takes "
            "neighbours as equally far"
        )
    total = candidates.without_values + candidates.between + len(candidates.patches)
    if candidates.without_values > _MOSTLY * total:
        said.append(
            f"{candidates.without_values} of {total} patches lack values in a tenth of their cells or more"
        )
    if near.unjudged:
        said.append(f"{near.unjudged} deposits lie where the ground is not judged")
    if near.between_centres:
        said.append(
            f"{near.between_centres} deposits have no cell's centre within {request.buffer_m:g} m: give a "
            "larger --buffer-m"
        )
    for part, (label, places) in enumerate(zip(SPLITS, split.places, strict=True)):
        if places < FEWEST_PLACES:
            said.append(
                f"{label} has {places} place{'' if places == 1 else 's'} of positive ground: its "
                "figures hang on very few deposits"
            )
        positive = int((patches.is_positive & (parts == part)).sum())
        negative = int((parts == part).sum()) - positive
        if negative < request.negatives * positive:
            said.append(
                f"{label} has {negative} negative patches for {positive} positive ones, not "
                f"{request.negatives * positive}: there are no more"
            )
    return said
