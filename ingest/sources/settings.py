"""Settings of sources, read from the environment (prefix ``LODE_``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.settings import default_home


class SourceSettings(BaseSettings):
    """What can be set from outside.

    Attributes:
        home: Lode's folder, which the cache and reports lie below by default.
        cache: folder that files are fetched into; removed from it once their scene is stored.
        stac_headers_file: TOML file with headers to send, by host; only its owner may read it.
        fetch_limit_bytes: no single file may be larger.
        fetch_attempts: requests for one file or page before this attempt ends.
        fetch_pause_s: pause after the first failed request; the next ones double, up to a minute.
        fetch_timeout_s: silence of a server after which a request counts as failed.
        fetch_document_s: no page or item of a catalogue, and no head of an answer, may take longer, s.
        private_hosts: hosts and networks on this machine or in a private network that sources may lead to.
        fetch_spare_bytes: left free on the disk of the cache.

    """

    model_config = SettingsConfigDict(env_prefix="LODE_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    cache: Path | None = None
    stac_headers_file: Path | None = None
    fetch_limit_bytes: int = Field(default=20 << 30, gt=0)
    fetch_attempts: int = Field(default=6, ge=1)
    fetch_pause_s: float = Field(default=1.0, ge=0)
    fetch_timeout_s: float = Field(default=60.0, gt=0)
    fetch_document_s: float = Field(default=300.0, gt=0)
    private_hosts: str = ""
    fetch_spare_bytes: int = Field(default=1 << 30, ge=0)

    def cache_folder(self) -> Path:
        """Folder that files are fetched into."""
        return self.cache if self.cache is not None else self.home / "cache"
