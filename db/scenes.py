"""The catalogue of scenes: all SQL about ``lode.scene``.

A product may come again with other content or another declaration: that is a new version, and the old one is
superseded by it. At most one version of a product counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from datetime import date, datetime
from typing import Any

import shapely
from psycopg import Connection
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.raster import Grid, RasterReader

PIXEL_TYPES: dict[str, str] = {
    "uint8": "8BUI",
    "uint16": "16BUI",
    "int16": "16BSI",
    "uint32": "32BUI",
    "int32": "32BSI",
    "float32": "32BF",
    "float64": "64BF",
}
"""PostGIS pixel type of each numpy type that is stored."""

LISTED = 10

_SELECT = """
select
  s.scene_id, s.product, s.version, e.key, s.acquired_on, s.srid, s.origin_x, s.origin_y, s.resolution_m,
  s.resolution_y_m, s.width_px, s.height_px, s.band_names, s.pixel_type, s.nodata, s.value_offset,
  s.value_scale, s.processing_level, s.valid_fraction, s.sha256, s.source_name, s.tile_table, s.tile_px,
  s.superseded_by, s.steps, st_asbinary(s.footprint), s.cloud_fraction, st_asbinary(s.clouded),
  st_asbinary(s.filled), s.acquired_at, s.sun_azimuth_deg, s.sun_elevation_deg, s.view_zenith_deg,
  s.view_azimuth_deg, s.parts, s.product_metadata
from lode.scene s join lode.sensor e on e.sensor_id = s.sensor_id
where """

_INSERT = """
insert into lode.scene (
  scene_id, product, version, sensor_id, acquired_on, footprint, srid, origin_x, origin_y, resolution_m,
  resolution_y_m, width_px, height_px, band_names, pixel_type, nodata, value_offset, value_scale,
  processing_level, valid_fraction, sha256, source_name, steps, tile_table, tile_px, cloud_fraction, clouded,
  filled, acquired_at, sun_azimuth_deg, sun_elevation_deg, view_zenith_deg, view_azimuth_deg, parts,
  product_metadata
)
select
  %(scene_id)s, %(product)s, coalesce(max(version), 0) + 1, %(sensor_id)s, %(acquired_on)s,
  st_geomfromwkb(%(footprint)s, 4326), %(srid)s, %(origin_x)s, %(origin_y)s, %(resolution_x)s,
  %(resolution_y)s, %(width_px)s, %(height_px)s, %(band_names)s, %(pixel_type)s, %(nodata)s,
  %(value_offset)s, %(value_scale)s, %(processing_level)s, %(valid_fraction)s, %(sha256)s,
  %(source_name)s, %(steps)s, %(tile_table)s, %(tile_px)s, %(cloud_fraction)s,
  st_geomfromwkb(%(clouded)s, 4326), st_geomfromwkb(%(filled)s, 4326), %(acquired_at)s,
  %(sun_azimuth_deg)s, %(sun_elevation_deg)s, %(view_zenith_deg)s, %(view_azimuth_deg)s, %(parts)s,
  %(product_metadata)s
from lode.scene where product = %(product)s
returning version
"""


_INSERT_BAND = """
insert into lode.scene_band (scene_id, position, name, common_name, center_nm, width_nm, fault)
values (%s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True)
class SceneBand:
    """A band of a scene: name, shared name, centre and width in nm, and why it is not to be used."""

    name: str
    common_name: str | None = None
    center_nm: float | None = None
    width_nm: float | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Acquisition:
    """When and from where a scene was taken, as its product says; None where it does not.

    Azimuths in degrees from north over east; the sun's elevation from the horizon, the view's zenith angle
    from nadir. ``acquired_at`` has a time zone.
    """

    acquired_at: datetime | None = None
    sun_azimuth_deg: float | None = None
    sun_elevation_deg: float | None = None
    view_zenith_deg: float | None = None
    view_azimuth_deg: float | None = None


@dataclass(frozen=True)
class Scene:
    """A scene of the catalogue.

    Meaning of its pixels: (stored value + value_offset) * value_scale, in the unit of processing_level.

    Attributes:
        scene_id: key.
        product, version: name, and which version of it.
        sensor: key of the instrument.
        acquired_on: day of acquisition (UTC).
        grid: grid of the pixels; resolutions in units of its CRS, metres for UTM.
        band_names: names of the bands in stored order.
        pixel_type: PostGIS pixel type, e.g. ``16BUI``.
        nodata: value of pixels without data, or None.
        value_offset, value_scale, processing_level: meaning of the pixels.
        valid_fraction: share of the grid that holds data in at least one band, 0..1.
        sha256, source_name: the file it came from.
        tile_table, tile_px: where its tiles lie in schema ``lode_raster``, and their edge in pixels.
        superseded_by: the scene that replaced this one; None while it counts.
        steps: what was done to the pixels before storing.
        footprint: outline of the valid pixels, MultiPolygon, EPSG:4326.
        cloud_fraction: share of the valid pixels under cloud or shadow, 0..1; None when nobody said.
        clouded: that cloud and shadow, which count as not observed, EPSG:4326; None when there is none.
        filled: the part of it whose pixels were estimated from a clear date; None when there is none.
        acquisition: moment and directions.
        parts: files of the package (name, size_bytes, sha256); empty for a single file.
        product_metadata: what the product's side files say.

    """

    scene_id: int
    product: str
    version: int
    sensor: str
    acquired_on: date
    grid: Grid
    band_names: tuple[str, ...]
    pixel_type: str
    nodata: float | None
    value_offset: float
    value_scale: float
    processing_level: str
    valid_fraction: float
    sha256: str
    source_name: str
    tile_table: str
    tile_px: int
    superseded_by: int | None
    steps: tuple[Mapping[str, Any], ...]
    footprint: shapely.MultiPolygon
    cloud_fraction: float | None
    clouded: shapely.MultiPolygon | None
    filled: shapely.MultiPolygon | None
    acquisition: Acquisition
    parts: tuple[Mapping[str, Any], ...]
    product_metadata: Mapping[str, Any]

    @property
    def year(self) -> int:
        """Year of acquisition."""
        return self.acquired_on.year


@dataclass(frozen=True)
class NewScene:
    """What the catalogue needs to know of a scene; fields as in ``Scene``.

    ``bands`` are entered into ``lode.scene_band``; empty where nothing but their names is known.
    """

    product: str
    sensor_id: int
    acquired_on: date
    grid: Grid
    band_names: tuple[str, ...]
    dtype_name: str
    nodata: float | None
    value_offset: float
    value_scale: float
    processing_level: str
    valid_fraction: float
    sha256: str
    source_name: str
    tile_px: int
    steps: Sequence[Mapping[str, Any]]
    footprint: shapely.MultiPolygon
    cloud_fraction: float | None = None
    clouded: shapely.MultiPolygon | None = None
    filled: shapely.MultiPolygon | None = None
    acquisition: Acquisition = Acquisition()
    parts: Sequence[Mapping[str, Any]] = ()
    product_metadata: Mapping[str, Any] = field(default_factory=dict)
    bands: Sequence[SceneBand] = ()


def _scene(row: Sequence[Any]) -> Scene:
    (scene_id, product, version, sensor, acquired_on, *numbers) = row[:12]
    (bands, pixel_type, nodata, offset, scale, level, valid, sha256, source) = row[12:21]
    (table, tile_px, superseded_by, steps, footprint, cloud_fraction, clouded, filled) = row[21:29]
    (*acquisition, parts, metadata) = row[29:]
    return Scene(
        scene_id,
        product,
        version,
        sensor,
        acquired_on,
        Grid(*numbers),
        tuple(bands),
        pixel_type,
        nodata,
        offset,
        scale,
        level,
        valid,
        sha256,
        source,
        table,
        tile_px,
        superseded_by,
        tuple(steps),
        shapely.from_wkb(footprint),
        cloud_fraction,
        None if clouded is None else shapely.from_wkb(clouded),
        None if filled is None else shapely.from_wkb(filled),
        Acquisition(*acquisition),
        tuple(parts),
        metadata,
    )


def scene_by_id(conn: Connection[Any], scene_id: int) -> Scene:
    """Find a scene by its key.

    Raises:
        UsageError: there is none.

    """
    row = conn.execute(_SELECT + "s.scene_id = %s", (scene_id,)).fetchone()
    if row is None:
        raise UsageError(f"there is no scene {scene_id}")
    return _scene(row)


def current_scene(conn: Connection[Any], product: str) -> Scene | None:
    """Find the version of a product that counts; None when there is none."""
    row = conn.execute(
        _SELECT + "s.product = %s and s.superseded_by is null",
        (product,),
    ).fetchone()
    return None if row is None else _scene(row)


def scene_by_product(conn: Connection[Any], product: str) -> Scene:
    """Find the version of a product that counts.

    Raises:
        UsageError: there is none; the message lists what there is.

    """
    found = current_scene(conn, product)
    if found is not None:
        return found
    names = [scene.product for scene in list_scenes(conn)]
    if not names:
        raise UsageError(f"there is no scene {product!r}, nor any other: bring one with `lode ingest scene`")
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    raise UsageError(f"there is no scene {product!r}; there are: {', '.join(names[:LISTED])}{more}")


def list_scenes(
    conn: Connection[Any], *, years: Sequence[int] | None = None, sensor: str | None = None
) -> list[Scene]:
    """List the scenes that count, by day of acquisition and product.

    Args:
        conn: connection.
        years: only scenes of these years.
        sensor: only scenes of this instrument (key).

    """
    rows = conn.execute(
        _SELECT + "s.superseded_by is null"
        " and (%(years)s::integer[] is null or extract(year from s.acquired_on) = any(%(years)s::integer[]))"
        " and (%(sensor)s::text is null or e.key = %(sensor)s)"
        " order by s.acquired_on, s.product",
        {"years": None if years is None else list(years), "sensor": sensor},
    ).fetchall()
    return [_scene(row) for row in rows]


def current_products_of_content(conn: Connection[Any], sha256: str) -> list[str]:
    """Name the products whose counting version came from a file of this content."""
    rows = conn.execute(
        "select product from lode.scene where sha256 = %s and superseded_by is null order by product",
        (sha256,),
    )
    return [row[0] for row in rows]


def open_scene(conn: Connection[Any], scene: Scene) -> RasterReader:
    """Open the tiles of a scene for reading windows."""
    return RasterReader(conn, scene.tile_table)


def is_known_srid(conn: Connection[Any], srid: int) -> bool:
    """Whether PostGIS knows an EPSG code."""
    return conn.execute("select from spatial_ref_sys where srid = %s", (srid,)).fetchone() is not None


def reserve_scene_id(conn: Connection[Any]) -> int:
    """Take the key of a scene whose tiles are still to be written; a rollback leaves a gap, no more."""
    row = conn.execute("select nextval(pg_get_serial_sequence('lode.scene', 'scene_id'))").fetchone()
    if row is None:
        raise RuntimeError("lode.scene has no sequence")
    return int(row[0])


def tile_table_of(scene_id: int) -> str:
    """Name of a scene's tile table in schema ``lode_raster``."""
    return f"scene_{scene_id}"


def insert_scene(conn: Connection[Any], scene_id: int, scene: NewScene, *, replaces: Scene | None) -> int:
    """Enter a scene into the catalogue; an older version is superseded by it.

    What else points to the older version (labels, derived areas) is the caller's to move or derive again.

    Args:
        conn: connection inside the transaction that writes the tiles.
        scene_id: key from ``reserve_scene_id``.
        scene: the scene.
        replaces: the version that counted until now.

    Returns:
        The version.

    """
    if replaces is not None:
        conn.execute(
            "update lode.scene set superseded_by = %s where scene_id = %s", (scene_id, replaces.scene_id)
        )
    values = {
        **{each.name: getattr(scene, each.name) for each in fields(scene)},
        **{each.name: getattr(scene.grid, each.name) for each in fields(scene.grid)},
        **asdict(scene.acquisition),
        "scene_id": scene_id,
        "band_names": list(scene.band_names),
        "pixel_type": PIXEL_TYPES[scene.dtype_name],
        "footprint": shapely.to_wkb(scene.footprint),
        "clouded": None if scene.clouded is None else shapely.to_wkb(scene.clouded),
        "filled": None if scene.filled is None else shapely.to_wkb(scene.filled),
        "steps": Jsonb(list(scene.steps)),
        "parts": Jsonb(list(scene.parts)),
        "product_metadata": Jsonb(dict(scene.product_metadata)),
        "tile_table": tile_table_of(scene_id),
    }
    row = conn.execute(_INSERT, values).fetchone()
    if row is None:
        raise RuntimeError("the scene was not inserted")
    with conn.cursor() as cursor:
        cursor.executemany(
            _INSERT_BAND, [(scene_id, place, *astuple(band)) for place, band in enumerate(scene.bands, 1)]
        )
    return int(row[0])
