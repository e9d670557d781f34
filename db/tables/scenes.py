"""Satellites, their bands and calibration, and the catalogue of scenes."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index

sensor = Table(
    "sensor",
    metadata,
    key_column("sensor_id", "Key"),
    Column("key", Text, nullable=False, unique=True, comment="Short name used on the command line"),
    Column("name", Text, nullable=False, comment="Satellite and instrument"),
    Column("resolution_m", Double, nullable=False, comment="Nominal pixel size, m"),
    Column("source", Text, nullable=False, comment="Where the band figures are from"),
    schema=SCHEMA,
    comment="Satellite instruments",
)

sensor_band = Table(
    "sensor_band",
    metadata,
    key_column("sensor_band_id", "Key"),
    Column("sensor_id", ForeignKey(sensor.c.sensor_id), nullable=False, comment="The instrument"),
    Column("position", Integer, nullable=False, comment="Place in the product's own band order, from 1"),
    Column("name", Text, nullable=False, comment="Band name as scenes and models use it"),
    Column("common_name", Text, comment="Name shared between instruments (blue, red, nir, ...)"),
    Column("center_nm", Double, nullable=False, comment="Centre wavelength, nm"),
    Column("width_nm", Double, nullable=False, comment="Band width, nm"),
    CheckConstraint("center_nm > 0 and width_nm > 0", name="wavelength"),
    Index("sensor_band_position_idx", "sensor_id", "position", unique=True),
    Index("sensor_band_name_idx", "sensor_id", "name", unique=True),
    schema=SCHEMA,
    comment="Spectral bands of the instruments",
)

calibration = Table(
    "calibration",
    metadata,
    key_column("calibration_id", "Key"),
    Column("sensor_id", ForeignKey(sensor.c.sensor_id), nullable=False, comment="The instrument"),
    Column(
        "camera",
        Text,
        nullable=False,
        server_default=text("''"),
        comment="Which camera or satellite of the instrument, e.g. PMS1; empty when there is one",
    ),
    Column("band_name", Text, nullable=False, comment="Band name, as in sensor_band"),
    Column("year", Integer, nullable=False, comment="Year the coefficients hold for"),
    Column("gain", Double, nullable=False, comment="Radiance per digital number, W m-2 sr-1 um-1"),
    Column("offset", Double, nullable=False, comment="Radiance at digital number 0, W m-2 sr-1 um-1"),
    Column("esun", Double, comment="Exo-atmospheric solar irradiance in the band, W m-2 um-1"),
    Column("source", Text, nullable=False, comment="Where the coefficients were published"),
    CheckConstraint("gain > 0 and esun > 0", name="coefficients"),
    Index("calibration_camera_band_year_idx", "sensor_id", "camera", "band_name", "year", unique=True),
    schema=SCHEMA,
    comment="Radiometric coefficients by instrument, camera and year: radiance = gain * number + offset",
)

scene = Table(
    "scene",
    metadata,
    key_column("scene_id", "Key"),
    Column("product", Text, nullable=False, comment="Product name; versions of one product share it"),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="Counts up from 1"),
    Column("sensor_id", ForeignKey(sensor.c.sensor_id), nullable=False, comment="The instrument"),
    Column("acquired_on", Date, nullable=False, comment="Day of acquisition (UTC)"),
    moment_column("acquired_at", "Moment of acquisition (UTC), where known"),
    geometry_column("footprint", "MULTIPOLYGON", "Outline of the valid pixels, EPSG:4326"),
    geometry_column(
        "clouded", "MULTIPOLYGON", "Cloud and shadow, which count as not observed, EPSG:4326", nullable=True
    ),
    geometry_column(
        "filled",
        "MULTIPOLYGON",
        "Cloud and shadow whose pixels were estimated from a clear date; not observed, EPSG:4326",
        nullable=True,
    ),
    Column("srid", Integer, nullable=False, comment="EPSG code of the pixel grid"),
    Column("origin_x", Double, nullable=False, comment="West edge of the grid, units of srid"),
    Column("origin_y", Double, nullable=False, comment="North edge of the grid, units of srid"),
    Column("resolution_m", Double, nullable=False, comment="Pixel width, m"),
    Column("resolution_y_m", Double, nullable=False, comment="Pixel height, m"),
    Column("width_px", Integer, nullable=False, comment="Columns, pixels"),
    Column("height_px", Integer, nullable=False, comment="Rows, pixels"),
    Column("band_names", ARRAY(Text), nullable=False, comment="Names of the bands in stored order"),
    Column("pixel_type", Text, nullable=False, comment="PostGIS pixel type, e.g. 16BUI"),
    Column("nodata", Double, comment="Value of pixels without data, all bands"),
    Column(
        "value_offset",
        Double,
        nullable=False,
        server_default=text("0"),
        comment="Added to a stored value before scaling; Sentinel-2 from baseline 04.00: -1000",
    ),
    Column(
        "value_scale",
        Double,
        nullable=False,
        server_default=text("1"),
        comment="reflectance = (stored value + value_offset) * value_scale",
    ),
    Column(
        "processing_level",
        Text,
        nullable=False,
        comment="digital_number, radiance, toa_reflectance or surface_reflectance",
    ),
    Column("sun_azimuth_deg", Double, comment="Direction to the sun, degrees from north over east"),
    Column("sun_elevation_deg", Double, comment="Sun above the horizon, degrees"),
    Column("view_zenith_deg", Double, comment="Direction to the sensor, degrees from the zenith"),
    Column("view_azimuth_deg", Double, comment="Direction to the sensor, degrees from north over east"),
    Column("cloud_fraction", Double, comment="Share of valid pixels under cloud or shadow, 0..1"),
    Column("valid_fraction", Double, nullable=False, comment="Share of the grid that holds data, 0..1"),
    Column(
        "sha256",
        Text,
        nullable=False,
        comment="SHA-256 of the source file; of a package: of the list of its parts and their SHA-256",
    ),
    Column("source_name", Text, nullable=False, comment="Name of the source file or package"),
    Column(
        "parts",
        JSONB,
        nullable=False,
        server_default=text("'[]'::jsonb"),
        comment="Files of the package: name, size_bytes, sha256",
    ),
    Column(
        "product_metadata",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="What the product's side files say (orbit, path and row, gain mode, ...)",
    ),
    Column(
        "steps",
        JSONB,
        nullable=False,
        server_default=text("'[]'::jsonb"),
        comment="What was done to the pixels before storing, with parameters and figures",
    ),
    Column("tile_table", Text, nullable=False, unique=True, comment="Tile table in schema lode_raster"),
    Column("tile_px", Integer, nullable=False, comment="Tile edge, pixels"),
    Column(
        "superseded_by",
        ForeignKey("lode.scene.scene_id", deferrable=True, initially="DEFERRED"),
        comment="The scene that replaced this one; null while it counts",
    ),
    moment_column("ingested_at", "When it became visible", now=True),
    CheckConstraint(
        "width_px > 0 and height_px > 0 and resolution_m > 0 and resolution_y_m > 0", name="grid"
    ),
    CheckConstraint("value_scale > 0", name="scale"),
    CheckConstraint(
        "valid_fraction >= 0 and valid_fraction <= 1 and cloud_fraction >= 0 and cloud_fraction <= 1",
        name="fractions",
    ),
    CheckConstraint(
        "sun_azimuth_deg >= 0 and sun_azimuth_deg <= 360 and sun_elevation_deg >= -90"
        " and sun_elevation_deg <= 90 and view_azimuth_deg >= 0 and view_azimuth_deg <= 360"
        " and view_zenith_deg >= 0 and view_zenith_deg <= 90",
        name="angles",
    ),
    CheckConstraint(
        "processing_level in ('digital_number', 'radiance', 'toa_reflectance', 'surface_reflectance')",
        name="level",
    ),
    Index("scene_product_version_idx", "product", "version", unique=True),
    Index(
        "scene_product_current_idx", "product", unique=True, postgresql_where=text("superseded_by is null")
    ),
    Index("scene_sha256_idx", "sha256"),
    Index("scene_acquired_on_idx", "acquired_on"),
    spatial_index("scene", "footprint"),
    schema=SCHEMA,
    comment="Catalogue of scenes; pixels lie in lode_raster",
)

scene_band = Table(
    "scene_band",
    metadata,
    key_column("scene_band_id", "Key"),
    Column("scene_id", ForeignKey(scene.c.scene_id), nullable=False, comment="The scene"),
    Column("position", Integer, nullable=False, comment="Band number in the scene's tiles, from 1"),
    Column("name", Text, nullable=False, comment="Band name, as in scene.band_names"),
    Column("common_name", Text, comment="Name shared between instruments (blue, red, nir, ...)"),
    Column("center_nm", Double, comment="Centre wavelength, nm"),
    Column("width_nm", Double, comment="Full width at half maximum, nm"),
    Column("fault", Text, comment="Why the band is not to be used; null when it is fine"),
    CheckConstraint("center_nm > 0 and width_nm > 0", name="wavelength"),
    Index("scene_band_scene_position_idx", "scene_id", "position", unique=True),
    schema=SCHEMA,
    comment="Bands of each scene with the wavelengths its own product states",
)
