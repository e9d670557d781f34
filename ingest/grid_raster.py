"""What every raster on a grid tells the loader about its place, under rasterio's names."""

from __future__ import annotations

from affine import Affine
from rasterio.crs import CRS

from db.raster.grid import Grid
from ingest.gridding import affine_of


class GridRaster:
    """Place and size of pixels on a grid."""

    grid: Grid

    @property
    def crs(self) -> CRS:
        """CRS of the grid."""
        return CRS.from_epsg(self.grid.srid)

    @property
    def transform(self) -> Affine:
        """Affine transform of the grid."""
        return affine_of(self.grid)

    @property
    def width(self) -> int:
        """Columns, pixels."""
        return self.grid.width_px

    @property
    def height(self) -> int:
        """Rows, pixels."""
        return self.grid.height_px
