"""Scenes as catalogues have them: GeoTIFFs of a square kilometre of made-up ground, and items about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine

from tests.ingest_files import write_tiff

Item = dict[str, Any]

WEST, NORTH, EPSG = 500_000.0, 4_860_000.0, 32645
SIZE_PX, PIXEL_M = 40, 10.0
BANDS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"}
PLAIN = {"sensor": "gf2_pms", "level": "digital_number"}
"""Options of a source whose GeoTIFFs are plain ones of four bands."""


def place(east_m: float = 0.0) -> Affine:
    return Affine(PIXEL_M, 0.0, WEST + east_m, 0.0, -PIXEL_M, NORTH)


def ground(east_m: float = 0.0) -> shapely.Polygon:
    """Outline of a scene, EPSG:4326."""
    side = SIZE_PX * PIXEL_M
    box = shapely.box(WEST + east_m, NORTH - side, WEST + east_m + side, NORTH)
    to_degrees = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True)
    return shapely.transform(box, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))


def pixels(bands: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1000, 3000, (bands, SIZE_PX, SIZE_PX)).astype(np.uint16)


def plain_tiff(path: Path, seed: int = 1, east_m: float = 0.0) -> Path:
    """A GeoTIFF of four bands that nothing describes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tiff(path, pixels(4, seed), crs=f"EPSG:{EPSG}", transform=place(east_m))


def described_tiff(path: Path, seed: int = 1, east_m: float = 0.0, day: str = "2021-06-19") -> Path:
    """A GeoTIFF with the TOML file beside it that says what it is."""
    plain_tiff(path, seed, east_m)
    path.with_suffix(".toml").write_text(
        f'sensor = "gf2_pms"\nacquired = {day}\nproduct = "{path.stem}"\n'
        'level = "surface_reflectance"\nscale = 0.0001\n'
        'bands = [{name = "B1"}, {name = "B2"}, {name = "B3"}, {name = "B4"}]\n'
    )
    return path


def multihash(path: Path) -> str:
    """SHA-256 of a file as the file extension of STAC states it."""
    return "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def sentinel_item(
    folder: Path, name: str, seed: int = 1, *, east_m: float = 0.0, day: str = "2023-05-16",
    cloud: float = 5.0, collection: str = "sentinel-2-l2a", updated: str | None = None,
    with_checksum: bool = True,
) -> Item:  # fmt: skip
    """A Sentinel-2 item whose four images are written to a folder of its name, and the item beside them."""
    place_of_item = folder / name
    place_of_item.mkdir(parents=True, exist_ok=True)
    assets: Item = {}
    for number, (band, key) in enumerate(BANDS.items()):
        path = write_tiff(
            place_of_item / f"{band}.tif", pixels(1, 10 * seed + number), crs=f"EPSG:{EPSG}",
            transform=place(east_m), nodata=0,
        )  # fmt: skip
        assets[key] = {
            "href": f"./{band}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": key, "common_name": key}],
            "raster:bands": [{"nodata": 0, "spatial_resolution": 10, "scale": 0.0001, "offset": -0.1}],
            **({"file:checksum": multihash(path), "file:size": path.stat().st_size} if with_checksum else {}),
        }
    outline = ground(east_m)
    item: Item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": json.loads(shapely.to_geojson(outline)),
        "bbox": list(outline.bounds),
        "properties": {
            "datetime": f"{day}T05:23:40.123Z",
            "platform": "sentinel-2b",
            "constellation": "sentinel-2",
            "eo:cloud_cover": cloud,
            "view:sun_azimuth": 145.5,
            "view:sun_elevation": 59.75,
            "s2:processing_baseline": "05.09",
            **({} if updated is None else {"updated": updated}),
        },
        "links": [],
        "assets": assets,
    }
    write_item(folder, item)
    return item


def write_item(folder: Path, item: Item) -> Path:
    path = folder / str(item["id"]) / "item.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item))
    return path


def plain_item(folder: Path, name: str, seed: int = 1, *, day: str = "2021-06-19") -> Item:
    """An item of one plain GeoTIFF."""
    path = plain_tiff(folder / name / "image.tif", seed)
    item: Item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": json.loads(shapely.to_geojson(ground())),
        "bbox": list(ground().bounds),
        "properties": {"datetime": f"{day}T00:00:00Z"},
        "links": [],
        "assets": {
            "data": {"href": "./image.tif", "type": "image/tiff; application=geotiff", "roles": ["data"],
                     "file:checksum": multihash(path)},
            "thumbnail": {"href": "./t.tif", "type": "image/tiff", "roles": ["thumbnail"]},
        },
    }  # fmt: skip
    write_item(folder, item)
    return item


def write_catalogue(
    folder: Path, items: Sequence[str], *, name: str = "catalog.json", more: Sequence[Item] = ()
) -> Path:
    """A static catalogue with a collection below it that holds items by name; ``more`` links of the root."""
    links: list[Item] = [
        {"rel": "root", "href": f"./{name}"},
        {"rel": "child", "href": "./collection.json"},
    ]
    root = {
        "type": "Catalog",
        "id": "test",
        "stac_version": "1.0.0",
        "description": "A catalogue of a test",
        "links": [*links, *more],
    }
    collection = {
        "type": "Collection",
        "id": "sentinel-2-l2a",
        "stac_version": "1.0.0",
        "description": "Its collection",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": [
            {"rel": "root", "href": f"./{name}"},
            {"rel": "parent", "href": f"./{name}"},
            *({"rel": "item", "href": f"./{each}/item.json"} for each in items),
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collection.json").write_text(json.dumps(collection))
    (folder / name).write_text(json.dumps(root))
    return folder / name
