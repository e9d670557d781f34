"""Products in a folder that others write into: packages, archives, GeoTIFFs with what describes them.

A folder that holds one product, and no archive or plain GeoTIFF that is another, is that product. In any
other folder each archive and each file that readers of products know stands for itself. So does each plain
GeoTIFF where the source says what those are.
What was touched a moment ago is still being written, and is left for the next time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path, PurePosixPath

from db.errors import UsageError
from db.ingest_items import LONGEST_KEY, Found
from ingest.files import SourceFile
from ingest.products import enmap
from ingest.products.belonging import own_names, product_stem, stated_paths
from ingest.products.gathering import gather
from ingest.products.package import Package
from ingest.products.recognition import READERS
from ingest.products.sentinel2 import GRANULES, is_metadata_name
from ingest.sources.listing import Refused, Unsettled
from ingest.sources.web import Beat

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IMAGES = (".tif", ".tiff")
_HALF_WRITTEN = (".part", ".partial", ".tmp", ".crdownload", ".filepart")
DEEPEST = 8
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?([01]\d)[-_]?([0-3]\d)(?!\d)")


def source_folder(location: str, roots: Sequence[Path]) -> Path:
    """The folder of a source.

    Raises:
        UsageError: there is none, or it lies outside the roots.

    """
    folder = Path(location)
    try:
        resolved = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{location}: cannot be found: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not resolved.is_dir():
        raise UsageError(f"{location}: is no folder")
    if roots and not any(resolved.is_relative_to(root) for root in roots):
        raise UsageError(
            f"{location}: lies outside the folders that may be read (LODE_ALLOWED_ROOTS): "
            + ", ".join(map(str, roots))
        )
    return resolved


def day_in(name: str) -> date | None:
    """The first day in a file's name, as 20230516, 2023-05-16 or 2023_05_16; None where there is none."""
    for year, month, day in _DAY.findall(name):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def folder_items(
    location: str, roots: Sequence[Path], *, settle_s: int, takes_plain: bool, beat: Beat
) -> Iterator[Found | Refused | Unsettled]:
    """List the products in a folder.

    Args:
        location: the folder.
        roots: folders that files must lie in; empty: the folder itself.
        settle_s: what changed within so many seconds is still being written.
        takes_plain: whether GeoTIFFs that nothing describes count, because the source says what they are.
        beat: takes how many products were seen.

    Yields:
        Products, what is still being written, and what cannot be read.

    Raises:
        UsageError: the folder cannot be read.

    """
    top = source_folder(location, roots)
    inside = tuple(roots) or (top,)
    for count, found in enumerate(_within(top, top, inside, settle_s, takes_plain, 0), 1):
        beat("looking through the folder", count, 0)
        yield found


def _within(
    folder: Path, top: Path, roots: Sequence[Path], settle_s: int, takes_plain: bool, depth: int
) -> Iterator[Found | Refused | Unsettled]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Refused(f"{_relative(folder, top)}: cannot be read: {error.strerror}")
        return
    listed = [entry for entry in entries if _is_plain(entry.name)]
    files = _files(listed, roots)
    told = set()
    for named in _products(folder, files):
        if isinstance(named, Refused):
            yield named
            continue
        own = _belonging(named, files)
        told |= own
        paths = [files[each].path for each in own]
        yield _found(Path(folder, named), top, paths, settle_s, href=_standing_for(named, own))
    for name, file in files.items():
        if name not in told and _stands_alone(name, takes_plain):
            yield _found(Path(folder, name), top, [file.path], settle_s)
    for entry in listed:
        if entry.is_dir() and depth < DEEPEST and _is_inside(Path(entry.path), roots):
            yield from _subfolder(Path(entry.path), top, roots, settle_s, takes_plain, depth + 1)


def _subfolder(
    folder: Path, top: Path, roots: Sequence[Path], settle_s: int, takes_plain: bool, depth: int
) -> Iterator[Found | Refused | Unsettled]:
    """A folder below: one product, or a place where several lie."""
    try:
        package = gather(str(folder), roots, folder)
        products = [path for reader in READERS for path in reader.find(package)]
    except UsageError:
        products, package = [], None
    is_own = len(products) == 1 and "/" not in products[0] and not products[0].endswith(".toml")
    if is_own and package is not None and not _others(products[0], package.files, takes_plain):
        paths = [folder, *(file.path for file in package.files.values())]
        yield _found(folder, top, paths, settle_s, names=list(package.files))
        return
    yield from _within(folder, top, roots, settle_s, takes_plain, depth)


def _is_plain(name: str) -> bool:
    return not name.startswith((".", "~")) and not name.lower().endswith(_HALF_WRITTEN) and name.isprintable()


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return any(resolved.is_relative_to(root) for root in roots)


def _stands_alone(name: str, takes_plain: bool) -> bool:
    """Whether a file that belongs to no product is one."""
    lowered = name.lower()
    return lowered.endswith(ARCHIVES) or (takes_plain and lowered.endswith(IMAGES))


def _others(named: str, files: Mapping[str, SourceFile], takes_plain: bool) -> bool:
    """Whether archives or plain images that are none of its own lie in the folder of one product."""
    is_tiled = named in files and enmap.is_tile(named, files[named])
    for path in files.keys() - _belonging(named, files):
        is_listed = all(map(_is_plain, path.split("/"))) and _stands_alone(path, takes_plain)
        # One tile stands for all.
        if is_listed and not (is_tiled and enmap.is_tile(path, files[path])):
            return True
    return False


def _files(entries: Sequence[os.DirEntry[str]], roots: Sequence[Path]) -> dict[str, SourceFile]:
    """Regular files that lie inside the roots, links followed."""
    found = {}
    for entry in entries:
        try:
            is_file = entry.is_file()
            facts = entry.stat() if is_file else None
        except OSError:
            continue
        if facts is not None and _is_inside(Path(entry.path), roots):
            path = Path(entry.path).resolve()
            found[entry.name] = SourceFile(path, entry.name, facts.st_size, (facts.st_ino, facts.st_mtime_ns))
    return found


def _products(folder: Path, files: dict[str, SourceFile]) -> Iterator[str | Refused]:
    """The files of this very folder that stand for a product, and why a reader cannot tell."""
    package = Package(folder.name, folder, files)
    for reader in READERS:
        try:
            yield from (path for path in reader.find(package) if "/" not in path)
        except UsageError as error:
            yield Refused(str(error))
        except OSError as error:
            yield Refused(f"{error.filename or folder.name}: cannot be read: {error.strerror}")


def _belonging(named: str, files: Mapping[str, SourceFile]) -> set[str]:
    """What is of a product: what lies beside its file and has its name in front, and what that names."""
    own = own_names(named, [path for path in files if "/" not in path])
    for name in tuple(own):
        own |= stated_paths(name, files[name]) & files.keys()
    if is_metadata_name(named):
        own |= {path for path in files if path.startswith(f"{GRANULES}/")}
    return own


def _standing_for(named: str, own: set[str]) -> str:
    """A product's own file: readers may list one that is not there, because each part has its own."""
    sides = sorted(name for name in own if name.lower().endswith(".xml"))
    if named in own or not sides:
        return named
    return next((name for name in sides if product_stem(name) == PurePosixPath(named).stem), sides[0])


def _found(
    path: Path,
    top: Path,
    paths: Sequence[Path],
    settle_s: int,
    *,
    names: Sequence[str] = (),
    href: str | None = None,
) -> Found | Refused | Unsettled:
    key = _relative(path, top)
    place = key if href is None else _relative(path.with_name(href), top)
    if len(key) > LONGEST_KEY:
        return Refused(f"{key[:80]}...: this path is too long")
    lines = []
    newest = 0.0
    try:
        for each in paths:
            facts = each.stat()
            # Every write sets ctime, also of a folder when entries come; unlike mtime nobody can set it.
            newest = max(newest, facts.st_ctime)
            if not each.is_dir():
                lines.append(f"{each.name} {facts.st_size} {facts.st_mtime_ns}")
    except OSError:
        return Unsettled(key)
    if time.time() - newest < settle_s:
        return Unsettled(key)
    text = "\n".join(sorted(lines) + sorted(names) + ([place] if place != key else []))
    mark = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return Found(key, mark, place)


def _relative(path: Path, top: Path) -> str:
    return path.relative_to(top).as_posix() if path != top else "."
