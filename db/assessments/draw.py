"""Draw the sample of an assessment: strata of the year map, points at random in each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from db.assessments.catalogue import (
    DrawnStratum,
    MapStratum,
    NewAssessment,
    map_strata,
    piece_shapes,
    require_free_assessment_name,
    store_assessment,
)
from db.assessments.design import (
    FEWEST_POINTS,
    allocate,
    check_total,
    choose_pieces,
    deal_numbers,
    points_in,
)
from db.assessments.seal import seal_assessment
from db.errors import UsageError

SEED_BITS = 31
NAMED_MINES = 5


@dataclass(frozen=True)
class SampleDesign:
    """How an assessment is to be sampled.

    Attributes:
        year: year of the map.
        stratified_by: ``class`` or ``kind``.
        mine_codes: only these mines; None: all.
        per_stratum: fewest points of a stratum.
        total: points of all strata; None: see ``db.assessments.design.allocate``.
        allocation: points by stratum, instead of the two before.
        seed: of the draw; None: a fresh one.

    """

    year: int
    stratified_by: str = "class"
    mine_codes: tuple[str, ...] | None = None
    per_stratum: int = 50
    total: int | None = None
    allocation: Mapping[str, int] | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What was drawn: key and seed of the assessment, SHA-256 (``db.assessments.seal``), and strata."""

    assessment_id: int
    seed: int
    sha256: str
    strata: tuple[DrawnStratum, ...]


def draw_assessment(conn: Connection[Any], name: str, design: SampleDesign) -> Drawn:
    """Draw a stratified random sample of the year map and store it, in the caller's transaction.

    The same map, design and seed give the same points.

    Raises:
        UsageError: the name is taken, nothing is mapped, or the numbers of points cannot be right.

    """
    require_free_assessment_name(conn, name)
    conn.execute("select lode_api.lock_accounts()")  # pieces keep their keys until their shapes are read
    codes = None if design.mine_codes is None else tuple(sorted(set(design.mine_codes)))
    strata = map_strata(conn, design.year, design.stratified_by, codes)
    if not strata:
        raise UsageError(
            f"year {design.year}: less than 1 m2 of ground is mapped; there is nothing to sample"
        )
    counts = _counts(strata, design)
    seed = secrets.randbits(SEED_BITS) if design.seed is None else design.seed
    order, *streams = np.random.default_rng(seed).spawn(1 + len(strata))
    numbers = deal_numbers([counts[stratum.class_key] for stratum in strata], order)
    drawn = tuple(
        DrawnStratum(stratum, dealt, _places(conn, design.year, codes, stratum, len(dealt), stream))
        for stratum, dealt, stream in zip(strata, numbers, streams, strict=True)
    )
    new = NewAssessment(name, design.year, design.stratified_by, _scope(codes), codes, seed)
    assessment_id = store_assessment(conn, new, drawn)
    return Drawn(assessment_id, seed, seal_assessment(conn, assessment_id), drawn)


def _counts(strata: Sequence[MapStratum], design: SampleDesign) -> Mapping[str, int]:
    areas = {stratum.class_key: stratum.area_m2 for stratum in strata}
    if design.allocation is None:
        return allocate(areas, per_stratum=design.per_stratum, total=design.total)
    strange = [key for key in design.allocation if key not in areas]
    if strange:
        raise UsageError(
            f"--allocation {strange[0]}: the map of {design.year} shows none of it; strata are: "
            + ", ".join(areas)
        )
    missing = [key for key in areas if key not in design.allocation]
    if missing:
        raise UsageError(
            f"--allocation: how many points for {', '.join(missing)}? Every stratum needs some, or its "
            "errors are not seen"
        )
    few = [key for key, count in design.allocation.items() if count < FEWEST_POINTS]
    if few:
        raise UsageError(
            f"--allocation {few[0]}={design.allocation[few[0]]}: at least {FEWEST_POINTS} points a stratum "
            "are needed for a standard error"
        )
    check_total(sum(design.allocation.values()))
    return design.allocation


def _places(
    conn: Connection[Any],
    year: int,
    codes: Sequence[str] | None,
    stratum: MapStratum,
    count: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Points of a stratum ``(count, 2)``: a piece by its area, then anywhere in it."""
    per_piece = choose_pieces(stratum.areas_m2, count, generator)
    chosen = np.flatnonzero(per_piece)
    shapes = piece_shapes(conn, year, codes, stratum.piece_ids[chosen].tolist())
    return np.concatenate(
        [
            points_in(shapes[int(stratum.piece_ids[index])], int(per_piece[index]), generator)
            for index in chosen
        ]
    )


def _scope(codes: Sequence[str] | None) -> str:
    if codes is None:
        return "mapped ground inside all mines, where they overlap counted once"
    named = ", ".join(codes[:NAMED_MINES])
    more = f" and {len(codes) - NAMED_MINES} more" if len(codes) > NAMED_MINES else ""
    what = "mine" if len(codes) == 1 else "mines"
    return f"mapped ground inside {what} {named}{more}"
