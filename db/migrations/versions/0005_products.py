"""What products bring along: directions, parts, bands of their own, and calibration by camera.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from db.errors import UsageError

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_POLYGONS = Geometry("MULTIPOLYGON", srid=4326, spatial_index=False)


def upgrade() -> None:
    """Widen scene and calibration, and make scene_band."""
    for column in (
        sa.Column(
            "filled",
            _POLYGONS,
            comment="Cloud and shadow whose pixels were estimated from a clear date; not observed, EPSG:4326",
        ),
        sa.Column(
            "sun_azimuth_deg", sa.Double(), comment="Direction to the sun, degrees from north over east"
        ),
        sa.Column("sun_elevation_deg", sa.Double(), comment="Sun above the horizon, degrees"),
        sa.Column("view_zenith_deg", sa.Double(), comment="Direction to the sensor, degrees from the zenith"),
        sa.Column(
            "view_azimuth_deg", sa.Double(), comment="Direction to the sensor, degrees from north over east"
        ),
        sa.Column(
            "parts",
            _JSON,
            nullable=False,
            server_default=sa.text("'[]'::jsonb"),
            comment="Files of the package: name, size_bytes, sha256",
        ),
        sa.Column(
            "product_metadata",
            _JSON,
            nullable=False,
            server_default=sa.text("'{}'::jsonb"),
            comment="What the product's side files say (orbit, path and row, gain mode, ...)",
        ),
    ):
        op.add_column("scene", column, schema="lode")
    op.alter_column(
        "scene",
        "sha256",
        comment="SHA-256 of the source file; of a package: of the list of its parts and their SHA-256",
        schema="lode",
    )
    op.alter_column("scene", "source_name", comment="Name of the source file or package", schema="lode")
    op.create_check_constraint(
        op.f("scene_angles_check"),
        "scene",
        "sun_azimuth_deg >= 0 and sun_azimuth_deg <= 360 and sun_elevation_deg >= -90"
        " and sun_elevation_deg <= 90 and view_azimuth_deg >= 0 and view_azimuth_deg <= 360"
        " and view_zenith_deg >= 0 and view_zenith_deg <= 90",
        schema="lode",
    )
    _make_scene_band()
    _calibrate_by_camera()


def _make_scene_band() -> None:
    op.create_table(
        "scene_band",
        sa.Column("scene_band_id", sa.Integer(), sa.Identity(always=False), nullable=False, comment="Key"),
        sa.Column("scene_id", sa.Integer(), nullable=False, comment="The scene"),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="Band number in the scene's tiles, from 1"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Band name, as in scene.band_names"),
        sa.Column("common_name", sa.Text(), comment="Name shared between instruments (blue, red, nir, ...)"),
        sa.Column("center_nm", sa.Double(), comment="Centre wavelength, nm"),
        sa.Column("width_nm", sa.Double(), comment="Full width at half maximum, nm"),
        sa.Column("fault", sa.Text(), comment="Why the band is not to be used; null when it is fine"),
        sa.CheckConstraint("center_nm > 0 and width_nm > 0", name=op.f("scene_band_wavelength_check")),
        sa.ForeignKeyConstraint(["scene_id"], ["lode.scene.scene_id"], name=op.f("scene_band_scene_id_fkey")),
        sa.PrimaryKeyConstraint("scene_band_id", name=op.f("scene_band_pkey")),
        schema="lode",
        comment="Bands of each scene with the wavelengths its own product states",
    )
    op.create_index(
        "scene_band_scene_position_idx", "scene_band", ["scene_id", "position"], unique=True, schema="lode"
    )


def _calibrate_by_camera() -> None:
    op.add_column(
        "calibration",
        sa.Column(
            "camera",
            sa.Text(),
            nullable=False,
            server_default=sa.text("''"),
            comment="Which camera or satellite of the instrument, e.g. PMS1; empty when there is one",
        ),
        schema="lode",
    )
    op.create_check_constraint(
        op.f("calibration_coefficients_check"), "calibration", "gain > 0 and esun > 0", schema="lode"
    )
    op.drop_index("calibration_band_year_idx", "calibration", schema="lode")
    op.create_index(
        "calibration_camera_band_year_idx",
        "calibration",
        ["sensor_id", "camera", "band_name", "year"],
        unique=True,
        schema="lode",
    )
    op.create_table_comment(
        "calibration",
        "Radiometric coefficients by instrument, camera and year: radiance = gain * number + offset",
        existing_comment="Radiometric coefficients by instrument, band and year",
        schema="lode",
    )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
