"""Class map and probabilities of rows of a scene, on disk: a large scene's do not fit into memory."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from db.errors import RetryError, UsageError
from db.local_disk import lacks_room, temporary_folder

Bytes = NDArray[np.uint8]


class Maps:
    """Class map and probabilities of neighbouring rows, in files that the system pages in and out.

    A scene of 30,000 x 30,000 pixels and eight classes takes 8 GB.

    Args:
        first_row: the first of the rows, in the scene.
        rows: number of rows.
        width: pixels of a row.
        classes: number of classes.

    Attributes:
        first_row: as given.
        class_map: (rows, width) class codes, 255 not observed.
        probability: (classes, rows, width) in steps of 1/200, 255 not observed.

    Raises:
        RetryError: there is no room for them.

    """

    def __init__(self, first_row: int, rows: int, width: int, classes: int) -> None:
        self.first_row = first_row
        self.class_map = mapped_file((rows, width))
        self.probability = mapped_file((classes, rows, width))

    def put(self, row: int, class_map: Bytes, probability: Bytes) -> None:
        """Enter rows from ``row`` of the scene on: (rows, width) and (classes, rows, width)."""
        rows = slice(row - self.first_row, row - self.first_row + len(class_map))
        self.class_map[rows] = class_map
        self.probability[:, rows] = probability

    def get(self, row: int, end: int) -> tuple[Bytes, Bytes]:
        """Rows ``row`` to ``end`` - 1 of the scene: (rows, width) and (classes, rows, width)."""
        rows = slice(row - self.first_row, end - self.first_row)
        return self.class_map[rows], self.probability[:, rows]


def mapped_file(shape: tuple[int, ...]) -> Bytes:
    """An array of zeros in a file without a name, so that it goes with its process, however that ends.

    Raises:
        LocalDiskError: there is no room for it now.
        RetryError: there never is: the disk is smaller.

    """
    size = int(np.prod(shape, dtype=np.int64))
    with tempfile.TemporaryFile(dir=temporary_folder()) as file:
        if size > _free_bytes(file.fileno()):  # asked first: trying would fill the disk for a moment
            raise no_room(size)
        try:
            # room is taken now: where it lacks later, the system kills who writes to the map
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise no_room(size) from error
        return np.memmap(file, np.uint8, "r+", shape=shape)


def _free_bytes(descriptor: int) -> int:
    found = os.fstatvfs(descriptor)
    return found.f_bavail * found.f_frsize


def no_room(size: int) -> UsageError:
    """What to raise where maps of so many bytes have no room: now, or on a disk of that size ever."""
    folder = temporary_folder()
    message = (
        f"{folder} has no room for {size / 1e9:.1f} GB of maps: free some space there, "
        "or set TMPDIR to a folder on a larger disk"
    )
    return lacks_room(folder, size, message, never=RetryError)
