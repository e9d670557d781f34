"""Parents of the tile tables. Each scene's and each run's tiles are a plain table attached to them."""

from __future__ import annotations

from geoalchemy2 import Raster
from sqlalchemy import Column, Integer, Table, Text

from db.tables.base import RASTER_SCHEMA, SCHEMA, metadata

scene_tile = Table(
    "scene_tile",
    metadata,
    Column("rid", Integer, nullable=False, comment="Tile number, counted along rows from 1"),
    Column("scene_id", Integer, nullable=False, comment="The scene"),
    Column("rast", Raster(spatial_index=False), comment="Pixels on the scene's own grid"),
    schema=RASTER_SCHEMA,
    comment="Tiles of all scenes; one partition a scene",
    postgresql_partition_by="LIST (scene_id)",
)

probability = Table(
    "probability",
    metadata,
    Column("rid", Integer, nullable=False, comment="Tile number, counted along rows from 1"),
    Column("run_id", Integer, nullable=False, comment="The run"),
    Column(
        "rast",
        Raster(spatial_index=False),
        comment="One band a class of the model: probability * 200, nodata 255, on the scene's grid",
    ),
    schema=RASTER_SCHEMA,
    comment="Class probabilities of published runs; one partition a run",
    postgresql_partition_by="LIST (run_id)",
)

tile_table = Table(
    "tile_table",
    metadata,
    Column("table_name", Text, primary_key=True, comment="Its name in lode_raster"),
    Column("parent", Text, nullable=False, comment="scene_tile or probability"),
    Column("owner_id", Integer, nullable=False, comment="The scene or run"),
    schema=SCHEMA,
    comment="Tables of tiles that a worker's transaction makes; empty when it ends",
)
