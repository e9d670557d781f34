"""Which product a package holds: every reader says what it finds, and there must be exactly one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

from db.errors import UsageError
from ingest.products import cresda, described, enmap, landsat, sentinel2, stac
from ingest.products.package import Package
from ingest.products.product import Product


class Reader(NamedTuple):
    """A product reader.

    ``find`` lists the files that say such a product is here, by content and without reading pixels; ``read``
    reads the product that one of them speaks of.
    """

    family: str
    find: Callable[[Package], list[str]]
    read: Callable[[Package, str], Product]


READERS = (
    Reader("Sentinel-2 SAFE", sentinel2.find, sentinel2.read),
    Reader("Landsat 8/9 Collection 2", landsat.find, landsat.read),
    Reader("Gaofen or Ziyuan", cresda.find, cresda.read),
    Reader("EnMAP", enmap.find, enmap.read),
    Reader("STAC item", stac.find, stac.read),
    Reader("GeoTIFF described by a TOML file", described.find, described.read),
)


def read_product(package: Package) -> Product:
    """Recognise the product of a package and read what its side files say.

    Raises:
        UsageError: there is none, there are several, or it is not complete or wrong.

    """
    found = [(reader, path) for reader in READERS for path in reader.find(package)]
    if package.named is not None:
        found = _of_named(found, package.named)
    if len(found) == 1:
        reader, path = found[0]
        return reader.read(package, path)
    if not found:
        raise UsageError(
            f"{package.name}: is no product that is known "
            f"({', '.join(reader.family for reader in READERS)}); a plain GeoTIFF needs --sensor and "
            "--acquired-on, or a TOML file of the same name beside it"
        )
    names = [PurePosixPath(path).stem for _, path in found[:6]]
    listed = ", ".join(names) + (", ..." if len(found) > 6 else "")
    raise UsageError(
        f"{package.name}: holds {len(found)} products; bring in one after the other by naming a file of "
        "each: "
        f"{listed}"
    )


def _of_named(found: list[tuple[Reader, str]], named: str) -> list[tuple[Reader, str]]:
    """The products that a named file belongs to: its own, or those whose name its name begins with."""
    own = [each for each in found if each[1] == named]
    if own:
        return own
    name = PurePosixPath(named).name
    return [each for each in found if name.startswith(PurePosixPath(each[1]).stem.removesuffix("_MTL"))]
