"""Where ore may lie: evidence on one grid, geology as rasters, sets of patches, and what networks found."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from db.tables.base import SCHEMA, geometry_column, key_column, metadata, moment_column, spatial_index
from db.tables.ground import deposit
from db.tables.interpretation import model
from db.tables.scenes import scene

evidence_area = Table(
    "evidence_area",
    metadata,
    key_column("evidence_area_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name people call it by"),
    Column("srid", Integer, nullable=False, comment="EPSG code of the grid, in metres"),
    Column("origin_x", Double, nullable=False, comment="West edge of the grid, units of srid"),
    Column("origin_y", Double, nullable=False, comment="North edge of the grid, units of srid"),
    Column("resolution_m", Double, nullable=False, comment="Cell width, m"),
    Column("resolution_y_m", Double, nullable=False, comment="Cell height, m"),
    Column("width_px", Integer, nullable=False, comment="Columns, cells"),
    Column("height_px", Integer, nullable=False, comment="Rows, cells"),
    geometry_column("geom", "MULTIPOLYGON", "Ground that is judged; outside of it nothing counts, EPSG:4326"),
    moment_column("created_at", "When it was made", now=True),
    CheckConstraint(
        "resolution_m > 0 and resolution_y_m > 0 and width_px > 0 and height_px > 0", name="grid"
    ),
    CheckConstraint("st_isvalid(geom) and not st_isempty(geom)", name="geom"),
    spatial_index("evidence_area", "geom"),
    schema=SCHEMA,
    comment="Study areas: one grid for all their evidence, and the ground that is judged",
)

evidence_layer = Table(
    "evidence_layer",
    metadata,
    key_column("evidence_layer_id", "Key"),
    Column(
        "evidence_area_id",
        ForeignKey(evidence_area.c.evidence_area_id, ondelete="CASCADE"),
        nullable=False,
        comment="The study area, on whose grid it lies",
    ),
    Column("name", Text, nullable=False, comment="Name within the area"),
    Column("kind", Text, nullable=False, comment="geochemistry, geophysics, geology or spectral"),
    Column("element", Text, comment="Element or oxide it is the content of, e.g. Li, Fe2O3"),
    Column("unit", Text, comment="Unit of its values"),
    Column("source_name", Text, nullable=False, comment="File it came from"),
    Column("sha256", Text, nullable=False, comment="SHA-256 of that file"),
    Column("resampling", Text, nullable=False, comment="How it was brought onto the grid"),
    Column("source_resolution_m", Double, comment="Cell width in the file, m; null: no raster in metres"),
    Column(
        "shift_x_px",
        Double,
        comment="How far its cells lay east of the grid's, in cells of the area, -0.5 to 0.5",
    ),
    Column(
        "shift_y_px",
        Double,
        comment="How far its cells lay south of the grid's, in cells of the area, -0.5 to 0.5",
    ),
    Column("valid_fraction", Double, nullable=False, comment="Share of the judged ground with a value, 0..1"),
    Column("tile_table", Text, nullable=False, unique=True, comment="Its tiles in lode_raster"),
    moment_column("ingested_at", "When it was stored", now=True),
    Column(
        "error_kind",
        Text,
        comment="What the second band of its tiles holds: kriging_standard_error or cross_validation_error; "
        "null: they have one band",
    ),
    Column("gridding", JSONB, comment="How samples were gridded, and how well; null: it came as a raster"),
    CheckConstraint("error_kind in ('kriging_standard_error', 'cross_validation_error')", name="error_kind"),
    CheckConstraint("kind in ('geochemistry', 'geophysics', 'geology', 'spectral')", name="kind"),
    CheckConstraint("valid_fraction between 0 and 1", name="valid_fraction"),
    Index("evidence_layer_name_idx", "evidence_area_id", "name", unique=True),
    schema=SCHEMA,
    comment="Layers of evidence for ore on the grid of their study area",
)

geology_raster = Table(
    "geology_raster",
    metadata,
    key_column("geology_raster_id", "Key"),
    Column("srid", Integer, nullable=False, comment="EPSG code of the grid, in metres"),
    Column("origin_x", Double, nullable=False, comment="West edge of the grid, units of srid"),
    Column("origin_y", Double, nullable=False, comment="North edge of the grid, units of srid"),
    Column("resolution_m", Double, nullable=False, comment="Cell width, m"),
    Column("resolution_y_m", Double, nullable=False, comment="Cell height, m"),
    Column("width_px", Integer, nullable=False, comment="Columns, cells"),
    Column("height_px", Integer, nullable=False, comment="Rows, cells"),
    Column("band_names", ARRAY(Text), nullable=False, comment="What its bands hold, in order"),
    Column("parameters", JSONB, nullable=False, comment="Settings of proximity and density, m"),
    Column(
        "content_digest",
        Text,
        nullable=False,
        unique=True,
        comment="SHA-256 of the grid, the settings, and the faults and plutons it was computed from",
    ),
    Column("tile_table", Text, nullable=False, unique=True, comment="Its tiles in lode_raster"),
    moment_column("computed_at", "When it was computed", now=True),
    schema=SCHEMA,
    comment="Distances to faults and plutons as rasters, kept until the geology changes",
)


def _scene_column() -> Column[int]:
    return Column("scene_id", ForeignKey(scene.c.scene_id), index=True, comment="The scene; null: an area")


def _area_column() -> Column[int]:
    return Column(
        "evidence_area_id",
        ForeignKey(evidence_area.c.evidence_area_id),
        index=True,
        comment="The study area; null: a scene",
    )


prospect_set = Table(
    "prospect_set",
    metadata,
    key_column("prospect_set_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name"),
    _scene_column(),
    _area_column(),
    Column("patch_px", Integer, nullable=False, comment="Edge of the patches, cells"),
    Column("spacing_m", Double, nullable=False, comment="Cell width: distance of neighbouring nodes, m"),
    Column(
        "channels",
        JSONB,
        nullable=False,
        comment="Inputs in order: name, kind (spectral, evidence or geology), center_nm of bands",
    ),
    Column("deposit_ids", ARRAY(Integer), nullable=False, comment="Deposits that count, deposit.deposit_id"),
    Column("buffer_m", Double, nullable=False, comment="Ground so near a deposit is positive, m"),
    Column(
        "positive_share",
        Double,
        nullable=False,
        comment="Share of a patch that must be positive for the patch to be",
    ),
    Column(
        "split_rule",
        Text,
        nullable=False,
        comment="What is held out: blocks of ground, or all north or south of a parallel",
    ),
    Column("seed", Integer, nullable=False, comment="Seed of split and drawing"),
    Column(
        "geology_digest", Text, comment="Content of the geology rasters it was cut from; null: without them"
    ),
    Column(
        "parameters",
        JSONB,
        nullable=False,
        comment="Blocks, gap, patches by part and label, what was left out and why, warnings",
    ),
    moment_column("created_at", "When it was made", now=True),
    CheckConstraint("num_nonnulls(scene_id, evidence_area_id) = 1", name="ground"),
    CheckConstraint("patch_px >= 1 and spacing_m > 0 and buffer_m >= 0", name="sizes"),
    CheckConstraint("positive_share > 0 and positive_share <= 1", name="positive_share"),
    CheckConstraint("split_rule in ('block', 'north', 'south')", name="split_rule"),
    schema=SCHEMA,
    comment="Sets of patches that networks learn from where ore lies",
)

prospect_patch = Table(
    "prospect_patch",
    metadata,
    key_column("prospect_patch_id", "Key", big=True),
    Column(
        "prospect_set_id",
        ForeignKey(prospect_set.c.prospect_set_id, ondelete="CASCADE"),
        nullable=False,
        comment="The set",
    ),
    Column("row_px", Integer, nullable=False, comment="First row on the grid, from 0"),
    Column("col_px", Integer, nullable=False, comment="First column on the grid, from 0"),
    Column("is_positive", Boolean, nullable=False, comment="Whether it counts as ore-bearing"),
    Column("positive_share", Double, nullable=False, comment="Share of its cells near a deposit, 0..1"),
    Column("split", Text, nullable=False, comment="train, validation or test"),
    Column("block_key", Text, nullable=False, comment="Block of ground that is held out as a whole"),
    geometry_column("geom", "POLYGON", "Outline, EPSG:4326"),
    CheckConstraint("split in ('train', 'validation', 'test')", name="split"),
    CheckConstraint("row_px >= 0 and col_px >= 0", name="place"),
    CheckConstraint("positive_share between 0 and 1", name="positive_share"),
    Index("prospect_patch_place_idx", "prospect_set_id", "row_px", "col_px", unique=True),
    spatial_index("prospect_patch", "geom"),
    schema=SCHEMA,
    comment="Patches of a set with their label and the part they play; pixels stay in lode_raster",
)

prospect_run = Table(
    "prospect_run",
    metadata,
    key_column("prospect_run_id", "Key"),
    Column("model_id", ForeignKey(model.c.model_id), nullable=False, index=True, comment="The network"),
    _scene_column(),
    _area_column(),
    Column("parameters", JSONB, nullable=False, comment="Stride, threshold, channels as they were matched"),
    Column(
        "content_digest",
        Text,
        nullable=False,
        comment="SHA-256 of network, ground, geology and parameters: equal runs are one",
    ),
    Column(
        "threshold", Double, nullable=False, comment="Probability from which a cell belongs to a target, 0..1"
    ),
    Column("cell_m", Double, nullable=False, comment="Edge of the cells that were scored, m"),
    Column("tile_table", Text, nullable=False, unique=True, comment="Its scores in lode_raster"),
    Column("band_names", ARRAY(Text), nullable=False, comment="Scores in that raster, in order"),
    Column(
        "figures",
        JSONB,
        nullable=False,
        comment="Cells, seconds of each stage, how far the features lie from those of training",
    ),
    Column("device", Text, nullable=False, comment="What computed it"),
    Column("versions", JSONB, nullable=False, comment="Versions of the software that computed it"),
    Column(
        "published_by", Text, nullable=False, server_default=text("session_user"), comment="Who published it"
    ),
    moment_column("published_at", "When it was published", now=True),
    moment_column("withdrawn_at", "When it was withdrawn; null: it stands"),
    Column("withdrawn_by", Text, comment="Who withdrew it"),
    Column("withdrawn_reason", Text, comment="Why it was withdrawn"),
    Column(
        "score_kind",
        Text,
        nullable=False,
        server_default="probability",
        comment="What its cells hold: probability of ore, or prospectivity, which is a rank",
    ),
    CheckConstraint("score_kind in ('probability', 'prospectivity')", name="score_kind"),
    CheckConstraint("num_nonnulls(scene_id, evidence_area_id) = 1", name="ground"),
    CheckConstraint("threshold between 0 and 1", name="threshold"),
    CheckConstraint("cell_m > 0", name="cell"),
    Index(
        *("prospect_run_content_idx", "content_digest"),
        unique=True,
        postgresql_where=text("withdrawn_at is null"),
    ),
    schema=SCHEMA,
    comment="Searches for ore that were published: a network over a scene or a study area",
)


def _run_column() -> Column[int]:
    return Column(
        "prospect_run_id",
        ForeignKey(prospect_run.c.prospect_run_id, ondelete="CASCADE"),
        nullable=False,
        comment="The search",
    )


prospect = Table(
    "prospect",
    metadata,
    key_column("prospect_id", "Key", big=True),
    _run_column(),
    Column("row_px", Integer, nullable=False, comment="Row of the cell among the cells scored, from 0"),
    Column("col_px", Integer, nullable=False, comment="Column of the cell among the cells scored, from 0"),
    Column(
        "probability",
        Double,
        nullable=False,
        comment="Probability of ore, 0..1: mean over the patches that hold the cell; prospectivity, 0..1, "
        "where that is the score of the search",
    ),
    Column("rank", Integer, nullable=False, comment="1 is the most probable of its search; ties share it"),
    geometry_column("geom", "POLYGON", "The cell, EPSG:4326"),
    Column("anomaly", Double, comment="Excess over what was expected, in deviations; null: no such score"),
    Column("favourability", Double, comment="Of the mapped geology, 0..1; null: no such score"),
    Column("prospectivity_spread", Double, comment="Standard deviation of the prospectivity over seeds"),
    Column("anomaly_spread", Double, comment="Standard deviation of the anomaly over seeds"),
    Column("favourability_spread", Double, comment="Standard deviation of the favourability over seeds"),
    CheckConstraint("probability between 0 and 1", name="probability"),
    Index("prospect_place_idx", "prospect_run_id", "row_px", "col_px", unique=True),
    spatial_index("prospect", "geom"),
    schema=SCHEMA,
    comment="Where ore may lie: cells with their probability",
)

prospect_target = Table(
    "prospect_target",
    metadata,
    key_column("prospect_target_id", "Key"),
    _run_column(),
    Column("rank", Integer, nullable=False, comment="1 is the first to be looked at"),
    geometry_column("geom", "MULTIPOLYGON", "Connected cells from the threshold on, EPSG:4326"),
    Column("area_m2", Double, nullable=False, comment="Geodesic area on WGS 84, m2"),
    Column("cells", Integer, nullable=False, comment="Cells it consists of"),
    Column("mean_probability", Double, nullable=False, comment="Mean over its cells, 0..1"),
    Column("highest_probability", Double, nullable=False, comment="Of its best cell, 0..1"),
    Column("fault_distance_m", Double, comment="To the nearest fault, m; null: none is mapped"),
    Column("pluton_distance_m", Double, comment="To the nearest pluton, m, 0 inside; null: none is mapped"),
    Column("deposit_distance_m", Double, comment="To the nearest known deposit, m; null: none is known"),
    Column(
        "deposit_id",
        ForeignKey(deposit.c.deposit_id, ondelete="SET NULL"),
        index=True,
        comment="That deposit",
    ),
    Column(
        "evidence",
        JSONB,
        nullable=False,
        comment="What speaks for it: name, value, unit, and how many deviations above its surroundings",
    ),
    CheckConstraint("mean_probability between 0 and 1", name="mean_probability"),
    CheckConstraint("highest_probability between 0 and 1", name="highest_probability"),
    Index("prospect_target_rank_idx", "prospect_run_id", "rank", unique=True),
    spatial_index("prospect_target", "geom"),
    schema=SCHEMA,
    comment="Areas to look at in the field: connected cells of high probability, ranked",
)

prospect_reason = Table(
    "prospect_reason",
    metadata,
    key_column("prospect_reason_id", "Key", big=True),
    _run_column(),
    Column("row_px", Integer, nullable=False, comment="Row of the cell, as in prospect"),
    Column("col_px", Integer, nullable=False, comment="Column of the cell, as in prospect"),
    Column("place", Integer, nullable=False, comment="Elements first, then geology, each by its share"),
    Column("kind", Text, nullable=False, comment="element, geophysics or geology"),
    Column("name", Text, nullable=False, comment="Element, layer or geological feature"),
    Column("value", Double, comment="What was found there, in unit"),
    Column("unit", Text, comment="Unit of value and expected"),
    Column("expected", Double, comment="What the method expected there; null: it expects nothing"),
    Column("deviations", Double, comment="How many robust deviations it exceeds that"),
    Column("share", Double, comment="Of the anomaly, or of the favourability, that it makes up, 0..1"),
    CheckConstraint("kind in ('element', 'geophysics', 'geology')", name="kind"),
    CheckConstraint("share between 0 and 1", name="share"),
    Index("prospect_reason_place_idx", "prospect_run_id", "row_px", "col_px", "place", unique=True),
    schema=SCHEMA,
    comment="Why cells score: elements that exceed what was expected, and geology that favours ore",
)

mineral_system = Table(
    "mineral_system",
    metadata,
    key_column("mineral_system_id", "Key"),
    Column("name", Text, nullable=False, unique=True, comment="Name"),
    Column("definition", Text, nullable=False, comment="Its elements and geology, as TOML"),
    Column("sha256", Text, nullable=False, comment="SHA-256 of the definition"),
    Column(
        "imported_by", Text, nullable=False, server_default=text("session_user"), comment="Who brought it in"
    ),
    moment_column("imported_at", "When it was brought in", now=True),
    schema=SCHEMA,
    comment="Mineral systems that people wrote: which elements and which geology tell of ore",
)

prospect_evaluation = Table(
    "prospect_evaluation",
    metadata,
    key_column("prospect_evaluation_id", "Key"),
    _run_column(),
    Column("deposit_rule", Text, nullable=False, comment="Which deposits: all, or column=value"),
    Column(
        "deposit_ids", ARRAY(Integer), nullable=False, comment="Those on scored ground, deposit.deposit_id"
    ),
    Column("outside", Integer, nullable=False, comment="Deposits within the grid but not on scored ground"),
    Column("parameters", JSONB, nullable=False, comment="Draws, shifts, seed, and what it was held against"),
    Column("curves", JSONB, nullable=False, comment="Points of the curves that are drawn, by score"),
    Column(
        "evaluated_by", Text, nullable=False, server_default=text("session_user"), comment="Who asked for it"
    ),
    moment_column("evaluated_at", "When it was evaluated", now=True),
    Index("prospect_evaluation_run_idx", "prospect_run_id"),
    schema=SCHEMA,
    comment="How known deposits rank in a search that was made without them",
)

prospect_evaluation_figure = Table(
    "prospect_evaluation_figure",
    metadata,
    key_column("prospect_evaluation_figure_id", "Key"),
    Column(
        "prospect_evaluation_id",
        ForeignKey(prospect_evaluation.c.prospect_evaluation_id, ondelete="CASCADE"),
        nullable=False,
        comment="The evaluation",
    ),
    Column("score", Text, nullable=False, comment="Whose figure: a score of the search, or a plain answer"),
    Column("figure", Text, nullable=False, comment="roc_auc, capture_5, density, ..., or a difference"),
    Column("value", Double, comment="Its value; null: it has none"),
    Column("low", Double, comment="Lower end of its interval; null: too few deposits"),
    Column("high", Double, comment="Upper end of its interval; null: too few deposits"),
    Column("null_p", Double, comment="Share of shifted deposits that do as well; null: not asked"),
    Index("prospect_evaluation_figure_idx", "prospect_evaluation_id", "score", "figure", unique=True),
    schema=SCHEMA,
    comment="Figures of evaluations with their intervals",
)
