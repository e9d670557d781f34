"""What stands in the way of a training, found before it begins and told all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from db.errors import UsageError
from inference.evidence.anomaly import base_element
from inference.evidence.ground import OVERLAPS_NONE
from inference.evidence.mineral_system import MineralSystem
from inference.evidence.types import (
    HIDDEN_KINDS,
    EvidenceChannel,
    EvidenceGround,
    EvidenceSettings,
    Report,
    silent,
)

_TRANSFORMERS = ("vit", "vit_no_fusion", "vit_no_geology")
_POSITION_PARTS = 4
_SHOWN = 8


def check_ground(
    ground: EvidenceGround,
    settings: EvidenceSettings,
    system: MineralSystem | None = None,
    report: Report = silent,
    *,
    others: Sequence[str] = (),
) -> None:
    """Check that a method can learn from the evidence of a study area.

    Args:
        ground: the evidence.
        settings: of the method.
        system: whose ore elements are looked for among the layers; None: they are not looked for.
        report: hears what can be lived with, as warnings.
        others: problems found elsewhere, told with these.

    Raises:
        UsageError: it cannot; every problem is named, with what to do.

    """
    problems = [*_source_problems(ground, settings), *_overlap_problems(ground)]
    if system is not None:
        problems += _element_problems(ground, system, report)
    problems += _content_problems(ground)
    if settings.is_network:
        problems += _size_problems(ground, settings)
    problems += others
    if problems:
        head = f"{settings.method} cannot learn from study area {ground.area}"
        if len(problems) == 1:
            raise UsageError(f"{head}: {problems[0]}")
        listed = "\n".join("- " + each.replace("\n", "\n  ") for each in problems)
        raise UsageError(f"{head}, for {len(problems)} reasons:\n{listed}")
    _warn(ground, report)


def _source_problems(ground: EvidenceGround, settings: EvidenceSettings) -> list[str]:
    left_out = [note for note in ground.notes if " is left out: " in note]
    why = f" ({'; '.join(left_out)})" if left_out else ""
    hidden = ground.places_of(*HIDDEN_KINDS)
    if not hidden:
        return [
            "there is no geochemistry and no geophysics with values that differ on its judged ground, which "
            f"is what is guessed{why}: bring layers with `lode ingest evidence --kind geochemistry`"
        ]
    problems = []
    if len(ground.channels) == 1:
        problems.append(
            f"{ground.names[0]} is its only channel{why}: one source with one channel leaves nothing to "
            "expect it from; bring other layers, or geology"
        )
    if settings.method == "vit_no_geology" and not ground.places_of("geology"):
        problems.append("there is no geology to leave out: take --method vit")
    return problems


def _overlap_problems(ground: EvidenceGround) -> list[str]:
    """No cell with values, or layers that never meet."""
    if not ground.is_judged.any():
        return ["no cell of its grid is judged: its outline holds no cell's centre; make it anew"]
    hidden = ground.places_of(*HIDDEN_KINDS)
    if not hidden:
        return []
    if not ground.is_scored.any():
        return ["no judged cell holds geochemistry or geophysics: bring layers that lie on its ground"]
    if len(ground.channels) == 1:
        return []
    problems = [
        note.replace(" is left out: it", "") + ": bring it for the same ground, or name the other layers"
        for note in ground.notes
        if OVERLAPS_NONE in note
    ]
    known = {place: ground.is_known[place] for place in hidden}
    if len(hidden) > 1:
        count = np.zeros(ground.is_judged.shape, np.int32)
        for each in known.values():
            count += each
        if count.max(initial=0) < 2:
            problems.append(
                f"no two of its layers are known at the same cell ({_names(ground, hidden)}): they do not "
                "overlap; bring layers of the same ground"
            )
        else:
            problems += [
                f"layer {ground.names[place]} overlaps no other layer of geochemistry or geophysics: bring "
                "it for the same ground, or leave it out by naming the other layers (--layer)"
                for place, each in known.items()
                if not (each & (count > 1)).any()
            ]
    sources = {kind: ground.is_known[places].any(axis=0) for kind, places in ground.sources.items()}
    if len(sources) > 1 and sum(sources.values(), np.zeros(ground.is_judged.shape, int)).max() < 2:
        problems.append(
            f"no cell is known from two sources ({', '.join(sources)} each lie elsewhere): bring layers of "
            "the same ground"
        )
    return problems


def _element_problems(ground: EvidenceGround, system: MineralSystem, report: Report) -> list[str]:
    held = {base_element(each.element) for each in ground.channels if each.element is not None}
    missing = [symbol for symbol in system.elements if base_element(symbol) not in held]
    if len(missing) == len(system.elements):
        there = ", ".join(sorted(held)) or "no element"
        return [
            f"none of the ore elements of {system.name} ({', '.join(system.elements)}) is among its layers, "
            f"which hold {there}: ingest one of them (with --element), or choose another --system"
        ]
    if missing:
        there = ", ".join(symbol for symbol in system.elements if symbol not in missing)
        report(
            f"warning: of the ore elements of {system.name} {', '.join(missing)} are not among the layers; "
            f"the anomaly is that of {there}"
        )
    return []


def _content_problems(ground: EvidenceGround) -> list[str]:
    problems = []
    for channel, raw, known in zip(ground.channels, ground.raw, ground.is_known, strict=True):
        if channel.kind != "geochemistry" or not known.any():
            continue
        held = raw[known]
        negative = int((held < 0).sum())
        if negative:
            problems.append(
                f"layer {channel.name} holds {negative:,} negative contents, down to {held.min():g}, and no "
                f"content is: ingest it again with --nodata {held.min():g} if that marks cells without one, "
                "or as --kind geophysics if these are logarithms or the like"
            )
    return problems


def _size_problems(ground: EvidenceGround, settings: EvidenceSettings) -> list[str]:
    """What does not fit together among the sizes of windows, patches and layers."""
    height, width = ground.is_judged.shape
    window, patch = settings.window_px, settings.patch_px
    problems = []
    if min(height, width) < window:
        cell = f"{ground.grid.resolution_x:g}"
        largest = _largest_window(min(height, width), patch)
        fits = (
            f"the largest window that fits is --window {largest}"
            if largest
            else f"a side of it holds no two patches of {patch} cells: take a smaller --patch, or finer cells"
        )
        problems.append(
            f"its grid of {width} x {height} cells of {cell} m is smaller than a window of {window} x "
            f"{window}: {fits}"
        )
    if settings.method in _TRANSFORMERS and window % patch:
        problems.append(
            f"patches of {patch} cells do not divide a window of {window}: take --window "
            f"{max(patch, window // patch * patch)}, or --patch {_divisor(window, patch)}"
        )
    patches = (window // patch) ** 2
    if settings.method in _TRANSFORMERS and not 2 <= settings.groups <= patches:
        problems.append(
            f"{settings.groups} groups cannot be dealt from the {patches} patches of {patch} cells in a "
            f"window of {window}: take --groups 2 to {max(2, patches)}, or a larger window"
        )
    if settings.method in _TRANSFORMERS:
        for name, size in (("width", settings.width), ("decoder width", settings.decoder_width)):
            step = int(np.lcm(settings.heads, _POSITION_PARTS))
            if size % step:
                problems.append(
                    f"a {name} of {size} is no multiple of {settings.heads} heads and of "
                    f"{_POSITION_PARTS}: take {max(step, round(size / step) * step)}"
                )
    scored = int(ground.is_scored.sum())
    if scored and not problems and scored < window * window:
        largest = _largest_window(math.isqrt(scored), patch)
        problems.append(
            f"{scored:,} of its cells hold values, fewer than a window of {window} x {window}: "
            + (f"take --window {largest}" if largest else "take a larger area, or finer cells")
        )
    return problems


def _largest_window(cells: int, patch: int) -> int:
    """The largest window of two patches by two or more up to an edge; 0: there is none."""
    return cells // patch * patch if cells >= 2 * patch else 0


def _divisor(window: int, patch: int) -> int:
    """The divisor of a window nearest to a patch."""
    divisors = [size for size in range(1, window + 1) if window % size == 0]
    return min(divisors, key=lambda size: (abs(size - patch), size))


def _warn(ground: EvidenceGround, report: Report) -> None:
    kinds = list(ground.sources)
    if len(kinds) == 1:
        report(
            f"warning: {kinds[0]} is the only source ({len(ground.channels)} channels): there is no geology "
            "or other survey to say what is to be expected; the anomaly is what its channels do not tell of "
            "each other"
        )
    elif "geology" not in kinds:
        report(
            "warning: there is no geology among the evidence: nothing says which rock is to be expected where"
        )
    doubled = _doubled(ground.channels)
    if doubled:
        report(f"warning: several layers hold {', '.join(doubled)}: the weight is dealt out among them")


def _doubled(channels: Sequence[EvidenceChannel]) -> list[str]:
    held = [base_element(each.element) for each in channels if each.element is not None]
    return sorted({element for element in held if held.count(element) > 1})


def _names(ground: EvidenceGround, places: Sequence[int]) -> str:
    names = [ground.names[place] for place in places]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
