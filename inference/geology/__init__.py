"""Mapped geology as rasters: distances to faults and plutons, density of faults and their intersections."""

from inference.geology.rasters import BANDS, DEFAULTS, GeologyRasters, GeologySettings, geology_rasters

__all__ = ["BANDS", "DEFAULTS", "GeologyRasters", "GeologySettings", "geology_rasters"]
