"""A search for ore as reports show it: its facts, targets, cells, and the geology on its ground."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from psycopg import Connection
from psycopg.rows import dict_row

from db.errors import UsageError
from db.reports.report import Report, read_report

Bounds = tuple[float, float, float, float]
"""West, south, east and north, degrees."""


@dataclass(frozen=True)
class SearchHead:
    """A search with its network; JSON columns as they are stored.

    Attributes:
        search: key of the search.
        status: published, superseded (a newer version of its scene counts) or withdrawn.
        ground, ground_kind: what was searched, and whether it is a scene or a study area.
        outline: of that ground, EPSG:4326.
        score_kind: what its cells hold: probability, or prospectivity, which is a rank.
        threshold: score from which a cell belongs to a target, 0..1.
        cell_m: edge of the cells, m.
        tile_table, band_names: the scores in lode_raster.
        has_tiles: whether that table exists.
        parameters, figures, versions, device: see ``lode.prospect_run``.
        published_by, published_at, withdrawn_by, withdrawn_at, withdrawn_reason: who, when and why.
        model, architecture, model_sha256, trained_at, patch_px, spacing_m: of the network.
        training, metrics: see ``lode.model``.
        set_id: key of the set it was trained on; None: the set was removed, or is not the one that was.
        set_parameters: see ``lode.prospect_set``.

    """

    search: int
    status: str
    ground: str
    ground_kind: str
    outline: shapely.Geometry
    score_kind: str
    threshold: float
    cell_m: float
    tile_table: str
    band_names: list[str]
    has_tiles: bool
    parameters: dict[str, Any]
    figures: dict[str, Any]
    versions: dict[str, Any]
    device: str
    published_by: str
    published_at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None
    withdrawn_reason: str | None
    model: str
    architecture: str
    model_sha256: str | None
    trained_at: datetime
    patch_px: int
    spacing_m: float
    training: dict[str, Any]
    metrics: dict[str, Any]
    set_id: int | None
    set_parameters: dict[str, Any] | None


@dataclass(frozen=True)
class CellFacts:
    """How high the cells of a search score.

    Attributes:
        cells: that were scored.
        above: of them, those from the threshold on.
        mean_probability, highest_probability: of the score, 0..1; None without cells.

    """

    cells: int
    above: int
    mean_probability: float | None
    highest_probability: float | None

    @property
    def above_share(self) -> float | None:
        """Share of the scored ground from the threshold on, 0..1; None without cells."""
        return self.above / self.cells if self.cells else None


@dataclass(frozen=True)
class Deposit:
    """A known deposit: name, commodity and its place, EPSG:4326."""

    name: str | None
    commodity: str | None
    point: shapely.Point


@dataclass(frozen=True)
class Geology:
    """What is mapped within a window, EPSG:4326, as it is in the database now.

    Attributes:
        faults: lines.
        plutons: polygons.
        deposits: known deposits.

    """

    faults: shapely.Geometry
    plutons: shapely.Geometry
    deposits: tuple[Deposit, ...]


_HEAD = """
select r.prospect_run_id as search, h.status, h.ground,
  case when r.scene_id is null then 'area' else 'scene' end as ground_kind,
  st_asbinary(coalesce(s.footprint, a.geom)) as outline,
  r.score_kind, r.threshold, r.cell_m, r.tile_table, r.band_names,
  to_regclass(format('lode_raster.%%I', r.tile_table)) is not null as has_tiles,
  r.parameters, r.figures, r.versions, r.device, r.published_by, r.published_at, r.withdrawn_by,
  r.withdrawn_at, r.withdrawn_reason,
  h.model, h.architecture, h.model_sha256, m.trained_at, m.tile_px as patch_px,
  m.resolution_m as spacing_m, m.training, m.metrics,
  t.prospect_set_id as set_id, t.parameters as set_parameters
from lode.prospect_run r
join lode_api.prospect_history h on h.ogc_fid = r.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
-- a set that was made anew under the old name is another one, and so has another key
left join lode.prospect_set t on to_jsonb(t.prospect_set_id) = m.training->'prospect_set_id'
  and t.name = m.training->>'set'
"""

_CHOSEN = """
where r.prospect_run_id = %(run)s or %(run)s::integer is null and h.status = 'published'
order by r.published_at desc, r.prospect_run_id desc limit 1
"""

# Evidence reads as in lode_api.prospect_target, which holds the searches that stand only.
# Patches and targets were brought to EPSG:4326 each for itself: where they share an edge in the plane of the
# grid they overlap by millimetres there, some 1e-5 of the smaller one. The least true overlap is one pixel,
# 1e-2 of a patch of 10 x 10 px. Shares of square degrees are shares of ground: both lie in one place.
_TARGETS = """
select t.rank, t.mean_probability, t.highest_probability, t.area_m2, t.cells, t.fault_distance_m,
  t.pluton_distance_m, t.deposit_distance_m, d.name as nearest_deposit,
  case when %(set)s::integer is not null then exists (
    select from lode.prospect_patch p
    where p.prospect_set_id = %(set)s and p.is_positive and p.split <> 'test' and p.geom && t.geom
      and st_intersects(p.geom, t.geom)
      and st_area(st_intersection(p.geom, t.geom)) > 1e-3 * least(st_area(p.geom), st_area(t.geom))
  ) end as is_learned_from,
  (
    select string_agg(format('%%s %%s%%s (%%s)', e.item->>'name', e.item->>'value', ' ' || (e.item->>'unit'),
      e.item->>'deviations'), '; ' order by e.place)
    from jsonb_array_elements(t.evidence) with ordinality as e(item, place)
  ) as evidence,
  st_x(st_pointonsurface(t.geom)) as longitude, st_y(st_pointonsurface(t.geom)) as latitude
"""
_OF_TARGETS = """
from lode.prospect_target t
left join lode.deposit d on d.deposit_id = t.deposit_id
where t.prospect_run_id = %(run)s and t.rank <= %(limit)s
order by t.rank
"""


def find_search(conn: Connection[Any], run_id: int | None) -> SearchHead:
    """A search, also one that stands no more; None: the one published last of those that stand.

    Raises:
        UsageError: no such search, or none that stands.

    """
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_HEAD + _CHOSEN, {"run": run_id}).fetchone()
    if found is not None:
        return SearchHead(**{**found, "outline": shapely.from_wkb(found["outline"])})
    if run_id is not None:
        raise UsageError(f"there is no search {run_id}; `lode prospect list --all` shows those there are")
    row = conn.execute("select count(*), max(prospect_run_id) from lode.prospect_run").fetchone()
    if row is not None and row[0]:
        raise UsageError(
            f"no search stands: all {row[0]} were withdrawn, or are of scenes that have a newer version; "
            f"make one with `lode prospect apply`, or name one of them, such as --run {row[1]}"
        )
    raise UsageError("there is no search for ore yet: make one with `lode prospect apply`")


def cell_facts(conn: Connection[Any], run_id: int) -> CellFacts:
    """How probable the cells of a search are."""
    # As lode_api.prospect_map and the targets compare, double with double.
    row = conn.execute(
        "select count(*)::integer, (count(*) filter (where p.probability >= r.threshold))::integer,"
        " avg(p.probability), max(p.probability)"
        " from lode.prospect p join lode.prospect_run r using (prospect_run_id) where prospect_run_id = %s",
        (run_id,),
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of sums gave no row")
    return CellFacts(*row)


def target_rows(conn: Connection[Any], head: SearchHead, limit: int) -> Report:
    """The first targets of a search, by rank.

    ``is_learned_from``: whether a target overlaps a patch that the network was shown as ore-bearing in
    training or validation; null where the set of patches is gone.
    """
    return read_report(conn, _TARGETS + _OF_TARGETS, _of(head, limit))


def target_layer(conn: Connection[Any], head: SearchHead, limit: int) -> Report:
    """As `target_rows` with the outline as WKB, EPSG:4326, in the last column, geom."""
    return read_report(conn, _TARGETS + ", st_asbinary(t.geom) as geom" + _OF_TARGETS, _of(head, limit))


def target_evidence(conn: Connection[Any], head: SearchHead, limit: int) -> dict[int, list[dict[str, Any]]]:
    """What speaks for the first targets, by rank: items with name, value, unit and deviations."""
    rows = conn.execute(
        "select rank, evidence from lode.prospect_target where prospect_run_id = %s and rank <= %s",
        (head.search, limit),
    )
    return dict(rows.fetchall())


def cell_layer(conn: Connection[Any], run_id: int) -> Report:
    """All cells of a search; the last column, geom, is WKB of their outline in EPSG:4326."""
    return read_report(
        conn,
        "select rank, probability, row_px, col_px, st_asbinary(geom) as geom from lode.prospect"
        " where prospect_run_id = %s order by row_px, col_px",
        (run_id,),
    )


def geology_within(conn: Connection[Any], bounds: Bounds) -> Geology:
    """Faults, plutons and known deposits within a window, cut off at its edges."""
    window = {"west": bounds[0], "south": bounds[1], "east": bounds[2], "north": bounds[3]}
    faults = conn.execute(
        "select st_asbinary(st_collect(st_clipbybox2d(f.geom, w.box))) from lode.fault f,"
        " (select st_makeenvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326) as box) w"
        " where f.geom && w.box",
        window,
    ).fetchone()
    plutons = conn.execute(
        "select st_asbinary(st_union(p.geom)) from lode.pluton p"
        " where p.geom && st_makeenvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)",
        window,
    ).fetchone()
    deposits = conn.execute(
        "select name, commodity, st_asbinary(geom) from lode.deposit"
        " where geom && st_makeenvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)"
        ' order by name collate "C" nulls last, deposit_id',
        window,
    ).fetchall()
    return Geology(
        _shape(faults),
        shapely.clip_by_rect(_shape(plutons), *bounds),
        tuple(Deposit(name, commodity, shapely.from_wkb(wkb)) for name, commodity, wkb in deposits),
    )


def _of(head: SearchHead, limit: int) -> dict[str, object]:
    return {"run": head.search, "set": head.set_id, "limit": limit}


def _shape(row: tuple[Any, ...] | None) -> shapely.Geometry:
    return shapely.from_wkb(row[0]) if row and row[0] else shapely.GeometryCollection()
