"""The first directory of a TIFF, read byte by byte: what the file claims, before anything believes it.

Source: TIFF Revision 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF as in libtiff.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from db.errors import UsageError
from ingest.files import SourceFile, describe_start

MAX_DIRECTORY_ENTRIES = 4096

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 258, 259, 277, 322, 323
_WANTED = (WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, TILE_WIDTH, TILE_HEIGHT)
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory claims.

    Attributes:
        width_px, height_px: size.
        samples: bands.
        bits: bits per sample.
        compression: TIFF's number of the method; 1 is none.
        tile_px: width and height of a tile; None when stored in strips.

    """

    width_px: int
    height_px: int
    samples: int
    bits: int
    compression: int
    tile_px: tuple[int, int] | None

    @property
    def decoded_bytes(self) -> int:
        """Size of all pixels when decoded."""
        return self.width_px * self.height_px * self.samples * max(1, self.bits) // 8

    @property
    def tile_bytes(self) -> int:
        """Size of one decoded tile with all its samples; 0 for strips, which are read by scanline."""
        if self.tile_px is None:
            return 0
        return self.tile_px[0] * self.tile_px[1] * self.samples * max(1, self.bits) // 8


def read_tiff_header(file: SourceFile) -> TiffHeader:
    """Read what a TIFF claims, without a library.

    Raises:
        UsageError: it is no TIFF, or it ends before its first directory does.

    """
    start = file.head(64)
    if start[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise UsageError(f"{file.name}: not a TIFF: it begins as {describe_start(start)}")
    try:
        with file.path.open("rb") as stream:
            tags = _first_directory(stream, start)
    except (struct.error, OverflowError, ValueError, OSError):
        raise UsageError(f"{file.name}: not a whole TIFF: it ends before its first directory does") from None
    if WIDTH not in tags or HEIGHT not in tags:
        raise UsageError(f"{file.name}: not a whole TIFF: width or height is missing")
    tile = (tags[TILE_WIDTH], tags[TILE_HEIGHT]) if TILE_WIDTH in tags and TILE_HEIGHT in tags else None
    return TiffHeader(
        tags[WIDTH], tags[HEIGHT], tags.get(SAMPLES, 1), tags.get(BITS, 1), tags.get(COMPRESSION, 1), tile
    )


def _first_directory(stream: BinaryIO, start: bytes) -> dict[int, int]:
    order = "<" if start[:2] == b"II" else ">"
    is_big = 43 in start[2:4]
    offset, count_format, entry_format = (8, "Q", "HHQ8s") if is_big else (4, "H", "HHI4s")
    pointer = "Q" if is_big else "I"

    def unpack(fmt: str, data: bytes) -> tuple[int, ...]:
        size = struct.calcsize(order + fmt)
        values: tuple[int, ...] = struct.unpack(order + fmt, data[:size])
        return values

    (directory,) = unpack(pointer, start[offset:])
    stream.seek(directory)
    (count,) = unpack(count_format, stream.read(struct.calcsize(order + count_format)))
    if count > MAX_DIRECTORY_ENTRIES:
        raise ValueError(count)
    entry_bytes = struct.calcsize(order + entry_format)
    entries = stream.read(count * entry_bytes)
    tags = {}
    for index in range(count):
        chunk = entries[index * entry_bytes : (index + 1) * entry_bytes]
        tag, kind, values, inline = struct.unpack(order + entry_format, chunk)
        if tag in _WANTED and kind in _FORMATS and values > 0:
            fmt = _FORMATS[kind]
            data = inline
            if struct.calcsize(fmt) * values > len(inline):
                (where,) = unpack(pointer, inline)
                stream.seek(where)
                data = stream.read(struct.calcsize(fmt))
            (tags[tag],) = unpack(fmt, data)
    return tags
