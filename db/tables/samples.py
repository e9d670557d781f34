"""Sample sets: where the windows lie that networks are trained, validated and tested on."""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Column, Double, ForeignKey, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.scenes import scene

sample_set = Table(
    "sample_set",
    metadata,
    key_column("sample_set_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name"),
    Column("tile_px", Integer, nullable=False, comment="Edge of the windows, pixels"),
    Column("resolution_m", Double, nullable=False, comment="Pixel size of the first scene, m"),
    Column("class_codes", ARRAY(Integer), nullable=False, comment="Classes counted in each sample, in order"),
    Column(
        "split_rule",
        Text,
        nullable=False,
        comment="What is held out as a whole: mines, blocks of ground, or scenes that overlap",
    ),
    Column("seed", Integer, nullable=False, comment="Seed of the split"),
    Column(
        "gap_m", Double, nullable=False, comment="Ground left between samples of different parts, m, at least"
    ),
    Column("scene_ids", ARRAY(Integer), nullable=False, comment="Scenes it was cut from, scene.scene_id"),
    Column(
        "parameters",
        JSONB,
        nullable=False,
        comment="Blocks, share of each part, what was left out and why, warnings",
    ),
    moment_column("created_at", "When it was made", now=True),
    CheckConstraint("tile_px >= 1 and resolution_m > 0 and gap_m >= 0", name="sizes"),
    CheckConstraint("split_rule in ('mine', 'block', 'scene')", name="split_rule"),
    schema=SCHEMA,
    comment="Sets of windows that networks are trained, validated and tested on",
)

sample = Table(
    "sample",
    metadata,
    key_column("sample_id", "Key"),
    Column(
        "sample_set_id",
        ForeignKey(sample_set.c.sample_set_id, ondelete="CASCADE"),
        nullable=False,
        comment="The set",
    ),
    Column(
        "scene_id",
        ForeignKey(scene.c.scene_id),
        nullable=False,
        index=True,
        comment="The scene it is read from",
    ),
    Column("row_px", Integer, nullable=False, comment="First row in the scene, from 0"),
    Column("col_px", Integer, nullable=False, comment="First column in the scene, from 0"),
    Column("height_px", Integer, nullable=False, comment="Rows, pixels"),
    Column("width_px", Integer, nullable=False, comment="Columns, pixels"),
    Column("split", Text, nullable=False, comment="train, validation or test"),
    Column("group_key", Text, nullable=False, comment="Mine, block or scenes held out as a whole"),
    Column(
        "label_ids",
        ARRAY(Integer),
        nullable=False,
        comment="Labels whose pixels count here, label.label_id; others belong to another part",
    ),
    Column(
        "class_pixels",
        ARRAY(Integer),
        nullable=False,
        comment="Labelled pixels of each class of sample_set.class_codes",
    ),
    Column(
        "own_class_pixels",
        ARRAY(Integer),
        nullable=False,
        comment="Of class_pixels those that no sample of smaller key on the same scene holds: sums "
        "count no pixel twice",
    ),
    geometry_column("geom", "POLYGON", "Outline, EPSG:4326"),
    CheckConstraint("split in ('train', 'validation', 'test')", name="split"),
    CheckConstraint("row_px >= 0 and col_px >= 0 and height_px >= 1 and width_px >= 1", name="window"),
    CheckConstraint("cardinality(class_pixels) = cardinality(own_class_pixels)", name="pixels"),
    Index("sample_set_window_idx", "sample_set_id", "scene_id", "row_px", "col_px", unique=True),
    spatial_index("sample", "geom"),
    schema=SCHEMA,
    comment="Windows of scenes with the part they play; pixels stay in lode_raster",
)
