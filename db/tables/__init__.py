"""The tables of schemas ``lode`` and ``lode_raster``, as SQLAlchemy knows them.

Alembic compares this metadata with its migrations; everything else talks to the tables through the
aggregates' modules (``db.scenes``, ``db.landcover``, ...).
"""

from db.tables import (
    accounts,
    administration,
    alerts,
    assessments,
    change,
    ground,
    interpretation,
    maps,
    privacy,
    prospects,
    rasters,
    regions,
    samples,
    scenes,
    service,
    sources,
)
from db.tables.base import metadata

__all__ = [
    "accounts",
    "administration",
    "alerts",
    "assessments",
    "change",
    "ground",
    "interpretation",
    "maps",
    "metadata",
    "privacy",
    "prospects",
    "rasters",
    "regions",
    "samples",
    "scenes",
    "service",
    "sources",
]
