"""What a JPEG 2000 file claims about itself, read byte by byte before a decoder believes it.

Sources: ISO/IEC 15444-1, annex I (boxes of a JP2 file) and annex A (codestream, SIZ marker).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.tiff_header import TiffHeader

SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
MAX_BOXES = 64
MAX_TILES = 65_535
"""As many tiles as the codestream can number."""

_START = b"\xff\x4f\xff\x51"  # SOC and SIZ: every codestream begins with them
_END = b"\xff\xd9"  # EOC
_SIZ_BYTES = 42
_JPEG2000 = 34712  # the number that TIFF gives to this compression


def is_jp2(head: bytes) -> bool:
    """Whether a file begins as a JP2 file; a bare codestream has no place on Earth and does not count."""
    return head.startswith(SIGNATURE)


def read_jp2_header(file: SourceFile) -> TiffHeader:
    """Read what a JP2 file claims, in the terms of a TIFF.

    Raises:
        UsageError: there is no codestream in it, it is cut short, or its header cannot be right.

    """
    try:
        with file.path.open("rb") as stream:
            body, end = _codestream(stream, file.size_bytes)
            if end > file.size_bytes:
                raise UsageError(
                    f"{file.name}: is cut short: {file.size_bytes} bytes of {end}; get the file anew"
                )
            # A decoder fills what is missing with whatever it likes, and says nothing.
            stream.seek(max(body, end - len(_END)))
            if stream.read(len(_END)) != _END:
                raise UsageError(f"{file.name}: its JPEG 2000 codestream has no end; get the file anew")
            stream.seek(body)
            return _size(stream)
    except (struct.error, ValueError, OSError) as error:
        raise UsageError(
            f"{file.name}: not a whole JPEG 2000 image: its header is damaged ({error}); get the file anew"
        ) from None


def _codestream(stream: BinaryIO, file_bytes: int) -> tuple[int, int]:
    """Where the codestream begins and should end."""
    place = 0
    for _ in range(MAX_BOXES):
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        body = place + 8
        if length == 1:
            (length,) = struct.unpack(">Q", stream.read(8))
            body += 8
        end = file_bytes if length == 0 else place + length
        if kind == b"jp2c":
            return body, end
        if not body <= end <= file_bytes:
            raise ValueError(f"a box of {length} bytes at byte {place}")
        place = end
    raise ValueError(f"no codestream among the first {MAX_BOXES} boxes")


def _size(stream: BinaryIO) -> TiffHeader:
    """The SIZ marker: size, tiles, and depth of every component."""
    start = stream.read(_SIZ_BYTES)
    if not start.startswith(_START):
        raise ValueError("its codestream has no beginning")
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack(">8I", start[8:40])
    (samples,) = struct.unpack(">H", start[40:42])
    components = stream.read(3 * samples)
    if len(components) < 3 * samples:
        raise ValueError("its components are not all described")
    if tile_width < 1 or tile_height < 1 or tile_left > left or tile_top > top:
        raise ValueError(f"tiles of {tile_width} x {tile_height} pixels from {tile_left}, {tile_top}")
    if any(step != 1 for step in components[1::3] + components[2::3]):
        raise ValueError("components of different pixel sizes")
    # Negative sizes count as none, which the limits refuse.
    width, height = max(0, right - left), max(0, bottom - top)
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if tiles > MAX_TILES:
        raise ValueError(f"{tiles} tiles")
    deepest = max(((depth & 0x7F) + 1 for depth in components[0::3]), default=8)
    bits = next((whole for whole in (8, 16, 32) if deepest <= whole), 64)
    tile = (min(tile_width, max(1, width)), min(tile_height, max(1, height)))
    return TiffHeader(width, height, samples, bits, _JPEG2000, tile)
