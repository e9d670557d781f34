"""Where the parts of a private cluster lie, and whether Lode made it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from db.embedded.account import Account, account_for
from db.embedded.socket_folder import socket_folder
from db.errors import UsageError

MARKER = "lode.cluster"
"""File within the data directory that proves that Lode made it."""


@dataclass(frozen=True)
class Layout:
    """The places of one cluster and the user that they belong to.

    Attributes:
        home: folder of the cluster, absolute and without links.
        account: who the server runs as.

    """

    home: Path
    account: Account

    @classmethod
    def of(cls, home: Path) -> Layout:
        """Lay out a home.

        Raises:
            UsageError: it belongs to another user, or root has no ``postgres`` user to act through.

        """
        return cls(home, account_for(home / "data"))

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.home / "server.log"

    @property
    def sockets(self) -> Path:
        """The folder of the socket."""
        return socket_folder(self.home, self.account)

    @property
    def is_made(self) -> bool:
        """Whether Lode has made the cluster."""
        return self.account.run(["test", "-e", self.data / MARKER]).returncode == 0

    def refuse_foreign(self) -> None:
        """Leave a data folder alone that holds anything that Lode did not make.

        Raises:
            UsageError: it does.

        """
        if not os.path.lexists(self.data) or self.is_made:
            return
        if self.data.is_dir() and not self.data.is_symlink() and not any(self.data.iterdir()):
            return
        raise UsageError(
            f"{self.data} exists and was not made by Lode, which leaves it alone: "
            "set LODE_HOME to another folder"
        )

    def data_major(self) -> int | None:
        """Major version of the PostgreSQL that made the data; None when there is none yet.

        Raises:
            UsageError: the data does not say.

        """
        if not self.is_made:
            return None
        version = self.account.run(["cat", self.data / "PG_VERSION"]).stdout.strip()
        if not version.isdigit():
            raise UsageError(
                f"{self.data}/PG_VERSION does not hold a version (got {version!r}): the cluster is damaged; "
                "restore it from a backup, or move it away and run `lode up` for a new one"
            )
        return int(version)

    def data_bytes(self) -> int:
        """Room that the data takes."""
        done = self.account.run(["du", "-s", "--block-size=1", "--", self.data])
        return int(done.stdout.split()[0]) if done.stdout else 0

    def free_bytes(self) -> int:
        """Room that is left on the disk of the home."""
        return shutil.disk_usage(self._existing()).free

    def disk_bytes(self) -> int:
        """Size of the disk of the home."""
        return shutil.disk_usage(self._existing()).total

    def _existing(self) -> Path:
        return next(folder for folder in (self.home, *self.home.parents) if folder.exists())
