"""Instruments, scenes and their tiles.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry, Raster
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Instruments, scenes and their tiles."""
    op.create_table(
        "api_object",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="Order of creation"),
        sa.Column("kind", sa.Text(), nullable=False, comment="view or function"),
        sa.Column("name", sa.Text(), nullable=False, comment="Name in schema lode_api"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the file it was made from"),
        sa.Column(
            "installed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was made",
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("api_object_pkey")),
        schema="lode",
        comment="Objects of schema lode_api that the upgrade made and will replace",
    )
    op.create_table(
        "sensor",
        sa.Column("sensor_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("key", sa.Text(), nullable=False, comment="Short name used on the command line"),
        sa.Column("name", sa.Text(), nullable=False, comment="Satellite and instrument"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Nominal pixel size, m"),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the band figures are from"),
        sa.PrimaryKeyConstraint("sensor_id", name=op.f("sensor_pkey")),
        sa.UniqueConstraint("key", name=op.f("sensor_key_key")),
        schema="lode",
        comment="Satellite instruments",
    )
    op.create_table(
        "sensor_band",
        sa.Column("sensor_band_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("sensor_id", sa.Integer(), nullable=False, comment="The instrument"),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="Place in the product's own band order, from 1"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Band name as scenes and models use it"),
        sa.Column(
            "common_name",
            sa.Text(),
            nullable=True,
            comment="Name shared between instruments (blue, red, nir, ...)",
        ),
        sa.Column("center_nm", sa.Double(), nullable=False, comment="Centre wavelength, nm"),
        sa.Column("width_nm", sa.Double(), nullable=False, comment="Band width, nm"),
        sa.CheckConstraint("center_nm > 0 and width_nm > 0", name=op.f("sensor_band_wavelength_check")),
        sa.ForeignKeyConstraint(
            ["sensor_id"], ["lode.sensor.sensor_id"], name=op.f("sensor_band_sensor_id_fkey")
        ),
        sa.PrimaryKeyConstraint("sensor_band_id", name=op.f("sensor_band_pkey")),
        schema="lode",
        comment="Spectral bands of the instruments",
    )
    op.create_index("sensor_band_name_idx", "sensor_band", ["sensor_id", "name"], unique=True, schema="lode")
    op.create_index(
        "sensor_band_position_idx", "sensor_band", ["sensor_id", "position"], unique=True, schema="lode"
    )
    op.create_table(
        "calibration",
        sa.Column("calibration_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("sensor_id", sa.Integer(), nullable=False, comment="The instrument"),
        sa.Column("band_name", sa.Text(), nullable=False, comment="Band name, as in sensor_band"),
        sa.Column("year", sa.Integer(), nullable=False, comment="Year the coefficients hold for"),
        sa.Column(
            "gain", sa.Double(), nullable=False, comment="Radiance per digital number, W m-2 sr-1 um-1"
        ),
        sa.Column(
            "offset", sa.Double(), nullable=False, comment="Radiance at digital number 0, W m-2 sr-1 um-1"
        ),
        sa.Column(
            "esun",
            sa.Double(),
            nullable=True,
            comment="Exo-atmospheric solar irradiance in the band, W m-2 um-1",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Where the coefficients were published"),
        sa.ForeignKeyConstraint(
            ["sensor_id"], ["lode.sensor.sensor_id"], name=op.f("calibration_sensor_id_fkey")
        ),
        sa.PrimaryKeyConstraint("calibration_id", name=op.f("calibration_pkey")),
        schema="lode",
        comment="Radiometric coefficients by instrument, band and year",
    )
    op.create_index(
        "calibration_band_year_idx",
        "calibration",
        ["sensor_id", "band_name", "year"],
        unique=True,
        schema="lode",
    )
    op.create_table(
        "scene",
        sa.Column("scene_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column(
            "product", sa.Text(), nullable=False, comment="Product name; versions of one product share it"
        ),
        sa.Column(
            "version", sa.Integer(), server_default=sa.text("1"), nullable=False, comment="Counts up from 1"
        ),
        sa.Column("sensor_id", sa.Integer(), nullable=False, comment="The instrument"),
        sa.Column("acquired_on", sa.Date(), nullable=False, comment="Day of acquisition (UTC)"),
        sa.Column(
            "acquired_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Moment of acquisition (UTC), where known",
        ),
        sa.Column(
            "footprint",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
            comment="Outline of the valid pixels, EPSG:4326",
        ),
        sa.Column(
            "clouded",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
            comment="Cloud and shadow, which count as not observed, EPSG:4326",
        ),
        sa.Column("srid", sa.Integer(), nullable=False, comment="EPSG code of the pixel grid"),
        sa.Column("origin_x", sa.Double(), nullable=False, comment="West edge of the grid, units of srid"),
        sa.Column("origin_y", sa.Double(), nullable=False, comment="North edge of the grid, units of srid"),
        sa.Column("resolution_m", sa.Double(), nullable=False, comment="Pixel width, m"),
        sa.Column("resolution_y_m", sa.Double(), nullable=False, comment="Pixel height, m"),
        sa.Column("width_px", sa.Integer(), nullable=False, comment="Columns, pixels"),
        sa.Column("height_px", sa.Integer(), nullable=False, comment="Rows, pixels"),
        sa.Column(
            "band_names", sa.ARRAY(sa.Text()), nullable=False, comment="Names of the bands in stored order"
        ),
        sa.Column("pixel_type", sa.Text(), nullable=False, comment="PostGIS pixel type, e.g. 16BUI"),
        sa.Column("nodata", sa.Double(), nullable=True, comment="Value of pixels without data, all bands"),
        sa.Column(
            "value_offset",
            sa.Double(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Added to a stored value before scaling; Sentinel-2 from baseline 04.00: -1000",
        ),
        sa.Column(
            "value_scale",
            sa.Double(),
            server_default=sa.text("1"),
            nullable=False,
            comment="reflectance = (stored value + value_offset) * value_scale",
        ),
        sa.Column(
            "processing_level",
            sa.Text(),
            nullable=False,
            comment="digital_number, radiance, toa_reflectance or surface_reflectance",
        ),
        sa.Column(
            "cloud_fraction",
            sa.Double(),
            nullable=True,
            comment="Share of valid pixels under cloud or shadow, 0..1",
        ),
        sa.Column(
            "valid_fraction", sa.Double(), nullable=False, comment="Share of the grid that holds data, 0..1"
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the source file"),
        sa.Column("source_name", sa.Text(), nullable=False, comment="Name of the source file"),
        sa.Column(
            "steps",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="What was done to the pixels before storing, with parameters and figures",
        ),
        sa.Column("tile_table", sa.Text(), nullable=False, comment="Tile table in schema lode_raster"),
        sa.Column("tile_px", sa.Integer(), nullable=False, comment="Tile edge, pixels"),
        sa.Column(
            "superseded_by",
            sa.Integer(),
            nullable=True,
            comment="The scene that replaced this one; null while it counts",
        ),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it became visible",
        ),
        sa.CheckConstraint(
            "processing_level in ('digital_number', 'radiance', 'toa_reflectance', 'surface_reflectance')",
            name=op.f("scene_level_check"),
        ),
        sa.CheckConstraint(
            "valid_fraction >= 0 and valid_fraction <= 1 and cloud_fraction >= 0 and cloud_fraction <= 1",
            name=op.f("scene_fractions_check"),
        ),
        sa.CheckConstraint("value_scale > 0", name=op.f("scene_scale_check")),
        sa.CheckConstraint(
            "width_px > 0 and height_px > 0 and resolution_m > 0 and resolution_y_m > 0",
            name=op.f("scene_grid_check"),
        ),
        sa.ForeignKeyConstraint(["sensor_id"], ["lode.sensor.sensor_id"], name=op.f("scene_sensor_id_fkey")),
        sa.ForeignKeyConstraint(
            ["superseded_by"],
            ["lode.scene.scene_id"],
            name=op.f("scene_superseded_by_fkey"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("scene_id", name=op.f("scene_pkey")),
        sa.UniqueConstraint("tile_table", name=op.f("scene_tile_table_key")),
        schema="lode",
        comment="Catalogue of scenes; pixels lie in lode_raster",
    )
    op.create_index("scene_acquired_on_idx", "scene", ["acquired_on"], unique=False, schema="lode")
    op.create_index(
        "scene_footprint_gist", "scene", ["footprint"], unique=False, schema="lode", postgresql_using="gist"
    )
    op.create_index(
        "scene_product_current_idx",
        "scene",
        ["product"],
        unique=True,
        schema="lode",
        postgresql_where=sa.text("superseded_by is null"),
    )
    op.create_index("scene_product_version_idx", "scene", ["product", "version"], unique=True, schema="lode")
    op.create_index("scene_sha256_idx", "scene", ["sha256"], unique=False, schema="lode")
    op.create_table(
        "scene_tile",
        sa.Column("rid", sa.Integer(), nullable=False, comment="Tile number, counted along rows from 1"),
        sa.Column("scene_id", sa.Integer(), nullable=False, comment="The scene"),
        sa.Column(
            "rast",
            Raster(spatial_index=False, from_text="raster", name="raster"),
            nullable=True,
            comment="Pixels on the scene's own grid",
        ),
        schema="lode_raster",
        comment="Tiles of all scenes; one partition a scene",
        postgresql_partition_by="LIST (scene_id)",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
