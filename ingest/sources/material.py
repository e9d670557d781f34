"""What an item of a source is made of: a product, or a GeoTIFF with a statement, as ingest takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

import shapely
from pyproj import Transformer

from db.errors import UsageError
from db.ingest_items import Claim, Facts
from db.ingest_sources import IngestSource
from ingest.declaration import Statement
from ingest.files import SourceFile, source_file
from ingest.opening import open_raster, reading
from ingest.processing.treatment import Treatment
from ingest.products.gathering import gather
from ingest.products.product import Product
from ingest.products.recognition import read_product
from ingest.sources.catalogue import catalogue_io
from ingest.sources.folder import ARCHIVES, IMAGES, day_in, source_folder
from ingest.sources.item_files import ItemFiles
from ingest.sources.options import SceneOptions
from ingest.sources.settings import SourceSettings
from ingest.sources.stac_io import GuardedIO
from ingest.sources.stac_items import found_item, item_key, polygons_of
from ingest.sources.web import LARGEST_ITEM_BYTES, Beat, Web, is_web, parse_json, shown

_EDGE_POINTS = 20


@dataclass(frozen=True)
class Material:
    """What is to be ingested: a product, or a file with a statement.

    Attributes:
        name: for messages and the catalogue.
        treatment: processing.
        facts: day, cloud and outline, as the files say them.
        product: the product.
        file, statement: the GeoTIFF and what it is.

    """

    name: str
    treatment: Treatment
    facts: Facts
    product: Product | None = None
    file: SourceFile | None = None
    statement: Statement | None = None


def material_of(
    source: IngestSource,
    claim: Claim,
    options: SceneOptions,
    settings: SourceSettings,
    roots: tuple[Path, ...],
    cache: Path,
    workspace: Path,
    count: Callable[[int], None],
    beat: Beat,
) -> tuple[Material, int]:
    """Fetch what is not here and read what the files say.

    Args:
        source: the source.
        claim: the item.
        options: what is to be done with scenes of the source.
        settings: of fetching.
        roots: folders that files must lie in; empty: any.
        cache: the item's own folder, which files are fetched into.
        workspace: private folder for what is unpacked.
        count: takes the bytes that lie here.
        beat: takes progress.

    Returns:
        The material, and its size in bytes.

    Raises:
        RetryError: the server, the network or the disk were in the way.
        UsageError: the item is refused.

    """
    if source.kind == "folder":
        return _of_folder(source, claim, options, roots, workspace)
    web = Web(settings, source.location, beat)
    is_here = source.kind == "stac_catalogue" and not is_web(source.location)
    base = source_file(source.location, roots).path.parent if is_here else None
    io = catalogue_io(web, source.location, roots) if is_here else GuardedIO(web)
    item = _item(io, web, claim)
    found = found_item(item, claim.href)
    # Files of another version of the item, which an earlier attempt fetched, must not mix with these.
    place = cache / found.mark[:16]
    place.mkdir(exist_ok=True)
    files = ItemFiles(web, base, roots, count)
    if options.stated is None:
        folder = files.package(item, claim.href, place)
        # Roots hold what a user brings; what was fetched lies in a folder of our own.
        product = read_product(gather(str(folder), (*roots, cache.resolve()) if roots else (), workspace))
        return _of_product(product, folder.name, options), files.fetched_bytes
    if found.facts.acquired_on is None:
        raise UsageError(f"{claim.key}: does not say on which day it was taken")
    file = files.plain(item, claim.href, place, options.asset)
    statement = options.statement(str(item["id"]), found.facts.acquired_on)
    return _of_file(file, statement, options, found.facts.cloud_fraction), files.fetched_bytes


def _item(io: GuardedIO, web: Web, claim: Claim) -> dict[str, object]:
    """The item, read again where it was found."""
    if is_web(claim.href):
        text = web.text(claim.href, limit_bytes=LARGEST_ITEM_BYTES)
        item = parse_json(text, shown(claim.href))
    else:
        item = io.read_json(claim.href)
    if item_key(item, claim.href) != claim.key:
        raise UsageError(f"{claim.key}: another item lies where it was found: {item_key(item, claim.href)}")
    return item


def _of_folder(
    source: IngestSource, claim: Claim, options: SceneOptions, roots: tuple[Path, ...], workspace: Path
) -> tuple[Material, int]:
    top = source_folder(source.location, roots)
    path = top / claim.href
    inside = roots or (top,)
    name = PurePosixPath(claim.href).name
    is_plain = name.lower().endswith(IMAGES) and not path.with_suffix(".toml").exists()
    if is_plain and options.stated is not None and path.is_file():
        file = source_file(path, inside)
        day = day_in(name)
        if day is None:
            raise UsageError(
                f"{name}: its name holds no day (20230516 or 2023-05-16), and nothing else says it"
            )
        statement = options.statement(re.sub(r"\.tiff?$", "", name, flags=re.IGNORECASE), day)
        return _of_file(file, statement, options, None), file.size_bytes
    package = gather(str(path), inside, workspace)
    product = read_product(package)
    is_archive = name.lower().endswith(ARCHIVES) and path.is_file()
    size = path.stat().st_size if is_archive else sum(file.size_bytes for file in product.files)
    return _of_product(product, package.name, options), size


def _of_product(product: Product, name: str, options: SceneOptions) -> Material:
    part = product.parts[0]
    if part.corners is not None:
        outline = polygons_of(shapely.Polygon(part.corners))
    else:
        outline = _outline(part.layers[0].files[0])
    day: date = product.acquired_at.date()
    facts = Facts(day, outline, product.cloud_fraction)
    return Material(name, options.treatment, facts, product=product)


def _of_file(
    file: SourceFile, statement: Statement, options: SceneOptions, cloud_fraction: float | None
) -> Material:
    facts = Facts(statement.acquired_on, _outline(file), cloud_fraction)
    return Material(file.name, options.treatment, facts, file=file, statement=statement)


def _outline(file: SourceFile) -> shapely.MultiPolygon | None:
    """Outline of a raster, EPSG:4326; None where it is not georeferenced or its place is no place."""
    with open_raster(file) as dataset, reading(file):
        if dataset.crs is None or dataset.transform.is_identity:
            return None
        width, height, place, crs = dataset.width, dataset.height, dataset.transform, dataset.crs.to_wkt()
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    ring = shapely.segmentize(shapely.Polygon(corners), max(width, height) / _EDGE_POINTS)
    to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    points = [to_degrees.transform(*(place @ point)) for point in ring.exterior.coords]
    if not all(-180.0 <= x <= 180.0 and -90.0 <= y <= 90.0 for x, y in points):
        return None
    return polygons_of(shapely.Polygon(points))
