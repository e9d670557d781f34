"""What a search found becomes visible: its row, cells, targets and raster, in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Rollback

from db.connection import connect, retrying
from db.errors import UsageError
from db.locks import end_when_silent
from db.points import reached
from db.prospect_cell_rows import CellRows
from db.prospect_runs import (
    PROSPECTIVITY,
    NewProspectRun,
    NewReason,
    NewTarget,
    ProspectRun,
    insert_cells,
    insert_reasons,
    insert_search,
    insert_targets,
    standing_search,
    standing_searches,
    withdraw_searches,
)
from db.raster import Grid, RasterWriter
from db.watch import require_unchanged
from inference.prospect.cells import Cells, corners_of, ranks_of, rings_of
from inference.prospect.matched_ground import MatchedGround
from inference.prospect.nearby import Nearby
from inference.prospect.trained import ProspectModel

RULES = 2
"""Counts up whenever other cells or targets follow from the same network, ground and settings, or when other
things decide which searches are equal."""
VERSIONS = ("lode", "torch", "numpy", "scipy", "scikit-learn", "shapely", "pyproj")
AGAIN = "made again"
"""Reason of a withdrawal by ``--again``."""
APPLICATION = "lode prospect apply"
CELLS_AT_A_TIME = 20_000
STRIP_PX = 256

Report = Callable[[str], None]


@dataclass(frozen=True)
class SearchTask:
    """What was read before anything was computed.

    Attributes:
        model, model_sha256: the network, and the SHA-256 of its weights.
        ground: what is searched.
        nearby: geology and deposits to measure targets against.
        settings: stride_px, threshold, least_cells and most_targets.
        earlier: searches with the same network, ground and settings that were not withdrawn, whatever their
            geology and the version of the scene.
        device: what computes.

    """

    model: ProspectModel
    model_sha256: str
    ground: MatchedGround
    nearby: Nearby
    settings: dict[str, Any]
    earlier: tuple[int, ...]
    device: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Settings, and the channels as they were matched."""
        return {**self.settings, "channels": [match.as_json() for match in self.ground.matches]}

    @property
    def content_digest(self) -> str:
        """SHA-256 of network, ground, geology and parameters: equal searches are one.

        Networks are told apart by their key as well as by all that their answer follows from: those of equal
        weights may differ in scales or patches. Geology is what the channels were made of, and what the
        distances of the targets were measured to, which are told of every network's targets.
        """
        content = {
            "rules": RULES,
            "model": {
                "id": self.model.model_id,
                "weights": self.model_sha256,
                "normalisation": self.model.normalisation.as_json(),
                "patch_px": self.model.patch_px,
                "spacing_m": self.model.spacing_m,
            },
            "scene": self.ground.scene_id,
            "area": self.ground.evidence_area_id,
            "layers": self.ground.layer_ids,
            "geology": self.ground.geology_digest,
            "nearby": self.nearby.geology_digest,
            "parameters": self.parameters,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Findings:
    """What was computed, ready to be stored."""

    cells: Cells
    targets: list[NewTarget]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Publication:
    """What becomes visible of a search, whatever it was made with.

    Attributes:
        run: its row.
        ground: scene or study area that was searched.
        earlier: searches that are withdrawn for it where it is made again.
        grid: of the cells.
        bands: ``(bands, rows, columns)`` float32 for the raster, NaN where nothing was scored.
        cells: gives the cells in parts; called anew where the transaction begins anew.
        count: of the cells.
        targets: ranked.
        reasons: gives why cells score; called anew likewise.
        comment: of the raster, before the number of the search.

    """

    run: NewProspectRun
    ground: str
    earlier: tuple[int, ...]
    grid: Grid
    bands: NDArray[np.float32]
    cells: Callable[[], Iterable[CellRows]]
    count: int
    targets: list[NewTarget]
    comment: str
    reasons: Callable[[], Iterable[NewReason]] = tuple


@dataclass(frozen=True)
class SearchOutcome:
    """What a search did.

    Attributes:
        run_id: the search.
        ground: scene or study area.
        was_there: nothing was published, an equal search stands.
        withdrew: searches that were withdrawn for it.
        beside: other searches of the same network over the same ground, also over other versions of the
            scene, that were not withdrawn.
        figures: as stored.
        device: what computed it.

    """

    run_id: int
    ground: str
    was_there: bool
    withdrew: tuple[int, ...]
    beside: tuple[int, ...]
    figures: dict[str, Any]
    device: str


def publish_search(
    url: str, task: SearchTask, found: Findings, *, is_again: bool, report: Report
) -> SearchOutcome:
    """Publish a search by a network of `lode train prospect`, see `publish`."""
    return publish(url, _publication(task, found), is_again=is_again, report=report)


def publish(url: str, publication: Publication, *, is_again: bool, report: Report) -> SearchOutcome:
    """Publish a search, or say that an equal one was published meanwhile.

    The transaction is begun anew where the database goes away in the middle of it. Where it went away after
    the commit, before it could say so, what was published is found and told as such.

    Args:
        url: libpq URL of the database.
        publication: what was found.
        is_again: withdraw the earlier searches in the same transaction.
        report: takes lines about the progress.

    Raises:
        OutdatedError: the database was upgraded since the search began.
        RetryError: the database was out of reach for long.

    """
    attempts: dict[int, list[int]] = {}  # what each attempt withdrew, by the key of the search it stored
    run = publication.run

    def once() -> SearchOutcome:
        with connect(url, application_name=APPLICATION) as conn:
            stored = _store(conn, publication, attempts, is_again=is_again, report=report)
            if stored is None:
                standing = standing_search(conn, run.content_digest)
                if standing is None:
                    raise UsageError(
                        "an equal search was published and withdrawn while this one was computed: try again"
                    )
                if standing.prospect_run_id not in attempts:
                    return as_it_stands(publication.ground, standing)
                stored = standing.prospect_run_id
            run_id, withdrew = stored, attempts[stored]
            others = standing_searches(conn, run.model_id, run.scene_id, run.evidence_area_id)
            return SearchOutcome(
                run_id,
                publication.ground,
                False,
                tuple(withdrew),
                tuple(each.prospect_run_id for each in others if each.prospect_run_id != run_id),
                dict(run.figures),
                run.device,
            )

    return retrying(once, report=report)


def as_it_stands(ground: str, standing: ProspectRun) -> SearchOutcome:
    """The outcome where an equal search of a scene or a study area stands."""
    return SearchOutcome(standing.prospect_run_id, ground, True, (), (), standing.figures, standing.device)


def _store(
    conn: Connection[Any],
    publication: Publication,
    attempts: dict[int, list[int]],
    *,
    is_again: bool,
    report: Report,
) -> int | None:
    """Store everything in one transaction; its key, None where an equal one stands.

    ``attempts`` is told the key and what was withdrawn for it, before anything is committed.
    """
    done: list[int] = []
    run = publication.run
    with conn.transaction():
        end_when_silent(conn)
        require_unchanged(conn)
        reached("prospect.publishing")
        # Those that stood before this one was computed: never one that this very call has published before
        # its connection broke.
        withdrew = withdraw_searches(conn, publication.earlier, AGAIN) if is_again else []
        stored = insert_search(conn, run)
        if stored is None:
            raise Rollback
        run_id, tile_table = stored
        attempts[run_id] = withdrew
        report(
            f"search {run_id}: storing {publication.count:,} cells and {len(publication.targets):,} targets"
        )
        insert_cells(conn, run_id, publication.cells(), are_scored=run.score_kind == PROSPECTIVITY)
        reached("prospect.writing")
        insert_targets(conn, run_id, publication.targets)
        insert_reasons(conn, run_id, publication.reasons())
        _write_raster(conn, run_id, tile_table, publication)
        reached("prospect.before_commit")
        done.append(run_id)
    return done[0] if done else None


def _publication(task: SearchTask, found: Findings) -> Publication:
    run = NewProspectRun(
        model_id=task.model.model_id,
        scene_id=task.ground.scene_id,
        evidence_area_id=task.ground.evidence_area_id,
        parameters={
            **task.parameters,
            "geology_digest": task.ground.geology_digest,
            "nearby_digest": task.nearby.geology_digest,
        },
        content_digest=task.content_digest,
        threshold=float(task.settings["threshold"]),
        cell_m=found.cells.grid.resolution_x,
        figures=found.figures,
        device=task.device,
        versions={name: version(name) for name in VERSIONS},
    )
    cells = found.cells
    return Publication(
        run=run,
        ground=task.ground.name,
        earlier=task.earlier,
        grid=cells.grid,
        bands=cells.probability[np.newaxis],
        cells=lambda: cell_rows(cells),
        count=cells.count,
        targets=found.targets,
        comment="Probability of ore, 0..1, of search",
    )


def cell_rows(cells: Cells, scores: NDArray[np.floating] | None = None) -> Iterator[CellRows]:
    """The cells that were scored as rows, in parts.

    Args:
        cells: the cells.
        scores: ``(scores, rows, columns)`` what else is told of each, see `CellRows`; None: nothing.

    """
    corners = corners_of(cells.grid)
    rows, cols = np.nonzero(cells.is_scored)
    probability = cells.probability[rows, cols]
    ranks = ranks_of(probability)
    for first in range(0, len(rows), CELLS_AT_A_TIME):
        part = slice(first, first + CELLS_AT_A_TIME)
        rings = rings_of(corners, rows[part], cols[part])
        more = None if scores is None else scores[:, rows[part], cols[part]].T
        yield CellRows(rows[part], cols[part], probability[part], ranks[part], rings, more)


def _write_raster(conn: Connection[Any], run_id: int, table: str, publication: Publication) -> None:
    """Store the scores as tiles; attaching them comes last, since it keeps other searches waiting."""
    grid = publication.grid
    writer = RasterWriter(
        conn,
        parent="prospect_score",
        owner_id=run_id,
        table=table,
        grid=grid,
        dtype=np.dtype(np.float32),
        band_count=len(publication.bands),
        nodata=float("nan"),
        storage="lz4",
        comment=f"{publication.comment} {run_id}",
    )
    for top in range(0, grid.height_px, STRIP_PX):
        writer.write_rows(np.ascontiguousarray(publication.bands[:, top : top + STRIP_PX]))
    writer.finish()
