"""What a private cluster is and holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatabaseSize:
    """A database and the room it takes."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class ServerFacts:
    """What a running server says of itself.

    Attributes:
        postgresql: version of the server.
        postgis: version of PostGIS that it offers, or None.
        databases: every database but the templates, by name.

    """

    postgresql: str
    postgis: str | None
    databases: tuple[DatabaseSize, ...]


@dataclass(frozen=True)
class ClusterStatus:
    """A private cluster at one moment.

    Attributes:
        state: ``ready``, ``starting``, ``stopping``, ``stopped`` or ``not made yet``.
        account: name of the user that the server runs as.
        home: folder of the cluster.
        data: its data directory.
        log: the server's log.
        sockets: folder of the socket, which is the host to connect to.
        pid: the server's process.
        data_bytes: room that the data takes, log of writes included.
        free_bytes: room left on its disk.
        server: what the running server says; None when it is not ready.

    """

    state: str
    account: str
    home: Path
    data: Path
    log: Path
    sockets: Path
    pid: int | None
    data_bytes: int
    free_bytes: int
    server: ServerFacts | None

    @property
    def is_running(self) -> bool:
        """Whether it takes connections."""
        return self.server is not None
