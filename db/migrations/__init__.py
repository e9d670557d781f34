"""Alembic migrations of schemas ``lode`` and ``lode_raster``; forward only."""
