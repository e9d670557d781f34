"""Which PostgreSQL with PostGIS on this machine can run a private cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from db.errors import UsageError

OLDEST_MAJOR = 15
OLDEST_POSTGIS = (3, 3)
EXTENSIONS = ("postgis", "postgis_raster")
NEEDED_PROGRAMS = ("initdb", "pg_ctl", "postgres")


@dataclass(frozen=True)
class Installation:
    """The programs of one PostgreSQL version.

    Attributes:
        major: major version (15).
        version: full version (``15.18``).
        programs: folder with ``initdb``, ``pg_ctl`` and ``postgres``.
        extensions: folder with the extensions' control files, or None where it is not known.

    """

    major: int
    version: str
    programs: Path
    extensions: Path | None

    def program(self, name: str) -> Path:
        """Path of one of the version's programs."""
        return self.programs / name

    def extension_version(self, name: str) -> str | None:
        """Version of an extension that ``create extension`` would install; None when it is missing."""
        if self.extensions is None:
            return None
        try:
            control = (self.extensions / f"{name}.control").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        found = re.search(r"^\s*default_version\s*=\s*'([^']+)'", control, re.MULTILINE)
        return found.group(1) if found else None

    def missing_extensions(self) -> list[str]:
        """What is missing or too old, in words; empty when PostGIS is complete."""
        if self.extensions is None:
            return []  # unusual layout: CREATE EXTENSION will tell
        problems = []
        for name in EXTENSIONS:
            version = self.extension_version(name)
            if version is None:
                problems.append(f"{name} is missing")
            elif _numbers(version) < OLDEST_POSTGIS:
                problems.append(f"{name} {version} is older than {'.'.join(map(str, OLDEST_POSTGIS))}")
        return problems


def choose_installation(
    data_major: int | None, *, extensions: Path | None = None, with_postgis: bool = True
) -> Installation:
    """Choose the newest PostgreSQL with PostGIS, or the one that made the data.

    Args:
        data_major: major version of existing data; None for a new cluster.
        extensions: folder with extension control files instead of the version's own.
        with_postgis: whether PostGIS must be there.

    Raises:
        UsageError: no suitable PostgreSQL, or PostGIS is missing or too old; names the packages to install.

    """
    found = sorted(find_installations(extensions), key=lambda each: _numbers(each.version), reverse=True)
    if data_major is not None:
        matching = [each for each in found if each.major == data_major]
        if not matching:
            have = ", ".join(each.version for each in found) or "none"
            raise UsageError(
                f"the private cluster was made by PostgreSQL {data_major}, which is not installed "
                f"(found: {have}): {install_command(data_major)}"
            )
    else:
        matching = [each for each in found if each.major >= OLDEST_MAJOR]
        if not matching:
            have = ", ".join(each.version for each in found) or "none"
            raise UsageError(
                f"PostgreSQL {OLDEST_MAJOR} or newer is needed (found: {have}): {install_command()}"
            )
    for installation in matching:
        if not with_postgis or not installation.missing_extensions():
            return installation
    newest = matching[0]
    raise UsageError(
        f"PostGIS for PostgreSQL {newest.major} is not complete ({'; '.join(newest.missing_extensions())}): "
        f"{install_command(newest.major)}"
    )


def find_installations(extensions: Path | None = None) -> list[Installation]:
    """Every PostgreSQL server found, each once, whatever its version."""
    found: dict[Path, Installation] = {}
    for folder in _program_folders():
        try:
            resolved = folder.resolve(strict=True)
        except OSError:
            continue
        if resolved in found or not all(os.access(resolved / name, os.X_OK) for name in NEEDED_PROGRAMS):
            continue
        version = _server_version(resolved / "postgres")
        if version is not None:
            major = _numbers(version)[0]
            found[resolved] = Installation(
                major, version, resolved, extensions or _extension_folder(resolved, major)
            )
    return list(found.values())


def install_command(major: int | None = None) -> str:
    """The advice that installs PostgreSQL with PostGIS on Debian and Ubuntu."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    packages = (
        f"postgresql-{major} postgresql-{major}-postgis-3" if major else "postgresql postgresql-postgis"
    )
    return f"run `{sudo}apt-get install {packages}`"


def _program_folders() -> Iterator[Path]:
    yield from Path("/usr/lib/postgresql").glob("*/bin")  # Debian, Ubuntu
    yield from Path("/usr").glob("pgsql-*/bin")  # PostgreSQL's own packages for Red Hat
    for name in NEEDED_PROGRAMS:
        program = shutil.which(name)
        if program is not None:
            yield Path(program).resolve().parent
    answer = _output("pg_config", "--bindir")
    if answer is not None:
        yield Path(answer)


def _extension_folder(programs: Path, major: int) -> Path | None:
    candidates = [
        programs.parent / "share" / "extension",
        programs.parent / "share" / "postgresql" / "extension",
        Path(f"/usr/share/postgresql/{major}/extension"),
    ]
    share = _output(str(programs / "pg_config"), "--sharedir")
    if share is not None:
        candidates.insert(0, Path(share) / "extension")
    return next((folder for folder in candidates if (folder / "plpgsql.control").exists()), None)


def _server_version(program: Path) -> str | None:
    answer = _output(str(program), "--version") or ""
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", answer)
    return found.group(1) if found else None


def _output(*command: str) -> str | None:
    """What a program prints; None when it is missing or fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
