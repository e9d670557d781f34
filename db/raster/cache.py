"""Tiles that were read a moment ago: overlapping windows need most of them again."""

from __future__ import annotations

from collections import OrderedDict

from db.raster.pixels import Pixels

TileKey = tuple[str, int, tuple[int, ...] | None]
"""Table, rid, and the bands that were picked, or None for all."""

_ENTRY_BYTES = 200  # what a key and an empty entry take


class TileCache:
    """The tiles used last, up to a number of bytes; an absent tile is remembered too."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._tiles: OrderedDict[TileKey, Pixels | None] = OrderedDict()

    def __contains__(self, key: TileKey) -> bool:
        return key in self._tiles

    def get(self, key: TileKey) -> Pixels | None:
        """The tile, which then counts as used last; KeyError when it is not held."""
        self._tiles.move_to_end(key)
        return self._tiles[key]

    def put(self, key: TileKey, pixels: Pixels | None) -> None:
        """Hold a tile that is not held yet, or None for one that is not stored."""
        self._tiles[key] = pixels
        self._held_bytes += _ENTRY_BYTES + (0 if pixels is None else pixels.nbytes)
        while self._held_bytes > self._capacity_bytes:
            _, dropped = self._tiles.popitem(last=False)
            self._held_bytes -= _ENTRY_BYTES + (0 if dropped is None else dropped.nbytes)
