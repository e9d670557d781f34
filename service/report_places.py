"""Where reports of sources may lie: below one folder, and nowhere else, whatever links say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.errors import UsageError
from db.settings import default_home


class ReportSettings(BaseSettings):
    """What can be set from outside.

    Attributes:
        home: Lode's folder.
        report_root: folder that reports of sources lie below; by default ``reports`` in Lode's folder.
        allowed_roots: folders that files may be read from, separated by ``:``; reports may lie there too.

    """

    model_config = SettingsConfigDict(env_prefix="LODE_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    report_root: Path | None = None
    allowed_roots: str = ""

    def roots(self) -> tuple[Path, ...]:
        """Folders that reports may lie below; a relative one counts from the first."""
        own = self.report_root if self.report_root is not None else self.home / "reports"
        return (own, *(Path(part) for part in self.allowed_roots.split(":") if part))


def report_place(named: str, roots: Sequence[Path]) -> Path:
    """The folder that a source names for its reports, made where it is missing.

    Args:
        named: relative to the first root, or absolute.
        roots: folders that it must lie in, after following links.

    Raises:
        UsageError: it lies elsewhere, or cannot be made.

    """
    if ".." in PurePosixPath(named).parts or not named.strip() or not named.isprintable():
        raise UsageError(f"{named!r}: is no folder for reports; name one below LODE_REPORT_ROOT, without ..")
    try:
        roots[0].mkdir(parents=True, exist_ok=True)
        resolved_roots = [root.resolve() for root in roots]
        # What is missing is made only after the part that exists was found to lie inside.
        wanted = (resolved_roots[0] / named).resolve()
        if not any(wanted == root or wanted.is_relative_to(root) for root in resolved_roots):
            raise UsageError(
                f"{named}: lies outside the folder for reports (LODE_REPORT_ROOT): "
                + ", ".join(map(str, resolved_roots))
            )
        wanted.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{named}: cannot be made: {getattr(error, 'strerror', None) or error}") from None
    return wanted
