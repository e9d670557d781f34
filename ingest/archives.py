"""Shapefiles: several files that count as one, loose or in a zip archive.

Their parts are gathered in a private folder under plain names, so that GDAL sees exactly the parts that were
checked: no index, no side file and no path of the archive's choice.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from db.errors import UsageError
from ingest.files import SourceFile, source_file
from ingest.unpacking import SHAPEFILES, check_zip, unpack_entry

PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
NEEDED = (".shp", ".shx", ".dbf")

MEASURED_TYPES = tuple(kind.to_bytes(4, "little") for kind in (21, 23, 25, 28))
"""Point, line, polygon and multipoint with M values."""


def gather_loose(file: SourceFile, roots: Sequence[Path], folder: Path) -> tuple[Path, str]:
    """Gather the parts that lie beside a ``.shp``.

    Args:
        file: the ``.shp``.
        roots: folders that parts must lie in too, after following links.
        folder: private folder.

    Returns:
        The ``.shp`` in the private folder, and the SHA-256 of all parts.

    Raises:
        UsageError: a needed part is missing, or a part may not be read.

    """
    found: dict[str, SourceFile] = {".shp": file}
    for sibling in file.path.parent.iterdir():
        suffix = sibling.suffix.lower()
        if sibling.stem == file.path.stem and suffix in PARTS and suffix != ".shp":
            found[suffix] = _part(sibling, roots)
    _check_needed(found, file.name)
    digest = hashlib.sha256()
    for suffix in PARTS:
        if suffix in found:
            (folder / f"source{suffix}").symlink_to(found[suffix].path)
            digest.update(f"{suffix} {found[suffix].sha256()}\n".encode())
    return folder / "source.shp", digest.hexdigest()


def _part(sibling: Path, roots: Sequence[Path]) -> SourceFile:
    if sibling.suffix.lower() == ".cpg" and sibling.stat().st_size == 0:
        raise UsageError(f"{sibling.name}: the file is empty (0 bytes); remove it or name the encoding in it")
    return source_file(sibling, roots)


def _check_needed(found: Mapping[str, object], name: str) -> None:
    missing = [suffix for suffix in NEEDED if suffix not in found]
    if missing:
        raise UsageError(f"{name}: the shapefile is not whole, {' and '.join(missing)} is missing")


def has_measures(path: Path) -> bool:
    """Whether the shapes of a ``.shp`` have M values, which GDAL's Python bindings drop without a word.

    Source: ESRI Shapefile Technical Description (1998), shape type at byte 32.
    """
    with path.open("rb") as stream:
        return stream.read(36)[32:36] in MEASURED_TYPES


def gather_zipped(file: SourceFile, layer: str | None, folder: Path) -> Path:
    """Unpack the parts of a shapefile from a zip archive.

    Args:
        file: the archive.
        layer: which shapefile (its name without ending) when there are several.
        folder: private folder.

    Returns:
        The ``.shp`` in the private folder.

    Raises:
        UsageError: the archive is damaged, encrypted, suspicious, or has no (or no single) shapefile.

    """
    try:
        with zipfile.ZipFile(file.path) as archive:
            entries = archive.infolist()
            check_zip(entries, file, SHAPEFILES)
            parts = _choose(entries, layer, file.name)
            left = SHAPEFILES.bytes
            for suffix, entry in parts.items():
                with archive.open(entry) as source:
                    target = folder / f"source{suffix}"
                    left -= unpack_entry(source, target, entry.file_size, left, entry.filename, file)
    # NotImplementedError is zipfile's word for a method of compression that it does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UsageError(
            f"{file.name}: the zip archive is damaged or of an unsupported kind: {error}"
        ) from None
    return folder / "source.shp"


def _choose(entries: Sequence[zipfile.ZipInfo], layer: str | None, name: str) -> dict[str, zipfile.ZipInfo]:
    shapefiles: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.suffix.lower() in PARTS and "__MACOSX" not in path.parts and not path.name.startswith("."):
            shapefiles.setdefault(str(path.with_suffix("")), {})[path.suffix.lower()] = entry
    shapefiles = {stem: parts for stem, parts in shapefiles.items() if ".shp" in parts}
    stems = {PurePosixPath(stem).name: stem for stem in shapefiles}
    if not shapefiles:
        raise UsageError(f"{name}: there is no shapefile in it; unpack it and name the file inside")
    if layer is None and len(shapefiles) > 1:
        raise UsageError(
            f"{name}: holds several shapefiles, choose one with --layer: {', '.join(sorted(stems))}"
        )
    if layer is not None and layer not in stems:
        raise UsageError(f"{name}: holds no shapefile {layer!r}; there are: {', '.join(sorted(stems))}")
    parts = shapefiles[stems[layer]] if layer is not None else next(iter(shapefiles.values()))
    _check_needed(parts, name)
    return parts
