"""Rasters in the database: tile codec, tile arithmetic, writer and window reader.

The face of the package; everything else in it is private to ``db``.
"""

from db.raster.codec import Tile, decode_tile, encode_tile
from db.raster.faults import RasterFault, raster_table_faults
from db.raster.grid import Grid, TileBox
from db.raster.pixels import check_pixel_type
from db.raster.reader import RasterReader
from db.raster.store import RasterWriter
from db.raster.tables import RASTER_SCHEMA, attach_partition
from db.raster.tiler import TileBatch

__all__ = [
    "RASTER_SCHEMA",
    "Grid",
    "RasterFault",
    "RasterReader",
    "RasterWriter",
    "Tile",
    "TileBatch",
    "TileBox",
    "attach_partition",
    "check_pixel_type",
    "decode_tile",
    "encode_tile",
    "raster_table_faults",
]
