"""Settings read from the environment (prefix ``LODE_``); no module holds an instance of them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """Where the private cluster lives: ``/var/lib/lode`` for root, else the user's data folder.

    PostgreSQL refuses to run as root, so root's cluster belongs to the ``postgres`` user, who cannot
    reach root's own home.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/lode")
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "lode"


class Settings(BaseSettings):
    """What can be set from outside.

    Attributes:
        database_url: libpq URL of any PostGIS database; when absent the private cluster is used.
        home: folder of the private cluster (data, log, socket).
        database: name of the database inside the private cluster.
        allowed_roots: folders that files may be read from, separated by ``:``; empty means any folder.

    """

    model_config = SettingsConfigDict(env_prefix="LODE_", env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(default=None, repr=False)  # may hold a password
    home: Path = Field(default_factory=default_home)
    database: str = "lode"
    allowed_roots: str = ""

    def roots(self) -> tuple[Path, ...]:
        """The folders of ``allowed_roots``, resolved."""
        return tuple(Path(part).resolve() for part in self.allowed_roots.split(":") if part)
