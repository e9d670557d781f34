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

evidence_tile = Table(
    "evidence_tile",
    metadata,
    Column("rid", Integer, nullable=False, comment="Tile number, counted along rows from 1"),
    Column("evidence_layer_id", Integer, nullable=False, comment="The layer"),
    Column("rast", Raster(spatial_index=False), comment="Values on the grid of the study area; nodata: NaN"),
    schema=RASTER_SCHEMA,
    comment="Layers of evidence; one partition a layer",
    postgresql_partition_by="LIST (evidence_layer_id)",
)

geology_tile = Table(
    "geology_tile",
    metadata,
    Column("rid", Integer, nullable=False, comment="Tile number, counted along rows from 1"),
    Column("geology_raster_id", Integer, nullable=False, comment="The rasters of one grid and geology"),
    Column("rast", Raster(spatial_index=False), comment="One band each of geology_raster.band_names"),
    schema=RASTER_SCHEMA,
    comment="Distances to faults and plutons; one partition a grid and state of the geology",
    postgresql_partition_by="LIST (geology_raster_id)",
)

prospect_score = Table(
    "prospect_score",
    metadata,
    Column("rid", Integer, nullable=False, comment="Tile number, counted along rows from 1"),
    Column("prospect_run_id", Integer, nullable=False, comment="The search"),
    Column("rast", Raster(spatial_index=False), comment="One band each of prospect_run.band_names, 0..1"),
    schema=RASTER_SCHEMA,
    comment="Scores of searches for ore; one partition a search",
    postgresql_partition_by="LIST (prospect_run_id)",
)

tile_table = Table(
    "tile_table",
    metadata,
    Column("table_name", Text, primary_key=True, comment="Its name in lode_raster"),
    Column("parent", Text, nullable=False, comment="Partitioned table it is for"),
    Column("owner_id", Integer, nullable=False, comment="The scene, run, layer, ... it is for"),
    schema=SCHEMA,
    comment="Tables of tiles that a worker's transaction makes; empty when it ends",
)
