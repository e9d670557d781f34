"""Checks on what a caller hands to a network; each failure says what was got and what is needed."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from db.errors import UsageError


def require_choice(what: str, got: object, choices: Iterable[object]) -> None:
    """Refuse `got` unless it is one of `choices`; `what` names the thing in the message."""
    known = list(choices)
    # type as well as value: 16.0 and True would otherwise pass for 16 and 1
    if not any(type(got) is type(choice) and got == choice for choice in known):
        raise UsageError(f"unknown {what} {got!r}: choose one of {', '.join(str(c) for c in known)}")


def require_count(what: str, got: object, *, at_least: int = 1) -> None:
    """Refuse `got` unless it is a whole number of `at_least` or more."""
    if isinstance(got, bool) or not isinstance(got, int) or got < at_least:
        raise UsageError(f"{what} is {got!r}: it must be a whole number of at least {at_least}")


def check_tiles(tiles: Tensor, *, in_channels: int, minimum_px: int, training: bool) -> None:
    """Refuse a batch that the network cannot take.

    Looks at shape and dtype only, never at values, so that a compiled graph keeps no data-dependent branch.

    Args:
        tiles: the batch, expected as floating point (n, in_channels, height, width).
        in_channels: bands the network was built for.
        minimum_px: least height and width in pixels.
        training: whether batch statistics are taken; the global pooling leaves one value per tile and
            channel, and one value has no variance.

    Raises:
        UsageError: says the shape or dtype it got and what is needed.
    """
    shape = tuple(tiles.shape)
    if len(shape) != 4:
        raise UsageError(
            f"got tiles of shape {shape}: needed are four axes (n, {in_channels}, height, width)"
        )
    if shape[1] != in_channels:
        raise UsageError(
            f"got tiles of shape {shape} with {shape[1]} bands: the network was built for {in_channels} bands"
        )
    if shape[2] < minimum_px or shape[3] < minimum_px:
        raise UsageError(
            f"got tiles of shape {shape}: height and width must be at least {minimum_px} px, pad the tiles"
        )
    if shape[0] == 0:
        raise UsageError(f"got tiles of shape {shape}: the batch is empty")
    if not tiles.is_floating_point():
        raise UsageError(f"got tiles of type {tiles.dtype}: scale digital numbers to floating point first")
    if training and shape[0] < 2:
        raise UsageError(
            f"got tiles of shape {shape} in training: batch normalisation needs at least 2 tiles in a batch, "
            "drop the last batch of an epoch when it is smaller"
        )
